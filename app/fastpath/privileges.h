/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities: what is left of them once ports are up. */
#ifndef FASTPATH_PRIVILEGES_H
#define FASTPATH_PRIVILEGES_H

#include <stdbool.h>

#include "config.h"

/* Drop, in every thread of the process, all capabilities but those that the ports need to be taken down
 * (net_af_xdp detaches its program: NET_ADMIN, BPF), and forbid new ones. Without root or capabilities it
 * does nothing. Returns 0 or -errno with err set. */
int privileges_drop(bool xdp, char err[CONFIG_ERROR_MAX]);

#endif
