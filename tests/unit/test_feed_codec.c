/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codecs and the framing. Messages are copied into blocks of exactly their size, so that a
 * sanitizer sees each byte read beyond them. The JSON scanner is held against jansson.
 */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed/codec.h"
#include "feed/framing.h"
#include "feed/json.h"

static struct feed_codec keyed, json, fixed;

static void setup(void)
{
	ck_assert_int_eq(feed_codec_init(&keyed, FEED_CODEC_KEYED, NULL, 0), 0);
	ck_assert_int_eq(feed_codec_init(&json, FEED_CODEC_JSON, "key", 3), 0);
	ck_assert_int_eq(feed_codec_init(&fixed, FEED_CODEC_FIXED, "TICKS", 5), 0);
}

/* a decoded message, with its key and payload as copies */
struct decoded {
	enum reason reason;
	uint8_t key[EVENT_KEY_MAX];
	uint32_t key_len;
	uint8_t payload[EVENT_PAYLOAD_MAX];
	uint32_t payload_len;
	bool key_in_message;
};

static struct decoded decode(const struct feed_codec *codec, const void *message, uint32_t len)
{
	static struct decoded d;
	struct feed_message m;
	uint8_t *key_copy = malloc(EVENT_KEY_MAX);
	uint8_t *block = malloc(len > 0 ? len : 1);

	ck_assert_ptr_nonnull(key_copy);
	ck_assert_ptr_nonnull(block);
	if (len > 0)
		memcpy(block, message, len);
	memset(&d, 0, sizeof(d));
	d.reason = feed_decode(codec, block, len, key_copy, &m);
	if (d.reason == REASON_NONE) {
		ck_assert_uint_ge(m.key_len, 1);
		ck_assert_uint_le(m.key_len, EVENT_KEY_MAX);
		ck_assert_uint_le(m.payload_len, EVENT_PAYLOAD_MAX);
		d.key_in_message = m.key != key_copy;
		if (d.key_in_message) {
			ck_assert_uint_le((uintptr_t)block, (uintptr_t)m.key);
			ck_assert_uint_le((uintptr_t)(m.key + m.key_len), (uintptr_t)(block + len));
		}
		ck_assert_uint_le((uintptr_t)block, (uintptr_t)m.payload);
		ck_assert_ptr_eq(m.payload + m.payload_len, block + len);
		memcpy(d.key, m.key, m.key_len);
		memcpy(d.payload, m.payload, m.payload_len);
		d.key_len = m.key_len;
		d.payload_len = m.payload_len;
	}
	free(block);
	free(key_copy);
	return d;
}

static void expect_message(const struct feed_codec *codec, const void *message, uint32_t len,
                           const char *key, uint32_t key_len, bool in_message)
{
	struct decoded d = decode(codec, message, len);

	ck_assert_msg(d.reason == REASON_NONE, "refused: %.*s", (int)len, (const char *)message);
	ck_assert_uint_eq(d.key_len, key_len);
	ck_assert_mem_eq(d.key, key, key_len);
	ck_assert_int_eq(d.key_in_message, in_message);
}

static void expect_json(const char *text, const char *key, bool in_message)
{
	struct decoded d;

	expect_message(&json, text, (uint32_t)strlen(text), key, (uint32_t)strlen(key), in_message);
	d = decode(&json, text, (uint32_t)strlen(text));
	ck_assert_uint_eq(d.payload_len, strlen(text));
	ck_assert_mem_eq(d.payload, text, d.payload_len);
}

static void expect_reason(const char *text, enum reason reason)
{
	struct decoded d = decode(&json, text, (uint32_t)strlen(text));

	ck_assert_msg(d.reason == reason, "%s: reason %d instead of %d", text, d.reason, reason);
}

START_TEST(codec_wants_a_name_of_one_to_64_bytes)
{
	struct feed_codec codec;
	char name[EVENT_KEY_MAX + 1] = "";

	ck_assert_int_eq(feed_codec_init(&codec, FEED_CODEC_FIXED, "", 0), -EINVAL);
	ck_assert_int_eq(feed_codec_init(&codec, FEED_CODEC_JSON, name, sizeof(name)), -EINVAL);
	ck_assert_int_eq(feed_codec_init(&codec, FEED_CODEC_JSON, name, EVENT_KEY_MAX), 0);
}
END_TEST

