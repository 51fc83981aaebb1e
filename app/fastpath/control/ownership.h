/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns a key, as this engine knows it. The data plane reads the key set lock-free; the rest is the
 * control thread's. */
#ifndef CONTROL_OWNERSHIP_H
#define CONTROL_OWNERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

struct ownership;
struct ownership_keyset;

struct ownership *ownership_create(const struct config *c, char err[CONFIG_ERROR_MAX]);
void ownership_destroy(struct ownership *o);

/* any lcore: the current set; NULL: all keys are ours */
const struct ownership_keyset *ownership_keys(const struct ownership *o);

/* control thread */
bool ownership_known(const struct ownership *o); /* false: not ready */
bool ownership_owns(const struct ownership *o, const void *key, uint32_t len);
/* engine id of the owner of a key that is not ours and its URL, each NULL when unknown; borrowed */
void ownership_owner(const struct ownership *o, const void *key, uint32_t len, const char **engine,
                     const char **url);
const char *ownership_mode_name(const struct ownership *o); /* "all", "static" */
uint64_t ownership_key_count(const struct ownership *o);    /* 0 for all */
/* the i-th owned key in sorted order; false past the end */
bool ownership_key_at(const struct ownership *o, uint64_t i, const void **key, uint32_t *len);

#endif
