/* SPDX-License-Identifier: Apache-2.0 */
/* A source that makes events up; options_print_help() tells their bytes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"

struct generator {
	struct source source;
	const struct options *o;
	uint64_t next; /* event to come, from 0 */
};

static uint64_t due_of(const struct options *o, uint64_t event)
{
	if (o->rate > 0)
		return (uint64_t)((double)event * 1e9 / o->rate);
	/* a file has no sender that sets the pace */
	return o->pcap != NULL ? event * 1000 : 0;
}

static int generator_peek(struct source *s, uint64_t *due_ns, char err[OPTIONS_ERROR_MAX])
{
	const struct generator *g = (const struct generator *)s;

	(void)err;
	*due_ns = due_of(g->o, g->next);
	return 0;
}

/* the text of an event with `around` bytes beside it in the payload; returns its length */
static uint32_t put_text(const struct options *o, const char *key, uint64_t n, uint32_t around,
                         uint8_t *out)
{
	uint32_t room = o->size > around ? o->size - around : 0;
	uint32_t len = (uint32_t)sprintf((char *)out, "%llu:%s:%llu:", (unsigned long long)o->seed,
	                                 key, (unsigned long long)n);

	for (; len < room; len++)
		out[len] = (uint8_t)('a' + len % 26);
	return len;
}

static uint32_t put_json(const struct options *o, const char *key, uint64_t n, uint8_t *out)
{
	static const char tail[] = "\"}";
	uint32_t len = (uint32_t)sprintf((char *)out, "{\"key\":\"%s\",\"n\":%llu,\"data\":\"", key,
	                                 (unsigned long long)n);

	len += put_text(o, key, n, len + (uint32_t)strlen(tail), out + len);
	memcpy(out + len, tail, strlen(tail));
	return len + (uint32_t)strlen(tail);
}

static void generator_take(struct source *s, struct datagram *out)
{
	struct generator *g = (struct generator *)s;
	const struct options *o = g->o;
	uint64_t event = g->next++;
	uint64_t n = event / o->keys + 1;
	char key[OPTIONS_PREFIX_MAX + 16];
	uint8_t key_len;

	if (out == NULL)
		return;
	key_len = (uint8_t)snprintf(key, sizeof(key), "%s%04u", o->key_prefix,
	                            (uint32_t)(event % o->keys));
	out->to = o->line[event % o->line_count];
	out->due_ns = due_of(o, event);
	switch (o->codec) {
	case FEED_CODEC_KEYED:
		out->data[0] = key_len;
		memcpy(out->data + 1, key, key_len);
		out->len = 1u + key_len + put_text(o, key, n, 0, out->data + 1 + key_len);
		break;
	case FEED_CODEC_JSON:
		out->len = put_json(o, key, n, out->data);
		break;
	case FEED_CODEC_FIXED:
		out->len = put_text(o, key, n, 0, out->data);
		break;
	}
}

static void generator_close(struct source *s)
{
	free(s);
}

struct source *source_generator(const struct options *o, char err[OPTIONS_ERROR_MAX])
{
	struct generator *g = calloc(1, sizeof(*g));

	if (g == NULL) {
		snprintf(err, OPTIONS_ERROR_MAX, "the generator: %s", strerror(errno));
		return NULL;
	}
	g->source = (struct source){generator_peek, generator_take, generator_close, 0};
	g->o = o;
	return &g->source;
}
