/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_fixture.h"

START_TEST(first_start_is_empty)
{
	fx_start();
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 1);
	ck_assert_uint_eq(fx.report.shard_count, 1);
	ck_assert_uint_eq(fx_read(0), 0);
}
END_TEST

START_TEST(clean_stop_and_start)
{
	fx_start();
	fx_write(100);
	ck_assert_uint_eq(journal_writer_status(fx.writer)->durable_seq, 100);
	ck_assert_int_eq(journal_writer_close(fx.writer), 0);
	fx.writer = NULL;
	fx_kill();
	fx_start();
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 101);
	ck_assert_uint_eq(fx.report.shard[0].first_seq, 1);
	ck_assert_uint_eq(fx.report.torn_bytes, 0);
	ck_assert_uint_eq(fx.report.copied_records, 0);
	fx_write(100);
	ck_assert_uint_eq(fx_read(0), 200);
	ck_assert_uint_eq(fx_read(150), 200);
	ck_assert_int_eq(fx_segments(), 2);
}
END_TEST

START_TEST(kill_copies_the_memlog)
{
	fx_start();
	fx_write(50);
	fx_publish(30); /* published, not written */
	fx_append();    /* not published: nobody was told */
	fx_kill();
	fx_start();
	ck_assert_uint_eq(fx.report.copied_records, 30);
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 81);
	ck_assert_uint_eq(fx.report.torn_bytes, 0);
	ck_assert_uint_eq(fx_read(0), 80);
	fx_write(1);
	ck_assert_uint_eq(fx_read(0), 81);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("journal recovery");
	TCase *t = tcase_create("recovery");

	tcase_add_checked_fixture(t, fx_setup, fx_teardown);
	tcase_add_test(t, first_start_is_empty);
	tcase_add_test(t, clean_stop_and_start);
	tcase_add_test(t, kill_copies_the_memlog);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_run(suite());
}
