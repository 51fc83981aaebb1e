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

/* --- memlogs ------------------------------------------------------------------------------- */

/* killed with any number of records durable, released late, published and appended */
START_TEST(kill_at_every_state)
{
	int durable = _i % 4, late = _i / 4 % 4, published = _i / 16 % 4, appended = _i / 64;
	uint64_t released, released_seq;

	fx_start();
	if (durable)
		fx_write(durable * 7);
	released = fx.memlog.header->released;
	released_seq = fx.memlog.header->released_seq;
	if (late)
		fx_write(late * 5);
	/* the kill came between fdatasync and the release */
	fx.memlog.header->released = released;
	fx.memlog.header->released_seq = released_seq;
	if (published)
		fx_publish(published * 3);
	for (int i = 0; i < appended; i++)
		fx_append();
	fx_kill();
	fx_start();
	ck_assert_uint_eq(fx.report.copied_records, (uint64_t)published * 3);
	ck_assert_uint_eq(fx.report.shard[0].next_seq,
	                  (uint64_t)(durable * 7 + late * 5 + published * 3 + 1));
	ck_assert_uint_eq(fx.report.torn_bytes, 0);
	fx_write(2);
	ck_assert_uint_eq(fx_read(0), fx.report.shard[0].next_seq + 1);
}
END_TEST

/* the ring has gone round when the kill comes, at any place */
START_TEST(kill_behind_a_wrap)
{
	fx_start();
	for (int i = 0; i < 40 + _i; i++)
		fx_write(37);
	fx_publish(1500);
	ck_assert_uint_gt(fx.memlog.header->released, fx.memlog.capacity / 2);
	fx_kill();
	fx_start();
	ck_assert_uint_eq(fx.report.copied_records, 1500);
	ck_assert_uint_eq(fx_read(0), (uint64_t)(40 + _i) * 37 + 1500);
}
END_TEST

START_TEST(header_at_any_page)
{
	fx_start();
	fx_kill();
	fx_recover(JOURNAL_DAMAGE_REFUSE, false); /* lets the memlog of fx_start go */
	fx_memlog(0, 1, (size_t)_i);
	fx_publish(20);
	fx_kill();
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_REFUSE, false), 0);
	ck_assert_uint_eq(fx.report.copied_records, _i < 64 ? 20 : 0);
}
END_TEST

START_TEST(files_never_used_are_removed)
{
	char path[PATH_MAX];
	const size_t size[] = {0, 100, 4096, 1 << 20};

	fx_start();
	for (uint32_t i = 0; i < 4; i++) {
		journal_memlog_path(path, fx.memory, &fx.d, i + 1);
		ck_assert_int_eq(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
		ck_assert_int_eq(truncate(path, (off_t)size[i]), 0);
	}
	fx_kill();
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_REFUSE, false), 0);
	for (uint32_t i = 0; i < 5; i++) {
		journal_memlog_path(path, fx.memory, &fx.d, i);
		ck_assert_int_eq(access(path, F_OK), -1);
	}
}
END_TEST

START_TEST(shards_of_a_larger_engine)
{
	char path[PATH_MAX];

	fx_start();
	fx_write(5);
	munmap(fx.map, MEMLOG_SIZE);
	memlog_detach(&fx.memlog);
	fx_memlog(7, 1, 3);
	fx_publish(11);
	fx_kill();
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_REFUSE, false), 0);
	ck_assert_uint_eq(fx.report.shard_count, 8);
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 6);
	ck_assert_uint_eq(fx.report.shard[3].next_seq, 1);
	ck_assert_uint_eq(fx.report.shard[7].next_seq, 12);
	ck_assert_uint_eq(fx.report.shard[7].first_seq, 1);
	journal_memlog_path(path, fx.memory, &fx.d, 7);
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(hole_between_disk_and_memlog)
{
	char path[PATH_MAX];

	fx_start();
	fx_write(10);
	journal_writer_close(fx.writer); /* the segment of 1 to 10 */
	fx.writer = NULL;
	fx_kill();
	fx_start();
	fx_write(10);  /* 11 to 20 */
	fx_publish(5); /* 21 to 25 */
	fx_segment(1, path);
	fx_kill();
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_QUARANTINE, false), -ERANGE);
	ck_assert_ptr_nonnull(strstr(fx.err, "hole between disk and memlog: segments of shard 0"));
	ck_assert_ptr_nonnull(strstr(fx.err, "end with sequence number 10, the memlog follows 20"));
	/* only asked for explicitly it becomes a gap */
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_QUARANTINE, true), 0);
	ck_assert_uint_eq(fx.report.quarantined, 10);
	ck_assert_uint_eq(fx.report.copied_records, 5);
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 26);
}
END_TEST