START_TEST(keyed_splits_key_and_payload)
{
	struct decoded d;

	expect_message(&keyed, "\3BTCprice", 9, "BTC", 3, true);
	d = decode(&keyed, "\3BTCprice", 9);
	ck_assert_uint_eq(d.payload_len, 5);
	ck_assert_mem_eq(d.payload, "price", 5);

	/* any bytes; no payload */
	expect_message(&keyed, "\2\0\xff", 3, "\0\xff", 2, true);
	d = decode(&keyed, "\2\0\xff", 3);
	ck_assert_uint_eq(d.payload_len, 0);
}
END_TEST

START_TEST(keyed_refuses_what_its_length_does_not_fit)
{
	uint8_t message[256];

	ck_assert_int_eq(decode(&keyed, "", 0).reason, REASON_MALFORMED);
	for (uint32_t key_len = 0; key_len < 256; key_len++) {
		memset(message, 'k', sizeof(message));
		message[0] = (uint8_t)key_len;
		for (uint32_t len = 1; len <= sizeof(message); len++) {
			enum reason want = REASON_NONE;

			if (key_len == 0 || 1 + key_len > len)
				want = REASON_MALFORMED;
			else if (key_len > EVENT_KEY_MAX)
				want = REASON_KEY_TOO_LONG;
			ck_assert_int_eq(decode(&keyed, message, len).reason, want);
		}
	}
}
END_TEST

START_TEST(payloads_end_at_8192_bytes)
{
	static char message[1 + 1 + EVENT_PAYLOAD_MAX + 1] = "\1k";

	ck_assert_int_eq(decode(&keyed, message, 2 + EVENT_PAYLOAD_MAX).reason, REASON_NONE);
	ck_assert_int_eq(decode(&keyed, message, 3 + EVENT_PAYLOAD_MAX).reason,
	                 REASON_PAYLOAD_TOO_LONG);
	ck_assert_int_eq(decode(&fixed, message, EVENT_PAYLOAD_MAX).reason, REASON_NONE);
	ck_assert_int_eq(decode(&fixed, message, EVENT_PAYLOAD_MAX + 1).reason,
	                 REASON_PAYLOAD_TOO_LONG);
	memset(message, ' ', sizeof(message));
	memcpy(message, "{\"key\":\"k\"}", 11);
	ck_assert_int_eq(decode(&json, message, EVENT_PAYLOAD_MAX).reason, REASON_NONE);
	ck_assert_int_eq(decode(&json, message, EVENT_PAYLOAD_MAX + 1).reason,
	                 REASON_PAYLOAD_TOO_LONG);
}
END_TEST

START_TEST(fixed_takes_the_whole_message)
{
	struct decoded d = decode(&fixed, "\3BTC", 4);

	ck_assert_int_eq(d.reason, REASON_NONE);
	ck_assert_uint_eq(d.key_len, 5);
	ck_assert_mem_eq(d.key, "TICKS", 5);
	ck_assert(!d.key_in_message);
	ck_assert_uint_eq(d.payload_len, 4);
	ck_assert_mem_eq(d.payload, "\3BTC", 4);
	ck_assert_int_eq(decode(&fixed, "", 0).reason, REASON_MALFORMED);
}
END_TEST

START_TEST(json_finds_the_key_member)
{
	expect_json("{\"key\":\"BTC\"}", "BTC", true);
	expect_json("{\"price\": 50000, \"key\": \"BTC\", \"size\": [1, 2]}", "BTC", true);
	expect_json(" \t\r\n{ \"key\" : \"BTC\" } \n", "BTC", true);
	expect_json("{\"key\":\"\xd0\xb1\xe2\x82\xac\xf0\x9d\x84\x9e\"}",
	            "\xd0\xb1\xe2\x82\xac\xf0\x9d\x84\x9e", true);
	/* only the outermost object's member counts */
	expect_json("{\"a\":{\"key\":1,\"b\":[{\"key\":\"x\"}]},\"key\":\"BTC\"}", "BTC", true);
	expect_json("{\"keys\":1,\"ke\":2,\"Key\":3,\"\":4,\"key\":\"BTC\"}", "BTC", true);
}
END_TEST

START_TEST(json_resolves_escapes)
{
	expect_json("{\"key\":\"a\\\"b\\\\c\\/d\\b\\f\\n\\r\\t\"}", "a\"b\\c/d\b\f\n\r\t", false);
	expect_json("{\"key\":\"\\u0041\\u00e9\\u20AC\\ud834\\uDD1E!\"}",
	            "A\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e!", false);
	expect_message(&json, "{\"key\":\"a\\u0000b\"}", 18, "a\0b", 3, false);
	/* a member name with escapes is the same name */
	expect_json("{\"\\u006bey\":\"BTC\"}", "BTC", true);
	expect_json("{\"k\\u0065\\u0079\":\"BT\\u0043\"}", "BTC", false);
	expect_reason("{\"k\\u0065z\":\"BTC\"}", REASON_MALFORMED);
}
END_TEST

