/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records put into 64 MiB of memory as fast as one processor can, without a packet around: the limit that the
 * data plane runs against. Prints events per second of processor time.
 *
 *	append_loop MODE PAYLOAD SECONDS CPU [FILE]
 *
 * memlog  memlog_append_burst and memlog_publish in bursts of 64; what is full is released unread
 * memcpy  memcpy of the same finished records into memory of the same kind
 * file    memcpy of them into a mapped FILE
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "journal/memlog.h"

#define REGION  (64u << 20)
#define KEYS    1000u
#define KEY_LEN 5u
#define BURST   64u

struct packet {
	struct event_source source;
	uint8_t key[KEY_LEN]; /* the payload follows */
	uint8_t payload[];
};

struct loop {
	uint32_t payload_len;
	double seconds;
	uint8_t *packets; /* one behind the other, as near as they can be */
	size_t packet_size;
	struct event_desc events[KEYS + BURST]; /* the first BURST stand at the end again */
	struct memlog memlog;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("sched_setaffinity");
}

/* other programs take wall time away */
static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *region(void)
{
	void *at = mmap(NULL, REGION, PROT_READ | PROT_WRITE,
	                MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);

	if (at == MAP_FAILED)
		at = mmap(NULL, REGION, PROT_READ | PROT_WRITE,
		          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static void *file_region(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	void *at;

	if (fd < 0 || posix_fallocate(fd, 0, REGION) != 0)
		die(path);
	at = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (at == MAP_FAILED)
		die("mmap");
	close(fd);
	return at;
}

static struct packet *packet(const struct loop *l, uint64_t event)
{
	return (struct packet *)(l->packets + event % KEYS * l->packet_size);
}

static struct event_desc describe(const struct loop *l, uint64_t event)
{
	struct packet *p = packet(l, event);

	return (struct event_desc){.source = &p->source,
	                           .key_offset = offsetof(struct packet, key),
	                           .key_len = KEY_LEN,
	                           .payload_offset = offsetof(struct packet, payload),
	                           .payload_len = (uint16_t)l->payload_len,
	                           .type = JOURNAL_EVENT};
}

static void make_packets(struct loop *l)
{
	l->packet_size = (sizeof(struct packet) + l->payload_len + 63) / 64 * 64;
	l->packets = calloc(KEYS, l->packet_size);
	if (l->packets == NULL)
		die("calloc");
	for (uint32_t i = 0; i < KEYS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "K%04u", i);
		memcpy(packet(l, i)->key, name, KEY_LEN);
		packet(l, i)->source.rx_time_ns = i;
		for (uint32_t j = 0; j < l->payload_len; j++)
			packet(l, i)->payload[j] = (uint8_t)('a' + (i + j) % 26);
	}
	for (uint32_t i = 0; i < KEYS + BURST; i++)
		l->events[i] = describe(l, i);
}

static void make_memlog(struct loop *l)
{
	static const uint8_t uuid[16] = {1};
	void *at = region();

	if (memlog_format(at, REGION, uuid, 0, 1, 1) < 0 || memlog_attach(&l->memlog, at) < 0)
		die("memlog");
}

/* all that is published, unread */
static void release(struct memlog *m)
{
	const uint8_t *at;
	size_t bytes;

	while ((bytes = memlog_read(m, REGION, &at)) > 0)
		memlog_consume(m, bytes);
	memlog_release(m);
}

static void append_burst(struct loop *l, uint64_t event)
{
	const struct event_desc *d = &l->events[event % KEYS];
	uint32_t done = 0;

	while ((done += memlog_append_burst(&l->memlog, d + done, BURST - done)) < BURST) {
		memlog_publish(&l->memlog, 0);
		release(&l->memlog);
	}
	memlog_publish(&l->memlog, 0);
}

/* returns events/s */
static double append_all(struct loop *l)
{
	uint64_t begin = now_ns(), events = 0, now = begin;

	while ((double)(now - begin) < l->seconds * 1e9) {
		for (uint32_t i = 0; i < 16; i++, events += BURST)
			append_burst(l, events);
		now = now_ns();
	}
	return (double)events * 1e9 / (double)(now - begin);
}

static double copy_all(struct loop *l, uint8_t *to)
{
	uint32_t size = journal_record_size(KEY_LEN, l->payload_len);
	uint64_t begin, events = 0, now;
	const uint8_t *records;
	size_t at = 0;

	make_memlog(l);
	for (uint32_t i = 0; i < KEYS; i++) {
		struct event_desc d = describe(l, i);

		memlog_append(&l->memlog, &d);
	}
	records = l->memlog.data;
	begin = now = now_ns();
	while ((double)(now - begin) < l->seconds * 1e9) {
		for (uint32_t i = 0; i < 1024; i++) {
			memcpy(to + at, records + (size_t)(events++ % KEYS) * size, size);
			at = at + 2 * size <= REGION ? at + size : 0;
			/* the copy is what is measured: it must happen */
			__asm__ volatile("" : : : "memory");
		}
		now = now_ns();
	}
	return (double)events * 1e9 / (double)(now - begin);
}

int main(int argc, char **argv)
{
	static struct loop l;
	double rate;

	if (argc < 5 || (argc < 6 && !strcmp(argv[1], "file"))) {
		fprintf(stderr,
		        "usage: append_loop memlog|memcpy|file PAYLOAD SECONDS CPU [FILE]\n");
		return 2;
	}
	l.payload_len = (uint32_t)strtoul(argv[2], NULL, 10);
	if (l.payload_len > EVENT_PAYLOAD_MAX) {
		fprintf(stderr, "append_loop: PAYLOAD is 0..%d\n", EVENT_PAYLOAD_MAX);
		return 2;
	}
	l.seconds = strtod(argv[3], NULL);
	pin((int)strtol(argv[4], NULL, 10));
	make_packets(&l);
	if (!strcmp(argv[1], "memcpy")) {
		rate = copy_all(&l, region());
	} else if (!strcmp(argv[1], "file")) {
		rate = copy_all(&l, file_region(argv[5]));
	} else {
		make_memlog(&l);
		rate = append_all(&l);
	}
	printf("%.0f\n", rate);
	return 0;
}
