/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#define MIB           (1024ul * 1024)
#define MEMLOG_HEAP   "fastpath-memlog"
#define EAL_OVERHEAD  (32 * MIB) /* EAL's own tables, drivers */
#define ORDINARY_PAGE 4096ul
/* EAL puts its bookkeeping before and behind what it hands out: a page on each side */
#define HEAP_OVERHEAD (2 * ORDINARY_PAGE)

/* calls fn for each hugetlbfs mount, until it returns true */
static bool each_huge_mount(bool (*fn)(const char *dir, size_t page, void *arg), void *arg)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *e;
	bool found = false;

	if (mounts == NULL)
		return false;
	while (!found && (e = getmntent(mounts)) != NULL) {
		struct statfs fs;

		if (strcmp(e->mnt_type, "hugetlbfs") == 0 && statfs(e->mnt_dir, &fs) == 0 &&
		    access(e->mnt_dir, W_OK) == 0)
			found = fn(e->mnt_dir, (size_t)fs.f_bsize, arg);
	}
	endmntent(mounts);
	return found;
}

static size_t free_huge_bytes(size_t page)
{
	char path[128];
	unsigned long pages = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%zukB/free_hugepages",
	         page / 1024);
	if ((f = fopen(path, "r")) == NULL)
		return 0;
	if (fscanf(f, "%lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * page;
}

struct best_mount {
	char dir[PATH_MAX];
	size_t page, free;
};

static bool better_mount(const char *dir, size_t page, void *arg)
{
	struct best_mount *best = arg;
	size_t free = free_huge_bytes(page);

	if (free > best->free) {
		snprintf(best->dir, sizeof(best->dir), "%s", dir);
		best->page = page;
		best->free = free;
	}
	return false;
}

/* EAL locks the files of a living process; what can be locked belonged to a dead one */
static void reclaim_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		unlinkat(dir, name, 0);
	close(fd);
}

static bool reclaim_mount(const char *path, size_t page, void *arg)
{
	const char *prefix = arg;
	DIR *dir = opendir(path);
	struct dirent *e;

	(void)page;
	if (dir == NULL)
		return false;
	while ((e = readdir(dir)) != NULL)
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0)
			reclaim_file(dirfd(dir), e->d_name);
	closedir(dir);
	return false;
}

void memory_reclaim(const char *file_prefix)
{
	char prefix[NAME_MAX];

	snprintf(prefix, sizeof(prefix), "%smap_", file_prefix);
	each_huge_mount(reclaim_mount, prefix);
}

static size_t round_up(size_t bytes, size_t page)
{
	return (bytes + page - 1) / page * page;
}

static bool eal_option(const struct config *c, const char *key)
{
	for (uint32_t i = 0; i < c->eal_count; i++)
		if (strcmp(c->eal[i].key, key) == 0)
			return true;
	return false;
}

static void plan_ordinary(struct memory_plan *m, size_t wanted)
{
	m->huge = false;
	m->huge_dir[0] = '\0';
	m->page_size = ORDINARY_PAGE;
	m->memlog_bytes = round_up(wanted, ORDINARY_PAGE);
	snprintf(m->memlog_base, sizeof(m->memlog_base), "/dev/shm");
}

void memory_plan(struct memory_plan *m, const struct config *c, size_t eal_bytes, bool no_huge)
{
	size_t wanted = c->memory_mb * MIB + MEMLOG_HEADER_SIZE + HEAP_OVERHEAD;
	struct best_mount best = {.free = 0};

	memset(m, 0, sizeof(*m));
	m->eal_bytes = eal_bytes + EAL_OVERHEAD;
	each_huge_mount(better_mount, &best);
	size_t needed = best.page == 0 ? 0
	                               : round_up(m->eal_bytes, best.page) +
	                                     c->worker_lcore_count * round_up(wanted, best.page);
	if (no_huge || eal_option(c, "no-huge")) {
		snprintf(m->notice, sizeof(m->notice),
		         "no-huge is set: ordinary pages, more TLB misses");
	} else if (best.page == 0) {
		snprintf(m->notice, sizeof(m->notice),
		         "no hugepages: none are free on a mounted hugetlbfs; going on with "
		         "ordinary pages "
		         "(see hugepages.conf)");
	} else if (best.free < needed) {
		snprintf(m->notice, sizeof(m->notice),
		         "no hugepages: %zu MB are free in %.200s, %zu MB are needed; going on "
		         "with ordinary pages "
		         "(see hugepages.conf)",
		         best.free / MIB, best.dir, (needed + MIB - 1) / MIB);
	} else {
		m->huge = true;
		m->page_size = best.page;
		snprintf(m->huge_dir, sizeof(m->huge_dir), "%s", best.dir);
		snprintf(m->memlog_base, sizeof(m->memlog_base), "%s", best.dir);
		m->memlog_bytes = round_up(wanted, best.page);
		return;
	}
	plan_ordinary(m, wanted);
}

