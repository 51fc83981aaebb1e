/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as an answer of etcd; the first one chooses the kind. What is taken must lie inside what
 * came, and the layout of keys must be one to one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "etcd/answer.h"
#include "ownership/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_layout(const struct etcd_kv *kv)
{
	uint8_t key[EVENT_KEY_MAX];
	char path[LAYOUT_PATH_MAX];
	struct layout_engine e;
	int len = layout_assignment_key(kv->key, kv->key_len, key);

	if (len >= 0 && (layout_assignment_path(key, (size_t)len, path) != kv->key_len ||
	                 memcmp(path, kv->key, kv->key_len) != 0))
		abort();
	layout_engine_parse(&e, kv->key, kv->key_len, kv->value, kv->value_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[ETCD_ERROR_MAX];
	struct etcd_answer a;

	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;

	if (etcd_answer_parse(&a, data[0] % ETCD_KINDS, text, size - 1, err) == 0) {
		for (uint32_t i = 0; i < a.kv_count; i++) {
			if (a.kv[i].key_len == 0 || a.kv[i].key_len + a.kv[i].value_len > size)
				abort();
			check_layout(&a.kv[i]);
		}
		if (a.token != NULL && strlen(a.token) > size)
			abort();
	} else if (err[0] == '\0') {
		abort();
	}
	etcd_answer_free(&a);
	int code = etcd_error_parse(text, size - 1, err);

	if (code > 16 || code == 0)
		abort();
	return 0;
}
