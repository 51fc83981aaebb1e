/* SPDX-License-Identifier: Apache-2.0 */
/* fastpathctl engines: who is registered in etcd, and how many keys each owns. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "etcd_access.h"
#include "journal_table.h"

static const char usage[] = "engines " ETCD_USAGE " [--json]";

static void print_row(const struct layout_engine *e, uint64_t keys, bool json)
{
	char time[TIME_TEXT];

	time_format(time, (uint64_t)e->ts_ms * 1000000);
	if (!json) {
		printf("%-16s %10" PRIu64 "  %-30s  %-28s  %-12s %s\n", e->id, keys, time,
		       e->http[0] ? e->http : "-", e->version[0] ? e->version : "-",
		       e->instance[0] ? e->instance : "-");
		return;
	}
	json_t *o = json_pack("{s:s, s:I, s:I, s:s, s:s, s:s}", "id", e->id, "keys",
	                      (json_int_t)keys, "ts", (json_int_t)e->ts_ms, "http", e->http,
	                      "version", e->version, "instance", e->instance);

	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static int show(struct etcd *c, bool json)
{
	struct layout_engine *engines = NULL;
	int count = etcd_read_engines(c, &engines);
	int64_t revision;
	struct assignments *t = count >= 0 ? etcd_read_assignments(c, &revision) : NULL;

	if (t != NULL && !json)
		printf("%-16s %10s  %-30s  %-28s  %-12s %s\n", "engine", "keys", "registered",
		       "http", "version", "instance");
	for (int i = 0; t != NULL && i < count; i++)
		print_row(&engines[i], assignments_owned(t, engines[i].id), json);
	int rc = t != NULL ? 0 : EXIT_FOUND;

	assignments_free(t);
	free(engines);
	return rc;
}

int cmd_engines(int argc, char **argv)
{
	struct etcd_arguments a;
	int rc = etcd_arguments_parse(&a, argc, argv, "j", usage);
	struct etcd *c;

	if (rc >= 0)
		return rc;
	if (a.rest < argc)
		return usage_error("engines: it takes no argument: %s", argv[a.rest]);
	if ((c = etcd_access_open(&a, "engines")) == NULL)
		return EXIT_USAGE;
	rc = show(c, a.json);
	etcd_destroy(c);
	return rc;
}
