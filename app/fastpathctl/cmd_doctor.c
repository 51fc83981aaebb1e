/* SPDX-License-Identifier: Apache-2.0 */
/* fastpathctl doctor: what this host or pod lacks for the engine of a configuration. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "doctor.h"

static const char usage[] =
    "usage: fastpathctl doctor [--config FILE] [--json] [--proc DIR] [--sys DIR]\n"
    "Checks this host or pod against the configuration: the same file and variables as fastpath.\n"
    "Exit status: 0 all is well or there are warnings only, 1 something fails, 2 bad arguments or\n"
    "a configuration that cannot be read. --proc and --sys: where these are mounted.";

struct options {
	const char *config, *proc, *sys;
	bool json;
};

/* -1: go on; else the exit status */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option long_options[] = {
	    {"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'},
	    {"proc", required_argument, NULL, 'p'},   {"sys", required_argument, NULL, 's'},
	    {"help", no_argument, NULL, 'h'},         {0},
	};
	int c;

	opterr = 0;
	optind = 0; /* the program's own options have been read */
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'j':
			o->json = true;
			break;
		case 'p':
			o->proc = optarg;
			break;
		case 's':
			o->sys = optarg;
			break;
		case 'h':
			puts(usage);
			return 0;
		default:
			return usage_error("doctor: %s is unknown or lacks its value; see "
			                   "fastpathctl doctor --help",
			                   argv[optind - 1]);
		}
	}
	if (optind < argc)
		return usage_error(
		    "doctor: it takes no argument: %s; see fastpathctl doctor --help",
		    argv[optind]);
	return -1;
}

static void print_lines(const json_t *lines)
{
	json_t *line;
	size_t i;

	json_array_foreach (lines, i, line) {
		const char *remedy = json_string_value(json_object_get(line, "do"));

		printf("%-5s %-16s %s\n", json_string_value(json_object_get(line, "status")),
		       json_string_value(json_object_get(line, "check")),
		       json_string_value(json_object_get(line, "found")));
		if (remedy != NULL)
			printf("      %-16s do: %s\n", "", remedy);
	}
}

static int print(struct doctor *d, bool json)
{
	static const char *const names[] = {"ok", "warn", "fail"};

	if (json) {
		json_t *all = json_pack("{ss sO}", "status", names[d->worst], "checks", d->lines);

		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(all);
	} else {
		print_lines(d->lines);
	}
	return d->worst == DOCTOR_FAIL ? EXIT_FOUND : 0;
}

int cmd_doctor(int argc, char **argv)
{
	static struct config config;
	struct options o = {.proc = "/proc", .sys = "/sys"};
	char err[CONFIG_ERROR_MAX];
	int rc = parse(argc, argv, &o);

	if (rc >= 0)
		return rc;
	if (config_load(&config, o.config, environ, err) < 0)
		return usage_error("doctor: %s", err);
	struct doctor d = {.proc = o.proc, .sys = o.sys, .config = &config, .lines = json_array()};

	doctor_cpus(&d);
	doctor_memory(&d);
	doctor_devices(&d);
	doctor_system(&d);
	doctor_network(&d);
	rc = print(&d, o.json);
	json_decref(d.lines);
	config_free(&config);
	return rc;
}