/* all segments are gone, the memlog is not */
START_TEST(hole_before_everything)
{
	char path[PATH_MAX];

	fx_start();
	fx_write(10);
	fx_segment(0, path);
	fx_publish(_i);
	fx_kill();
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_REFUSE, false), -ERANGE);
	ck_assert_ptr_nonnull(strstr(fx.err, "end with sequence number 0, memlog "));
	ck_assert_ptr_nonnull(strstr(fx.err, "goes on with 11;"));
}
END_TEST

START_TEST(damage_inside_a_memlog)
{
	uint64_t at;

	fx_start();
	fx_write(10);
	at = fx.memlog.head_offset;
	fx_publish(30);
	((struct journal_record *)(fx.memlog.data + at))->rx_time_ns ^= 1;
	fx_kill();
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_REFUSE, false), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(fx.err, "/memory/fastpath-"));
	/* its file has one page before the header, and the header's page */
	snprintf(fx.log, sizeof(fx.log), "is damaged at offset %d (sequence number 11)",
	         (int)at + 2 * 4096);
	ck_assert_msg(strstr(fx.err, fx.log) != NULL, "%s", fx.err);
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_QUARANTINE, false), 0);
	ck_assert_uint_eq(fx.report.quarantined, 1);
	ck_assert_uint_eq(fx.report.copied_records, 29);
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 41);
}
END_TEST

START_TEST(newer_memlog_is_refused)
{
	fx_start();
	fx.memlog.header->version = MEMLOG_VERSION + 1;
	fx.memlog.header->crc = memlog_header_crc(fx.memlog.header);
	fx_kill();
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_QUARANTINE, false), -ENOTSUP);
	ck_assert_ptr_nonnull(
	    strstr(fx.err, "has format 2, this version reads 1; start the version"));
}
END_TEST

START_TEST(memlog_with_a_damaged_header_is_not_taken_for_unused)
{
	fx_start();
	fx_publish(3);
	fx.memlog.header->first_seq ^= 64;
	fx_kill();
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_QUARANTINE, false), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(fx.err, "the checksum of its header is wrong; move it away"));
}
END_TEST

START_TEST(memlog_positions_out_of_range)
{
	fx_start();
	fx_publish(3);
	fx.memlog.header->published = 1ull << 40;
	fx_kill();
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_QUARANTINE, false), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(fx.err, "its positions make no sense"));
}
END_TEST

/* a torn tail, a memlog to copy, a file that was never used: killed at every system call of the recovery,
 * and run again */
START_TEST(killed_while_recovering)
{
	char path[PATH_MAX];
	bool killed = true;
	int n;

	for (n = 0; killed; n++) {
		int fd;

		fx_teardown();
		fx_setup();
		fx_start();
		fx_write(10);
		fx_publish(25);
		fx_segment(0, path);
		fd = open(path, O_RDWR);
		/* half of a batch that was being written */
		ck_assert_int_eq(pwrite(fd, SEGMENT_BATCH_MAGIC "torn", 12, 40000), 12);
		close(fd);
		journal_memlog_path(path, fx.memory, &fx.d, 5);
		ck_assert_int_eq(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
		fx_kill();
		killed = fx_recover_killed(n, JOURNAL_DAMAGE_REFUSE, false);
		ck_assert_msg(fx_recover(JOURNAL_DAMAGE_REFUSE, false) == 0, "call %d: %s", n,
		              fx.err);
		ck_assert_uint_eq(fx.report.shard[0].next_seq, 36);
		ck_assert_uint_eq(fx_read(0), 35);
		ck_assert_int_eq(access(path, F_OK), -1);
	}
	ck_assert_int_gt(n, 60);
}
END_TEST

/* --- torn tails and damage ------------------------------------------------------------------ */

static uint8_t *load(const char *path, size_t *len)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	uint8_t *bytes;

	ck_assert_int_eq(fstat(fd, &st), 0);
	*len = (size_t)st.st_size;
	bytes = malloc(*len);
	ck_assert_int_eq(read(fd, bytes, *len), st.st_size);
	close(fd);
	return bytes;
}

