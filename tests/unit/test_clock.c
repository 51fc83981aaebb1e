/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>

#include "clock.h"

#define HZ 2600000000ull

START_TEST(durations_are_bounded)
{
	clock_init(HZ);
	ck_assert_uint_eq(clock_duration_ns(1000, 1000 + HZ), CLOCK_NS_PER_S - 1);
	ck_assert_uint_eq(clock_duration_ns(1000, 1000), 0);
	ck_assert_uint_eq(clock_duration_ns(1000, 999), 0);
	/* a year does not overflow */
	uint64_t year = 365ull * 86400;
	uint64_t ns = clock_duration_ns(0, year * HZ);
	ck_assert_uint_le(year * CLOCK_NS_PER_S - ns, year);
}
END_TEST

START_TEST(line_follows_a_drifting_clock)
{
	struct clock_line l = {0};
	uint64_t ticks = 12345, now = 1700000000 * CLOCK_NS_PER_S;
	uint64_t before = 0;

	clock_line_init(&l, HZ, ticks, now);
	for (int i = 0; i < 60; i++) {
		/* the real clock runs 80 ppm faster than the TSC's nominal rate */
		ticks += HZ;
		now += CLOCK_NS_PER_S + 80000;
		clock_line_discipline(&l, ticks, now);
		uint64_t seen = clock_line_ns(&l, ticks);
		ck_assert_uint_gt(seen, before);
		ck_assert_int_lt(llabs((int64_t)(seen - now)), 200000);
		before = seen;
	}
	ck_assert_uint_eq(l.steps, 0);
}
END_TEST

START_TEST(line_steps_when_the_clock_was_set)
{
	struct clock_line l = {0};
	uint64_t now = 1700000000 * CLOCK_NS_PER_S;

	clock_line_init(&l, HZ, 0, now);
	ck_assert_int_eq(clock_line_discipline(&l, HZ, now + 3601 * CLOCK_NS_PER_S) / 1000000000,
	                 3600);
	ck_assert_uint_eq(l.steps, 1);
	ck_assert_uint_eq(clock_line_ns(&l, HZ), now + 3601 * CLOCK_NS_PER_S);
}
END_TEST

START_TEST(line_looks_back_a_little)
{
	struct clock_line l = {0};
	uint64_t now = 1700000000 * CLOCK_NS_PER_S;

	clock_line_init(&l, HZ, HZ, now);
	ck_assert_int_le(llabs((int64_t)(now - clock_line_ns(&l, HZ - HZ / 1000)) - 1000000), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("clock");
	TCase *t = tcase_create("clock");

	tcase_add_test(t, durations_are_bounded);
	tcase_add_test(t, line_follows_a_drifting_clock);
	tcase_add_test(t, line_steps_when_the_clock_was_set);
	tcase_add_test(t, line_looks_back_a_little);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
