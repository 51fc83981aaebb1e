/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"check-config", no_argument, NULL, 'n'},
    {"version", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"help-markdown", no_argument, NULL, 'm'}, /* docs/configuration.md is made by it */
    {0},
};

void options_help(void)
{
	puts("usage: fastpath [options]\n"
	     "       fastpath [EAL options] -- [options]\n\n"
	     "  --config FILE    read this INI file (default: the variable FAST_PATH_CONFIG)\n"
	     "  --check-config   check configuration, lcores and devices, and exit\n"
	     "  --version        print the version and exit\n"
	     "  --help           print this and exit\n\n"
	     "Exit status: 0 stopped cleanly, 1 a fault while running, 2 refused to start.\n"
	     "Configuration, environment over file over default:\n");
	config_print_help(stdout);
}

static int split(struct options *o, int *argc, char ***argv)
{
	for (int i = 1; i < *argc; i++)
		if (strcmp((*argv)[i], "--") == 0) {
			o->eal_argv = *argv + 1;
			o->eal_argc = i - 1;
			(*argv)[i] = (*argv)[0];
			*argv += i;
			*argc -= i;
			return 1;
		}
	return 0;
}

bool options_eal_given(const struct options *o, const char *option)
{
	for (int i = 0; i < o->eal_argc; i++)
		if (strcmp(o->eal_argv[i], option) == 0)
			return true;
	return false;
}

int options_parse(struct options *o, int argc, char **argv, char err[CONFIG_ERROR_MAX])
{
	int c;

	memset(o, 0, sizeof(*o));
	split(o, &argc, &argv);
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config_file = optarg;
			break;
		case 'n':
			o->action = OPTIONS_CHECK_CONFIG;
			break;
		case 'v':
			o->action = OPTIONS_VERSION;
			break;
		case 'h':
			o->action = OPTIONS_HELP;
			break;
		case 'm':
			o->action = OPTIONS_HELP_MARKDOWN;
			break;
		case ':':
			snprintf(err, CONFIG_ERROR_MAX, "%.100s needs a value; see --help",
			         argv[optind - 1]);
			return -EINVAL;
		default:
			snprintf(err, CONFIG_ERROR_MAX,
			         "unknown option %.100s; see --help (EAL options go before --)",
			         argv[optind - 1]);
			return -EINVAL;
		}
	}
	if (optind < argc) {
		snprintf(err, CONFIG_ERROR_MAX, "unexpected argument %.100s; see --help",
		         argv[optind]);
		return -EINVAL;
	}
	return 0;
}
