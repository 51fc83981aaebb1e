/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal/crc32c.h"
#include "journal/segment.h"

#define BLOCK       (1u << 20) /* most bytes of one read */
#define BLOCK_FIRST (1u << 14) /* who waits at the end reads no megabyte of zeros every time */

uint64_t segment_record_span(const struct journal_record *r)
{
	struct journal_gap gap;

	if (r->type != JOURNAL_GAP || r->feed != JOURNAL_FEED_NONE ||
	    r->payload_len != sizeof(struct journal_gap))
		return 1;
	memcpy(&gap, journal_record_payload(r), sizeof(gap));
	return gap.count;
}

static bool header_plausible(const struct journal_record *r)
{
	return r->length >= sizeof(*r) && r->length <= JOURNAL_RECORD_MAX &&
	       r->key_len <= EVENT_KEY_MAX && r->payload_len <= EVENT_PAYLOAD_MAX &&
	       r->length == journal_record_size(r->key_len, r->payload_len) &&
	       r->type != JOURNAL_PAD;
}

bool segment_record_valid(const struct journal_record *r, size_t len)
{
	size_t body = offsetof(struct journal_record, length);
	uint64_t span;

	if (len < sizeof(*r) || !header_plausible(r) || r->length > len ||
	    r->crc != crc32c((const uint8_t *)r + body, r->length - body))
		return false;
	span = segment_record_span(r);
	return r->seq > 0 && r->seq <= SEGMENT_SEQ_MAX && span > 0 && span <= SEGMENT_SEQ_MAX;
}

/* up to n bytes at offset; *got tells how many there are. Returns NULL with errno set on an I/O
 * error */
static const uint8_t *bytes_at(struct segment_cursor *c, uint64_t offset, size_t n, size_t *got)
{
	size_t want = n > c->ahead ? n : c->ahead;
	ssize_t len;

	if (offset < c->block_at || offset + n > c->block_at + c->block_len) {
		do {
			len = pread(c->fd, c->block, want, (off_t)offset);
		} while (len < 0 && errno == EINTR);
		if (c->ahead < BLOCK)
			c->ahead *= 2;
		c->block_at = offset;
		c->block_len = len < 0 ? 0 : (size_t)len;
		if (len < 0)
			return NULL;
	}
	*got = c->block_len - (size_t)(offset - c->block_at);
	if (*got > n)
		*got = n;
	return c->block + (offset - c->block_at);
}

void segment_refresh(struct segment_cursor *c)
{
	c->block_len = 0;
	c->ahead = BLOCK_FIRST;
}

static int damaged(struct segment_cursor *c, const char *what)
{
	c->damage = what;
	return -EBADMSG;
}

static int read_header(struct segment_cursor *c)
{
	const struct segment_header *h;
	size_t got;
	const uint8_t *page = bytes_at(c, 0, SEGMENT_HEADER_SIZE, &got);

	if (!page)
		return -errno;
	h = (const struct segment_header *)page;
	if (got < SEGMENT_HEADER_SIZE)
		return damaged(c, "the file ends inside its header");
	if (memcmp(h->magic, SEGMENT_MAGIC, sizeof(h->magic)) ||
	    h->crc != crc32c(page + 12, SEGMENT_HEADER_SIZE - 12))
		return damaged(c, "the segment header does not match its checksum");
	if (h->format > JOURNAL_FORMAT)
		return -ENOTSUP;
	if (h->shard != c->shard || h->first_seq != c->first_seq ||
	    memcmp(h->uuid, c->uuid, sizeof(c->uuid)))
		return damaged(c, "the segment header belongs to another file");
	if (h->checkpoint_len % 8 != 0)
		return damaged(c, "the segment header's checkpoint length makes no sense");
	c->offset = c->batch_at = SEGMENT_HEADER_SIZE + (uint64_t)h->checkpoint_len;
	c->time_ns = h->time_ns;
	return 0;
}

