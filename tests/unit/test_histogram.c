/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "metrics/histogram.h"

static struct histogram histogram;
static struct histogram_snapshot snapshot, earlier, window;

static void setup(void)
{
	histogram = (struct histogram){0};
	snapshot = earlier = window = (struct histogram_snapshot){0};
}

/* a plain reference: 2048 steps of 1 ns, then 1024 steps for each power of two */
static uint32_t reference_bucket(uint64_t ns)
{
	uint32_t bucket = 2048;

	if (ns < 2048)
		return (uint32_t)ns;
	for (int bits = 11; bits < HISTOGRAM_MAX_BITS; bits++, bucket += 1024) {
		uint64_t low = UINT64_C(1) << bits, step = low / 1024;

		if (ns < 2 * low)
			return bucket + (uint32_t)((ns - low) / step);
	}
	return HISTOGRAM_BUCKETS - 1;
}

static void check_bucket(uint64_t ns)
{
	uint32_t bucket = histogram_bucket(ns);

	ck_assert_uint_eq(bucket, reference_bucket(ns));
	ck_assert_uint_lt(bucket, HISTOGRAM_BUCKETS);
	ck_assert_uint_le(histogram_bucket_low(bucket), ns);
	if (bucket + 1 < HISTOGRAM_BUCKETS)
		ck_assert_uint_gt(histogram_bucket_low(bucket + 1), ns);
}

START_TEST(bucket_bounds_match_the_reference)
{
	for (uint64_t ns = 0; ns < 20000; ns++)
		check_bucket(ns);
	for (int bits = 0; bits < 64; bits++)
		for (int off = -2; off <= 2; off++)
			check_bucket((UINT64_C(1) << bits) + (uint64_t)off);
	srandom(1);
	for (int i = 0; i < 1000000; i++)
		check_bucket((((uint64_t)random() << 31) ^ (uint64_t)random()) >> (random() % 62));
	check_bucket(UINT64_MAX);
}
END_TEST

START_TEST(buckets_are_contiguous_and_fine)
{
	for (uint32_t b = 0; b + 1 < HISTOGRAM_BUCKETS; b++) {
		uint64_t low = histogram_bucket_low(b), next = histogram_bucket_low(b + 1);

		ck_assert_uint_eq(histogram_bucket(low), b);
		ck_assert_uint_gt(next, low);
		/* no value is told wrong by a thousandth: the quantile gives the bucket's highest */
		ck_assert(next - 1 == low || (double)(next - 1 - low) / (double)low < 0.001);
	}
}
END_TEST

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

START_TEST(quantiles_match_a_sorted_array)
{
	static uint64_t value[100000];
	static const double quantiles[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
	const size_t n = sizeof(value) / sizeof(value[0]);
	uint64_t sum = 0;

	srandom(7);
	for (size_t i = 0; i < n; i++) {
		value[i] =
		    (uint64_t)exp((double)random() / (double)RAND_MAX * 24); /* 1 ns .. 26 s */
		sum += value[i];
		histogram_record(&histogram, value[i], 1);
	}
	qsort(value, n, sizeof(value[0]), ascending);
	histogram_add(&snapshot, &histogram);
	ck_assert_uint_eq(snapshot.total, n);
	ck_assert_uint_eq(snapshot.sum, sum);
	ck_assert_uint_eq(snapshot.max, value[n - 1]);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		size_t rank = (size_t)ceil(quantiles[i] * (double)n);
		double exact = (double)value[rank ? rank - 1 : 0];
		double found = (double)histogram_quantile(&snapshot, quantiles[i]);

		ck_assert_msg(found >= exact && found - exact <= exact * 0.001,
		              "quantile %g: %g instead of %g", quantiles[i], found, exact);
	}
	ck_assert_uint_eq(histogram_quantile(&snapshot, 1), value[n - 1]);
}
END_TEST

