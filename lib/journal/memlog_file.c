/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/memlog_file.h"
#include "journal/segment.h"

#define BLOCK (1u << 20)

static int read_full(int fd, void *out, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (uint8_t *)out + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		done += (size_t)n;
	}
	return 0;
}

static void take_header(struct memlog_file *f, const struct memlog_header *h, uint64_t at)
{
	f->valid = true;
	f->shard = h->shard;
	f->generation = h->generation;
	f->data_at = at + MEMLOG_HEADER_SIZE;
	f->capacity = h->capacity;
	f->first_seq = h->first_seq;
	f->published = h->published;
	f->released = f->position = h->released;
	f->released_seq = h->released_seq;
}

static int damaged_header(const struct memlog_file *f, const char *what, char *err)
{
	snprintf(
	    err, JOURNAL_ERROR_MAX,
	    "memlog %.300s is damaged at offset %llu: %s; move it away to go on without what it "
	    "holds",
	    f->path, (unsigned long long)(f->data_at - MEMLOG_HEADER_SIZE), what);
	return -EBADMSG;
}

static int check_header(const struct memlog_file *f, const struct memlog_header *h,
                        const struct journal_dir *d, char *err)
{
	struct stat st;
	const char *what = NULL;

	if (h->version != MEMLOG_VERSION) {
		snprintf(err, JOURNAL_ERROR_MAX,
		         "memlog %.300s has format %u, this version reads %d; start the version "
		         "that wrote it once, so that it empties it",
		         f->path, h->version, MEMLOG_VERSION);
		return -ENOTSUP;
	}
	if (fstat(f->fd, &st) < 0)
		return -errno;
	if (memcmp(h->uuid, d->uuid, sizeof(h->uuid)))
		what = "it belongs to another journal than its name says";
	else if (f->capacity < sizeof(struct journal_record) || f->capacity % 8 != 0 ||
	         f->data_at + f->capacity > (uint64_t)st.st_size || f->shard >= JOURNAL_SHARDS_MAX)
		what = "its size or shard makes no sense";
	else if (f->released > f->published || f->published - f->released > f->capacity ||
	         f->released % 8 != 0 || f->published % 8 != 0)
		what = "its positions make no sense";
	else if (f->first_seq == 0 || f->first_seq > SEGMENT_SEQ_MAX ||
	         f->released_seq > SEGMENT_SEQ_MAX)
		what = "its sequence numbers make no sense";
	return what ? damaged_header(f, what, err) : 0;
}

/* the header may stand at any of the first pages; a file without one was never used */
static int find_header(struct memlog_file *f, const struct journal_dir *d, char *err)
{
	alignas(64) uint8_t page[MEMLOG_HEADER_SIZE];
	const struct memlog_header *h = (const void *)page;

	for (uint64_t step = 0; step < MEMLOG_HEADER_STEPS; step++) {
		int r = read_full(f->fd, page, sizeof(page), step * MEMLOG_HEADER_SIZE);

		if (r == -ENODATA)
			return 0;
		if (r < 0)
			return r;
		if (memlog_header_valid(h)) {
			take_header(f, h, step * MEMLOG_HEADER_SIZE);
			return check_header(f, h, d, err);
		}
		/* killed while it was formatted: nothing is published then */
		if (memcmp(h->magic, MEMLOG_MAGIC, sizeof(h->magic)) == 0 && h->published != 0) {
			f->data_at = (step + 1) * MEMLOG_HEADER_SIZE;
			return damaged_header(f, "the checksum of its header is wrong", err);
		}
	}
	return 0;
}

static void file_free(struct memlog_file *f)
{
	if (f && f->fd >= 0)
		close(f->fd);
	if (f)
		free(f->block);
	free(f);
}

static int in_use(const struct memlog_file *f, const struct journal_dir *d, char *err)
{
	if (errno != EWOULDBLOCK)
		return -errno;
	snprintf(
	    err, JOURNAL_ERROR_MAX,
	    "memlog %.300s belongs to an engine that runs, so %.100s is a copy of its journal; "
	    "stop that engine first",
	    f->path, d->path);
	return -EBUSY;
}

static int add_file(struct memlog_files *l, const struct journal_dir *d, const char *dir,
                    const char *name, char *err)
{
	struct memlog_file **grown =
	    realloc(l->file, (l->count + 1) * sizeof(struct memlog_file *));
	struct memlog_file *f = calloc(1, sizeof(struct memlog_file));
	int r = 0;

	if (grown)
		l->file = grown;
	if (!grown || !f) {
		free(f);
		return -ENOMEM;
	}
	l->file[l->count++] = f;
	snprintf(f->path, sizeof(f->path), "%s/%s", dir, name);
	f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
	f->block = malloc(BLOCK);
	if (f->fd < 0)
		r = -errno;
	else if (flock(f->fd, LOCK_SH | LOCK_NB) < 0)
		r = in_use(f, d, err);
	else
		r = f->block ? find_header(f, d, err) : -ENOMEM;
	if (r < 0 && !err[0])
		snprintf(err, JOURNAL_ERROR_MAX,
		         "cannot read memlog %.300s: %s; check its owner and mode", f->path,
		         strerror(-r));
	return r;
}

