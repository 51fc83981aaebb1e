/* SPDX-License-Identifier: Apache-2.0 */
/* fastpathctl drain: a running engine delivers what it has, hands over its keys, and stops. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "engine_client.h"

#define POLL_NS    200000000l
#define TIMEOUT_S  3600ul
#define GONE_POLLS 50 /* 10 s: it closes its port right after it has told */

static const char usage[] =
    "usage: fastpathctl drain [--url " ENGINE_URL "] [--timeout SECONDS] [--token-file FILE]";

struct options {
	const char *url, *token_file;
	unsigned int timeout_s; /* 0: the engine's own */
};

static int parse_timeout(const char *text, unsigned int *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || text[0] < '0' || text[0] > '9' || n < 1 || n > TIMEOUT_S)
		return usage_error("drain: --timeout %s: it must be 1 to %lu seconds; %s", text,
		                   TIMEOUT_S, usage);
	*out = (unsigned int)n;
	return -1;
}

/* -1: go on; else the exit status */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option long_options[] = {
	    {"url", required_argument, NULL, 'u'},
	    {"timeout", required_argument, NULL, 't'},
	    {"token-file", required_argument, NULL, 'k'},
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
		case 't':
			if ((c = parse_timeout(optarg, &o->timeout_s)) >= 0)
				return c;
			break;
		case 'k':
			o->token_file = optarg;
			break;
		case 'h':
			puts(usage);
			return 0;
		default:
			return usage_error("drain: %s is unknown or lacks its value; %s",
			                   argv[optind - 1], usage);
		}
	}
	if (optind < argc)
		return usage_error("drain: it takes no argument: %s; %s", argv[optind], usage);
	return -1;
}

/* 0 or EXIT_USAGE, reported */
static int take_token(struct engine_client *client, const char *path)
{
	char token[258];
	FILE *f = fopen(path, "re");
	size_t len;

	if (!f)
		return usage_error("drain: %s: %s", path, strerror(errno));
	len = fread(token, 1, sizeof(token) - 1, f);
	fclose(f);
	token[len] = '\0';
	len = strcspn(token, " \t\r\n");
	if (len == 0 || len == sizeof(token) - 1)
		return usage_error("drain: %s does not hold a token of 1 to 256 bytes", path);
	token[len] = '\0';
	engine_client_token(client, token);
	return 0;
}

static void rest(void)
{
	const struct timespec ts = {.tv_nsec = POLL_NS};

	nanosleep(&ts, NULL);
}

/* what changed, a line each */
static void show(const json_t *drain)
{
	static char last[160];
	const char *state = json_string_value(json_object_get(drain, "state"));
	char line[sizeof(last)];

	if (!strcmp(state, "kafka"))
		snprintf(line, sizeof(line), "kafka: %" PRIu64 " records to deliver",
		         stats_u64(drain, "kafka_bridge_lag"));
	else if (!strcmp(state, "handover"))
		snprintf(line, sizeof(line), "handover: %" PRIu64 " keys without a new owner",
		         stats_u64(drain, "ownership_keys"));
	else
		snprintf(line, sizeof(line), "%s: %" PRIu64 " records not yet durable",
		         printable(state), stats_u64(drain, "persistence_queue_lag"));
	if (!strcmp(line, last))
		return;
	strcpy(last, line);
	puts(line);
	fflush(stdout);
}

/* it answers until it has told how it ended */
static int wait_gone(struct engine_client *client, char err[ENGINE_ERROR_MAX])
{
	bool gone = false;

	for (int i = 0; i < GONE_POLLS; i++) {
		json_decref(engine_drain_state(client, &gone, err));
		if (gone)
			return 0;
		rest();
	}
	snprintf(err, ENGINE_ERROR_MAX,
	         "the engine is drained, and yet it does not stop: see its log");
	return EXIT_FOUND;
}

static int follow(struct engine_client *client, char err[ENGINE_ERROR_MAX])
{
	json_t *drain;
	bool gone = false, complete;

	while ((drain = engine_drain_state(client, &gone, err)) != NULL) {
		if (!strcmp(json_string_value(json_object_get(drain, "state")), "ended"))
			break;
		show(drain);
		json_decref(drain);
		rest();
	}
	if (!drain) {
		if (gone)
			snprintf(err, ENGINE_ERROR_MAX,
			         "the engine ended before it said how: see its log");
		return EXIT_FOUND;
	}
	complete = json_is_true(json_object_get(drain, "complete"));
	puts(stats_text(drain, "message"));
	json_decref(drain);
	if (wait_gone(client, err))
		return EXIT_FOUND;
	snprintf(err, ENGINE_ERROR_MAX, "the engine has stopped, and something is left: see above");
	return complete ? 0 : EXIT_FOUND;
}

static int run(struct engine_client *client, const void *options, char err[ENGINE_ERROR_MAX])
{
	const struct options *o = options;
	long status = 0;
	int rc = o->token_file ? take_token(client, o->token_file) : 0;

	if (rc != 0)
		return rc;
	json_t *drain = engine_drain(client, o->timeout_s, &status, err);

	if (!drain)
		return EXIT_FOUND;
	if (status == 409)
		puts("it is draining already");
	else
		printf("%s is draining\n", stats_text(drain, "engine"));
	fflush(stdout);
	json_decref(drain);
	return follow(client, err);
}

int cmd_drain(int argc, char **argv)
{
	const char *variable = getenv("HTTP_TOKEN_FILE");
	struct options o = {.url = ENGINE_URL,
	                    .token_file = variable && variable[0] ? variable : NULL};
	int rc = parse(argc, argv, &o);

	return rc >= 0 ? rc : engine_command("drain", o.url, run, &o);
}
