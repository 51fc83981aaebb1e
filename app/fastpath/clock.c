/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <rte_cycles.h>

uint64_t clock_tsc_mult;

static uint64_t mult_of(uint64_t hz)
{
	return (uint64_t)(((unsigned __int128)CLOCK_NS_PER_S << CLOCK_SHIFT) / hz);
}

void clock_init(uint64_t tsc_hz)
{
	clock_tsc_mult = mult_of(tsc_hz);
}

uint64_t clock_steady_ns(void)
{
	return clock_scale(rte_rdtsc(), clock_tsc_mult);
}

uint64_t clock_realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return clock_timespec_ns(&t);
}

static void line_set(struct clock_line *l, uint64_t ticks, uint64_t ns, uint64_t mult)
{
	uint32_t version = atomic_load_explicit(&l->version, memory_order_relaxed);

	atomic_store_explicit(&l->version, version + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&l->base_ticks, ticks, memory_order_relaxed);
	atomic_store_explicit(&l->base_ns, ns, memory_order_relaxed);
	atomic_store_explicit(&l->mult, mult, memory_order_relaxed);
	atomic_store_explicit(&l->version, version + 2, memory_order_release);
}

void clock_line_init(struct clock_line *l, uint64_t hz, uint64_t ticks, uint64_t now_ns)
{
	l->nominal = mult_of(hz);
	l->steps = 0;
	line_set(l, ticks, now_ns, l->nominal);
}

uint64_t clock_line_ns(const struct clock_line *l, uint64_t ticks)
{
	uint64_t base_ticks, base_ns, mult;
	uint32_t version;

	do {
		version = atomic_load_explicit(&l->version, memory_order_acquire);
		base_ticks = atomic_load_explicit(&l->base_ticks, memory_order_relaxed);
		base_ns = atomic_load_explicit(&l->base_ns, memory_order_relaxed);
		mult = atomic_load_explicit(&l->mult, memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
	} while ((version & 1) ||
	         version != atomic_load_explicit(&l->version, memory_order_relaxed));
	/* a burst may have been stamped just before the line moved its base */
	if (ticks < base_ticks)
		return base_ns - clock_scale(base_ticks - ticks, mult);
	return base_ns + clock_scale(ticks - base_ticks, mult);
}

int64_t clock_line_discipline(struct clock_line *l, uint64_t ticks, uint64_t now_ns)
{
	uint64_t here = clock_line_ns(l, ticks);
	int64_t error = (int64_t)(now_ns - here);

	if (error > CLOCK_STEP_NS || error < -CLOCK_STEP_NS) {
		l->steps++;
		line_set(l, ticks, now_ns, l->nominal);
		return error;
	}
	/* 1 ms at most over one second: within 1000 ppm of nominal */
	int64_t slope =
	    (int64_t)l->nominal + (int64_t)((__int128)l->nominal * error / (int64_t)CLOCK_NS_PER_S);
	line_set(l, ticks, here, (uint64_t)slope);
	return error;
}
