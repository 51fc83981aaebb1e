/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "journal/crc32c.h"
#include "journal_fixture.h"

static struct journal_reader *open_reader(uint64_t from)
{
	struct journal_reader *r = journal_reader_open(&fx.d, 0, from, fx.err);

	ck_assert_ptr_nonnull(r);
	return r;
}

/* read up to `last`, which must be there, and not further */
static void expect(struct journal_reader *r, uint64_t first, uint64_t last)
{
	const struct journal_record *record;

	for (uint64_t seq = first; seq <= last; seq++) {
		int result = journal_reader_next(r, &record);

		ck_assert_msg(result == 1, "%d at %d: %s", result, (int)seq,
		              journal_reader_error(r));
		ck_assert_uint_eq(record->seq, seq);
		fx_check_record(record);
	}
	ck_assert_int_eq(journal_reader_next(r, &record), 0);
}

static void flip(int segment, off_t at)
{
	char path[PATH_MAX];
	uint8_t byte;
	int fd;

	fx_segment(segment, path);
	fd = open(path, O_RDWR);
	ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

START_TEST(follows_a_growing_journal)
{
	struct journal_reader *a, *b;
	uint64_t last = 0;

	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	a = open_reader(0);
	b = open_reader(100);
	expect(a, 1, 0); /* nothing yet */
	for (int i = 0; i < 60; i++) {
		fx_write(17);
		expect(a, last + 1, last + 17);
		if (last + 17 >= 100)
			expect(b, last < 100 ? 100 : last + 1, last + 17);
		last += 17;
	}
	ck_assert_int_gt(fx_segments(), 3);
	ck_assert_uint_ge(journal_reader_durable(a), last - 17);
	journal_reader_close(a);
	journal_reader_close(b);
}
END_TEST

START_TEST(starts_anywhere)
{
	const char *file;
	uint64_t offset;

	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	for (int i = 0; i < 20; i++)
		fx_write(50);
	for (uint64_t from = 0; from < 1003; from++) {
		struct journal_reader *r = open_reader(from);
		const struct journal_record *record;

		ck_assert_int_eq(journal_reader_next(r, &record), from <= 1000);
		if (from <= 1000) {
			ck_assert_uint_eq(record->seq, from ? from : 1);
			journal_reader_where(r, &file, &offset);
			ck_assert_int_eq(strncmp(file, "shard-00-", 9), 0);
			ck_assert_uint_gt(offset, SEGMENT_HEADER_SIZE);
		}
		journal_reader_close(r);
	}
}
END_TEST

/* the follower goes on when the engine dies, is started again, and retention removes what was read */
START_TEST(follows_across_starts)
{
	uint64_t keep[JOURNAL_SHARDS_MAX];
	struct journal_reader *r;
	struct journal_dir d;

	memset(keep, 0xff, sizeof(keep));
	fx_start();
	fx_write(10);
	ck_assert_int_eq(journal_dir_open(&d, fx.dir, JOURNAL_READ, fx.err), 0);
	r = journal_reader_open(&d, 0, 0, fx.err);
	expect(r, 1, 10);
	fx_publish(10);
	free(fx.writer);
	fx.writer = NULL;
	munmap(fx.map, MEMLOG_SIZE);
	fx.map = NULL;
	memlog_detach(&fx.memlog);
	journal_dir_close(&fx.d);
	fx_start();
	fx_write(10);
	expect(r, 11, 30);
	ck_assert_int_ge(journal_retain(&fx.d, 0, keep), 1);
	fx_write(10);
	expect(r, 31, 40);
	journal_reader_close(r);
	journal_dir_close(&d);
}
END_TEST

/* what it still needed is gone: said, not skipped */
START_TEST(retention_overtakes_a_reader)
{
	uint64_t keep[JOURNAL_SHARDS_MAX], from, to;
	const struct journal_record *record;
	struct journal_reader *r;

	memset(keep, 0xff, sizeof(keep));
	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	fx_write(10);
	r = open_reader(0);
	expect(r, 1, 10);
	for (int i = 0; i < 40; i++)
		fx_write(50);
	ck_assert_int_ge(journal_retain(&fx.d, 0, keep), 1);
	ck_assert_int_eq(journal_reader_next(r, &record), -ERANGE);
	ck_assert_ptr_nonnull(strstr(journal_reader_error(r), "lacks sequence numbers 11 to "));
	ck_assert_int_eq(journal_reader_next(r, &record), -ERANGE); /* it stays */
	ck_assert_int_eq(journal_reader_skip(r, &from, &to), 1);
	ck_assert_uint_eq(from, 11);
	expect(r, to + 1, 2010);
	journal_reader_close(r);
}
END_TEST

START_TEST(damage_is_named_and_can_be_stepped_over)
{
	const struct journal_record *record;
	struct journal_reader *r;
	uint64_t from, to, offset;
	const char *file;

	fx_start();
	fx_write(10);
	fx_write(10);
	flip(0, SEGMENT_HEADER_SIZE + 64 + 20); /* the first record */
	r = open_reader(0);
	ck_assert_int_eq(journal_reader_next(r, &record), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(journal_reader_error(r),
	                             "shard-00-00000000000000000001.seg is damaged at "
	                             "offset 4160 (sequence number 1)"));
	journal_reader_where(r, &file, &offset);
	ck_assert_str_eq(file, "shard-00-00000000000000000001.seg");
	ck_assert_int_eq(journal_reader_skip(r, &from, &to), 1);
	ck_assert_uint_eq(from, 1);
	ck_assert_uint_eq(to, 1);
	expect(r, 2, 20);
	journal_reader_close(r);
}
END_TEST

/* what was never durable is no damage: the reader waits in front of it */
START_TEST(waits_before_a_torn_tail)
{
	const struct journal_record *record;
	struct journal_reader *r;

	fx_start();
	fx_write(10);
	flip(0, SEGMENT_HEADER_SIZE + 64 + 20);
	r = open_reader(0);
	ck_assert_int_eq(journal_reader_next(r, &record), 0);
	ck_assert_uint_gt(journal_reader_torn(r), 0);
	flip(0, SEGMENT_HEADER_SIZE + 64 + 20); /* as if the write were finished now */
	expect(r, 1, 10);
	journal_reader_close(r);
}
END_TEST

/* a segment that was abandoned keeps bytes that the next one has for good */
START_TEST(abandoned_tail_is_ignored)
{
	char first[PATH_MAX], second[PATH_MAX];
	int fd;

	fx_start();
	fx_write(10);
	fx_segment(0, first);
	snprintf(second, sizeof(second), "%s", first);
	fx_write(10);
	/* a second segment from 11 on, with the same records */
	journal_writer_close(fx.writer);
	fx.writer = journal_writer_open(&fx.d, &fx.memlog, 0, 11, &fx.options, fx.err);
	fx.memlog.header->released = fx.memlog.tail = 0;
	fx.memlog.tail_offset = 0;
	for (int i = 0; i < 10; i++) {
		const struct journal_record *r =
		    (const void *)(fx.memlog.data + fx.memlog.tail_offset);

		memlog_consume(&fx.memlog, r->length);
	}
	memlog_release(&fx.memlog);
	fx_drain();
	ck_assert_int_eq(fx_segments(), 2);
	ck_assert_uint_eq(fx_read(0), 20);
	ck_assert_uint_eq(fx_read(15), 20);
	/* even when they are damaged there */
	fd = open(first, O_RDWR);
	ck_assert_int_eq(pwrite(fd, "XXXXXXXX", 8, lseek(fd, 0, SEEK_END) - 200), 8);
	close(fd);
	ck_assert_uint_eq(fx_read(0), 20);
}
END_TEST

static struct journal_reader *fast; /* reads between write and sync */

static int read_then_fail(int fd)
{
	(void)fd;
	if (!fast)
		return 0;
	expect(fast, 1, 10);
	fast = NULL;
	return -EIO;
}

/* a reader saw records that are then written again, in other batches of a file of the same name */
START_TEST(segment_is_written_again)
{
	struct journal_reader *r;

	fx_io.datasync = read_then_fail;
	fx_start();
	r = fast = open_reader(0);
	fx_publish(10);
	ck_assert_int_eq(journal_writer_step(fx.writer), -EIO);
	ck_assert_ptr_null(fast);
	fx_publish(10);
	fx.now += 100000000;
	fx_drain();
	fx_write(10);
	ck_assert_int_eq(fx_segments(), 1);
	expect(r, 11, 30);
	journal_reader_close(r);
}
END_TEST

static _Atomic bool stop;

static void *read_along(void *arg)
{
	struct journal_reader *r = journal_reader_open(arg, 0, 0, fx.err);
	const struct journal_record *record;
	uint64_t next = 1;

	for (;;) {
		bool last = stop;
		int result = journal_reader_next(r, &record);

		if (result == 1)
			ck_assert_uint_eq(record->seq, next++);
		else if (result != 0)
			ck_abort_msg("%s", journal_reader_error(r));
		else if (last)
			break;
	}
	journal_reader_close(r);
	return (void *)(uintptr_t)(next - 1);
}

/* two readers run beside a writer that rolls segments: neither ever sees damage */
START_TEST(beside_a_running_writer)
{
	pthread_t thread[2];
	void *seen;

	stop = false;
	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, read_along, &fx.d), 0);
	for (int i = 0; i < 3000; i++) {
		fx_write(1 + i % 20);
		fx.now += i % 7 ? 0 : 150000000; /* seals in between */
	}
	stop = true;
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_join(thread[i], &seen), 0);
		ck_assert_uint_eq((uintptr_t)seen, 31500);
	}
}
END_TEST

