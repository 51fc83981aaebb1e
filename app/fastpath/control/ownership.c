/* SPDX-License-Identifier: Apache-2.0 */
#include "control/ownership.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/hash.h"
#include "ownership/keyset.h"

struct ownership {
	enum config_ownership mode;
	struct ownership_keyset *set; /* NULL: every key is ours */
	const char **sorted;          /* of the static set, borrowed from the configuration */
	uint32_t count;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int load_static(struct ownership *o, const struct config *c)
{
	struct ownership_key *keys = calloc(c->owned_key_count + 1, sizeof(*keys));

	o->sorted = calloc(c->owned_key_count + 1, sizeof(*o->sorted));
	if (keys == NULL || o->sorted == NULL) {
		free(keys);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < c->owned_key_count; i++) {
		o->sorted[i] = c->owned_keys[i];
		keys[i] = (struct ownership_key){.data = (const uint8_t *)c->owned_keys[i],
		                                 .len = (uint8_t)strlen(c->owned_keys[i])};
	}
	o->count = c->owned_key_count;
	qsort(o->sorted, o->count, sizeof(*o->sorted), by_name);
	o->set = ownership_keyset_create(keys, o->count);
	free(keys);
	return o->set != NULL ? 0 : -errno;
}

struct ownership *ownership_create(const struct config *c, char err[CONFIG_ERROR_MAX])
{
	struct ownership *o = calloc(1, sizeof(*o));
	int ret = o != NULL ? 0 : -ENOMEM;

	if (ret == 0) {
		o->mode = c->ownership;
		if (o->mode == CONFIG_OWNERSHIP_STATIC)
			ret = load_static(o, c);
	}
	if (ret < 0) {
		snprintf(err, CONFIG_ERROR_MAX, "ownership: %u keys: %s", c->owned_key_count,
		         strerror(-ret));
		ownership_destroy(o);
		return NULL;
	}
	return o;
}

void ownership_destroy(struct ownership *o)
{
	if (o == NULL)
		return;
	ownership_keyset_free(o->set);
	free(o->sorted);
	free(o);
}

const struct ownership_keyset *ownership_keys(const struct ownership *o)
{
	return o->set;
}

bool ownership_known(const struct ownership *o)
{
	return o->mode == CONFIG_OWNERSHIP_ALL || o->set != NULL;
}

bool ownership_owns(const struct ownership *o, const void *key, uint32_t len)
{
	return o->set == NULL ||
	       ownership_keyset_contains(o->set, key, len, event_key_hash(key, len));
}

void ownership_owner(const struct ownership *o, const void *key, uint32_t len, const char **engine,
                     const char **url)
{
	/* a static set says what is ours, not whose the rest is */
	(void)o;
	(void)key;
	(void)len;
	*engine = NULL;
	*url = NULL;
}

const char *ownership_mode_name(const struct ownership *o)
{
	return o->mode == CONFIG_OWNERSHIP_ALL ? "all" : "static";
}

uint64_t ownership_key_count(const struct ownership *o)
{
	return o->count;
}

bool ownership_key_at(const struct ownership *o, uint64_t i, const void **key, uint32_t *len)
{
	if (i >= o->count)
		return false;
	*key = o->sorted[i];
	*len = (uint32_t)strlen(o->sorted[i]);
	return true;
}
