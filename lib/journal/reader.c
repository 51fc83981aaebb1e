/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "journal/reader.h"
#include "journal/segment.h"

struct journal_reader {
	const struct journal_dir *d;
	uint32_t shard;
	bool open;     /* cursor stands in a segment */
	bool resynced; /* it has stepped over damage in this segment */
	bool looked;   /* the segment was opened again because of what stands at the cursor */
	bool placed;   /* it has stood in one: from here on nothing may be missing */
	struct segment_cursor cursor;
	uint64_t want;       /* the next record to give out has seq >= want */
	uint64_t next_first; /* first sequence number of the segment behind the cursor's */
	uint64_t durable;
	uint64_t torn;
	char error[JOURNAL_ERROR_MAX];
	char where_file[SEGMENT_NAME_MAX];
	uint64_t where_offset;
};

__attribute__((format(printf, 3, 4))) static int fail(struct journal_reader *r, int error,
                                                      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(r->error, sizeof(r->error), format, args);
	va_end(args);
	return error;
}

static int fail_io(struct journal_reader *r, int error, const char *what)
{
	return fail(r, error, "cannot read %s/%s: %s; check permissions and the disk", r->d->path,
	            what, strerror(-error));
}

struct journal_reader *journal_reader_open(const struct journal_dir *d, uint32_t shard,
                                           uint64_t from_seq, char err[JOURNAL_ERROR_MAX])
{
	struct journal_reader *r = calloc(1, sizeof(*r));

	if (!r) {
		snprintf(err, JOURNAL_ERROR_MAX, "no memory to read journal %.400s; free some",
		         d->path);
		return NULL;
	}
	r->d = d;
	r->shard = shard;
	r->want = from_seq;
	r->next_first = SEGMENT_NONE;
	r->cursor.fd = -1;
	return r;
}

static void leave_segment(struct journal_reader *r)
{
	if (r->open) {
		if (r->cursor.durable > r->durable)
			r->durable = r->cursor.durable;
		segment_close(&r->cursor);
	}
	r->open = r->resynced = false;
}

void journal_reader_close(struct journal_reader *r)
{
	leave_segment(r);
	free(r);
}

/* index of the shard's last segment that starts at or before seq, else of its first one;
 * *next_first is that of the segment behind it. Returns false when the shard has none */
static bool choose(const struct segment_list *l, uint32_t shard, uint64_t seq, size_t *at,
                   uint64_t *next_first)
{
	bool found = false;

	*next_first = SEGMENT_NONE;
	for (size_t i = 0; i < l->count; i++) {
		if (l->item[i].shard != shard)
			continue;
		if (found && l->item[i].first_seq > seq) {
			*next_first = l->item[i].first_seq;
			break;
		}
		*at = i;
		found = true;
	}
	return found;
}

static int open_segment(struct journal_reader *r, const struct segment_info *s)
{
	int result = segment_open(&r->cursor, r->d, s);

	if (result == -ENOENT)
		return 1; /* removed between listing and opening: look again */
	if (result == -ENOTSUP)
		return fail(
		    r, result,
		    "%s/%s has a newer format than this version reads; use the version that "
		    "wrote it",
		    r->d->path, s->name);
	if (result < 0 && result != -EBADMSG)
		return fail_io(r, result, s->name);
	r->open = r->placed = true;
	if (r->want < s->first_seq)
		r->want = s->first_seq;
	if (s->first_seq - 1 > r->durable)
		r->durable = s->first_seq - 1;
	if (result == 0)
		result = segment_skip_to(&r->cursor, r->want);
	return result == -EBADMSG || result == 0 ? 1 : fail_io(r, result, s->name);
}

/* Returns 1, 0 when there is no segment yet, or -errno */
static int enter_segment(struct journal_reader *r)
{
	struct segment_list l;
	int result = segment_list_read(r->d, &l);
	size_t at = 0;

	if (result < 0)
		result = fail_io(r, result, "");
	else if (!choose(&l, r->shard, r->want, &at, &r->next_first))
		result = 0;
	else if (r->placed && l.item[at].first_seq > r->want)
		result =
		    fail(r, -ERANGE,
		         "%s: shard %u lacks sequence numbers %" PRIu64 " to %" PRIu64
		         ": the journal starts at %s; retention has removed them, or a file is "
		         "missing",
		         r->d->path, r->shard, r->want, l.item[at].first_seq - 1, l.item[at].name);
	else
		result = open_segment(r, &l.item[at]);
	segment_list_free(&l);
	return result;
}

static int fail_damage(struct journal_reader *r, enum segment_state state, int result)
{
	const struct segment_cursor *c = &r->cursor;

	memcpy(r->where_file, c->name, sizeof(r->where_file));
	r->where_offset = c->offset;
	if (state == SEGMENT_MISSING)
		return fail(r, -ERANGE,
		            "%s: shard %u lacks sequence numbers %" PRIu64 " to %" PRIu64
		            " behind %s offset %" PRIu64
		            "; bring the missing file back, or run fastpathctl journal repair",
		            r->d->path, r->shard, c->next_seq, c->durable, c->name, c->offset);
	return fail(r, -EBADMSG,
	            "%s/%s is damaged at offset %" PRIu64 " (sequence number %" PRIu64
	            "): %s; run fastpathctl journal repair",
	            r->d->path, c->name, c->offset, c->next_seq,
	            result == 0 ? "records are missing" : c->damage);
}

