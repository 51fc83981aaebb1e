/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "journal_table.h"

void time_format(char out[TIME_TEXT], uint64_t ns)
{
	time_t seconds = (time_t)(ns / 1000000000u);
	char text[24] = "";
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, TIME_TEXT, "%.19s.%09uZ", text, (unsigned int)(ns % 1000000000u));
}

static int read_row(const struct table *t, size_t i)
{
	const struct segment_info *s = &t->list.item[i];
	bool last = i + 1 == t->list.count || s[1].shard != s->shard;
	struct table_row *row = &t->row[i];
	struct segment_cursor c;
	int r = segment_open(&c, &t->dir, s);

	row->segment = *s;
	row->last_seq = s->first_seq - 1;
	row->durable = s->first_seq - 1;
	row->damaged = r == -EBADMSG;
	if (r == 0) {
		r = segment_skip_to(&c, last ? SEGMENT_NONE : s[1].first_seq);
		row->last_seq = c.next_seq - 1;
		row->records = c.records;
		row->time_ns = c.time_ns;
		if (c.durable > row->durable)
			row->durable = c.durable;
		segment_close(&c);
	} else if (r == -EBADMSG) {
		segment_close(&c);
	}
	/* a file that retention removed meanwhile has no records */
	return r == -EBADMSG || r == -ENOENT ? 0 : r;
}

int table_open(struct table *t, int argc, char **argv)
{
	char err[JOURNAL_ERROR_MAX];
	const char *path = NULL;
	int r;

	memset(t, 0, sizeof(*t));
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			t->json = true;
		else if (argv[i][0] == '-' || path)
			return usage_error(
			    "journal %s: unexpected argument '%s'; give [--json] DIR", argv[0],
			    argv[i]);
		else
			path = argv[i];
	}
	if (!path)
		return usage_error("journal %s: no directory given; give [--json] DIR", argv[0]);
	if (journal_dir_open(&t->dir, path, JOURNAL_READ, err) < 0)
		return usage_error("%s", err);
	r = segment_list_read(&t->dir, &t->list);
	t->row = calloc(t->list.count + 1, sizeof(*t->row));
	if (r == 0 && !t->row)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < t->list.count; i++)
		r = read_row(t, i);
	if (r < 0) {
		table_close(t);
		return usage_error("cannot read %s: %s; check permissions and the disk", path,
		                   strerror(-r));
	}
	return 0;
}

void table_close(struct table *t)
{
	free(t->row);
	segment_list_free(&t->list);
	journal_dir_close(&t->dir);
}
