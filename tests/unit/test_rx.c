/* SPDX-License-Identifier: Apache-2.0 */
/* the RX task on frames that no device made: offload flags, stripped tags, what becomes of every buffer */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_udp.h>

#include "clock.h"
#include "dataplane/rx.h"
#include "event/event.h"

#define POOL_SIZE 1023
#define RING_SIZE 8

static struct rte_mempool *pool;
static struct rx_task *task;
static struct port port;
static struct rx_feed feeds[2];
static struct clock_line line;
static struct rte_mbuf *waiting[RX_BURST_MAX];
static uint16_t waiting_count;

static uint16_t fake_burst(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	uint16_t count = RTE_MIN(n, waiting_count);

	(void)queue;
	memcpy(mbufs, waiting, count * sizeof(mbufs[0]));
	waiting_count -= count;
	memmove(waiting, waiting + count, waiting_count * sizeof(waiting[0]));
	return count;
}

static void make_port(void)
{
	static void *queue[1], *callbacks[1];
	static const struct net_group group[] = {
	    {.family = AF_INET, .address = {239, 1, 1, 1}, .udp_port = 9000, .feed = 0},
	    {.family = AF_INET, .address = {239, 1, 1, 1}, .udp_port = 9001, .feed = 1}};

	rte_eth_fp_ops[0].rx_pkt_burst = fake_burst;
	rte_eth_fp_ops[0].rxq.data = queue;
	rte_eth_fp_ops[0].rxq.clbk = callbacks;
	port =
	    (struct port){.id = 0, .queues = 1, .groups = net_groups_create(group, RTE_DIM(group))};
}

/* every key is ours */
const struct ownership_keyset *ownership_keys(const struct ownership *o)
{
	(void)o;
	return NULL;
}

