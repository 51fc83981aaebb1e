/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How messages stand in a datagram: an iterator over them.
 *
 *	struct feed_datagram datagram;
 *	struct feed_frame message;
 *
 *	feed_framing_begin(&datagram, framing, payload, len);
 *	while (feed_framing_next(&datagram, &message))
 *		...
 */
#ifndef FEED_FRAMING_H
#define FEED_FRAMING_H

#include <stdbool.h>
#include <stdint.h>

enum feed_framing {
	FEED_FRAMING_RAW, /* a datagram is one message, an empty one too */
};

#define FEED_FRAMING_MESSAGES_MAX 1 /* in one datagram, of all framings */

/* the iterator's state, its own business */
struct feed_datagram {
	const uint8_t *at;
	uint32_t left;     /* bytes from at on */
	uint32_t messages; /* not yet given out */
};

struct feed_frame {
	const uint8_t *data; /* borrowed from the datagram */
	uint32_t len;        /* 0..65535 bytes */
	uint64_t feed_seq;   /* 0 with a framing that numbers nothing */
};

/* Start over the `len` bytes at `payload`, which outlive the iterator. Any thread. */
static inline void feed_framing_begin(struct feed_datagram *datagram, enum feed_framing framing,
                                      const uint8_t *payload, uint32_t len)
{
	(void)framing; /* there is only raw */
	datagram->at = payload;
	datagram->left = len;
	datagram->messages = 1;
}

/* The next message, or false when there is none left. */
static inline bool feed_framing_next(struct feed_datagram *datagram, struct feed_frame *out)
{
	if (datagram->messages == 0)
		return false;
	datagram->messages--;
	out->data = datagram->at;
	out->len = datagram->left;
	out->feed_seq = 0;
	datagram->at += datagram->left;
	datagram->left = 0;
	return true;
}

#endif
