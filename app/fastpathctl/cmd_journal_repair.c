/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "journal/recovery.h"

#define DIRS_MAX 64

struct dirs {
	const char *path[DIRS_MAX + 1];
	size_t count;
};

static void add_dir(struct dirs *l, const char *path)
{
	char *copy = l->count < DIRS_MAX ? strdup(path) : NULL;

	if (copy)
		l->path[l->count++] = copy;
}

static void free_dirs(struct dirs *l)
{
	for (size_t i = 0; i < l->count; i++)
		free((char *)(uintptr_t)l->path[i]);
}

/* where an engine puts its memlogs: /dev/shm and every hugetlbfs */
static void add_usual_dirs(struct dirs *l)
{
	FILE *mounts = setmntent("/proc/mounts", "r");
	const struct mntent *m;

	add_dir(l, "/dev/shm");
	while (mounts && (m = getmntent(mounts))) {
		if (!strcmp(m->mnt_type, "hugetlbfs"))
			add_dir(l, m->mnt_dir);
	}
	if (mounts)
		endmntent(mounts);
}

static void print_line(void *arg, const char *line)
{
	(void)arg;
	puts(line);
}

static int repair(const char *path, struct dirs *dirs)
{
	struct journal_recovery_options o = {
	    .memlog_dirs = dirs->path,
	    .policy = JOURNAL_DAMAGE_QUARANTINE,
	    .thorough = true,
	    .log = print_line,
	};
	struct journal_recovery_report report;
	char err[JOURNAL_ERROR_MAX];
	struct journal_dir d;
	int r;

	if (journal_dir_open(&d, path, JOURNAL_LOCK, err) < 0)
		return usage_error("%s", err);
	r = journal_recover(&d, &o, &report, err);
	journal_dir_close(&d);
	if (r < 0) {
		fprintf(stderr, "fastpathctl: %s\n", err);
		return EXIT_FOUND;
	}
	printf("%s is usable: %" PRIu64 " sequence numbers became gaps, %" PRIu64
	       " records came from memlogs, %" PRIu64 " bytes of torn tail were cut\n",
	       path, report.quarantined, report.copied_records, report.torn_bytes);
	return 0;
}

int cmd_journal_repair(int argc, char **argv)
{
	struct dirs dirs = {0};
	const char *path = NULL;
	int status = -1;

	for (int i = 1; i < argc && status < 0; i++) {
		if (!strcmp(argv[i], "--memlog-dir") && i + 1 < argc)
			add_dir(&dirs, argv[++i]);
		else if (argv[i][0] == '-' || path)
			status = usage_error("journal repair: unexpected argument '%s'; give "
			                     "[--memlog-dir DIR]... DIR",
			                     argv[i]);
		else
			path = argv[i];
	}
	if (status < 0 && !path)
		status = usage_error(
		    "journal repair: no directory given; give [--memlog-dir DIR]... DIR");
	if (dirs.count == 0)
		add_usual_dirs(&dirs);
	if (status < 0)
		status = repair(path, &dirs);
	free_dirs(&dirs);
	return status;
}
