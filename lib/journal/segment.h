/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment file: a header of one page, then batches of records. docs/journal-format.md has the
 * layout. The cursor reads one, the sink writes one; the reader, the writer, recovery and repair
 * are built on them. Neither keeps anything beyond its struct: one thread each.
 */
#ifndef JOURNAL_SEGMENT_H
#define JOURNAL_SEGMENT_H

#include "journal/directory.h"
#include "journal/record.h"
#include "journal/writer.h"

#define SEGMENT_MAGIC       "FPSEGMNT"
#define SEGMENT_HEADER_SIZE 4096
#define SEGMENT_BATCH_MAGIC "FPBATCH1"
#define SEGMENT_NAME_MAX    40
#define SEGMENT_SUFFIX_TMP  ".tmp" /* a segment that repair is writing */
#define SEGMENT_NONE        UINT64_MAX
#define SEGMENT_SEQ_MAX     (UINT64_MAX / 4) /* no sum of sequence numbers overflows */

struct segment_header {
	char magic[8];
	uint32_t crc; /* CRC32C of bytes 12 to 4095 */
	uint32_t format;
	uint32_t shard;
	uint32_t checkpoint_len; /* bytes between this page and the first batch, a multiple of 8 */
	uint8_t uuid[16];
	uint64_t first_seq;
	uint64_t time_ns; /* receive time of the first record */
};

struct segment_batch {
	char magic[8];
	uint32_t crc;       /* CRC32C of bytes 12 to 63 */
	uint32_t length;    /* bytes of records behind this header, a multiple of 8 */
	uint64_t first_seq; /* of the first record */
	uint64_t last_seq;  /* first_seq - 1 when it is empty */
	uint64_t durable;   /* all records up to this one were durable when the batch was written */
	uint64_t offset;    /* of this header in its file */
	uint32_t count;     /* records; 0: the batch only names the durable end */
	uint32_t shard;
	uint8_t uuid[8]; /* first half of the directory's */
};
static_assert(sizeof(struct segment_batch) == 64, "format version 1");

struct segment_info {
	uint32_t shard;
	uint64_t first_seq;
	uint64_t size;
	int64_t mtime_ns;
	char name[SEGMENT_NAME_MAX];
};

struct segment_list {
	struct segment_info *item; /* by shard, then first_seq */
	size_t count;
};

/* Segment files of a directory. Returns 0 or -errno; the list is freed by segment_list_free in any
 * case. */
int segment_list_read(const struct journal_dir *d, struct segment_list *l);
void segment_list_free(struct segment_list *l);
void segment_name(char out[SEGMENT_NAME_MAX], uint32_t shard, uint64_t first_seq);

/* sequence numbers that a record takes: 1, or what a gap record of this journal stands for */
uint64_t segment_record_span(const struct journal_record *r);
/* Whether a whole record with a right CRC stands in the first `len` bytes. */
bool segment_record_valid(const struct journal_record *r, size_t len);

struct segment_cursor {
	int fd;
	uint32_t shard;
	uint8_t uuid[16];
	char name[SEGMENT_NAME_MAX];
	uint64_t first_seq;   /* from the name */
	uint64_t next_seq;    /* what the next record must have */
	uint64_t durable;     /* largest durable end named so far, 0 when none */
	uint64_t offset;      /* of what is read next */
	uint64_t record_at;   /* of the record read last */
	uint64_t batch_at;    /* header of the batch that offset stands in, or the next one's */
	uint64_t batch_first; /* first sequence number of that batch */
	uint64_t batch_end;   /* 0 between batches */
	uint64_t batch_last;  /* last sequence number of that batch */
	bool loose;           /* behind a damaged batch header: records without one */
	uint64_t records;     /* read so far */
	uint64_t data_end;    /* segment_judge: behind the last byte that is not zero */
	uint64_t time_ns;     /* from the header */
	const char *damage;   /* what is wrong at offset */
	uint8_t *block;
	uint64_t block_at;
	size_t block_len;
	size_t ahead; /* bytes of the next read at least */
};

/* Open a segment for reading. Returns 0; -EBADMSG when its header is damaged: the cursor then
 * stands at the header, and segment_resync may find records; -ENOTSUP when its format is newer;
 * -errno otherwise. */
