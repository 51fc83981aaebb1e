/* SPDX-License-Identifier: Apache-2.0 */
#include "ownership/layout.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c <= 0x7e && c != '%';
}

size_t layout_assignment_path(const void *key, size_t len, char path[LAYOUT_PATH_MAX])
{
	static const char hex[] = "0123456789ABCDEF";
	const uint8_t *b = key;
	char *to = path + strlen(LAYOUT_ASSIGNMENTS);

	memcpy(path, LAYOUT_ASSIGNMENTS, strlen(LAYOUT_ASSIGNMENTS));
	for (size_t i = 0; i < len; i++) {
		if (is_plain(b[i])) {
			*to++ = (char)b[i];
			continue;
		}
		*to++ = '%';
		*to++ = hex[b[i] >> 4];
		*to++ = hex[b[i] & 15];
	}
	*to = '\0';
	return (size_t)(to - path);
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int layout_assignment_key(const void *path, size_t len, uint8_t key[EVENT_KEY_MAX])
{
	const size_t prefix = strlen(LAYOUT_ASSIGNMENTS);
	const uint8_t *at = path;
	int n = 0;

	if (len <= prefix || memcmp(path, LAYOUT_ASSIGNMENTS, prefix) != 0)
		return -EINVAL;
	for (size_t i = prefix; i < len; i++) {
		uint8_t c = at[i];

		if (c == '%') {
			int high = i + 2 < len ? hex_digit(at[i + 1]) : -1;
			int low = i + 2 < len ? hex_digit(at[i + 2]) : -1;

			if (high < 0 || low < 0 || is_plain((uint8_t)(high << 4 | low)))
				return -EINVAL;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		} else if (!is_plain(c)) {
			return -EINVAL;
		}
		if (n == EVENT_KEY_MAX)
			return -EINVAL;
		key[n++] = c;
	}
	return n;
}

bool layout_is_engine_id(const void *id, size_t len)
{
	const uint8_t *b = id;

	for (size_t i = 0; i < len; i++)
		if (!isalnum(b[i]) && b[i] != '.' && b[i] != '_' && b[i] != '-')
			return false;
	return len >= 1 && len <= LAYOUT_ENGINE_MAX;
}

char *layout_engine_text(const struct layout_engine *e)
{
	json_t *o = json_pack("{s:s, s:I, s:s, s:s, s:s}", "id", e->id, "ts", (json_int_t)e->ts_ms,
	                      "http", e->http, "version", e->version, "instance", e->instance);
	char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return text;
}

/* what does not fit, or could do harm in a log or a terminal, is left empty */
static void take(const json_t *o, const char *name, char *out, size_t size)
{
	const char *s = json_string_value(json_object_get(o, name));
	size_t len = s != NULL ? strlen(s) : 0;

	out[0] = '\0';
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)s[i]))
			return;
	if (len > 0 && len < size)
		memcpy(out, s, len + 1);
}

int layout_engine_parse(struct layout_engine *e, const void *path, size_t path_len,
                        const void *text, size_t text_len)
{
	const size_t prefix = strlen(LAYOUT_REGISTRY);
	json_t *o;

	memset(e, 0, sizeof(*e));
	if (path_len <= prefix || memcmp(path, LAYOUT_REGISTRY, prefix) != 0 ||
	    !layout_is_engine_id((const char *)path + prefix, path_len - prefix))
		return -EINVAL;
	memcpy(e->id, (const char *)path + prefix, path_len - prefix);
	o = json_loadb(text, text_len, 0, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		return -EINVAL;
	}
	take(o, "http", e->http, sizeof(e->http));
	take(o, "instance", e->instance, sizeof(e->instance));
	take(o, "version", e->version, sizeof(e->version));
	e->ts_ms = json_integer_value(json_object_get(o, "ts"));
	json_decref(o);
	return 0;
}
