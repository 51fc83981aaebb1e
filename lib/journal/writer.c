/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "journal/crc32c.h"
#include "journal/segment.h"
#include "journal/writer.h"

#define RETRY_NS   100000000u
#define IDLE_NS    100000000u
#define REFRESH_NS 1000000000u

struct journal_writer {
	struct journal_dir *dir;
	struct memlog *memlog;
	struct journal_writer_options o;
	struct segment_sink sink;
	uint64_t next_seq;   /* of the next record to write */
	uint64_t synced_seq; /* on stable storage; with sync = none behind durable_seq */
	uint64_t synced_end; /* offset in the sink up to which records are released */
	uint64_t busy_ns;    /* when something was last written */
	uint64_t retry_ns;   /* during a fault: when to try again */
	uint64_t refresh_ns; /* when to look at the directory again */
	bool sealed;         /* the open segment ends with its durable end */
	bool lost; /* the memlog's records do not follow each other: nothing can be written */
	uint64_t marks_written; /* marks up to here were reported as written */
	struct journal_writer_status status;
};

/* what one step has done so far */
struct group {
	uint64_t bytes;
	uint64_t records;
};

__attribute__((format(printf, 3, 4))) static void say(struct journal_writer *w, int level,
                                                      const char *format, ...)
{
	char line[JOURNAL_ERROR_MAX];
	va_list args;

	if (!w->o.log)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	w->o.log(w->o.arg, level, line);
}

/* bytes, oldest record and number of the shard's files: retention changes them too */
static void refresh_status(struct journal_writer *w, uint64_t now)
{
	uint64_t bytes = 0, first = 0, segments = 0;
	struct segment_list l;

	w->refresh_ns = now + REFRESH_NS;
	if (segment_list_read(w->dir, &l) == 0) {
		for (size_t i = 0; i < l.count; i++) {
			if (l.item[i].shard != w->sink.shard)
				continue;
			first = first ? first : l.item[i].first_seq;
			bytes += l.item[i].size;
			segments++;
		}
		atomic_store(&w->status.bytes, bytes);
		atomic_store(&w->status.first_seq, first);
		atomic_store(&w->status.segments, segments);
	}
	segment_list_free(&l);
}

struct journal_writer *journal_writer_open(struct journal_dir *dir, struct memlog *memlog,
                                           uint32_t shard, uint64_t next_seq,
                                           const struct journal_writer_options *o,
                                           char err[JOURNAL_ERROR_MAX])
{
	struct journal_writer *w;

	if (!o->discard && o->segment_bytes < JOURNAL_SEGMENT_MIN) {
		snprintf(err, JOURNAL_ERROR_MAX,
		         "segments of %" PRIu64 " bytes are too small: use %d "
		         "or more",
		         o->segment_bytes, JOURNAL_SEGMENT_MIN);
		return NULL;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		snprintf(err, JOURNAL_ERROR_MAX,
		         "no memory for the journal writer of shard %u; "
		         "free some",
		         shard);
		return NULL;
	}
	w->dir = dir;
	w->memlog = memlog;
	w->o = *o;
	w->sink = (struct segment_sink){.io = o->io, .dir_fd = dir->fd, .fd = -1, .shard = shard};
	memcpy(w->sink.uuid, dir->uuid, sizeof(w->sink.uuid));
	w->next_seq = next_seq;
	w->synced_seq = next_seq - 1;
	w->status.written_seq = w->status.durable_seq = next_seq - 1;
	refresh_status(w, o->io->now_ns());
	return w;
}

const struct journal_writer_status *journal_writer_status(const struct journal_writer *w)
{
	return &w->status;
}

/* report bursts that ended at or before the tail, from mark `from` on; returns the mark behind them
 */
static uint64_t report_marks(struct journal_writer *w, uint64_t from, uint64_t now,
                             void (*report)(void *arg, uint64_t latency_ns))
{
	const struct memlog *m = w->memlog;
	uint64_t head = atomic_load_explicit(&m->marks_head, memory_order_acquire);

	for (; from != head; from++) {
		const struct memlog_mark *mark = &m->marks[from & (MEMLOG_MARKS - 1)];

		if (mark->position > m->tail)
			break;
		if (report)
			report(w->o.arg, now > mark->now_ns ? now - mark->now_ns : 0);
	}
	return from;
}

static void report_written(struct journal_writer *w)
{
	w->marks_written = report_marks(w, w->marks_written, w->o.io->now_ns(), w->o.on_written);
}

static void report_durable(struct journal_writer *w)
{
	uint64_t tail = atomic_load_explicit(&w->memlog->marks_tail, memory_order_relaxed);

	tail = report_marks(w, tail, w->o.io->now_ns(), w->o.on_durable);
	atomic_store_explicit(&w->memlog->marks_tail, tail, memory_order_release);
	/* after a rewind marks may become durable that were reported as written before */
	if (w->marks_written < tail)
		w->marks_written = tail;
}

