/* SPDX-License-Identifier: Apache-2.0 */
#include "etcd/endpoints.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool good_endpoint(const char *s, size_t len)
{
	size_t scheme = strncmp(s, "http://", 7) == 0 ? 7 : strncmp(s, "https://", 8) == 0 ? 8 : 0;

	if (scheme == 0 || len <= scheme || len >= ETCD_ENDPOINT_LEN)
		return false;
	for (size_t i = scheme; i < len; i++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]%",
		           s[i]) == NULL)
			return false;
	return true;
}

int etcd_endpoints_split(const char *list, char (*out)[ETCD_ENDPOINT_LEN],
                         char err[ETCD_MESSAGE_MAX])
{
	int count = 0;

	for (const char *s = list;; s++) {
		s += strspn(s, " ");
		size_t len = strcspn(s, ","), used = len;

		while (used > 0 && (s[used - 1] == ' ' || s[used - 1] == '/'))
			used--;
		if (!good_endpoint(s, used)) {
			snprintf(err, ETCD_MESSAGE_MAX,
			         "%.*s is not an endpoint such as http://127.0.0.1:2379",
			         (int)(len < 80 ? len : 80), s);
			return -EINVAL;
		}
		if (count == ETCD_ENDPOINTS_MAX) {
			snprintf(err, ETCD_MESSAGE_MAX, "there are more than %d endpoints",
			         ETCD_ENDPOINTS_MAX);
			return -EINVAL;
		}
		if (out != NULL) {
			memcpy(out[count], s, used);
			out[count][used] = '\0';
		}
		count++;
		s += len;
		if (*s == '\0')
			return count;
	}
}
