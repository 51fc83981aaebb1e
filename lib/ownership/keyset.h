/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that this engine owns: a set that never changes once it is built, so that lcores read it without locks.
 * Another ownership is another set:
 *
 *	control thread                                    lcore
 *	made = ownership_keyset_create(keys, count);      set = atomic load, acquire, of the pointer
 *	old = atomic exchange, acq_rel, of the pointer    ownership_keyset_contains(set, ...) for a burst
 *	rte_rcu_qsbr_synchronize(...)                     rte_rcu_qsbr_quiescent(...) between bursts
 *	ownership_keyset_free(old);
 *
 * An lcore loads the pointer once a burst and keeps no set over a quiescent state. No set (NULL) stands for all keys:
 * ownership = all.
 */
#ifndef OWNERSHIP_KEYSET_H
#define OWNERSHIP_KEYSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OWNERSHIP_KEYS_MAX (64u << 20)

struct ownership_key {
	const void *data;
	uint32_t len; /* 1..EVENT_KEY_MAX bytes */
};

struct ownership_keyset;

/* Build the set of `count` (0..OWNERSHIP_KEYS_MAX) keys, whose bytes it copies; keys named twice
 * count once. Control threads: it allocates 64 to 128 bytes a key, and 64 more for keys above 24
 * bytes. Returns NULL with errno: EINVAL (length of a key, or count, out of range), ENOMEM. */
struct ownership_keyset *ownership_keyset_create(const struct ownership_key *keys, size_t count);
/* When no lcore can read it any more; NULL is fine. */
void ownership_keyset_free(struct ownership_keyset *set);

/* Whether the key is in the set; any thread, lock-free. hash: event_key_hash(key, len). Always true
 * for NULL. A cache line or two for keys up to 24 bytes and for misses, one more for longer keys.
 */
bool ownership_keyset_contains(const struct ownership_keyset *set, const void *key, uint32_t len,
                               uint32_t hash);

/* Number of different keys; the set is not NULL. */
size_t ownership_keyset_count(const struct ownership_keyset *set);

#endif
