/* SPDX-License-Identifier: Apache-2.0 */
/* the parts of the data plane that need no port: key table, ingress, worker, and the poison around packets */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "clock.h"
#include "dataplane/ingress_private.h"
#include "dataplane/poison.h"
#include "dataplane/port.h"
#include "dataplane/worker.h"
#include "event/hash.h"

#define MEMLOG_BYTES MEMLOG_MIN_SIZE

static struct worker *worker;
static struct ingress *ingress;
static struct memlog memlog;
static void *memlog_memory;
static struct rte_mempool *pool;

static void set_up(void)
{
	static const uint8_t uuid[16] = {1};

	ck_assert_int_eq(posix_memalign(&memlog_memory, 4096, MEMLOG_BYTES), 0);
	memset(memlog_memory, 0, MEMLOG_BYTES);
	ck_assert_int_eq(memlog_format(memlog_memory, MEMLOG_BYTES, uuid, 0, 1, 1), 0);
	ck_assert_int_eq(memlog_attach(&memlog, memlog_memory), 0);
	worker = rte_zmalloc("worker", sizeof(*worker), 64);
	worker->memlog = &memlog;
	worker->process = rte_zmalloc("process", sizeof(*worker->process), 64);
	ck_assert_int_eq(keytable_init(&worker->keys, "keys", 1024, SOCKET_ID_ANY), 0);
	worker->ring[0].ring =
	    rte_ring_create_elem("ring", sizeof(struct event_desc), 1024, SOCKET_ID_ANY,
	                         RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
	worker->ring_count = 1;
	ingress = ingress_create(7);
	ck_assert_int_eq(ingress_attach(ingress, &worker->ring[0]), 0);
}

static void tear_down(void)
{
	ingress_destroy(ingress);
	rte_ring_free(worker->ring[0].ring);
	keytable_free(&worker->keys);
	rte_free(worker->process);
	rte_free(worker);
	memlog_detach(&memlog);
	free(memlog_memory);
}

static struct ingress_ticket submit(const char *key, const void *payload, uint32_t len)
{
	struct ingress_ticket t = {0};

	ck_assert_int_eq(ingress_submit(ingress, key, (uint32_t)strlen(key), payload, len, &t), 0);
	return t;
}

START_TEST(a_post_becomes_a_record)
{
	struct ingress_ticket t = submit("BTC", "{\"price\": 1}", 12);
	const uint8_t *at;

	ck_assert_int_eq(ingress_poll(ingress, &t), INGRESS_PENDING);
	ck_assert_uint_eq(worker_poll(worker), 1);
	ck_assert_int_eq(ingress_poll(ingress, &t), INGRESS_APPENDED);
	ck_assert_uint_eq(t.seq, 1);
	ingress_done(ingress, &t);

	ck_assert_uint_gt(memlog_read(&memlog, 1 << 20, &at), 0);
	const struct journal_record *r = (const void *)at;
	ck_assert_uint_eq(r->seq, 1);
	ck_assert_uint_eq(r->feed, 7);
	ck_assert_uint_eq(r->clock, EVENT_CLOCK_SYSTEM);
	ck_assert_mem_eq(journal_record_key(r), "BTC", 3);
	ck_assert_mem_eq(journal_record_payload(r), "{\"price\": 1}", 12);
	ck_assert_uint_eq(counter_read(&worker->journaled), 1);
	ck_assert_uint_eq(counter_read(&worker->last_seq), 1);
}
END_TEST

START_TEST(slots_run_out_and_come_back)
{
	static struct ingress_ticket t[INGRESS_SLOTS];
	struct ingress_ticket extra;

	for (uint32_t i = 0; i < INGRESS_SLOTS; i++)
		t[i] = submit("K", "x", 1);
	ck_assert_int_eq(ingress_submit(ingress, "K", 1, "x", 1, &extra), -EAGAIN);
	ck_assert_uint_eq(counter_read(&ingress->reason[REASON_RING_FULL]), 1);
	/* half of the clients leave before they are served */
	for (uint32_t i = 0; i < INGRESS_SLOTS; i += 2)
		ingress_done(ingress, &t[i]);
	ck_assert_int_eq(ingress_submit(ingress, "K", 1, "x", 1, &extra), -EAGAIN);
	while (worker_poll(worker) > 0)
		continue;
	for (uint32_t i = 1; i < INGRESS_SLOTS; i += 2) {
		ck_assert_int_eq(ingress_poll(ingress, &t[i]), INGRESS_APPENDED);
		ck_assert_uint_eq(t[i].seq, i + 1);
		ingress_done(ingress, &t[i]);
	}
	for (uint32_t i = 0; i < INGRESS_SLOTS; i++)
		t[i] = submit("K", "x", 1);
	/* the law of messages */
	while (worker_poll(worker) > 0)
		continue;
	ck_assert_uint_eq(counter_read(&ingress->messages),
	                  counter_read(&worker->journaled) +
	                      counter_read(&ingress->reason[REASON_RING_FULL]));
}
END_TEST

START_TEST(a_full_memlog_drops_and_counts)
{
	static uint8_t payload[EVENT_PAYLOAD_MAX];
	struct ingress_ticket t;
	uint32_t appended = 0;

	for (;;) {
		t = submit("K", payload, sizeof(payload));
		worker_poll(worker);
		if (ingress_poll(ingress, &t) == INGRESS_DROPPED)
			break;
		ingress_done(ingress, &t);
		appended++;
	}
	ck_assert_uint_gt(appended, 20);
	ck_assert_uint_eq(counter_read(&worker->journaled), appended);
	ck_assert_uint_eq(counter_read(&worker->reason[REASON_JOURNAL_FULL]), 1);
	ingress_done(ingress, &t);
	/* room again: numbering goes on without a hole */
	const uint8_t *at;
	size_t n;
	while ((n = memlog_read(&memlog, 1 << 20, &at)) > 0)
		memlog_consume(&memlog, n);
	memlog_release(&memlog);
	t = submit("K", payload, sizeof(payload));
	worker_poll(worker);
	ck_assert_int_eq(ingress_poll(ingress, &t), INGRESS_APPENDED);
	ck_assert_uint_eq(t.seq, appended + 1);
}
END_TEST

/* in one burst: what does not fit is dropped, what is shorter and comes behind it is not */
START_TEST(a_shorter_event_may_still_fit)
{
	static uint8_t payload[EVENT_PAYLOAD_MAX];
	struct ingress_ticket t[3];
	uint64_t journaled;

	do {
		t[0] = submit("K", payload, sizeof(payload));
		worker_poll(worker);
		ingress_done(ingress, &t[0]);
	} while (counter_read(&worker->reason[REASON_JOURNAL_FULL]) == 0);
	journaled = counter_read(&worker->journaled);
	t[0] = submit("K", "a", 1);
	t[1] = submit("K", payload, sizeof(payload));
	t[2] = submit("K", "b", 1);
	ck_assert_uint_eq(worker_poll(worker), 3);
	ck_assert_int_eq(ingress_poll(ingress, &t[0]), INGRESS_APPENDED);
	ck_assert_int_eq(ingress_poll(ingress, &t[1]), INGRESS_DROPPED);
	ck_assert_int_eq(ingress_poll(ingress, &t[2]), INGRESS_APPENDED);
	ck_assert_uint_eq(t[0].seq, journaled + 1);
	ck_assert_uint_eq(t[2].seq, journaled + 2);
	ck_assert_uint_eq(counter_read(&worker->journaled), journaled + 2);
	ck_assert_uint_eq(counter_read(&worker->last_seq), journaled + 2);
	ck_assert_uint_eq(counter_read(&worker->reason[REASON_JOURNAL_FULL]), 2);
}
END_TEST

/* two messages of one datagram hold its buffer together: it goes back once, behind the second */
START_TEST(a_buffer_of_two_events_goes_back_once)
{
	struct rte_mbuf *m[2] = {rte_pktmbuf_alloc(pool), rte_pktmbuf_alloc(pool)};
	struct rte_ring *ring = worker->ring[0].ring;

	for (uint32_t i = 0; i < 2; i++) {
		struct event_source *s = rte_mbuf_to_priv(m[i]);

		memset(s, 0, sizeof(*s));
		s->origin = EVENT_ORIGIN_MBUF;
		s->key_copy[0] = (uint8_t)('a' + i);
		rte_mbuf_refcnt_set(m[i], (uint16_t)(2 - i));
		for (uint32_t part = 0; part < 2 - i; part++) {
			struct event_desc d = {
			    .source = s,
			    .key_offset = offsetof(struct event_source, key_copy),
			    .key_len = 1,
			    .payload_offset = offsetof(struct event_source, key_copy) + 1,
			    .payload_len = (uint16_t)(part + 1)};

			ck_assert_int_eq(rte_ring_sp_enqueue_elem(ring, &d, sizeof(d)), 0);
		}
	}
	ck_assert_uint_eq(worker_poll(worker), 3);
	ck_assert_uint_eq(counter_read(&worker->journaled), 3);
	ck_assert_uint_eq(rte_mempool_in_use_count(pool), 0);
}
END_TEST

START_TEST(keys_are_counted_each)
{
	char key[EVENT_KEY_MAX];
	uint64_t count, last;

	/* lengths on both sides of what stands inside a slot */
	for (uint32_t round = 1; round <= 3; round++)
		for (uint32_t len = 1; len <= EVENT_KEY_MAX; len++) {
			memset(key, 'a', sizeof(key));
			key[len - 1] = 'z';
			keytable_note(&worker->keys, (uint8_t *)key, len, event_key_hash(key, len),
			              round * 100 + len);
		}
	for (uint32_t len = 1; len <= EVENT_KEY_MAX; len++) {
		memset(key, 'a', sizeof(key));
		key[len - 1] = 'z';
		ck_assert(keytable_find(&worker->keys, (uint8_t *)key, len,
		                        event_key_hash(key, len), &count, &last));
		ck_assert_uint_eq(count, 3);
		ck_assert_uint_eq(last, 300 + len);
		key[len - 1] = 'y';
		ck_assert(!keytable_find(&worker->keys, (uint8_t *)key, len,
		                         event_key_hash(key, len), &count, &last));
	}
	ck_assert_uint_eq(counter_read(&worker->keys.keys), EVENT_KEY_MAX);
}
END_TEST

START_TEST(same_hash_is_not_same_key)
{
	uint64_t count, last;

	keytable_note(&worker->keys, (const uint8_t *)"one", 3, 42, 1);
	keytable_note(&worker->keys, (const uint8_t *)"two", 3, 42, 2);
	ck_assert(keytable_find(&worker->keys, (const uint8_t *)"two", 3, 42, &count, &last));
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(last, 2);
}
END_TEST

START_TEST(keys_made_to_collide_stay_cheap)
{
	uint64_t count, last;
	uint8_t key[2];

	for (uint32_t i = 0; i < 1000; i++) {
		key[0] = (uint8_t)i;
		key[1] = (uint8_t)(i >> 8);
		keytable_note(&worker->keys, key, 2, 42, i + 1);
	}
	ck_assert_uint_eq(counter_read(&worker->keys.keys), KEYTABLE_PROBES);
	ck_assert_uint_eq(counter_read(&worker->keys.untracked), 1000 - KEYTABLE_PROBES);
	ck_assert(!keytable_find(&worker->keys, key, 2, 42, &count, &last));
}
END_TEST

START_TEST(too_many_keys_are_said_so)
{
	char key[16];

	for (uint32_t i = 0; i < 2000; i++) {
		int len = snprintf(key, sizeof(key), "K%u", i);
		keytable_note(&worker->keys, (uint8_t *)key, (uint32_t)len,
		              event_key_hash(key, (uint32_t)len), i + 1);
	}
	ck_assert_uint_eq(counter_read(&worker->keys.keys), 768);
	ck_assert_uint_eq(counter_read(&worker->keys.untracked), 2000 - 768);
}
END_TEST

static struct rte_mbuf *frame_of(uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	ck_assert_ptr_nonnull(m);
	memset(rte_pktmbuf_append(m, len), 0x55, len);
	return m;
}

START_TEST(poison_leaves_the_packet_alone)
{
	for (uint16_t len = 1; len <= 64; len++) {
		struct rte_mbuf *m = frame_of(len);
		const volatile uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);

		poison_around(m);
		for (uint16_t i = 0; i < len; i++)
			ck_assert_uint_eq(data[i], 0x55);
		poison_off(m);
		/* all of it can be written again */
		memset(m->buf_addr, 0, m->buf_len);
		rte_pktmbuf_free(m);
	}
}
END_TEST

