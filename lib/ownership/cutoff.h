/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an engine may publish of the time in which it was cut off from etcd. While its lease is
 * certainly held nobody takes its keys; behind the lease's end somebody may have. A record that was
 * received in such an interval goes out only if its key was certainly this engine's all the time:
 * assigned to it, by a revision that it knew before.
 *
 * lease.json in the journal directory remembers this across kill -9: the end of the lease as it is
 * held now, the revision known now, and the intervals whose records have not all been dealt with.
 * What was received behind that end was received while cut off, by a process that could not say so.
 */
#ifndef OWNERSHIP_CUTOFF_H
#define OWNERSHIP_CUTOFF_H

#include <stdbool.h>
#include <stdint.h>

#define CUTOFF_MAX       8 /* intervals that are told apart; more are merged with the last one */
#define CUTOFF_FILE      "lease.json"
#define CUTOFF_ERROR_MAX 512

/* times: this machine's, ns since the epoch */
struct cutoff {
	uint64_t from_ns, to_ns; /* to_ns is outside; from_ns < to_ns */
	int64_t revision;        /* of the assignments that were known at from_ns, > 0 */
};

struct cutoff_list {
	uint32_t count;
	struct cutoff at[CUTOFF_MAX]; /* oldest first */
};

struct cutoff_note {
	uint64_t lease_end_ns; /* 0: no lease was ever held */
	int64_t revision;      /* 0: etcd was never known */
	struct cutoff_list list;
};

/* Adds an interval that is not empty, else nothing happens. Where there is no room the last one grows
 * over it and over the time between, with the older revision: more keys count as taken, never
 * fewer. Returns its index, -1: it is empty. */
int cutoff_add(struct cutoff_list *l, const struct cutoff *c);
/* The interval that cutoff_add would make of it. */
struct cutoff cutoff_added(const struct cutoff_list *l, const struct cutoff *c);
void cutoff_remove(struct cutoff_list *l, uint32_t i);
static inline bool cutoff_covers(const struct cutoff *c, uint64_t rx_ns)
{
	return rx_ns >= c->from_ns && rx_ns < c->to_ns;
}

/* dir_fd: the journal directory, path: its name for messages. Return 0 or -errno with one line in
 * err. A file that is not there reads as zeros. Written as a whole and synced. */
int cutoff_read(struct cutoff_note *n, int dir_fd, const char *path, char err[CUTOFF_ERROR_MAX]);
int cutoff_write(const struct cutoff_note *n, int dir_fd, const char *path,
                 char err[CUTOFF_ERROR_MAX]);

#endif
