/* SPDX-License-Identifier: Apache-2.0 */
/* The data plane: ports, tasks, rings and lcores, put together at start and taken down in order. */
#ifndef DATAPLANE_DATAPLANE_H
#define DATAPLANE_DATAPLANE_H

#include "config.h"
#include "control/ownership.h"
#include "dataplane/ingress_private.h"
#include "dataplane/lcore.h"
#include "dataplane/port.h"
#include "dataplane/rx.h"
#include "dataplane/worker.h"

struct dataplane {
	const struct config *config;
	struct rte_rcu_qsbr *rcu; /* of the key set, which may change; NULL: it does not */
	struct clock_line tsc_line;
	_Atomic int phase;       /* enum lcore_phase */
	_Atomic uint32_t second; /* counted by dataplane_tick */
	uint32_t port_count, rx_count, worker_count, lcore_count;
	struct port port[CONFIG_PORTS_MAX];
	struct rx_feed feed[CONFIG_FEEDS_MAX];
	struct rx_task *rx[CONFIG_LCORES_MAX];
	struct worker *worker[CONFIG_LCORES_MAX];
	struct lcore *lcore[CONFIG_LCORES_MAX * 2];
	struct ingress *ingress;
};

/* Bytes of EAL memory that the data plane will allocate: to size --no-huge before EAL, and to see whether
 * the reserved hugepages suffice. */
size_t dataplane_memory(const struct config *c);

/* Build everything and open the ports; nothing polls yet. feed_ids: journal id of each config feed;
 * memlogs: one a worker, attached. Returns 0, or -errno with err set; destroy in both cases. */
int dataplane_create(struct dataplane *d, const struct config *c, const struct config_lcore *lcores,
                     uint32_t lcore_count, const uint16_t *feed_ids, uint16_t http_feed_id,
                     struct memlog *memlogs, const struct ownership *ownership,
                     char err[CONFIG_ERROR_MAX]);
/* Launch the lcores. 0 or -errno */
int dataplane_start(struct dataplane *d, char err[CONFIG_ERROR_MAX]);
/* Control thread, once a second: clocks and gap windows. */
void dataplane_tick(struct dataplane *d);

/* The way down: first RX stops, then the rings run empty, then the lcores end. */
void dataplane_drain(struct dataplane *d);
bool dataplane_drained(const struct dataplane *d);
/* Ends the lcores and waits for them. */
void dataplane_stop(struct dataplane *d);
void dataplane_destroy(struct dataplane *d);

#endif
