/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

static const struct command commands[] = {
    {"ls", "[--json] DIR", "its segment files", cmd_journal_ls},
    {"verify", "DIR", "read every byte; exit status 1 and file and offset if any is wrong",
     cmd_journal_verify},
    {"cat", "[--follow] [filters] DIR", "its records, a JSON object a line; cat --help for filters",
     cmd_journal_cat},
    {"stat", "[--json] DIR", "totals of each shard", cmd_journal_stat},
    {"repair", "[--memlog-dir DIR]... DIR",
     "move damaged segments to quarantine/, leave gap records for what is lost",
     cmd_journal_repair},
};

int cmd_journal(int argc, char **argv)
{
	return command_dispatch("fastpathctl journal", commands,
	                        sizeof(commands) / sizeof(*commands), argc, argv);
}
