/* SPDX-License-Identifier: Apache-2.0 */
#include "control/drain.h"

const char *drain_step_name(enum drain_step step)
{
	static const char *const name[] = {
	    [DRAIN_RUNNING] = "running", [DRAIN_RINGS] = "rings",       [DRAIN_DISK] = "disk",
	    [DRAIN_KAFKA] = "kafka",     [DRAIN_HANDOVER] = "handover", [DRAIN_ENDED] = "ended",
	};

	return name[step];
}

json_t *drain_json(const struct drain *d, const struct figures *f)
{
	return json_pack("{s:s, s:s, s:b, s:s, s:I, s:I, s:I}", "engine", f->engine_id, "state",
	                 drain_step_name(d->step), "complete", d->complete, "message", d->message,
	                 "persistence_queue_lag", (json_int_t)f->lag, "kafka_bridge_lag",
	                 (json_int_t)f->kafka.lag, "ownership_keys", (json_int_t)f->ownership.keys);
}
