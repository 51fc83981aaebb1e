/* SPDX-License-Identifier: Apache-2.0 */
#include "ownership/keyset.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_common.h>

#include "event/event.h"
#include "event/hash.h"

#define INLINE_KEY 24 /* bytes of a key that fit into its slot */

struct slot {
	uint32_t hash;
	uint32_t len;            /* 0: an empty slot */
	uint8_t key[INLINE_KEY]; /* and zeros; of a longer key: its index in long_keys, 4 bytes */
};
static_assert(sizeof(struct slot) == 32, "two slots a cache line");

struct ownership_keyset {
	struct slot *slots;
	uint32_t mask;
	size_t count;
	uint8_t (*long_keys)[EVENT_KEY_MAX];
	uint32_t long_count;
};

static inline uint32_t first_slot(const struct ownership_keyset *set, uint32_t hash)
{
	/* CRC keeps the likeness of keys such as K0001 and K0002; a multiplication does not */
	uint32_t mixed = hash * 0x9e3779b1u;

	return (mixed ^ mixed >> 15) & set->mask;
}

static inline bool slot_holds(const struct ownership_keyset *set, const struct slot *slot,
                              const void *key, uint32_t len, uint32_t hash)
{
	uint32_t index;

	if (slot->hash != hash || slot->len != len)
		return false;
	if (likely(len <= INLINE_KEY))
		return event_key_is(slot->key, key, len);
	memcpy(&index, slot->key, sizeof(index));
	return event_key_is(set->long_keys[index], key, len);
}

/* the slot of the key, or the empty one where it would stand: at most half of them are taken */
static inline struct slot *find(const struct ownership_keyset *set, const void *key, uint32_t len,
                                uint32_t hash)
{
	uint32_t at = first_slot(set, hash);

	while (set->slots[at].len != 0 && !slot_holds(set, &set->slots[at], key, len, hash))
		at = (at + 1) & set->mask;
	return &set->slots[at];
}

static void add(struct ownership_keyset *set, const struct ownership_key *key)
{
	uint32_t hash = event_key_hash(key->data, key->len);
	struct slot *slot = find(set, key->data, key->len, hash);

	if (slot->len != 0)
		return;
	slot->hash = hash;
	slot->len = key->len;
	if (key->len <= INLINE_KEY) {
		memcpy(slot->key, key->data, key->len);
	} else {
		memcpy(slot->key, &set->long_count, sizeof(set->long_count));
		memcpy(set->long_keys[set->long_count++], key->data, key->len);
	}
	set->count++;
}

/* returns the number of keys that need a place of their own, or -1 if a length is out of range */
static int64_t count_long(const struct ownership_key *keys, size_t count)
{
	int64_t found = 0;

	if (count > OWNERSHIP_KEYS_MAX)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (keys[i].len == 0 || keys[i].len > EVENT_KEY_MAX)
			return -1;
		found += keys[i].len > INLINE_KEY;
	}
	return found;
}

static bool allocate(struct ownership_keyset *set, size_t keys, size_t long_keys)
{
	size_t slots = 16, size;

	while (slots < 2 * keys)
		slots *= 2;
	size = slots * sizeof(struct slot);
	set->mask = (uint32_t)(slots - 1);
	/* aligned for huge pages, where the kernel has them: a lookup then rarely misses the TLB */
	set->slots = aligned_alloc(size >= (2u << 20) ? 2u << 20 : RTE_CACHE_LINE_SIZE, size);
	if (set->slots == NULL)
		return false;
	if (size >= (2u << 20))
		(void)madvise(set->slots, size, MADV_HUGEPAGE); /* only ever a hint */
	memset(set->slots, 0, size);
	set->long_keys = calloc(long_keys > 0 ? long_keys : 1, sizeof(set->long_keys[0]));
	return set->long_keys != NULL;
}

struct ownership_keyset *ownership_keyset_create(const struct ownership_key *keys, size_t count)
{
	int64_t long_keys = count_long(keys, count);
	struct ownership_keyset *set;

	if (long_keys < 0) {
		errno = EINVAL;
		return NULL;
	}
	set = calloc(1, sizeof(*set));
	if (set == NULL)
		return NULL;
	if (!allocate(set, count, (size_t)long_keys)) {
		ownership_keyset_free(set);
		errno = ENOMEM;
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		add(set, &keys[i]);
	return set;
}

void ownership_keyset_free(struct ownership_keyset *set)
{
	if (set == NULL)
		return;
	free(set->slots);
	free(set->long_keys);
	free(set);
}

bool ownership_keyset_contains(const struct ownership_keyset *set, const void *key, uint32_t len,
                               uint32_t hash)
{
	return set == NULL || find(set, key, len, hash)->len != 0;
}

size_t ownership_keyset_count(const struct ownership_keyset *set)
{
	return set->count;
}
