/* SPDX-License-Identifier: Apache-2.0 */
/* The topics: made when they are missing, never altered, refused when they cannot do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "control/kafka_internal.h"

#define ANSWER_MS 5000

/* number of partitions of a topic, 0 when there is no such topic */
static enum kafka_trouble look(struct kafka_bridge *b, const char *name, int32_t *partitions)
{
	rd_kafka_topic_t *t = rd_kafka_topic_new(b->plain, name, NULL);
	const struct rd_kafka_metadata *m = NULL;
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__TIMED_OUT;
	uint64_t began = clock_steady_ns();

	while (!kafka_over(b) && clock_steady_ns() - began < KAFKA_STEP_NS && m == NULL) {
		kafka_lease_keep(b);
		err = rd_kafka_metadata(b->plain, 0, t, &m, KAFKA_SLICE_MS);
		rd_kafka_poll(b->plain, 0);
		if (m == NULL && clock_steady_ns() - began > KAFKA_SOON_NS)
			kafka_state(b, KAFKA_AWAY_STATE, "no broker at %.100s answers: %s",
			            b->config->kafka_bootstrap,
			            b->last_error[0] != '\0' ? b->last_error
			                                     : rd_kafka_err2str(err));
		if (err != 0 && kafka_trouble_of(err) != KAFKA_AWAY)
			break;
	}
	*partitions = 0;
	if (m != NULL) {
		err = m->topic_cnt == 1 ? m->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
		if (err == 0)
			*partitions = m->topics[0].partition_cnt;
		rd_kafka_metadata_destroy(m);
	}
	rd_kafka_topic_destroy(t);
	if (kafka_over(b))
		return KAFKA_ENDING;
	if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
	    err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
		return KAFKA_FINE;
	if (err != 0 && kafka_trouble_of(err) == KAFKA_AWAY)
		return kafka_fail(b, KAFKA_AWAY, "no broker at %.100s answers: %s",
		                  b->config->kafka_bootstrap,
		                  b->last_error[0] != '\0' ? b->last_error : rd_kafka_err2str(err));
	if (err != 0)
		return kafka_fail(b, kafka_trouble_of(err), "topic %s: %s", name,
		                  rd_kafka_err2str(err));
	return KAFKA_FINE;
}

/* the broker's answer to an admin request: NULL and b->why when none came */
static rd_kafka_event_t *answer(struct kafka_bridge *b, rd_kafka_queue_t *q, const char *what)
{
	rd_kafka_event_t *e = rd_kafka_queue_poll(q, ANSWER_MS);

	if (e != NULL && rd_kafka_event_error(e) == 0)
		return e;
	kafka_fail(b, KAFKA_AWAY, "%s: %s", what,
	           e != NULL ? rd_kafka_event_error_string(e) : "no answer");
	if (e != NULL)
		rd_kafka_event_destroy(e);
	return NULL;
}

static enum kafka_trouble created(struct kafka_bridge *b, const char *name, rd_kafka_event_t *e)
{
	size_t count;
	const rd_kafka_topic_result_t **r =
	    rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(e), &count);
	rd_kafka_resp_err_t err =
	    count == 1 ? rd_kafka_topic_result_error(r[0]) : RD_KAFKA_RESP_ERR__FAIL;
	const char *text = count == 1 ? rd_kafka_topic_result_error_string(r[0]) : NULL;

	if (err == 0) {
		log_info("kafka: made topic %s", name);
		return KAFKA_FINE;
	}
	if (err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
		return KAFKA_FINE;
	kafka_fail(b, KAFKA_REFUSED,
	           "topic %s is missing and cannot be made: %s; make it, or allow it", name,
	           text != NULL ? text : rd_kafka_err2str(err));
	return kafka_trouble_of(err) == KAFKA_AWAY ? KAFKA_AWAY : KAFKA_REFUSED;
}

static enum kafka_trouble make(struct kafka_bridge *b, const char *name, int partitions,
                               const struct kafka_setting *config)
{
	const struct config *c = b->config;
	char err[256];
	rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(
	    name, partitions, c->kafka_replication != 0 ? (int)c->kafka_replication : -1, err,
	    sizeof(err));
	rd_kafka_queue_t *q;
	rd_kafka_event_t *e;
	enum kafka_trouble trouble = KAFKA_AWAY;

	if (t == NULL)
		return kafka_fail(b, KAFKA_STOPPED, "topic %s: %s", name, err);
	for (; config != NULL && config->name != NULL; config++)
		rd_kafka_NewTopic_set_config(t, config->name, config->value);
	q = rd_kafka_queue_new(b->plain);
	rd_kafka_CreateTopics(b->plain, &t, 1, NULL, q);
	e = answer(b, q, "making a topic");
	if (e != NULL) {
		trouble = created(b, name, e);
		rd_kafka_event_destroy(e);
	}
	rd_kafka_queue_destroy(q);
	rd_kafka_NewTopic_destroy(t);
	return trouble;
}

