/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one record a line on standard error, text or JSON, always valid UTF-8, one write(2) a
 * record, so lines of several threads never mix.
 *
 * Any control thread may call these; data-plane lcores never do. A message is one line without its
 * end; control characters in it are escaped, bytes that are no UTF-8 become U+FFFD, what goes
 * beyond LOG_MESSAGE_MAX bytes is cut and ends with "...".
 */
#ifndef FASTPATH_LOG_H
#define FASTPATH_LOG_H

#include "config.h"

#define LOG_MESSAGE_MAX 2048

/* Level, format and engine id of c, which is copied from. Before it: info, text. Start, one thread.
 */
void log_init(const struct config *c);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A line as it is, under a syslog level: for the callbacks of lib. Levels between ours go to the
 * next more talkative one (notice is info). */
void log_line(int level, const char *line);

/* At most one record an interval. A zeroed state means 10 s; one thread a state. */
struct log_limit {
	uint64_t interval_ns;
	uint64_t last_ns;
	uint64_t suppressed; /* since the last record; the next one tells */
	bool started;
};
/* now_ns: any steady clock. The record ends with how many like it were suppressed since the last
 * one. */
void log_limited(struct log_limit *s, uint64_t now_ns, enum config_log_level level, const char *fmt,
                 ...) __attribute__((format(printf, 4, 5)));

/* EAL's and the drivers' own messages come through here from now on, line by line: errors and
 * warnings as such, notices as info, the rest as debug. Call before rte_eal_init. Returns 0 or
 * -errno. */
int log_capture_eal(void);

/* The same for libbpf and libxdp, which net_af_xdp brings along; after rte_eal_init. */
void log_capture_bpf(void);

/* Records that standard error did not take, since the start. */
uint64_t log_lost(void);

#endif
