/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one reader of segment files: Kafka, replay, the command line and the tests read the journal
 * through it. It takes no lock, writes nothing, uses pread, and may run beside the engine: it stops
 * at the last whole record and goes on from there when called again.
 */
#ifndef JOURNAL_READER_H
#define JOURNAL_READER_H

#include "journal/directory.h"
#include "journal/record.h"

struct journal_reader;

/* A reader of one shard from the first record with seq >= from_seq (0: the oldest retained).
 * d outlives the reader. Returns NULL with err set. */
struct journal_reader *journal_reader_open(const struct journal_dir *d, uint32_t shard,
                                           uint64_t from_seq, char err[JOURNAL_ERROR_MAX]);
void journal_reader_close(struct journal_reader *r);

/* The next record; *out is borrowed until the next call. Returns 1; 0 at the end of what is whole
 * (call again later to follow); -EBADMSG on damage before the durable end and -ERANGE on missing
 * sequence numbers (journal_reader_error names file and offset; the reader stays where it is), or
 * another -errno. */
int journal_reader_next(struct journal_reader *r, const struct journal_record **out);

/* Step over the damage that the last call reported, to the next whole record. Returns 1 when there
 * is one, 0 when not. *lost_from and *lost_to give the sequence numbers between. */
int journal_reader_skip(struct journal_reader *r, uint64_t *lost_from, uint64_t *lost_to);

const char *journal_reader_error(const struct journal_reader *r);

/* where the last record stood: file name (borrowed) and offset */
void journal_reader_where(const struct journal_reader *r, const char **file, uint64_t *offset);

/* the last durable end that the shard's batch headers name, as a sequence number */
uint64_t journal_reader_durable(const struct journal_reader *r);

/* After 0: bytes behind the last whole record that are neither zeros nor known to have been
 * durable. A torn tail, or a write that an engine is about to finish. */
uint64_t journal_reader_torn(const struct journal_reader *r);

#endif
