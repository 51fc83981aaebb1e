/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's console: a page whose files are part of the program, and the figures that it shows. Control thread. */
#ifndef CONTROL_CONSOLE_H
#define CONTROL_CONSOLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "control/figures.h"
#include "control/health.h"
#include "control/history.h"
#include "http/server.h"

/* Answers with the file of that path, or 304 when the client has it. False: there is no such file, and
 * nothing was answered. */
bool console_answer_file(struct http_request *r, const char *path);

/* What GET /console.json answers; the page is the only one that it is made for. after: number of the last row of
 * the history that the page has, 0: none. NULL: no memory. */
json_t *console_json(const struct figures *f, const struct health *h,
                     const struct http_figures *http, const struct history *history,
                     const struct config *c, uint64_t after);

#endif
