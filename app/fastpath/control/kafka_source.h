/* SPDX-License-Identifier: Apache-2.0 */
/* What the bridge is to deliver: the durable records of all shards, in order within each. */
#ifndef CONTROL_KAFKA_SOURCE_H
#define CONTROL_KAFKA_SOURCE_H

#include "journal/reader.h"
#include "journal/writer.h"

struct kafka_source_shard {
	struct journal_reader *reader;
	const struct journal_record *held;        /* read, not given out */
	uint64_t next;                            /* 0: the oldest retained */
	uint64_t end;                             /* the last to give out */
	const struct journal_writer_status *live; /* NULL: nothing comes behind end */
};

/* zeroed, then kafka_source_begin */
struct kafka_source {
	const struct journal_dir *dir;
	uint32_t turn;  /* whose turn it is */
	uint32_t taken; /* of this turn */
	struct kafka_source_shard shard[JOURNAL_SHARDS_MAX];
	char error[JOURNAL_ERROR_MAX];
};

struct kafka_item {
	uint32_t shard;
	const struct journal_record *record; /* borrowed until the next call; NULL: a hole */
	uint64_t lost_from, lost_to;         /* of a hole */
	uint64_t next;                       /* where the shard goes on behind it */
};

/* next[i]: first to give out (0: the oldest retained); end[i]: the last one; live[i]: NULL, or the
 * writer that says what is durable. */
void kafka_source_begin(struct kafka_source *s, const struct journal_dir *dir,
                        const uint64_t next[JOURNAL_SHARDS_MAX],
                        const uint64_t end[JOURNAL_SHARDS_MAX],
                        const struct journal_writer_status *const live[JOURNAL_SHARDS_MAX]);
void kafka_source_end(struct kafka_source *s);
/* Give out again from next[] on. */
void kafka_source_rewind(struct kafka_source *s, const uint64_t next[JOURNAL_SHARDS_MAX]);

/* Returns 1; 0 when nothing durable is left now; -errno with s->error: the journal is damaged. */
int kafka_source_next(struct kafka_source *s, struct kafka_item *out);
/* Whether every shard has reached its end. */
bool kafka_source_finished(const struct kafka_source *s);

#endif