const char *memory_huge_name(const struct memory_plan *m)
{
	if (!m->huge)
		return "none";
	return m->page_size >= 1024 * MIB ? "1G" : "2M";
}

struct dir_list {
	const char **dirs;
	char (*paths)[PATH_MAX];
	uint32_t count;
};

static bool list_dir(const char *dir, size_t page, void *arg)
{
	struct dir_list *l = arg;

	(void)page;
	snprintf(l->paths[l->count], PATH_MAX, "%s", dir);
	l->dirs[l->count] = l->paths[l->count];
	return ++l->count == MEMORY_DIRS_MAX - 1;
}

void memory_memlog_dirs(const char *dirs[MEMORY_DIRS_MAX + 1],
                        char paths[MEMORY_DIRS_MAX][PATH_MAX])
{
	struct dir_list l = {.dirs = dirs, .paths = paths};

	each_huge_mount(list_dir, &l);
	list_dir("/dev/shm", 0, &l);
	dirs[l.count] = NULL;
}

static int fail(const struct memory_memlog *f, const char *call, int error,
                char err[CONFIG_ERROR_MAX])
{
	snprintf(err, CONFIG_ERROR_MAX, "memlog %.300s: %s: %s", f->path, call, strerror(error));
	return -error;
}

static int map_file(struct memory_memlog *f, char err[CONFIG_ERROR_MAX])
{
	int fd = open(f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), error;

	if (fd < 0)
		return fail(f, "open", errno, err);
	/* a copy of the journal directory has the same memlog files: its engine, or a repair, would take them */
	error = flock(fd, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
	/* all of it now: a page that is missing later would be a SIGBUS */
	if (error == 0)
		error = posix_fallocate(fd, 0, (off_t)f->bytes);
	if (error == 0) {
		f->base =
		    mmap(NULL, f->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
		error = f->base == MAP_FAILED ? errno : 0;
	}
	f->fd = fd;
	if (error != 0) {
		close(fd);
		f->base = NULL;
		unlink(f->path);
		snprintf(err, CONFIG_ERROR_MAX,
		         "memlog %.300s: no room for its %zu MB: %s; lower journal.memory_mb, or "
		         "make room in %.*s",
		         f->path, (size_t)(f->bytes >> 20), strerror(error),
		         (int)(strrchr(f->path, '/') - f->path), f->path);
		return -error;
	}
	return 0;
}

static int give_to_heap(struct memory_memlog *f, size_t page, uint32_t shard,
                        char err[CONFIG_ERROR_MAX])
{
	char name[RTE_MEMZONE_NAMESIZE];
	int socket;

	if (rte_malloc_heap_get_socket(MEMLOG_HEAP) < 0 && rte_malloc_heap_create(MEMLOG_HEAP) < 0)
		return fail(f, "rte_malloc_heap_create", rte_errno, err);
	if (rte_malloc_heap_memory_add(MEMLOG_HEAP, f->base, f->bytes, NULL,
	                               (unsigned int)(f->bytes / page), page) < 0)
		return fail(f, "rte_malloc_heap_memory_add", rte_errno, err);
	f->in_heap = true;
	socket = rte_malloc_heap_get_socket(MEMLOG_HEAP);
	snprintf(name, sizeof(name), "memlog-%u", shard);
	/* only this file has room in the heap: the others are reserved whole */
	f->zone =
	    rte_memzone_reserve_aligned(name, f->bytes - HEAP_OVERHEAD, socket, 0, ORDINARY_PAGE);
	if (f->zone == NULL)
		return fail(f, "rte_memzone_reserve_aligned", rte_errno, err);
	if ((char *)f->zone->addr < (char *)f->base ||
	    (char *)f->zone->addr + f->zone->len > (char *)f->base + f->bytes)
		return fail(f, "rte_memzone_reserve_aligned put it elsewhere", EFAULT, err);
	return 0;
}

int memory_memlog_create(struct memory_memlog *f, const struct memory_plan *m,
                         const struct journal_dir *d, uint32_t shard, char err[CONFIG_ERROR_MAX])
{
	int ret;

	memset(f, 0, sizeof(*f));
	f->bytes = m->memlog_bytes;
	journal_memlog_path(f->path, m->memlog_base, d, shard);
	if ((ret = map_file(f, err)) < 0)
		return ret;
	return give_to_heap(f, m->page_size, shard, err);
}

void memory_memlog_forget(struct memory_memlog *f)
{
	unlink(f->path);
}

void memory_memlog_destroy(struct memory_memlog *f, bool unlink_file)
{
	/* EAL clears what is given back to it: what recovery needs stays reserved until the process ends */
	if (f->base == NULL || !unlink_file)
		return;
	if (f->zone != NULL)
		rte_memzone_free(f->zone);
	if (f->in_heap)
		rte_malloc_heap_memory_remove(MEMLOG_HEAP, f->base, f->bytes);
	munmap(f->base, f->bytes);
	unlink(f->path);
	close(f->fd);
	memset(f, 0, sizeof(*f));
}
