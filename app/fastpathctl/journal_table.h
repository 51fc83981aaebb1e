/* SPDX-License-Identifier: Apache-2.0 */
/* what `journal ls` and `journal stat` show: the segments of a directory, from their batch headers
 */
#ifndef FASTPATHCTL_JOURNAL_TABLE_H
#define FASTPATHCTL_JOURNAL_TABLE_H

#include <stdbool.h>

#include "journal/segment.h"

struct table_row {
	struct segment_info segment;
	uint64_t last_seq; /* first_seq - 1 when it holds nothing */
	uint64_t records;
	uint64_t durable; /* largest durable end that it names */
	uint64_t time_ns; /* receive time of the first record */
	bool damaged;     /* its header cannot be read */
};

struct table {
	struct journal_dir dir;
	struct segment_list list;
	struct table_row *row; /* list.count of them */
	bool json;
};

/* Parse [--json] DIR and read the table. Returns 0, or the exit status after one line on standard
 * error. */
int table_open(struct table *t, int argc, char **argv);
void table_close(struct table *t);

/* RFC 3339, UTC, nanoseconds */
#define TIME_TEXT 31
void time_format(char out[TIME_TEXT], uint64_t ns);

#endif
