/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "command.h"
#include "journal_table.h"

static void print_json(const struct table *t)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < t->list.count; i++) {
		const struct table_row *r = &t->row[i];
		char time[TIME_TEXT];

		time_format(time, r->time_ns);
		json_array_append_new(
		    rows,
		    json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:s, s:b}", "file",
		              r->segment.name, "shard", (int)r->segment.shard, "first_seq",
		              (json_int_t)r->segment.first_seq, "last_seq", (json_int_t)r->last_seq,
		              "records", (json_int_t)r->records, "bytes",
		              (json_int_t)r->segment.size, "durable", (json_int_t)r->durable,
		              "time", time, "damaged", (int)r->damaged));
	}
	json_dumpf(rows, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(rows);
}

int cmd_journal_ls(int argc, char **argv)
{
	struct table t;
	int r = table_open(&t, argc, argv);

	if (r != 0)
		return r;
	if (t.json) {
		print_json(&t);
		table_close(&t);
		return 0;
	}
	printf("%5s %20s %20s %12s %14s  %-30s  %s\n", "shard", "first_seq", "last_seq", "records",
	       "bytes", "time of the first", "file");
	for (size_t i = 0; i < t.list.count; i++) {
		const struct table_row *row = &t.row[i];
		char time[TIME_TEXT];

		time_format(time, row->time_ns);
		printf("%5u %20" PRIu64 " %20" PRIu64 " %12" PRIu64 " %14" PRIu64 "  %-30s  %s%s\n",
		       row->segment.shard, row->segment.first_seq, row->last_seq, row->records,
		       row->segment.size, row->damaged ? "-" : time, row->segment.name,
		       row->damaged ? " (header damaged: run journal verify)" : "");
	}
	table_close(&t);
	return 0;
}
