/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/health.h"

static struct figures f;
static struct config c;
static struct health h;

static void setup(void)
{
	memset(&f, 0, sizeof(f));
	memset(&c, 0, sizeof(c));
	c.p99_degraded_us = 100;
	c.p99_unhealthy_us = 200;
	c.drops_unhealthy = 100;
	c.errors_unhealthy = 10;
	c.disk_free_degraded_mb = 512;
	f.start_ns = UINT64_C(1000000000000);
	f.now_ns = f.start_ns + UINT64_C(100000000000);
	f.ports_up = f.recovered = f.ownership_known = true;
	f.disk_size_bytes = UINT64_C(100) << 30;
	f.disk_free_bytes = UINT64_C(50) << 30;
	f.shard_count = 2;
	f.lcore_count = 2;
	f.lcore[0] = (struct lcore_figures){.id = 1, .cpu = 5, .moving = true};
	f.lcore[1] = (struct lcore_figures){.id = 2, .cpu = 6, .moving = true};
}

/* the one thing that is wrong, and that it heals when it is over */
static void expect(enum health_part part, enum health_status status, const char *reason)
{
	health_judge(&h, &f, &c);
	ck_assert_msg(h.status == status, "%s, %s", health_status_name(h.status),
	              h.reason_count ? h.reason[0] : "");
	ck_assert_uint_eq(h.reason_count, 1);
	ck_assert_msg(strstr(h.reason[0], reason) != NULL, "%s", h.reason[0]);
	for (int i = 0; i < HEALTH_PARTS; i++)
		ck_assert_int_eq(h.part[i], i == (int)part ? status : HEALTH_HEALTHY);
}

static void expect_healthy(void)
{
	health_judge(&h, &f, &c);
	ck_assert_msg(h.status == HEALTH_HEALTHY, "%s", h.reason[0]);
	ck_assert_uint_eq(h.reason_count, 0);
}

START_TEST(all_is_well)
{
	expect_healthy();
	ck_assert(health_live(&f));
	ck_assert(health_ready(&f));
}
END_TEST

static void process_window(uint64_t ns)
{
	struct histogram_snapshot *w = &f.latency[LATENCY_PROCESS].window;

	memset(w, 0, sizeof(*w));
	w->count[histogram_bucket(ns)] = w->total = 1000;
	w->max = ns;
}

START_TEST(latency)
{
	process_window(100000);
	expect_healthy();
	process_window(101000);
	expect(HEALTH_LATENCY, HEALTH_DEGRADED, "p99 is 101.0 us over the last 10 s, above 100 us");
	process_window(200000);
	expect(HEALTH_LATENCY, HEALTH_DEGRADED, "above 100 us");
	process_window(250000);
	expect(HEALTH_LATENCY, HEALTH_UNHEALTHY,
	       "p99 is 250.0 us over the last 10 s, above 200 us");
	/* a few samples have no p99 */
	f.latency[LATENCY_PROCESS].window.count[histogram_bucket(250000)] = HEALTH_P99_SAMPLES;
	f.latency[LATENCY_PROCESS].window.total = HEALTH_P99_SAMPLES;
	expect(HEALTH_LATENCY, HEALTH_UNHEALTHY, "above 200 us");
	f.latency[LATENCY_PROCESS].window.count[histogram_bucket(250000)] -= 1;
	f.latency[LATENCY_PROCESS].window.total -= 1;
	expect_healthy();
	/* an empty window says nothing, even when thresholds are 0 */
	memset(&f.latency[LATENCY_PROCESS].window, 0, sizeof(struct histogram_snapshot));
	c.p99_degraded_us = 0;
	expect_healthy();
}
END_TEST

START_TEST(drops)
{
	f.reason[REASON_RING_FULL] = 1000; /* long ago */
	expect_healthy();
	f.reason_window[REASON_NOT_OWNER] = 5000; /* filtered is not dropped */
	expect_healthy();
	f.reason_window[REASON_RING_FULL] = 1;
	expect(HEALTH_DROPS, HEALTH_DEGRADED, "1 dropped in the last 10 s, most of them ring_full");
	f.reason_window[REASON_NIC_MISSED] = 99;
	expect(HEALTH_DROPS, HEALTH_DEGRADED,
	       "100 dropped in the last 10 s, most of them nic_missed");
	f.reason_window[REASON_NIC_MISSED] = 100;
	expect(HEALTH_DROPS, HEALTH_UNHEALTHY, "101 dropped");
	f.reason_window[REASON_NIC_MISSED] = f.reason_window[REASON_RING_FULL] = 0;
	expect_healthy();
	c.drops_degraded = 10;
	f.reason_window[REASON_JOURNAL_FULL] = 10;
	expect_healthy();
}
END_TEST

START_TEST(journal_errors)
{
	f.journal_errors = 50; /* long ago */
	expect_healthy();
	f.journal_errors_window = 1;
	expect(HEALTH_JOURNAL, HEALTH_DEGRADED, "1 journal errors in the last 10 s");
	f.journal_errors_window = 10;
	expect(HEALTH_JOURNAL, HEALTH_DEGRADED, "10 journal errors");
	f.journal_errors_window = 11;
	expect(HEALTH_JOURNAL, HEALTH_UNHEALTHY, "11 journal errors");
	f.journal_errors_window = 0;
	expect_healthy();
}
END_TEST

START_TEST(disk_full_and_failing_journal)
{
	f.shard[1].failing = ENOSPC;
	f.shard[1].lag = 77;
	expect(HEALTH_DISK, HEALTH_UNHEALTHY,
	       "the disk is full: shard 1 waits to write 77 records");
	f.shard[1].failing = EDQUOT;
	expect(HEALTH_DISK, HEALTH_UNHEALTHY, "the disk is full");
	f.shard[1].failing = EIO;
	expect(HEALTH_JOURNAL, HEALTH_UNHEALTHY,
	       "the journal of shard 1 cannot be written: Input/output error; 77 records wait");
	f.shard[1].failing = 0;
	expect_healthy();
}
END_TEST

