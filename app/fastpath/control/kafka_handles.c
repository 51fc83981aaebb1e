/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "control/kafka_internal.h"
#include "kafka/message.h"

#define DEFAULT_BATCH 1000000
#define BATCH_FRAMING 512

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	struct kafka_bridge *b = rd_kafka_opaque(rk);

	/* the properties file is for readers and producers alike */
	if (strcmp(facility, "CONFWARN") == 0 || level > CONFIG_LOG_WARNING)
		log_debug("kafka: %s: %s", facility, text);
	else
		log_limited(&b->log_limit, clock_steady_ns(), CONFIG_LOG_WARNING, "kafka: %s",
		            text);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
	struct kafka_bridge *b = opaque;

	(void)rk;
	/* that all are down says less than why the last one is */
	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || b->last_error[0] == '\0')
		snprintf(b->last_error, sizeof(b->last_error), "%s", reason);
}

static void on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct kafka_bridge *b = opaque;

	(void)rk;
	/* what an abort throws away, and what follows from an earlier error, says nothing */
	if (m->err == 0 || m->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
	    m->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
		return;
	if (b->delivery_error == 0 || b->delivery_error == RD_KAFKA_RESP_ERR__STATE ||
	    kafka_trouble_of(m->err) == KAFKA_CONTENT)
		b->delivery_error = m->err;
}

static rd_kafka_t *create(struct kafka_bridge *b, rd_kafka_type_t type,
                          const struct kafka_setting *defaults, const struct kafka_setting *fixed)
{
	struct kafka_client_options o = {
	    .type = type,
	    .bootstrap_servers = b->config->kafka_bootstrap,
	    .defaults = defaults,
	    .properties = b->properties,
	    .fixed = fixed,
	    .log = on_log,
	    .error = on_error,
	    .statistics = type == RD_KAFKA_PRODUCER ? kafka_on_statistics : NULL,
	    .delivered = type == RD_KAFKA_PRODUCER ? on_delivered : NULL,
	    .opaque = b,
	};
	char err[KAFKA_ERROR_MAX];
	rd_kafka_t *rk = kafka_client_create(&o, err);

	if (rk == NULL)
		kafka_fail(b, KAFKA_STOPPED, "%s", err);
	return rk;
}

enum kafka_trouble kafka_open_plain(struct kafka_bridge *b)
{
	static const struct kafka_setting fixed[] = {{"isolation.level", "read_uncommitted"},
	                                             {"allow.auto.create.topics", "false"},
	                                             {NULL, NULL}};

	b->plain = create(b, RD_KAFKA_CONSUMER, NULL, fixed);
	return b->plain != NULL ? KAFKA_FINE : KAFKA_STOPPED;
}

enum kafka_trouble kafka_open_reader(struct kafka_bridge *b, rd_kafka_t **out)
{
	static const struct kafka_setting fixed[] = {
	    {"isolation.level", "read_committed"}, {"allow.auto.create.topics", "false"},
	    {"enable.partition.eof", "true"},      {"auto.offset.reset", "earliest"},
	    {"enable.auto.offset.store", "false"}, {NULL, NULL}};

	*out = create(b, RD_KAFKA_CONSUMER, NULL, fixed);
	return *out != NULL ? KAFKA_FINE : KAFKA_STOPPED;
}

/* librdkafka tells here how many partitions it has seen */
static int32_t choose_partition(const rd_kafka_topic_t *topic, const void *key, size_t len,
                                int32_t count, void *opaque, void *message_opaque)
{
	struct kafka_bridge *b = opaque;

	if (count != b->partitions)
		atomic_store_explicit(&b->repartitioned, true, memory_order_relaxed);
	return rd_kafka_msg_partitioner_murmur2_random(topic, key, len, count, NULL,
	                                               message_opaque);
}

