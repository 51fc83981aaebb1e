/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "journal/reader.h"
#include "journal/segment.h"

/* read a shard to its end, over every damage. Returns the number of damaged places, or -1 */
static int verify_shard(const struct journal_dir *d, uint32_t shard)
{
	char err[JOURNAL_ERROR_MAX];
	struct journal_reader *r = journal_reader_open(d, shard, 0, err);
	const struct journal_record *record;
	uint64_t records = 0, first = 0, last = 0, from, to;
	int result = r ? 1 : -1, damage = 0;

	while (result == 1) {
		result = journal_reader_next(r, &record);
		if (result == 1) {
			first = first ? first : record->seq;
			last = record->seq + segment_record_span(record) - 1;
			records++;
		} else if (result == -EBADMSG || result == -ERANGE) {
			fprintf(stderr, "fastpathctl: %s\n", journal_reader_error(r));
			damage++;
			result = journal_reader_skip(r, &from, &to);
		}
	}
	if (result < 0) {
		fprintf(stderr, "fastpathctl: %s\n", r ? journal_reader_error(r) : err);
		damage = -1;
	} else {
		printf("shard %u: %" PRIu64 " records, sequence numbers %" PRIu64 " to %" PRIu64
		       ", durable to %" PRIu64 ": %s\n",
		       shard, records, first, last, journal_reader_durable(r),
		       damage ? "damaged" : "good");
		if (journal_reader_torn(r) > 0)
			printf("shard %u: %" PRIu64
			       " bytes behind the durable end are not whole: a "
			       "write in progress, or a torn tail that the next start truncates\n",
			       shard, journal_reader_torn(r));
	}
	if (r)
		journal_reader_close(r);
	return damage;
}

int cmd_journal_verify(int argc, char **argv)
{
	char err[JOURNAL_ERROR_MAX];
	struct segment_list list;
	struct journal_dir d;
	int r, status = 0;

	if (argc != 2 || argv[1][0] == '-')
		return usage_error("journal verify: give one directory, nothing else");
	if (journal_dir_open(&d, argv[1], JOURNAL_READ, err) < 0)
		return usage_error("%s", err);
	r = segment_list_read(&d, &list);
	if (r < 0)
		status =
		    usage_error("cannot list %s: %s; check permissions", argv[1], strerror(-r));
	for (size_t i = 0; r == 0 && i < list.count; i++) {
		if (i > 0 && list.item[i].shard == list.item[i - 1].shard)
			continue;
		if (verify_shard(&d, list.item[i].shard) != 0)
			status = EXIT_FOUND;
	}
	segment_list_free(&list);
	journal_dir_close(&d);
	return status;
}