START_TEST(little_free_space)
{
	f.disk_free_bytes = UINT64_C(511) << 20;
	expect(HEALTH_DISK, HEALTH_DEGRADED, "511 MB are free on the journal's disk, below 512 MB");
	f.disk_free_bytes = UINT64_C(512) << 20;
	expect_healthy();
	f.disk_free_bytes = f.disk_size_bytes = 0; /* not known */
	expect_healthy();
}
END_TEST

START_TEST(silent_feed)
{
	f.feed_count = 2;
	f.feed[0].name = "ticks";
	f.feed[0].last_rx_ns = f.now_ns - UINT64_C(30000000000);
	f.feed[1].name = "http"; /* never anything, and that is fine */
	expect_healthy();        /* silent_feed_s = 0: silence is no fault */
	c.silent_feed_s = 30;
	expect_healthy();
	f.feed[0].last_rx_ns -= 1000000;
	expect(HEALTH_FEEDS, HEALTH_DEGRADED, "feed ticks has been silent for 30 s, above 30 s");
	f.feed[0].last_rx_ns = 0; /* never: counts from the start */
	expect(HEALTH_FEEDS, HEALTH_DEGRADED, "feed ticks has been silent for 100 s");
	f.feed[0].last_rx_ns = f.now_ns + 5; /* a clock that stepped back */
	expect_healthy();
	f.feed[0].last_rx_ns = f.now_ns - 1;
	expect_healthy();
}
END_TEST

START_TEST(stuck_lcore)
{
	f.lcore[1].moving = false;
	expect(HEALTH_LCORES, HEALTH_UNHEALTHY,
	       "lcore 2 on CPU 6 has not polled for more than a second");
	ck_assert(!health_live(&f));
	ck_assert(health_ready(&f));
	f.lcore[1].moving = true;
	expect_healthy();
	ck_assert(health_live(&f));
}
END_TEST

START_TEST(ports)
{
	f.ports_up = false;
	expect(HEALTH_PORTS, HEALTH_UNHEALTHY, "the ports are not up");
	ck_assert(!health_ready(&f));
	f.port_count = 2;
	f.port[0] = (struct port_figures){.name = "nic0", .device = "dev0", .link_up = true};
	f.port[1] = (struct port_figures){.name = "nic1", .device = "dev1"};
	expect(HEALTH_PORTS, HEALTH_UNHEALTHY, "port nic1 (dev1) has no link");
	f.ports_up = true;
	expect_healthy();
}
END_TEST

START_TEST(engine_states)
{
	f.recovered = false;
	expect(HEALTH_ENGINE, HEALTH_DEGRADED, "recovery");
	ck_assert(!health_ready(&f));
	ck_assert(health_live(&f));
	f.recovered = true;
	f.ownership_known = false;
	expect(HEALTH_ENGINE, HEALTH_DEGRADED, "which keys");
	ck_assert(!health_ready(&f));
	f.ownership_known = true;
	f.draining = true;
	expect(HEALTH_ENGINE, HEALTH_DEGRADED, "draining");
	ck_assert(!health_ready(&f));
	ck_assert(health_live(&f));
}
END_TEST

START_TEST(the_worst_counts_and_all_are_told)
{
	f.shard[0].failing = ENOSPC;
	f.reason_window[REASON_JOURNAL_FULL] = 7;
	f.journal_errors_window = 3;
	f.disk_free_bytes = 0;
	health_judge(&h, &f, &c);
	ck_assert_int_eq(h.status, HEALTH_UNHEALTHY);
	ck_assert_uint_eq(h.reason_count, 4);
	ck_assert_int_eq(h.part[HEALTH_DISK], HEALTH_UNHEALTHY);
	ck_assert_int_eq(h.part[HEALTH_DROPS], HEALTH_DEGRADED);
	ck_assert_int_eq(h.part[HEALTH_JOURNAL], HEALTH_DEGRADED);
}
END_TEST

START_TEST(many_reasons_do_not_overflow)
{
	static char names[CONFIG_FEEDS_MAX][300];

	c.silent_feed_s = 1;
	f.feed_count = CONFIG_FEEDS_MAX;
	for (int i = 0; i < CONFIG_FEEDS_MAX; i++) {
		memset(names[i], 'x', sizeof(names[i]) - 1);
		f.feed[i].name = names[i];
	}
	health_judge(&h, &f, &c);
	ck_assert_int_eq(h.status, HEALTH_DEGRADED);
	ck_assert_uint_eq(h.reason_count, HEALTH_REASONS_MAX);
	for (uint32_t i = 0; i < h.reason_count; i++)
		ck_assert_uint_lt(strlen(h.reason[i]), HEALTH_REASON_LEN);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("health");
	TCase *t = tcase_create("rules");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, all_is_well);
	tcase_add_test(t, latency);
	tcase_add_test(t, drops);
	tcase_add_test(t, journal_errors);
	tcase_add_test(t, disk_full_and_failing_journal);
	tcase_add_test(t, little_free_space);
	tcase_add_test(t, silent_feed);
	tcase_add_test(t, stuck_lcore);
	tcase_add_test(t, ports);
	tcase_add_test(t, engine_states);
	tcase_add_test(t, the_worst_counts_and_all_are_told);
	tcase_add_test(t, many_reasons_do_not_overflow);
	suite_add_tcase(s, t);
	SRunner *runner = srunner_create(s);

	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
