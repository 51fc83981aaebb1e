/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/recovery.h"
#include "journal/repair.h"

#define TMP SEGMENT_SUFFIX_TMP

/* what cannot be read at the cursor: a gap record for it, and the cursor behind it. Returns 1 to go
 * on, 0 at the end, -errno */
static int copy_gap(struct segment_cursor *c, struct segment_copier *out, int result,
                    uint64_t next_first, uint64_t durable, uint64_t *lost)
{
	enum segment_state state;
	uint64_t last;
	int more, r = segment_judge(c, result, next_first, durable, &state);

	if (r < 0 || state == SEGMENT_WHOLE || state == SEGMENT_TORN)
		return r;
	more = segment_resync(c);
	if (more < 0)
		return more;
	if (more == 1 && c->next_seq >= next_first)
		more = 0;
	last = more ? c->next_seq - 1 : next_first != SEGMENT_NONE ? next_first - 1 : c->durable;
	if (last >= out->next_seq) {
		*lost += last - out->next_seq + 1;
		r = segment_copier_gap(out, TMP, last,
		                       state == SEGMENT_MISSING ? JOURNAL_GAP_MISSING
		                                                : JOURNAL_GAP_DAMAGED);
	}
	return r < 0 ? r : more;
}

static int copy_whole(struct segment_cursor *c, struct segment_copier *out, uint64_t next_first,
                      uint64_t durable, uint64_t *lost)
{
	for (;;) {
		const struct journal_record *record;
		int r = c->next_seq < next_first ? segment_next(c, &record) : 0;

		if (r == 1) {
			/* the last one is written again in the next segment */
			r = c->next_seq > next_first ? 0 : segment_copier_add(out, TMP, record);
			if (r < 0)
				return r;
			continue;
		}
		if (r != 0 && r != -EBADMSG)
			return r;
		r = copy_gap(c, out, r, next_first, durable, lost);
		if (r <= 0)
			return r;
	}
}

/* a second name for the damaged file, before it loses the first */
static int keep(struct journal_dir *d, const struct segment_info *s)
{
	char name[SEGMENT_NAME_MAX + sizeof(JOURNAL_QUARANTINE) + 16];
	struct stat old, kept;

	if (mkdirat(d->fd, JOURNAL_QUARANTINE, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (fstatat(d->fd, s->name, &old, 0) < 0)
		return -errno;
	for (unsigned int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), JOURNAL_QUARANTINE "/%s.%u", s->name, i);
		if (linkat(d->fd, s->name, d->fd, name, 0) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
		/* a repair that was killed here has kept it already */
		if (fstatat(d->fd, name, &kept, 0) == 0 && kept.st_ino == old.st_ino)
			return 0;
	}
	return -EEXIST;
}

static int sync_directory(struct journal_dir *d, const char *name)
{
	int fd = openat(d->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int take_name(struct journal_dir *d, const char *name)
{
	char tmp[SEGMENT_NAME_MAX + sizeof(TMP)];

	snprintf(tmp, sizeof(tmp), "%s" TMP, name);
	if (renameat(d->fd, tmp, d->fd, name) < 0)
		return -errno;
	return fsync(d->fd) < 0 ? -errno : 0;
}

static int failed(char *err, const struct journal_dir *d, const char *name, int r)
{
	snprintf(err, JOURNAL_ERROR_MAX,
	         "cannot repair %.300s/%s: %s; check space and permissions, then try again",
	         d->path, name, strerror(-r));
	return r;
}

int segment_repair(struct journal_dir *d, const struct segment_info *s, uint64_t next_first,
                   uint64_t durable, uint64_t *lost, char err[JOURNAL_ERROR_MAX])
{
	struct segment_copier out;
	struct segment_cursor c;
	int r = segment_open(&c, d, s);

	*lost = 0;
	if (r < 0 && r != -EBADMSG)
		return failed(err, d, s->name, r);
	r = segment_copier_open(&out, d, s->shard, s->first_seq);
	out.time_ns = c.time_ns;
	if (r == 0)
		r = copy_whole(&c, &out, next_first, durable, lost);
	if (r == 0 && out.sink.fd < 0)
		r = segment_begin(&out.sink, TMP, s->first_seq, out.time_ns, 0);
	if (r == 0)
		r = segment_copier_finish(&out);
	if (r == 0)
		r = keep(d, s);
	if (r == 0)
		r = sync_directory(d, JOURNAL_QUARANTINE);
	if (r == 0)
		r = take_name(d, s->name);
	segment_copier_close(&out);
	segment_close(&c);
	return r < 0 ? failed(err, d, s->name, r) : 0;
}

int segment_fill(struct journal_dir *d, uint32_t shard, uint64_t first, uint64_t last,
                 char err[JOURNAL_ERROR_MAX])
{
	struct segment_copier out;
	int r = segment_copier_open(&out, d, shard, first);

	if (r == 0)
		r = segment_copier_gap(&out, TMP, last, JOURNAL_GAP_MISSING);
	if (r == 0)
		r = segment_copier_finish(&out);
	if (r == 0)
		r = take_name(d, out.sink.name);
	segment_copier_close(&out);
	return r < 0 ? failed(err, d, out.sink.name, r) : 0;
}

int segment_repair_sweep(struct journal_dir *d)
{
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(dir))) {
		size_t len = strlen(e->d_name);

		if (!strncmp(e->d_name, "shard-", 6) && len > strlen(TMP) &&
		    !strcmp(e->d_name + len - strlen(TMP), TMP) &&
		    unlinkat(d->fd, e->d_name, 0) < 0)
			r = -errno;
	}
	closedir(dir);
	return r;
}
