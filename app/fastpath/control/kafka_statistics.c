/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's statistics, once a second: how the brokers are. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "control/kafka_internal.h"

static uint64_t number(json_t *o, const char *name)
{
	json_int_t n = json_integer_value(json_object_get(o, name));

	return n > 0 ? (uint64_t)n : 0;
}

/* The coordinator's connection is listed once more, under a name of its own, and brokers that were
 * only configured have no number. */
static bool is_broker(json_t *o)
{
	const char *source = json_string_value(json_object_get(o, "source"));

	return json_integer_value(json_object_get(o, "nodeid")) >= 0 &&
	       (source == NULL || strcmp(source, "logical") != 0);
}

static void fill(struct kafka_broker_figures *out, json_t *o)
{
	const char *name = json_string_value(json_object_get(o, "nodename"));
	const char *state = json_string_value(json_object_get(o, "state"));
	json_t *rtt = json_object_get(o, "rtt");

	snprintf(out->name, sizeof(out->name), "%s", name != NULL ? name : "");
	out->up = state != NULL && strcmp(state, "UP") == 0;
	out->rtt_us = number(rtt, "avg");
	out->rtt_p99_us = number(rtt, "p99");
	out->requests = number(o, "tx");
	out->retries = number(o, "txretries");
	out->errors = number(o, "txerrs") + number(o, "rxerrs") + number(o, "req_timeouts");
}

int kafka_on_statistics(rd_kafka_t *rk, char *json, size_t len, void *opaque)
{
	struct kafka_bridge *b = opaque;
	json_t *root = json_loadb(json, len, 0, NULL), *broker;
	struct kafka_broker_figures found[KAFKA_BROKERS_MAX] = {0};
	uint32_t count = 0;
	const char *key;

	(void)rk;
	json_object_foreach (json_object_get(root, "brokers"), key, broker) {
		if (count < KAFKA_BROKERS_MAX && is_broker(broker))
			fill(&found[count++], broker);
	}
	json_decref(root);
	pthread_mutex_lock(&b->lock);
	memcpy(b->figures.broker, found, sizeof(found));
	b->figures.broker_count = count;
	pthread_mutex_unlock(&b->lock);
	return 0; /* librdkafka frees the text */
}
