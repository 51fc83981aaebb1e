/* SPDX-License-Identifier: Apache-2.0 */
/* A data-plane lcore: polls an RX task, a worker, or both, and idles by policy. */
#ifndef DATAPLANE_LCORE_H
#define DATAPLANE_LCORE_H

#include <rte_rcu_qsbr.h>

#include "config.h"
#include "dataplane/counter.h"
#include "dataplane/rx.h"
#include "dataplane/worker.h"

#define LCORE_GAPS 16 /* seconds of longest poll gaps that are kept, at least 10 */

/* the way down; each lcore follows at its next poll */
enum lcore_phase {
	LCORE_RUN,
	LCORE_DRAIN, /* RX tasks take what waits in the queues and stop; workers go on */
	LCORE_STOP,
};

struct lcore {
	uint32_t id, cpu;
	struct rte_rcu_qsbr
	    *rcu; /* told between polls that no key set is held; NULL: nobody asks */
	uint32_t rcu_id;
	struct rx_task *rx;    /* NULL: none */
	struct worker *worker; /* NULL: none */
	enum config_idle idle;
	const _Atomic int *phase;
	const _Atomic uint32_t *second; /* counted by the control thread */
	_Atomic bool rx_drained;
	counter polls, empty_polls;
	counter busy_tsc; /* time in polls that found work */
	counter last_poll_tsc;
	/* the longest gap between two polls, naps not counted, TSC; by second modulo LCORE_GAPS */
	counter gap[LCORE_GAPS];
};

/* rte_eal_remote_launch's function; arg: struct lcore */
int lcore_main(void *arg);

#endif
