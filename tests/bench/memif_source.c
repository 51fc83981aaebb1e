/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A feed handler's network card at a steady rate, and a stopwatch: sends keyed datagrams one by one through
 * net_memif, each with the TSC of its sending in the payload, and watches the receiver's memlog for them.
 *
 *   memif_source [EAL options with one --vdev=net_memif0,role=client,...] -- MEMLOG RATE SECONDS
 *
 * MEMLOG: the file, by any path; records of one size that only this program causes. RATE: datagrams a second, at
 * most. Prints one JSON object: what was sent, refused by a full ring, lost, and how long it took from the
 * sending of each datagram until its record was published. Slots that pass while this program is held up are
 * skipped, so that its own pauses become no bursts; what was sent or published just then is not timed ("blind").
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "journal/memlog.h"
#include "metrics/histogram.h"

#define KEYS        1000
#define KEY_LEN     8
#define MESSAGE     64 /* key length, key, payload */
#define PAYLOAD     (MESSAGE - 1 - KEY_LEN)
#define HEADERS     (RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr))
#define STAMP       (HEADERS + 1 + KEY_LEN) /* of the payload in the frame */
#define BURST       32
#define WARM_UP_MS  200
#define LATE_US     20         /* behind by more: the slots are skipped */
#define BLIND_US    2          /* between two looks at the memlog */
#define WINDOW      (1u << 20) /* most datagrams on their way */
#define CHECK_EVERY 4096
#define LINK_MS     5000
#define SETTLE_MS   1000

struct link {
	uint16_t port;
	struct rte_mbuf *frame[KEYS]; /* sent again and again: net_memif copies */
};

struct watch {
	const struct memlog_header *header;
	const uint8_t *data;
	uint64_t record, per_lap; /* bytes of a record; records before the ring begins anew */
	uint64_t first;           /* records that were there before us */
	uint64_t seen;
	uint64_t last_look;
	uint64_t timed, blind, mismatched;
	uint64_t *stamp; /* of the last WINDOW datagrams */
	struct histogram *latency;
};

struct run {
	uint64_t before; /* sent to warm up */
	uint64_t sent;   /* that included */
	uint64_t refused, skipped;
	double seconds;
};

static uint64_t hz;

static void die(const char *what)
{
	fprintf(stderr, "memif_source: %s\n", what);
	exit(1);
}

static uint64_t ns_of(uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * 1000000000u / hz);
}

static void fill_headers(uint8_t *frame)
{
	struct rte_ether_hdr ether = {
	    .dst_addr.addr_bytes = {0x01, 0x00, 0x5e, 0x01, 0x01, 0x01},
	    .src_addr.addr_bytes = {0x02, 0, 0, 0, 0, 0x02},
	    .ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4),
	};
	struct rte_ipv4_hdr ip = {
	    .version_ihl = 0x45,
	    .total_length = rte_cpu_to_be_16(sizeof(struct rte_ipv4_hdr) +
	                                     sizeof(struct rte_udp_hdr) + MESSAGE),
	    .time_to_live = 1,
	    .next_proto_id = IPPROTO_UDP,
	    .src_addr = rte_cpu_to_be_32(RTE_IPV4(10, 99, 0, 2)),
	    .dst_addr = rte_cpu_to_be_32(RTE_IPV4(239, 1, 1, 1)),
	};
	/* no checksum (RFC 768): the payload changes with each sending */
	struct rte_udp_hdr udp = {
	    .src_port = rte_cpu_to_be_16(40000),
	    .dst_port = rte_cpu_to_be_16(9000),
	    .dgram_len = rte_cpu_to_be_16(sizeof(struct rte_udp_hdr) + MESSAGE),
	};

	ip.hdr_checksum = rte_ipv4_cksum(&ip);
	memcpy(frame, &ether, sizeof(ether));
	memcpy(frame + sizeof(ether), &ip, sizeof(ip));
	memcpy(frame + sizeof(ether) + sizeof(ip), &udp, sizeof(udp));
}

static void make_frames(struct link *l, struct rte_mempool *pool)
{
	for (uint32_t i = 0; i < KEYS; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		char key[KEY_LEN + 1];
		uint8_t *frame;

		if (m == NULL)
			die("no buffers");
		frame = (uint8_t *)rte_pktmbuf_append(m, HEADERS + MESSAGE);
		memset(frame, 'x', HEADERS + MESSAGE);
		fill_headers(frame);
		frame[HEADERS] = KEY_LEN;
		snprintf(key, sizeof(key), "k%07u", i % 10000000u);
		memcpy(frame + HEADERS + 1, key, KEY_LEN);
		l->frame[i] = m;
	}
}

