/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bare librdkafka producer, the peer of the Kafka bridge's catch-up: the same headers, acks,
 * compression, partitioner and transaction size, with nothing to read and no cursor to write.
 *
 *   kafka_producer BOOTSTRAP TOPIC EVENTS TRANSACTION_EVENTS PAYLOAD_BYTES KEYS
 *
 * Prints a line with each commit: the seconds since the first event, and the events on the topic.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <librdkafka/rdkafka.h>

#define CALL_MS 30000

static void die(const char *what, const char *why)
{
	fprintf(stderr, "kafka_producer: %s: %s\n", what, why);
	exit(1);
}

static void check(const char *what, rd_kafka_error_t *error)
{
	if (error != NULL)
		die(what, rd_kafka_error_string(error));
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static rd_kafka_t *create(const char *bootstrap)
{
	static const char *const setting[][2] = {{"transactional.id", "bare"},
	                                         {"enable.idempotence", "true"},
	                                         {"acks", "all"},
	                                         {"transaction.timeout.ms", "10000"},
	                                         {"compression.type", "lz4"},
	                                         {"linger.ms", "5"},
	                                         {"batch.num.messages", "100000"},
	                                         {"partitioner", "murmur2_random"},
	                                         {"queue.buffering.max.messages", "2000000"},
	                                         {"queue.buffering.max.kbytes", "131072"}};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[256];
	rd_kafka_t *rk;

	for (size_t i = 0; i < sizeof(setting) / sizeof(setting[0]); i++)
		if (rd_kafka_conf_set(conf, setting[i][0], setting[i][1], why, sizeof(why)) != 0)
			die("setting", why);
	if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, why, sizeof(why)) != 0)
		die("setting", why);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (rk == NULL)
		die("producer", why);
	return rk;
}

static rd_kafka_headers_t *headers(unsigned long seq)
{
	rd_kafka_headers_t *h = rd_kafka_headers_new(7);
	char text[24];
	int len = snprintf(text, sizeof(text), "%lu", seq);

	rd_kafka_header_add(h, "engine", 6, "e1", 2);
	rd_kafka_header_add(h, "shard", 5, "0", 1);
	rd_kafka_header_add(h, "seq", 3, text, len);
	rd_kafka_header_add(h, "feed", 4, "ticks", 5);
	rd_kafka_header_add(h, "session", 7, "", 0);
	rd_kafka_header_add(h, "feed_seq", 8, "0", 1);
	rd_kafka_header_add(h, "rx_time_ns", 10, "1795371253839086499", 19);
	return h;
}

static void send_one(rd_kafka_t *rk, rd_kafka_topic_t *topic, unsigned long seq, unsigned long keys,
                     char *payload, size_t payload_len)
{
	char key[24];
	int len = snprintf(key, sizeof(key), "K%04lu", seq % keys);
	rd_kafka_vu_t v[] = {
	    {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
	    {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {.ptr = key, .size = (size_t)len}},
	    {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = payload, .size = payload_len}},
	    {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
	    {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = 1795371253839},
	    {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers(seq)},
	};

	snprintf(payload, payload_len, "%lu:%lu:", seq % keys, seq);
	check("produce", rd_kafka_produceva(rk, v, sizeof(v) / sizeof(v[0])));
}

int main(int argc, char **argv)
{
	if (argc != 7)
		die("usage", "BOOTSTRAP TOPIC EVENTS TRANSACTION_EVENTS PAYLOAD_BYTES KEYS");
	unsigned long events = strtoul(argv[3], NULL, 10), most = strtoul(argv[4], NULL, 10);
	size_t payload_len = strtoul(argv[5], NULL, 10);
	unsigned long keys = strtoul(argv[6], NULL, 10);
	char *payload = malloc(payload_len + 64);
	rd_kafka_t *rk = create(argv[1]);
	rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, argv[2], NULL);
	double start;

	if (payload == NULL || topic == NULL || most == 0 || keys == 0)
		die("arguments", "they cannot be used");
	memset(payload, 'x', payload_len + 64);
	check("init_transactions", rd_kafka_init_transactions(rk, CALL_MS));
	start = now_s();
	for (unsigned long seq = 0; seq < events; seq++) {
		if (seq % most == 0)
			check("begin", rd_kafka_begin_transaction(rk));
		send_one(rk, topic, seq, keys, payload, payload_len);
		if ((seq + 1) % most == 0 || seq + 1 == events) {
			check("commit", rd_kafka_commit_transaction(rk, CALL_MS));
			printf("%.3f %lu\n", now_s() - start, seq + 1);
		}
	}
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(rk);
	free(payload);
	return 0;
}