int segment_open(struct segment_cursor *c, const struct journal_dir *d,
                 const struct segment_info *s)
{
	int r;

	memset(c, 0, sizeof(*c));
	c->shard = s->shard;
	memcpy(c->uuid, d->uuid, sizeof(c->uuid));
	memcpy(c->name, s->name, sizeof(c->name));
	c->first_seq = c->next_seq = s->first_seq;
	c->fd = openat(d->fd, s->name, O_RDONLY | O_CLOEXEC);
	if (c->fd < 0)
		return -errno;
	c->block = malloc(BLOCK);
	c->ahead = BLOCK_FIRST;
	r = c->block ? read_header(c) : -ENOMEM;
	if (r < 0 && r != -EBADMSG)
		segment_close(c);
	return r;
}

void segment_close(struct segment_cursor *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->block);
	c->fd = -1;
	c->block = NULL;
}

/* what every writer writes, whatever the checksum says */
static bool batch_plausible(const struct segment_batch *b)
{
	return b->first_seq > 0 && b->last_seq <= SEGMENT_SEQ_MAX &&
	       b->last_seq + 1 >= b->first_seq && b->durable < b->first_seq && b->length % 8 == 0 &&
	       (b->count == 0) == (b->length == 0) &&
	       (b->count == 0) == (b->last_seq + 1 == b->first_seq);
}

/* b is a header of this journal and shard, and was written at `offset` */
static bool batch_valid(const struct segment_cursor *c, const struct segment_batch *b,
                        uint64_t offset)
{
	return !memcmp(b->magic, SEGMENT_BATCH_MAGIC, sizeof(b->magic)) && b->offset == offset &&
	       b->shard == c->shard && !memcmp(b->uuid, c->uuid, sizeof(b->uuid)) &&
	       b->crc == crc32c(&b->length, sizeof(*b) - offsetof(struct segment_batch, length)) &&
	       batch_plausible(b);
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && !memcmp(p, p + 1, len - 1));
}

/* Returns 1 with *b, 0 at zeros or the end of the file, -EBADMSG, -errno */
static int read_batch(struct segment_cursor *c, struct segment_batch *b)
{
	size_t got;
	const uint8_t *p;

	if (c->offset == 0)
		return damaged(c, c->damage); /* the segment header was damaged */
	p = bytes_at(c, c->offset, sizeof(*b), &got);
	if (!p)
		return -errno;
	if (all_zero(p, got))
		return 0;
	if (got < sizeof(*b))
		return damaged(c, "the file ends inside a batch header");
	memcpy(b, p, sizeof(*b));
	if (!batch_valid(c, b, c->offset))
		return damaged(c, "the batch header does not match its checksum");
	if (b->first_seq != c->next_seq)
		return damaged(c, "the batch does not follow the one before it");
	return 1;
}

static int enter_batch(struct segment_cursor *c)
{
	struct segment_batch b;
	int r;

	c->batch_at = c->offset;
	c->batch_first = c->next_seq;
	r = read_batch(c, &b);
	if (r <= 0)
		return r;
	if (b.durable > c->durable)
		c->durable = b.durable;
	c->offset += sizeof(b);
	c->batch_end = c->offset + b.length;
	c->batch_last = b.last_seq;
	return 1;
}

/* behind a damaged batch header: does the next batch start here, or does the data end? */
static int leave_loose(struct segment_cursor *c)
{
	struct segment_batch b;
	uint64_t next_seq = c->next_seq;
	int r = read_batch(c, &b);

	c->next_seq = next_seq;
	if (r == 0 || r == 1) {
		c->loose = false;
		c->batch_end = 0;
	}
	return r == -EBADMSG ? 0 : r < 0 ? r : 1;
}

static int read_record(struct segment_cursor *c, const struct journal_record **out)
{
	uint64_t left = c->batch_end - c->offset;
	const struct journal_record *r;
	size_t got;
	const uint8_t *p = bytes_at(c, c->offset, sizeof(*r), &got);

	if (!p)
		return -errno;
	r = (const struct journal_record *)p;
	if (got < sizeof(*r) || left < sizeof(*r))
		return damaged(c, "the file ends inside a batch");
	if (!header_plausible(r) || r->length > left)
		return damaged(c, "a record's header makes no sense");
	p = bytes_at(c, c->offset, r->length, &got);
	if (!p)
		return -errno;
	r = (const struct journal_record *)p;
	if (!segment_record_valid(r, got))
		return damaged(c, "a record does not match its checksum");
	if (r->seq != c->next_seq)
		return damaged(c, "a record does not follow the one before it");
	c->record_at = c->offset;
	c->offset += r->length;
	c->next_seq += segment_record_span(r);
	c->records++;
	*out = r;
	return 1;
}

