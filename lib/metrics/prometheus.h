/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the Prometheus text exposition format 0.0.4. One thread. The caller gives each family
 * once, its samples right after it. An allocation that fails is remembered and told by
 * prometheus_finish.
 */
#ifndef METRICS_PROMETHEUS_H
#define METRICS_PROMETHEUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/histogram.h"

struct prometheus {
	char *text;
	size_t len, size;
	bool failed;
};

struct prometheus_label {
	const char *name, *value;
};
/* for the calls below: PROMETHEUS_LABELS({"port", "nic0"}, {"reason", "not_ip"}) */
#define PROMETHEUS_LABELS(...) ((const struct prometheus_label[]){__VA_ARGS__, {NULL, NULL}})

/* `# HELP` and `# TYPE` lines. type: "counter", "gauge" or "histogram". Escapes help. */
void prometheus_family(struct prometheus *p, const char *name, const char *type, const char *help);

/* One sample. labels: an array that ends with {NULL, NULL}, or NULL for none; values are escaped and may hold
 * any bytes (what is not UTF-8 is written as U+FFFD). */
void prometheus_u64(struct prometheus *p, const char *name, uint64_t value,
                    const struct prometheus_label *labels);
void prometheus_double(struct prometheus *p, const char *name, double value,
                       const struct prometheus_label *labels);

/* The _bucket, _sum and _count samples of a snapshot in ns; `le` and the sum are written in
 * microseconds. bounds_us: ascending, without +Inf. */
void prometheus_histogram_us(struct prometheus *p, const char *name,
                             const struct histogram_snapshot *s, const uint64_t *bounds_us,
                             size_t bound_count);

/* The text, NUL-terminated, *len bytes; the caller frees it. NULL: out of memory. p is empty again.
 */
char *prometheus_finish(struct prometheus *p, size_t *len);

#endif