static void store(const char *path, const uint8_t *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

/* offsets of the batch headers of a segment, and its end */
static int batches(const uint8_t *bytes, size_t len, size_t at[64])
{
	size_t offset = SEGMENT_HEADER_SIZE;
	int count = 0;

	while (offset + 64 <= len && !memcmp(bytes + offset, SEGMENT_BATCH_MAGIC, 8)) {
		at[count++] = offset;
		offset += 64 + ((const struct segment_batch *)(bytes + offset))->length;
	}
	at[count] = offset;
	return count;
}

/* a power loss: 30 records in three groups, the last one never synced in full. Leaves the first
 * segment's bytes and path; the memlog is gone */
static uint8_t *power_loss(char path[PATH_MAX], size_t *len)
{
	char memlog[PATH_MAX];

	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	for (int i = 0; i < 3; i++)
		fx_write(10);
	fx_segment(0, path);
	journal_memlog_path(memlog, fx.memory, &fx.d, 0);
	fx_kill();
	ck_assert_int_eq(unlink(memlog), 0);
	return load(path, len);
}

/* the last batch cut, or zeroed from, every byte on */
START_TEST(torn_at_every_byte)
{
	size_t len, at[64] = {0};
	char path[PATH_MAX], copy[PATH_MAX];
	uint8_t *bytes = power_loss(path, &len);
	int count = batches(bytes, len, at);

	ck_assert_int_eq(count, 3);
	snprintf(copy, sizeof(copy), "%s/copy", fx.base);
	for (size_t cut = at[2]; cut < at[3]; cut++) {
		uint8_t *torn = calloc(1, len);
		bool same;

		memcpy(torn, bytes, cut);
		same = _i && !memcmp(torn, bytes, len); /* zeros where padding was */
		store(path, torn, _i ? len : cut);
		free(torn);
		if (same)
			continue;
		ck_assert_msg(fx_recover(JOURNAL_DAMAGE_REFUSE, false) == 0, "%s", fx.err);
		ck_assert_uint_eq(fx.report.shard[0].next_seq, 21);
		ck_assert_uint_eq(fx_read(0), 20);
		if (cut > at[2] && !fx.report.torn_bytes)
			ck_abort_msg("the tail cut at %zu was not reported", cut);
		if (fx.report.torn_bytes)
			ck_assert_ptr_nonnull(strstr(fx.log, "a torn tail of "));
		/* and again: nothing is left to do */
		ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_REFUSE, false), 0);
		ck_assert_uint_eq(fx.report.torn_bytes, 0);
		ck_assert_uint_eq(fx.report.shard[0].next_seq, 21);
	}
	free(bytes);
}
END_TEST

