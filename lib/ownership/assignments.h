/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All assignments, as one thread knows them: key -> engine and the revision that made it so. Holds
 * millions: about 80 bytes a key. Removed keys leave their memory to later ones. No locks.
 */
#ifndef OWNERSHIP_ASSIGNMENTS_H
#define OWNERSHIP_ASSIGNMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"
#include "ownership/layout.h"

struct assignments;

struct assignment {
	const uint8_t *key; /* until the table changes */
	uint32_t key_len;
	const char *engine; /* until the table is freed */
	uint32_t engine_index;
	int64_t mod_revision;
};

/* NULL: no memory */
struct assignments *assignments_create(void);
void assignments_free(struct assignments *t);

/* Set the owner of a key of 1..EVENT_KEY_MAX bytes. engine: an id, or anything else of up to 64
 * bytes that stands in etcd instead of one. Returns 0, -ENOMEM, or -EINVAL for a length out of
 * range. */
int assignments_put(struct assignments *t, const void *key, uint32_t len, const void *engine,
                    size_t engine_len, int64_t mod_revision);
/* false: it was not there */
bool assignments_remove(struct assignments *t, const void *key, uint32_t len);
bool assignments_find(const struct assignments *t, const void *key, uint32_t len,
                      struct assignment *out);

uint64_t assignments_count(const struct assignments *t);
/* keys of one engine */
uint64_t assignments_owned(const struct assignments *t, const char *engine);
/* engines that were ever named, 0..count-1; their ids */
uint32_t assignments_engines(const struct assignments *t);
const char *assignments_engine(const struct assignments *t, uint32_t index);

/* Walk: begin with *cursor 0; false at the end. In no order; a key that is added meanwhile may be
 * missed, or others seen twice. */
bool assignments_next(const struct assignments *t, uint64_t *cursor, struct assignment *out);

/* A copy of one engine's keys that lives on its own, for another thread: lengths and bytes, one
 * after the other. NULL: no memory. */
struct assignments_copy {
	uint64_t count;
	size_t bytes;
	uint8_t data[]; /* length (1 byte), key; count times */
};
struct assignments_copy *assignments_copy(const struct assignments *t, const char *engine);
/* The same of those keys that were already the engine's at `revision`. *changed: some key of any
 * engine was assigned since. */
struct assignments_copy *assignments_copy_until(const struct assignments *t, const char *engine,
                                                int64_t revision, bool *changed);

#endif
