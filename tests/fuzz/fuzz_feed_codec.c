/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a message of each codec; the first byte chooses. Key and payload must lie where they
 * may, and what the JSON scanner takes, jansson must take too, with the same key.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "feed/codec.h"
#include "feed/framing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* jansson refuses some JSON: these are not our scanner's mistakes */
static int is_limit_of_jansson(const json_error_t *error)
{
	enum json_error_code code = json_error_code(error);

	return code == json_error_numeric_overflow || code == json_error_null_byte_in_key;
}

static void compare_with_jansson(const struct feed_frame *frame, enum reason reason,
                                 const struct feed_message *message)
{
	json_error_t error;
	json_t *root = json_loadb((const char *)frame->data, frame->len, JSON_ALLOW_NUL, &error);
	const json_t *key = json_object_get(root, "key");

	if (reason == REASON_NONE) {
		if (root == NULL && !is_limit_of_jansson(&error))
			abort();
		if (root != NULL &&
		    (!json_is_string(key) || json_string_length(key) != message->key_len ||
		     memcmp(json_string_value(key), message->key, message->key_len) != 0))
			abort();
	}
	json_decref(root);
}

static void check(const struct feed_codec *codec, const struct feed_frame *frame)
{
	uint8_t key_copy[EVENT_KEY_MAX];
	struct feed_message m;
	enum reason reason = feed_decode(codec, frame->data, frame->len, key_copy, &m);

	if (codec->type == FEED_CODEC_JSON)
		compare_with_jansson(frame, reason, &m);
	if (reason != REASON_NONE)
		return;
	if (m.key_len == 0 || m.key_len > EVENT_KEY_MAX || m.payload_len > EVENT_PAYLOAD_MAX)
		abort();
	if (m.payload < frame->data || m.payload + m.payload_len != frame->data + frame->len)
		abort();
	if (m.key != key_copy &&
	    (m.key < frame->data || m.key + m.key_len > frame->data + frame->len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum feed_codec_type types[] = {FEED_CODEC_KEYED, FEED_CODEC_JSON,
	                                             FEED_CODEC_FIXED};
	struct feed_codec codec;
	struct feed_datagram datagram;
	struct feed_frame frame;

	if (size == 0 || feed_codec_init(&codec, types[data[0] % 3], "key", 3) != 0)
		return 0;
	feed_framing_begin(&datagram, FEED_FRAMING_RAW, data + 1, (uint32_t)size - 1);
	while (feed_framing_next(&datagram, &frame))
		check(&codec, &frame);
	return 0;
}