START_TEST(json_finds_a_key_field_of_any_name)
{
	struct feed_codec codec;
	char field[EVENT_KEY_MAX], text[256];

	memset(field, 'f', sizeof(field));
	ck_assert_int_eq(feed_codec_init(&codec, FEED_CODEC_JSON, field, sizeof(field)), 0);
	snprintf(text, sizeof(text), "{\"%.63s\":1,\"%.64s\":\"v\"}", field, field);
	expect_message(&codec, text, (uint32_t)strlen(text), "v", 1, true);
	/* one byte longer, and with escapes */
	snprintf(text, sizeof(text), "{\"\\u0066%.64s\":\"v\"}", field);
	ck_assert_int_eq(decode(&codec, text, (uint32_t)strlen(text)).reason, REASON_MALFORMED);
	snprintf(text, sizeof(text), "{\"\\u0066%.63s\":\"v\"}", field);
	expect_message(&codec, text, (uint32_t)strlen(text), "v", 1, true);
	ck_assert_int_eq(feed_codec_init(&codec, FEED_CODEC_JSON, "\xe2\x82\xac", 3), 0);
	expect_message(&codec, "{\"\\u20ac\":\"v\"}", 14, "v", 1, true);
}
END_TEST

START_TEST(json_bounds_the_key)
{
	char text[512] = "{\"key\":\"", key[EVENT_KEY_MAX + 2] = "";

	memset(key, 'k', EVENT_KEY_MAX);
	snprintf(text, sizeof(text), "{\"key\":\"%s\"}", key);
	expect_json(text, key, true);
	snprintf(text, sizeof(text), "{\"key\":\"%sk\"}", key);
	expect_reason(text, REASON_KEY_TOO_LONG);
	snprintf(text, sizeof(text), "{\"key\":\"%.63s\\n\"}", key);
	key[63] = '\n';
	expect_json(text, key, false);
	snprintf(text, sizeof(text), "{\"key\":\"%.62s\\u00e9\"}", key);
	memcpy(key + 62, "\xc3\xa9", 2);
	expect_json(text, key, false);
	/* the last character ends behind the limit */
	snprintf(text, sizeof(text), "{\"key\":\"%.62s\\u20ac\"}", key);
	expect_reason(text, REASON_KEY_TOO_LONG);
	snprintf(text, sizeof(text), "{\"key\":\"%.62s\\ud834\\udd1e\"}", key);
	expect_reason(text, REASON_KEY_TOO_LONG);
	/* longer than 64 bytes only as written */
	expect_json(
	    "{\"key\":\"\\u0041\\u0041\\u0041\\u0041\\u0041\\u0041\\u0041\\u0041\\u0041\\u0041"
	    "\\u0041\\u0041\"}",
	    "AAAAAAAAAAAA", false);
	/* a broken text is malformed before its key is too long */
	snprintf(text, sizeof(text), "{\"key\":\"%sk\"", key);
	expect_reason(text, REASON_MALFORMED);
}
END_TEST

