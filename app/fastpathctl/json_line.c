/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "json_line.h"

static char *escape(char *at, uint8_t byte)
{
	static const char hex[] = "0123456789ABCDEF";
	static const char letters[] = "btn_fr"; /* 8 to 13; 11 has none */

	*at++ = '\\';
	if (byte == '"' || byte == '\\') {
		*at++ = (char)byte;
	} else if (byte >= 8 && byte <= 13 && byte != 11) {
		*at++ = letters[byte - 8];
	} else {
		memcpy(at, "u00", 3);
		at[3] = hex[byte >> 4];
		at[4] = hex[byte & 15];
		at += 5;
	}
	return at;
}

/* length of the UTF-8 sequence at p that is longer than one byte, 0 if there is none (RFC 3629) */
static size_t sequence(const uint8_t *p, size_t left)
{
	size_t len = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
	             : p[0] >= 0xe0 && p[0] <= 0xef ? 3
	             : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
	                                            : 0;

	if (len == 0 || len > left)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	/* overlong forms, surrogates, beyond U+10FFFF */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

char *json_line_string(char *at, const uint8_t *text, size_t len)
{
	*at++ = '"';
	for (size_t i = 0; i < len;) {
		size_t n;

		if (text[i] >= 0x20 && text[i] < 0x80 && text[i] != '"' && text[i] != '\\') {
			*at++ = (char)text[i++];
			continue;
		}
		if (text[i] < 0x80) {
			at = escape(at, text[i++]);
			continue;
		}
		n = sequence(text + i, len - i);
		if (n == 0)
			return NULL;
		memcpy(at, text + i, n);
		at += n;
		i += n;
	}
	*at++ = '"';
	return at;
}

char *json_line_base64(char *at, const uint8_t *bytes, size_t len)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	*at++ = '"';
	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t group = (uint32_t)bytes[i] << 16 |
		                 (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
		                 (left > 2 ? bytes[i + 2] : 0);

		*at++ = digits[group >> 18];
		*at++ = digits[group >> 12 & 63];
		*at++ = left > 1 ? digits[group >> 6 & 63] : '=';
		*at++ = left > 2 ? digits[group & 63] : '=';
	}
	*at++ = '"';
	return at;
}

char *json_line_number(char *at, uint64_t value)
{
	char digits[20];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

char *json_line_member(char *at, const char *name, const uint8_t *bytes, size_t len)
{
	size_t name_len = strlen(name);
	char *end;

	*at++ = ',';
	*at++ = '"';
	memcpy(at, name, name_len);
	at += name_len;
	memcpy(at, "\":", 2);
	end = json_line_string(at + 2, bytes, len);
	if (end)
		return end;
	memcpy(at, "_base64\":", 9);
	return json_line_base64(at + 9, bytes, len);
}
