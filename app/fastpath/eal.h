/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments for rte_eal_init: from lcores, ports, memory, the [eal] section and the command line. */
#ifndef FASTPATH_EAL_H
#define FASTPATH_EAL_H

#include "config.h"
#include "memory.h"
#include "options.h"

/* The file prefix that EAL will use: [eal] file-prefix, else fastpath-<ENGINE_ID>. */
void eal_file_prefix(const struct config *c, char *out, size_t out_len);

/* Calls rte_eal_init. Returns 0 or -errno with err set. */
int eal_start(const struct config *c, const struct memory_plan *m, const struct options *o,
              const char *lcores, uint32_t main_lcore, char err[CONFIG_ERROR_MAX]);

#endif