START_TEST(newer_segment_is_refused)
{
	const struct journal_record *record;
	struct segment_header h;
	struct journal_reader *r;
	char path[PATH_MAX];
	uint8_t page[SEGMENT_HEADER_SIZE];
	int fd;

	fx_start();
	fx_write(1);
	fx_segment(0, path);
	fd = open(path, O_RDWR);
	ck_assert_int_eq(pread(fd, page, sizeof(page), 0), sizeof(page));
	memcpy(&h, page, sizeof(h));
	h.format = JOURNAL_FORMAT + 1;
	memcpy(page, &h, sizeof(h));
	h.crc = crc32c(page + 12, sizeof(page) - 12);
	memcpy(page, &h, sizeof(h));
	ck_assert_int_eq(pwrite(fd, page, sizeof(page), 0), sizeof(page));
	close(fd);
	r = open_reader(0);
	ck_assert_int_eq(journal_reader_next(r, &record), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(journal_reader_error(r), "has a newer format than"));
	journal_reader_close(r);
	fx_kill();
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_QUARANTINE, false), -ENOTSUP);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("journal reader");
	TCase *t = tcase_create("reader");

	tcase_add_checked_fixture(t, fx_setup, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, follows_a_growing_journal);
	tcase_add_test(t, starts_anywhere);
	tcase_add_test(t, follows_across_starts);
	tcase_add_test(t, retention_overtakes_a_reader);
	tcase_add_test(t, damage_is_named_and_can_be_stepped_over);
	tcase_add_test(t, waits_before_a_torn_tail);
	tcase_add_test(t, abandoned_tail_is_ignored);
	tcase_add_test(t, segment_is_written_again);
	tcase_add_test(t, beside_a_running_writer);
	tcase_add_test(t, newer_segment_is_refused);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_run(suite());
}
