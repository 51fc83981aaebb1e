/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where memory comes from: hugepages when enough are reserved, ordinary pages otherwise; and the memlog
 * files, which are ours, outlive the process, and are handed to EAL as an external heap.
 */
#ifndef FASTPATH_MEMORY_H
#define FASTPATH_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include <rte_memzone.h>

#include "config.h"
#include "journal/directory.h"
#include "journal/memlog.h"

struct memory_plan {
	bool huge;
	size_t page_size;              /* of the memlog files */
	char huge_dir[PATH_MAX];       /* hugetlbfs mount, "" without */
	char memlog_base[PATH_MAX];    /* where memlog files are made */
	size_t memlog_bytes;           /* of one file, a multiple of page_size */
	size_t eal_bytes;              /* what the data plane allocates through EAL */
	char notice[CONFIG_ERROR_MAX]; /* why there are no hugepages, "" when there are */
};

/* Remove the hugepage files that a dead engine of this EAL file prefix left: their pages count as free then. */
void memory_reclaim(const char *file_prefix);
/* Decide before EAL. `eal_bytes`: see dataplane_memory(); `no_huge`: the command line says so. */
void memory_plan(struct memory_plan *m, const struct config *c, size_t eal_bytes, bool no_huge);
/* "2M", "1G" or "none" */
const char *memory_huge_name(const struct memory_plan *m);

/* NULL-terminated list of the places where a memlog file may stand: every hugetlbfs mount and /dev/shm */
#define MEMORY_DIRS_MAX 16
void memory_memlog_dirs(const char *dirs[MEMORY_DIRS_MAX + 1],
                        char paths[MEMORY_DIRS_MAX][PATH_MAX]);

/* one shard's memlog file */
struct memory_memlog {
	char path[PATH_MAX];
	int fd;     /* holds the lock that says whose it is */
	void *base; /* of the mapping */
	size_t bytes;
	const struct rte_memzone *zone;
	bool in_heap;
};

/* After rte_eal_init: make the file (0600), map it, give it to EAL's heap `fastpath-memlog`, and reserve a
 * memzone in it. Returns 0 or -errno with err set. */
int memory_memlog_create(struct memory_memlog *f, const struct memory_plan *m,
                         const struct journal_dir *d, uint32_t shard, char err[CONFIG_ERROR_MAX]);
/* Unlink the file, keep the memory: the next start finds nothing to recover. */
void memory_memlog_forget(struct memory_memlog *f);
/* unlink: after a clean end, when all of it is durable. Otherwise file, memory and what they hold stay as they
 * are */
void memory_memlog_destroy(struct memory_memlog *f, bool unlink_file);

#endif