/* one flipped byte anywhere: refused with file and offset, or a torn tail behind the durable end */
START_TEST(flip_every_byte)
{
	size_t len, at[64] = {0}, end;
	char path[PATH_MAX];
	uint8_t *bytes = power_loss(path, &len);
	int refused = 0, torn = 0;

	ck_assert_int_eq(batches(bytes, len, at), 3);
	end = at[3] + 64; /* some of the preallocated zeros too */
	for (size_t i = _i; i < end; i += i < 4000 ? 16 : 8) {
		int r;

		bytes[i] ^= 0x41;
		store(path, bytes, len);
		bytes[i] ^= 0x41;
		r = fx_recover(JOURNAL_DAMAGE_REFUSE, false);
		if (i < at[2]) {
			ck_assert_msg(r == -EBADMSG, "byte %zu: %d %s", i, r, fx.err);
			ck_assert_ptr_nonnull(strstr(fx.err, "shard-00-00000000000000000001.seg"));
			ck_assert_ptr_nonnull(strstr(fx.err, "is damaged at offset"));
			refused++;
			continue;
		}
		ck_assert_msg(r == 0, "byte %zu: %s", i, fx.err);
		ck_assert_uint_gt(fx.report.torn_bytes, 0);
		ck_assert_uint_eq(fx.report.shard[0].next_seq, i < at[3] ? 21 : 31);
		torn++;
	}
	ck_assert_int_gt(refused, 100);
	ck_assert_int_gt(torn, 50);
	free(bytes);
}
END_TEST

/* after the idle seal the last batch is known to be durable, too */
START_TEST(flip_behind_a_seal)
{
	size_t len, at[64] = {0};
	char path[PATH_MAX];
	uint8_t *bytes;

	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	fx_write(10);
	fx.now += 200000000;
	fx_drain();
	fx_segment(0, path);
	fx_kill();
	bytes = load(path, &len);
	ck_assert_int_eq(batches(bytes, len, at), 2);
	for (size_t i = at[0]; i < at[2]; i++) {
		int r;

		bytes[i] ^= 1;
		store(path, bytes, len);
		bytes[i] ^= 1;
		/* without the memlog, which would know */
		journal_dir_close(&fx.d);
		fx_remove(fx.memory);
		ck_assert_int_eq(mkdir(fx.memory, 0700), 0);
		r = fx_recover(JOURNAL_DAMAGE_REFUSE, false);
		ck_assert_int_eq(r, i < at[1] ? -EBADMSG : 0);
		if (r == 0)
			ck_assert_uint_eq(fx.report.shard[0].next_seq, 11);
	}
	free(bytes);
}
END_TEST

/* the memlog knows what was durable when no batch header does */
START_TEST(memlog_tells_damage_from_a_torn_tail)
{
	char path[PATH_MAX];
	size_t len, at[64] = {0};
	uint8_t *bytes;

	fx_start();
	fx_write(10);
	fx_segment(0, path);
	fx_kill();
	bytes = load(path, &len);
	batches(bytes, len, at);
	bytes[at[0] + 200] ^= 1;
	store(path, bytes, len);
	free(bytes);
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_REFUSE, false), -EBADMSG);
}
END_TEST

/* every kind of hole: a page of zeros where acknowledged records were */
START_TEST(holes_are_damage)
{
	static uint8_t zeros[4096];
	size_t len, at[64] = {0}, end;
	char path[PATH_MAX];
	uint8_t *bytes;

	fx_start();
	for (int i = 0; i < 20; i++)
		fx_write(20);
	fx_segment(0, path);
	fx_kill();
	bytes = load(path, &len);
	end = at[batches(bytes, len, at) - 1]; /* where the last batch starts */
	for (size_t page = 0; page < end / 4096; page++) {
		int fd;

		store(path, bytes, len);
		fd = open(path, O_WRONLY);
		ck_assert_int_eq(pwrite(fd, zeros, 4096, (off_t)(page * 4096)), 4096);
		close(fd);
		ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_REFUSE, false), -EBADMSG);
	}
	free(bytes);
}
END_TEST

START_TEST(missing_middle_segment)
{
	char path[PATH_MAX], *name;

	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	for (int i = 0; i < 20; i++)
		fx_write(50);
	ck_assert_int_gt(fx_segments(), 3);
	fx_segment(1, path);
	name = strrchr(path, '/') + 1;
	fx_kill();
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_REFUSE, false), -ERANGE);
	ck_assert_ptr_nonnull(strstr(fx.err, "shard 0 lacks sequence numbers "));
	/* the first number that is missing is in the name */
	snprintf(fx.log, sizeof(fx.log), "numbers %d to ", atoi(name + strlen("shard-00-")));
	ck_assert_ptr_nonnull(strstr(fx.err, fx.log));
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_QUARANTINE, false), 0);
	ck_assert_uint_gt(fx.report.quarantined, 10);
	ck_assert_int_eq(access(path, F_OK), 0); /* a gap record took its place */
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 1001);
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_REFUSE, true), 0);
}
END_TEST

