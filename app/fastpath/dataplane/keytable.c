/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/keytable.h"

#include <errno.h>
#include <string.h>

#include <rte_malloc.h>

_Static_assert(KEYTABLE_INLINE + 24 == EVENT_KEY_MAX, "every key fits");

#define NONE UINT32_MAX

int keytable_init(struct keytable *t, const char *name, uint32_t slots, int socket)
{
	memset(t, 0, sizeof(*t));
	t->slots = rte_zmalloc_socket(name, (size_t)slots * sizeof(*t->slots), 64, socket);
	t->tails = rte_zmalloc_socket(name, (size_t)slots * sizeof(*t->tails), 64, socket);
	if (t->slots == NULL || t->tails == NULL) {
		keytable_free(t);
		return -ENOMEM;
	}
	t->mask = slots - 1;
	t->limit = slots / 4 * 3;
	return 0;
}

void keytable_free(struct keytable *t)
{
	rte_free(t->slots);
	rte_free(t->tails);
	t->slots = NULL;
	t->tails = NULL;
}

static inline bool same_key(const struct keytable *t, uint32_t i, const uint8_t *key, uint32_t len)
{
	if (len <= KEYTABLE_INLINE)
		return event_key_is(t->slots[i].key, key, len);
	return memcmp(t->slots[i].key, key, KEYTABLE_INLINE) == 0 &&
	       memcmp(t->tails[i], key + KEYTABLE_INLINE, len - KEYTABLE_INLINE) == 0;
}

/* the key's slot, the free one where it belongs, or NONE: keys made to collide (CRC32C is linear) must not make
 * a lookup long */
static inline uint32_t locate(const struct keytable *t, const uint8_t *key, uint32_t len,
                              uint64_t tag)
{
	/* the worker was picked by the high bits; the low ones are still free to spread */
	uint32_t i = (uint32_t)tag & t->mask;

	for (uint32_t probes = 0; probes < KEYTABLE_PROBES; probes++, i = (i + 1) & t->mask) {
		uint64_t seen = atomic_load_explicit(&t->slots[i].tag, memory_order_acquire);

		if (seen == 0 || (seen == tag && same_key(t, i, key, len)))
			return i;
	}
	return NONE;
}

static bool is_free(const struct keytable *t, uint32_t i)
{
	return counter_read(&t->slots[i].tag) == 0;
}

static void claim(struct keytable *t, uint32_t i, const uint8_t *key, uint32_t len, uint64_t tag)
{
	if (len <= KEYTABLE_INLINE) {
		memcpy(t->slots[i].key, key, len);
	} else {
		memcpy(t->slots[i].key, key, KEYTABLE_INLINE);
		memcpy(t->tails[i], key + KEYTABLE_INLINE, len - KEYTABLE_INLINE);
	}
	atomic_store_explicit(&t->slots[i].tag, tag, memory_order_release);
	counter_add(&t->keys, 1);
}

/* false: it finds no room */
static bool note_new(struct keytable *t, uint32_t i, const uint8_t *key, uint32_t len, uint64_t tag)
{
	if (i == NONE || counter_read(&t->keys) >= t->limit) {
		counter_add(&t->untracked, 1);
		return false;
	}
	claim(t, i, key, len, tag);
	return true;
}

void keytable_note_other(struct keytable *t, const uint8_t *key, uint32_t len, uint32_t hash,
                         uint64_t seq)
{
	uint64_t tag = keytable_tag(len, hash);
	uint32_t i = locate(t, key, len, tag);

	if (unlikely(i == NONE || is_free(t, i)) && !note_new(t, i, key, len, tag))
		return;
	keytable_count(&t->slots[i], seq);
}

bool keytable_find(const struct keytable *t, const uint8_t *key, uint32_t len, uint32_t hash,
                   uint64_t *count, uint64_t *last_seq)
{
	uint32_t i = locate(t, key, len, keytable_tag(len, hash));

	if (i == NONE || is_free(t, i))
		return false;
	*count = counter_read(&t->slots[i].count);
	*last_seq = counter_read(&t->slots[i].last_seq);
	return true;
}
