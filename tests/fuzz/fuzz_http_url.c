/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a query string and as a part of a path. What is decoded must fit, be no longer than what it came
 * from, and not depend on what stands behind it.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[64], *query = malloc(size + 1), *exact = malloc(size ? size : 1);

	expect(query && exact);
	memcpy(query, data, size);
	query[size] = '\0';
	memcpy(exact, data, size);
	for (size_t room = 0; room <= sizeof(out); room += 16) {
		ssize_t n = url_decode(exact, size, size & 1, out, room);

		expect(n == -EINVAL || n == -ENOSPC ||
		       (n >= 0 && (size_t)n <= room && (size_t)n <= size));
		n = url_argument(query, "key", out, room);
		expect(n == -ENOENT || n == -EEXIST || n == -EINVAL || n == -ENOSPC ||
		       (n >= 0 && (size_t)n <= room));
	}
	free(query);
	free(exact);
	return 0;
}
