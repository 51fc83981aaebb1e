/* SPDX-License-Identifier: Apache-2.0 */
#include "control/idempotency.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NONE UINT32_MAX

struct entry {
	char id[IDEMPOTENCY_KEY_MAX + 1]; /* "": free */
	uint32_t next;                    /* in its bucket */
	uint64_t since_ns;
	struct idempotency_print print;
	void *value;
};

/* entries are a ring in order of age, so the oldest is the next to be used again */
struct idempotency {
	uint32_t entries, position;
	uint64_t keep_ns, seed; /* of the hash: clients must not choose who shares a bucket */
	void (*release)(void *value);
	uint32_t *bucket;
	struct entry *entry;
};

static uint64_t mix(uint64_t h, const void *data, size_t len, uint64_t prime)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * prime;
	return h ^ h >> 32;
}

struct idempotency_print idempotency_print(const void *key, size_t key_len, const void *payload,
                                           size_t payload_len)
{
	static const uint64_t prime[2] = {0x100000001b3ull, 0x9e3779b97f4a7c15ull};
	struct idempotency_print print;

	for (int i = 0; i < 2; i++) {
		uint64_t h = mix(0xcbf29ce484222325ull, &key_len, sizeof(key_len), prime[i]);

		h = mix(h, key, key_len, prime[i]);
		print.half[i] = mix(h, payload, payload_len, prime[i]);
	}
	return print;
}

static uint32_t *bucket_of(struct idempotency *t, const char *id)
{
	return &t->bucket[mix(0xcbf29ce484222325ull, id, strlen(id), 0x100000001b3ull) %
	                  t->entries];
}

struct idempotency *idempotency_create(uint32_t entries, uint64_t keep_ns,
                                       void (*release)(void *value))
{
	struct idempotency *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct idempotency){.entries = entries, .keep_ns = keep_ns, .release = release};
	if (getrandom(&t->seed, sizeof(t->seed), GRND_NONBLOCK) != (ssize_t)sizeof(t->seed))
		t->seed = (uint64_t)(uintptr_t)t ^ 0xcbf29ce484222325ull; /* early in boot */
	t->bucket = malloc(entries * sizeof(*t->bucket));
	t->entry = calloc(entries, sizeof(*t->entry));
	if (!t->bucket || !t->entry) {
		free(t->bucket);
		free(t->entry);
		free(t);
		return NULL;
	}
	memset(t->bucket, 0xff, entries * sizeof(*t->bucket));
	return t;
}

static void drop(struct idempotency *t, uint32_t i)
{
	struct entry *e = &t->entry[i];
	uint32_t *link = bucket_of(t, e->id);

	while (*link != i)
		link = &t->entry[*link].next;
	*link = e->next;
	e->id[0] = '\0';
	t->release(e->value);
	e->value = NULL;
}

void idempotency_destroy(struct idempotency *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->entries; i++)
		if (t->entry[i].id[0])
			drop(t, i);
	free(t->bucket);
	free(t->entry);
	free(t);
}

static uint32_t lookup(struct idempotency *t, const char *id)
{
	uint32_t i = *bucket_of(t, id);

	while (i != NONE && strcmp(t->entry[i].id, id) != 0)
		i = t->entry[i].next;
	return i;
}

enum idempotency_found idempotency_find(struct idempotency *t, const char *id,
                                        const struct idempotency_print *print, uint64_t now_ns,
                                        void **value)
{
	uint32_t i = lookup(t, id);

	if (i == NONE)
		return IDEMPOTENCY_NEW;
	if (now_ns - t->entry[i].since_ns >= t->keep_ns) {
		drop(t, i);
		return IDEMPOTENCY_NEW;
	}
	if (memcmp(&t->entry[i].print, print, sizeof(*print)) != 0)
		return IDEMPOTENCY_DIFFERENT;
	*value = t->entry[i].value;
	return IDEMPOTENCY_SAME;
}

void idempotency_add(struct idempotency *t, const char *id, const struct idempotency_print *print,
                     uint64_t now_ns, void *value)
{
	struct entry *e = &t->entry[t->position];
	uint32_t *bucket = bucket_of(t, id);

	if (e->id[0])
		drop(t, t->position);
	*e = (struct entry){.next = *bucket, .since_ns = now_ns, .print = *print, .value = value};
	strncpy(e->id, id, IDEMPOTENCY_KEY_MAX);
	*bucket = t->position;
	t->position = (t->position + 1) % t->entries;
}

void idempotency_forget(struct idempotency *t, const char *id, const void *value)
{
	uint32_t i = lookup(t, id);

	if (i != NONE && t->entry[i].value == value)
		drop(t, i);
}
