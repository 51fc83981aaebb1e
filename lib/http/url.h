/* SPDX-License-Identifier: Apache-2.0 */
/* Percent-encoding and query strings (RFC 3986, and application/x-www-form-urlencoded for `+`). Any
 * thread. */
#ifndef HTTP_URL_H
#define HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Decodes in[0..len) to out. Bytes of any value may come out, NUL too. Returns the number of bytes,
 * or -EINVAL (a `%` without two hexadecimal digits) or -ENOSPC (more than size bytes). */
ssize_t url_decode(const char *in, size_t len, bool plus_is_space, void *out, size_t size);

/* The value of the one argument `name` of a query string (NULL: none). Returns its length, 0 too,
 * or -ENOENT (absent), -EEXIST (given more than once), -EINVAL or -ENOSPC as url_decode. */
ssize_t url_argument(const char *query, const char *name, void *out, size_t size);

#endif
