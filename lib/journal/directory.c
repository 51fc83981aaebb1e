/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/directory.h"

#define IDENTITY     "journal.json"
#define IDENTITY_TMP "journal.json.tmp"
#define LOCK         "lock"

__attribute__((format(printf, 3, 4))) static int fail(char *err, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err, JOURNAL_ERROR_MAX, format, args);
	va_end(args);
	return -error;
}

static void uuid_format(char text[37], const uint8_t u[16])
{
	snprintf(text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
	         u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
	         u[13], u[14], u[15]);
}

static bool uuid_parse(uint8_t u[16], const char *text)
{
	static const uint8_t digits[16] = {0,  2,  4,  6,  9,  11, 14, 16,
	                                   19, 21, 24, 26, 28, 30, 32, 34};
	char again[37];

	for (int i = 0; i < 16; i++) {
		unsigned int byte;

		if (strlen(text) != 36 || sscanf(text + digits[i], "%2x", &byte) != 1)
			return false;
		u[i] = (uint8_t)byte;
	}
	uuid_format(again, u);
	return !strcasecmp(again, text);
}

static int uuid_make(uint8_t u[16])
{
	if (getrandom(u, 16, 0) != 16)
		return -errno;
	u[6] = (u[6] & 0x0f) | 0x40; /* RFC 4122, version 4 */
	u[8] = (u[8] & 0x3f) | 0x80;
	return 0;
}