int segment_next(struct segment_cursor *c, const struct journal_record **out)
{
	for (;;) {
		int r;

		if (c->batch_end != 0 && c->offset == c->batch_end)
			c->batch_end = 0;
		if (c->loose) {
			r = leave_loose(c);
			if (r < 0)
				return r;
		}
		if (c->batch_end != 0)
			return read_record(c, out);
		r = enter_batch(c);
		if (r <= 0)
			return r;
	}
}

int segment_retry(struct segment_cursor *c, const struct journal_record **out)
{
	int r;

	segment_refresh(c);
	r = c->offset == 0 ? read_header(c) : 0;
	return r < 0 ? r : segment_next(c, out);
}

int segment_skip_to(struct segment_cursor *c, uint64_t seq)
{
	for (;;) {
		struct segment_batch b;
		int r = c->batch_end == 0 && !c->loose ? read_batch(c, &b) : 0;

		if (r == 0 || r == -EBADMSG)
			return 0;
		if (r < 0)
			return r;
		if (b.last_seq >= seq)
			return 0;
		if (b.durable > c->durable)
			c->durable = b.durable;
		c->offset += sizeof(b) + b.length;
		c->next_seq = b.last_seq + 1;
		c->records += b.count;
	}
}

bool segment_sealed(const struct journal_dir *d, const struct segment_info *s, uint64_t end)
{
	struct segment_cursor c;
	struct segment_batch b;
	size_t got;
	bool sealed = false;

	if (s->size < SEGMENT_HEADER_SIZE + sizeof(b))
		return false;
	if (segment_open(&c, d, s) == 0) {
		const uint8_t *p = bytes_at(&c, s->size - sizeof(b), sizeof(b), &got);

		if (p && got == sizeof(b)) {
			memcpy(&b, p, sizeof(b));
			sealed = batch_valid(&c, &b, s->size - sizeof(b)) && b.count == 0 &&
			         b.durable == end && b.first_seq == end + 1;
		}
	}
	segment_close(&c);
	return sealed;
}

/* the next offset >= from that may hold something else than zeros, or SEGMENT_NONE */
static uint64_t next_data(const struct segment_cursor *c, uint64_t from)
{
	off_t at = lseek(c->fd, (off_t)from, SEEK_DATA);

	if (at >= 0)
		return (uint64_t)at & ~(uint64_t)7;
	return errno == ENXIO ? SEGMENT_NONE : from;
}

/* bytes from `at` to the next hole, and a header more that may end in it, at most a block */
static size_t data_length(const struct segment_cursor *c, uint64_t at)
{
	off_t hole = lseek(c->fd, (off_t)at, SEEK_HOLE);
	uint64_t len =
	    hole > (off_t)at ? (uint64_t)hole - at + sizeof(struct segment_batch) : BLOCK;

	return len < BLOCK ? (size_t)(len + 7) & ~(size_t)7 : BLOCK;
}

/* look at the rest of the file: the largest durable end that a batch header names, and whether
 * there is anything but zeros */
static int search_tail(struct segment_cursor *c, uint64_t *durable)
{
	uint64_t at = next_data(c, c->offset & ~(uint64_t)7), magic;

	memcpy(&magic, SEGMENT_BATCH_MAGIC, sizeof(magic));
	while (at != SEGMENT_NONE) {
		size_t want = data_length(c, at), got, i;
		const uint8_t *p = bytes_at(c, at, want, &got);

		if (!p)
			return -errno;
		for (i = 0; i + sizeof(struct segment_batch) <= got; i += 8) {
			const struct segment_batch *b = (const void *)(p + i);
			uint64_t word;

			memcpy(&word, p + i, 8);
			if (word != 0)
				c->data_end = at + i + 8;
			if (word == magic && batch_valid(c, b, at + i) && b->durable > *durable)
				*durable = b->durable;
		}
		if (got < want && !all_zero(p + i, got - i))
			c->data_end = at + got;
		if (got < want)
			break;
		at = next_data(c, at + i);
	}
	return 0;
}

