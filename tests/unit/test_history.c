/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "control/history.h"

#define SECOND UINT64_C(1000000000)
#define START  (UINT64_C(1700000000) * SECOND)

static struct figures f;
static struct health health;
static struct history *history;

static void setup(void)
{
	memset(&f, 0, sizeof(f));
	memset(&health, 0, sizeof(health));
	f.now_ns = START;
	history = history_create();
	ck_assert_ptr_nonnull(history);
}

static void teardown(void)
{
	history_destroy(history);
}

static void second(void)
{
	f.now_ns += SECOND;
	history_add(history, &f, &health);
}

static void blame(enum health_part part, enum health_status status, const char *why)
{
	health.status = health.part[part] = status;
	health.reason_part[0] = part;
	health.reason_status[0] = status;
	health.reason_count = 1;
	strcpy(health.reason[0], why);
}

static void heal(void)
{
	memset(&health, 0, sizeof(health));
}

/* the figure of that name in the last of the rows; NULL: no such row */
static json_t *latest(const char *name)
{
	json_t *o = history_json(history, 0);
	json_t *rows = json_object_get(o, "rows"), *columns = json_object_get(o, "columns");
	json_t *row = json_array_get(rows, json_array_size(rows) - 1), *found = NULL;
	size_t i;
	json_t *column;

	ck_assert_uint_eq(json_array_size(row), json_array_size(columns));
	json_array_foreach (columns, i, column) {
		if (strcmp(json_string_value(column), name) == 0)
			found = json_incref(json_array_get(row, i));
	}
	json_decref(o);
	ck_assert_msg(found != NULL, "no column %s", name);
	return found;
}

static void assert_latest(const char *name, double value)
{
	json_t *o = latest(name);

	ck_assert_msg(json_is_number(o), "%s is no number", name);
	ck_assert_double_eq_tol(json_number_value(o), value, 0.001);
	json_decref(o);
}

static void assert_unknown(const char *name)
{
	json_t *o = latest(name);

	ck_assert_msg(json_is_null(o), "%s is known", name);
	json_decref(o);
}

static size_t size_of(const char *what, uint64_t after)
{
	json_t *o = history_json(history, after);
	size_t n = json_array_size(json_object_get(o, what));

	json_decref(o);
	return n;
}

START_TEST(rates_are_differences)
{
	f.journaled = 100;
	second();
	assert_unknown("events_per_second");
	f.journaled = 350;
	f.reason[REASON_RING_FULL] = 7;
	f.reason[REASON_NOT_OWNER] = 3;
	f.now_ns += SECOND; /* held up: two seconds */
	second();
	assert_latest("events_per_second", 125);
	assert_latest("dropped_per_second", 3.5);
	assert_latest("filtered_per_second", 1.5);
	f.journaled = 340; /* gathered without a lock */
	second();
	assert_latest("events_per_second", 0);
}
END_TEST

START_TEST(a_clock_set_back_gives_no_rate)
{
	second();
	f.now_ns -= 100 * SECOND;
	f.journaled = 10;
	second();
	assert_unknown("events_per_second");
	second();
	assert_latest("events_per_second", 0);
}
END_TEST

START_TEST(what_there_is_nothing_of_is_unknown)
{
	second();
	assert_unknown("process_p99_us");
	assert_unknown("kafka_lag");
	assert_unknown("busiest_lcore_ratio");
	assert_latest("journal_lag", 0);
	f.lcore_count = 2;
	f.lcore[0].busy_ratio = 0.25;
	f.lcore[1].busy_ratio = 0.75;
	f.kafka.state = KAFKA_RUNNING;
	f.kafka.lag = 12;
	f.latency[LATENCY_PROCESS].window = (struct histogram_snapshot){.total = 1, .max = 5000};
	f.latency[LATENCY_PROCESS].window.count[histogram_bucket(5000)] = 1;
	second();
	assert_latest("busiest_lcore_ratio", 0.75);
	assert_latest("kafka_lag", 12);
	assert_latest("process_p99_us", 5);
}
END_TEST

START_TEST(only_what_came_later)
{
	for (int i = 0; i < 5; i++)
		second();
	ck_assert_uint_eq(size_of("rows", 0), 5);
	ck_assert_uint_eq(size_of("rows", 3), 2);
	ck_assert_uint_eq(size_of("rows", 5), 0);
	/* a number of another run */
	ck_assert_uint_eq(size_of("rows", 6), 5);
	ck_assert_uint_eq(size_of("rows", UINT64_MAX), 5);
	for (int i = 0; i < HISTORY_ROWS; i++)
		second();
	ck_assert_uint_eq(size_of("rows", 0), HISTORY_ROWS);
	ck_assert_uint_eq(size_of("rows", 3), HISTORY_ROWS);
	ck_assert_uint_eq(size_of("rows", HISTORY_ROWS), 5);
}
END_TEST

START_TEST(changes_say_since_when)
{
	uint64_t ms = START / 1000000;

	second();
	second();
	ck_assert_uint_eq(size_of("changes", 0), 0);
	blame(HEALTH_DROPS, HEALTH_DEGRADED, "5 dropped");
	ck_assert_uint_eq(history_part_since_ms(history, HEALTH_DROPS, HEALTH_DEGRADED, 42), 42);
	second();
	second();
	ck_assert_uint_eq(history_status_since_ms(history, HEALTH_DEGRADED, 42), ms + 3000);
	ck_assert_uint_eq(history_part_since_ms(history, HEALTH_DROPS, HEALTH_DEGRADED, 42),
	                  ms + 3000);
	ck_assert_uint_eq(history_part_since_ms(history, HEALTH_DISK, HEALTH_HEALTHY, 42),
	                  ms + 1000);
	heal();
	second();
	json_t *o = history_json(history, 0), *changes = json_object_get(o, "changes");
	const json_t *change = json_array_get(changes, 0);

	ck_assert_uint_eq(json_array_size(changes), 2);
	ck_assert_str_eq(json_string_value(json_object_get(change, "part")), "drops");
	ck_assert_str_eq(json_string_value(json_object_get(change, "from")), "healthy");
	ck_assert_str_eq(json_string_value(json_object_get(change, "to")), "degraded");
	ck_assert_str_eq(json_string_value(json_object_get(change, "text")), "5 dropped");
	ck_assert_int_eq(json_integer_value(json_object_get(change, "at_ms")),
	                 (json_int_t)(ms + 3000));
	json_decref(o);
	ck_assert_uint_eq(size_of("changes", 2), 2);
	ck_assert_uint_eq(size_of("changes", 3), 1);
	ck_assert_uint_eq(size_of("changes", 5), 0);
}
END_TEST

START_TEST(old_changes_go)
{
	for (int i = 0; i < HISTORY_CHANGES + 10; i++) {
		if (i % 2)
			heal();
		else
			blame(HEALTH_ETCD, HEALTH_DEGRADED, "\xff\xfe is no UTF-8");
		second();
	}
	json_t *o = history_json(history, 0), *changes = json_object_get(o, "changes");

	ck_assert_uint_eq(json_array_size(changes), HISTORY_CHANGES);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(changes, 0), "text")),
	                 "?? is no UTF-8");
	json_decref(o);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("history");
	TCase *t = tcase_create("history");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, rates_are_differences);
	tcase_add_test(t, a_clock_set_back_gives_no_rate);
	tcase_add_test(t, what_there_is_nothing_of_is_unknown);
	tcase_add_test(t, only_what_came_later);
	tcase_add_test(t, changes_say_since_when);
	tcase_add_test(t, old_changes_go);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}
