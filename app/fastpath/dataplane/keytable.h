/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker remembers of each key: how many events, and the sequence number of the last. Open
 * addressing over slots of one cache line; keys are never removed. The worker writes; the control
 * thread may look a key up at any time.
 */
#ifndef DATAPLANE_KEYTABLE_H
#define DATAPLANE_KEYTABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <rte_branch_prediction.h>

#include "dataplane/counter.h"
#include "event/event.h"

#define KEYTABLE_INLINE 40 /* bytes of key that stand in the slot; the rest stands in `tails` */

#define KEYTABLE_PROBES 32 /* slots looked at for one key */

struct keytable_slot {
	counter tag; /* 0: free; else bit 63, key length, hash. Stored last */
	counter count;
	counter last_seq;
	uint8_t key[KEYTABLE_INLINE]; /* and zeros */
};
_Static_assert(sizeof(struct keytable_slot) == 64, "one cache line");

struct keytable {
	struct keytable_slot *slots;
	uint8_t (*tails)[24]; /* the bytes of longer keys beyond KEYTABLE_INLINE, by slot */
	uint32_t mask;
	uint32_t limit; /* keys it takes: 3/4 of the slots, so that probes stay short */
	counter keys;
	counter untracked; /* events of keys that found no room */
};

/* slots: a power of two. Memory comes from rte_malloc on the socket. 0 or -ENOMEM. */
int keytable_init(struct keytable *t, const char *name, uint32_t slots, int socket);
void keytable_free(struct keytable *t);

/* into the second level: the first is full of packets, and waits for few lines at a time */
static inline void keytable_prefetch_slot(const struct keytable *t, uint32_t i)
{
	__builtin_prefetch(&t->slots[i & t->mask], 0, 2);
}

/* Worker, or an RX task on its lcore: the key of this hash comes soon. */
static inline void keytable_prefetch(const struct keytable *t, uint32_t hash)
{
	keytable_prefetch_slot(t, hash);
}

static inline uint64_t keytable_tag(uint32_t len, uint32_t hash)
{
	return UINT64_C(1) << 63 | (uint64_t)len << 32 | hash;
}

/* Worker: the same, later, when the slot has come: if it is another key's, this one stands behind it more often
 * than not (up to 60 % full) */
static inline void keytable_prefetch_next(const struct keytable *t, uint32_t len, uint32_t hash)
{
	const struct keytable_slot *first = &t->slots[hash & t->mask];

	/* no branch: it would wait for the slot, and be guessed wrong as often as keys collide */
	keytable_prefetch_slot(t, hash + (counter_read(&first->tag) != keytable_tag(len, hash)));
}

static inline void keytable_count(struct keytable_slot *slot, uint64_t seq)
{
	counter_add(&slot->count, 1);
	counter_set(&slot->last_seq, seq);
}

/* Worker: count one event of a key that is new, long, or not in the first slot where it may stand. */
void keytable_note_other(struct keytable *t, const uint8_t *key, uint32_t len, uint32_t hash,
                         uint64_t seq);

/* Worker: count one event. */
static inline void keytable_note(struct keytable *t, const uint8_t *key, uint32_t len,
                                 uint32_t hash, uint64_t seq)
{
	struct keytable_slot *slot = &t->slots[hash & t->mask];

	if (likely(counter_read(&slot->tag) == keytable_tag(len, hash) && len <= KEYTABLE_INLINE &&
	           event_key_is(slot->key, key, len)))
		keytable_count(slot, seq);
	else
		keytable_note_other(t, key, len, hash, seq);
}
/* Any thread. false: never seen. */
bool keytable_find(const struct keytable *t, const uint8_t *key, uint32_t len, uint32_t hash,
                   uint64_t *count, uint64_t *last_seq);

#endif
