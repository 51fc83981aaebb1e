/* SPDX-License-Identifier: Apache-2.0 */
/* The commands about a running engine. argv[0] is the command's name. They return the exit status: 0, 1 when
 * the engine cannot be reached or answers something else, 2 for wrong arguments; one line on standard
 * error says why. */
#ifndef FASTPATHCTL_LIVE_COMMANDS_H
#define FASTPATHCTL_LIVE_COMMANDS_H

int cmd_status(int argc, char **argv);
int cmd_top(int argc, char **argv);

#endif
