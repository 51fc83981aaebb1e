/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal/crc32c.h"
#include "journal/segment.h"

#define BATCH (1u << 20)

int segment_copier_open(struct segment_copier *c, const struct journal_dir *d, uint32_t shard,
                        uint64_t next_seq)
{
	*c = (struct segment_copier){
	    .sink = {.io = &journal_io_system, .dir_fd = d->fd, .fd = -1, .shard = shard},
	    .buffer = malloc(BATCH),
	    .next_seq = next_seq,
	    .durable = next_seq - 1,
	};
	memcpy(c->sink.uuid, d->uuid, sizeof(c->sink.uuid));
	return c->buffer ? 0 : -ENOMEM;
}

void segment_copier_close(struct segment_copier *c)
{
	if (c->sink.fd >= 0)
		segment_end(&c->sink, c->sink.offset);
	free(c->buffer);
	c->buffer = NULL;
}

static int flush(struct segment_copier *c)
{
	int r;

	if (c->count == 0)
		return 0;
	r = segment_append(&c->sink, c->buffer, c->length, c->first_seq, c->next_seq - 1, c->count,
	                   c->durable);
	c->length = c->count = 0;
	return r;
}

int segment_copier_add(struct segment_copier *c, const char *suffix, const struct journal_record *r)
{
	int e = 0;

	if (r->seq != c->next_seq)
		return -EINVAL;
	if (c->sink.fd < 0)
		e = segment_begin(&c->sink, suffix, r->seq, r->rx_time_ns, 0);
	if (e == 0 && c->length + r->length > BATCH)
		e = flush(c);
	if (e < 0)
		return e;
	if (c->count == 0)
		c->first_seq = r->seq;
	memcpy(c->buffer + c->length, r, r->length);
	c->length += r->length;
	c->count++;
	c->next_seq += segment_record_span(r);
	c->time_ns = r->rx_time_ns;
	return 0;
}

int segment_copier_gap(struct segment_copier *c, const char *suffix, uint64_t last,
                       enum journal_gap_reason reason)
{
	struct {
		struct journal_record record;
		struct journal_gap gap;
	} g = {
	    .record = {.length = sizeof(g),
	               .seq = c->next_seq,
	               .rx_time_ns = c->time_ns,
	               .payload_len = sizeof(g.gap),
	               .type = JOURNAL_GAP},
	    .gap = {.count = last - c->next_seq + 1, .reason = reason},
	};
	size_t body = offsetof(struct journal_record, length);

	g.record.crc = crc32c((uint8_t *)&g + body, sizeof(g) - body);
	return segment_copier_add(c, suffix, &g.record);
}

int segment_copier_finish(struct segment_copier *c)
{
	int r = flush(c);

	/* the seal may only name what is on disk already */
	if (r == 0)
		r = segment_sync(&c->sink);
	if (r == 0)
		r = segment_seal(&c->sink, c->next_seq);
	if (r == 0)
		r = segment_sync(&c->sink);
	if (r == 0)
		segment_end(&c->sink, c->sink.offset);
	return r;
}
