/* SPDX-License-Identifier: Apache-2.0 */
/* feedsim: a feed handler to try Fast Path with. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"

#define EXIT_SEND      1
#define EXIT_ARGUMENTS 2

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static int fail(int status, const char *err)
{
	fprintf(stderr, "feedsim: %s\n", err);
	return status;
}

static json_t *keys_used(const struct options *o, const struct run_summary *s)
{
	uint64_t events = s->sent + s->lost_on_purpose;

	if (o->replay != NULL)
		return json_null();
	return json_integer((json_int_t)(events < o->keys ? events : o->keys));
}

static int print_summary(const struct options *o, const struct source *source,
                         const struct sink *sink, const struct run_summary *s)
{
	double seconds = (double)s->elapsed_ns / 1e9;
	json_t *summary = json_pack(
	    "{s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:I, s:I, s:I, s:b}", "mode", sink->name,
	    "sent", (json_int_t)s->sent, "bytes", (json_int_t)s->bytes, "lost_on_purpose",
	    (json_int_t)s->lost_on_purpose, "skipped", (json_int_t)source->skipped, "seconds",
	    seconds, "rate", seconds > 0 ? (double)s->sent / seconds : 0.0, "keys", keys_used(o, s),
	    "first_time_ns", (json_int_t)s->first_time_ns, "last_time_ns",
	    (json_int_t)s->last_time_ns, "retries", (json_int_t)s->retries, "interrupted",
	    (int)s->interrupted);

	if (summary == NULL || json_dumpf(summary, stdout, JSON_REAL_PRECISION(9)) != 0 ||
	    putchar('\n') == EOF || fflush(stdout) != 0) {
		json_decref(summary);
		return fail(EXIT_SEND, "cannot write the summary to standard output");
	}
	json_decref(summary);
	return 0;
}

static int send_all(const struct options *o, struct source *source, struct sink *sink)
{
	char err[OPTIONS_ERROR_MAX] = "", close_err[OPTIONS_ERROR_MAX] = "";
	const struct sink kind = *sink; /* its name outlives it */
	struct run_summary summary;
	int status = 0;

	if (run(o, source, sink, &stop, &summary, err) != 0)
		status = fail(EXIT_SEND, err);
	if (sink->close(sink, close_err) != 0)
		status = fail(EXIT_SEND, close_err);
	if (print_summary(o, source, &kind, &summary) != 0)
		status = EXIT_SEND;
	source->close(source);
	return status;
}

static int open_and_send(const struct options *o)
{
	char err[OPTIONS_ERROR_MAX];
	struct source *source =
	    o->replay != NULL ? source_replay(o, err) : source_generator(o, err);
	struct sink *sink;

	if (source == NULL)
		return fail(EXIT_ARGUMENTS, err);
	if (o->pcap != NULL)
		sink = sink_pcap(o, err);
	else if (o->vlan_count > 0)
		sink = sink_packet(o, err);
	else
		sink = sink_socket(o, err);
	if (sink == NULL) {
		source->close(source);
		return fail(EXIT_ARGUMENTS, err);
	}
	return send_all(o, source, sink);
}

int main(int argc, char **argv)
{
	static struct options options;
	char err[OPTIONS_ERROR_MAX];

	switch (options_parse(&options, argc, argv, err)) {
	case OPTIONS_HELP:
		options_print_help();
		return 0;
	case OPTIONS_VERSION:
		puts("feedsim " FASTPATH_VERSION);
		return 0;
	case OPTIONS_BAD:
		return fail(EXIT_ARGUMENTS, err);
	case OPTIONS_RUN:
		break;
	}
	if (options.progress && !isatty(STDERR_FILENO))
		options.progress = false;
	catch_signals();
	return open_and_send(&options);
}