/* number of records in `bytes` at `at`, or 0 if they do not follow w->next_seq */
static uint32_t count_records(const struct journal_writer *w, const uint8_t *at, size_t bytes)
{
	uint32_t count = 0;

	for (size_t i = 0; i < bytes; count++) {
		const struct journal_record *r = (const void *)(at + i);

		if (bytes - i < sizeof(*r) || r->length < sizeof(*r) || r->length > bytes - i ||
		    r->seq != w->next_seq + count)
			return 0;
		i += r->length;
	}
	return count;
}

static int memlog_broken(struct journal_writer *w)
{
	if (!w->lost)
		say(w, LOG_CRIT,
		    "shard %u: the memlog's records do not follow sequence number %" PRIu64
		    "; its memory is damaged: restart the engine to recover what is whole",
		    w->sink.shard, w->next_seq - 1);
	w->lost = true;
	atomic_fetch_add_explicit(&w->status.errors, 1, memory_order_relaxed);
	atomic_store(&w->status.failing, EBADMSG);
	return -EBADMSG;
}

/* a segment that is full: make sure of its bytes, because the next one vouches for them */
static int finish_segment(struct journal_writer *w)
{
	int r = 0;

	if (w->o.sync == JOURNAL_SYNC_NONE) {
		r = segment_sync(&w->sink);
		if (r == 0)
			w->synced_seq = w->next_seq - 1;
	}
	if (r == 0 && !w->sealed)
		r = segment_seal(&w->sink, w->next_seq);
	if (r == 0)
		r = segment_sync(&w->sink);
	if (r == 0)
		segment_end(&w->sink, w->sink.offset);
	return r;
}

static size_t sink_room(const struct segment_sink *s)
{
	/* one header for the batch, one for the seal */
	uint64_t used = s->offset + 2 * sizeof(struct segment_batch);

	return s->size > used ? s->size - used : 0;
}

static int write_batch(struct journal_writer *w, const uint8_t *at, size_t bytes)
{
	const struct journal_record *first = (const void *)at;
	uint32_t count = count_records(w, at, bytes);
	int r = 0;

	if (count == 0)
		return memlog_broken(w);
	if (w->sink.fd < 0) {
		r = segment_begin(&w->sink, "", w->next_seq, first->rx_time_ns, w->o.segment_bytes);
		w->synced_end = w->sink.offset;
	}
	if (r == 0)
		r = segment_append(&w->sink, at, bytes, w->next_seq, w->next_seq + count - 1, count,
		                   w->synced_seq);
	if (r < 0)
		return r;
	w->sealed = false;
	w->next_seq += count;
	memlog_consume(w->memlog, bytes);
	return (int)count;
}

/* as much as one group and the open segment take; stops early before a new segment is needed,
 * because the old one must be durable first */
static int write_group(struct journal_writer *w, struct group *g)
{
	while (g->bytes < w->o.group_bytes) {
		size_t max = w->o.group_bytes - g->bytes, room = 0, bytes;
		const uint8_t *at;
		int r;

		if (w->sink.fd >= 0) {
			room = sink_room(&w->sink);
			max = max < room ? max : room;
		} else if (max > w->o.segment_bytes - JOURNAL_SEGMENT_MIN / 2) {
			max = w->o.segment_bytes - JOURNAL_SEGMENT_MIN / 2;
		}
		bytes = memlog_read(w->memlog, max, &at);
		if (bytes == 0)
			break;
		if (w->sink.fd >= 0 && bytes > room) {
			if (g->bytes > 0)
				break;
			r = finish_segment(w);
			if (r < 0)
				return r;
			continue;
		}
		r = write_batch(w, at, bytes);
		if (r < 0)
			return r;
		g->bytes += bytes;
		g->records += (uint64_t)r;
	}
	return 0;
}

/* the group's bytes are where they belong: tell everyone */
static void release(struct journal_writer *w)
{
	uint64_t seq = w->next_seq - 1;

	w->synced_end = w->sink.offset;
	if (w->o.sync == JOURNAL_SYNC_GROUP)
		w->synced_seq = seq;
	atomic_store_explicit(&w->status.written_seq, seq, memory_order_release);
	atomic_store_explicit(&w->status.durable_seq, seq, memory_order_release);
	memlog_release_to(w->memlog, seq);
	report_durable(w);
}

static int sync_group(struct journal_writer *w)
{
	int r;

	/* a new file is synced with its name in any case: it vouches for the one before it */
	if (w->o.sync == JOURNAL_SYNC_NONE && w->sink.named)
		return 0;
	r = segment_sync(&w->sink);
	if (r == 0)
		atomic_fetch_add_explicit(&w->status.syncs, 1, memory_order_relaxed);
	return r;
}

/* nothing came for a while: name the durable end, so that damage to the last batch is seen as such
 */
