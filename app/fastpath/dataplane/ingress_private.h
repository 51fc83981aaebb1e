/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the ingress: for the data plane that wires it and the figures that read its counters. */
#ifndef DATAPLANE_INGRESS_PRIVATE_H
#define DATAPLANE_INGRESS_PRIVATE_H

#include "dataplane/ingress.h"
#include "dataplane/worker.h"
#include "event/event.h"

#define INGRESS_SLOTS 512 /* a shard: about 4 MiB */

enum ingress_slot_state {
	INGRESS_SLOT_FREE,
	INGRESS_SLOT_TAKEN,
	INGRESS_SLOT_ABANDONED, /* given back before the worker was done with it */
};

struct ingress_slot {
	uint64_t ordinal; /* among all that was submitted to the shard */
	enum ingress_slot_state state;
	struct event_source source; /* what the worker sees */
	uint8_t payload[EVENT_PAYLOAD_MAX];
};

struct ingress_shard {
	struct worker_ring *ring;
	struct ingress_slot *slots;
	uint64_t submitted;
	uint32_t next;
};

struct ingress {
	uint16_t feed; /* journal id of "http" */
	uint32_t shard_count;
	struct ingress_shard shard[CONFIG_LCORES_MAX];
	counter messages, bytes, last_rx_ns;
	counter reason[REASON_COUNT];
};

struct ingress *ingress_create(uint16_t feed);
/* shards in their order; ring: the worker's ring for this producer. 0 or -ENOMEM */
int ingress_attach(struct ingress *in, struct worker_ring *ring);
void ingress_destroy(struct ingress *in);

#endif
