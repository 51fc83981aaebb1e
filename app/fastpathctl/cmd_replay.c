/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fastpathctl replay: ranges of a journal to another topic. It goes through the same reader and the
 * same message as the bridge, but never near its cursors; idempotent, in order per key.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "journal/reader.h"
#include "journal/segment.h"
#include "journal/spans.h"
#include "kafka/client.h"
#include "kafka/message.h"
#include "time_argument.h"

#define POLL_EVERY  1024
#define FULL_MS     50
#define FLUSH_MS    500
#define PATIENCE_S  60 /* without any progress */
#define BAR_WIDTH   30
#define BAR_EVERY_S 0.2

static const char usage[] =
    "fastpathctl replay DIR --topic TOPIC [options]\n"
    "  --bootstrap SERVERS   brokers (localhost:9092)\n"
    "  --config-file FILE    librdkafka properties, as KAFKA_CONFIG_FILE\n"
    "  --from-seq N          first sequence number of each shard\n"
    "  --to-seq N            last one\n"
    "  --since TIME          received at or after, RFC 3339 or seconds since the epoch\n"
    "  --until TIME          received before\n"
    "  --key KEY             only this key\n"
    "  --shard N             only this shard\n"
    "Cursors are not read and not written. Exit status 1: some records did not arrive.\n";

struct replay {
	const char *path, *topic, *bootstrap, *config_file, *key;
	size_t key_len;
	uint64_t from_seq, to_seq, since, until;
	long shard; /* -1: all */
	struct journal_dir dir;
	struct journal_spans spans;
	struct kafka_properties *properties;
	rd_kafka_t *rk;
	rd_kafka_topic_t *to;
	uint64_t sent, failed, done_bytes, all_bytes;
	rd_kafka_resp_err_t error; /* the first one */
	double bar_s;
	bool bar;
};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct replay *r = opaque;

	(void)rk;
	if (m->err == 0)
		return;
	r->failed++;
	if (r->error == 0)
		r->error = m->err;
}

static void draw(struct replay *r, bool last)
{
	char full[BAR_WIDTH + 1] = "";
	double part = r->all_bytes > 0 ? (double)r->done_bytes / (double)r->all_bytes : 1;
	int width = (int)((last || part > 1 ? 1 : part) * BAR_WIDTH);

	if (!r->bar || (!last && now_s() - r->bar_s < BAR_EVERY_S))
		return;
	r->bar_s = now_s();
	memset(full, '#', (size_t)width);
	fprintf(stderr, "\r\033[Kreplay       [%-*s] %3d %%  %" PRIu64 " events%s", BAR_WIDTH, full,
	        width * 100 / BAR_WIDTH, r->sent, last ? "\n" : "");
}

static bool wanted(const struct replay *r, const struct journal_record *j)
{
	return j->type == JOURNAL_EVENT && j->rx_time_ns >= r->since && j->rx_time_ns < r->until &&
	       (r->key == NULL || (j->key_len == r->key_len &&
	                           memcmp(journal_record_key(j), r->key, r->key_len) == 0));
}

static int fail_kafka(const char *what, rd_kafka_resp_err_t err)
{
	fprintf(stderr, "fastpathctl: %s: %s\n", what, rd_kafka_err2str(err));
	return EXIT_FOUND;
}

static int send_record(struct replay *r, uint32_t shard, const struct journal_record *j)
{
	const char *feed = journal_dir_feed_name(&r->dir, j->feed);
	const struct kafka_origin from = {
	    .engine = journal_spans_engine(&r->spans, shard, j->seq, r->dir.engine),
	    .feed = feed != NULL ? feed : "",
	    .shard = shard};
	double deadline = now_s() + PATIENCE_S;

	for (;;) {
		rd_kafka_resp_err_t err =
		    kafka_message_produce(r->rk, r->to, &from, j, j->payload_len, NULL);

		if (err == 0) {
			r->sent++;
			return 0;
		}
		if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL || r->error != 0 || now_s() > deadline)
			return fail_kafka(r->topic, r->error != 0 ? r->error : err);
		rd_kafka_poll(r->rk, FULL_MS);
	}
}