START_TEST(json_wants_exactly_one_good_key)
{
	static const char *const texts[] = {
	    "{}",
	    "{\"a\":\"b\"}",
	    "{\"key\":\"\"}",
	    "{\"key\":1}",
	    "{\"key\":null}",
	    "{\"key\":[\"BTC\"]}",
	    "{\"key\":{\"key\":\"BTC\"}}",
	    "{\"key\":\"BTC\",\"key\":\"BTC\"}",
	    "{\"key\":\"BTC\",\"\\u006bey\":\"ETH\"}",
	    "{\"key\":\"BTC\",\"key\":1}",
	    "{\"key\":1,\"key\":\"BTC\"}",
	};

	for (uint32_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		expect_reason(texts[i], REASON_MALFORMED);
}
END_TEST

/* good and bad texts: our scanner and jansson must agree on each */
static const char *const valid_members[] = {
    "0",
    "-0",
    "10",
    "-1.5",
    "0.0",
    "1e5",
    "1E+5",
    "12.25e-3",
    "-0e0",
    "true",
    "false",
    "null",
    "\"\"",
    "\" \"",
    "\"\x7f\"",
    "\"\xc2\x80\"",
    "\"\xdf\xbf\"",
    "\"\xe0\xa0\x80\"",
    "\"\xed\x9f\xbf\"",
    "\"\xee\x80\x80\"",
    "\"\xef\xbf\xbf\"",
    "\"\xf0\x90\x80\x80\"",
    "\"\xf4\x8f\xbf\xbf\"",
    "\"\\ud800\\udc00\"",
    "\"\\udbff\\udfff\"",
    "\"\\uFfFf\"",
    "[]",
    "{}",
    "[[]]",
    "[{},{}]",
    "[1,2 , 3]",
    " [ ] ",
    "{\"a\":1,\"b\":2}",
    "{ \"\" : { } }",
};

static const char *const broken_members[] = {
    "",
    "-",
    "01",
    "-01",
    "1.",
    ".5",
    "1e",
    "1e+",
    "+1",
    "0x10",
    "1.e5",
    "--1",
    "NaN",
    "Infinity",
    "tru",
    "True",
    "truefalse",
    "nul",
    "\"",
    "\"\\\"",
    "\"\\x41\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\",
    "\"\\u",
    "\"\\ud800\"",
    "\"\\ud800x\"",
    "\"\\ud800\\n\"",
    "\"\\ud800\\ud800\"",
    "\"\\udc00\"",
    "\"\\udfff\\ud800\"",
    "\"\\uD800\\u",
    "\"\n\"",
    "\"\t\"",
    "\"\x1f\"",
    "\"\x80\"",
    "\"\xbf\"",
    "\"\xc0\x80\"",
    "\"\xc1\xbf\"",
    "\"\xc2\"",
    "\"\xc2\x41\"",
    "\"\xc2\xc0\"",
    "\"\xe0\x80\x80\"",
    "\"\xe0\x9f\xbf\"",
    "\"\xe2\x82\"",
    "\"\xe2\x82\x41\"",
    "\"\xed\xa0\x80\"",
    "\"\xed\xbf\xbf\"",
    "\"\xf0\x80\x80\x80\"",
    "\"\xf0\x8f\xbf\xbf\"",
    "\"\xf0\x9d\x84\"",
    "\"\xf0\x9d\x84\x41\"",
    "\"\xf0\x9d\x41\x9e\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xf5\x80\x80\x80\"",
    "\"\xfe\"",
    "\"\xff\"",
    "[",
    "]",
    "[}",
    "{]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[,]",
    "{",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{\"a\":1 \"b\":2}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{\"a\":1}}",
    "'a'",
    "1,",
    "// x\n1",
    "/* x */ 1",
    "1;",
    "\x0b"
    "1",
    "\xa0",
    "\xef\xbb\xbf"
    "1",
};

static bool jansson_takes(const char *text, size_t len)
{
	json_t *root = json_loadb(text, len, JSON_ALLOW_NUL, NULL);
	bool taken = root != NULL && json_is_object(root);

	json_decref(root);
	return taken;
}

START_TEST(json_agrees_with_jansson_on_each_form)
{
	char text[256];

	for (uint32_t i = 0; i < sizeof(valid_members) / sizeof(valid_members[0]); i++) {
		snprintf(text, sizeof(text), "{\"key\":\"BTC\",\"v\":%s}", valid_members[i]);
		ck_assert_msg(jansson_takes(text, strlen(text)), "not jansson: %s", text);
		expect_json(text, "BTC", true);
		snprintf(text, sizeof(text), "{\"v\":[%s,%s],\"key\":\"BTC\"}", valid_members[i],
		         valid_members[i]);
		ck_assert_msg(jansson_takes(text, strlen(text)), "not jansson: %s", text);
		expect_json(text, "BTC", true);
	}
	for (uint32_t i = 0; i < sizeof(broken_members) / sizeof(broken_members[0]); i++) {
		snprintf(text, sizeof(text), "{\"key\":\"BTC\",\"v\":%s}", broken_members[i]);
		ck_assert_msg(!jansson_takes(text, strlen(text)), "jansson: %s", text);
		expect_reason(text, REASON_MALFORMED);
		snprintf(text, sizeof(text), "{\"v\":[%s,1],\"key\":\"BTC\"}", broken_members[i]);
		ck_assert_msg(!jansson_takes(text, strlen(text)), "jansson: %s", text);
		expect_reason(text, REASON_MALFORMED);
	}
}
END_TEST

START_TEST(json_refuses_what_is_no_object)
{
	static const char *const texts[] = {
	    "",
	    " ",
	    "1",
	    "\"key\"",
	    "[]",
	    "null",
	    "[{\"key\":\"BTC\"}]",
	    "{\"key\":\"BTC\"}{}",
	    "{\"key\":\"BTC\"} x",
	    "{\"key\":\"BTC\"},",
	    "\xef\xbb\xbf{\"key\":\"BTC\"}",
	    "{\"key\" \"BTC\"}",
	    "{\"key\":\"BTC\",}",
	    "{\"key\"",
	    "{\"key\":",
	    "{\"key\":\"BTC",
	    "{\"key\":\"BTC\"",
	    "{\"key\":\"BTC\"]",
	    "{,\"key\":\"BTC\"}",
	};

	for (uint32_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		expect_reason(texts[i], REASON_MALFORMED);
	/* a byte 0 does not end the text */
	ck_assert_int_eq(decode(&json, "{\"key\":\"BTC\"}\0", 14).reason, REASON_MALFORMED);
	ck_assert_int_eq(decode(&json, "{\"key\":\"B\0C\"}", 13).reason, REASON_MALFORMED);
	ck_assert_int_eq(decode(&json, "{\"key\":\"B\\\0\"}", 13).reason, REASON_MALFORMED);
}
END_TEST

START_TEST(json_bounds_the_depth)
{
	char text[1024];
	static const char opens[] = "[{";

	for (int kind = 0; kind < 2; kind++) {
		for (int depth = 60; depth < 70; depth++) {
			int at = snprintf(text, sizeof(text), "{\"key\":\"BTC\",\"v\":");

			for (int i = 1; i < depth; i++)
				at += snprintf(text + at, sizeof(text) - (size_t)at, "%c%s",
				               opens[kind], kind ? "\"a\":" : "");
			at += snprintf(text + at, sizeof(text) - (size_t)at, "1");
			for (int i = 1; i < depth; i++)
				text[at++] = kind ? '}' : ']';
			memcpy(text + at, "}", 2);
			ck_assert(jansson_takes(text, strlen(text)));
			expect_reason(text, depth <= FEED_JSON_DEPTH_MAX ? REASON_NONE
			                                                 : REASON_MALFORMED);
		}
	}
}
END_TEST

static uint64_t random_state = 7;

static uint32_t pick(uint32_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % below;
}

static json_t *random_string(void)
{
	static const char *const parts[] = {"a",
	                                    "BTC",
	                                    "\"",
	                                    "\\",
	                                    "\n",
	                                    "\1",
	                                    "/",
	                                    "\xc3\xa9",
	                                    "\xe2\x82\xac",
	                                    "\xf0\x9d\x84\x9e",
	                                    "longer than one word"};
	char text[512] = "";

	for (uint32_t i = pick(8); i > 0; i--)
		strcat(text, parts[pick(sizeof(parts) / sizeof(parts[0]))]);
	return json_string(text);
}

static json_t *random_value(uint32_t depth)
{
	json_t *value;

	switch (pick(depth > 3 ? 5 : 8)) {
	case 0:
		return json_integer((json_int_t)pick(1000000) - 500000);
	case 1:
		return json_real(((double)pick(1000000) - 500000) / 128);
	case 2:
		return json_boolean(pick(2));
	case 3:
		return json_null();
	case 4:
		return random_string();
	case 5:
		value = json_array();
		for (uint32_t i = pick(4); i > 0; i--)
			json_array_append_new(value, random_value(depth + 1));
		return value;
	default:
		value = json_object();
		for (uint32_t i = pick(4); i > 0; i--) {
			json_t *name = random_string();

			json_object_set_new(value, json_string_value(name),
			                    random_value(depth + 1));
			json_decref(name);
		}
		return value;
	}
}

/* what jansson refuses although it is JSON */
static bool is_limit_of_jansson(const json_error_t *error)
{
	enum json_error_code code = json_error_code(error);

	return code == json_error_numeric_overflow || code == json_error_duplicate_key ||
	       code == json_error_null_byte_in_key;
}

static void compare_with_jansson(const char *text, size_t len)
{
	json_error_t error;
	json_t *root = json_loadb(text, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
	struct decoded d = decode(&json, text, (uint32_t)len);
	const json_t *key = json_object_get(root, "key");

	if (root == NULL && is_limit_of_jansson(&error))
		return;
	if (!json_is_object(root) || !json_is_string(key) || json_string_length(key) == 0) {
		ck_assert_msg(d.reason == REASON_MALFORMED, "taken: %.*s", (int)len, text);
	} else if (json_string_length(key) > EVENT_KEY_MAX) {
		ck_assert_int_eq(d.reason, REASON_KEY_TOO_LONG);
	} else {
		ck_assert_msg(d.reason == REASON_NONE, "refused: %.*s", (int)len, text);
		ck_assert_uint_eq(d.key_len, json_string_length(key));
		ck_assert_mem_eq(d.key, json_string_value(key), d.key_len);
		ck_assert_uint_eq(d.payload_len, len);
	}
	json_decref(root);
}

START_TEST(json_agrees_with_jansson_on_generated_documents)
{
	static const size_t flags[] = {0, JSON_COMPACT, JSON_ENSURE_ASCII, JSON_INDENT(3),
	                               JSON_ESCAPE_SLASH};
	uint32_t taken = 0;

	for (int round = 0; round < 20000; round++) {
		json_t *root = json_object();
		char *text;

		for (uint32_t i = pick(5); i > 0; i--) {
			json_t *name = random_string();

			json_object_set_new(root, json_string_value(name), random_value(1));
			json_decref(name);
		}
		if (pick(8) != 0)
			json_object_set_new(root, "key",
			                    pick(8) ? random_string() : random_value(1));
		text = json_dumps(root, flags[pick(5)]);
		ck_assert_ptr_nonnull(text);
		compare_with_jansson(text, strlen(text));
		taken += decode(&json, text, (uint32_t)strlen(text)).reason == REASON_NONE;
		free(text);
		json_decref(root);
	}
	/* the comparison is of texts that are mostly good */
	ck_assert_uint_gt(taken, 10000);
}
END_TEST

START_TEST(json_agrees_with_jansson_on_damaged_documents)
{
	static const char alphabet[] = "{}[]\",:\\u01eE+-.tfn \n\x80\xc3\xe2";

	for (int round = 0; round < 50000; round++) {
		json_t *root = json_object();
		size_t len;
		char *text;

		json_object_set_new(root, "key", random_string());
		json_object_set_new(root, "v", random_value(1));
		text = json_dumps(root, pick(2) ? JSON_ENSURE_ASCII : JSON_COMPACT);
		len = strlen(text);
		for (uint32_t i = 1 + pick(3); i > 0; i--)
			text[pick((uint32_t)len)] = alphabet[pick(sizeof(alphabet) - 1)];
		if (pick(4) == 0)
			len = pick((uint32_t)len);
		compare_with_jansson(text, len);
		free(text);
		json_decref(root);
	}
}
END_TEST

START_TEST(raw_framing_gives_one_message)
{
	static const uint8_t payload[] = "abc";
	struct feed_datagram datagram;
	struct feed_frame frame;

	for (uint32_t len = 0; len <= 3; len++) {
		feed_framing_begin(&datagram, FEED_FRAMING_RAW, payload, len);
		ck_assert(feed_framing_next(&datagram, &frame));
		ck_assert_ptr_eq(frame.data, payload);
		ck_assert_uint_eq(frame.len, len);
		ck_assert_uint_eq(frame.feed_seq, 0);
		ck_assert(!feed_framing_next(&datagram, &frame));
		ck_assert(!feed_framing_next(&datagram, &frame));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("feed_codec");
	TCase *tcase = tcase_create("codecs");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, codec_wants_a_name_of_one_to_64_bytes);
	tcase_add_test(tcase, keyed_splits_key_and_payload);
	tcase_add_test(tcase, keyed_refuses_what_its_length_does_not_fit);
	tcase_add_test(tcase, payloads_end_at_8192_bytes);
	tcase_add_test(tcase, fixed_takes_the_whole_message);
	tcase_add_test(tcase, json_finds_the_key_member);
	tcase_add_test(tcase, json_resolves_escapes);
	tcase_add_test(tcase, json_finds_a_key_field_of_any_name);
	tcase_add_test(tcase, json_bounds_the_key);
	tcase_add_test(tcase, json_wants_exactly_one_good_key);
	tcase_add_test(tcase, json_agrees_with_jansson_on_each_form);
	tcase_add_test(tcase, json_refuses_what_is_no_object);
	tcase_add_test(tcase, json_bounds_the_depth);
	tcase_add_test(tcase, json_agrees_with_jansson_on_generated_documents);
	tcase_add_test(tcase, json_agrees_with_jansson_on_damaged_documents);
	tcase_add_test(tcase, raw_framing_gives_one_message);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
