/* SPDX-License-Identifier: Apache-2.0 */
/* The threads that run the journal writers, one a shard, on the control plane's CPUs. */
#ifndef CONTROL_JOURNAL_THREAD_H
#define CONTROL_JOURNAL_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "config.h"
#include "journal/writer.h"
#include "metrics/histogram.h"

struct journal_thread {
	pthread_t thread;
	bool running;
	uint32_t shard;
	struct journal_writer *writer;
	const struct memlog *memlog;
	uint64_t gather_ns;    /* how long events may gather between two syncs */
	uint64_t gather_bytes; /* and how many bytes of them */
	struct histogram write_latency, sync_latency; /* append to written, append to durable */
	_Atomic bool stop;                            /* end once nothing is left to write */
	_Atomic bool done;
	void (*on_durable)(void *arg); /* somebody may wait for it; called by the thread */
	void *arg;
	/* retention; only shard 0's thread does it */
	struct journal_dir *dir;
	uint64_t retain_bytes; /* 0: keep everything */
	/* by shard, the first record that somebody still needs; set before the start, NULL: nobody */
	const _Atomic uint64_t *keep_from;
};

/* memlog's first record has sequence number memlog->next_seq. Returns 0 or -errno with err set. */
int journal_thread_start(struct journal_thread *t, const struct config *c, struct journal_dir *dir,
                         struct memlog *memlog, uint32_t shard, void (*on_durable)(void *arg),
                         void *arg, char err[CONFIG_ERROR_MAX]);
/* Ask it to end when all that is published is durable; then poll `done`. */
void journal_thread_finish(struct journal_thread *t);
/* Wait for its end. force: do not wait for the disk any longer than one group takes. What the writer says of
 * itself can still be read. */
void journal_thread_join(struct journal_thread *t, bool force);
/* Join and close. Returns 0 when everything is durable and sealed, else -errno: the memlog file must then
 * stay. */
int journal_thread_close(struct journal_thread *t);

#endif
