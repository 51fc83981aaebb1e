/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal writer alone: from a memlog full of records to segment files.
 *
 *   journal_write DIR MIB none|group GROUP_KIB [SEGMENT_MIB [cut]]      (segments of 64 MiB)
 *
 * Writes MIB of records into a new journal DIR, in groups of GROUP_KIB, and prints one JSON object: seconds of
 * the writer's own steps (its caller appends between them, which is not counted), its CPU seconds, bytes and
 * records. With "cut" the journal is left as a kill leaves it, its last segment without a seal.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "journal/writer.h"

#define MEMLOG_MIB 64
#define KEY_LEN    8
#define PAYLOAD    64
#define KEYS       1000

struct timing {
	double seconds, cpu;
	uint64_t bytes, records;
};

static void die(const char *what)
{
	fprintf(stderr, "journal_write: %s\n", what);
	exit(1);
}

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_log(void *arg, int level, const char *line)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "journal_write: %s\n", line);
}

static void attach(struct memlog *m, const struct journal_dir *d)
{
	size_t bytes = (size_t)MEMLOG_MIB << 20;
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (base == MAP_FAILED || memlog_format(base, bytes, d->uuid, 0, 1, 1) < 0 ||
	    memlog_attach(m, base) < 0)
		die("no memory for the memlog");
}

/* about a group of records, as bursts would bring them */
static uint64_t append_group(struct memlog *m, uint64_t bytes)
{
	uint8_t key[KEY_LEN + 1], payload[PAYLOAD];
	struct journal_entry e = {.type = JOURNAL_EVENT,
	                          .feed = JOURNAL_FEED_HTTP,
	                          .key_len = KEY_LEN,
	                          .payload_len = PAYLOAD,
	                          .rx_time_ns = 1700000000000000000u,
	                          .key = key,
	                          .payload = payload};
	uint64_t done = 0;

	memset(payload, 'x', sizeof(payload));
	while (done + journal_record_size(KEY_LEN, PAYLOAD) <= bytes) {
		snprintf((char *)key, sizeof(key), "k%07u", (uint32_t)(m->next_seq % KEYS));
		if (memlog_append_entry(m, &e) == 0)
			die("the memlog is full, though everything was written");
		done += journal_record_size(KEY_LEN, PAYLOAD);
	}
	memlog_publish(m, 0);
	return done;
}

static void run(struct journal_writer *w, struct memlog *m, uint64_t bytes, uint64_t group,
                struct timing *t)
{
	while (t->bytes < bytes) {
		double begin, cpu;
		int n;

		t->bytes += append_group(m, group);
		begin = now(CLOCK_MONOTONIC);
		cpu = now(CLOCK_PROCESS_CPUTIME_ID);
		while ((n = journal_writer_step(w)) > 0)
			t->records += (uint64_t)n;
		t->seconds += now(CLOCK_MONOTONIC) - begin;
		t->cpu += now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
		if (n < 0)
			die(strerror(-n));
	}
}

int main(int argc, char **argv)
{
	char err[JOURNAL_ERROR_MAX];
	struct journal_writer_options o = {.io = &journal_io_system, .log = on_log};
	struct journal_writer *w;
	struct journal_dir d;
	struct memlog m;
	struct timing t = {0};

	if (argc < 5)
		die("use: journal_write DIR MIB none|group GROUP_KIB [SEGMENT_MIB [cut]]");
	o.sync = !strcmp(argv[3], "group") ? JOURNAL_SYNC_GROUP : JOURNAL_SYNC_NONE;
	o.group_bytes = (uint32_t)atol(argv[4]) << 10;
	o.segment_bytes = (uint64_t)atol(argc > 5 ? argv[5] : "64") << 20;
	if (journal_dir_open(&d, argv[1], JOURNAL_MAKE, err) < 0 ||
	    journal_dir_begin(&d, "bench", 1, err) < 0)
		die(err);
	attach(&m, &d);
	w = journal_writer_open(&d, &m, 0, 1, &o, err);
	if (w == NULL)
		die(err);
	run(w, &m, (uint64_t)atol(argv[2]) << 20, o.group_bytes, &t);
	printf("{\"seconds\": %.6f, \"cpu_seconds\": %.6f, \"bytes\": %" PRIu64
	       ", \"records\": %" PRIu64 "}\n",
	       t.seconds, t.cpu, t.bytes, t.records);
	fflush(stdout);
	if (argc > 6)
		_exit(0);
	if (journal_writer_close(w) < 0)
		die("the last segment could not be finished");
	memlog_detach(&m);
	journal_dir_close(&d);
	return 0;
}
