/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "journal/crc32c.h"
#include "journal/segment.h"

static int system_open(int dir_fd, const char *name, size_t bytes)
{
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool made = fd >= 0;
	int error;

	/* a file of this name holds nothing durable: its first record would be the next one. It is
	 * emptied, not removed, because its name alone tells how far the shard got */
	if (!made && errno == EEXIST)
		fd = openat(dir_fd, name, O_RDWR | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (bytes == 0 || fallocate(fd, 0, 0, (off_t)bytes) == 0 || errno == EOPNOTSUPP)
		return fd;
	error = errno;
	/* give back what it took; if that fails it costs space until the next try */
	if (made)
		unlinkat(dir_fd, name, 0);
	else if (ftruncate(fd, 0) < 0)
		error = errno;
	close(fd);
	return -error;
}

static ssize_t system_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	ssize_t written = pwritev(fd, iov, n, offset);

	return written < 0 ? -errno : written;
}

static int system_datasync(int fd)
{
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int system_sync_dir(int dir_fd)
{
	return fsync(dir_fd) < 0 ? -errno : 0;
}

static uint64_t system_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const struct journal_io journal_io_system = {
    .open_segment = system_open,
    .pwritev = system_pwritev,
    .datasync = system_datasync,
    .sync_dir = system_sync_dir,
    .now_ns = system_now,
};

static int write_all(struct segment_sink *s, struct iovec *iov, int n, uint64_t offset)
{
	while (n > 0) {
		ssize_t written = s->io->pwritev(s->fd, iov, n, (off_t)offset);

		if (written == -EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? (int)written : -EIO;
		offset += (uint64_t)written;
		while (n > 0 && (size_t)written >= iov->iov_len) {
			written -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + written;
			iov->iov_len -= (size_t)written;
		}
	}
	return 0;
}

static int write_header(struct segment_sink *s, uint64_t time_ns)
{
	alignas(8) uint8_t page[SEGMENT_HEADER_SIZE] = {0};
	struct segment_header *h = (struct segment_header *)page;
	struct iovec iov = {page, sizeof(page)};

	memcpy(h->magic, SEGMENT_MAGIC, sizeof(h->magic));
	h->format = JOURNAL_FORMAT;
	h->shard = s->shard;
	memcpy(h->uuid, s->uuid, sizeof(h->uuid));
	h->first_seq = s->first_seq;
	h->time_ns = time_ns;
	h->crc = crc32c(page + 12, sizeof(page) - 12);
	s->offset = sizeof(page);
	return write_all(s, &iov, 1, 0);
}

int segment_begin(struct segment_sink *s, const char *suffix, uint64_t first_seq, uint64_t time_ns,
                  uint64_t bytes)
{
	char name[SEGMENT_NAME_MAX + sizeof(SEGMENT_SUFFIX_TMP)];
	int fd;

	segment_name(s->name, s->shard, first_seq);
	snprintf(name, sizeof(name), "%s%s", s->name, suffix);
	fd = s->io->open_segment(s->dir_fd, name, bytes);
	if (fd < 0)
		return fd;
	s->fd = fd;
	s->first_seq = first_seq;
	s->size = bytes;
	s->named = false;
	return write_header(s, time_ns);
}

int segment_append(struct segment_sink *s, const void *records, size_t length, uint64_t first_seq,
                   uint64_t last_seq, uint32_t count, uint64_t durable)
{
	struct segment_batch b = {
	    .length = (uint32_t)length,
	    .first_seq = first_seq,
	    .last_seq = last_seq,
	    .durable = durable,
	    .offset = s->offset,
	    .count = count,
	    .shard = s->shard,
	};
	/* pwritev does not write to what it reads */
	struct iovec iov[2] = {{&b, sizeof(b)}, {(void *)(uintptr_t)records, length}};
	int r;

	memcpy(b.magic, SEGMENT_BATCH_MAGIC, sizeof(b.magic));
	memcpy(b.uuid, s->uuid, sizeof(b.uuid));
	b.crc = crc32c(&b.length, sizeof(b) - offsetof(struct segment_batch, length));
	r = write_all(s, iov, length > 0 ? 2 : 1, s->offset);
	if (r == 0)
		s->offset += sizeof(b) + length;
	return r;
}

int segment_seal(struct segment_sink *s, uint64_t next_seq)
{
	return segment_append(s, NULL, 0, next_seq, next_seq - 1, 0, next_seq - 1);
}

int segment_sync(struct segment_sink *s)
{
	int r = s->io->datasync(s->fd);

	if (r == 0 && !s->named) {
		r = s->io->sync_dir(s->dir_fd);
		s->named = r == 0;
	}
	return r;
}

void segment_end(struct segment_sink *s, uint64_t end)
{
	/* only space is lost if this fails: readers judge by headers, not by the size */
	if (ftruncate(s->fd, (off_t)end) == 0)
		s->size = end;
	close(s->fd);
	s->fd = -1;
}
