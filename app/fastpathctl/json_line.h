/* SPDX-License-Identifier: Apache-2.0 */
/* JSON by hand for `journal cat`: a tree per record would take longer than all the rest */
#ifndef FASTPATHCTL_JSON_LINE_H
#define FASTPATHCTL_JSON_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each appends at `at` and returns the end; the caller has made room. */

#define JSON_STRING_MAX(len) (6 * (size_t)(len) + 2) /* most bytes a string of len takes */

/* A JSON string with its quotes, the same bytes as jansson writes. NULL if it is not UTF-8. */
char *json_line_string(char *at, const uint8_t *text, size_t len);
/* RFC 4648, with padding and quotes */
char *json_line_base64(char *at, const uint8_t *bytes, size_t len);
char *json_line_number(char *at, uint64_t value);
/* ,"name":"text", or ,"name_base64":"..." when it is not UTF-8 */
char *json_line_member(char *at, const char *name, const uint8_t *bytes, size_t len);

#endif
