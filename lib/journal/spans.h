/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who wrote which part of a journal. A span ends where a start changed the engine id or the number
 * of shards; spans.json in the directory keeps the ends. Whoever delivers the journal finishes one
 * span before it begins the next: a key may have moved to another shard, and the records of another
 * engine go out under that engine's name.
 */
#ifndef JOURNAL_SPANS_H
#define JOURNAL_SPANS_H

#include "journal/directory.h"
#include "journal/recovery.h"

#define JOURNAL_SPANS_MAX 256

struct journal_span {
	char engine[65];
	uint32_t shards; /* while it was written */
	bool delivered;  /* all of it has reached Kafka */
	/* last sequence number of each shard that belongs to it; 0: none yet */
	uint64_t end[JOURNAL_SHARDS_MAX];
};

struct journal_spans {
	uint32_t count;            /* of finished spans; the one being written is not among them */
	struct journal_span *span; /* oldest first */
};

/* What the directory has. Returns 0 or -errno with one line in err; freed by journal_spans_free in
 * any case. Any mode. */
int journal_spans_read(struct journal_spans *s, const struct journal_dir *d,
                       char err[JOURNAL_ERROR_MAX]);
void journal_spans_free(struct journal_spans *s);

/* Locked, behind recovery and before journal_dir_begin: ends the span of d->engine and d->shards if
 * the new start differs from it and the journal holds records. Synced before it returns. */
int journal_spans_begin(const struct journal_dir *d, const char *engine, uint32_t shards,
                        const struct journal_recovery_report *r, char err[JOURNAL_ERROR_MAX]);

/* Locked, one thread: remember that spans 0 .. index are delivered. Synced before it returns. */
int journal_spans_delivered(const struct journal_dir *d, uint32_t index,
                            char err[JOURNAL_ERROR_MAX]);

/* The engine that wrote a record; current: who writes now. */
const char *journal_spans_engine(const struct journal_spans *s, uint32_t shard, uint64_t seq,
                                 const char *current);
#endif