START_TEST(segment_cut_short)
{
	char path[PATH_MAX];
	size_t len, at[64] = {0};
	uint8_t *bytes;

	fx.options.segment_bytes = JOURNAL_SEGMENT_MIN;
	fx_start();
	for (int i = 0; i < 20; i++)
		fx_write(50);
	fx_segment(0, path);
	fx_kill();
	bytes = load(path, &len);
	batches(bytes, len, at);
	ck_assert_int_eq(truncate(path, (off_t)(at[1] + 100)), 0);
	free(bytes);
	ck_assert_int_eq(fx_recover(JOURNAL_DAMAGE_REFUSE, false), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(fx.err, "the file ends inside a batch"));
}
END_TEST

START_TEST(empty_segment_is_removed)
{
	struct segment_copier c;

	fx_start();
	fx_write(10);
	journal_writer_close(fx.writer);
	fx.writer = NULL;
	ck_assert_int_eq(segment_copier_open(&c, &fx.d, 0, 11), 0);
	ck_assert_int_eq(segment_begin(&c.sink, "", 11, 0, 1 << 16), 0);
	close(c.sink.fd);
	c.sink.fd = -1;
	segment_copier_close(&c);
	ck_assert_int_eq(fx_segments(), 2);
	fx_kill();
	fx_start();
	ck_assert_int_eq(fx_segments(), 1);
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 11);
}
END_TEST

/* its name alone tells where the shard goes on: retention has removed what was before it */
START_TEST(lonely_empty_segment_keeps_its_place)
{
	char path[PATH_MAX];
	static const char junk[5000];

	fx_start();
	snprintf(path, sizeof(path), "%s/shard-00-00000000000000000501.seg", fx.dir);
	store(path, (const uint8_t *)junk, _i % 2 ? sizeof(junk) : 0);
	fx_kill();
	fx_remove(fx.memory);
	ck_assert_int_eq(mkdir(fx.memory, 0700), 0);
	fx_start();
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 501);
	fx_write(10);
	fx_kill();
	fx_start();
	ck_assert_uint_eq(fx.report.shard[0].next_seq, 511);
	ck_assert_uint_eq(fx_read(0), 510);
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
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, kill_at_every_state, 0, 192);
	tcase_add_loop_test(t, kill_behind_a_wrap, 0, 30);
	tcase_add_loop_test(t, header_at_any_page, 0, 66);
	tcase_add_test(t, files_never_used_are_removed);
	tcase_add_test(t, shards_of_a_larger_engine);
	tcase_add_test(t, hole_between_disk_and_memlog);
	tcase_add_loop_test(t, hole_before_everything, 0, 2);
	tcase_add_test(t, damage_inside_a_memlog);
	tcase_add_test(t, killed_while_recovering);
	tcase_add_test(t, newer_memlog_is_refused);
	tcase_add_test(t, memlog_with_a_damaged_header_is_not_taken_for_unused);
	tcase_add_test(t, memlog_positions_out_of_range);
	tcase_add_loop_test(t, torn_at_every_byte, 0, 2);
	tcase_add_loop_test(t, flip_every_byte, 0, 8);
	tcase_add_test(t, flip_behind_a_seal);
	tcase_add_test(t, memlog_tells_damage_from_a_torn_tail);
	tcase_add_test(t, holes_are_damage);
	tcase_add_test(t, missing_middle_segment);
	tcase_add_test(t, segment_cut_short);
	tcase_add_test(t, empty_segment_is_removed);
	tcase_add_loop_test(t, lonely_empty_segment_keeps_its_place, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_run(suite());
}
