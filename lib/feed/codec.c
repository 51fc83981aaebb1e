/* SPDX-License-Identifier: Apache-2.0 */
#include "feed/codec.h"

#include <errno.h>
#include <string.h>

#include "feed/json.h"

int feed_codec_init(struct feed_codec *codec, enum feed_codec_type type, const void *name,
                    uint32_t name_len)
{
	memset(codec, 0, sizeof(*codec));
	codec->type = type;
	if (type == FEED_CODEC_KEYED)
		return 0;
	if (name_len == 0 || name_len > EVENT_KEY_MAX)
		return -EINVAL;
	memcpy(codec->name, name, name_len);
	codec->name_len = (uint8_t)name_len;
	return 0;
}

static enum reason decode_json(const struct feed_codec *codec, const uint8_t *message, uint32_t len,
                               uint8_t key_copy[EVENT_KEY_MAX], struct feed_message *out)
{
	struct feed_json_key key;

	if (len > EVENT_PAYLOAD_MAX)
		return REASON_PAYLOAD_TOO_LONG;
	switch (feed_json_find_key(message, len, codec->name, codec->name_len, key_copy, &key)) {
	case FEED_JSON_FOUND:
		break;
	case FEED_JSON_KEY_TOO_LONG:
		return REASON_KEY_TOO_LONG;
	case FEED_JSON_INVALID:
	case FEED_JSON_NO_KEY:
		return REASON_MALFORMED;
	}
	out->key = key.data;
	out->key_len = key.len;
	out->payload = message;
	out->payload_len = len;
	return REASON_NONE;
}

static enum reason decode_fixed(const struct feed_codec *codec, const uint8_t *message,
                                uint32_t len, uint8_t key_copy[EVENT_KEY_MAX],
                                struct feed_message *out)
{
	if (len == 0)
		return REASON_MALFORMED;
	if (len > EVENT_PAYLOAD_MAX)
		return REASON_PAYLOAD_TOO_LONG;
	memcpy(key_copy, codec->name, EVENT_KEY_MAX);
	out->key = key_copy;
	out->key_len = codec->name_len;
	out->payload = message;
	out->payload_len = len;
	return REASON_NONE;
}

enum reason feed_decode_other(const struct feed_codec *codec, const uint8_t *message, uint32_t len,
                              uint8_t key_copy[EVENT_KEY_MAX], struct feed_message *out)
{
	switch (codec->type) {
	case FEED_CODEC_KEYED:
		return feed_decode_keyed(message, len, out);
	case FEED_CODEC_JSON:
		return decode_json(codec, message, len, key_copy, out);
	case FEED_CODEC_FIXED:
		return decode_fixed(codec, message, len, key_copy, out);
	}
	return REASON_MALFORMED;
}
