/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memlog file that a dead engine left, read with pread: holes and cut files cannot raise SIGBUS,
 * and nothing is allocated in hugetlbfs.
 */
#ifndef JOURNAL_MEMLOG_FILE_H
#define JOURNAL_MEMLOG_FILE_H

#include <limits.h>

#include "journal/directory.h"
#include "journal/memlog.h"

/* EAL's heap keeps its own records before the memzone: the header stands at one of the first pages
 */
#define MEMLOG_HEADER_STEPS 64

struct memlog_file {
	char path[PATH_MAX];
	int fd;
	bool valid; /* it has a header; else it was never used */
	uint32_t shard;
	uint64_t generation;
	uint64_t data_at; /* offset of position 0 in the file */
	uint64_t capacity;
	uint64_t first_seq;
	uint64_t published;
	uint64_t released;
	uint64_t released_seq;
	uint64_t position; /* of the next record to read */
	uint8_t *block;
	uint64_t block_at; /* position */
	size_t block_len;
};

struct memlog_files {
	struct memlog_file **file; /* by shard, then generation */
	size_t count;
};

/* All memlog files of this directory below the NULL-terminated dirs. A dir that does not exist has
 * none. Returns 0, -EBUSY (an engine that runs holds its lock), -EBADMSG (header makes no sense), -ENOTSUP (newer
 * format), -errno, with err set.
 */
int memlog_files_find(struct memlog_files *l, const struct journal_dir *d, const char *const *dirs,
                      char err[JOURNAL_ERROR_MAX]);
void memlog_files_free(struct memlog_files *l);

/* The next record, borrowed until the next call. Returns 1, 0 at the published end, -EBADMSG when
 * what stands at position is not whole, -errno. The position moves only when it returns 1. */
int memlog_file_next(struct memlog_file *f, const struct journal_record **out);

/* Move to the next whole record with seq > `seq`. Returns 1, 0 when there is none, -errno. */
int memlog_file_resync(struct memlog_file *f, uint64_t seq);

/* offset in the file of the position */
uint64_t memlog_file_offset(const struct memlog_file *f);

#endif
