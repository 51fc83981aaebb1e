/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What travels from an RX task (or the HTTP ingress) to a worker.
 *
 * A datagram, a POST or a TCP segment is held by one struct event_source; each message found in it
 * becomes one 32-byte struct event_desc on a single-producer, single-consumer ring. Offsets count
 * from the source itself, so a descriptor is valid in any process that maps the source.
 */
#ifndef EVENT_H
#define EVENT_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define EVENT_KEY_MAX     64
#define EVENT_PAYLOAD_MAX 8192
#define EVENT_SESSION_LEN 10

/* which clock gave the receive time */
enum event_clock {
	EVENT_CLOCK_SYSTEM = 0, /* CLOCK_REALTIME read for this event (control plane) */
	EVENT_CLOCK_TSC = 1,    /* TSC disciplined to CLOCK_REALTIME */
	EVENT_CLOCK_NIC = 2,    /* the port's hardware timestamp */
};

/* who owns the memory of a source, and so how the worker gives it back */
enum event_origin {
	EVENT_ORIGIN_MBUF = 0,    /* the private area of an mbuf: one reference a descriptor */
	EVENT_ORIGIN_INGRESS = 1, /* a slot of the control plane: given back by a cursor */
};

struct event_source {
	uint64_t rx_tsc;                    /* TSC when the burst was taken */
	uint64_t rx_time_ns;                /* ns since the epoch */
	uint8_t session[EVENT_SESSION_LEN]; /* of a sequenced feed, else zeros */
	uint16_t feed;                      /* journal feed id */
	uint8_t clock;                      /* enum event_clock */
	uint8_t origin;                     /* enum event_origin */
	uint16_t reserved;
	uint64_t result; /* ingress only: the sequence number the worker gave, 0 if dropped */
	uint8_t key_copy[EVENT_KEY_MAX]; /* a key that does not stand in the datagram as such */
};
static_assert(sizeof(struct event_source) == 104, "the offsets of descriptors rely on it");

struct event_desc {
	struct event_source *source;
	uint64_t feed_seq;       /* of a sequenced feed, else 0 */
	uint32_t key_hash;       /* event_key_hash(): picks the worker and the key's slot */
	uint16_t key_offset;     /* bytes from source */
	uint16_t payload_offset; /* bytes from source */
	uint16_t payload_len;    /* 0..EVENT_PAYLOAD_MAX */
	uint8_t key_len;         /* 1..EVENT_KEY_MAX */
	uint8_t type;            /* enum journal_type */
	uint32_t reserved;
};
static_assert(sizeof(struct event_desc) == 32, "two descriptors a cache line");

static inline const uint8_t *event_key(const struct event_desc *d)
{
	return (const uint8_t *)d->source + d->key_offset;
}

static inline const uint8_t *event_payload(const struct event_desc *d)
{
	return (const uint8_t *)d->source + d->payload_offset;
}

static inline uint64_t event_load_word(const void *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "zeros behind the bytes are a word's high ones");

/* 1 to 7 bytes as a word with zeros behind them; no other byte is read */
static inline uint64_t event_short_word(const uint8_t *at, uint32_t len)
{
	uint32_t first, last;
	uint16_t two, end;

	if (len >= 4) {
		memcpy(&first, at, 4);
		memcpy(&last, at + len - 4, 4);
		return first | (uint64_t)last << 8 * (len - 4);
	}
	if (len == 1)
		return *at;
	memcpy(&two, at, 2);
	memcpy(&end, at + len - 2, 2);
	return two | (uint64_t)end << 8 * (len - 2);
}

/* Whether a key is the one that `kept` holds, a copy of the same length with zeros up to a multiple of 8: keys are
 * short, a call costs more than the look. */
static inline bool event_key_is(const uint8_t *kept, const uint8_t *key, uint32_t len)
{
	for (; len >= 8; len -= 8, key += 8, kept += 8)
		if (event_load_word(kept) != event_load_word(key))
			return false;
	return len == 0 || event_load_word(kept) == event_short_word(key, len);
}

#endif
