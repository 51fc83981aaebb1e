/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

int usage_error(const char *format, ...)
{
	va_list args;

	fputs("fastpathctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_USAGE;
}

static void help(const char *prefix, const struct command *table, size_t count)
{
	for (size_t i = 0; i < count; i++)
		printf("%s %s %s\n        %s\n", prefix, table[i].name, table[i].arguments,
		       table[i].summary);
}

int command_dispatch(const char *prefix, const struct command *table, size_t count, int argc,
                     char **argv)
{
	if (argc < 2)
		return usage_error("no command given; see %s --help", prefix);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		help(prefix, table, count);
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(argv[1], table[i].name))
			return table[i].run(argc - 1, argv + 1);
	}
	return usage_error("unknown command '%s'; see %s --help", argv[1], prefix);
}
