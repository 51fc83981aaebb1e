/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/prometheus.h"

static struct prometheus page;

static void expect(const char *text)
{
	size_t len;
	char *got = prometheus_finish(&page, &len);

	ck_assert_ptr_nonnull(got);
	ck_assert_str_eq(got, text);
	ck_assert_uint_eq(len, strlen(text));
	free(got);
}

static void setup(void)
{
	page = (struct prometheus){0};
}

START_TEST(an_empty_page)
{
	expect("");
}
END_TEST

START_TEST(a_counter_with_and_without_labels)
{
	prometheus_family(&page, "a_total", "counter", "How many.");
	prometheus_u64(&page, "a_total", UINT64_MAX, NULL);
	prometheus_u64(&page, "a_total", 2, PROMETHEUS_LABELS({"x", "1"}, {"y", ""}));
	expect("# HELP a_total How many.\n# TYPE a_total counter\na_total 18446744073709551615\n"
	       "a_total{x=\"1\",y=\"\"} 2\n");
}
END_TEST

START_TEST(help_and_labels_are_escaped)
{
	prometheus_family(&page, "a", "gauge", "one\\two\n\"three\"");
	prometheus_u64(&page, "a", 1, PROMETHEUS_LABELS({"l", "back\\slash \"quote\"\nline"}));
	expect("# HELP a one\\\\two\\n\"three\"\n# TYPE a gauge\n"
	       "a{l=\"back\\\\slash \\\"quote\\\"\\nline\"} 1\n");
}
END_TEST

START_TEST(what_is_not_utf8_is_replaced)
{
	static const struct {
		const char *in, *out;
	} label[] = {
	    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
	    {"a\xff", "a\xef\xbf\xbd"},
	    {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
	    {"\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* overlong */
	    {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* surrogate */
	    {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	    {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"}, /* cut */
	    {"\x80", "\xef\xbf\xbd"},
	};

	for (size_t i = 0; i < sizeof(label) / sizeof(label[0]); i++) {
		char text[128];

		prometheus_u64(&page, "a", 1, PROMETHEUS_LABELS({"l", label[i].in}));
		snprintf(text, sizeof(text), "a{l=\"%s\"} 1\n", label[i].out);
		expect(text);
	}
}
END_TEST

START_TEST(doubles)
{
	prometheus_double(&page, "a", 0.1, NULL);
	prometheus_double(&page, "a", 1760000000.123, NULL);
	prometheus_double(&page, "a", -1, NULL);
	prometheus_double(&page, "a", NAN, NULL);
	prometheus_double(&page, "a", INFINITY, NULL);
	prometheus_double(&page, "a", -INFINITY, PROMETHEUS_LABELS({"l", "v"}));
	expect("a 0.1\na 1760000000.123\na -1\na NaN\na +Inf\na{l=\"v\"} -Inf\n");
}
END_TEST

START_TEST(a_histogram_is_cumulative)
{
	static struct histogram h;
	static struct histogram_snapshot s;
	static const uint64_t bounds[] = {1, 10, 100};

	histogram_record(&h, 1000, 1); /* at the bound of 1 us */
	histogram_record(&h, 1001, 2);
	histogram_record(&h, 50000, 4);
	histogram_record(&h, 10000000, 8);
	histogram_add(&s, &h);
	prometheus_histogram_us(&page, "h", &s, bounds, 3);
	expect("h_bucket{le=\"1\"} 1\nh_bucket{le=\"10\"} 3\nh_bucket{le=\"100\"} 7\n"
	       "h_bucket{le=\"+Inf\"} 15\nh_sum 80203.002\nh_count 15\n");
}
END_TEST

START_TEST(a_long_page_grows)
{
	size_t len;

	for (int i = 0; i < 100000; i++)
		prometheus_u64(&page, "a", 1, NULL);
	char *text = prometheus_finish(&page, &len);

	ck_assert_uint_eq(len, 400000);
	ck_assert_str_eq(text + len - 4, "a 1\n");
	free(text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("prometheus");
	TCase *t = tcase_create("text");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, an_empty_page);
	tcase_add_test(t, a_counter_with_and_without_labels);
	tcase_add_test(t, help_and_labels_are_escaped);
	tcase_add_test(t, what_is_not_utf8_is_replaced);
	tcase_add_test(t, doubles);
	tcase_add_test(t, a_histogram_is_cumulative);
	tcase_add_test(t, a_long_page_grows);
	suite_add_tcase(s, t);
	SRunner *runner = srunner_create(s);

	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
