/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include "journal/segment.h"

/* the segment behind item i in the same shard, or NULL: its shard's last one is never removed,
 * because it is being written, and because it tells where the shard's sequence numbers go on */
static const struct segment_info *behind(const struct segment_list *l, size_t i)
{
	if (i + 1 == l->count || l->item[i + 1].shard != l->item[i].shard)
		return NULL;
	return &l->item[i + 1];
}

/* the file written longest ago among the first of each shard, or NULL when none may go */
static struct segment_info *oldest(struct segment_list *l,
                                   const uint64_t keep_from[JOURNAL_SHARDS_MAX])
{
	struct segment_info *best = NULL;
	uint32_t looked = UINT32_MAX;

	for (size_t i = 0; i < l->count; i++) {
		struct segment_info *s = &l->item[i];
		const struct segment_info *next = behind(l, i);

		if (s->size == UINT64_MAX || s->shard == looked)
			continue;
		looked = s->shard;
		if (next && next->first_seq <= keep_from[s->shard] &&
		    (!best || s->mtime_ns < best->mtime_ns))
			best = s;
	}
	return best;
}

int journal_retain(struct journal_dir *d, uint64_t bytes,
                   const uint64_t keep_from[JOURNAL_SHARDS_MAX])
{
	struct segment_list l;
	uint64_t total = 0;
	int removed = 0, r = segment_list_read(d, &l);

	for (size_t i = 0; r == 0 && i < l.count; i++)
		total += l.item[i].size;
	while (r == 0 && total > bytes) {
		struct segment_info *s = oldest(&l, keep_from);

		if (!s)
			break;
		if (unlinkat(d->fd, s->name, 0) < 0 && errno != ENOENT)
			r = -errno;
		total -= s->size;
		s->size = UINT64_MAX; /* gone */
		removed++;
	}
	if (r == 0 && removed > 0 && fsync(d->fd) < 0)
		r = -errno;
	segment_list_free(&l);
	return r < 0 ? r : removed;
}
