/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash of a key: CRC32C. It picks the worker, the key's slot in the worker and its slot in a
 * key set. Stable for a build only: nothing that outlives the process may store it.
 */
#ifndef EVENT_HASH_H
#define EVENT_HASH_H

#include <stdint.h>
#include <string.h>

#include <rte_hash_crc.h>

#define EVENT_HASH_SEED 0xffffffffu

/* len bytes at key, any alignment. Any thread.
 * rte_hash_crc() itself reads words through cast pointers, which a key inside a datagram may not be
 * aligned for: the same steps, with the loads made safe. */
static inline uint32_t event_key_hash(const void *key, uint32_t len)
{
	const uint8_t *at = key;
	uint32_t crc = EVENT_HASH_SEED;
	uint64_t word8;
	uint32_t word4;
	uint16_t word2;

	for (; len >= 8; len -= 8, at += 8) {
		memcpy(&word8, at, 8);
		crc = rte_hash_crc_8byte(word8, crc);
	}
	if (len & 4) {
		memcpy(&word4, at, 4);
		crc = rte_hash_crc_4byte(word4, crc);
		at += 4;
	}
	if (len & 2) {
		memcpy(&word2, at, 2);
		crc = rte_hash_crc_2byte(word2, crc);
		at += 2;
	}
	if (len & 1)
		crc = rte_hash_crc_1byte(*at, crc);
	return crc;
}

/* The worker of a key: 0..workers-1, from the high bits of its hash; tables use the low ones. */
static inline uint32_t event_key_worker(uint32_t hash, uint32_t workers)
{
	return (uint32_t)(((uint64_t)hash * workers) >> 32);
}

#endif
