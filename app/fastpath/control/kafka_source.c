/* SPDX-License-Identifier: Apache-2.0 */
#include "control/kafka_source.h"

#include <errno.h>
#include <string.h>

#include "journal/segment.h"

#define TURN 512 /* records of one shard before the next one's turn */

static void close_shard(struct kafka_source_shard *s)
{
	if (s->reader != NULL)
		journal_reader_close(s->reader);
	s->reader = NULL;
	s->held = NULL;
}

void kafka_source_begin(struct kafka_source *s, const struct journal_dir *dir,
                        const uint64_t next[JOURNAL_SHARDS_MAX],
                        const uint64_t end[JOURNAL_SHARDS_MAX],
                        const struct journal_writer_status *const live[JOURNAL_SHARDS_MAX])
{
	kafka_source_end(s);
	*s = (struct kafka_source){.dir = dir};
	for (uint32_t i = 0; i < JOURNAL_SHARDS_MAX; i++) {
		s->shard[i].next = next[i];
		s->shard[i].end = end[i];
		s->shard[i].live = live[i];
	}
}

void kafka_source_end(struct kafka_source *s)
{
	for (uint32_t i = 0; i < JOURNAL_SHARDS_MAX; i++)
		close_shard(&s->shard[i]);
}

void kafka_source_rewind(struct kafka_source *s, const uint64_t next[JOURNAL_SHARDS_MAX])
{
	for (uint32_t i = 0; i < JOURNAL_SHARDS_MAX; i++) {
		close_shard(&s->shard[i]);
		s->shard[i].next = next[i];
	}
}

/* the last sequence number that may go out now */
static uint64_t limit(const struct kafka_source_shard *s)
{
	uint64_t durable;

	if (s->live == NULL)
		return s->end;
	durable = atomic_load_explicit(&s->live->durable_seq, memory_order_acquire);
	return durable < s->end ? durable : s->end;
}

bool kafka_source_finished(const struct kafka_source *s)
{
	for (uint32_t i = 0; i < JOURNAL_SHARDS_MAX; i++)
		if (s->shard[i].end > 0 && s->shard[i].next <= s->shard[i].end)
			return false;
	return true;
}

/* sequence numbers from s->next to `last` are not there any more */
static int give_hole(struct kafka_source_shard *s, uint32_t shard, uint64_t last,
                     struct kafka_item *out)
{
	*out = (struct kafka_item){
	    .shard = shard, .lost_from = s->next, .lost_to = last, .next = last + 1};
	s->next = last + 1;
	return 1;
}

/* The next of one shard: 1, 0 or -errno */
static int take(struct kafka_source *source, uint32_t shard, struct kafka_item *out)
{
	struct kafka_source_shard *s = &source->shard[shard];
	uint64_t last = limit(s);
	int ret = 1;

	if (last == 0 || s->next > last)
		return 0;
	if (s->reader == NULL)
		s->reader = journal_reader_open(source->dir, shard, s->next, source->error);
	if (s->reader == NULL)
		return -ENOMEM;
	if (s->held == NULL)
		ret = journal_reader_next(s->reader, &s->held);
	if (ret != 1)
		s->held = NULL;
	if (ret < 0)
		memcpy(source->error, journal_reader_error(s->reader), JOURNAL_ERROR_MAX);
	/* nobody writes here any more, so what is not there now never comes */
	if (ret == 0 && s->live == NULL)
		return give_hole(s, shard, last, out);
	if (ret != 1)
		return ret;
	if (s->next != 0 && s->held->seq > s->next)
		return give_hole(s, shard, s->held->seq - 1 < last ? s->held->seq - 1 : last, out);
	if (s->held->seq > last)
		return 0;
	s->next = s->held->seq + segment_record_span(s->held);
	*out = (struct kafka_item){.shard = shard, .record = s->held, .next = s->next};
	s->held = NULL;
	return 1;
}

int kafka_source_next(struct kafka_source *s, struct kafka_item *out)
{
	for (uint32_t tries = 0; tries <= JOURNAL_SHARDS_MAX; tries++) {
		int ret = s->taken < TURN ? take(s, s->turn, out) : 0;

		if (ret != 0) {
			s->taken++;
			return ret;
		}
		s->turn = (s->turn + 1) % JOURNAL_SHARDS_MAX;
		s->taken = 0;
	}
	return 0;
}
