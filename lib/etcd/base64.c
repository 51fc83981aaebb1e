/* SPDX-License-Identifier: Apache-2.0 */
#include "etcd/base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(const void *in, size_t len, char *out)
{
	const uint8_t *b = in;
	char *to = out;

	for (; len >= 3; len -= 3, b += 3) {
		*to++ = alphabet[b[0] >> 2];
		*to++ = alphabet[(b[0] & 3) << 4 | b[1] >> 4];
		*to++ = alphabet[(b[1] & 15) << 2 | b[2] >> 6];
		*to++ = alphabet[b[2] & 63];
	}
	if (len > 0) {
		*to++ = alphabet[b[0] >> 2];
		*to++ = alphabet[(b[0] & 3) << 4 | (len == 2 ? b[1] >> 4 : 0)];
		*to++ = len == 2 ? alphabet[(b[1] & 15) << 2] : '=';
		*to++ = '=';
	}
	return (size_t)(to - out);
}

static int sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* the last four characters, of which `used` (2 or 3) are no padding; bits beyond the bytes are 0 */
static ssize_t decode_tail(const char *in, int used, uint8_t *to)
{
	int a = sextet(in[0]), b = sextet(in[1]), c = used == 3 ? sextet(in[2]) : 0;

	if (a < 0 || b < 0 || c < 0 || (used == 2 ? b & 15 : c & 3) != 0)
		return -EINVAL;
	to[0] = (uint8_t)(a << 2 | b >> 4);
	if (used == 3)
		to[1] = (uint8_t)((b & 15) << 4 | c >> 2);
	return used - 1;
}

ssize_t base64_decode(const char *in, size_t len, void *out)
{
	uint8_t *to = out;
	int used = 4;

	if (len % 4 != 0)
		return -EINVAL;
	if (len > 0 && in[len - 1] == '=')
		used = in[len - 2] == '=' ? 2 : 3;
	size_t whole = used == 4 ? len : len - 4;

	for (size_t i = 0; i < whole; i += 4) {
		int a = sextet(in[i]), b = sextet(in[i + 1]), c = sextet(in[i + 2]),
		    d = sextet(in[i + 3]);

		if ((a | b | c | d) < 0)
			return -EINVAL;
		*to++ = (uint8_t)(a << 2 | b >> 4);
		*to++ = (uint8_t)((b & 15) << 4 | c >> 2);
		*to++ = (uint8_t)((c & 3) << 6 | d);
	}
	if (used < 4) {
		ssize_t n = decode_tail(in + whole, used, to);

		if (n < 0)
			return n;
		to += n;
	}
	return to - (uint8_t *)out;
}
