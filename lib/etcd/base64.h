/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 with padding (RFC 4648, section 4), as etcd's JSON gateway writes bytes. Any thread. */
#ifndef ETCD_BASE64_H
#define ETCD_BASE64_H

#include <stddef.h>
#include <sys/types.h>

/* characters that `len` bytes become, without a final NUL */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* Writes BASE64_LEN(len) characters to out; returns that number. */
size_t base64_encode(const void *in, size_t len, char *out);
/* Decodes in[0..len) to out, which has room for len / 4 * 3 bytes. Returns the number of bytes, or
 * -EINVAL for anything that base64_encode does not write. */
ssize_t base64_decode(const char *in, size_t len, void *out);

#endif