static void open_link(struct link *l)
{
	struct rte_eth_conf conf = {0};
	struct rte_eth_link state = {0};
	struct rte_mempool *pool = rte_pktmbuf_pool_create("source", 4095, 0, 0, 512, 0);
	uint64_t deadline = rte_rdtsc() + hz / 1000 * LINK_MS;

	if (pool == NULL || rte_eth_dev_count_avail() != 1)
		die("give one --vdev=net_memif0,role=client,...");
	l->port = rte_eth_find_next(0);
	if (rte_eth_dev_configure(l->port, 1, 1, &conf) < 0 ||
	    rte_eth_rx_queue_setup(l->port, 0, 1024, 0, NULL, pool) < 0 ||
	    rte_eth_tx_queue_setup(l->port, 0, 1024, 0, NULL) < 0 || rte_eth_dev_start(l->port) < 0)
		die("the port cannot be started");
	make_frames(l, pool);
	while (state.link_status != RTE_ETH_LINK_UP) {
		if (rte_rdtsc() > deadline)
			die("nobody answers at the other end of the memif");
		rte_delay_us_sleep(1000);
		if (rte_eth_link_get_nowait(l->port, &state) < 0)
			die("the link's state cannot be read");
	}
}

static void open_watch(struct watch *w, const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	const uint8_t *base;

	if (fd < 0 || fstat(fd, &st) < 0)
		die("the memlog cannot be opened");
	base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		die("the memlog cannot be mapped");
	/* the heap that it was reserved in puts it behind its own header */
	for (off_t at = 0; w->header == NULL && at + MEMLOG_HEADER_SIZE < st.st_size; at += 4096)
		if (memlog_header_valid((const void *)(base + at)))
			w->header = (const void *)(base + at);
	if (w->header == NULL)
		die("the file holds no memlog");
	w->data = (const uint8_t *)w->header + MEMLOG_HEADER_SIZE;
	w->record = journal_record_size(KEY_LEN, PAYLOAD);
	w->per_lap = w->header->capacity / w->record;
	w->stamp = calloc(WINDOW, sizeof(*w->stamp));
	w->latency = calloc(1, sizeof(*w->latency));
	if (w->stamp == NULL || w->latency == NULL)
		die("no memory");
}

/* records before a position: all have one size, and padding ends each lap */
static uint64_t records_before(const struct watch *w, uint64_t position)
{
	uint64_t rest = position % w->header->capacity / w->record;

	return position / w->header->capacity * w->per_lap + RTE_MIN(rest, w->per_lap);
}

static uint64_t records_published(const struct watch *w)
{
	return records_before(w,
	                      atomic_load_explicit(&w->header->published, memory_order_acquire)) -
	       w->first;
}

/* the stopwatch is only as good as the order of the records */
static void check_record(struct watch *w, uint64_t index)
{
	const uint8_t *record = w->data + (w->first + index) % w->per_lap * w->record;
	uint64_t stamp;

	memcpy(&stamp, record + sizeof(struct journal_record) + KEY_LEN, sizeof(stamp));
	if (w->stamp[index & (WINDOW - 1)] != 0 && stamp != w->stamp[index & (WINDOW - 1)])
		w->mismatched++;
}

static void look(struct watch *w, bool record)
{
	uint64_t published = records_published(w), now = rte_rdtsc();
	bool blind = now - w->last_look > hz / 1000000 * BLIND_US;

	w->last_look = now;
	if (published == w->seen)
		return;
	for (uint64_t i = w->seen; record && i < published; i++) {
		uint64_t stamp = w->stamp[i & (WINDOW - 1)];

		if (blind || stamp == 0) {
			w->blind++;
		} else {
			w->timed++;
			histogram_record(w->latency, ns_of(now - stamp), 1);
		}
	}
	if (published / CHECK_EVERY != w->seen / CHECK_EVERY)
		check_record(w, published - 1);
	w->seen = published;
}

