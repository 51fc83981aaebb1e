/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/worker.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_ring_elem.h>
#include <rte_ring_peek_zc.h>

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

/* events of one RX burst came at the same time: they are recorded together */
static void record_latency(struct worker *w, const struct event_desc *d, uint32_t n,
                           uint64_t appended, uint64_t now)
{
	uint64_t tsc = 0, times = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (times > 0 && d[i].source->rx_tsc != tsc) {
			histogram_record(w->process, clock_duration_ns(tsc, now), times);
			times = 0;
		}
		tsc = d[i].source->rx_tsc;
		times += appended >> i & 1;
	}
	if (times > 0)
		histogram_record(w->process, clock_duration_ns(tsc, now), times);
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
	record_latency(w, d, n, appended, now);
}

static void give_back(struct worker_ring *r, const struct event_desc *d, uint32_t n)
{
	void *mbufs[WORKER_BURST];
	struct rte_mempool *pool = NULL;
	uint32_t count = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *m = mbuf_of(d[i].source);

		if (d[i].source->origin != EVENT_ORIGIN_MBUF)
			continue;
		m = rte_pktmbuf_prefree_seg(m);
		if (unlikely(m == NULL))
			continue;
		if (unlikely(m->pool != pool && count > 0)) {
			rte_mempool_put_bulk(pool, mbufs, count);
			count = 0;
		}
		pool = m->pool;
		mbufs[count++] = m;
	}
	if (count > 0)
		rte_mempool_put_bulk(pool, mbufs, count);
	/* release: the results written above are seen by whoever sees the cursor */
	atomic_store_explicit(&r->consumed, counter_read(&r->consumed) + n, memory_order_release);
}

static void take(struct worker *w, struct worker_ring *r, const struct event_desc *d, uint32_t n)
{
	uint64_t appended = 0; /* a bit for each of d */

	for (uint32_t i = 0; i < n; i++) {
		rte_prefetch0(d[i].source);
		keytable_prefetch(&w->keys, d[i].key_hash);
	}
	for (uint32_t i = 0; i < n; i++) {
		if (i + 4 < n)
			rte_prefetch0(event_key(&d[i + 4]));
		appended |= (uint64_t)append(w, &d[i]) << i;
	}
	publish(w, d, n, appended);
	give_back(r, d, n);
}

static uint32_t ring_poll(struct worker *w, struct worker_ring *r)
{
	struct rte_ring_zc_data
	    at; /* descriptors are read where they stand: in two pieces where the ring ends */
	unsigned int left;
	uint32_t n = rte_ring_dequeue_zc_burst_elem_start(r->ring, sizeof(struct event_desc),
	                                                  WORKER_BURST, &at, &left);

	if (n == 0)
		return 0;
	counter_max(&r->high_water, left + n);
	take(w, r, at.ptr1, at.n1);
	if (n > at.n1)
		take(w, r, at.ptr2, n - at.n1);
	rte_ring_dequeue_zc_elem_finish(r->ring, n);
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