static int replay_shard(struct replay *r, uint32_t shard)
{
	char err[JOURNAL_ERROR_MAX];
	struct journal_reader *reader = journal_reader_open(&r->dir, shard, r->from_seq, err);
	const struct journal_record *j;
	int result = 1, status = 0;

	if (reader == NULL)
		return usage_error("%s", err);
	for (uint64_t n = 0; status == 0 && (result = journal_reader_next(reader, &j)) == 1; n++) {
		if (j->seq > r->to_seq)
			break;
		r->done_bytes += j->length;
		if (wanted(r, j))
			status = send_record(r, shard, j);
		if (n % POLL_EVERY == 0) {
			rd_kafka_poll(r->rk, 0);
			draw(r, false);
		}
	}
	if (status == 0 && result < 0) {
		fprintf(stderr, "fastpathctl: %s\n", journal_reader_error(reader));
		status = EXIT_FOUND;
	}
	journal_reader_close(reader);
	return status;
}

/* all that is queued, as long as the queue gets shorter */
static int flush(struct replay *r)
{
	int left = rd_kafka_outq_len(r->rk);
	double deadline = now_s() + PATIENCE_S;

	while (left > 0 && now_s() < deadline && r->error == 0) {
		int before = left;

		rd_kafka_flush(r->rk, FLUSH_MS);
		left = rd_kafka_outq_len(r->rk);
		if (left < before)
			deadline = now_s() + PATIENCE_S;
	}
	if (r->error != 0)
		return fail_kafka(r->topic, r->error);
	if (left > 0)
		return fail_kafka(r->topic, RD_KAFKA_RESP_ERR__TIMED_OUT);
	return 0;
}

static int replay_all(struct replay *r)
{
	bool has[JOURNAL_SHARDS_MAX] = {false};
	struct segment_list l;
	int ret = segment_list_read(&r->dir, &l), status = 0;

	for (size_t i = 0; ret == 0 && i < l.count; i++) {
		has[l.item[i].shard] = r->shard < 0 || r->shard == (long)l.item[i].shard;
		r->all_bytes += has[l.item[i].shard] ? l.item[i].size : 0;
	}
	segment_list_free(&l);
	if (ret < 0)
		return usage_error("cannot list %s: %s; check permissions", r->path,
		                   strerror(-ret));
	for (uint32_t i = 0; status == 0 && i < JOURNAL_SHARDS_MAX; i++)
		if (has[i])
			status = replay_shard(r, i);
	if (status == 0)
		status = flush(r);
	draw(r, true);
	return status;
}

static int connect_kafka(struct replay *r)
{
	static const struct kafka_setting defaults[] = {
	    {"compression.type", "lz4"}, {"message.max.bytes", "10000000"}, {NULL, NULL}};
	static const struct kafka_setting fixed[] = {{"enable.idempotence", "true"},
	                                             {"acks", "all"},
	                                             {"message.timeout.ms", "60000"},
	                                             {"partitioner", KAFKA_PARTITIONER},
	                                             {NULL, NULL}};
	struct kafka_client_options o = {.type = RD_KAFKA_PRODUCER,
	                                 .bootstrap_servers = r->bootstrap,
	                                 .defaults = defaults,
	                                 .fixed = fixed,
	                                 .delivered = on_delivered,
	                                 .opaque = r};
	char err[KAFKA_ERROR_MAX];

	if (kafka_properties_read(&r->properties, r->config_file, err) < 0)
		return usage_error("%s", err);
	o.properties = r->properties;
	r->rk = kafka_client_create(&o, err);
	if (r->rk == NULL)
		return usage_error("%s", err);
	r->to = rd_kafka_topic_new(r->rk, r->topic, NULL);
	if (r->to == NULL)
		return usage_error("topic %s: %s", r->topic,
		                   rd_kafka_err2str(rd_kafka_last_error()));
	return 0;
}

