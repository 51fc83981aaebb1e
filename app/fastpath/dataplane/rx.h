/* SPDX-License-Identifier: Apache-2.0 */
/* RX task: takes bursts from its queues, classifies, decodes, filters, and hands each event to its key's
 * worker. Runs on one lcore; never blocks, allocates or logs. */
#ifndef DATAPLANE_RX_H
#define DATAPLANE_RX_H

#include <rte_ring.h>

#include "clock.h"
#include "config.h"
#include "control/ownership.h"
#include "dataplane/counter.h"
#include "dataplane/keytable.h"
#include "dataplane/port.h"
#include "feed/codec.h"
#include "feed/framing.h"
#include "metrics/histogram.h"
#include "metrics/reasons.h"
#include "net/groups.h"

#define RX_BURST_MAX 256

/* read-only after start */
struct rx_feed {
	struct feed_codec codec;
	enum feed_framing framing;
	uint16_t journal_id;
};

struct rx_feed_counters {
	counter datagrams, messages, bytes, last_rx_ns;
};

struct rx_queue {
	const struct port *port;
	uint16_t queue;
	counter frames, bytes, decoded, to_host;
	counter reason[REASON_COUNT]; /* frame reasons */
};

/* descriptors of one burst on their way to one worker */
struct rx_stage {
	struct rte_ring *ring;
	struct event_desc *begin, *end;
	const struct keytable
	    *near; /* of a worker on the same lcore: fetched from here on; else NULL */
};

struct rx_task {
	uint32_t index;
	uint32_t burst;
	uint32_t queue_count;
	struct rx_queue queue[CONFIG_PORTS_MAX * PORT_QUEUES_MAX];
	struct net_groups_recent recent;
	const struct rx_feed *feeds;
	const struct ownership *ownership;
	const struct clock_line *tsc_line;
	uint32_t worker_count;
	struct rx_stage *stage;  /* one a worker */
	struct event_desc *desc; /* RX_BURST_MAX for each stage */
	struct rx_feed_counters *feed_counters;
	struct histogram *publish; /* RX burst to ring */
	counter messages;
	counter reason[REASON_COUNT]; /* message reasons */
};

/* Before the first poll: events for this worker go to this ring. near: its keys if it runs on the same lcore, else NULL. */
void rx_wire(struct rx_task *t, uint32_t worker, struct rte_ring *ring,
             const struct keytable *near);
/* One pass over the queues. Returns the number of frames taken. */
uint32_t rx_poll(struct rx_task *t);

#endif
