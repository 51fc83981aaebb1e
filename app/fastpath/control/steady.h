/* SPDX-License-Identifier: Apache-2.0 */
/* The clock of the control loop's deadlines: ns that never step, also while the machine is suspended,
 * since leases run on; there before EAL is. Any thread. */
#ifndef CONTROL_STEADY_H
#define CONTROL_STEADY_H

#include <stdint.h>
#include <time.h>

static inline uint64_t steady_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
