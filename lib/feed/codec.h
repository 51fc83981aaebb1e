/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a message gives its key and its payload. docs/wire-formats.md describes the formats for
 * senders.
 */
#ifndef FEED_CODEC_H
#define FEED_CODEC_H

#include <stdint.h>

#include "event/event.h"
#include "metrics/reasons.h"

enum feed_codec_type {
	FEED_CODEC_KEYED, /* one byte K, K bytes of key, the rest is payload */
	FEED_CODEC_JSON, /* an object; a string member is the key, the whole datagram the payload */
	FEED_CODEC_FIXED, /* one key for all messages; the whole message is the payload */
};

struct feed_codec {
	enum feed_codec_type type;
	uint8_t name_len; /* 1..EVENT_KEY_MAX; keyed: 0 */
	uint8_t
	    name[EVENT_KEY_MAX]; /* fixed: the key; json: the member that holds the key, UTF-8 */
};

struct feed_message {
	const uint8_t *key;     /* in the message or in key_copy */
	const uint8_t *payload; /* in the message */
	uint32_t payload_len;   /* 0..EVENT_PAYLOAD_MAX */
	uint8_t key_len;        /* 1..EVENT_KEY_MAX */
};

/* Prepare a codec. name: see struct feed_codec; ignored for keyed. Returns 0, or -EINVAL when its
 * length is not 1..EVENT_KEY_MAX. */
int feed_codec_init(struct feed_codec *codec, enum feed_codec_type type, const void *name,
                    uint32_t name_len);

/* the parts of feed_decode: keyed is short enough to stand where it is used */
static inline enum reason feed_decode_keyed(const uint8_t *message, uint32_t len,
                                            struct feed_message *out)
{
	uint32_t key_len = len > 0 ? message[0] : 0;
	uint32_t payload_len = len - 1 - key_len;

	if (__builtin_expect(key_len >= len || key_len - 1 >= EVENT_KEY_MAX ||
	                         payload_len > EVENT_PAYLOAD_MAX,
	                     0)) {
		if (key_len == 0 || key_len >= len)
			return REASON_MALFORMED;
		return key_len > EVENT_KEY_MAX ? REASON_KEY_TOO_LONG : REASON_PAYLOAD_TOO_LONG;
	}
	out->key = message + 1;
	out->key_len = (uint8_t)key_len;
	out->payload = message + 1 + key_len;
	out->payload_len = payload_len;
	return REASON_NONE;
}
enum reason feed_decode_other(const struct feed_codec *codec, const uint8_t *message, uint32_t len,
                              uint8_t key_copy[EVENT_KEY_MAX], struct feed_message *out);

/*
 * Decode the `len` bytes at `message` (any alignment; nothing beyond them is read).
 *
 * Returns REASON_NONE and fills *out, or:
 *   MALFORMED         empty; keyed: K is 0 or ends beyond the message; json: not exactly one object as RFC 8259 has
 *                     it, in valid UTF-8, or FEED_JSON_DEPTH_MAX exceeded, or its key member is missing, there
 *                     twice, empty or not a string
 *   KEY_TOO_LONG      longer than EVENT_KEY_MAX
 *   PAYLOAD_TOO_LONG  longer than EVENT_PAYLOAD_MAX; json is not looked at then
 * The key points into `message`, or into `key_copy` where it does not stand in the message as such
 * (fixed, and JSON strings with escapes). key_copy may be written to in any case.
 *
 * Any thread; allocates nothing, keeps no state.
 */
static inline enum reason feed_decode(const struct feed_codec *codec, const uint8_t *message,
                                      uint32_t len, uint8_t key_copy[EVENT_KEY_MAX],
                                      struct feed_message *out)
{
	struct feed_message other; /* so that *out may stay in registers */
	enum reason reason;

	if (__builtin_expect(codec->type == FEED_CODEC_KEYED, 1))
		return feed_decode_keyed(message, len, out);
	reason = feed_decode_other(codec, message, len, key_copy, &other);
	if (reason == REASON_NONE)
		*out = other;
	return reason;
}

#endif
