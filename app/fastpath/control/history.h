/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last quarter of an hour, a row a second, and the last changes of health: what an operator who opens the
 * console at night wants to have seen. Control thread; the time is that of the figures.
 */
#ifndef CONTROL_HISTORY_H
#define CONTROL_HISTORY_H

#include <jansson.h>
#include <stdint.h>

#include "control/figures.h"
#include "control/health.h"

#define HISTORY_ROWS    900 /* seconds */
#define HISTORY_CHANGES 64

struct history;

/* NULL: no memory */
struct history *history_create(void);
void history_destroy(struct history *h);

/* Once a second: a row of f, and what changed in health since the last one. */
void history_add(struct history *h, const struct figures *f, const struct health *health);

/* Since when it has been so, ms since the epoch: now_ms when the last row has it otherwise. */
uint64_t history_status_since_ms(const struct history *h, enum health_status status,
                                 uint64_t now_ms);
uint64_t history_part_since_ms(const struct history *h, enum health_part part,
                               enum health_status status, uint64_t now_ms);

/* The rows after row number `after` (0: all that are kept), and the changes that came with them: {"last": number of
 * the newest row, "columns": [...], "rows": [[...], ...], "changes": [{...}, ...]}. A figure that there was nothing
 * to take from is null. A number that no row has had yet is another engine's: then all are given. NULL: no memory. */
json_t *history_json(const struct history *h, uint64_t after);

#endif
