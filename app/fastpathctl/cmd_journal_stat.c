/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "command.h"
#include "journal_table.h"

struct total {
	uint64_t segments;
	uint64_t first_seq;
	uint64_t last_seq;
	uint64_t durable;
	uint64_t records;
	uint64_t bytes;
};

static void sum(const struct table *t, struct total total[JOURNAL_SHARDS_MAX])
{
	for (size_t i = 0; i < t->list.count; i++) {
		const struct table_row *r = &t->row[i];
		struct total *s = &total[r->segment.shard];

		if (s->segments++ == 0)
			s->first_seq = r->segment.first_seq;
		s->last_seq = r->last_seq;
		s->durable = r->durable;
		s->records += r->records;
		s->bytes += r->segment.size;
	}
}

static void print_json(const struct table *t, const struct total total[JOURNAL_SHARDS_MAX])
{
	json_t *shards = json_array(), *root;

	for (int i = 0; i < JOURNAL_SHARDS_MAX; i++) {
		const struct total *s = &total[i];

		if (s->segments > 0)
			json_array_append_new(
			    shards,
			    json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "shard", i, "segments",
			              (json_int_t)s->segments, "first_seq",
			              (json_int_t)s->first_seq, "last_seq", (json_int_t)s->last_seq,
			              "durable", (json_int_t)s->durable, "records",
			              (json_int_t)s->records, "bytes", (json_int_t)s->bytes));
	}
	root = json_pack("{s:s, s:s, s:i, s:I, s:i, s:o}", "uuid", t->dir.uuid_text, "engine",
	                 t->dir.engine, "format", (int)t->dir.format, "generation",
	                 (json_int_t)t->dir.generation, "shard_count", (int)t->dir.shards, "shards",
	                 shards);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

int cmd_journal_stat(int argc, char **argv)
{
	struct total total[JOURNAL_SHARDS_MAX] = {0};
	struct table t;
	int r = table_open(&t, argc, argv);

	if (r != 0)
		return r;
	sum(&t, total);
	if (t.json) {
		print_json(&t, total);
		table_close(&t);
		return 0;
	}
	printf("journal %s, engine %s, format %u, generation %" PRIu64 ", %u shards\n",
	       t.dir.uuid_text, t.dir.engine, t.dir.format, t.dir.generation, t.dir.shards);
	printf("%5s %9s %20s %20s %20s %14s %16s\n", "shard", "segments", "first_seq", "last_seq",
	       "durable", "records", "bytes");
	for (int i = 0; i < JOURNAL_SHARDS_MAX; i++) {
		if (total[i].segments > 0)
			printf("%5d %9" PRIu64 " %20" PRIu64 " %20" PRIu64 " %20" PRIu64
			       " %14" PRIu64 " %16" PRIu64 "\n",
			       i, total[i].segments, total[i].first_seq, total[i].last_seq,
			       total[i].durable, total[i].records, total[i].bytes);
	}
	table_close(&t);
	return 0;
}
