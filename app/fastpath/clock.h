/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks. Durations are TSC differences turned into nanoseconds with a rate measured once at start.
 * Receive times are ticks of the TSC or of a NIC, mapped to CLOCK_REALTIME by a line that the
 * control thread corrects once a second; data-plane lcores read the line without a lock.
 */
#ifndef FASTPATH_CLOCK_H
#define FASTPATH_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define CLOCK_NS_PER_S 1000000000ull

/* ns = (ticks * mult) >> CLOCK_SHIFT, exact to 1 ns over minutes for rates of 1 MHz to 10 GHz */
#define CLOCK_SHIFT 32

/* Durations. Bounded: what appears to end before it began (unsynchronised TSCs) is 0. */
extern uint64_t clock_tsc_mult;

static inline uint64_t clock_scale(uint64_t ticks, uint64_t mult)
{
	return (uint64_t)(((unsigned __int128)ticks * mult) >> CLOCK_SHIFT);
}

static inline uint64_t clock_duration_ns(uint64_t from_tsc, uint64_t to_tsc)
{
	return to_tsc > from_tsc ? clock_scale(to_tsc - from_tsc, clock_tsc_mult) : 0;
}

static inline uint64_t clock_timespec_ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * CLOCK_NS_PER_S + (uint64_t)t->tv_nsec;
}

/* Once, after rte_eal_init. hz: ticks per second of the TSC. */
void clock_init(uint64_t tsc_hz);
/* Steady ns on the TSC's scale; any thread. */
uint64_t clock_steady_ns(void);
/* CLOCK_REALTIME in ns; control threads only. */
uint64_t clock_realtime_ns(void);

/* A line from ticks to CLOCK_REALTIME: one writer, any reader. */
struct clock_line {
	_Atomic uint32_t version; /* odd while it is being written */
	_Atomic uint64_t base_ticks, base_ns, mult;
	uint64_t nominal; /* mult of the nominal rate; the slope stays within 1000 ppm of it */
	uint64_t steps;   /* how often the error was too large to be worked off */
};

#define CLOCK_STEP_NS 1000000 /* an error beyond 1 ms is a step, not a drift */

/* hz: nominal ticks per second (1e6 .. 1e10); the line starts at (ticks, now_ns). */
void clock_line_init(struct clock_line *l, uint64_t hz, uint64_t ticks, uint64_t now_ns);
/* Control thread, about once a second: correct the line by a fresh pair. A small error is worked
 * off over the next second, so that time never runs backwards; returns the error in ns that it
 * found. */
int64_t clock_line_discipline(struct clock_line *l, uint64_t ticks, uint64_t now_ns);
/* Any lcore. */
uint64_t clock_line_ns(const struct clock_line *l, uint64_t ticks);

#endif
