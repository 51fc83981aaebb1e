/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities: what is left of them once ports are up. */
#ifndef FASTPATH_PRIVILEGES_H
#define FASTPATH_PRIVILEGES_H

#include "config.h"

/* what must still be possible */
#define PRIVILEGES_DETACH_XDP 1u /* NET_ADMIN, BPF: net_af_xdp detaches its program at the end */
#define PRIVILEGES_FOREIGN_FILES \
	2u /* DAC_OVERRIDE: the journal directory belongs to another user */

/* Drop, in every thread of the process, all capabilities but those that `keep` names, and forbid new ones.
 * Without any it does nothing. Returns 0 or -errno with err set. */
int privileges_drop(unsigned int keep, char err[CONFIG_ERROR_MAX]);

#endif