#ifdef __SANITIZE_ADDRESS__
#define SANITIZER_EXIT 1

/* the report is expected: it would only alarm who reads the log */
static void mute_report(void)
{
	int null = open("/dev/null", O_WRONLY);

	ck_assert_int_ge(null, 0);
	ck_assert_int_ge(dup2(null, STDERR_FILENO), 0);
	close(null);
}

/* the planted over-read: AddressSanitizer must end the process */
START_TEST(a_read_behind_the_packet_is_seen)
{
	struct rte_mbuf *m = frame_of(61);
	const volatile uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint8_t seen;

	poison_around(m);
	mute_report();
	seen = data[61];
	(void)seen;
}
END_TEST

START_TEST(a_read_before_the_packet_is_seen)
{
	struct rte_mbuf *m = frame_of(61);
	const volatile uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint8_t seen;

	poison_around(m);
	mute_report();
	seen = data[-1];
	(void)seen;
}
END_TEST
#endif

static Suite *dataplane_suite(void)
{
	Suite *s = suite_create("dataplane");
	TCase *t = tcase_create("worker and ingress");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_post_becomes_a_record);
	tcase_add_test(t, slots_run_out_and_come_back);
	tcase_add_test(t, a_full_memlog_drops_and_counts);
	tcase_add_test(t, a_shorter_event_may_still_fit);
	tcase_add_test(t, a_buffer_of_two_events_goes_back_once);
	tcase_add_test(t, keys_are_counted_each);
	tcase_add_test(t, same_hash_is_not_same_key);
	tcase_add_test(t, keys_made_to_collide_stay_cheap);
	tcase_add_test(t, too_many_keys_are_said_so);
	suite_add_tcase(s, t);
	t = tcase_create("poison");
	tcase_add_test(t, poison_leaves_the_packet_alone);
#ifdef __SANITIZE_ADDRESS__
	tcase_add_exit_test(t, a_read_behind_the_packet_is_seen, SANITIZER_EXIT);
	tcase_add_exit_test(t, a_read_before_the_packet_is_seen, SANITIZER_EXIT);
#endif
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	char *argv[] = {
	    "test_dataplane", "--no-huge",      "--no-shconf",    "--no-pci",          "-m64",
	    "--lcores=0",     "--no-telemetry", "--iova-mode=va", "--log-level=error", NULL};

	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0) {
		fprintf(stderr, "rte_eal_init: %s\n", rte_strerror(rte_errno));
		return EXIT_FAILURE;
	}
	clock_init(rte_get_tsc_hz());
	pool = rte_pktmbuf_pool_create("pool", 255, 0, PORT_MBUF_PRIVATE, RTE_MBUF_DEFAULT_BUF_SIZE,
	                               SOCKET_ID_ANY);
	if (pool == NULL) {
		fprintf(stderr, "rte_pktmbuf_pool_create: %s\n", rte_strerror(rte_errno));
		return EXIT_FAILURE;
	}
	SRunner *r = srunner_create(dataplane_suite());
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	rte_mempool_free(pool);
	rte_eal_cleanup();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
