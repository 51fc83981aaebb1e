/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "journal/crc32c.h"

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		table[i] = crc;
	}
}

uint64_t crc32c_table_continue(uint64_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	pthread_once(&table_once, table_fill);
	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ table[(crc ^ p[i]) & 0xff];
	return crc;
}

uint32_t crc32c_table(const void *data, size_t len)
{
	return ~(uint32_t)crc32c_table_continue(UINT32_MAX, data, len);
}

#ifdef __SSE4_2__
/* Three sums over neighbouring blocks of the same length run beside each other. A sum moves on over the blocks
 * behind its own by what so many zeros make of it, which is linear: a table for each of its bytes. */
#define BLOCK_SHORT 64
#define BLOCK_LONG  256
_Static_assert(CRC32C_LONG == 3 * BLOCK_SHORT, "the least that this is for");

static uint32_t over_short[4][256], over_long[4][256];

static void over_fill(uint32_t over[4][256], size_t zeros)
{
	for (uint32_t bit = 0; bit < 32; bit++) {
		uint64_t crc = UINT32_C(1) << bit;

		for (size_t i = 0; i < zeros; i += 8)
			crc = crc32c_word(crc, 0);
		/* each byte with this as its highest bit is one without it, and this */
		for (uint32_t i = 0; i < UINT32_C(1) << bit % 8; i++)
			over[bit / 8][(UINT32_C(1) << bit % 8) + i] =
			    over[bit / 8][i] ^ (uint32_t)crc;
	}
}

__attribute__((constructor)) static void over_init(void)
{
	over_fill(over_short, BLOCK_SHORT);
	over_fill(over_long, BLOCK_LONG);
}

static inline uint64_t move_over(uint32_t over[4][256], uint64_t crc)
{
	return over[0][crc & 0xff] ^ over[1][crc >> 8 & 0xff] ^ over[2][crc >> 16 & 0xff] ^
	       over[3][crc >> 24];
}

static inline uint64_t three_blocks(uint64_t crc, const uint8_t *p, size_t block,
                                    uint32_t over[4][256])
{
	uint64_t second = 0, third = 0, word[3];

	for (size_t i = 0; i < block; i += 8) {
		memcpy(&word[0], p + i, 8);
		memcpy(&word[1], p + block + i, 8);
		memcpy(&word[2], p + 2 * block + i, 8);
		crc = crc32c_word(crc, word[0]);
		second = crc32c_word(second, word[1]);
		third = crc32c_word(third, word[2]);
	}
	return move_over(over, move_over(over, crc) ^ second) ^ third;
}

uint64_t crc32c_long(uint64_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (; len >= 3 * BLOCK_LONG; p += 3 * BLOCK_LONG, len -= 3 * BLOCK_LONG)
		crc = three_blocks(crc, p, BLOCK_LONG, over_long);
	for (; len >= 3 * BLOCK_SHORT; p += 3 * BLOCK_SHORT, len -= 3 * BLOCK_SHORT)
		crc = three_blocks(crc, p, BLOCK_SHORT, over_short);
	return crc32c_words(crc, p, len);
}
#endif
