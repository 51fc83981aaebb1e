/* SPDX-License-Identifier: Apache-2.0 */
/* fastpathctl assignments: which engine owns which key, a line each, sorted by key. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "etcd_access.h"

static const char usage[] = "assignments " ETCD_USAGE " [--engine ENGINE] [--json]";

static int by_key(const void *a, const void *b)
{
	const struct assignment *one = a, *other = b;
	uint32_t len = one->key_len < other->key_len ? one->key_len : other->key_len;
	int order = memcmp(one->key, other->key, len);

	return order != 0 ? order : (int)one->key_len - (int)other->key_len;
}

static void print_row(const struct assignment *a, bool json)
{
	char path[LAYOUT_PATH_MAX];
	const char *name = path + strlen(LAYOUT_ASSIGNMENTS);

	layout_assignment_path(a->key, a->key_len, path);
	if (!json) {
		printf("%s\t%s\n", name, a->engine[0] ? a->engine : "-");
		return;
	}
	json_t *o = json_pack("{s:s, s:s, s:I}", "key", name, "engine", a->engine, "revision",
	                      (json_int_t)a->mod_revision);

	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static int show(const struct assignments *t, const struct etcd_arguments *o)
{
	uint64_t count = 0, cursor = 0;
	struct assignment *rows = malloc((assignments_count(t) + 1) * sizeof(*rows));

	if (rows == NULL) {
		etcd_complain("no memory for the assignments");
		return EXIT_FOUND;
	}
	while (assignments_next(t, &cursor, &rows[count]))
		count += o->engine == NULL || strcmp(rows[count].engine, o->engine) == 0;
	qsort(rows, count, sizeof(*rows), by_key);
	for (uint64_t i = 0; i < count; i++)
		print_row(&rows[i], o->json);
	free(rows);
	return 0;
}

int cmd_assignments(int argc, char **argv)
{
	struct etcd_arguments a;
	struct assignments *t;
	struct etcd *c;
	int64_t revision;
	int rc = etcd_arguments_parse(&a, argc, argv, "je", usage);

	if (rc >= 0)
		return rc;
	if (a.rest < argc)
		return usage_error("assignments: it takes no argument: %s", argv[a.rest]);
	if ((c = etcd_access_open(&a, "assignments")) == NULL)
		return EXIT_USAGE;
	t = etcd_read_assignments(c, &revision);
	rc = t != NULL ? show(t, &a) : EXIT_FOUND;
	assignments_free(t);
	etcd_destroy(c);
	return rc;
}
