/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things stand in etcd, as DESIGN 4.5 has it; engines and fastpathctl share it. Pure.
 *
 *	/registry/engines/<ENGINE_ID>   {"id","ts","http","version","instance"}, under the engine's lease
 *	/assignments/<KEY>              the id of the engine that owns the key
 *	/fastpath/election/leader       the id of the engine that reassigns keys, under its lease
 *
 * In a path, '%' and all bytes but printable ASCII stand as %XX, two capital hexadecimal digits; so
 * a key has one path only.
 */
#ifndef OWNERSHIP_LAYOUT_H
#define OWNERSHIP_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"

#define LAYOUT_REGISTRY    "/registry/engines/"
#define LAYOUT_ASSIGNMENTS "/assignments/"
#define LAYOUT_LEADER      "/fastpath/election/leader"
#define LAYOUT_PATH_MAX    (sizeof(LAYOUT_ASSIGNMENTS) + 3 * EVENT_KEY_MAX)
#define LAYOUT_ENGINE_MAX  EVENT_KEY_MAX
#define LAYOUT_LEASE_S     15 /* of a registration */
#define LAYOUT_RENEW_S     3

/* The path of a key of 1..EVENT_KEY_MAX bytes; returns its length, NUL not counted. */
size_t layout_assignment_path(const void *key, size_t len, char path[LAYOUT_PATH_MAX]);
/* The key of such a path, into key; its length, or -EINVAL when the path is none that
 * layout_assignment_path writes. */
int layout_assignment_key(const void *path, size_t len, uint8_t key[EVENT_KEY_MAX]);

/* 1 to 64 letters, digits, '.', '_' or '-' */
bool layout_is_engine_id(const void *id, size_t len);

#define LAYOUT_HTTP_MAX     256
#define LAYOUT_INSTANCE_MAX 64

/* one engine's registration */
struct layout_engine {
	char id[LAYOUT_ENGINE_MAX + 1];
	char http[LAYOUT_HTTP_MAX];         /* its URL; "" when it did not say */
	char instance[LAYOUT_INSTANCE_MAX]; /* UUID of its journal directory */
	char version[64];
	int64_t ts_ms; /* when it registered, since the epoch */
};
/* The JSON text of a registration; malloc'ed, NULL: no memory. */
char *layout_engine_text(const struct layout_engine *e);
/* id is the path's; text may be anybody's: what it lacks is left empty. Returns 0, or -EINVAL when
 * the id is none or text is no JSON object. */
int layout_engine_parse(struct layout_engine *e, const void *path, size_t path_len,
                        const void *text, size_t text_len);

#endif
