/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "engine_client.h"

static const struct command commands[] = {
    {"journal", "ls|verify|cat|stat|repair DIR", "look at a journal directory, or repair it",
     cmd_journal},
    {"replay", "DIR --topic T [filters]",
     "send a journal, or parts of it, to another Kafka topic; replay --help for filters",
     cmd_replay},
    {"status", "[--url URL] [--json]", "figures of a running engine (" ENGINE_URL ")", cmd_status},
    {"top", "[--url URL] [--count N]", "the same, live: once a second", cmd_top},
    {"drain", "[--url URL] [--timeout SECONDS] [--token-file FILE]",
     "a running engine delivers what it has, hands over its keys, and stops", cmd_drain},
    {"engines", "[--json]",
     "who is registered in etcd, with the number of its keys; --help for TLS and users",
     cmd_engines},
    {"assignments", "[--engine ENGINE] [--json]", "which engine owns which key", cmd_assignments},
    {"assign", "--symbols FILE [--dry-run]",
     "give the symbols of a file, one a line, to the engines by rendezvous hashing", cmd_assign},
    {"move", "KEY ENGINE [--force]", "give one key to an engine", cmd_move},
    {"doctor", "[--config FILE] [--json]",
     "check this host or pod: hugepages, devices, CPUs, clock, limits, disk, etcd, Kafka",
     cmd_doctor},
};

/* as head does */
static bool reader_left(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

	return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

/* the exit status: what standard output did not take is an error, unless nobody reads it any more */
static int end(int rc)
{
	errno = 0;
	bool lost = fflush(stdout) != 0 || ferror(stdout);

	if (!lost || reader_left())
		return rc;
	fprintf(stderr, "fastpathctl: standard output: %s\n",
	        errno ? strerror(errno) : "not all could be written");
	return rc == 0 ? EXIT_FOUND : rc;
}

int main(int argc, char **argv)
{
	/* a reader that leaves shows as EPIPE */
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("fastpathctl " FASTPATH_VERSION);
		return end(0);
	}
	return end(command_dispatch("fastpathctl", commands, sizeof(commands) / sizeof(*commands),
	                            argc, argv));
}
