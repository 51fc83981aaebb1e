/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/worker.h"

#include <assert.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_ring_elem.h>
#include <rte_ring_peek_zc.h>

#include "clock.h"

static_assert(WORKER_BURST <= 64, "a bit each");

/* Events that are appended, then remembered by their keys. Meanwhile the slots of keys further on come from memory:
 * those where a key belongs this many strides ahead, unless RX on this lcore has asked for them; those behind them a
 * stride later (at once for a burst's first). */
#define STRIDE      16u
#define SLOTS_AHEAD 3
#define NEXT_AHEAD  2

static struct rte_mbuf *mbuf_of(struct event_source *source)
{
	/* the source is the mbuf's private area, which follows the mbuf */
	return RTE_PTR_SUB(source, sizeof(struct rte_mbuf));
}

/* the next events of a burst, up to one for which there is no room; what was appended is remembered by its key */
static uint32_t append(struct worker *w, const struct event_desc *d, uint32_t n)
{
	uint64_t first = w->memlog->next_seq;
	uint32_t appended = memlog_append_burst(w->memlog, d, n);

	for (uint32_t i = 0; i < appended; i++)
		keytable_note(&w->keys, event_key(&d[i]), d[i].key_len, d[i].key_hash, first + i);
	return appended;
}

/* the control thread waits for its numbers (0 is none), and then until they are durable */
static void tell_ingress(struct memlog *m, const struct event_desc *d, uint32_t n, uint64_t first)
{
	if (n == 0 || d[0].source->origin != EVENT_ORIGIN_INGRESS)
		return;
	for (uint32_t i = 0; i < n; i++)
		d[i].source->result = first + i;
	memlog_urge(m);
}

struct fetched {
	uint32_t slots, next; /* events */
};

/* what the stride that begins with event i wants to find in the cache, and those behind it */
static inline void prefetch_keys(const struct worker *w, const struct event_desc *d, uint32_t n,
                                 uint32_t i, struct fetched *f)
{
	for (; f->slots < n && f->slots < i + SLOTS_AHEAD * STRIDE; f->slots++)
		keytable_prefetch(&w->keys, d[f->slots].key_hash);
	for (; f->next < n && f->next < i + NEXT_AHEAD * STRIDE; f->next++)
		keytable_prefetch_next(&w->keys, d[f->next].key_len, d[f->next].key_hash);
}

/* a bit for each event that was appended */
static uint64_t append_all(struct worker *w, const struct event_desc *d, uint32_t n, bool near)
{
	uint64_t done = 0;
	struct fetched fetched = {.slots = near ? n : 0};
	uint32_t i = 0;

	while (i < n) {
		uint64_t first = w->memlog->next_seq;
		uint32_t run;

		prefetch_keys(w, d, n, i, &fetched);
		run = append(w, &d[i], RTE_MIN(n - i, STRIDE));
		tell_ingress(w->memlog, &d[i], run, first);
		done |= ((UINT64_C(1) << run) - 1) << i;
		i += run;
		if (run == 0)
			i++; /* a shorter one behind it may fit */
	}
	return done;
}

static void record_times(struct worker *w, uint64_t tsc, uint64_t now, uint64_t times)
{
	if (likely(times > 0))
		histogram_record(w->process, clock_duration_ns(tsc, now), times);
}

/* events of one RX burst came at the same time: they are recorded together */
static void record_latency(struct worker *w, const struct event_desc *d, uint32_t n,
                           uint64_t appended, uint64_t now)
{
	uint64_t tsc = d[0].source->rx_tsc, times = 0;

	/* a ring holds them in the order of their times */
	if (likely(d[n - 1].source->rx_tsc == tsc)) {
		record_times(w, tsc, now, (uint64_t)__builtin_popcountll(appended));
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (d[i].source->rx_tsc != tsc) {
			record_times(w, tsc, now, times);
			times = 0;
		}
		tsc = d[i].source->rx_tsc;
		times += appended >> i & 1;
	}
	record_times(w, tsc, now, times);
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

/* an mbuf that is nobody else's goes back as it is: an event's buffer is one segment */
static bool is_ours_alone(const struct rte_mbuf *m)
{
	return rte_mbuf_refcnt_read(m) == 1 && RTE_MBUF_DIRECT(m);
}

static void give_back_mbufs(const struct event_desc *d, uint32_t n)
{
	void *mbufs[WORKER_BURST];
	struct rte_mempool *pool = mbuf_of(d[0].source)->pool;
	uint32_t count = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *m = mbuf_of(d[i].source);

		if (likely(is_ours_alone(m) && m->pool == pool))
			mbufs[count++] = m;
		else
			rte_pktmbuf_free(m);
	}
	if (count > 0)
		rte_mempool_put_bulk(pool, mbufs, count);
}

static void give_back(struct worker_ring *r, const struct event_desc *d, uint32_t n)
{
	if (d[0].source->origin == EVENT_ORIGIN_MBUF)
		give_back_mbufs(d, n);
	/* release: the results written above are seen by whoever sees the cursor */
	atomic_store_explicit(&r->consumed, counter_read(&r->consumed) + n, memory_order_release);
}

/* another lcore has received them; what an lcore has received itself is near */
static void prefetch_events(const struct event_desc *d, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		rte_prefetch0(d[i].source);
		rte_prefetch0(event_key(&d[i]));
	}
}

/* n: 1..WORKER_BURST events of one ring, so of one producer */
static void take(struct worker *w, struct worker_ring *r, const struct event_desc *d, uint32_t n)
{
	uint64_t appended;

	if (!r->near)
		prefetch_events(d, n);
	appended = append_all(w, d, n, r->near);
	publish(w, d, n, appended);
	give_back(r, d, n);
}

static uint32_t ring_poll(struct worker *w, struct worker_ring *r)
{
	/* descriptors are read where they stand: in two pieces where the ring ends */
	struct rte_ring_zc_data at;
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
