/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_faults.h"

static int written_marks, durable_marks;
static char said[4096];

static void count_written(void *arg, uint64_t latency_ns)
{
	(void)arg;
	ck_assert_uint_lt(latency_ns, 10000000000);
	written_marks++;
}

static void count_durable(void *arg, uint64_t latency_ns)
{
	(void)arg;
	ck_assert_uint_lt(latency_ns, 10000000000);
	durable_marks++;
}

static void listen(void *arg, int level, const char *line)
{
	size_t used = strlen(said);

	(void)arg;
	snprintf(said + used, sizeof(said) - used, "<%d>%s\n", level, line);
}

static void setup(void)
{
	fx_setup();
	faults_setup();
	written_marks = durable_marks = 0;
	said[0] = '\0';
	fx.options.on_written = count_written;
	fx.options.on_durable = count_durable;
	fx.options.log = listen;
}

static const struct journal_writer_status *status(void)
{
	return journal_writer_status(fx.writer);
}

/* step through faults until everything is durable; time passes */
static void insist(void)
{
	for (int i = 0; i < 1000; i++) {
		int r = journal_writer_step(fx.writer);

		if (r == 0 && memlog_used(&fx.memlog) == 0)
			return;
		if (r < 0)
			fx.now += 100000000;
	}
	ck_abort_msg("records do not become durable: %s", said);
}

static void close_writer(void)
{
	ck_assert_int_eq(journal_writer_close(fx.writer), 0);
	fx.writer = NULL;
}

START_TEST(open_refuses_small_segments)
{
	fx_start();
	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN - 1;
	ck_assert_ptr_null(journal_writer_open(&fx.d, &fx.memlog, 0, 1, &fx.options, fx.err));
	ck_assert_str_eq(fx.err, "segments of 32767 bytes are too small: use 32768 or more");
}
END_TEST

START_TEST(creates_nothing_without_records)
{
	fx_start();
	fx_drain();
	ck_assert_int_eq(fx_segments(), 0);
	close_writer();
	ck_assert_int_eq(fx_segments(), 0);
}
END_TEST

/* file and directory are synced before the first record is called durable */
START_TEST(first_acknowledgement_waits_for_the_directory)
{
	fx_start();
	fx_publish(5);
	ck_assert_int_eq(journal_writer_step(fx.writer), 5);
	ck_assert_int_eq(faults.calls[FAULT_SYNC], 1);
	ck_assert_int_eq(faults.calls[FAULT_SYNC_DIR], 1);
	ck_assert_uint_eq(status()->durable_seq, 5);
	ck_assert_uint_eq(status()->written_seq, 5);
	fx_publish(5);
	ck_assert_int_eq(journal_writer_step(fx.writer), 5);
	ck_assert_int_eq(faults.calls[FAULT_SYNC], 2);
	ck_assert_int_eq(faults.calls[FAULT_SYNC_DIR], 1);
	ck_assert_int_eq(written_marks, 2);
	ck_assert_int_eq(durable_marks, 2);
}
END_TEST

START_TEST(rolls_segments)
{
	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	for (int i = 0; i < 40; i++)
		fx_write(50);
	ck_assert_int_gt(fx_segments(), 5);
	ck_assert_uint_eq(fx_read(0), 2000);
	for (uint64_t from = 1; from <= 2000; from += 97)
		ck_assert_uint_eq(fx_read(from), 2000);
	close_writer();
	fx_kill();
	fx_start();
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 2001);
	ck_assert_str_eq(fx.log, "");
}
END_TEST

START_TEST(largest_records_fit_the_smallest_segment)
{
	static const uint8_t payload[EVENT_PAYLOAD_MAX], key[EVENT_KEY_MAX];
	struct journal_entry e = {.type = JOURNAL_EVENT,
	                          .key = key,
	                          .key_len = EVENT_KEY_MAX,
	                          .payload = payload,
	                          .payload_len = EVENT_PAYLOAD_MAX};
	struct journal_reader *r;
	const struct journal_record *record;
	int count = 0;

	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx.options.group_bytes = 1;
	fx_start();
	for (int i = 0; i < 10; i++)
		ck_assert_uint_ne(memlog_append_entry(&fx.memlog, &e), 0);
	memlog_publish(&fx.memlog, fx.now);
	fx_drain();
	r = journal_reader_open(&fx.d, 0, 0, fx.err);
	while (journal_reader_next(r, &record) == 1)
		count++;
	ck_assert_int_eq(count, 10);
	journal_reader_close(r);
}
END_TEST