static json_t *identity_encode(const struct journal_dir *d)
{
	json_t *feeds = json_array();

	for (uint32_t i = 0; i < d->feed_count; i++)
		json_array_append_new(feeds, json_string(d->feeds[i]));
	return json_pack("{s:i, s:s, s:s, s:i, s:I, s:o}", "format", (int)d->format, "uuid",
	                 d->uuid_text, "engine", d->engine, "shards", (int)d->shards, "generation",
	                 (json_int_t)d->generation, "feeds", feeds);
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* whole or not at all: a temporary file takes the name when it is on disk */
static int identity_save(const struct journal_dir *d, char err[JOURNAL_ERROR_MAX])
{
	json_t *root = identity_encode(d);
	char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	int fd, r = text ? 0 : -ENOMEM;

	json_decref(root);
	if (r == 0) {
		fd = openat(d->fd, IDENTITY_TMP, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		r = fd < 0 ? -errno : write_all(fd, text, strlen(text));
		if (fd >= 0)
			close(fd);
	}
	free(text);
	if (r == 0 && renameat(d->fd, IDENTITY_TMP, d->fd, IDENTITY) < 0)
		r = -errno;
	if (r == 0 && fsync(d->fd) < 0)
		r = -errno;
	if (r < 0)
		return fail(err, -r,
		            "cannot write %s/" IDENTITY ": %s; check space and permissions",
		            d->path, strerror(-r));
	return 0;
}

static int damaged(const struct journal_dir *d, char *err, const char *what)
{
	return fail(err, EBADMSG,
	            "%s/" IDENTITY " is damaged: %s; restore it from a backup of the directory",
	            d->path, what);
}

static int feeds_decode(struct journal_dir *d, const json_t *feeds, char *err)
{
	size_t count = json_array_size(feeds);

	if (count < 2 || count > JOURNAL_FEEDS_MAX)
		return damaged(d, err, "feeds must be an array of 2 to 1024 names");
	for (size_t i = 0; i < count; i++) {
		const char *name = json_string_value(json_array_get(feeds, i));

		if (!name || strlen(name) >= JOURNAL_FEED_NAME)
			return damaged(d, err, "a feed's name is not a string of up to 31 bytes");
		strcpy(d->feeds[i], name);
	}
	d->feed_count = (uint32_t)count;
	return 0;
}

static int identity_decode(struct journal_dir *d, const json_t *root, char *err)
{
	json_int_t format = json_integer_value(json_object_get(root, "format"));
	const char *uuid = json_string_value(json_object_get(root, "uuid"));
	const char *engine = json_string_value(json_object_get(root, "engine"));
	json_int_t shards = json_integer_value(json_object_get(root, "shards"));
	json_int_t generation = json_integer_value(json_object_get(root, "generation"));

	if (format > JOURNAL_FORMAT)
		return fail(err, ENOTSUP,
		            "%s has journal format %lld, this version reads up to %d; start the "
		            "newer version, or use another directory",
		            d->path, (long long)format, JOURNAL_FORMAT);
	if (format < 1)
		return damaged(d, err, "it has no format number");
	if (!uuid || !uuid_parse(d->uuid, uuid))
		return damaged(d, err, "it has no valid uuid");
	if (!engine || strlen(engine) >= sizeof(d->engine))
		return damaged(d, err, "it has no valid engine id");
	if (shards < 0 || shards > JOURNAL_SHARDS_MAX || generation < 0)
		return damaged(d, err, "shards or generation out of range");
	d->format = (uint32_t)format;
	uuid_format(d->uuid_text, d->uuid);
	strcpy(d->engine, engine);
	d->shards = (uint32_t)shards;
	d->generation = (uint64_t)generation;
	return feeds_decode(d, json_object_get(root, "feeds"), err);
}

/* -ENOENT without a message when there is no identity yet */
static int identity_load(struct journal_dir *d, char *err)
{
	json_error_t error;
	json_t *root;
	int r, fd = openat(d->fd, IDENTITY, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0)
		return fail(err, errno, "cannot open %s/" IDENTITY ": %s; check its owner and mode",
		            d->path, strerror(errno));
	root = json_loadfd(fd, JSON_REJECT_DUPLICATES, &error);
	close(fd);
	if (!root)
		return damaged(d, err, error.text);
	r = identity_decode(d, root, err);
	json_decref(root);
	return r;
}

/* a relative path is made with its parents; an absolute one whose parent is missing is most likely
 * a mount that did not happen */
static int make_directory(const char *path)
{
	char part[PATH_MAX];

	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT || path[0] == '/')
		return -errno;
	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = strchr(part, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static const char *open_remedy(int error)
{
	switch (error) {
	case ENOENT:
		return "create it, or mount what should be there";
	case EACCES:
	case EPERM:
		return "give this user access to it";
	case EROFS:
		return "mount it writable, or use another directory";
	case ENOTDIR:
		return "name a directory";
	default:
		return "check the file system";
	}
}

static int open_directory(struct journal_dir *d, const char *path, enum journal_dir_mode mode,
                          char *err)
{
	int r = 0;

	if (strlen(path) == 0 || strlen(path) >= sizeof(d->path))
		return fail(err, ENAMETOOLONG,
		            "journal directory path is empty or too long: "
		            "give one of 1 to 4095 bytes");
	strcpy(d->path, path);
	if (mode == JOURNAL_MAKE)
		r = make_directory(path);
	if (r == 0)
		d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && d->fd < 0)
		r = -errno;
	if (r < 0)
		return fail(err, -r, "cannot %s journal directory %s: %s; %s",
		            mode == JOURNAL_MAKE ? "open or make" : "open", path, strerror(-r),
		            open_remedy(-r));
	return 0;
}

static int lock_take(struct journal_dir *d, char *err)
{
	char pid[32] = "";
	ssize_t n;

	d->lock_fd = openat(d->fd, LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (d->lock_fd < 0)
		return fail(err, errno, "cannot lock journal directory %s: %s; %s", d->path,
		            strerror(errno), open_remedy(errno));
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return fail(err, errno,
			            "cannot lock %s/" LOCK ": %s; use a file system with flock",
			            d->path, strerror(errno));
		n = pread(d->lock_fd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
		return fail(err, EBUSY,
		            "journal directory %s is held by process %s; stop it first, or use "
		            "another directory",
		            d->path, pid[0] ? pid : "(unknown)");
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	errno = 0;
	if (ftruncate(d->lock_fd, 0) < 0 || pwrite(d->lock_fd, pid, (size_t)n, 0) != n) {
		int error = errno ? errno : ENOSPC; /* a short write leaves errno alone */

		return fail(err, error, "cannot write %s/" LOCK ": %s; check space and permissions",
		            d->path, strerror(error));
	}
	return 0;
}

/* only what a failed first start may have left is allowed where a journal shall be made */
static int check_empty(const struct journal_dir *d, char *err)
{
	static const char *const ours[] = {".", "..", LOCK, IDENTITY_TMP, "lost+found"};
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir)
		return fail(err, errno, "cannot list %s: %s; give this user access to it", d->path,
		            strerror(errno));
	while (r == 0 && (e = readdir(dir))) {
		bool known = false;

		for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
			known = known || !strcmp(e->d_name, ours[i]);
		if (!known)
			r = fail(err, ENOTEMPTY,
			         "%s has no " IDENTITY " but holds %s; use an empty directory, or "
			         "restore " IDENTITY " if it was a journal",
			         d->path, e->d_name);
	}
	closedir(dir);
	return r;
}

static int identity_make(struct journal_dir *d, char *err)
{
	int r = check_empty(d, err);

	if (r < 0)
		return r;
	r = uuid_make(d->uuid);
	if (r < 0)
		return fail(err, -r, "cannot make a journal id: getrandom: %s; try again",
		            strerror(-r));
	uuid_format(d->uuid_text, d->uuid);
	d->format = JOURNAL_FORMAT;
	d->feed_count = 2;
	strcpy(d->feeds[JOURNAL_FEED_HTTP], "http");
	return identity_save(d, err);
}

int journal_dir_open(struct journal_dir *d, const char *path, enum journal_dir_mode mode,
                     char err[JOURNAL_ERROR_MAX])
{
	int r;

	memset(d, 0, sizeof(*d));
	d->fd = d->lock_fd = -1;
	r = open_directory(d, path, mode, err);
	/* not a journal: say so before a lock file is left in it */
	if (r == 0 && mode == JOURNAL_LOCK && faccessat(d->fd, IDENTITY, F_OK, 0) < 0)
		r = fail(err, ENOENT,
		         "%s is not a journal: it has no " IDENTITY "; name one that is", path);
	if (r == 0 && mode != JOURNAL_READ)
		r = lock_take(d, err);
	if (r == 0) {
		r = identity_load(d, err);
		if (r == -ENOENT && mode == JOURNAL_MAKE)
			r = identity_make(d, err);
		else if (r == -ENOENT)
			r = fail(err, ENOENT,
			         "%s is not a journal: it has no " IDENTITY "; name one that is",
			         path);
	}
	if (r < 0)
		journal_dir_close(d);
	return r;
}

void journal_dir_close(struct journal_dir *d)
{
	if (d->fd >= 0)
		close(d->fd);
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	d->fd = d->lock_fd = -1;
}

static bool utf8(const char *text)
{
	json_t *probe = json_string(text);

	json_decref(probe);
	return probe != NULL;
}

int journal_dir_begin(struct journal_dir *d, const char *engine, uint32_t shards,
                      char err[JOURNAL_ERROR_MAX])
{
	if (strlen(engine) >= sizeof(d->engine) || !utf8(engine) || shards < 1 ||
	    shards > JOURNAL_SHARDS_MAX)
		return fail(err, EINVAL,
		            "cannot begin with engine id '%s' and %u shards: an id has up to 64 "
		            "bytes, shards are 1 to %d",
		            engine, shards, JOURNAL_SHARDS_MAX);
	/* no number of starts gets there */
	if (d->generation >= INT64_MAX)
		return damaged(d, err, "its generation cannot be counted up");
	strcpy(d->engine, engine);
	d->shards = shards;
	d->generation++;
	return identity_save(d, err);
}

int journal_dir_feed_id(struct journal_dir *d, const char *name, char err[JOURNAL_ERROR_MAX])
{
	int r;

	for (uint32_t i = 0; i < d->feed_count; i++) {
		if (!strcmp(d->feeds[i], name))
			return (int)i;
	}
	if (strlen(name) >= JOURNAL_FEED_NAME)
		return fail(err, EINVAL, "feed name '%s' is too long: up to %d bytes", name,
		            JOURNAL_FEED_NAME - 1);
	if (!utf8(name))
		return fail(err, EINVAL, "a feed's name is not UTF-8: choose another");
	if (d->feed_count == JOURNAL_FEEDS_MAX)
		return fail(err, ENOSPC,
		            "%s knows %d feeds, no more fit; use a new journal directory for '%s'",
		            d->path, JOURNAL_FEEDS_MAX, name);
	strcpy(d->feeds[d->feed_count++], name);
	r = identity_save(d, err);
	if (r < 0) {
		d->feed_count--;
		return r;
	}
	return (int)d->feed_count - 1;
}

const char *journal_dir_feed_name(const struct journal_dir *d, uint16_t id)
{
	return id < d->feed_count ? d->feeds[id] : NULL;
}

void journal_memlog_path(char out[PATH_MAX], const char *base, const struct journal_dir *d,
                         uint32_t shard)
{
	snprintf(out, PATH_MAX, "%s/" JOURNAL_MEMLOG_PREFIX "%s-%02u.memlog", base, d->uuid_text,
	         shard);
}
