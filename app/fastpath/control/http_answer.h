/* SPDX-License-Identifier: Apache-2.0 */
/* Answers in JSON. Control thread. */
#ifndef CONTROL_HTTP_ANSWER_H
#define CONTROL_HTTP_ANSWER_H

#include <jansson.h>

#include "http/server.h"

/* Takes the reference. NULL: out of memory, answered as 500. */
void http_answer_json(struct http_request *r, int status, json_t *o);
/* {"error":code,"message":...} */
void http_answer_error(struct http_request *r, int status, const char *code, const char *format,
                       ...) __attribute__((format(printf, 4, 5)));
/* A string of ours that may quote others' bytes: what is not UTF-8 becomes question marks. */
json_t *http_text_json(const char *text);
/* the error as an object, to add members to */
json_t *http_error_json(const char *code, const char *message);

#endif
