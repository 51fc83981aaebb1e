/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of this process and its cgroup. Control thread. */
#ifndef CONTROL_PROCESS_H
#define CONTROL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

struct process_figures {
	double cpu_seconds;
	double start_time_s; /* since the epoch */
	uint64_t resident_bytes, virtual_bytes;
	uint64_t threads, open_fds, max_fds; /* max_fds UINT64_MAX: no limit */
	bool throttled_known;                /* the CPU controller is there (cgroup v1 or v2) */
	double throttled_seconds;
	uint64_t throttled_periods;
};

/* What cannot be read stays 0. */
void process_read(struct process_figures *p);
/* throttled time from the text of a cpu.stat file, v1 or v2; false: it says nothing of it */
bool process_parse_cpu_stat(const char *text, struct process_figures *p);
/* the cpu controller's directory below the mount point, from the text of /proc/self/cgroup; v2: the
 * unified one. false: none */
bool process_parse_cgroup(const char *text, bool v2, char *path, unsigned int size);

#endif
