/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "journal/memlog_file.h"
#include "journal/recovery.h"
#include "journal/repair.h"
#include "journal/segment.h"

struct recovery {
	struct journal_dir *d;
	const struct journal_recovery_options *o;
	struct journal_recovery_report *report;
	struct memlog_files memlogs;
	char repaired[SEGMENT_NAME_MAX]; /* the last one */
	uint64_t filled;                 /* first number of the last hole that became a gap */
	char *err;
};

/* where a segment was found to end */
struct ending {
	uint64_t next_seq;
	uint64_t offset;
	uint64_t data_end; /* behind the last byte that is not zero */
	uint64_t named;    /* durable end that its batches name */
	bool cut;          /* it may be cut at offset */
};

__attribute__((format(printf, 3, 4))) static int fail(struct recovery *v, int error,
                                                      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(v->err, JOURNAL_ERROR_MAX, format, args);
	va_end(args);
	return error;
}

__attribute__((format(printf, 2, 3))) static void say(struct recovery *v, const char *format, ...)
{
	char line[JOURNAL_ERROR_MAX];
	va_list args;

	if (!v->o->log)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	v->o->log(v->o->log_arg, line);
}

static int fail_io(struct recovery *v, int error, const char *what, const char *name)
{
	return fail(v, error, "cannot %s %s/%s: %s; check space, permissions and the disk", what,
	            v->d->path, name, strerror(-error));
}

/* read a segment to its end. Returns what segment_next returned last: 0, -EBADMSG or -errno */
static int scan(struct segment_cursor *c, uint64_t next_first)
{
	const struct journal_record *record;
	int r = 1;

	while (r == 1 && c->next_seq < next_first)
		r = segment_next(c, &record);
	return r == 1 ? 0 : r;
}

/* the last whole batch's end: a torn batch goes as a whole */
static void find_ending(const struct segment_cursor *c, uint64_t next_first, struct ending *e)
{
	bool inside = c->batch_end != 0 && c->offset != c->batch_end;

	e->named = c->durable;
	e->data_end = c->data_end > c->offset ? c->data_end : c->offset;
	e->offset = inside ? c->batch_at : c->offset;
	e->next_seq = inside ? c->batch_first : c->next_seq;
	/* a next segment that starts inside a batch: leave the file as it is, readers stop in time
	 */
	e->cut = !inside || c->next_seq < next_first;
}

static int repair(struct recovery *v, const struct segment_info *s, uint64_t next_first,
                  uint64_t hint, const char *why)
{
	uint64_t lost;
	int r;

	if (!strcmp(v->repaired, s->name))
		return fail(v, -EBADMSG, "%s, after its repair; move the file away", why);
	r = segment_repair(v->d, s, next_first, hint, &lost, v->err);
	if (r < 0)
		return r;
	memcpy(v->repaired, s->name, sizeof(v->repaired));
	say(v,
	    "%s; the file was moved to " JOURNAL_QUARANTINE "/, %" PRIu64
	    " sequence numbers are now gaps",
	    why, lost);
	v->report->quarantined += lost;
	return 0;
}

static int on_damage(struct recovery *v, const struct segment_info *s,
                     const struct segment_cursor *c, int result, uint64_t next_first, uint64_t hint)
{
	char why[JOURNAL_ERROR_MAX];

	snprintf(why, sizeof(why),
	         "%.300s/%s is damaged at offset %" PRIu64 " (sequence number %" PRIu64 "): %s",
	         v->d->path, s->name, c->offset, c->next_seq,
	         result == 0 ? "records are missing" : c->damage);
	if (v->o->policy == JOURNAL_DAMAGE_REFUSE)
		return fail(v, -EBADMSG, "%s; run fastpathctl journal repair", why);
	return repair(v, s, next_first, hint, why);
}

/* nothing is wrong in the segment, but it ends too early */
static int on_missing(struct recovery *v, const struct segment_info *s,
                      const struct segment_cursor *c, uint64_t next_first)
{
	uint64_t last = c->durable;
	int r;

	if (next_first == SEGMENT_NONE && !v->o->thorough)
		return fail(
		    v, -ERANGE,
		    "hole between disk and memlog: segments of shard %u end with sequence "
		    "number %" PRIu64 ", the memlog follows %" PRIu64
		    "; bring back the missing segment in %s, or run fastpathctl journal repair",
		    s->shard, c->next_seq - 1, last, v->d->path);
	if (v->o->policy == JOURNAL_DAMAGE_REFUSE)
		return fail(
		    v, -ERANGE,
		    "%s: shard %u lacks sequence numbers %" PRIu64 " to %" PRIu64
		    " behind %s; bring back the missing file, or run fastpathctl journal repair",
		    v->d->path, s->shard, c->next_seq, last, s->name);
	r = segment_fill(v->d, s->shard, c->next_seq, last, v->err);
	if (r < 0)
		return r;
	v->filled = c->next_seq;
	say(v, "shard %u lacks sequence numbers %" PRIu64 " to %" PRIu64 ": they are now a gap",
	    s->shard, c->next_seq, last);
	v->report->quarantined += last - c->next_seq + 1;
	return 0;
}

