/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine with a lease in etcd has to mind. Its producer may be made only while the lease is
 * held, because making one takes the transactional.id back from whoever fenced it. What it received
 * while the lease was not held may be somebody else's by then: control/ownership_cutoff.c knows.
 */
#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "control/kafka_internal.h"
#include "control/steady.h"

#define LOOK_NS   (500 * 1000000ull)
#define SETTLE_NS (60 * CLOCK_NS_PER_S) /* rings and memlogs are long behind it */

void kafka_lease_keep(struct kafka_bridge *b)
{
	uint64_t now = clock_steady_ns();
	char err[CUTOFF_ERROR_MAX];
	struct cutoff_note note;

	if (b->ownership == NULL || now < b->next_note_ns)
		return;
	b->next_note_ns = now + LOOK_NS;
	if (!ownership_note(b->ownership, &note) ||
	    (b->noted && memcmp(&note, &b->note, sizeof(note)) == 0))
		return;
	/* an old one is true as well: it says less */
	if (cutoff_write(&note, b->dir->fd, b->dir->path, err) < 0) {
		log_limited(&b->note_limit, now, CONFIG_LOG_WARNING, "kafka: %s", err);
		return;
	}
	b->note = note;
	b->noted = true;
}

enum kafka_trouble kafka_lease_check(struct kafka_bridge *b)
{
	struct cutoff_note note;

	if (b->ownership == NULL || !ownership_note(b->ownership, &note))
		return KAFKA_FINE;
	b->next_note_ns = 0;
	kafka_lease_keep(b);
	if (!b->noted)
		return kafka_fail(b, KAFKA_REFUSED,
		                  "%s/" CUTOFF_FILE " cannot be written, see the log",
		                  b->dir->path);
	if (ownership_may_claim(b->ownership, b->fenced_ns))
		return KAFKA_FINE;
	if (b->fenced) {
		b->held = true;
		return kafka_fail(b, KAFKA_FENCED,
		                  "fenced while this engine's lease in etcd is gone: its keys may "
		                  "belong to others; waiting for the lease");
	}
	return kafka_fail(b, KAFKA_WAITING,
	                  "waiting for this engine's lease in etcd: until then its keys may belong "
	                  "to others");
}

bool kafka_lease_skips(struct kafka_bridge *b, const struct kafka_item *item)
{
	const struct journal_record *r = item->record;
	struct kafka_skipped *s = &b->tx.skipped[item->shard];

	if (b->ownership == NULL || r == NULL || r->type != JOURNAL_EVENT ||
	    !ownership_taken_over(b->ownership, journal_record_key(r), r->key_len, r->rx_time_ns))
		return false;
	if (s->count++ == 0)
		s->from = r->seq;
	s->to = r->seq;
	b->tx.skips++;
	return true;
}

enum kafka_trouble kafka_lease_tell(struct kafka_bridge *b)
{
	enum kafka_trouble t = KAFKA_FINE;
	char value[512];

	for (uint32_t i = 0; t == KAFKA_FINE && b->tx.skips > 0 && i < JOURNAL_SHARDS_MAX; i++) {
		const struct kafka_skipped *s = &b->tx.skipped[i];

		if (s->count == 0)
			continue;
		log_warning("kafka: %" PRIu64 " of records %" PRIu64 " to %" PRIu64
		            " of shard %u are not sent: they were taken while the lease was gone, "
		            "and their keys belonged to others; the journal has them, %s says so",
		            s->count, s->from, s->to, i, b->topic.gaps);
		snprintf(value, sizeof(value),
		         "{\"engine\":\"%s\",\"journal\":\"%s\",\"shard\":%u,\"from\":%" PRIu64
		         ",\"to\":%" PRIu64 ",\"count\":%" PRIu64 ",\"reason\":\"taken_over\"}",
		         b->engine, b->dir->uuid_text, i, s->from, s->to, s->count);
		b->tx.gaps++;
		t = kafka_produce(b, b->gaps, b->engine, value);
	}
	return t;
}

static bool is_past(const struct kafka_bridge *b)
{
	for (uint32_t i = 0; i < JOURNAL_SHARDS_MAX; i++)
		if (b->settle_end[i] > 0 && b->next[i] <= b->settle_end[i])
			return false;
	return true;
}

void kafka_lease_settle(struct kafka_bridge *b)
{
	uint64_t until = b->ownership != NULL ? ownership_cut_off_until(b->ownership) : 0;

	if (until == 0 || b->span != b->spans.count || clock_realtime_ns() < until + SETTLE_NS)
		return;
	/* all that the shards have by now is to be delivered first */
	if (b->settle_until != until) {
		b->settle_until = until;
		for (uint32_t i = 0; i < JOURNAL_SHARDS_MAX; i++)
			b->settle_end[i] =
			    b->live[i] != NULL ? atomic_load(&b->live[i]->durable_seq) : 0;
	}
	if (is_past(b))
		ownership_cut_off_settled(b->ownership, until);
}
