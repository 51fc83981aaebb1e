/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of fastpathctl. Each is a function in a file of its own, cmd_<name>.c, that takes
 * its arguments as main does, argv[0] being its own name, and returns the exit status.
 */
#ifndef FASTPATHCTL_COMMAND_H
#define FASTPATHCTL_COMMAND_H

#include <stddef.h>

#define EXIT_FOUND 1 /* it ran, and what it looked for is wrong, or no engine answers */
#define EXIT_USAGE 2 /* bad arguments, or it could not begin */

struct command {
	const char *name;
	const char *arguments; /* as help shows them */
	const char *summary;
	int (*run)(int argc, char **argv);
};

/* Run the command that argv[1] names. prefix: how help calls the program up to here. */
int command_dispatch(const char *prefix, const struct command *table, size_t count, int argc,
                     char **argv);

/* One line on standard error, then EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int usage_error(const char *format, ...);

int cmd_journal(int argc, char **argv);
int cmd_journal_ls(int argc, char **argv);
int cmd_journal_verify(int argc, char **argv);
int cmd_journal_cat(int argc, char **argv);
int cmd_journal_stat(int argc, char **argv);
int cmd_journal_repair(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_engines(int argc, char **argv);
int cmd_assignments(int argc, char **argv);
int cmd_assign(int argc, char **argv);
int cmd_move(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

#endif
