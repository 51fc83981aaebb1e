/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/histogram.h"

#include <math.h>
#include <string.h>

#define HALF \
	(1u << (HISTOGRAM_SUB_BITS - 1)) /* steps of one power of two above the linear part \
	                                  */

uint64_t histogram_bucket_low(uint32_t bucket)
{
	if (bucket < 2 * HALF)
		return bucket;
	uint32_t shift = bucket / HALF - 1;
	return (uint64_t)(HALF + bucket % HALF) << shift;
}

static uint64_t bucket_high(uint32_t bucket)
{
	if (bucket + 1 >= HISTOGRAM_BUCKETS)
		return UINT64_MAX;
	return histogram_bucket_low(bucket + 1) - 1;
}

void histogram_add(struct histogram_snapshot *s, const struct histogram *h)
{
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t n = atomic_load_explicit(&h->count[i], memory_order_relaxed);

		s->count[i] += n;
		s->total += n;
	}
	s->sum += atomic_load_explicit(&h->sum, memory_order_relaxed);
	uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
	if (max > s->max)
		s->max = max;
}

void histogram_difference(struct histogram_snapshot *d, const struct histogram_snapshot *later,
                          const struct histogram_snapshot *earlier)
{
	uint32_t highest = 0;

	d->total = 0;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		d->count[i] = later->count[i] - earlier->count[i];
		d->total += d->count[i];
		if (d->count[i])
			highest = i;
	}
	d->sum = later->sum - earlier->sum;
	d->max = 0;
	if (d->total)
		d->max = bucket_high(highest) < later->max ? bucket_high(highest) : later->max;
}

uint64_t histogram_quantile(const struct histogram_snapshot *s, double quantile)
{
	if (s->total == 0)
		return 0;
	uint64_t rank = (uint64_t)ceil(quantile * (double)s->total);
	uint64_t seen = 0;

	if (rank < 1)
		rank = 1;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += s->count[i];
		if (seen >= rank)
			return bucket_high(i) < s->max ? bucket_high(i) : s->max;
	}
	return s->max;
}

uint64_t histogram_count_below(const struct histogram_snapshot *s, uint64_t ns)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && bucket_high(i) <= ns; i++)
		count += s->count[i];
	return count;
}
