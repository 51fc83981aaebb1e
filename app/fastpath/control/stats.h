/* SPDX-License-Identifier: Apache-2.0 */
/* GET /stats: the figures as one flat JSON object. docs/http.md says what each member means.
 */
#ifndef CONTROL_STATS_H
#define CONTROL_STATS_H

#include <jansson.h>

#include "control/figures.h"
#include "control/health.h"
#include "http/server.h"

/* A new reference; NULL: out of memory. */
json_t *stats_json(const struct figures *f, const struct health *h,
                   const struct http_figures *http);

#endif