int segment_open(struct segment_cursor *c, const struct journal_dir *d,
                 const struct segment_info *s);
void segment_close(struct segment_cursor *c);

/* The next record, borrowed until the next call. Returns 1; 0 at what looks like the end (zeros or
 * the end of the file where a batch would start); -EBADMSG when what stands at offset is not whole
 * (c->damage); -errno. The cursor moves only when it returns 1. */
int segment_next(struct segment_cursor *c, const struct journal_record **out);

/* Step over whole batches that end before seq, without looking at their records. Returns 0 or
 * -errno of a read; damage is left for segment_next. */
int segment_skip_to(struct segment_cursor *c, uint64_t seq);

/* Forget what was read ahead: the file may have grown since. */
void segment_refresh(struct segment_cursor *c);

/* As segment_next, after a refresh, and with another look at a header that could not be read. */
int segment_retry(struct segment_cursor *c, const struct journal_record **out);

enum segment_state {
	SEGMENT_WHOLE,   /* it ends here */
	SEGMENT_TORN,    /* what follows was never durable */
	SEGMENT_DAMAGED, /* records that were durable cannot be read */
	SEGMENT_MISSING, /* nothing is wrong here, but records are missing before the next segment
	                  */
};

/* What it means that segment_next returned `result` (0 or -EBADMSG). next_first: first sequence
 * number of the shard's next segment, SEGMENT_NONE when there is none; durable: what is known from
 * elsewhere. Looks for later batch headers in the rest of the file. c->durable is raised to what it
 * learns. Returns 0 or -errno. */
int segment_judge(struct segment_cursor *c, int result, uint64_t next_first, uint64_t durable,
                  enum segment_state *state);

/* Move to the next whole batch or record behind damage, next_seq becomes its number. Returns 1, 0
 * when there is none, -errno. */
int segment_resync(struct segment_cursor *c);

/* Whether the file ends with an empty batch that names `end` as durable: nothing in it needs a
 * look. */
bool segment_sealed(const struct journal_dir *d, const struct segment_info *s, uint64_t end);

/* a segment that is being written */
struct segment_sink {
	const struct journal_io *io;
	int dir_fd;
	int fd; /* -1 when none is open */
	uint32_t shard;
	uint8_t uuid[16];
	char name[SEGMENT_NAME_MAX];
	uint64_t first_seq;
	uint64_t size;   /* preallocated bytes */
	uint64_t offset; /* end of the last batch */
	bool named;      /* its directory entry is durable */
};

/* All return 0 or -errno; after an error nothing about the file's bytes behind the last sync is
 * known. */
int segment_begin(struct segment_sink *s, const char *suffix, uint64_t first_seq, uint64_t time_ns,
                  uint64_t bytes);
int segment_append(struct segment_sink *s, const void *records, size_t length, uint64_t first_seq,
                   uint64_t last_seq, uint32_t count, uint64_t durable);
/* An empty batch: all before next_seq is durable. */
int segment_seal(struct segment_sink *s, uint64_t next_seq);
/* File and, once, its directory. */
int segment_sync(struct segment_sink *s);
/* Close, cut to `end` bytes. The cut may be lost in a crash: nothing relies on it. */
void segment_end(struct segment_sink *s, uint64_t end);

/* Collects records into batches of about a megabyte for a sink: copies of segments and memlogs. */
struct segment_copier {
	struct segment_sink sink;
	uint8_t *buffer;
	size_t length;
	uint32_t count;
	uint64_t first_seq;
	uint64_t next_seq; /* of the next record */
	uint64_t durable;  /* what the batches name */
	uint64_t time_ns;  /* of the last record */
};

/* All return 0 or -errno. */
int segment_copier_open(struct segment_copier *c, const struct journal_dir *d, uint32_t shard,
                        uint64_t next_seq);
void segment_copier_close(struct segment_copier *c);
/* r->seq must be next_seq. Opens the segment first if none is open. */
int segment_copier_add(struct segment_copier *c, const char *suffix,
                       const struct journal_record *r);
/* A gap record that stands for next_seq up to last. */
int segment_copier_gap(struct segment_copier *c, const char *suffix, uint64_t last,
                       enum journal_gap_reason reason);
/* Write, sync, seal, sync; the file is cut to its end. */
int segment_copier_finish(struct segment_copier *c);

#endif
