/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a damaged segment anew: what is whole before the damage, a gap record for what is lost,
 * what is whole behind it. The damaged file goes to quarantine/. Safe to be killed at any moment
 * and run again.
 */
#ifndef JOURNAL_REPAIR_H
#define JOURNAL_REPAIR_H

#include "journal/segment.h"

/* next_first and durable as for segment_judge. *lost: sequence numbers that gap records now stand
 * for. Returns 0, or -errno with err set. */
int segment_repair(struct journal_dir *d, const struct segment_info *s, uint64_t next_first,
                   uint64_t durable, uint64_t *lost, char err[JOURNAL_ERROR_MAX]);

/* A new segment that holds one gap record for first to last: a segment file is missing. */
int segment_fill(struct journal_dir *d, uint32_t shard, uint64_t first, uint64_t last,
                 char err[JOURNAL_ERROR_MAX]);

/* Remove what a repair that was killed left half done. Returns 0 or -errno. */
int segment_repair_sweep(struct journal_dir *d);

#endif