/* the next segment's first sequence number as of now; the file itself may have been replaced or
 * removed */
static int look_again(struct journal_reader *r, bool *gone)
{
	struct segment_list l;
	struct stat st;
	size_t at;
	int result = segment_list_read(r->d, &l);

	*gone = fstat(r->cursor.fd, &st) == 0 && st.st_nlink == 0;
	r->next_first = SEGMENT_NONE;
	if (result == 0)
		choose(&l, r->shard, r->cursor.first_seq, &at, &r->next_first);
	segment_list_free(&l);
	return result < 0 ? fail_io(r, result, "") : 0;
}

/* segment_next returned `result`, 0 or -EBADMSG. Returns 1 to go on, 2 when *out is a record after
 * all, 0 at the end, -errno */
static int at_end(struct journal_reader *r, int result, const struct journal_record **out)
{
	struct segment_cursor *c = &r->cursor;
	enum segment_state state;
	bool gone;
	int e = look_again(r, &gone);

	if (e < 0)
		return e;
	if (gone || c->next_seq >= r->next_first) {
		leave_segment(r);
		return 1;
	}
	/* who follows a writer has mostly come to the end of what was read, not of what is there: the
	 * rest of the file is searched only when that did not help */
	if (result == 0)
		result = segment_retry(c, out);
	if (result == 1)
		return 2;
	if (result != 0 && result != -EBADMSG)
		return fail_io(r, result, c->name);
	e = segment_judge(c, result, r->next_first, 0, &state);
	if (e < 0)
		return fail_io(r, e, c->name);
	/* the engine may have written between the two looks: what still cannot be read now is
	 * damage */
	result = segment_retry(c, out);
	if (result == 1)
		return 2;
	if (result != 0 && result != -EBADMSG)
		return fail_io(r, result, c->name);
	if (state == SEGMENT_DAMAGED || state == SEGMENT_MISSING) {
		/* a segment whose first write failed is written anew under the same name: what was read
		 * is there again, but in other batches */
		if (!r->looked && !r->resynced) {
			r->looked = true;
			leave_segment(r);
			return 1;
		}
		return fail_damage(r, state, result);
	}
	r->torn = state == SEGMENT_TORN ? c->data_end - c->offset : 0;
	return 0;
}

int journal_reader_next(struct journal_reader *r, const struct journal_record **out)
{
	for (;;) {
		int result;

		if (!r->open) {
			result = enter_segment(r);
			if (result <= 0)
				return result;
			continue;
		}
		result = segment_next(&r->cursor, out);
		if (result != 1 && result != 0 && result != -EBADMSG)
			return fail_io(r, result, r->cursor.name);
		if (result != 1)
			result = at_end(r, result, out);
		else if ((*out)->seq >= r->next_first)
			leave_segment(r); /* the next segment has this record for good */
		if (result <= 0)
			return result;
		if (!r->open)
			continue;
		if (r->cursor.next_seq > r->want && (*out)->seq >= r->want) {
			r->want = r->cursor.next_seq;
			r->looked = false;
			return 1;
		}
	}
}

/* the shard's segment behind the damage, as the place to go on */
static int skip_segment(struct journal_reader *r, uint64_t *lost_to)
{
	struct segment_list l;
	size_t at = 0;
	uint64_t next = SEGMENT_NONE;
	int result = segment_list_read(r->d, &l);

	if (result < 0)
		result = fail_io(r, result, "");
	else if (choose(&l, r->shard, r->want, &at, &next) && l.item[at].first_seq > r->want)
		next = l.item[at].first_seq;
	if (result == 0 && next != SEGMENT_NONE) {
		leave_segment(r);
		r->want = next;
		*lost_to = next - 1;
		result = 1;
	}
	segment_list_free(&l);
	return result;
}

int journal_reader_skip(struct journal_reader *r, uint64_t *lost_from, uint64_t *lost_to)
{
	struct segment_cursor *c = &r->cursor;
	int result;

	*lost_from = r->open ? c->next_seq : r->want;
	*lost_to = r->open && c->durable >= *lost_from ? c->durable : *lost_from - 1;
	if (r->open) {
		result = segment_resync(c);
		if (result < 0)
			return fail_io(r, result, c->name);
		if (result == 1 && c->next_seq < r->next_first) {
			r->resynced = true;
			*lost_to = c->next_seq - 1;
			return 1;
		}
		r->want = *lost_from;
	}
	return skip_segment(r, lost_to);
}

const char *journal_reader_error(const struct journal_reader *r)
{
	return r->error;
}

void journal_reader_where(const struct journal_reader *r, const char **file, uint64_t *offset)
{
	*file = r->open ? r->cursor.name : r->where_file;
	*offset = r->open ? r->cursor.record_at : r->where_offset;
}

uint64_t journal_reader_durable(const struct journal_reader *r)
{
	return r->open && r->cursor.durable > r->durable ? r->cursor.durable : r->durable;
}

uint64_t journal_reader_torn(const struct journal_reader *r)
{
	return r->torn;
}
