/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idempotency-Keys of POSTs and what each was answered, for a while, in memory: it does not survive
 * a restart. Bounded: when it is full, the oldest entry goes. Control thread; time is handed in.
 */
#ifndef CONTROL_IDEMPOTENCY_H
#define CONTROL_IDEMPOTENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDEMPOTENCY_KEY_MAX 128             /* printable ASCII bytes */
#define IDEMPOTENCY_ENTRIES 65536           /* about 14 MB when all are in use */
#define IDEMPOTENCY_KEEP_NS 600000000000ull /* 10 minutes */

/* of an event's key and payload: 128 bits, so that two different ones do not meet by chance */
struct idempotency_print {
	uint64_t half[2];
};
struct idempotency_print idempotency_print(const void *key, size_t key_len, const void *payload,
                                           size_t payload_len);

struct idempotency;

enum idempotency_found {
	IDEMPOTENCY_NEW,      /* not there */
	IDEMPOTENCY_SAME,     /* there with this print: *value */
	IDEMPOTENCY_DIFFERENT /* there, for another event */
};

/* release: called with the value of an entry that goes. NULL: out of memory. */
struct idempotency *idempotency_create(uint32_t entries, uint64_t keep_ns,
                                       void (*release)(void *value));
void idempotency_destroy(struct idempotency *t);

enum idempotency_found idempotency_find(struct idempotency *t, const char *id,
                                        const struct idempotency_print *print, uint64_t now_ns,
                                        void **value);
/* Remembers an id that is not there, at most IDEMPOTENCY_KEY_MAX bytes. Never fails. */
void idempotency_add(struct idempotency *t, const char *id, const struct idempotency_print *print,
                     uint64_t now_ns, void *value);
/* Forgets an id, if it is there with this value. */
void idempotency_forget(struct idempotency *t, const char *id, const void *value);

#endif
