/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/worker.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_ring_elem.h>

#include "clock.h"

_Static_assert(WORKER_BURST <= 64, "a bit each");

static struct rte_mbuf *mbuf_of(struct event_source *source)
{
	/* the source is the mbuf's private area, which follows the mbuf */
	return RTE_PTR_SUB(source, sizeof(struct rte_mbuf));
}

/* false: there was no room in the memlog */
static bool append(struct worker *w, const struct event_desc *d)
{
	uint64_t seq = memlog_append(w->memlog, d);

	if (d->source->origin == EVENT_ORIGIN_INGRESS)
		d->source->result = seq;
	if (seq == 0)
		return false;
	keytable_note(&w->keys, event_key(d), d->key_len, d->key_hash, seq);
	return true;
}

/* nothing counts as journaled before it is published: a killed engine must not have said more than
 * it kept */
static void publish(struct worker *w, const struct event_desc *d, uint32_t n, uint64_t appended)
{
	uint64_t now = rte_rdtsc();
	uint32_t count = (uint32_t)__builtin_popcountll(appended);

	memlog_publish(w->memlog, clock_scale(now, clock_tsc_mult));
	counter_add(&w->journaled, count);
	counter_set(&w->last_seq, w->memlog->next_seq - 1);
	counter_add(&w->reason[REASON_JOURNAL_FULL], n - count);
	for (uint32_t i = 0; i < n; i++)
		if (appended & UINT64_C(1) << i)
			histogram_record(w->process, clock_duration_ns(d[i].source->rx_tsc, now),
			                 1);
}

static void give_back(struct worker_ring *r, const struct event_desc *d, uint32_t n)
{
	struct rte_mbuf *mbufs[WORKER_BURST];
	uint32_t count = 0;

	for (uint32_t i = 0; i < n; i++)
		if (d[i].source->origin == EVENT_ORIGIN_MBUF)
			mbufs[count++] = mbuf_of(d[i].source);
	rte_pktmbuf_free_bulk(mbufs, count);
	/* release: the results written above are seen by whoever sees the cursor */
	atomic_store_explicit(&r->consumed, counter_read(&r->consumed) + n, memory_order_release);
}

static uint32_t ring_poll(struct worker *w, struct worker_ring *r)
{
	struct event_desc d[WORKER_BURST];
	uint64_t appended = 0; /* a bit for each of d */
	unsigned int left;
	uint32_t n = rte_ring_sc_dequeue_burst_elem(r->ring, d, sizeof(d[0]), WORKER_BURST, &left);

	if (n == 0)
		return 0;
	counter_max(&r->high_water, left + n);
	for (uint32_t i = 0; i < n; i++)
		rte_prefetch0(d[i].source);
	for (uint32_t i = 0; i < n; i++) {
		if (i + 4 < n)
			rte_prefetch0(event_key(&d[i + 4]));
		appended |= (uint64_t)append(w, &d[i]) << i;
	}
	publish(w, d, n, appended);
	give_back(r, d, n);
	return n;
}

uint32_t worker_poll(struct worker *w)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->ring_count; i++)
		n += ring_poll(w, &w->ring[i]);
	return n;
}

bool worker_idle(const struct worker *w)
{
	for (uint32_t i = 0; i < w->ring_count; i++)
		if (!rte_ring_empty(w->ring[i].ring))
			return false;
	return true;
}