static int seal_idle(struct journal_writer *w, uint64_t now)
{
	int r;

	if (w->sink.fd < 0 || w->sealed || w->o.sync == JOURNAL_SYNC_NONE ||
	    now - w->busy_ns < IDLE_NS)
		return 0;
	r = segment_seal(&w->sink, w->next_seq);
	if (r == 0)
		r = segment_sync(&w->sink);
	if (r == 0) {
		w->sealed = true;
		w->synced_end = w->sink.offset;
	}
	return r;
}

/* with sync = none the memlog has let go of records that are not synced, and the next segment will
 * vouch for them */
static void keep_released(struct journal_writer *w)
{
	int r;

	if (w->o.sync == JOURNAL_SYNC_GROUP)
		return;
	r = w->o.io->datasync(w->sink.fd);
	if (r < 0)
		say(w, LOG_CRIT,
		    "shard %u: records up to %" PRIu64
		    " may be lost in a power failure: fdatasync: %s; "
		    "check the disk, and use sync = group to avoid it",
		    w->sink.shard, atomic_load(&w->status.durable_seq), strerror(-r));
	w->synced_seq = atomic_load(&w->status.durable_seq);
}

/* the kernel may have dropped the pages it could not write: leave the segment at its durable end,
 * and write what follows anew from the memlog */
static void abandon(struct journal_writer *w, int error)
{
	atomic_fetch_add_explicit(&w->status.errors, 1, memory_order_relaxed);
	if (atomic_load(&w->status.failing) == 0)
		say(w, LOG_ERR,
		    "shard %u: cannot write the journal in %s: %s; free space or check the disk, "
		    "it is "
		    "tried again every 100 ms",
		    w->sink.shard, w->dir->path, strerror(-error));
	atomic_store(&w->status.failing, -error);
	w->retry_ns = w->o.io->now_ns() + RETRY_NS;
	if (w->sink.fd >= 0) {
		keep_released(w);
		segment_end(&w->sink, w->synced_end);
	}
	memlog_rewind(w->memlog);
	w->next_seq = atomic_load(&w->status.durable_seq) + 1;
	atomic_store_explicit(&w->status.written_seq, w->next_seq - 1, memory_order_release);
}

static void recovered(struct journal_writer *w)
{
	if (atomic_load(&w->status.failing) != 0)
		say(w, LOG_NOTICE,
		    "shard %u: the journal in %s is written again from sequence number "
		    "%" PRIu64 " on",
		    w->sink.shard, w->dir->path, atomic_load(&w->status.durable_seq) + 1);
	atomic_store(&w->status.failing, 0);
}

/* store = memory: the same walk and checksum as a disk would see, then forget */
static int step_discard(struct journal_writer *w)
{
	const uint8_t *at;
	size_t bytes = memlog_read(w->memlog, w->o.group_bytes, &at);
	uint32_t count = 0;

	if (bytes == 0)
		return 0;
	for (size_t i = 0; i < bytes; count++) {
		const struct journal_record *r = (const void *)(at + i);

		if (!segment_record_valid(r, bytes - i) || r->seq != w->next_seq + count)
			return memlog_broken(w);
		i += r->length;
	}
	w->next_seq += count;
	memlog_consume(w->memlog, bytes);
	report_written(w);
	release(w);
	return (int)count;
}

static int step_write(struct journal_writer *w, uint64_t now)
{
	struct group g = {0};
	int r = write_group(w, &g);

	if (r == 0 && g.bytes == 0)
		return seal_idle(w, now);
	if (r == 0) {
		atomic_store_explicit(&w->status.written_seq, w->next_seq - 1,
		                      memory_order_release);
		report_written(w);
		r = sync_group(w);
	}
	if (r < 0)
		return r;
	recovered(w);
	release(w);
	w->busy_ns = now;
	return (int)g.records;
}

int journal_writer_step(struct journal_writer *w)
{
	uint64_t now = w->o.io->now_ns();
	int r;

	if (w->lost)
		return -EBADMSG;
	if (w->o.discard)
		return step_discard(w);
	if (atomic_load(&w->status.failing) != 0 && now < w->retry_ns)
		return -atomic_load(&w->status.failing);
	r = step_write(w, now);
	if (r < 0 && !w->lost)
		abandon(w, r);
	else if (r == 0 && atomic_load(&w->status.failing) != 0 && memlog_used(w->memlog) == 0)
		recovered(w);
	if (now >= w->refresh_ns)
		refresh_status(w, now);
	return r;
}

int journal_writer_close(struct journal_writer *w)
{
	int r = 0;

	if (memlog_used(w->memlog) > 0)
		r = w->lost ? -EBADMSG : -EAGAIN;
	if (atomic_load(&w->status.failing) != 0 && r < 0)
		r = -atomic_load(&w->status.failing);
	if (w->sink.fd >= 0 && r == 0)
		r = finish_segment(w);
	if (w->sink.fd >= 0)
		segment_end(&w->sink, w->synced_end);
	free(w);
	return r;
}
