/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a start does with what the last run left, before anything else: truncates torn tails, copies
 * from memlog files what segments lack, syncs it, and only then lets the memlog files go. Safe to
 * be killed at any moment and run again.
 */
#ifndef JOURNAL_RECOVERY_H
#define JOURNAL_RECOVERY_H

#include <stdbool.h>

#include "journal/directory.h"

#define JOURNAL_QUARANTINE "quarantine" /* below the directory: what repair moved away */

enum journal_damage_policy {
	JOURNAL_DAMAGE_REFUSE, /* damage before the durable end: an error that names file and offset
	                        */
	JOURNAL_DAMAGE_QUARANTINE, /* repaired as `fastpathctl journal repair` does, with a gap
	                              record */
};

struct journal_recovery_options {
	const char *const *memlog_dirs; /* NULL-terminated: where memlog files may stand */
	enum journal_damage_policy policy;
	/* for fastpathctl journal repair: look at every byte of every segment, and leave gap
	 * records in holes between disk and memlog too. Without it sealed segments are trusted,
	 * such holes refused */
	bool thorough;
	/* one line for the operator, without newline: what was truncated, copied, quarantined */
	void (*log)(void *arg, const char *line);
	void *log_arg;
};

struct journal_shard_state {
	uint64_t first_seq; /* oldest retained, 0 when the shard is empty */
	uint64_t next_seq;  /* 1 on an empty shard */
	uint64_t bytes;     /* of its segment files */
};

struct journal_recovery_report {
	uint32_t shard_count; /* shards found, at least 1 + the highest */
	struct journal_shard_state shard[JOURNAL_SHARDS_MAX];
	uint64_t copied_records; /* from memlog files to segments */
	uint64_t torn_bytes;     /* truncated behind the last durable end */
	uint64_t quarantined;    /* sequence numbers now covered by gap records */
};

/* Locked directory. On success every record of every memlog file is durable in segments and the
 * memlog files are unlinked. Returns 0 or -errno with one line in err: -EBADMSG (damage, names file
 * and offset), -ERANGE (a hole between disk and memlog, names both sequence numbers), or an I/O
 * error. */
int journal_recover(struct journal_dir *d, const struct journal_recovery_options *o,
                    struct journal_recovery_report *r, char err[JOURNAL_ERROR_MAX]);
#endif
