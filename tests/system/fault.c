/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LD_PRELOAD shim of the system tests: while the file $FAULT_DIR/fdatasync exists, fdatasync fails
 * with EIO, and what was written since the last good one is lost, as a kernel that drops the dirty
 * pages would have it. While $FAULT_DIR/pwritev exists, pwritev writes half and then fails. While $FAULT_DIR/slow exists,
 * fdatasync takes 200 ms.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096

static struct {
	off_t from, to;
} dirty[FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int fdatasync(int fd);
ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset);
ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t offset);

static int fault(const char *name)
{
	const char *dir = getenv("FAULT_DIR");
	char path[PATH_MAX];

	if (dir == NULL)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void note(int fd, off_t from, ssize_t bytes)
{
	if (fd < 0 || fd >= FDS || bytes <= 0)
		return;
	pthread_mutex_lock(&lock);
	if (dirty[fd].to == 0 || from < dirty[fd].from)
		dirty[fd].from = from;
	if (from + bytes > dirty[fd].to)
		dirty[fd].to = from + bytes;
	pthread_mutex_unlock(&lock);
}

static void forget(int fd, int lose)
{
	if (fd < 0 || fd >= FDS)
		return;
	pthread_mutex_lock(&lock);
	if (lose && dirty[fd].to > dirty[fd].from)
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, dirty[fd].from,
		          dirty[fd].to - dirty[fd].from);
	dirty[fd].from = dirty[fd].to = 0;
	pthread_mutex_unlock(&lock);
}

int fdatasync(int fd)
{
	static int (*real)(int);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
	if (fault("fdatasync")) {
		forget(fd, 1);
		errno = EIO;
		return -1;
	}
	if (fault("slow"))
		usleep(200000);
	forget(fd, 0);
	return real(fd);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t offset)
{
	static ssize_t (*real)(int, const struct iovec *, int, off64_t);
	ssize_t done;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "pwritev64");
	if (fault("pwritev")) {
		struct iovec half = {iov[0].iov_base, iov[0].iov_len / 2};

		done = real(fd, &half, 1, offset);
		note(fd, offset, done);
		errno = EIO;
		return -1;
	}
	done = real(fd, iov, n, offset);
	note(fd, offset, done);
	return done;
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	return pwritev64(fd, iov, n, offset);
}