static int compare(const void *a, const void *b)
{
	const struct memlog_file *x = *(struct memlog_file *const *)a;
	const struct memlog_file *y = *(struct memlog_file *const *)b;

	if (x->shard != y->shard)
		return x->shard < y->shard ? -1 : 1;
	return x->generation < y->generation ? -1 : x->generation > y->generation;
}

static int find_in(struct memlog_files *l, const struct journal_dir *d, const char *path, char *err)
{
	char prefix[128];
	struct dirent *e;
	DIR *dir = opendir(path);
	int r = 0;

	if (!dir && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (!dir) {
		r = -errno;
		snprintf(err, JOURNAL_ERROR_MAX,
		         "cannot look for memlogs in %.300s: %s; give this user access to it", path,
		         strerror(-r));
		return r;
	}
	snprintf(prefix, sizeof(prefix), JOURNAL_MEMLOG_PREFIX "%s-", d->uuid_text);
	while (r == 0 && (e = readdir(dir))) {
		size_t len = strlen(e->d_name);

		if (!strncmp(e->d_name, prefix, strlen(prefix)) && len > 7 &&
		    !strcmp(e->d_name + len - 7, ".memlog"))
			r = add_file(l, d, path, e->d_name, err);
	}
	closedir(dir);
	return r;
}

int memlog_files_find(struct memlog_files *l, const struct journal_dir *d, const char *const *dirs,
                      char err[JOURNAL_ERROR_MAX])
{
	int r = 0;

	*l = (struct memlog_files){0};
	err[0] = '\0';
	for (; r == 0 && dirs && *dirs; dirs++)
		r = find_in(l, d, *dirs, err);
	if (l->count > 1)
		qsort(l->file, l->count, sizeof(struct memlog_file *), compare);
	return r;
}

void memlog_files_free(struct memlog_files *l)
{
	for (size_t i = 0; i < l->count; i++)
		file_free(l->file[i]);
	free(l->file);
	*l = (struct memlog_files){0};
}

uint64_t memlog_file_offset(const struct memlog_file *f)
{
	return f->data_at + f->position % f->capacity;
}

/* the bytes at `position`, as many as stand in one piece before the published end, or NULL with
 * errno */
static const uint8_t *bytes_at(struct memlog_file *f, uint64_t position, size_t n, size_t *got)
{
	uint64_t offset = position % f->capacity, room = f->capacity - offset;

	if (room > f->published - position)
		room = f->published - position;
	if (n > room)
		n = room;
	if (position < f->block_at || position + n > f->block_at + f->block_len) {
		size_t len = room < BLOCK ? room : BLOCK;
		int r = read_full(f->fd, f->block, len, f->data_at + offset);

		f->block_at = position;
		f->block_len = r < 0 ? 0 : len;
		if (r < 0) {
			errno = -r;
			return NULL;
		}
	}
	*got = n;
	return f->block + (position - f->block_at);
}

/* Returns 1 when the position moved, 0 when a record stands there, -errno */
static int skip_padding(struct memlog_file *f)
{
	uint64_t room = f->capacity - f->position % f->capacity;
	const struct journal_record *r;
	size_t got;

	if (room >= sizeof(*r)) {
		r = (const void *)bytes_at(f, f->position, sizeof(*r), &got);
		if (!r)
			return -errno;
		if (got < sizeof(*r) || r->type != JOURNAL_PAD || r->length != room)
			return 0;
	}
	if (room > f->published - f->position)
		return -EBADMSG;
	f->position += room;
	return 1;
}

int memlog_file_next(struct memlog_file *f, const struct journal_record **out)
{
	const struct journal_record *r;
	size_t got;
	int e;

	do {
		if (f->position >= f->published)
			return 0;
		e = skip_padding(f);
	} while (e == 1);
	if (e < 0)
		return e;
	r = (const void *)bytes_at(f, f->position, JOURNAL_RECORD_MAX, &got);
	if (!r)
		return -errno;
	if (!segment_record_valid(r, got))
		return -EBADMSG;
	f->position += r->length;
	*out = r;
	return 1;
}

int memlog_file_resync(struct memlog_file *f, uint64_t seq)
{
	for (f->position += 8; f->position < f->published; f->position += 8) {
		const struct journal_record *r;
		size_t got;

		r = (const void *)bytes_at(f, f->position, JOURNAL_RECORD_MAX, &got);
		if (!r)
			return -errno;
		/* a number far ahead is chance, not a record of this ring */
		if (segment_record_valid(r, got) && r->seq > seq &&
		    r->seq - seq <= f->capacity / sizeof(*r))
			return 1;
	}
	return 0;
}
