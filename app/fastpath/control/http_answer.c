/* SPDX-License-Identifier: Apache-2.0 */
#include "control/http_answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void http_answer_json(struct http_request *r, int status, json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
	size_t len = text ? strlen(text) : 0;

	json_decref(o);
	char *line = text ? realloc(text, len + 2) : NULL;

	if (!line) {
		free(text);
		http_answer(r, 500, "application/json", NULL, 1);
		return;
	}
	memcpy(line + len, "\n", 2); /* kind to terminals */
	http_answer(r, status, "application/json", line, len + 1);
}

json_t *http_text_json(const char *text)
{
	json_t *o = json_string(text);
	char plain[1024];

	if (o)
		return o;
	snprintf(plain, sizeof(plain), "%s", text);
	for (char *c = plain; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(plain);
}

json_t *http_error_json(const char *code, const char *message)
{
	return json_pack("{s:s, s:s}", "error", code, "message", message);
}

void http_answer_error(struct http_request *r, int status, const char *code, const char *format,
                       ...)
{
	char message[512];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	http_answer_json(r, status, http_error_json(code, message));
}
