/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/lcore.h"

#include <time.h>

#include <rte_cycles.h>
#include <rte_pause.h>

#define NAP_SHORT_NS      100000u
#define NAP_LONG_NS       1000000u
#define NAP_AFTER_EMPTY   16 /* polls in a row */
#define DRAIN_DEADLINE_MS 500

/* naps of 100 us in the first second after traffic, then a slow rise to 1 ms */
static uint32_t nap_ns(uint64_t quiet_tsc, uint64_t hz)
{
	if (quiet_tsc < hz)
		return NAP_SHORT_NS;
	uint64_t over_ms = (quiet_tsc - hz) / (hz / 1000);
	uint64_t nap = NAP_SHORT_NS + over_ms * 1000;
	return nap > NAP_LONG_NS ? NAP_LONG_NS : (uint32_t)nap;
}

static void nap(uint32_t ns)
{
	struct timespec t = {.tv_nsec = ns};

	nanosleep(&t, NULL);
}

static uint32_t poll_rx(struct lcore *l, int phase, uint64_t *deadline)
{
	uint32_t n;

	if (phase == LCORE_RUN)
		return rx_poll(l->rx);
	if (atomic_load_explicit(&l->rx_drained, memory_order_relaxed))
		return 0;
	if (*deadline == 0)
		*deadline = rte_rdtsc() + rte_get_tsc_hz() / 1000 * DRAIN_DEADLINE_MS;
	n = rx_poll(l->rx);
	/* a feed that never pauses must not keep the engine from stopping */
	if (n == 0 || rte_rdtsc() > *deadline)
		atomic_store_explicit(&l->rx_drained, true, memory_order_release);
	return n;
}

static void note_gap(struct lcore *l, uint32_t *second, uint64_t gap)
{
	uint32_t now = atomic_load_explicit(l->second, memory_order_relaxed);

	if (now != *second) {
		*second = now;
		counter_set(&l->gap[now % LCORE_GAPS], 0);
	}
	counter_max(&l->gap[now % LCORE_GAPS], gap);
}

int lcore_main(void *arg)
{
	struct lcore *l = arg;
	uint64_t hz = rte_get_tsc_hz(), last = rte_rdtsc(), deadline = 0;
	uint64_t last_work = last - 2 * hz; /* no traffic yet: nothing to nap shortly for */
	uint32_t second = UINT32_MAX, empty = 0;
	int phase;

	if (l->rcu != NULL) {
		rte_rcu_qsbr_thread_register(l->rcu, l->rcu_id);
		rte_rcu_qsbr_thread_online(l->rcu, l->rcu_id);
	}
	while ((phase = atomic_load_explicit(l->phase, memory_order_acquire)) != LCORE_STOP) {
		uint32_t n = 0;

		if (l->rx != NULL)
			n += poll_rx(l, phase, &deadline);
		if (l->worker != NULL)
			n += worker_poll(l->worker);
		uint64_t now = rte_rdtsc();
		if (l->rcu != NULL)
			rte_rcu_qsbr_quiescent(l->rcu, l->rcu_id);
		counter_add(&l->polls, 1);
		counter_set(&l->last_poll_tsc, now);
		note_gap(l, &second, now - last);
		if (n > 0) {
			counter_add(&l->busy_tsc, now - last);
			last_work = now;
			empty = 0;
		} else {
			counter_add(&l->empty_polls, 1);
			rte_pause();
			if (l->idle == CONFIG_IDLE_ADAPTIVE && ++empty >= NAP_AFTER_EMPTY) {
				if (l->rcu != NULL)
					rte_rcu_qsbr_thread_offline(l->rcu, l->rcu_id);
				nap(nap_ns(now - last_work, hz));
				if (l->rcu != NULL)
					rte_rcu_qsbr_thread_online(l->rcu, l->rcu_id);
				empty = NAP_AFTER_EMPTY - 1;
				now = rte_rdtsc();
			}
		}
		last = now;
	}
	if (l->rcu != NULL) {
		rte_rcu_qsbr_thread_offline(l->rcu, l->rcu_id);
		rte_rcu_qsbr_thread_unregister(l->rcu, l->rcu_id);
	}
	return 0;
}
