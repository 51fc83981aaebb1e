/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal directory: its identity, its lock, the names of its feeds and the paths of its files.
 *
 *   journal.json                            identity, format version, shard count, feed names
 *   lock                                    flock'ed by its engine, holds the pid
 *   shard-00-00000000000000000001.seg       segment: shard, first sequence number
 *   quarantine/                             what repair moved away
 */
#ifndef JOURNAL_DIRECTORY_H
#define JOURNAL_DIRECTORY_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define JOURNAL_FORMAT        1
#define JOURNAL_SHARDS_MAX    64
#define JOURNAL_FEEDS_MAX     1024
#define JOURNAL_FEED_NAME     32          /* bytes with the final zero */
#define JOURNAL_FEED_NONE     0           /* records that belong to no feed; its name is "" */
#define JOURNAL_MEMLOG_PREFIX "fastpath-" /* then UUID, -, shard in two digits, .memlog */
#define JOURNAL_FEED_HTTP     1           /* its name is "http" */
#define JOURNAL_ERROR_MAX     512

struct journal_dir {
	char path[PATH_MAX];
	int fd;      /* of the directory */
	int lock_fd; /* -1 when opened read-only */
	uint8_t uuid[16];
	char uuid_text[37];
	char engine[65]; /* id of the engine that wrote it last */
	uint32_t format;
	uint32_t shards; /* as last used; files of higher shards may exist */
	uint64_t generation;
	uint32_t feed_count;
	char feeds[JOURNAL_FEEDS_MAX][JOURNAL_FEED_NAME];
};

enum journal_dir_mode {
	JOURNAL_READ, /* no lock, nothing is written; works on a read-only mount */
	JOURNAL_LOCK, /* exclusive; the directory must exist and be a journal */
	/* exclusive; made (mode 0700, files 0600) when missing or empty. Parents are made for a
	 * relative path only */
	JOURNAL_MAKE,
};

/* Open. Returns 0, or -errno with one line in err that names path, cause and remedy: -EBUSY (held:
 * names the holder's pid), -ENOTSUP (newer format), -ENOENT, -EACCES, -EROFS, -EBADMSG
 * (journal.json damaged), -ENOTEMPTY (MAKE on a directory with foreign files and no journal.json).
 */
int journal_dir_open(struct journal_dir *d, const char *path, enum journal_dir_mode mode,
                     char err[JOURNAL_ERROR_MAX]);
void journal_dir_close(struct journal_dir *d);

/* Locked only. Record engine id and shard count for this start, and count the generation up; synced
 * before it returns. */
int journal_dir_begin(struct journal_dir *d, const char *engine, uint32_t shards,
                      char err[JOURNAL_ERROR_MAX]);

/* Id of a feed; a new name is added and synced (locked only). Ids are never reused. Returns id or
 * -errno. */
int journal_dir_feed_id(struct journal_dir *d, const char *name, char err[JOURNAL_ERROR_MAX]);
/* Name of a feed, or NULL when the directory does not know the id. */
const char *journal_dir_feed_name(const struct journal_dir *d, uint16_t id);

/* Path of a shard's memlog below base ("/dev/shm", a hugetlbfs mount): the UUID is in its name. */
void journal_memlog_path(char out[PATH_MAX], const char *base, const struct journal_dir *d,
                         uint32_t shard);
#endif
