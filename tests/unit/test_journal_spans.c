/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal/spans.h"

static char path[64];
static char err[JOURNAL_ERROR_MAX];
static struct journal_dir d;
static struct journal_recovery_report report;

static void setup(void)
{
	strcpy(path, "/tmp/fastpath-spans-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_assert_int_eq(journal_dir_open(&d, path, JOURNAL_MAKE, err), 0);
	report = (struct journal_recovery_report){.shard_count = 1};
}

static void teardown(void)
{
	char command[128];

	journal_dir_close(&d);
	snprintf(command, sizeof(command), "rm -rf %s", path);
	ck_assert_int_eq(system(command), 0);
}

/* one life of an engine: it starts, and leaves its shards at these next sequence numbers */
static void live(const char *engine, uint32_t shards, uint64_t next0, uint64_t next1)
{
	ck_assert_int_eq(journal_spans_begin(&d, engine, shards, &report, err), 0);
	ck_assert_int_eq(journal_dir_begin(&d, engine, shards, err), 0);
	report.shard_count = 2;
	report.shard[0].next_seq = next0;
	report.shard[1].next_seq = next1;
}

START_TEST(the_same_engine_makes_no_span)
{
	struct journal_spans s;

	live("a", 1, 11, 0);
	live("a", 1, 21, 0);
	live("a", 1, 31, 0);
	ck_assert_int_eq(journal_spans_read(&s, &d, err), 0);
	ck_assert_uint_eq(s.count, 0);
	ck_assert_str_eq(journal_spans_engine(&s, 0, 5, "a"), "a");
	journal_spans_free(&s);
}
END_TEST

START_TEST(another_engine_or_shard_count_ends_a_span)
{
	struct journal_spans s;

	live("a", 1, 11, 0);
	live("b", 1, 21, 0); /* a: 1..10 */
	live("b", 2, 31, 6); /* b: 11..20, with one shard */
	live("b", 2, 41, 9);
	live("a", 2, 41, 9); /* b: 21..40 and 1..8, with two */
	live("c", 2, 41, 9); /* a wrote nothing */
	ck_assert_int_eq(journal_spans_read(&s, &d, err), 0);
	ck_assert_uint_eq(s.count, 3);
	ck_assert_str_eq(s.span[0].engine, "a");
	ck_assert_uint_eq(s.span[0].end[0], 10);
	ck_assert_str_eq(s.span[1].engine, "b");
	ck_assert_uint_eq(s.span[1].shards, 1);
	ck_assert_uint_eq(s.span[1].end[0], 20);
	ck_assert_uint_eq(s.span[2].shards, 2);
	ck_assert_uint_eq(s.span[2].end[0], 40);
	ck_assert_uint_eq(s.span[2].end[1], 8);
	ck_assert_str_eq(journal_spans_engine(&s, 0, 10, "c"), "a");
	ck_assert_str_eq(journal_spans_engine(&s, 0, 11, "c"), "b");
	ck_assert_str_eq(journal_spans_engine(&s, 1, 8, "c"), "b");
	ck_assert_str_eq(journal_spans_engine(&s, 1, 9, "c"), "c");
	journal_spans_free(&s);
}
END_TEST

START_TEST(what_is_delivered_is_remembered)
{
	struct journal_spans s;

	live("a", 1, 11, 0);
	live("b", 1, 21, 0);
	live("c", 1, 31, 0);
	ck_assert_int_eq(journal_spans_delivered(&d, 0, err), 0);
	ck_assert_int_eq(journal_spans_read(&s, &d, err), 0);
	ck_assert_uint_eq(s.count, 2);
	ck_assert(s.span[0].delivered);
	ck_assert(!s.span[1].delivered);
	journal_spans_free(&s);
}
END_TEST

static const char *const damaged[] = {
    "",
    "{",
    "[]",
    "{\"spans\": 1}",
    "{\"spans\": [{}]}",
    "{\"spans\": [{\"engine\": \"a\", \"shards\": 99, \"ends\": []}]}",
    "{\"spans\": [{\"engine\": \"a\", \"shards\": 1, \"ends\": [-1]}]}",
    "{\"spans\": [{\"engine\": \"a\", \"shards\": 1, \"ends\": [\"x\"]}]}",
};

START_TEST(damage_is_an_error)
{
	struct journal_spans s;
	char name[128];
	FILE *f;

	snprintf(name, sizeof(name), "%s/spans.json", path);
	f = fopen(name, "w");
	ck_assert_ptr_nonnull(f);
	fputs(damaged[_i], f);
	fclose(f);
	ck_assert_int_eq(journal_spans_read(&s, &d, err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err, "spans.json is damaged: "));
	journal_spans_free(&s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("journal_spans");
	TCase *t = tcase_create("spans");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_same_engine_makes_no_span);
	tcase_add_test(t, another_engine_or_shard_count_ends_a_span);
	tcase_add_test(t, what_is_delivered_is_remembered);
	tcase_add_loop_test(t, damage_is_an_error, 0, sizeof(damaged) / sizeof(damaged[0]));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