/* Returns 1 with the ending, 0 when the segment was repaired and must be looked at again, -errno */
static int examine(struct recovery *v, const struct segment_info *s, uint64_t next_first,
                   uint64_t hint, struct ending *e)
{
	struct segment_cursor c;
	enum segment_state state = SEGMENT_WHOLE;
	int result = segment_open(&c, v->d, s), r = 0;

	if (result == -ENOTSUP)
		return fail(v, result,
		            "%s/%s has a newer format than this version reads; start the version "
		            "that wrote it",
		            v->d->path, s->name);
	if (result == 0)
		result = scan(&c, next_first);
	if (result == 0 || result == -EBADMSG)
		r = segment_judge(&c, result, next_first, hint, &state);
	if ((result != 0 && result != -EBADMSG) || r < 0)
		r = fail_io(v, r < 0 ? r : result, "read", s->name);
	else if (state == SEGMENT_DAMAGED)
		r = on_damage(v, s, &c, result, next_first, hint);
	else if (state == SEGMENT_MISSING)
		r = on_missing(v, s, &c, next_first);
	else
		r = 1;
	if (r == 1)
		find_ending(&c, next_first, e);
	segment_close(&c);
	return r;
}

/* cut to its end, and name that end: from here on damage inside is told from a torn tail. What is
 * there must be on disk before the seal says so */
static int trim(struct recovery *v, const struct segment_info *s, const struct ending *e)
{
	struct segment_sink sink = {
	    .io = &journal_io_system,
	    .dir_fd = v->d->fd,
	    .shard = s->shard,
	    .offset = e->offset,
	};
	int r = 0;

	memcpy(sink.uuid, v->d->uuid, sizeof(sink.uuid));
	if (!e->cut || (s->size == e->offset && e->named == e->next_seq - 1))
		return 1;
	sink.fd = openat(v->d->fd, s->name, O_RDWR | O_CLOEXEC);
	if (sink.fd < 0)
		return fail_io(v, -errno, "open", s->name);
	if (ftruncate(sink.fd, (off_t)e->offset) < 0)
		r = -errno;
	if (r == 0)
		r = segment_sync(&sink);
	if (r == 0)
		r = segment_seal(&sink, e->next_seq);
	if (r == 0)
		r = segment_sync(&sink);
	close(sink.fd);
	return r < 0 ? fail_io(v, r, "trim", s->name) : 1;
}

/* a segment without one whole record: removed, or made anew when its name is all that tells where
 * the shard goes on */
static int drop_empty(struct recovery *v, const struct segment_info *s, const struct ending *e,
                      bool only)
{
	struct segment_copier c;
	int r;

	if (only && s->size == e->offset && e->named == e->next_seq - 1)
		return 1;
	if (!only || s->first_seq == 1) {
		if (unlinkat(v->d->fd, s->name, 0) < 0 || fsync(v->d->fd) < 0)
			return fail_io(v, -errno, "remove", s->name);
		return 1;
	}
	r = segment_copier_open(&c, v->d, s->shard, s->first_seq);
	if (r == 0)
		r = segment_begin(&c.sink, "", s->first_seq, 0, 0);
	if (r == 0)
		r = segment_copier_finish(&c);
	segment_copier_close(&c);
	return r < 0 ? fail_io(v, r, "write", s->name) : 1;
}

/* Returns 1 or -errno, as trim and drop_empty */
static int settle(struct recovery *v, const struct segment_info *s, const struct ending *e,
                  bool only, bool last)
{
	if (e->data_end > e->offset && last) {
		say(v,
		    "%s/%s: a torn tail of %" PRIu64 " bytes at offset %" PRIu64
		    " was truncated; the journal goes on with sequence number %" PRIu64,
		    v->d->path, s->name, e->data_end - e->offset, e->offset, e->next_seq);
		v->report->torn_bytes += e->data_end - e->offset;
	}
	return e->next_seq == s->first_seq && last ? drop_empty(v, s, e, only) : trim(v, s, e);
}

/* the shard's segments, first to last. Returns 1 when all are settled, 0 to start over after a
 * repair */
