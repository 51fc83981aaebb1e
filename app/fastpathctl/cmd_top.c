/* SPDX-License-Identifier: Apache-2.0 */
/* fastpathctl top: the figures of a running engine, live in place; one line a second when it is not a
 * terminal that reads. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "engine_client.h"

static const char usage[] = "usage: fastpathctl top [--url " ENGINE_URL "] [--count N]";

struct options {
	const char *url;
	unsigned long count; /* 0: until it is interrupted */
};

/* -1: go on; else the exit status */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option long_options[] = {
	    {"url", required_argument, NULL, 'u'},
	    {"count", required_argument, NULL, 'n'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	char *end;
	int c;

	opterr = 0;
	optind = 0; /* the program's own options have been read */
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case 'u':
			o->url = optarg;
			break;
		case 'n':
			errno = 0;
			o->count = strtoul(optarg, &end, 10);
			if (errno || *end || optarg[0] < '0' || optarg[0] > '9' || o->count == 0)
				return usage_error("top: --count %s: it must be 1 or more; %s",
				                   optarg, usage);
			break;
		case 'h':
			puts(usage);
			return 0;
		default:
			return usage_error("top: %s is unknown or lacks its value; %s",
			                   argv[optind - 1], usage);
		}
	}
	if (optind < argc)
		return usage_error("top: it takes no argument: %s; %s", argv[optind], usage);
	return -1;
}

static unsigned int terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return 80;
	return size.ws_col;
}

/* Over what the last call wrote. A line that wraps would put the cursor wrong, so lines are cut. Returns
 * the number of lines. */
static unsigned int redraw(const char *text, unsigned int lines_before)
{
	int columns = (int)terminal_columns() - 1;
	unsigned int lines = 0;

	if (lines_before)
		printf("\033[%uA", lines_before);
	while (*text) {
		int len = (int)strcspn(text, "\n");

		printf("%.*s\033[K\n", len < columns ? len : columns, text);
		text += len;
		text += *text == '\n';
		lines++;
	}
	fputs("\033[J", stdout);
	return lines;
}

static void print_line(const json_t *stats)
{
	time_t now = time(NULL);
	char clock[16];
	struct tm tm;

	strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
	printf("%s %s: %" PRIu64 " events, %" PRIu64 "/s, process p50 %.1f p99 %.1f p99.9 %.1f us, "
	       "%" PRIu64 " dropped, %" PRIu64 " filtered, journal lag %" PRIu64 "\n",
	       clock, stats_text(stats, "status"), stats_u64(stats, "fast_path_count"),
	       stats_u64(stats, "events_per_second"), stats_real(stats, "fast_path_process_p50_us"),
	       stats_real(stats, "fast_path_process_p99_us"),
	       stats_real(stats, "fast_path_process_p999_us"),
	       stats_u64(stats, "fast_path_drops_total"),
	       stats_u64(stats, "fast_path_filtered_total"),
	       stats_u64(stats, "persistence_queue_lag"));
}

static int draw(const json_t *stats, const json_t *health, unsigned int *lines)
{
	char *text = NULL;
	size_t len;
	FILE *page = open_memstream(&text, &len);

	if (!page)
		return -ENOMEM;
	print_stats(page, stats, health);
	if (fclose(page) == 0)
		*lines = redraw(text, *lines);
	free(text);
	return 0;
}

static int show(struct engine_client *client, bool terminal, unsigned int *lines,
                char err[ENGINE_ERROR_MAX])
{
	json_t *stats = engine_stats(client, err);
	json_t *health = stats && terminal ? engine_health(client, err) : NULL;
	int rc = stats && (health || !terminal) ? 0 : EXIT_FOUND;

	if (rc == 0 && terminal && draw(stats, health, lines)) {
		snprintf(err, ENGINE_ERROR_MAX, "no memory for a page");
		rc = EXIT_FOUND;
	} else if (rc == 0 && !terminal) {
		print_line(stats);
	}
	json_decref(stats);
	json_decref(health);
	return rc;
}

static int watch(struct engine_client *client, const void *options, char err[ENGINE_ERROR_MAX])
{
	unsigned long count = ((const struct options *)options)->count;
	bool terminal = isatty(STDOUT_FILENO);
	unsigned int lines = 0;
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (unsigned long i = 0; count == 0 || i < count; i++) {
		if (i > 0) {
			next.tv_sec++;
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
		}
		if (show(client, terminal, &lines, err))
			return EXIT_FOUND;
		if (fflush(stdout) != 0)
			break; /* main says why */
	}
	return 0;
}

int cmd_top(int argc, char **argv)
{
	struct options o = {.url = ENGINE_URL};
	int rc = parse(argc, argv, &o);

	return rc >= 0 ? rc : engine_command("top", o.url, watch, &o);
}
