/* SPDX-License-Identifier: Apache-2.0 */
#include "feed/json.h"

#include <stdbool.h>
#include <string.h>

#include <rte_byteorder.h>

/* what may stand next in the innermost container */
enum expect {
	EXPECT_FIRST,     /* its first element, or its end */
	EXPECT_ELEMENT,   /* an element, after a comma */
	EXPECT_SEPARATOR, /* a comma, or its end */
};

/* the bytes between the quotes of a string */
struct span {
	const uint8_t *data;
	uint32_t len;
	bool escaped;
};

struct scanner {
	const uint8_t *at;
	const uint8_t *end;
	const uint8_t *name;
	uint32_t name_len;
	enum expect expect;
	uint32_t depth;
	uint64_t objects; /* one bit a level, the innermost lowest: 1 object, 0 array */
	uint32_t keys;    /* members called `name` seen */
	bool at_key;      /* the value that follows is the key's */
	struct span key;  /* empty: no string */
};
_Static_assert(FEED_JSON_DEPTH_MAX == 64, "one bit of `objects` a level");

static void skip_space(struct scanner *s)
{
	while (s->at < s->end &&
	       (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
		s->at++;
}

#define EACH_BYTE(x) (UINT64_C(0x0101010101010101) * (x))

/* the bytes at the start of `word` that stand for themselves in a string: no quote, backslash,
 * control or non-ASCII byte. The borrow of a subtraction only spoils flags above the first that is
 * set. */
static inline uint32_t plain_bytes(uint64_t word)
{
	uint64_t quote = word ^ EACH_BYTE('"');
	uint64_t backslash = word ^ EACH_BYTE('\\');
	uint64_t flags = (word - EACH_BYTE(0x20)) & ~word;

	flags |= (quote - EACH_BYTE(1)) & ~quote;
	flags |= (backslash - EACH_BYTE(1)) & ~backslash;
	flags = (flags | word) & EACH_BYTE(0x80);
	return flags == 0 ? 8 : (uint32_t)__builtin_ctzll(flags) / 8;
}

static void skip_plain(struct scanner *s)
{
	while (s->end - s->at >= 8) {
		uint32_t plain;
		uint64_t word;

		memcpy(&word, s->at, sizeof(word));
		plain = plain_bytes(rte_le_to_cpu_64(word));
		s->at += plain;
		if (plain < 8)
			return;
	}
	while (s->at < s->end && *s->at >= 0x20 && *s->at < 0x80 && *s->at != '"' && *s->at != '\\')
		s->at++;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* four hex digits at `at`, or -1 */
static int32_t hex4(const uint8_t *at, const uint8_t *end)
{
	int32_t value = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(at[i]);

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

/* the scanner stands on a backslash */
static bool scan_escape(struct scanner *s)
{
	int32_t unit;

	if (s->end - s->at < 2)
		return false;
	s->at += 2;
	if (s->at[-1] != 'u')
		return s->at[-1] != 0 && strchr("\"\\/bfnrt", s->at[-1]) != NULL;
	unit = hex4(s->at, s->end);
	if (unit < 0)
		return false;
	s->at += 4;
	if (unit < 0xd800 || unit > 0xdfff)
		return true;
	if (unit > 0xdbff || s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
		return false;
	unit = hex4(s->at + 2, s->end);
	if (unit < 0xdc00 || unit > 0xdfff)
		return false;
	s->at += 6;
	return true;
}

/* the scanner stands on a byte >= 0x80: one character as table 3-7 of the Unicode standard has it
 */
static bool scan_utf8(struct scanner *s)
{
	uint8_t lead = *s->at;
	uint8_t low = 0x80, high = 0xbf; /* of the second byte */
	uint32_t more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;

	if (lead < 0xc2 || lead > 0xf4 || (size_t)(s->end - s->at) <= more)
		return false;
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	if (s->at[1] < low || s->at[1] > high)
		return false;
	for (uint32_t i = 2; i <= more; i++) {
		if ((s->at[i] & 0xc0) != 0x80)
			return false;
	}
	s->at += more + 1;
	return true;
}

static bool scan_string(struct scanner *s, struct span *out)
{
	if (s->at == s->end || *s->at != '"')
		return false;
	s->at++;
	out->data = s->at;
	out->escaped = false;
	for (;;) {
		skip_plain(s);
		if (s->at == s->end)
			return false;
		if (*s->at == '"')
			break;
		if (*s->at == '\\') {
			out->escaped = true;
			if (!scan_escape(s))
				return false;
		} else if (*s->at < 0x20 || !scan_utf8(s)) {
			return false;
		}
	}
	out->len = (uint32_t)(s->at - out->data);
	s->at++;
	return true;
}

static bool scan_digits(struct scanner *s)
{
	const uint8_t *start = s->at;

	while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
		s->at++;
	return s->at > start;
}

static bool scan_number(struct scanner *s)
{
	if (*s->at == '-')
		s->at++;
	if (s->at < s->end && *s->at == '0')
		s->at++;
	else if (!scan_digits(s))
		return false;
	if (s->at < s->end && *s->at == '.') {
		s->at++;
		if (!scan_digits(s))
			return false;
	}
	if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
		s->at++;
		if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
			s->at++;
		return scan_digits(s);
	}
	return true;
}

static bool scan_literal(struct scanner *s, const char *literal)
{
	size_t len = strlen(literal);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, literal, len) != 0)
		return false;
	s->at += len;
	return true;
}

static bool open_container(struct scanner *s, bool object)
{
	if (s->depth == FEED_JSON_DEPTH_MAX)
		return false;
	s->at++;
	s->depth++;
	s->objects = s->objects << 1 | object;
	s->expect = EXPECT_FIRST;
	return true;
}

static bool close_container(struct scanner *s)
{
	if (*s->at != (s->objects & 1 ? '}' : ']'))
		return false;
	s->at++;
	s->depth--;
	s->objects >>= 1;
	s->expect = EXPECT_SEPARATOR;
	return true;
}

static uint32_t put_utf8(uint32_t c, uint8_t out[4])
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | c >> 18);
	out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

/* the character of the escape sequence at *at, which scan_escape has found good; steps over it */
static uint32_t read_escape(const uint8_t **at)
{
	static const char letters[] = "bfnrt", values[] = "\b\f\n\r\t";
	uint8_t c = (*at)[1];
	uint32_t unit;

	if (c != 'u') {
		const char *letter = strchr(letters, c);

		*at += 2;
		return letter != NULL ? (uint32_t)values[letter - letters] : c;
	}
	unit = (uint32_t)hex4(*at + 2, *at + 6);
	*at += 6;
	if (unit < 0xd800 || unit > 0xdfff)
		return unit;
	unit = 0x10000 + ((unit - 0xd800) << 10) + ((uint32_t)hex4(*at + 2, *at + 6) - 0xdc00);
	*at += 6;
	return unit;
}

/* returns the length of the string without escapes; what is behind EVENT_KEY_MAX is not written */
static uint32_t unescape(const struct span *string, uint8_t out[EVENT_KEY_MAX])
{
	const uint8_t *at = string->data;
	const uint8_t *end = at + string->len;
	uint32_t len = 0;

	while (at < end) {
		uint8_t bytes[4] = {*at};
		uint32_t count = 1;

		if (*at == '\\')
			count = put_utf8(read_escape(&at), bytes);
		else
			at++;
		for (uint32_t i = 0; i < count; i++, len++) {
			if (len < EVENT_KEY_MAX)
				out[len] = bytes[i];
		}
	}
	return len;
}

static bool name_matches(const struct scanner *s, const struct span *member)
{
	uint8_t plain[EVENT_KEY_MAX];

	if (!member->escaped)
		return member->len == s->name_len &&
		       memcmp(member->data, s->name, s->name_len) == 0;
	return unescape(member, plain) == s->name_len && memcmp(plain, s->name, s->name_len) == 0;
}

/* the name of a member and its colon */
static bool scan_name(struct scanner *s)
{
	struct span member;

	if (!scan_string(s, &member))
		return false;
	if (s->depth == 1 && name_matches(s, &member)) {
		s->at_key = true;
		s->keys++;
	}
	skip_space(s);
	if (s->at == s->end || *s->at != ':')
		return false;
	s->at++;
	skip_space(s);
	return s->at < s->end;
}

static bool scan_value(struct scanner *s)
{
	struct span string = {0};
	bool at_key = s->at_key;

	s->at_key = false;
	s->expect = EXPECT_SEPARATOR;
	switch (*s->at) {
	case '{':
		return open_container(s, true);
	case '[':
		return open_container(s, false);
	case '"':
		if (!scan_string(s, &string))
			return false;
		if (at_key)
			s->key = string;
		return true;
	case 't':
		return scan_literal(s, "true");
	case 'f':
		return scan_literal(s, "false");
	case 'n':
		return scan_literal(s, "null");
	default:
		return scan_number(s);
	}
}

/* one element, one comma or the end of one container */
static bool scan_step(struct scanner *s)
{
	bool in_object = s->objects & 1;

	skip_space(s);
	if (s->at == s->end)
		return false;
	if (s->expect == EXPECT_SEPARATOR && *s->at == ',') {
		s->at++;
		s->expect = EXPECT_ELEMENT;
		return true;
	}
	if (s->expect == EXPECT_SEPARATOR ||
	    (s->expect == EXPECT_FIRST && *s->at == (in_object ? '}' : ']')))
		return close_container(s);
	if (in_object && !scan_name(s))
		return false;
	return scan_value(s);
}

static bool scan_text(struct scanner *s)
{
	skip_space(s);
	if (s->at == s->end || *s->at != '{' || !open_container(s, true))
		return false;
	while (s->depth > 0) {
		if (!scan_step(s))
			return false;
	}
	skip_space(s);
	return s->at == s->end;
}

enum feed_json_result feed_json_find_key(const uint8_t *text, uint32_t len, const uint8_t *name,
                                         uint32_t name_len, uint8_t key_copy[EVENT_KEY_MAX],
                                         struct feed_json_key *out)
{
	struct scanner s = {.at = text, .end = text + len, .name = name, .name_len = name_len};
	uint32_t key_len;

	if (!scan_text(&s))
		return FEED_JSON_INVALID;
	if (s.keys != 1 || s.key.len == 0)
		return FEED_JSON_NO_KEY;
	key_len = s.key.escaped ? unescape(&s.key, key_copy) : s.key.len;
	if (key_len > EVENT_KEY_MAX)
		return FEED_JSON_KEY_TOO_LONG;
	out->data = s.key.escaped ? key_copy : s.key.data;
	out->len = (uint8_t)key_len;
	return FEED_JSON_FOUND;
}
