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

/* the table's way; the same answer on any processor */
uint32_t crc32c_table(const void *data, size_t len);

#ifdef __SSE4_2__
static inline uint32_t crc32c(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t crc = UINT32_MAX;

	for (; len >= 8; p += 8, len -= 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		crc = __builtin_ia32_crc32di(crc, word);
	}
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
#else
static inline uint32_t crc32c(const void *data, size_t len)
{
	return crc32c_table(data, len);
}
#endif
#endif