static int settle_shard(struct recovery *v, uint32_t shard, uint64_t hint, uint64_t *next_seq)
{
	struct segment_list l;
	int r = segment_list_read(v->d, &l);
	bool only = true;

	if (r < 0)
		r = fail_io(v, r, "list", "");
	else
		r = 1;
	*next_seq = 1;
	for (size_t i = 0; r == 1 && i < l.count; i++) {
		const struct segment_info *s = &l.item[i];
		bool last = i + 1 == l.count || l.item[i + 1].shard != shard;
		uint64_t next_first = last ? SEGMENT_NONE : s[1].first_seq;
		struct ending e = {0};

		if (s->shard != shard)
			continue;
		if (last || v->o->thorough || !segment_sealed(v->d, s, next_first - 1)) {
			r = examine(v, s, next_first, last ? hint : 0, &e);
			*next_seq = r == 1 ? e.next_seq : 0;
			if (r == 1)
				r = settle(v, s, &e, only, last);
		}
		only = false;
	}
	segment_list_free(&l);
	return r;
}

/* -EBADMSG inside a memlog: go on behind it if the policy allows. Returns 1 to go on, 0 at the end
 */
static int on_memlog_damage(struct recovery *v, struct memlog_file *f, struct segment_copier *c)
{
	const struct journal_record *record;
	uint64_t at = memlog_file_offset(f), position;
	int r;

	if (v->o->policy == JOURNAL_DAMAGE_REFUSE)
		return fail(
		    v, -EBADMSG,
		    "memlog %s is damaged at offset %" PRIu64 " (sequence number %" PRIu64
		    "): a record does not match its checksum; run fastpathctl journal repair, "
		    "or set on_damage = quarantine",
		    f->path, at, c->next_seq);
	r = memlog_file_resync(f, c->next_seq);
	position = f->position;
	if (r == 1)
		r = memlog_file_next(f, &record);
	f->position = position;
	if (r < 0)
		return fail(v, r, "cannot read memlog %s: %s; check the file", f->path,
		            strerror(-r));
	if (r == 0) {
		say(v,
		    "memlog %s is damaged at offset %" PRIu64 ": what it held from sequence number "
		    "%" PRIu64 " on is lost, none of it was acknowledged",
		    f->path, at, c->next_seq);
		return 0;
	}
	say(v,
	    "memlog %s is damaged at offset %" PRIu64 ": sequence numbers %" PRIu64 " to %" PRIu64
	    " are now a gap",
	    f->path, at, c->next_seq, record->seq - 1);
	v->report->quarantined += record->seq - c->next_seq;
	r = segment_copier_gap(c, "", record->seq - 1, JOURNAL_GAP_DAMAGED);
	return r < 0 ? fail_io(v, r, "write", c->sink.name) : 1;
}

static int fail_hole(struct recovery *v, const struct memlog_file *f, uint64_t disk,
                     uint64_t memlog)
{
	return fail(
	    v, -ERANGE,
	    "hole between disk and memlog: segments of shard %u in %s end with sequence number "
	    "%" PRIu64 ", memlog %s goes on with %" PRIu64
	    "; bring back the missing segments, or run fastpathctl journal repair",
	    f->shard, v->d->path, disk, f->path, memlog);
}

/* sequence numbers up to last are neither on disk nor in the memlog */
static int on_hole(struct recovery *v, const struct memlog_file *f, struct segment_copier *c,
                   uint64_t last)
{
	int r;

	if (!v->o->thorough)
		return fail_hole(v, f, c->next_seq - 1, last + 1);
	say(v,
	    "shard %u lacks sequence numbers %" PRIu64 " to %" PRIu64
	    " between disk and memlog: they are now a gap",
	    f->shard, c->next_seq, last);
	v->report->quarantined += last - c->next_seq + 1;
	r = segment_copier_gap(c, "", last, JOURNAL_GAP_MISSING);
	return r < 0 ? fail_io(v, r, "write", c->sink.name) : 0;
}

static int add_record(struct recovery *v, struct memlog_file *f, struct segment_copier *c,
                      const struct journal_record *record)
{
	int r = 0;

	if (record->seq < c->next_seq)
		return 0; /* the segments have it: the release came too late */
	if (record->seq > c->next_seq)
		r = on_hole(v, f, c, record->seq - 1);
	if (r < 0)
		return r;
	r = segment_copier_add(c, "", record);
	if (r < 0)
		return fail_io(v, r, "write", c->sink.name);
	v->report->copied_records++;
	return 0;
}

/* Returns 1 to go on, 0 at the end, -errno */
static int copy_next(struct recovery *v, struct memlog_file *f, struct segment_copier *c)
{
	const struct journal_record *record;
	int r = memlog_file_next(f, &record);

	if (r == 1) {
		r = add_record(v, f, c, record);
		return r < 0 ? r : 1;
	}
	if (r == -EBADMSG)
		return on_memlog_damage(v, f, c);
	if (r < 0)
		return fail(v, r, "cannot read memlog %s: %s; check the file", f->path,
		            strerror(-r));
	return 0;
}

