/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/segment.h"

void segment_name(char out[SEGMENT_NAME_MAX], uint32_t shard, uint64_t first_seq)
{
	snprintf(out, SEGMENT_NAME_MAX, "shard-%02u-%020" PRIu64 ".seg", shard, first_seq);
}

static bool name_parse(const char *name, struct segment_info *s)
{
	if (sscanf(name, "shard-%2u-%20" SCNu64 ".seg", &s->shard, &s->first_seq) != 2)
		return false;
	segment_name(s->name, s->shard, s->first_seq);
	return !strcmp(name, s->name) && s->shard < JOURNAL_SHARDS_MAX && s->first_seq > 0;
}

static int compare(const void *a, const void *b)
{
	const struct segment_info *x = a, *y = b;

	if (x->shard != y->shard)
		return x->shard < y->shard ? -1 : 1;
	return x->first_seq < y->first_seq ? -1 : x->first_seq > y->first_seq;
}

static int add(struct segment_list *l, const struct segment_info *s, size_t *capacity)
{
	if (l->count == *capacity) {
		size_t bigger = *capacity ? 2 * *capacity : 64;
		struct segment_info *item = realloc(l->item, bigger * sizeof(*item));

		if (!item)
			return -ENOMEM;
		l->item = item;
		*capacity = bigger;
	}
	l->item[l->count++] = *s;
	return 0;
}

int segment_list_read(const struct journal_dir *d, struct segment_list *l)
{
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t capacity = 0;
	struct dirent *e;

	*l = (struct segment_list){0};
	if (!dir) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(dir))) {
		struct segment_info s = {0};
		struct stat st;

		if (!name_parse(e->d_name, &s))
			continue;
		if (fstatat(d->fd, s.name, &st, 0) < 0) {
			/* retention may remove one meanwhile */
			r = errno == ENOENT ? 0 : -errno;
			continue;
		}
		s.size = (uint64_t)st.st_size;
		s.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
		r = add(l, &s, &capacity);
	}
	closedir(dir);
	if (l->count > 1)
		qsort(l->item, l->count, sizeof(*l->item), compare);
	return r;
}

void segment_list_free(struct segment_list *l)
{
	free(l->item);
	*l = (struct segment_list){0};
}
