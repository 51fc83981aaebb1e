/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log-linear histogram of durations in nanoseconds, 3 significant digits (relative error below 0.1 %) from
 * 1 ns to about 68 s; what is longer counts in the last bucket and keeps its true value in `max`. One writer,
 * which only increments; readers take snapshots, and a window is the difference of two.
 */
#ifndef METRICS_HISTOGRAM_H
#define METRICS_HISTOGRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HISTOGRAM_SUB_BITS 11 /* 2048 linear steps per power of two: 3 significant digits */
#define HISTOGRAM_MAX_BITS 36
#define HISTOGRAM_BUCKETS             \
	((1u << HISTOGRAM_SUB_BITS) + \
	 (HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS) * (1u << (HISTOGRAM_SUB_BITS - 1)))

struct histogram {
	_Atomic uint64_t sum; /* ns */
	_Atomic uint64_t max; /* ns, since the start */
	_Atomic uint64_t count[HISTOGRAM_BUCKETS];
};

/* what a reader works with; plain numbers, may be added and subtracted */
struct histogram_snapshot {
	uint64_t total, sum, max;
	uint64_t count[HISTOGRAM_BUCKETS];
};

static inline uint32_t histogram_bucket(uint64_t ns)
{
	if (ns < (1u << HISTOGRAM_SUB_BITS))
		return (uint32_t)ns;
	if (ns >> HISTOGRAM_MAX_BITS)
		return HISTOGRAM_BUCKETS - 1;
	uint32_t shift = 63u - (uint32_t)__builtin_clzll(ns) - (HISTOGRAM_SUB_BITS - 1);
	return (shift << (HISTOGRAM_SUB_BITS - 1)) + (uint32_t)(ns >> shift);
}

/* Writer only; no locked instruction. `times`: events that share the value. */
static inline void histogram_record(struct histogram *h, uint64_t ns, uint64_t times)
{
	_Atomic uint64_t *slot = &h->count[histogram_bucket(ns)];

	atomic_store_explicit(slot, atomic_load_explicit(slot, memory_order_relaxed) + times,
	                      memory_order_relaxed);
	atomic_store_explicit(&h->sum,
	                      atomic_load_explicit(&h->sum, memory_order_relaxed) + ns * times,
	                      memory_order_relaxed);
	if (ns > atomic_load_explicit(&h->max, memory_order_relaxed))
		atomic_store_explicit(&h->max, ns, memory_order_relaxed);
}

/* smallest value of a bucket, ns */
uint64_t histogram_bucket_low(uint32_t bucket);

/* any thread: add what h holds now to s (zero s first) */
void histogram_add(struct histogram_snapshot *s, const struct histogram *h);
/* d = later - earlier; max is that of the highest bucket in which something fell */
void histogram_difference(struct histogram_snapshot *d, const struct histogram_snapshot *later,
                          const struct histogram_snapshot *earlier);
/* value in ns at or below which `quantile` (0..1) of the values fell; 0 when empty */
uint64_t histogram_quantile(const struct histogram_snapshot *s, double quantile);
/* values at or below ns (exact at bucket bounds): for Prometheus `le` */
uint64_t histogram_count_below(const struct histogram_snapshot *s, uint64_t ns);

#endif
