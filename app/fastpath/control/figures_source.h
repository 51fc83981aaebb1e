/* SPDX-License-Identifier: Apache-2.0 */
/* Where figures come from: filled in by main, which knows everything. */
#ifndef CONTROL_FIGURES_SOURCE_H
#define CONTROL_FIGURES_SOURCE_H

#include "control/figures.h"
#include "control/journal_thread.h"
#include "control/kafka_bridge.h"
#include "control/ownership.h"
#include "dataplane/dataplane.h"
#include "journal/directory.h"

struct figures_inputs {
	const struct config *config;
	struct dataplane *dataplane;
	struct journal_thread *journal; /* one a worker */
	struct memlog *memlogs;         /* one a worker */
	const struct journal_dir *dir;
	uint64_t start_ns;
};

/* Returns NULL when there is no memory. `in` is copied; what it points to may still be empty: until
 * figures_attach all figures are 0 and the engine is recovering. */
struct figures_source *figures_create(const struct figures_inputs *in);
/* kafka: NULL when it is off */
void figures_attach(struct figures_source *s, const struct ownership *ownership,
                    struct kafka_bridge *kafka, const char *huge_pages);
void figures_destroy(struct figures_source *s);
/* the way up is done; the way down has begun */
void figures_set_ready(struct figures_source *s, bool ready);
void figures_set_draining(struct figures_source *s);

#endif
