/* SPDX-License-Identifier: Apache-2.0 */
#include "ownership/assignments.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ownership/rendezvous.h"

#define FIRST_SLOTS 64u
#define INLINE_KEY  23 /* bytes of a key that fit into its slot */
#define ENGINES_MAX 65536u

/* one cache line holds one and a half; open addressing, linear probing, backward-shift deletion */
struct slot {
	int64_t mod_revision;
	uint32_t hash;
	uint16_t engine;
	uint8_t len; /* 0: free */
	uint8_t unused;
	union {
		uint8_t bytes[INLINE_KEY + 1];
		uint8_t *far; /* allocated, for longer keys */
	} key;
};
static_assert(sizeof(struct slot) == 40, "packed");

struct engine {
	char id[LAYOUT_ENGINE_MAX + 1];
	uint64_t keys;
};

struct assignments {
	struct slot *slots;
	uint64_t mask, count;
	struct engine **engines; /* each stays where it is */
	uint32_t engine_count;
	uint32_t last_engine; /* the one found last: mostly it is the next one too */
};

static const uint8_t *key_of(const struct slot *s)
{
	return s->len <= INLINE_KEY ? s->key.bytes : s->key.far;
}

static uint64_t home(const struct assignments *t, uint32_t hash)
{
	return hash & t->mask;
}

static struct slot *find(const struct assignments *t, const void *key, uint32_t len, uint32_t hash)
{
	uint64_t at = home(t, hash);
	struct slot *s;

	while ((s = &t->slots[at])->len != 0) {
		if (s->hash == hash && s->len == len && memcmp(key_of(s), key, len) == 0)
			return s;
		at = (at + 1) & t->mask;
	}
	return s;
}

static uint32_t hash_of(const void *key, uint32_t len)
{
	return (uint32_t)rendezvous_hash(key, len);
}

struct assignments *assignments_create(void)
{
	struct assignments *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->slots = calloc(FIRST_SLOTS, sizeof(*t->slots));
	t->mask = FIRST_SLOTS - 1;
	if (t->slots == NULL) {
		free(t);
		return NULL;
	}
	return t;
}

void assignments_free(struct assignments *t)
{
	if (t == NULL)
		return;
	for (uint64_t i = 0; i <= t->mask; i++)
		if (t->slots[i].len > INLINE_KEY)
			free(t->slots[i].key.far);
	for (uint32_t i = 0; i < t->engine_count; i++)
		free(t->engines[i]);
	free(t->engines);
	free(t->slots);
	free(t);
}

static int grow(struct assignments *t)
{
	uint64_t slots = 2 * (t->mask + 1);
	struct slot *old = t->slots, *made = calloc(slots, sizeof(*made));

	if (made == NULL)
		return -ENOMEM;
	uint64_t old_slots = t->mask + 1;

	t->slots = made;
	t->mask = slots - 1;
	for (uint64_t i = 0; i < old_slots; i++) {
		if (old[i].len == 0)
			continue;
		uint64_t at = home(t, old[i].hash);

		while (made[at].len != 0)
			at = (at + 1) & t->mask;
		made[at] = old[i];
	}
	free(old);
	return 0;
}

static bool engine_is(const struct assignments *t, uint32_t i, const void *id, size_t len)
{
	const char *known = t->engines[i]->id;

	return strnlen(known, sizeof(t->engines[i]->id)) == len && memcmp(known, id, len) == 0;
}

