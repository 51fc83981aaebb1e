/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal writer: moves a shard's records from its memlog to segment files, group by group, and
 * makes them durable. A state machine: the caller's thread calls journal_writer_step again and
 * again. Time and system calls are handed in, so every fault has a unit test.
 */
#ifndef JOURNAL_WRITER_H
#define JOURNAL_WRITER_H

#include <stdatomic.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "journal/directory.h"
#include "journal/memlog.h"

#define JOURNAL_SEGMENT_MIN 32768 /* bytes: header and the largest record fit */

enum journal_sync {
	JOURNAL_SYNC_GROUP, /* fdatasync after each group; durable means on stable storage */
	/* only when a segment is finished; durable_seq follows what was written. A power loss takes
	 * what the kernel had not written yet, at the end of the journal only */
	JOURNAL_SYNC_NONE,
};

/* the system as the writer sees it; journal_writer_system is the real one */
struct journal_io {
	int (*open_segment)(int dir_fd, const char *name,
	                    size_t bytes); /* create, preallocate; fd or -errno */
	ssize_t (*pwritev)(int fd, const struct iovec *iov, int n,
	                   off_t offset); /* as pwritev(2), -errno */
	int (*datasync)(int fd);          /* 0 or -errno */
	int (*sync_dir)(int dir_fd);      /* 0 or -errno */
	uint64_t (*now_ns)(void);         /* the steady clock that memlog_publish was given */
};
extern const struct journal_io journal_io_system;

struct journal_writer_options {
	enum journal_sync sync;
	uint64_t segment_bytes; /* preallocated size of a segment file */
	uint32_t group_bytes;   /* most bytes written between two syncs */
	bool discard; /* store = memory: check the records' CRC, then release them unwritten */
	const struct journal_io *io;
	/* a latency in ns of one burst: append to written, append to durable. Called by the step's
	 * thread */
	void (*on_written)(void *arg, uint64_t latency_ns);
	void (*on_durable)(void *arg, uint64_t latency_ns);
	void (*log)(void *arg, int level, const char *line); /* syslog levels */
	void *arg;
};

/* read by any thread, written by the step's thread */
struct journal_writer_status {
	_Atomic uint64_t written_seq; /* last record handed to the file system */
	_Atomic uint64_t durable_seq; /* last record that is durable */
	_Atomic uint64_t bytes;       /* of the shard's segment files */
	_Atomic uint64_t first_seq;   /* oldest retained */
	_Atomic uint64_t syncs;
	_Atomic uint64_t errors; /* failed system calls, in all */
	_Atomic int failing;     /* errno of the fault it is in, 0 when well */
	_Atomic uint64_t segments;
};

struct journal_writer;

/* next_seq: of the first record that the memlog will bring; durable up to next_seq - 1.
 * dir and memlog outlive the writer. Returns NULL with err set. Creates no file yet. */
struct journal_writer *journal_writer_open(struct journal_dir *dir, struct memlog *memlog,
                                           uint32_t shard, uint64_t next_seq,
                                           const struct journal_writer_options *o,
                                           char err[JOURNAL_ERROR_MAX]);

/* Write and sync one group. Returns the number of records that became durable, 0 when there was
 * nothing to do, -errno while a fault lasts (it retries by itself, at most every 100 ms: call
 * again). */
int journal_writer_step(struct journal_writer *w);

/* All that was published is durable and the last segment is sealed and trimmed. Step until 0 first.
 * Returns 0 or -errno (then the memlog must be kept); the writer is gone in either case. */
int journal_writer_close(struct journal_writer *w);

const struct journal_writer_status *journal_writer_status(const struct journal_writer *w);

/* Retention: removes the oldest whole segments of all shards until at most `bytes` remain; never
 * one that is being written, never a record with seq >= keep_from[shard] (UINT64_MAX: no limit).
 * Any one thread. Returns the number of files removed or -errno. */
int journal_retain(struct journal_dir *d, uint64_t bytes,
                   const uint64_t keep_from[JOURNAL_SHARDS_MAX]);

#endif
