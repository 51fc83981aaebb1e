/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_fixture.h"

static char segment[PATH_MAX];
static uint8_t *bytes; /* of the first segment, undamaged */
static size_t length;
static size_t batch[64];
static int batch_count;

/* 60 records in six batches and two segments, all durable, the engine gone without a memlog */
static void setup(void)
{
	struct stat st;
	int fd;

	fx_setup();
	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	for (int i = 0; i < 5; i++)
		fx_write(10);
	fx_segment(0, segment);
	ck_assert_int_eq(journal_writer_close(fx.writer), 0);
	fx.writer = NULL;
	fx_kill();
	fx_start();
	fx_write(10);
	fx_kill();
	fx_remove(fx.memory);
	ck_assert_int_eq(mkdir(fx.memory, 0700), 0);
	ck_assert_int_eq(stat(segment, &st), 0);
	length = (size_t)st.st_size;
	bytes = malloc(length);
	fd = open(segment, O_RDONLY);
	ck_assert_int_eq(read(fd, bytes, length), st.st_size);
	close(fd);
	batch_count = 0;
	for (size_t at = SEGMENT_HEADER_SIZE; at < length;
	     at += 64 + ((const struct segment_batch *)(bytes + at))->length)
		batch[batch_count++] = at;
	ck_assert_int_eq(batch_count, 6); /* with the seal */
}

static void teardown(void)
{
	free(bytes);
	fx_teardown();
}

static void store(void)
{
	int fd = open(segment, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, length), (ssize_t)length);
	close(fd);
}

/* every sequence number from 1 to 60 once, as a record or in a gap; returns how many are in gaps */
static uint64_t read_with_gaps(void)
{
	struct journal_reader *r = journal_reader_open(&fx.d, 0, 0, fx.err);
	const struct journal_record *record;
	uint64_t next = 1, lost = 0;
	int result;

	while ((result = journal_reader_next(r, &record)) == 1) {
		ck_assert_uint_eq(record->seq, next);
		if (record->type == JOURNAL_GAP) {
			struct journal_gap gap;

			memcpy(&gap, journal_record_payload(record), sizeof(gap));
			ck_assert_uint_eq(gap.count, segment_record_span(record));
			ck_assert(gap.reason == JOURNAL_GAP_DAMAGED ||
			          gap.reason == JOURNAL_GAP_MISSING);
			lost += gap.count;
		} else {
			fx_check_record(record);
		}
		next += segment_record_span(record);
	}
	ck_assert_msg(result == 0, "%s", journal_reader_error(r));
	ck_assert_uint_eq(next, 61);
	journal_reader_close(r);
	return lost;
}

static int quarantined(void)
{
	char path[PATH_MAX];
	struct dirent *e;
	int count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/" JOURNAL_QUARANTINE, fx.dir);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		count += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return count;
}

/* any one byte: at most one record is lost, and after the repair a start has nothing to complain about */
START_TEST(repairs_any_byte)
{
	for (size_t i = (size_t)_i; i < length; i += getenv("SOAK") ? 16 : 112) {
		uint64_t lost;
		bool again;

		bytes[i] ^= 0x5a;
		store();
		bytes[i] ^= 0x5a;
		ck_assert_msg(fx_recover(JOURNAL_DAMAGE_QUARANTINE, true) == 0, "%s", fx.err);
		lost = read_with_gaps();
		ck_assert_msg(lost <= 1, "byte %zu cost %d records", i, (int)lost);
		/* headers can be made anew, records cannot */
		if (i < batch[0] + 64)
			ck_assert_uint_eq(lost, 0);
		ck_assert_uint_eq(fx.report.quarantined, lost);
		ck_assert_uint_eq(fx.report.shard[0].next_seq, 61);
		again = fx.log[0] != '\0';
		/* the seal at the end is not needed: another segment follows */
		ck_assert(again == (i < batch[5]));
		ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_REFUSE, true), 0);
		ck_assert_str_eq(fx.log, "");
	}
	ck_assert_int_gt(quarantined(), 0);
}
END_TEST

/* longer damage: everything before it and behind it is kept */
START_TEST(repairs_ranges)
{
	for (size_t from = 0; from < batch[4]; from += 512) {
		uint8_t kept[3000];
		size_t n = length - from < sizeof(kept) ? length - from : sizeof(kept);
		uint64_t lost;

		memcpy(kept, bytes + from, n);
		memset(bytes + from, _i ? 0xff : 0, n);
		store();
		memcpy(bytes + from, kept, n);
		ck_assert_msg(fx_recover(JOURNAL_DAMAGE_QUARANTINE, true) == 0, "%s", fx.err);
		lost = read_with_gaps();
		ck_assert_uint_eq(lost, fx.report.quarantined);
		ck_assert_uint_lt(lost, 33); /* 3000 bytes hold no more */
	}
}
END_TEST

START_TEST(repairs_a_cut_file)
{
	for (size_t cut = 0; cut < length; cut += 97) {
		size_t whole = length;

		length = cut;
		store();
		length = whole;
		ck_assert_msg(fx_recover(JOURNAL_DAMAGE_QUARANTINE, true) == 0, "%s", fx.err);
		ck_assert_uint_eq(read_with_gaps(), fx.report.quarantined);
		if (cut < batch[0])
			ck_assert_uint_eq(fx.report.quarantined, 50);
	}
}
END_TEST

START_TEST(keeps_the_damaged_file)
{
	char path[PATH_MAX];
	struct stat st;

	bytes[batch[1] + 100] ^= 1;
	store();
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_QUARANTINE, false), 0);
	/* sealed and not the last: a start does not look inside */
	ck_assert_int_eq(quarantined(), 0);
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_QUARANTINE, true), 0);
	ck_assert_int_eq(quarantined(), 1);
	snprintf(path, sizeof(path), "%s/" JOURNAL_QUARANTINE "/%s.0", fx.dir,
	         strrchr(segment, '/') + 1);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, (off_t)length);
	ck_assert_ptr_nonnull(strstr(fx.log, "is damaged at offset"));
	ck_assert_ptr_nonnull(strstr(fx.log,
	                             "the file was moved to quarantine/, 1 sequence numbers "
	                             "are now gaps"));
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_QUARANTINE, true), 0);
	ck_assert_int_eq(quarantined(), 1);
}
END_TEST

START_TEST(killed_anywhere_and_run_again)
{
	for (int n = 0;; n++) {
		bool killed;

		teardown();
		setup();
		bytes[batch[1] + 100] ^= 1;
		store();
		bytes[batch[1] + 100] ^= 1;
		killed = fx_recover_killed(n, JOURNAL_DAMAGE_QUARANTINE, true);
		ck_assert_msg(fx_recover(JOURNAL_DAMAGE_QUARANTINE, true) == 0, "%s", fx.err);
		ck_assert_uint_eq(read_with_gaps(), 1);
		ck_assert_int_eq(quarantined(), 1);
		ck_assert_int_eq(fx_segments(), 2);
		if (!killed) {
			ck_assert_int_gt(n, 20);
			break;
		}
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("journal repair");
	TCase *t = tcase_create("repair");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, repairs_any_byte, 0, 16);
	tcase_add_loop_test(t, repairs_ranges, 0, 2);
	tcase_add_test(t, repairs_a_cut_file);
	tcase_add_test(t, keeps_the_damaged_file);
	tcase_add_test(t, killed_anywhere_and_run_again);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_run(suite());
}
