/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal record: the same bytes in the memlog and in segment files. docs/journal-format.md has
 * the layout. All integers are little endian; a record starts on an 8-byte boundary.
 */
#ifndef JOURNAL_RECORD_H
#define JOURNAL_RECORD_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"

enum journal_type {
	JOURNAL_EVENT = 0,     /* a message of a feed, a POST */
	JOURNAL_GAP = 1,       /* sequence numbers that are lost; payload: struct journal_gap */
	JOURNAL_WATERMARK = 2, /* how far a sequenced feed got */
	JOURNAL_HANDOVER = 3,  /* ownership of a key changed hands */
	JOURNAL_PAD =
	    255, /* memlog only: skip to the start of the ring; takes no sequence number */
};

struct journal_record {
	uint32_t crc;    /* CRC32C (RFC 3720, appendix B.4) of the bytes from `length` to the end */
	uint32_t length; /* of the whole record with its padding, a multiple of 8 */
	uint64_t seq;    /* dense per shard, from 1 */
	uint64_t rx_time_ns;
	uint64_t feed_seq;
	uint8_t session[EVENT_SESSION_LEN];
	uint16_t feed; /* id in the directory's feed table */
	uint32_t payload_len;
	uint8_t key_len;
	uint8_t type;  /* enum journal_type */
	uint8_t clock; /* enum event_clock */
	uint8_t reserved[5];
	/* key, payload, zeros up to length */
};
static_assert(sizeof(struct journal_record) == 56, "format version 1");

/* a multiple of 8 as it is */
#define JOURNAL_RECORD_MAX (sizeof(struct journal_record) + EVENT_KEY_MAX + EVENT_PAYLOAD_MAX)

/* payload of a JOURNAL_GAP whose feed is JOURNAL_FEED_NONE: records seq .. seq + count - 1 of this
 * shard are lost (damage that was quarantined); the next record is seq + count */
struct journal_gap {
	uint64_t count;
	uint64_t reason; /* enum journal_gap_reason */
};

enum journal_gap_reason {
	JOURNAL_GAP_DAMAGED = 1, /* bytes that did not match their checksum; see quarantine/ */
	JOURNAL_GAP_MISSING = 2, /* a segment file was not there */
};

static inline uint32_t journal_record_size(uint32_t key_len, uint32_t payload_len)
{
	return ((uint32_t)sizeof(struct journal_record) + key_len + payload_len + 7u) & ~7u;
}

static inline const uint8_t *journal_record_key(const struct journal_record *r)
{
	return (const uint8_t *)(r + 1);
}

static inline const uint8_t *journal_record_payload(const struct journal_record *r)
{
	return (const uint8_t *)(r + 1) + r->key_len;
}
#endif