/* idle: the durable end is named, once */
START_TEST(seals_when_idle)
{
	struct segment_cursor c;
	struct segment_list l;

	fx_start();
	fx_write(3);
	fx.now += 99000000;
	fx_drain();
	ck_assert_int_eq(faults.calls[FAULT_WRITE], 2); /* header and batch */
	fx.now += 2000000;
	fx_drain();
	ck_assert_int_eq(faults.calls[FAULT_WRITE], 3);
	fx.now += 500000000;
	fx_drain();
	ck_assert_int_eq(faults.calls[FAULT_WRITE], 3);
	ck_assert_int_eq(segment_list_read(&fx.d, &l), 0);
	ck_assert_int_eq(segment_open(&c, &fx.d, &l.item[0]), 0);
	ck_assert_int_eq(segment_skip_to(&c, UINT64_MAX), 0);
	ck_assert_uint_eq(c.durable, 3);
	segment_close(&c);
	segment_list_free(&l);
	fx_write(3);
	ck_assert_uint_eq(fx_read(0), 6);
}
END_TEST

START_TEST(short_writes_are_continued)
{
	faults.short_write = 100;
	fx_start();
	fx_write(200);
	ck_assert_uint_eq(fx_read(0), 200);
	ck_assert_uint_eq(status()->errors, 0);
}
END_TEST

/* what is written when call number _i and the next ones fail, whichever they are, is all there in the end */
START_TEST(any_failing_call_loses_nothing)
{
	uint64_t acknowledged;

	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	faults.partial = _i % 2;
	faults.error = _i % 3 ? EIO : ENOSPC;
	faults.fail_first = _i / 2 + 1;
	faults.fail_last = _i / 2 + 1 + _i % 4;
	for (int round = 0; round < 12; round++) {
		fx_publish(60);
		acknowledged = status()->durable_seq;
		journal_writer_step(fx.writer);
		ck_assert_uint_ge(status()->durable_seq, acknowledged);
		if (status()->failing) {
			ck_assert_int_eq(status()->failing, faults.error);
			/* it waits 100 ms before it tries again */
			ck_assert_int_eq(journal_writer_step(fx.writer), -faults.error);
			fx.now += 100000000;
		}
		/* what is called durable can be read, now and in order */
		if (status()->durable_seq > 0)
			ck_assert_uint_ge(fx_read(0), status()->durable_seq);
	}
	insist();
	ck_assert_uint_eq(status()->durable_seq, 720);
	ck_assert_int_eq(status()->failing, 0);
	ck_assert_uint_ge(status()->errors, 1);
	ck_assert_uint_eq(fx_read(0), 720);
	close_writer();
	fx_kill();
	fx_start();
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 721);
	ck_assert_uint_eq(fx.report.torn_bytes, 0);
	ck_assert_uint_eq(fx_read(0), 720);
}
END_TEST

/* the same, and the engine dies while the fault lasts */
START_TEST(any_failing_call_and_a_kill)
{
	uint64_t acknowledged;

	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	faults.partial = _i % 2;
	faults.fail_first = _i / 2 + 1;
	faults.fail_last = INT_MAX;
	for (int round = 0; round < 12; round++) {
		fx_publish(60);
		journal_writer_step(fx.writer);
	}
	acknowledged = status()->durable_seq;
	ck_assert_int_lt((int)acknowledged, 720);
	fx_kill();
	faults.fail_first = INT_MAX;
	fx_start();
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 721);
	ck_assert_uint_eq(fx_read(0), 720);
	fx_write(10);
	ck_assert_uint_eq(fx_read(0), 730);
}
END_TEST

START_TEST(full_disk_heals)
{
	fx_start();
	fx_write(10);
	faults.fail_first = 0;
	faults.fail_last = INT_MAX;
	faults.error = ENOSPC;
	faults.partial = true;
	fx_publish(10);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(journal_writer_step(fx.writer), -ENOSPC);
		fx.now += 100000000;
	}
	ck_assert_int_eq(status()->failing, ENOSPC);
	ck_assert_uint_eq(fx_read(0), 10);
	faults.fail_last = 0;
	fx_drain();
	ck_assert_int_eq(status()->failing, 0);
	ck_assert_uint_eq(fx_read(0), 20);
	ck_assert_ptr_nonnull(strstr(said, "<3>shard 0: cannot write the journal in "));
	ck_assert_ptr_nonnull(strstr(said, "No space left on device"));
	ck_assert_ptr_nonnull(strstr(said, "is written again from sequence number 11 on"));
	/* the fault is said once, not at every try */
	ck_assert_ptr_null(strstr(strstr(said, "cannot write") + 1, "cannot write"));
}
END_TEST

/* the real system call: no file is left that could not be preallocated */
START_TEST(no_room_leaves_no_file)
{
	const size_t huge = (size_t)1 << 60;

	fx_start();
	ck_assert_int_lt(journal_io_system.open_segment(fx.d.fd, "shard-00-x.seg", huge), 0);
	ck_assert_int_eq(faccessat(fx.d.fd, "shard-00-x.seg", F_OK, 0), -1);
}
END_TEST

