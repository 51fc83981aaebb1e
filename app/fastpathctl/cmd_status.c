/* SPDX-License-Identifier: Apache-2.0 */
/* fastpathctl status: the figures of a running engine, once. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "engine_client.h"

static const char usage[] = "usage: fastpathctl status [--url " ENGINE_URL "] [--json]";

struct options {
	const char *url;
	bool json;
};

/* -1: go on; else the exit status */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option long_options[] = {
	    {"url", required_argument, NULL, 'u'},
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	int c;

	opterr = 0;
	optind = 0; /* the program's own options have been read */
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case 'u':
			o->url = optarg;
			break;
		case 'j':
			o->json = true;
			break;
		case 'h':
			puts(usage);
			return 0;
		default:
			return usage_error("status: %s is unknown or lacks its value; %s",
			                   argv[optind - 1], usage);
		}
	}
	if (optind < argc)
		return usage_error("status: it takes no argument: %s; %s", argv[optind], usage);
	return -1;
}

static int show(struct engine_client *client, const void *options, char err[ENGINE_ERROR_MAX])
{
	bool json = ((const struct options *)options)->json;
	json_t *stats = engine_stats(client, err);
	json_t *health = stats && !json ? engine_health(client, err) : NULL;
	int rc = 0;

	if (stats && json) {
		json_dumpf(stats, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
		putchar('\n');
	} else if (stats && health) {
		print_stats(stdout, stats, health);
	} else {
		rc = EXIT_FOUND;
	}
	json_decref(stats);
	json_decref(health);
	return rc;
}

int cmd_status(int argc, char **argv)
{
	struct options o = {.url = ENGINE_URL};
	int rc = parse(argc, argv, &o);

	return rc >= 0 ? rc : engine_command("status", o.url, show, &o);
}