static int open_topics(struct kafka_bridge *b)
{
	rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(b->producer);

	rd_kafka_topic_conf_set_partitioner_cb(conf, choose_partition);
	rd_kafka_topic_conf_set_opaque(conf, b);
	b->events = rd_kafka_topic_new(b->producer, b->topic.events, conf);
	b->cursors = rd_kafka_topic_new(b->producer, b->topic.cursors, NULL);
	b->gaps = rd_kafka_topic_new(b->producer, b->topic.gaps, NULL);
	b->dead_letter = rd_kafka_topic_new(b->producer, b->topic.dead_letter, NULL);
	return b->events && b->cursors && b->gaps && b->dead_letter ? 0 : -ENOMEM;
}

static rd_kafka_t *create_producer(struct kafka_bridge *b)
{
	char id[128], batch[16];
	const uint32_t max =
	    b->event_max != 0 && b->event_max < DEFAULT_BATCH ? b->event_max : DEFAULT_BATCH;
	const struct kafka_setting defaults[] = {{"compression.type", "lz4"},
	                                         {"linger.ms", "5"},
	                                         {"batch.num.messages", "100000"},
	                                         {"batch.size", batch},
	                                         {"message.max.bytes", "10000000"},
	                                         {"queue.buffering.max.messages", "2000000"},
	                                         {"queue.buffering.max.kbytes", "131072"},
	                                         {"topic.metadata.refresh.interval.ms", "30000"},
	                                         {"reconnect.backoff.max.ms", "2000"},
	                                         {NULL, NULL}};
	const struct kafka_setting fixed[] = {{"transactional.id", id},
	                                      {"enable.idempotence", "true"},
	                                      {"acks", "all"},
	                                      {"transaction.timeout.ms", KAFKA_TIMEOUT_MS},
	                                      {"partitioner", KAFKA_PARTITIONER},
	                                      {"statistics.interval.ms", "1000"},
	                                      {"delivery.report.only.error", "true"},
	                                      {NULL, NULL}};

	snprintf(id, sizeof(id), "fast-path-%s", b->engine);
	snprintf(batch, sizeof(batch), "%u", max > 2 * BATCH_FRAMING ? max - BATCH_FRAMING : max);
	return create(b, RD_KAFKA_PRODUCER, defaults, fixed);
}

static enum kafka_trouble init_transactions(struct kafka_bridge *b)
{
	uint64_t deadline = clock_steady_ns() + KAFKA_STEP_NS;

	for (;;) {
		rd_kafka_error_t *error = rd_kafka_init_transactions(b->producer, KAFKA_SLICE_MS);
		enum kafka_trouble t = kafka_trouble_of(rd_kafka_error_code(error));
		bool again = error != NULL && rd_kafka_error_is_retriable(error);

		if (t == KAFKA_FINE)
			return KAFKA_FINE;
		rd_kafka_poll(b->producer, 0);
		kafka_lease_keep(b);
		if (!again || clock_steady_ns() > deadline)
			kafka_fail(b, t, "transactional.id fast-path-%s: %s", b->engine,
			           rd_kafka_error_string(error));
		rd_kafka_error_destroy(error);
		if (kafka_over(b))
			return KAFKA_ENDING;
		if (!again)
			return t;
		if (clock_steady_ns() > deadline)
			return t == KAFKA_REFUSED ? t : KAFKA_AWAY;
	}
}

enum kafka_trouble kafka_open_producer(struct kafka_bridge *b)
{
	b->producer = create_producer(b);
	if (b->producer == NULL)
		return KAFKA_STOPPED;
	if (open_topics(b) < 0)
		return kafka_fail(b, KAFKA_BROKEN, "the producer's topics: %s",
		                  rd_kafka_err2str(rd_kafka_last_error()));
	atomic_store(&b->repartitioned, false);
	return init_transactions(b);
}

static void close_topic(rd_kafka_topic_t **t)
{
	if (*t != NULL)
		rd_kafka_topic_destroy(*t);
	*t = NULL;
}

void kafka_close(struct kafka_bridge *b)
{
	close_topic(&b->events);
	close_topic(&b->cursors);
	close_topic(&b->gaps);
	close_topic(&b->dead_letter);
	kafka_client_destroy(b->producer);
	kafka_client_destroy(b->plain);
	b->producer = b->plain = NULL;
}