static void send_now(struct link *l, struct watch *w, struct run *r, uint16_t n)
{
	struct rte_mbuf *burst[BURST];
	uint64_t now = rte_rdtsc();
	uint16_t taken;

	for (uint16_t i = 0; i < n; i++) {
		burst[i] = l->frame[(r->sent + i) % KEYS];
		rte_mbuf_refcnt_set(burst[i], 2);
		memcpy(rte_pktmbuf_mtod_offset(burst[i], void *, STAMP), &now, sizeof(now));
		w->stamp[(r->sent + i) & (WINDOW - 1)] = now;
	}
	taken = rte_eth_tx_burst(l->port, 0, burst, n);
	/* held up between the stamp and the sending: the receiver is not to blame */
	if (rte_rdtsc() - now > hz / 1000000 * BLIND_US)
		for (uint16_t i = 0; i < taken; i++)
			w->stamp[(r->sent + i) & (WINDOW - 1)] = 0;
	r->sent += taken;
	r->refused += n - taken;
}

/* at most `rate` a second for `seconds` */
static void send_paced(struct link *l, struct watch *w, struct run *r, double rate, double seconds,
                       bool record)
{
	/* 20 bits behind the point: rates need not divide the TSC's */
	uint64_t interval = (uint64_t)((double)hz / rate * (1 << 20));
	uint64_t start = rte_rdtsc(), end = (uint64_t)(seconds * (double)hz), due = 0, passed;
	uint64_t late = (hz / 1000000 * LATE_US) << 20;

	while ((passed = rte_rdtsc() - start) < end) {
		uint16_t n = 0;

		if (due + late < passed << 20) {
			uint64_t slots = ((passed << 20) - due) / interval;

			r->skipped += slots;
			due += slots * interval;
		}
		for (; n < BURST && due <= passed << 20; n++)
			due += interval;
		if (n > 0)
			send_now(l, w, r, n);
		look(w, record);
	}
	r->seconds = (double)(rte_rdtsc() - start) / (double)hz;
}

static void settle(struct watch *w, const struct run *r)
{
	uint64_t deadline = rte_rdtsc() + hz / 1000 * SETTLE_MS;

	while (w->seen < r->sent && rte_rdtsc() < deadline)
		look(w, true);
}

static void print_histogram(const struct histogram_snapshot *s)
{
	double bound = 100;
	uint64_t before = 0;

	printf("\"histogram\": [");
	for (const char *comma = ""; before < s->total; bound *= 1.1) {
		uint64_t below = histogram_count_below(s, (uint64_t)bound);

		if (below > before) {
			printf("%s[%.3f, %" PRIu64 "]", comma, bound / 1000, below - before);
			comma = ", ";
		}
		before = below;
	}
	printf("]");
}

static void print(const struct watch *w, const struct run *r)
{
	static const double quantile[] = {0.5, 0.99, 0.999, 1};
	static const char *const name[] = {"p50", "p99", "p999", "max"};
	struct histogram_snapshot *s = calloc(1, sizeof(*s));

	if (s == NULL)
		die("no memory");
	histogram_add(s, w->latency);
	printf("{\"sent\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"skipped\": %" PRIu64
	       ", \"lost\": %" PRIu64 ", \"timed\": %" PRIu64 ", \"blind\": %" PRIu64
	       ", \"mismatched\": %" PRIu64 ", \"seconds\": %.6f, ",
	       r->sent - r->before, r->refused, r->skipped, r->sent - w->seen, w->timed, w->blind,
	       w->mismatched, r->seconds);
	for (size_t i = 0; i < RTE_DIM(name); i++)
		printf("\"%s_us\": %.3f, ", name[i],
		       (double)(i == 3 ? s->max : histogram_quantile(s, quantile[i])) / 1000);
	print_histogram(s);
	printf("}\n");
	free(s);
}

int main(int argc, char **argv)
{
	static struct link link;
	static struct watch watch;
	struct run warm_up = {0}, run;
	int eal = rte_eal_init(argc, argv);
	double rate, seconds;

	if (eal < 0)
		die("rte_eal_init failed");
	argc -= eal;
	argv += eal;
	if (argc != 4 || (rate = atof(argv[2])) < 1 || (seconds = atof(argv[3])) <= 0)
		die("use: memif_source EAL-OPTIONS -- MEMLOG RATE SECONDS");
	hz = rte_get_tsc_hz();
	open_watch(&watch, argv[1]);
	open_link(&link);
	watch.first = records_published(&watch);
	send_paced(&link, &watch, &warm_up, rate, WARM_UP_MS / 1000.0, false);
	run = (struct run){.before = warm_up.sent, .sent = warm_up.sent};
	send_paced(&link, &watch, &run, rate, seconds, true);
	settle(&watch, &run);
	print(&watch, &run);
	rte_eth_dev_stop(link.port);
	rte_eth_dev_close(link.port);
	rte_eal_cleanup();
	return 0;
}