int segment_judge(struct segment_cursor *c, int result, uint64_t next_first, uint64_t durable,
                  enum segment_state *state)
{
	bool something;
	int r;

	*state = SEGMENT_WHOLE;
	if (c->next_seq >= next_first)
		return 0; /* what follows was abandoned and written again in the next segment */
	if (next_first != SEGMENT_NONE && next_first - 1 > durable)
		durable = next_first - 1;
	if (c->durable > durable)
		durable = c->durable;
	c->data_end = c->offset;
	segment_refresh(c);
	r = search_tail(c, &durable);
	segment_refresh(c);
	something = c->data_end > c->offset;
	if (r < 0)
		return r;
	c->durable = durable;
	if (c->next_seq <= durable)
		*state = result == 0 && !something ? SEGMENT_MISSING : SEGMENT_DAMAGED;
	else if (result != 0 || something)
		*state = SEGMENT_TORN;
	return 0;
}

/* a record at `offset` that can follow the damage */
static bool record_fits(const struct segment_cursor *c, const struct journal_record *r, size_t len,
                        uint64_t offset)
{
	bool inside = c->batch_end != 0 && !c->loose && offset < c->batch_end;

	return len >= sizeof(*r) && r->seq >= c->next_seq &&
	       r->seq - c->next_seq < (inside ? c->batch_last - c->next_seq + 1 : BLOCK) &&
	       (!inside || offset + r->length <= c->batch_end) && segment_record_valid(r, len);
}

/* Returns 1 when the cursor can go on at `offset` */
static int resync_at(struct segment_cursor *c, uint64_t offset, const uint8_t *p, size_t len)
{
	const struct segment_batch *b = (const void *)p;
	const struct journal_record *r = (const void *)p;

	if (len >= sizeof(*b) && batch_valid(c, b, offset) && b->first_seq >= c->next_seq) {
		c->next_seq = b->first_seq;
		c->loose = false;
		c->batch_end = 0;
	} else if (record_fits(c, r, len, offset)) {
		c->next_seq = r->seq;
		if (c->batch_end == 0 || offset >= c->batch_end) {
			c->loose = true;
			c->batch_end = UINT64_MAX;
		}
	} else {
		return 0;
	}
	c->offset = offset;
	return 1;
}

/* the damaged record's own length, if it is right, leads to the next one without guessing */
static int resync_by_length(struct segment_cursor *c)
{
	const struct journal_record *r;
	size_t got;
	const uint8_t *p = bytes_at(c, c->offset, sizeof(*r), &got);
	uint64_t next;

	if (!p)
		return -errno;
	r = (const struct journal_record *)p;
	if (c->batch_end == 0 || got < sizeof(*r) || !header_plausible(r))
		return 0;
	next = c->offset + r->length;
	p = bytes_at(c, next, JOURNAL_RECORD_MAX, &got);
	if (!p)
		return -errno;
	return resync_at(c, next, p, got);
}

int segment_resync(struct segment_cursor *c)
{
	uint64_t at = c->offset & ~(uint64_t)7;
	int r;

	segment_refresh(c);
	r = resync_by_length(c);
	if (r != 0)
		return r;
	for (at = next_data(c, at); at != SEGMENT_NONE;) {
		size_t got, i;
		const uint8_t *p = bytes_at(c, at, BLOCK, &got);

		if (!p)
			return -errno;
		/* a candidate needs all its bytes: the block's last ones are looked at again */
		for (i = 0; i < got && (got < BLOCK || got - i >= JOURNAL_RECORD_MAX); i += 8) {
			if (resync_at(c, at + i, p + i, got - i))
				return 1;
		}
		if (got < BLOCK)
			break;
		at = next_data(c, at + i);
	}
	return 0;
}
