/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds one member of a JSON object, and on the way checks that the text is JSON (RFC 8259): a
 * scanner in place of a library's parser because it runs once a datagram and must not allocate.
 */
#ifndef FEED_JSON_H
#define FEED_JSON_H

#include <stdint.h>

#include "event/event.h"

#define FEED_JSON_DEPTH_MAX 64 /* objects and arrays in each other, the outermost object counts */

enum feed_json_result {
	FEED_JSON_FOUND,
	FEED_JSON_INVALID, /* not exactly one JSON object in valid UTF-8, or nested too deeply */
	FEED_JSON_NO_KEY,  /* no such member, two of them, no string, or the empty one */
	FEED_JSON_KEY_TOO_LONG, /* more than EVENT_KEY_MAX bytes without escapes */
};

struct feed_json_key {
	const uint8_t *data; /* in the text, or in key_copy when it is written with escapes */
	uint8_t len;         /* 1..EVENT_KEY_MAX */
};

/* Look in the `len` bytes at `text` for the member `name` (UTF-8, compared without escapes) of the
 * outermost object. White space around the object is allowed, a byte order mark is not. An escape
 * sequence that is half of a surrogate pair is invalid. The whole text is checked before anything
 * else is reported. Any thread. */
enum feed_json_result feed_json_find_key(const uint8_t *text, uint32_t len, const uint8_t *name,
                                         uint32_t name_len, uint8_t key_copy[EVENT_KEY_MAX],
                                         struct feed_json_key *out);

#endif
