/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal_io that fails when told to, and knows what a power loss or a failed fdatasync may take: bytes
 * written since the last sync, files whose directory entry was never synced.
 */
#ifndef JOURNAL_FAULTS_H
#define JOURNAL_FAULTS_H

#include "journal_fixture.h"

#define DIRTY_MAX 4096

enum fault_call { FAULT_OPEN, FAULT_WRITE, FAULT_SYNC, FAULT_SYNC_DIR, FAULT_CALLS };

static struct {
	int count;      /* calls of any kind so far */
	int fail_first; /* calls numbered fail_first .. fail_last fail with error */
	int fail_last;
	int error;
	size_t short_write; /* most bytes of one write, 0: no limit */
	bool partial;       /* a failing write leaves half of its bytes */
	int calls[FAULT_CALLS];
	int failed[FAULT_CALLS];
	struct {
		char name[SEGMENT_NAME_MAX];
		off_t offset;
		size_t length;
	} dirty[DIRTY_MAX];
	int dirty_count;
	char unnamed[64][SEGMENT_NAME_MAX]; /* files with no synced directory entry */
	int unnamed_count;
} faults;

static void fault_name(int fd, char out[SEGMENT_NAME_MAX])
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	ck_assert_int_gt(n, 0);
	path[n] = '\0';
	snprintf(out, SEGMENT_NAME_MAX, "%s", strrchr(path, '/') + 1);
}

static bool fault_now(enum fault_call call)
{
	faults.count++;
	faults.calls[call]++;
	if (faults.count < faults.fail_first || faults.count > faults.fail_last)
		return false;
	faults.failed[call]++;
	return true;
}

static void fault_forget(const char *name)
{
	int kept = 0;

	for (int i = 0; i < faults.dirty_count; i++) {
		if (strcmp(faults.dirty[i].name, name))
			faults.dirty[kept++] = faults.dirty[i];
	}
	faults.dirty_count = kept;
}

static int fault_open(int dir_fd, const char *name, size_t bytes)
{
	int fd;

	if (fault_now(FAULT_OPEN))
		return -faults.error;
	fault_forget(name);
	fd = journal_io_system.open_segment(dir_fd, name, bytes);
	if (fd >= 0 && faults.unnamed_count < 64)
		snprintf(faults.unnamed[faults.unnamed_count++], SEGMENT_NAME_MAX, "%s", name);
	return fd;
}

static ssize_t fault_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	struct iovec one[2] = {iov[0], n > 1 ? iov[1] : (struct iovec){0}};
	bool fail = fault_now(FAULT_WRITE);
	size_t most = faults.short_write ? faults.short_write : SIZE_MAX;
	ssize_t written;

	if (fail && !faults.partial)
		return -faults.error;
	if (fail)
		most = (one[0].iov_len + one[1].iov_len) / 2;
	if (one[0].iov_len > most)
		one[0].iov_len = most;
	if (one[1].iov_len > most - one[0].iov_len)
		one[1].iov_len = most - one[0].iov_len;
	written = journal_io_system.pwritev(fd, one, 2, offset);
	ck_assert_int_gt(written, 0);
	ck_assert_int_lt(faults.dirty_count, DIRTY_MAX);
	fault_name(fd, faults.dirty[faults.dirty_count].name);
	faults.dirty[faults.dirty_count].offset = offset;
	faults.dirty[faults.dirty_count++].length = (size_t)written;
	return fail ? -faults.error : written;
}

/* zeros where page `page` of dirty range i was, never beyond the file's end */
static void fault_drop(int i, off_t from, size_t length)
{
	static const uint8_t zeros[1 << 17];
	int fd = openat(fx.d.fd, faults.dirty[i].name, O_RDWR);
	struct stat st;

	if (fd < 0)
		return; /* the file is gone as a whole */
	ck_assert_int_eq(fstat(fd, &st), 0);
	if (from < st.st_size) {
		if ((off_t)length > st.st_size - from)
			length = (size_t)(st.st_size - from);
		ck_assert_uint_le(length, sizeof(zeros));
		ck_assert_int_eq(pwrite(fd, zeros, length, from), (ssize_t)length);
	}
	close(fd);
}

/* a failed fdatasync: the kernel drops what it could not write, and says so once */
static int fault_datasync(int fd)
{
	char name[SEGMENT_NAME_MAX];
	bool fail = fault_now(FAULT_SYNC);

	fault_name(fd, name);
	for (int i = 0; fail && i < faults.dirty_count; i++) {
		if (!strcmp(faults.dirty[i].name, name))
			fault_drop(i, faults.dirty[i].offset, faults.dirty[i].length);
	}
	fault_forget(name);
	return fail ? -faults.error : 0;
}

static int fault_sync_dir(int dir_fd)
{
	(void)dir_fd;
	if (fault_now(FAULT_SYNC_DIR))
		return -faults.error;
	faults.unnamed_count = 0;
	return 0;
}

__attribute__((unused)) static void faults_setup(void)
{
	memset(&faults, 0, sizeof(faults));
	faults.error = EIO;
	fx_io.open_segment = fault_open;
	fx_io.pwritev = fault_pwritev;
	fx_io.datasync = fault_datasync;
	fx_io.sync_dir = fault_sync_dir;
}

#endif
