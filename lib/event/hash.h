/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash of a key: CRC32C over its bytes, with zeros up to a multiple of 8. It picks the worker, the key's slot in the
 * worker and its slot in a key set. Stable for a build only: nothing that outlives the process may store it.
 */
#ifndef EVENT_HASH_H
#define EVENT_HASH_H

#include <stdint.h>
#include <string.h>

#include <rte_hash_crc.h>

#include "event/event.h"

#define EVENT_HASH_SEED 0xffffffffu

static inline uint32_t event_hash_word(uint32_t hash, uint64_t word)
{
#ifdef __SSE4_2__
	/* the build has it: rte_hash_crc_8byte would ask the processor each time */
	return (uint32_t)__builtin_ia32_crc32di(hash, word);
#else
	return rte_hash_crc_8byte(word, hash);
#endif
}

/* len bytes at key, any alignment. Any thread. */
static inline uint32_t event_key_hash(const void *key, uint32_t len)
{
	const uint8_t *at = key;
	uint32_t hash = EVENT_HASH_SEED;

	for (; len >= 8; len -= 8, at += 8)
		hash = event_hash_word(hash, event_load_word(at));
	return len > 0 ? event_hash_word(hash, event_short_word(at, len)) : hash;
}

/* The worker of a key: 0..workers-1, from the high bits of its hash; tables use the low ones. */
static inline uint32_t event_key_worker(uint32_t hash, uint32_t workers)
{
	/* the usual case waits for no hash */
	return workers == 1 ? 0 : (uint32_t)(((uint64_t)hash * workers) >> 32);
}

#endif
