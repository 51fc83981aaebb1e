/* SPDX-License-Identifier: Apache-2.0 */
/* GET /metrics: the figures as Prometheus text 0.0.4. */
#ifndef CONTROL_METRICS_PAGE_H
#define CONTROL_METRICS_PAGE_H

#include <stddef.h>

#include "control/figures.h"
#include "control/health.h"
#include "control/process.h"
#include "http/server.h"

/* The page, *len bytes; the caller frees it. NULL: out of memory. */
char *metrics_page(const struct figures *f, const struct health *h, const struct process_figures *p,
                   const struct http_figures *http, size_t *len);

#endif