START_TEST(close_with_unwritten_records_keeps_the_memlog)
{
	fx_start();
	fx_publish(3);
	ck_assert_int_eq(journal_writer_close(fx.writer), -EAGAIN);
	fx.writer = NULL;
	fx_kill();
	fx_start();
	ck_assert_uint_eq(fx.report.copied_records, 3);
}
END_TEST

START_TEST(damaged_memlog_is_not_written)
{
	fx_start();
	fx_publish(3);
	((struct journal_record *)fx.memlog.data)->seq = 9;
	ck_assert_int_eq(journal_writer_step(fx.writer), -EBADMSG);
	ck_assert_int_eq(journal_writer_step(fx.writer), -EBADMSG);
	ck_assert_int_eq(status()->failing, EBADMSG);
	ck_assert_uint_eq(status()->durable_seq, 0);
	ck_assert_ptr_nonnull(strstr(said, "do not follow sequence number 0"));
}
END_TEST

START_TEST(no_sync_writes_through)
{
	fx.options.sync = JOURNAL_SYNC_NONE;
	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	fx_write(50);
	ck_assert_int_eq(faults.calls[FAULT_SYNC], 1); /* the new file */
	fx_write(10);
	ck_assert_int_eq(faults.calls[FAULT_SYNC], 1);
	ck_assert_uint_eq(status()->durable_seq, 60);
	for (int i = 0; i < 20; i++)
		fx_write(50);
	ck_assert_uint_eq(fx_read(0), 1060);
	fx_kill(); /* what was written stays in the page cache */
	fx_start();
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 1061);
}
END_TEST

START_TEST(discard_writes_nothing)
{
	fx.options.discard = true;
	fx_start();
	fx_write(100);
	ck_assert_uint_eq(status()->durable_seq, 100);
	ck_assert_uint_eq(memlog_used(&fx.memlog), 0);
	ck_assert_int_eq(fx_segments(), 0);
	ck_assert_int_eq(faults.count, 0);
	fx_publish(1);
	fx.memlog.data[fx.memlog.tail_offset + 20] ^= 1;
	ck_assert_int_eq(journal_writer_step(fx.writer), -EBADMSG);
}
END_TEST

START_TEST(retention_removes_the_oldest)
{
	uint64_t keep[JOURNAL_SHARDS_MAX], bytes, first;
	int segments;

	memset(keep, 0xff, sizeof(keep));
	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	for (int i = 0; i < 40; i++)
		fx_write(50);
	fx.now += 2000000000;
	fx_drain();
	segments = fx_segments();
	bytes = status()->bytes;
	ck_assert_uint_eq(status()->segments, (uint64_t)segments);
	ck_assert_int_eq(journal_retain(&fx.d, bytes, keep), 0);
	ck_assert_int_eq(journal_retain(&fx.d, bytes - 1, keep), 1);
	fx.now += 2000000000;
	fx_drain();
	first = status()->first_seq;
	ck_assert_uint_gt(first, 1);
	ck_assert_uint_lt(status()->bytes, bytes);
	ck_assert_uint_eq(fx_read(0), 2000);
	keep[0] = first; /* someone still needs this one */
	ck_assert_int_eq(journal_retain(&fx.d, 0, keep), 0);
	keep[0] = UINT64_MAX;
	ck_assert_int_eq(journal_retain(&fx.d, 0, keep), segments - 2);
	ck_assert_int_eq(fx_segments(), 1); /* never the last: it tells where the shard goes on */
	fx_write(1);
	fx_kill();
	fx_start();
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 2002);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("journal writer");
	TCase *t = tcase_create("writer");

	tcase_add_checked_fixture(t, setup, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, open_refuses_small_segments);
	tcase_add_test(t, creates_nothing_without_records);
	tcase_add_test(t, first_acknowledgement_waits_for_the_directory);
	tcase_add_test(t, rolls_segments);
	tcase_add_test(t, largest_records_fit_the_smallest_segment);
	tcase_add_test(t, seals_when_idle);
	tcase_add_test(t, short_writes_are_continued);
	tcase_add_loop_test(t, any_failing_call_loses_nothing, 0, 96);
	tcase_add_loop_test(t, any_failing_call_and_a_kill, 0, 80);
	tcase_add_test(t, full_disk_heals);
	tcase_add_test(t, no_room_leaves_no_file);
	tcase_add_test(t, close_with_unwritten_records_keeps_the_memlog);
	tcase_add_test(t, damaged_memlog_is_not_written);
	tcase_add_test(t, no_sync_writes_through);
	tcase_add_test(t, discard_writes_nothing);
	tcase_add_test(t, retention_removes_the_oldest);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_run(suite());
}
