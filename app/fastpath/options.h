/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: `fastpath [options]`, or `fastpath [EAL options] -- [options]`. */
#ifndef FASTPATH_OPTIONS_H
#define FASTPATH_OPTIONS_H

#include <stdbool.h>

#include "config.h"

enum options_action {
	OPTIONS_RUN,
	OPTIONS_CHECK_CONFIG,
	OPTIONS_VERSION,
	OPTIONS_HELP,
	OPTIONS_HELP_MARKDOWN
};

struct options {
	enum options_action action;
	const char *config_file; /* NULL: FAST_PATH_CONFIG, or none */
	char **eal_argv;         /* before "--", without the program's name */
	int eal_argc;
};

/* Returns 0, or -EINVAL with one line in err. Pointers are borrowed from argv. */
int options_parse(struct options *o, int argc, char **argv, char err[CONFIG_ERROR_MAX]);
/* Whether the EAL options before "--" have this one, spelled just so. */
bool options_eal_given(const struct options *o, const char *option);
void options_help(void);

#endif
