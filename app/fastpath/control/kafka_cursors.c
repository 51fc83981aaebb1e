/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cursor topic. Keys: "<engine>/<journal>/<shard>" for how far Kafka has a shard, "<engine>"
 * for the instance (journal) that holds the engine id, "@partitions" for the event topic's number
 * of partitions when cursors began. Values are JSON.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "control/kafka_internal.h"

#define PARTITIONS_KEY "@partitions"
#define LONG_NS        (60 * CLOCK_NS_PER_S) /* compaction may leave a long topic to read */

static void take_cursor(struct kafka_cursors *out, const char *shard_text, json_t *value)
{
	char *end;
	unsigned long shard = strtoul(shard_text, &end, 10);
	json_t *seq = json_object_get(value, "seq");

	if (*end != '\0' || end == shard_text || shard >= JOURNAL_SHARDS_MAX)
		return;
	out->known[shard] = json_is_integer(seq) && json_integer_value(seq) >= 0;
	out->seq[shard] = out->known[shard] ? (uint64_t)json_integer_value(seq) : 0;
}

static void take_claim(struct kafka_cursors *out, json_t *value)
{
	const char *instance = json_string_value(json_object_get(value, "instance"));

	snprintf(out->claim, sizeof(out->claim), "%s", instance != NULL ? instance : "");
	out->claim_released = json_is_true(json_object_get(value, "released"));
}

static void take(const struct kafka_bridge *b, struct kafka_cursors *out,
                 const rd_kafka_message_t *m)
{
	char key[256], ours[192];
	size_t len;
	json_t *value;

	if (m->key == NULL || m->key_len >= sizeof(key))
		return;
	memcpy(key, m->key, m->key_len);
	key[m->key_len] = '\0';
	len = (size_t)snprintf(ours, sizeof(ours), "%s/%s/", b->engine, b->dir->uuid_text);
	value = m->payload != NULL ? json_loadb(m->payload, m->len, 0, NULL) : NULL;
	if (strcmp(key, PARTITIONS_KEY) == 0)
		out->partitions = (int32_t)json_integer_value(json_object_get(value, "partitions"));
	else if (strcmp(key, b->engine) == 0)
		take_claim(out, value);
	else if (strncmp(key, ours, len) == 0)
		take_cursor(out, key + len, value);
	json_decref(value);
}

/* everything committed before `end`, the partition's end when we began */
static enum kafka_trouble read_until(struct kafka_bridge *b, rd_kafka_topic_t *t, int64_t end,
                                     struct kafka_cursors *out)
{
	uint64_t deadline = clock_steady_ns() + LONG_NS;

	while (!kafka_over(b)) {
		rd_kafka_message_t *m = rd_kafka_consume(t, 0, KAFKA_SLICE_MS);
		rd_kafka_resp_err_t err = m != NULL ? m->err : RD_KAFKA_RESP_ERR__TIMED_OUT;
		int64_t offset = m != NULL ? m->offset : -1;

		kafka_lease_keep(b);
		if (err == 0)
			take(b, out, m);
		if (m != NULL)
			rd_kafka_message_destroy(m);
		if (err == 0 && offset + 1 >= end)
			return KAFKA_FINE;
		/* an open transaction of another engine may stand before the end: wait for it */
		if (err == RD_KAFKA_RESP_ERR__PARTITION_EOF && offset >= end)
			return KAFKA_FINE;
		if (err != 0 && err != RD_KAFKA_RESP_ERR__PARTITION_EOF &&
		    kafka_trouble_of(err) != KAFKA_AWAY)
			return kafka_fail(b, kafka_trouble_of(err), "topic %s: %s",
			                  b->topic.cursors, rd_kafka_err2str(err));
		if (clock_steady_ns() > deadline)
			return kafka_fail(b, KAFKA_AWAY,
			                  "topic %s cannot be read to its end at offset %" PRId64,
			                  b->topic.cursors, end);
	}
	return KAFKA_ENDING;
}

static enum kafka_trouble consume(struct kafka_bridge *b, int64_t end, struct kafka_cursors *out)
{
	rd_kafka_t *reader;
	enum kafka_trouble trouble = kafka_open_reader(b, &reader);
	rd_kafka_topic_t *t;

	if (trouble != KAFKA_FINE)
		return trouble;
	t = rd_kafka_topic_new(reader, b->topic.cursors, NULL);
	if (t == NULL || rd_kafka_consume_start(t, 0, RD_KAFKA_OFFSET_BEGINNING) != 0)
		trouble = kafka_fail(b, KAFKA_BROKEN, "topic %s: %s", b->topic.cursors,
		                     rd_kafka_err2str(rd_kafka_last_error()));
	else {
		trouble = read_until(b, t, end, out);
		rd_kafka_consume_stop(t, 0);
	}
	if (t != NULL)
		rd_kafka_topic_destroy(t);
	rd_kafka_poll(reader, 0);
	kafka_client_destroy(reader);
	return trouble;
}

enum kafka_trouble kafka_cursors_read(struct kafka_bridge *b, struct kafka_cursors *out)
{
	uint64_t deadline = clock_steady_ns() + KAFKA_STEP_NS;
	rd_kafka_resp_err_t err;
	int64_t low = 0, high = 0;

	*out = (struct kafka_cursors){0};
	do {
		err = rd_kafka_query_watermark_offsets(b->plain, b->topic.cursors, 0, &low, &high,
		                                       KAFKA_SLICE_MS);
		rd_kafka_poll(b->plain, 0);
	} while (err != 0 && kafka_trouble_of(err) == KAFKA_AWAY && !kafka_over(b) &&
	         clock_steady_ns() < deadline);
	if (kafka_over(b))
		return KAFKA_ENDING;
	if (err != 0)
		return kafka_fail(b, kafka_trouble_of(err), "the end of topic %s: %s",
		                  b->topic.cursors, rd_kafka_err2str(err));
	return high > low ? consume(b, high, out) : KAFKA_FINE;
}

static enum kafka_trouble send_value(struct kafka_bridge *b, const char *key, json_t *value)
{
	char *text = value != NULL ? json_dumps(value, JSON_COMPACT) : NULL;
	enum kafka_trouble t = text != NULL ? kafka_produce(b, b->cursors, key, text)
	                                    : kafka_fail(b, KAFKA_BROKEN, "no memory for a cursor");

	json_decref(value);
	free(text);
	return t;
}

enum kafka_trouble kafka_cursor_send(struct kafka_bridge *b, uint32_t shard, uint64_t seq)
{
	char key[192];

	snprintf(key, sizeof(key), "%s/%s/%u", b->engine, b->dir->uuid_text, shard);
	return send_value(b, key,
	                  json_pack("{s:s, s:s, s:i, s:I}", "engine", b->engine, "journal",
	                            b->dir->uuid_text, "shard", (int)shard, "seq",
	                            (json_int_t)seq));
}

enum kafka_trouble kafka_claim_send(struct kafka_bridge *b, bool released)
{
	return send_value(b, b->engine,
	                  json_pack("{s:s, s:I, s:b}", "instance", b->dir->uuid_text, "time",
	                            (json_int_t)clock_realtime_ns(), "released", (int)released));
}

enum kafka_trouble kafka_partitions_send(struct kafka_bridge *b)
{
	return send_value(b, PARTITIONS_KEY, json_pack("{s:i}", "partitions", (int)b->partitions));
}
