/* SPDX-License-Identifier: Apache-2.0 */
/* a time as an argument: RFC 3339 (with Z or an offset), or seconds since the epoch with up to nine
 * decimals */
#ifndef FASTPATHCTL_TIME_ARGUMENT_H
#define FASTPATHCTL_TIME_ARGUMENT_H

#include <stdbool.h>
#include <stdint.h>

/* *ns: since the epoch, from 1970 to 2554. Returns false when the text is no time. */
bool time_argument(const char *text, uint64_t *ns);

#endif