static void set_up(void)
{
	make_port();
	for (uint16_t i = 0; i < RTE_DIM(feeds); i++) {
		ck_assert_int_eq(feed_codec_init(&feeds[i].codec, FEED_CODEC_KEYED, NULL, 0), 0);
		feeds[i].journal_id = (uint16_t)(10 + i);
	}
	clock_line_init(&line, rte_get_tsc_hz(), rte_rdtsc(), clock_realtime_ns());
	task = rte_zmalloc("rx", sizeof(*task), 64);
	task->burst = 32;
	task->queue_count = 1;
	task->queue[0] = (struct rx_queue){.port = &port};
	task->feeds = feeds;
	task->tsc_line = &line;
	task->worker_count = 1;
	task->stage = rte_zmalloc("stage", sizeof(*task->stage), 64);
	task->feed_counters =
	    rte_zmalloc("feeds", RTE_DIM(feeds) * sizeof(*task->feed_counters), 64);
	task->publish = rte_zmalloc("publish", sizeof(*task->publish), 64);
	task->desc = rte_zmalloc("desc", RX_BURST_MAX * sizeof(*task->desc), 64);
	struct rte_ring *ring =
	    rte_ring_create_elem("ring", sizeof(struct event_desc), RING_SIZE, SOCKET_ID_ANY,
	                         RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
	ck_assert_ptr_nonnull(ring);
	rx_wire(task, 0, ring, NULL);
}

/* every buffer is in the pool again */
static void tear_down(void)
{
	struct event_desc d;

	while (rte_ring_sc_dequeue_elem(task->stage->ring, &d, sizeof(d)) == 0)
		rte_pktmbuf_free(RTE_PTR_SUB(d.source, sizeof(struct rte_mbuf)));
	ck_assert_uint_eq(rte_mempool_in_use_count(pool), 0);
	rte_ring_free(task->stage->ring);
	rte_free(task->stage);
	rte_free(task->desc);
	rte_free(task->feed_counters);
	rte_free(task->publish);
	rte_free(task);
	net_groups_free(port.groups);
}

/* Ethernet, IPv4, UDP to 239.1.1.1:9000, a keyed message; its UDP checksum is wrong, its IP checksum right */
static struct rte_mbuf *frame(uint64_t flags)
{
	static const uint8_t message[] = {3, 'B', 'T', 'C', 'x'};
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct rte_ether_hdr *eth = (void *)rte_pktmbuf_append(m, sizeof(*eth));
	struct rte_ipv4_hdr *ip = (void *)rte_pktmbuf_append(m, sizeof(*ip));
	struct rte_udp_hdr *udp = (void *)rte_pktmbuf_append(m, sizeof(*udp));

	memset(eth, 0, sizeof(*eth));
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	*ip = (struct rte_ipv4_hdr){
	    .version_ihl = RTE_IPV4_VHL_DEF,
	    .total_length = rte_cpu_to_be_16(sizeof(*ip) + sizeof(*udp) + sizeof(message)),
	    .time_to_live = 1,
	    .next_proto_id = IPPROTO_UDP,
	    .dst_addr = rte_cpu_to_be_32(0xef010101),
	};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	*udp = (struct rte_udp_hdr){
	    .dst_port = rte_cpu_to_be_16(9000),
	    .dgram_len = rte_cpu_to_be_16(sizeof(*udp) + sizeof(message)),
	    .dgram_cksum = rte_cpu_to_be_16(0x1234),
	};
	memcpy(rte_pktmbuf_append(m, sizeof(message)), message, sizeof(message));
	m->ol_flags = flags;
	return m;
}

static uint64_t filtered(enum reason reason)
{
	return counter_read(&task->queue[0].reason[reason]);
}

START_TEST(flags_of_the_device_are_believed)
{
	static const struct {
		uint64_t flags;
		bool good;
	} cases[] = {
	    {RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN, false},
	    {RTE_MBUF_F_RX_L4_CKSUM_BAD, false},
	    {RTE_MBUF_F_RX_L4_CKSUM_GOOD, true},
	    /* unfinished in the packet, its data known to be whole: a virtual machine next door sent it */
	    {RTE_MBUF_F_RX_L4_CKSUM_NONE, true},
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		uint64_t bad = filtered(REASON_BAD_CHECKSUM);
		uint64_t decoded = counter_read(&task->queue[0].decoded);

		waiting[waiting_count++] = frame(cases[i].flags);
		ck_assert_uint_eq(rx_poll(task), 1);
		ck_assert_uint_eq(filtered(REASON_BAD_CHECKSUM) - bad, !cases[i].good);
		ck_assert_uint_eq(counter_read(&task->queue[0].decoded) - decoded, cases[i].good);
	}
	port.trust_checksums = true;
	waiting[waiting_count++] = frame(RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN);
	ck_assert_uint_eq(rx_poll(task), 1);
	ck_assert_uint_eq(counter_read(&task->queue[0].decoded), 3);
}
END_TEST

START_TEST(a_stripped_tag_counts)
{
	static const struct net_group group = {
	    .family = AF_INET, .address = {239, 1, 1, 1}, .udp_port = 9000, .vlan = 7};

	net_groups_free(port.groups);
	port.groups = net_groups_create(&group, 1);
	for (uint16_t tag = 6; tag <= 8; tag++) {
		struct rte_mbuf *m = frame(RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_VLAN |
		                           RTE_MBUF_F_RX_VLAN_STRIPPED);

		m->vlan_tci = (uint16_t)(5 << 13 | tag);
		waiting[waiting_count++] = m;
	}
	ck_assert_uint_eq(rx_poll(task), 3);
	ck_assert_uint_eq(counter_read(&task->queue[0].decoded), 1);
	ck_assert_uint_eq(filtered(REASON_UNKNOWN_GROUP), 2);
}
END_TEST

/* what nothing has been found of yet must not look like what no group can be: before the first hit, and on a port whose
 * groups all name a VLAN */
START_TEST(a_frame_to_nobody_is_no_feeds)
{
	struct rte_mbuf *m = frame(RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	struct rte_ipv4_hdr *ip =
	    rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, sizeof(struct rte_ether_hdr));
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

	ip->dst_addr = 0;
	udp->dst_port = 0;
	udp->src_port = 0;
	waiting[waiting_count++] = m;
	ck_assert_uint_eq(rx_poll(task), 1);
	ck_assert_uint_eq(counter_read(&task->queue[0].decoded), 0);
	ck_assert_uint_eq(filtered(REASON_UNKNOWN_GROUP), 1);
	ck_assert_uint_eq(rte_ring_count(task->stage->ring), 0);
}
END_TEST

/* a priority tag is no VLAN, and says nothing of the tag that comes next */
START_TEST(a_tag_behind_a_priority_tag_counts)
{
	static const uint16_t tags[] = {0, 9, 0};
	static const struct net_group group = {
	    .family = AF_INET, .address = {239, 1, 1, 1}, .udp_port = 9000, .vlan = 9};

	net_groups_free(port.groups);
	port.groups = net_groups_create(&group, 1);
	for (size_t i = 0; i < RTE_DIM(tags); i++) {
		struct rte_mbuf *m = frame(RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_VLAN |
		                           RTE_MBUF_F_RX_VLAN_STRIPPED);

		m->vlan_tci = (uint16_t)(5 << 13 | tags[i]);
		waiting[waiting_count++] = m;
	}
	ck_assert_uint_eq(rx_poll(task), 3);
	ck_assert_uint_eq(counter_read(&task->queue[0].decoded), 1);
	ck_assert_uint_eq(filtered(REASON_UNKNOWN_GROUP), 2);
}
END_TEST

static struct rte_mbuf *frame_to(uint16_t udp_port)
{
	struct rte_mbuf *m = frame(RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	struct rte_udp_hdr *udp = rte_pktmbuf_mtod_offset(
	    m, struct rte_udp_hdr *, sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv4_hdr));

	udp->dst_port = rte_cpu_to_be_16(udp_port);
	return m;
}

static struct net_groups_found *place_of(struct rte_mbuf *m)
{
	return net_groups_recent(
	    &task->recent,
	    net_groups_destination(rte_pktmbuf_mtod(m, uint8_t *), (uint16_t)(port.id + 1)));
}

/* a destination of no feed that would stand where a feed's stands: neither is taken for the other */
START_TEST(destinations_of_one_place_keep_apart)
{
	uint16_t other = 10000;
	struct rte_mbuf *own = frame_to(9000), *m = frame_to(other);

	while (place_of(m) != place_of(own)) {
		rte_pktmbuf_free(m);
		ck_assert_uint_lt(other, UINT16_MAX);
		m = frame_to(++other);
	}
	waiting[waiting_count++] = own;
	waiting[waiting_count++] = m;
	waiting[waiting_count++] = frame_to(9000);
	waiting[waiting_count++] = frame_to(other);
	ck_assert_uint_eq(rx_poll(task), 4);
	ck_assert_uint_eq(filtered(REASON_UNKNOWN_GROUP), 2);
	ck_assert_uint_eq(counter_read(&task->feed_counters[0].datagrams), 2);
}
END_TEST

/* one destination is a feed's on one port and another's on the next */
START_TEST(each_port_asks_its_own_table)
{
	static const struct net_group group = {
	    .family = AF_INET, .address = {239, 1, 1, 1}, .udp_port = 9000, .feed = 1};
	struct port other = port;

	other.id = 1;
	other.groups = net_groups_create(&group, 1);
	ck_assert_ptr_nonnull(other.groups);
	rte_eth_fp_ops[1] = rte_eth_fp_ops[0];
	waiting[waiting_count++] = frame_to(9000);
	ck_assert_uint_eq(rx_poll(task), 1);
	task->queue[0].port = &other;
	waiting[waiting_count++] = frame_to(9000);
	ck_assert_uint_eq(rx_poll(task), 1);
	ck_assert_uint_eq(counter_read(&task->feed_counters[0].datagrams), 1);
	ck_assert_uint_eq(counter_read(&task->feed_counters[1].datagrams), 1);
	net_groups_free(other.groups);
}
END_TEST

/* a sender that takes its feeds in turn: none drives another out */
START_TEST(neighbouring_ports_have_places_of_their_own)
{
	static bool taken[RTE_DIM(task->recent.found)];

	for (uint16_t p = 9000; p < 9064; p++) {
		struct rte_mbuf *m = frame_to(p);
		size_t at = (size_t)(place_of(m) - task->recent.found);

		ck_assert(!taken[at]);
		taken[at] = true;
		rte_pktmbuf_free(m);
	}
}
END_TEST

/* feeds take turns, and a bad frame stands between them: each event is its own feed's, each count right */
START_TEST(feeds_in_one_burst_keep_apart)
{
	static const uint16_t ports[] = {9000, 9001, 9001, 9000, 9002, 9001};
	static const uint16_t ids[] = {10, 11, 11, 10, 11};
	struct event_desc d;

	for (size_t i = 0; i < RTE_DIM(ports); i++)
		waiting[waiting_count++] = frame_to(ports[i]);
	ck_assert_uint_eq(rx_poll(task), RTE_DIM(ports));
	ck_assert_uint_eq(filtered(REASON_UNKNOWN_GROUP), 1);
	for (size_t i = 0; i < RTE_DIM(ids); i++) {
		ck_assert_int_eq(rte_ring_sc_dequeue_elem(task->stage->ring, &d, sizeof(d)), 0);
		ck_assert_uint_eq(d.source->feed, ids[i]);
		ck_assert_mem_eq(event_key(&d), "BTC", 3);
		rte_pktmbuf_free(RTE_PTR_SUB(d.source, sizeof(struct rte_mbuf)));
	}
	ck_assert_uint_eq(counter_read(&task->feed_counters[0].messages), 2);
	ck_assert_uint_eq(counter_read(&task->feed_counters[1].messages), 3);
	ck_assert_uint_eq(counter_read(&task->feed_counters[1].datagrams), 3);
	ck_assert_uint_eq(counter_read(&task->feed_counters[1].bytes), 15);
	ck_assert_uint_eq(counter_read(&task->messages), 5);
	for (size_t i = 0; i < RTE_DIM(feeds); i++)
		ck_assert_uint_gt(counter_read(&task->feed_counters[i].last_rx_ns), 0);
}
END_TEST

START_TEST(a_frame_in_pieces_is_truncated)
{
	struct rte_mbuf *m = frame(RTE_MBUF_F_RX_L4_CKSUM_GOOD);

	ck_assert_int_eq(rte_pktmbuf_chain(m, frame(0)), 0);
	waiting[waiting_count++] = m;
	ck_assert_uint_eq(rx_poll(task), 1);
	ck_assert_uint_eq(filtered(REASON_TRUNCATED), 1);
}
END_TEST

/* the laws, and no buffer lost, when the worker takes less than comes */
START_TEST(a_full_ring_loses_no_buffer)
{
	for (int burst = 0; burst < 5; burst++) {
		for (int i = 0; i < 6; i++)
			waiting[waiting_count++] =
			    frame(i % 3 ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : RTE_MBUF_F_RX_L4_CKSUM_BAD);
		ck_assert_uint_eq(rx_poll(task), 6);
	}
	ck_assert_uint_eq(counter_read(&task->queue[0].frames), 30);
	ck_assert_uint_eq(counter_read(&task->queue[0].decoded), 20);
	ck_assert_uint_eq(filtered(REASON_BAD_CHECKSUM), 10);
	ck_assert_uint_eq(counter_read(&task->messages), 20);
	ck_assert_uint_eq(rte_ring_count(task->stage->ring), RING_SIZE);
	ck_assert_uint_eq(counter_read(&task->reason[REASON_RING_FULL]), 20 - RING_SIZE);
	ck_assert_uint_eq(rte_mempool_in_use_count(pool), RING_SIZE);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("rx");
	TCase *t = tcase_create("rx");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, flags_of_the_device_are_believed);
	tcase_add_test(t, a_stripped_tag_counts);
	tcase_add_test(t, a_frame_to_nobody_is_no_feeds);
	tcase_add_test(t, a_tag_behind_a_priority_tag_counts);
	tcase_add_test(t, destinations_of_one_place_keep_apart);
	tcase_add_test(t, each_port_asks_its_own_table);
	tcase_add_test(t, neighbouring_ports_have_places_of_their_own);
	tcase_add_test(t, feeds_in_one_burst_keep_apart);
	tcase_add_test(t, a_frame_in_pieces_is_truncated);
	tcase_add_test(t, a_full_ring_loses_no_buffer);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	char *argv[] = {
	    "test_rx",    "--no-huge",      "--no-shconf",    "--no-pci",          "-m64",
	    "--lcores=0", "--no-telemetry", "--iova-mode=va", "--log-level=error", NULL};
	SRunner *runner;
	int failed;

	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0) {
		fprintf(stderr, "rte_eal_init: %s\n", rte_strerror(rte_errno));
		return EXIT_FAILURE;
	}
	clock_init(rte_get_tsc_hz());
	pool = rte_pktmbuf_pool_create("pool", POOL_SIZE, 0, PORT_MBUF_PRIVATE,
	                               RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL) {
		fprintf(stderr, "rte_pktmbuf_pool_create: %s\n", rte_strerror(rte_errno));
		return EXIT_FAILURE;
	}
	runner = srunner_create(suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	rte_eal_cleanup();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
