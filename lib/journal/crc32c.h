/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC32C (Castagnoli), RFC 3720 appendix B.4: reflected, initial value and final xor all ones. By
 * the processor's instruction where the build allows it, else by table. Any thread.
 */
#ifndef JOURNAL_CRC32C_H
#define JOURNAL_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CRC32C_LONG 192 /* bytes from which on several sums at a time are quicker */

/* the table's way; the same answer on any processor */
uint32_t crc32c_table(const void *data, size_t len);
uint64_t crc32c_table_continue(uint64_t crc, const void *data, size_t len);

/* 8 bytes, little endian, into a running value that begins as all ones and is inverted at the end */
#ifdef __SSE4_2__
static inline uint64_t crc32c_word(uint64_t crc, uint64_t word)
{
	return __builtin_ia32_crc32di(crc, word);
}

/* several sums at a time: one would wait for the instruction's latency. len: a multiple of 8 */
uint64_t crc32c_long(uint64_t crc, const void *data, size_t len);

/* the same for len bytes, a multiple of 8 */
static inline uint64_t crc32c_words(uint64_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t word;

	if (len >= CRC32C_LONG)
		return crc32c_long(crc, data, len);
	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		crc = crc32c_word(crc, word);
	}
	return crc;
}

static inline uint32_t crc32c(const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t whole = len & ~(size_t)7;
	uint64_t crc = crc32c_words(UINT32_MAX, p, whole);

	p += whole;
	if (len & 4) {
		uint32_t word;

		memcpy(&word, p, 4);
		crc = __builtin_ia32_crc32si((uint32_t)crc, word);
		p += 4;
	}
	for (len &= 3; len > 0; p++, len--)
		crc = __builtin_ia32_crc32qi((uint32_t)crc, *p);
	return ~(uint32_t)crc;
}

/* the first 4 bytes of what begins with them */
static inline uint64_t crc32c_begin(uint32_t word)
{
	return __builtin_ia32_crc32si(UINT32_MAX, word);
}
#else
static inline uint64_t crc32c_word(uint64_t crc, uint64_t word)
{
	return crc32c_table_continue(crc, &word, sizeof(word));
}

static inline uint64_t crc32c_words(uint64_t crc, const void *data, size_t len)
{
	return crc32c_table_continue(crc, data, len);
}

static inline uint64_t crc32c_begin(uint32_t word)
{
	return crc32c_table_continue(UINT32_MAX, &word, sizeof(word));
}

static inline uint32_t crc32c(const void *data, size_t len)
{
	return crc32c_table(data, len);
}
#endif
#endif
