/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: takes events from a source when they are due and hands them to a sink. */
#ifndef FEEDSIM_RUN_H
#define FEEDSIM_RUN_H

#include <signal.h>

#include "batch.h"

struct run_summary {
	uint64_t sent;
	uint64_t bytes;
	uint64_t lost_on_purpose;
	uint64_t retries;
	uint64_t elapsed_ns;
	uint64_t first_time_ns; /* since the epoch, 0: nothing was sent */
	uint64_t last_time_ns;
	bool interrupted;
};

/* Until the source ends, options say so, or *stop is set. Returns 0, or -1 with err set; *out says
 * in both cases what was sent. */
int run(const struct options *o, struct source *source, struct sink *sink,
        const volatile sig_atomic_t *stop, struct run_summary *out, char err[OPTIONS_ERROR_MAX]);

/* ns since the epoch of the first frame in a file: the same options make the same file */
#define RUN_FILE_EPOCH_NS (UINT64_C(1735689600) * 1000000000)

#endif