START_TEST(count_below_matches_a_sorted_array_at_bounds)
{
	uint64_t total = 0;

	for (uint64_t ns = 1; ns < UINT64_C(1) << 34; ns = ns * 3 / 2 + 1) {
		histogram_record(&histogram, ns, ns % 5 + 1);
		total += ns % 5 + 1;
	}
	histogram_add(&snapshot, &histogram);
	for (uint32_t b = 1; b < HISTOGRAM_BUCKETS; b += 17) {
		uint64_t bound = histogram_bucket_low(b) - 1, count = 0;

		for (uint64_t ns = 1; ns <= bound && ns < UINT64_C(1) << 34; ns = ns * 3 / 2 + 1)
			count += ns % 5 + 1;
		ck_assert_uint_eq(histogram_count_below(&snapshot, bound), count);
	}
	ck_assert_uint_eq(snapshot.total, total);
	ck_assert_uint_eq(histogram_count_below(&snapshot, UINT64_MAX), total);
}
END_TEST

START_TEST(an_empty_one_is_all_zero)
{
	histogram_add(&snapshot, &histogram);
	ck_assert_uint_eq(snapshot.total, 0);
	ck_assert_uint_eq(histogram_quantile(&snapshot, 0.5), 0);
	ck_assert_uint_eq(histogram_quantile(&snapshot, 1), 0);
	ck_assert_uint_eq(histogram_count_below(&snapshot, 1000), 0);
	histogram_difference(&window, &snapshot, &snapshot);
	ck_assert_uint_eq(window.total, 0);
	ck_assert_uint_eq(window.max, 0);
}
END_TEST

START_TEST(beyond_the_range_keeps_its_true_maximum)
{
	uint64_t hour = UINT64_C(3600000000000);

	histogram_record(&histogram, hour, 1);
	histogram_add(&snapshot, &histogram);
	ck_assert_uint_eq(snapshot.max, hour);
	ck_assert_uint_eq(histogram_quantile(&snapshot, 0.5), hour);
	ck_assert_uint_eq(histogram_count_below(&snapshot, UINT64_C(60000000000)), 0);
}
END_TEST

START_TEST(several_add_up)
{
	static struct histogram other;

	histogram_record(&histogram, 100, 3);
	histogram_record(&other, 200, 1);
	histogram_add(&snapshot, &histogram);
	histogram_add(&snapshot, &other);
	ck_assert_uint_eq(snapshot.total, 4);
	ck_assert_uint_eq(snapshot.sum, 500);
	ck_assert_uint_eq(snapshot.max, 200);
	ck_assert_uint_eq(histogram_quantile(&snapshot, 0.75), 100);
	ck_assert_uint_eq(histogram_quantile(&snapshot, 0.76), 200);
}
END_TEST

START_TEST(a_window_holds_only_what_came_in_it)
{
	histogram_record(&histogram, 5000000, 10);
	histogram_add(&earlier, &histogram);
	histogram_record(&histogram, 1000, 99);
	histogram_record(&histogram, 70000, 1);
	histogram_add(&snapshot, &histogram);
	histogram_difference(&window, &snapshot, &earlier);
	ck_assert_uint_eq(window.total, 100);
	ck_assert_uint_eq(window.sum, 99 * 1000 + 70000);
	ck_assert_uint_eq(histogram_quantile(&window, 0.99), 1000);
	/* the old maximum is not this window's */
	ck_assert_uint_ge(window.max, 70000);
	ck_assert_uint_le(window.max, 70070);
	ck_assert_uint_eq(histogram_quantile(&window, 1), window.max);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("histogram");
	TCase *t = tcase_create("histogram");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, bucket_bounds_match_the_reference);
	tcase_add_test(t, buckets_are_contiguous_and_fine);
	tcase_add_test(t, quantiles_match_a_sorted_array);
	tcase_add_test(t, count_below_matches_a_sorted_array_at_bounds);
	tcase_add_test(t, an_empty_one_is_all_zero);
	tcase_add_test(t, beyond_the_range_keeps_its_true_maximum);
	tcase_add_test(t, several_add_up);
	tcase_add_test(t, a_window_holds_only_what_came_in_it);
	suite_add_tcase(s, t);
	SRunner *runner = srunner_create(s);

	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
