/* SPDX-License-Identifier: Apache-2.0 */
/* Worker task: takes descriptors from its rings, gives each the shard's next sequence number by
 * appending it to the memlog, and gives the buffer back. Runs on one lcore; never blocks. */
#ifndef DATAPLANE_WORKER_H
#define DATAPLANE_WORKER_H

#include <stdbool.h>

#include <rte_ring.h>

#include "config.h"
#include "dataplane/keytable.h"
#include "journal/memlog.h"
#include "metrics/histogram.h"
#include "metrics/reasons.h"

#define WORKER_BURST 64

/* one producer's ring to this worker */
struct worker_ring {
	struct rte_ring *ring;
	bool near; /* its producer runs on the worker's own lcore */
	counter high_water;
	counter consumed; /* descriptors done with: the cursor by which ingress slots come free */
};

struct worker {
	uint32_t shard;
	uint32_t ring_count; /* producers: RX tasks, then the ingress */
	struct worker_ring ring[CONFIG_LCORES_MAX + 1];
	struct memlog *memlog;
	struct keytable keys;
	struct histogram *process; /* RX burst to appended */
	counter journaled;
	counter last_seq; /* of what is published */
	counter reason[REASON_COUNT];
};

/* One pass over the rings. Returns the number of descriptors taken. */
uint32_t worker_poll(struct worker *w);
/* any thread: nothing waits in the rings */
bool worker_idle(const struct worker *w);

#endif
