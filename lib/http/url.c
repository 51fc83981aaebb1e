/* SPDX-License-Identifier: Apache-2.0 */
#include "http/url.h"

#include <errno.h>
#include <string.h>

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

ssize_t url_decode(const char *in, size_t len, bool plus_is_space, void *out, size_t size)
{
	char *to = out;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = in[i];

		if (c == '%') {
			if (len - i < 3 || hex(in[i + 1]) < 0 || hex(in[i + 2]) < 0)
				return -EINVAL;
			c = (char)(hex(in[i + 1]) << 4 | hex(in[i + 2]));
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (n == size)
			return -ENOSPC;
		to[n++] = c;
	}
	return (ssize_t)n;
}

static bool name_is(const char *in, size_t len, const char *name)
{
	char decoded[64];
	ssize_t n = url_decode(in, len, true, decoded, sizeof(decoded));

	return n >= 0 && (size_t)n == strlen(name) && memcmp(decoded, name, (size_t)n) == 0;
}

ssize_t url_argument(const char *query, const char *name, void *out, size_t size)
{
	ssize_t found = -ENOENT;

	while (query && *query) {
		size_t len = strcspn(query, "&");
		size_t name_len = strcspn(query, "=&");

		if (name_is(query, name_len, name)) {
			size_t at = name_len < len ? name_len + 1 : len;

			if (found != -ENOENT)
				return -EEXIST;
			found = url_decode(query + at, len - at, true, out, size);
		}
		query += len;
		if (*query == '&')
			query++;
	}
	return found;
}