/* what it takes for a topic to be there. *partitions: how many it has */
static enum kafka_trouble ensure(struct kafka_bridge *b, const char *name, int wanted,
                                 const struct kafka_setting *config, int32_t *partitions)
{
	uint64_t deadline = clock_steady_ns() + KAFKA_STEP_NS;
	enum kafka_trouble t = look(b, name, partitions);

	if (t != KAFKA_FINE || *partitions > 0)
		return t;
	t = make(b, name, wanted, config);
	while (t == KAFKA_FINE && *partitions == 0) {
		t = look(b, name, partitions);
		if (t == KAFKA_FINE && *partitions == 0 && clock_steady_ns() > deadline)
			t = kafka_fail(b, KAFKA_AWAY, "topic %s was made, but is not there yet",
			               name);
	}
	return t;
}

struct topic_config {
	char cleanup[64];
	uint32_t max_bytes; /* 0: unknown */
};

static void read_entries(struct topic_config *out, const rd_kafka_ConfigResource_t *r)
{
	size_t count;
	const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(r, &count);

	for (size_t i = 0; i < count; i++) {
		const char *name = rd_kafka_ConfigEntry_name(entry[i]);
		const char *value = rd_kafka_ConfigEntry_value(entry[i]);

		if (value != NULL && strcmp(name, "cleanup.policy") == 0)
			snprintf(out->cleanup, sizeof(out->cleanup), "%s", value);
		if (value != NULL && strcmp(name, "max.message.bytes") == 0)
			out->max_bytes = (uint32_t)strtoul(value, NULL, 10);
	}
}

static enum kafka_trouble describe(struct kafka_bridge *b, const char *name,
                                   struct topic_config *out)
{
	rd_kafka_ConfigResource_t *r = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
	rd_kafka_queue_t *q = rd_kafka_queue_new(b->plain);
	enum kafka_trouble t = KAFKA_AWAY;
	rd_kafka_event_t *e;
	size_t count;

	*out = (struct topic_config){0};
	rd_kafka_DescribeConfigs(b->plain, &r, 1, NULL, q);
	e = answer(b, q, "asking for a topic's configuration");
	if (e != NULL) {
		const rd_kafka_ConfigResource_t **got = rd_kafka_DescribeConfigs_result_resources(
		    rd_kafka_event_DescribeConfigs_result(e), &count);
		rd_kafka_resp_err_t err =
		    count == 1 ? rd_kafka_ConfigResource_error(got[0]) : RD_KAFKA_RESP_ERR__FAIL;

		t = kafka_trouble_of(err);
		if (t == KAFKA_FINE)
			read_entries(out, got[0]);
		else
			kafka_fail(b, t, "the configuration of topic %s: %s; allow DescribeConfigs",
			           name, rd_kafka_err2str(err));
		rd_kafka_event_destroy(e);
	}
	rd_kafka_queue_destroy(q);
	rd_kafka_ConfigResource_destroy(r);
	return t;
}

static enum kafka_trouble check_cursors(struct kafka_bridge *b, int32_t partitions)
{
	struct topic_config c;
	enum kafka_trouble t = describe(b, b->topic.cursors, &c);

	if (t != KAFKA_FINE)
		return t;
	if (strcmp(c.cleanup, "compact") != 0)
		return kafka_fail(b, KAFKA_STOPPED,
		                  "topic %s has cleanup.policy %s: cursors would be lost; set it "
		                  "to compact",
		                  b->topic.cursors, c.cleanup);
	if (partitions != 1)
		return kafka_fail(b, KAFKA_STOPPED,
		                  "topic %s has %d partitions: it needs one; make another topic",
		                  b->topic.cursors, partitions);
	return KAFKA_FINE;
}

/* what a topic takes; one that does not tell takes what brokers take by default */
static enum kafka_trouble size_of(struct kafka_bridge *b, const char *name, uint32_t *bytes)
{
	struct topic_config c;
	enum kafka_trouble t = describe(b, name, &c);

	*bytes = c.max_bytes;
	return t == KAFKA_REFUSED ? KAFKA_FINE : t;
}

enum kafka_trouble kafka_topics_ensure(struct kafka_bridge *b)
{
	static const struct kafka_setting compact[] = {{"cleanup.policy", "compact"},
	                                               {"min.cleanable.dirty.ratio", "0.1"},
	                                               {"segment.bytes", "16777216"},
	                                               {NULL, NULL}};
	int32_t partitions;
	enum kafka_trouble t =
	    ensure(b, b->topic.events, (int)b->config->kafka_partitions, NULL, &b->partitions);

	if (t == KAFKA_FINE)
		t = ensure(b, b->topic.cursors, 1, compact, &partitions);
	if (t == KAFKA_FINE)
		t = check_cursors(b, partitions);
	if (t == KAFKA_FINE)
		t = ensure(b, b->topic.gaps, 1, NULL, &partitions);
	if (t == KAFKA_FINE)
		t = ensure(b, b->topic.dead_letter, 1, NULL, &partitions);
	if (t == KAFKA_FINE)
		t = size_of(b, b->topic.events, &b->event_max);
	if (t == KAFKA_FINE)
		t = size_of(b, b->topic.dead_letter, &b->dead_letter_max);
	return t;
}
