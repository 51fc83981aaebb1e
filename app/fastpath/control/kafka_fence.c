/* SPDX-License-Identifier: Apache-2.0 */
#include "control/kafka_fence.h"

#include <errno.h>
#include <stdio.h>

#include "control/steady.h"
#include "kafka/client.h"
#include "log.h"

#define SLICE_MS 500
#define FENCE_NS 10000000000ull

static int error_of(enum kafka_trouble t)
{
	return t == KAFKA_AWAY ? -EHOSTUNREACH : t == KAFKA_REFUSED ? -EACCES : -EIO;
}

static int take_over(rd_kafka_t *rk, const char *engine)
{
	uint64_t deadline = steady_ns() + FENCE_NS;

	for (;;) {
		rd_kafka_error_t *error = rd_kafka_init_transactions(rk, SLICE_MS);
		enum kafka_trouble t = kafka_trouble_of(rd_kafka_error_code(error));
		bool again = error != NULL && rd_kafka_error_is_retriable(error) != 0 &&
		             steady_ns() < deadline;

		if (error != NULL && !again)
			log_warning("kafka: fencing engine %s: %s", engine,
			            rd_kafka_error_string(error));
		rd_kafka_error_destroy(error);
		rd_kafka_poll(rk, 0);
		if (!again)
			return t == KAFKA_FINE ? 0 : error_of(t);
	}
}

int kafka_fence(void *arg, const char *engine)
{
	const struct config *c = arg;
	char id[128], err[KAFKA_ERROR_MAX];
	/* the id is the one that the engine's own bridge takes */
	const struct kafka_setting fixed[] = {{"transactional.id", id},
	                                      {"enable.idempotence", "true"},
	                                      {"transaction.timeout.ms", "10000"},
	                                      {NULL, NULL}};
	struct kafka_client_options o = {
	    .type = RD_KAFKA_PRODUCER, .bootstrap_servers = c->kafka_bootstrap, .fixed = fixed};
	struct kafka_properties *properties = NULL;
	rd_kafka_t *rk = NULL;
	int ret = -EIO;

	snprintf(id, sizeof(id), "fast-path-%s", engine);
	if (kafka_properties_read(&properties, c->kafka_config_file, err) == 0) {
		o.properties = properties;
		rk = kafka_client_create(&o, err);
	}
	if (rk != NULL)
		ret = take_over(rk, engine);
	else
		log_warning("kafka: fencing engine %s: %s", engine, err);
	kafka_client_destroy(rk);
	kafka_properties_free(properties);
	return ret;
}