static int run(struct replay *r)
{
	char err[JOURNAL_ERROR_MAX];
	int status;

	if (journal_dir_open(&r->dir, r->path, JOURNAL_READ, err) < 0)
		return usage_error("%s", err);
	if (journal_spans_read(&r->spans, &r->dir, err) < 0)
		status = usage_error("%s", err);
	else
		status = connect_kafka(r);
	if (status == 0)
		status = replay_all(r);
	if (status == 0)
		printf("%" PRIu64 " events sent to %s\n", r->sent, r->topic);
	if (r->to != NULL)
		rd_kafka_topic_destroy(r->to);
	kafka_client_destroy(r->rk);
	kafka_properties_free(r->properties);
	journal_spans_free(&r->spans);
	journal_dir_close(&r->dir);
	return status;
}

static const struct option options[] = {
    {"topic", required_argument, NULL, 't'},
    {"bootstrap", required_argument, NULL, 'b'},
    {"config-file", required_argument, NULL, 'c'},
    {"from-seq", required_argument, NULL, 'q'},
    {"to-seq", required_argument, NULL, 'Q'},
    {"since", required_argument, NULL, 's'},
    {"until", required_argument, NULL, 'u'},
    {"key", required_argument, NULL, 'k'},
    {"shard", required_argument, NULL, 'n'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int parse_number(const char *name, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(optarg, &end, 10);
	if (optarg[0] < '0' || optarg[0] > '9' || *end || errno || *out > max)
		return usage_error("replay: --%s wants a number from 0 to %" PRIu64 ", not '%s'",
		                   name, max, optarg);
	return 0;
}

static int parse_time(const char *name, uint64_t *out)
{
	if (time_argument(optarg, out))
		return 0;
	return usage_error("replay: --%s wants a time such as 2026-01-31T09:00:00Z or seconds "
	                   "since the epoch, not '%s'",
	                   name, optarg);
}

static int take_option(struct replay *r, int option, const char *name)
{
	uint64_t number;
	int status;

	switch (option) {
	case 't':
		r->topic = optarg;
		return 0;
	case 'b':
		r->bootstrap = optarg;
		return 0;
	case 'c':
		r->config_file = optarg;
		return 0;
	case 'q':
		return parse_number(name, UINT64_MAX - 1, &r->from_seq);
	case 'Q':
		return parse_number(name, UINT64_MAX - 1, &r->to_seq);
	case 's':
		return parse_time(name, &r->since);
	case 'u':
		return parse_time(name, &r->until);
	case 'k':
		r->key = optarg;
		r->key_len = strlen(optarg);
		return 0;
	default:
		status = parse_number(name, JOURNAL_SHARDS_MAX - 1, &number);
		r->shard = (long)number;
		return status;
	}
}

/* Returns 0, the exit status, or -1 when help was printed */
static int parse(struct replay *r, int argc, char **argv)
{
	int option, index = 0, status = 0;

	opterr = 0;
	while (status == 0 && (option = getopt_long(argc, argv, ":", options, &index)) >= 0) {
		if (option == 'h') {
			fputs(usage, stdout);
			return -1;
		}
		if (option == '?' || option == ':')
			return usage_error("replay: %s '%s'; see replay --help",
			                   option == ':' ? "no value for" : "unknown option",
			                   argv[optind - 1]);
		status = take_option(r, option, options[index].name);
	}
	if (status == 0 && argc - optind != 1)
		return usage_error("replay: give one directory; see replay --help");
	if (status == 0 && r->topic == NULL)
		return usage_error("replay: --topic is missing: name the topic to send to");
	r->path = argv[optind];
	return status;
}

int cmd_replay(int argc, char **argv)
{
	static struct replay r; /* a directory's tables are too much for a stack */
	int status;

	r = (struct replay){.bootstrap = "localhost:9092",
	                    .config_file = "",
	                    .to_seq = UINT64_MAX,
	                    .until = UINT64_MAX,
	                    .shard = -1,
	                    .bar = isatty(STDERR_FILENO)};
	status = parse(&r, argc, argv);
	if (status != 0)
		return status < 0 ? 0 : status;
	return run(&r);
}