static int copy_memlog(struct recovery *v, struct memlog_file *f, uint64_t *next_seq)
{
	uint64_t copied = v->report->copied_records;
	struct segment_copier c;
	int r = segment_copier_open(&c, v->d, f->shard, *next_seq);

	if (r < 0)
		fail_io(v, r, "copy the memlog to", "");
	else if (f->released_seq >= c.next_seq)
		r = on_hole(v, f, &c, f->released_seq);
	if (r == 0) {
		do {
			r = copy_next(v, f, &c);
		} while (r == 1);
	}
	if (c.sink.fd >= 0 && r == 0) {
		r = segment_copier_finish(&c);
		if (r < 0)
			fail_io(v, r, "write", c.sink.name);
		else
			say(v, "%" PRIu64 " records of shard %u were copied from memlog %s",
			    v->report->copied_records - copied, f->shard, f->path);
	}
	*next_seq = c.next_seq;
	segment_copier_close(&c);
	return r;
}

static int recover_shard(struct recovery *v, uint32_t shard)
{
	uint64_t hint = 0, next_seq = 1;
	int r = 0;

	v->repaired[0] = '\0';
	v->filled = 0;
	for (size_t i = 0; i < v->memlogs.count; i++) {
		const struct memlog_file *f = v->memlogs.file[i];

		if (f->valid && f->shard == shard && f->released_seq > hint)
			hint = f->released_seq;
	}
	/* every repair takes away all damage of a file, and none is repaired twice: this ends */
	while (r == 0)
		r = settle_shard(v, shard, hint, &next_seq);
	for (size_t i = 0; r > 0 && i < v->memlogs.count; i++) {
		struct memlog_file *f = v->memlogs.file[i];

		if (f->valid && f->shard == shard)
			r = copy_memlog(v, f, &next_seq);
		r = r < 0 ? r : 1;
	}
	v->report->shard[shard].next_seq = next_seq;
	return r < 0 ? r : 0;
}

static int remove_memlogs(struct recovery *v)
{
	for (size_t i = 0; i < v->memlogs.count; i++) {
		const char *path = v->memlogs.file[i]->path;

		if (unlink(path) < 0 && errno != ENOENT)
			return fail(v, -errno,
			            "cannot remove memlog %s: %s; remove it by hand, it is "
			            "copied",
			            path, strerror(errno));
	}
	return 0;
}

/* what is there now, for the report */
static int count_shards(struct recovery *v)
{
	struct segment_list l;
	int r = segment_list_read(v->d, &l);

	if (r < 0)
		fail_io(v, r, "list", "");
	v->report->shard_count = v->d->shards > 0 ? v->d->shards : 1;
	for (size_t i = 0; r == 0 && i < l.count; i++) {
		struct journal_shard_state *s = &v->report->shard[l.item[i].shard];

		if (s->bytes == 0)
			s->first_seq = l.item[i].first_seq;
		s->bytes += l.item[i].size;
		if (l.item[i].shard >= v->report->shard_count)
			v->report->shard_count = l.item[i].shard + 1;
	}
	segment_list_free(&l);
	return r;
}

/* shards that have segments or a memlog: one bit each */
static int find_shards(struct recovery *v, uint64_t *shards)
{
	struct segment_list l;
	int r = segment_list_read(v->d, &l);

	static_assert(JOURNAL_SHARDS_MAX <= 64, "one bit a shard");
	*shards = 0;
	for (size_t i = 0; i < l.count; i++)
		*shards |= (uint64_t)1 << l.item[i].shard;
	for (size_t i = 0; i < v->memlogs.count; i++) {
		if (v->memlogs.file[i]->valid)
			*shards |= (uint64_t)1 << v->memlogs.file[i]->shard;
	}
	segment_list_free(&l);
	return r < 0 ? fail_io(v, r, "list", "") : 0;
}

int journal_recover(struct journal_dir *d, const struct journal_recovery_options *o,
                    struct journal_recovery_report *report, char err[JOURNAL_ERROR_MAX])
{
	struct recovery v = {.d = d, .o = o, .report = report, .err = err};
	uint64_t shards;
	int r;

	memset(report, 0, sizeof(*report));
	r = segment_repair_sweep(d);
	if (r < 0)
		return fail_io(&v, r, "clean up", "");
	r = memlog_files_find(&v.memlogs, d, o->memlog_dirs, err);
	if (r == 0)
		r = find_shards(&v, &shards);
	for (uint32_t shard = 0; r == 0 && shard < JOURNAL_SHARDS_MAX; shard++) {
		report->shard[shard].next_seq = 1;
		if (shards >> shard & 1)
			r = recover_shard(&v, shard);
	}
	if (r == 0 && fsync(d->fd) < 0)
		r = fail_io(&v, -errno, "sync", "");
	if (r == 0)
		r = remove_memlogs(&v);
	if (r == 0)
		r = count_shards(&v);
	memlog_files_free(&v.memlogs);
	return r;
}