static int engine_index(struct assignments *t, const void *id, size_t len)
{
	struct engine **more, *e;

	if (t->last_engine < t->engine_count && engine_is(t, t->last_engine, id, len))
		return (int)t->last_engine;
	for (uint32_t i = 0; i < t->engine_count; i++)
		if (engine_is(t, i, id, len))
			return (int)(t->last_engine = i);
	if (t->engine_count == ENGINES_MAX)
		return -ENOMEM;
	more = realloc(t->engines, (t->engine_count + 1) * sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	t->engines = more;
	if ((e = calloc(1, sizeof(*e))) == NULL)
		return -ENOMEM;
	memcpy(e->id, id, len);
	t->engines[t->engine_count] = e;
	return (int)t->engine_count++;
}

static int fill(struct slot *s, const void *key, uint32_t len, uint32_t hash)
{
	uint8_t *to = s->key.bytes;

	if (len > INLINE_KEY && (to = s->key.far = malloc(len)) == NULL)
		return -ENOMEM;
	memcpy(to, key, len);
	s->hash = hash;
	s->len = (uint8_t)len;
	return 0;
}

int assignments_put(struct assignments *t, const void *key, uint32_t len, const void *engine,
                    size_t engine_len, int64_t mod_revision)
{
	uint32_t hash = hash_of(key, len);
	int index;

	if (len == 0 || len > EVENT_KEY_MAX || engine_len > LAYOUT_ENGINE_MAX ||
	    memchr(engine, '\0', engine_len) != NULL)
		return -EINVAL;
	if (2 * (t->count + 1) > t->mask + 1 && grow(t) < 0)
		return -ENOMEM;
	if ((index = engine_index(t, engine, engine_len)) < 0)
		return index;
	struct slot *s = find(t, key, len, hash);

	if (s->len != 0)
		t->engines[s->engine]->keys--;
	else if (fill(s, key, len, hash) < 0)
		return -ENOMEM;
	else
		t->count++;
	s->engine = (uint16_t)index;
	s->mod_revision = mod_revision;
	t->engines[index]->keys++;
	return 0;
}

/* what probed past the hole moves back into it, so that no search ends too early */
static void close_hole(struct assignments *t, uint64_t hole)
{
	for (uint64_t at = (hole + 1) & t->mask; t->slots[at].len != 0; at = (at + 1) & t->mask) {
		uint64_t wants = home(t, t->slots[at].hash);

		if (((at - wants) & t->mask) < ((at - hole) & t->mask))
			continue;
		t->slots[hole] = t->slots[at];
		hole = at;
	}
	memset(&t->slots[hole], 0, sizeof(t->slots[hole]));
}

bool assignments_remove(struct assignments *t, const void *key, uint32_t len)
{
	struct slot *s = find(t, key, len, hash_of(key, len));

	if (s->len == 0)
		return false;
	t->engines[s->engine]->keys--;
	t->count--;
	if (s->len > INLINE_KEY)
		free(s->key.far);
	close_hole(t, (uint64_t)(s - t->slots));
	return true;
}

static void tell(const struct assignments *t, const struct slot *s, struct assignment *out)
{
	*out = (struct assignment){.key = key_of(s),
	                           .key_len = s->len,
	                           .engine = t->engines[s->engine]->id,
	                           .engine_index = s->engine,
	                           .mod_revision = s->mod_revision};
}

bool assignments_find(const struct assignments *t, const void *key, uint32_t len,
                      struct assignment *out)
{
	const struct slot *s = find(t, key, len, hash_of(key, len));

	if (s->len == 0)
		return false;
	tell(t, s, out);
	return true;
}

uint64_t assignments_count(const struct assignments *t)
{
	return t->count;
}

uint64_t assignments_owned(const struct assignments *t, const char *engine)
{
	for (uint32_t i = 0; i < t->engine_count; i++)
		if (strcmp(t->engines[i]->id, engine) == 0)
			return t->engines[i]->keys;
	return 0;
}

uint32_t assignments_engines(const struct assignments *t)
{
	return t->engine_count;
}

const char *assignments_engine(const struct assignments *t, uint32_t index)
{
	return t->engines[index]->id;
}

bool assignments_next(const struct assignments *t, uint64_t *cursor, struct assignment *out)
{
	while (*cursor <= t->mask) {
		const struct slot *s = &t->slots[(*cursor)++];

		if (s->len == 0)
			continue;
		tell(t, s, out);
		return true;
	}
	return false;
}

struct assignments_copy *assignments_copy_until(const struct assignments *t, const char *engine,
                                                int64_t revision, bool *changed)
{
	struct assignments_copy *copy;
	uint64_t keys = 0, cursor = 0;
	struct assignment a;
	size_t bytes = 0;

	*changed = false;
	while (assignments_next(t, &cursor, &a)) {
		*changed = *changed || a.mod_revision > revision;
		if (a.mod_revision > revision || strcmp(a.engine, engine) != 0)
			continue;
		bytes += 1 + a.key_len;
		keys++;
	}
	copy = malloc(sizeof(*copy) + bytes);
	if (copy == NULL)
		return NULL;
	*copy = (struct assignments_copy){.count = keys, .bytes = bytes};
	uint8_t *to = copy->data;

	for (cursor = 0; assignments_next(t, &cursor, &a);) {
		if (a.mod_revision > revision || strcmp(a.engine, engine) != 0)
			continue;
		*to++ = (uint8_t)a.key_len;
		memcpy(to, a.key, a.key_len);
		to += a.key_len;
	}
	return copy;
}

struct assignments_copy *assignments_copy(const struct assignments *t, const char *engine)
{
	bool changed;

	return assignments_copy_until(t, engine, INT64_MAX, &changed);
}
