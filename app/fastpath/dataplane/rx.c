/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/rx.h"

#include <string.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_prefetch.h>
#include <rte_ring_elem.h>
#include <rte_ring_peek_zc.h>

#include "dataplane/poison.h"
#include "event/hash.h"
#include "journal/record.h"
#include "net/classify.h"
#include "ownership/keyset.h"

#define PREFETCH_AHEAD 4

/* what one burst shares */
struct burst {
	struct rx_task *task;
	struct rx_queue *queue;
	const struct ownership_keyset *keys;
	uint64_t tsc;
	uint64_t time_ns;
	/* counted once a burst */
	uint64_t bytes, decoded, messages;
};

static struct event_source *source_of(struct rte_mbuf *m)
{
	return rte_mbuf_to_priv(m);
}

static uint8_t checksum_state(uint64_t flags, uint64_t good, uint64_t none, bool trust)
{
	/* none: unfinished in the packet, but its data is known to be whole. What the device calls bad is looked
	 * at again: software has the last word */
	if (flags == good || flags == none)
		return NET_CHECKSUM_GOOD;
	return trust ? NET_CHECKSUM_TRUST : NET_CHECKSUM_VERIFY;
}

static struct net_classify_options classify_options(const struct port *port,
                                                    const struct rte_mbuf *m)
{
	uint64_t flags = m->ol_flags;

	/* most devices say nothing */
	if (likely((flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK |
	                     RTE_MBUF_F_RX_VLAN_STRIPPED)) == 0))
		return (struct net_classify_options){
		    .ipv4 = port->trust_checksums ? NET_CHECKSUM_TRUST : NET_CHECKSUM_VERIFY,
		    .udp = port->trust_checksums ? NET_CHECKSUM_TRUST : NET_CHECKSUM_VERIFY};
	return (struct net_classify_options){
	    .ipv4 = checksum_state(flags & RTE_MBUF_F_RX_IP_CKSUM_MASK, RTE_MBUF_F_RX_IP_CKSUM_GOOD,
	                           RTE_MBUF_F_RX_IP_CKSUM_NONE, port->trust_checksums),
	    .udp = checksum_state(flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_GOOD,
	                          RTE_MBUF_F_RX_L4_CKSUM_NONE, port->trust_checksums),
	    .vlan = flags & RTE_MBUF_F_RX_VLAN_STRIPPED ? m->vlan_tci & 0xfff : 0,
	};
}

static void fill_source(const struct burst *b, struct rte_mbuf *m, uint16_t feed)
{
	const struct port *port = b->queue->port;
	struct event_source *s = source_of(m);

	s->rx_tsc = b->tsc;
	s->feed = feed;
	s->origin = EVENT_ORIGIN_MBUF;
	memset(s->session, 0, sizeof(s->session));
	if (port->timestamps && (m->ol_flags & port->timestamp_flag)) {
		uint64_t ticks =
		    *RTE_MBUF_DYNFIELD(m, port->timestamp_offset, rte_mbuf_timestamp_t *);
		s->rx_time_ns = clock_line_ns(&port->nic_line, ticks);
		s->clock = EVENT_CLOCK_NIC;
	} else {
		s->rx_time_ns = b->time_ns;
		s->clock = EVENT_CLOCK_TSC;
	}
}

/* REASON_NONE: staged for its worker */
static enum reason take_message(const struct burst *b, const struct rx_feed *feed,
                                struct event_source *source, const struct feed_frame *frame)
{
	struct rx_task *t = b->task;
	struct feed_message message;
	enum reason reason =
	    feed_decode(&feed->codec, frame->data, frame->len, source->key_copy, &message);

	if (reason != REASON_NONE)
		return reason;
	uint32_t hash = event_key_hash(message.key, message.key_len);
	if (b->keys != NULL &&
	    !ownership_keyset_contains(b->keys, message.key, message.key_len, hash))
		return REASON_NOT_OWNER;

	struct rx_stage *stage = &t->stage[event_key_worker(hash, t->worker_count)];
	const uint8_t *base = (const uint8_t *)source;
	stage->desc[stage->count++] = (struct event_desc){
	    .source = source,
	    .feed_seq = frame->feed_seq,
	    .key_hash = hash,
	    .key_offset = (uint16_t)(message.key - base),
	    .payload_offset = (uint16_t)(message.payload - base),
	    .payload_len = (uint16_t)message.payload_len,
	    .key_len = message.key_len,
	    .type = JOURNAL_EVENT,
	};
	return REASON_NONE;
}

/* every message staged holds a reference to the buffer; returns how many there are */
static uint32_t take_datagram(struct burst *b, uint32_t feed_index, struct rte_mbuf *m,
                              const uint8_t *payload, uint32_t len)
{
	struct rx_task *t = b->task;
	const struct rx_feed *feed = &t->feeds[feed_index];
	struct rx_feed_counters *counters = &t->feed_counters[feed_index];
	struct feed_datagram datagram;
	struct feed_frame frame;
	uint32_t staged = 0, messages = 0;

	fill_source(b, m, feed->journal_id);
	feed_framing_begin(&datagram, feed->framing, payload, len);
	while (feed_framing_next(&datagram, &frame)) {
		enum reason reason = take_message(b, feed, source_of(m), &frame);

		messages++;
		if (reason == REASON_NONE)
			staged++;
		else
			counter_add(&t->reason[reason], 1);
	}
	b->messages += messages;
	counter_add(&counters->datagrams, 1);
	counter_add(&counters->messages, messages);
	counter_add(&counters->bytes, len);
	counter_set(&counters->last_rx_ns, source_of(m)->rx_time_ns);
	return staged;
}

/* true: the buffer is on its way to a worker */
static bool take_frame(struct burst *b, struct rte_mbuf *m)
{
	struct rx_queue *q = b->queue;
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	struct net_classify_options options = classify_options(q->port, m);
	struct net_packet packet;
	enum reason reason;
	uint32_t staged = 0;
	int feed;

	b->bytes += m->pkt_len;
	poison_around(m);
	/* a frame that needs more than one buffer is larger than the port's mtu */
	reason = m->nb_segs == 1 ? net_classify(frame, m->data_len, &options, &packet)
	                         : REASON_TRUNCATED;
	if (reason == REASON_NONE) {
		feed = net_groups_find_last(q->port->groups, &q->last, frame, &packet);
		if (feed < 0)
			reason = REASON_UNKNOWN_GROUP;
		else
			staged = take_datagram(b, (uint32_t)feed, m, frame + packet.payload_offset,
			                       packet.payload_len);
	}
	poison_off(m);
	if (likely(reason == REASON_NONE))
		b->decoded++;
	else
		counter_add(&q->reason[reason], 1);
	if (staged > 1)
		rte_mbuf_refcnt_update(m, (int16_t)(staged - 1));
	return staged > 0;
}

static uint32_t enqueue(struct rx_stage *stage)
{
	struct rte_ring_zc_data at; /* in two pieces where the ring ends */
	uint32_t n = rte_ring_enqueue_zc_burst_elem_start(stage->ring, sizeof(stage->desc[0]),
	                                                  stage->count, &at, NULL);

	if (n == 0)
		return 0;
	memcpy(at.ptr1, stage->desc, at.n1 * sizeof(stage->desc[0]));
	if (n > at.n1)
		memcpy(at.ptr2, stage->desc + at.n1, (n - at.n1) * sizeof(stage->desc[0]));
	rte_ring_enqueue_zc_elem_finish(stage->ring, n);
	return n;
}

static void flush(struct rx_task *t, struct rx_stage *stage, uint64_t tsc)
{
	uint32_t n = enqueue(stage);

	if (n > 0)
		histogram_record(t->publish, clock_duration_ns(tsc, rte_rdtsc()), n);
	if (unlikely(n < stage->count)) {
		counter_add(&t->reason[REASON_RING_FULL], stage->count - n);
		for (uint32_t i = n; i < stage->count; i++)
			rte_pktmbuf_free(
			    RTE_PTR_SUB(stage->desc[i].source, sizeof(struct rte_mbuf)));
	}
	stage->count = 0;
}

static uint32_t queue_poll(struct rx_task *t, struct rx_queue *q)
{
	struct rte_mbuf *mbufs[RX_BURST_MAX], *unused[RX_BURST_MAX];
	uint32_t unused_count = 0;
	uint16_t n = rte_eth_rx_burst(q->port->id, q->queue, mbufs, (uint16_t)t->burst);

	if (n == 0)
		return 0;
	struct burst b = {.task = t, .queue = q, .tsc = rte_rdtsc()};
	b.time_ns = clock_line_ns(t->tsc_line, b.tsc);
	/* after the clock: what is received behind a swap of the set is judged by the new one. It stays
	 * valid until this lcore reports a quiescent state */
	b.keys = ownership_keys(t->ownership);
	counter_add(&q->frames, n);
	for (uint16_t i = 0; i < n && i < PREFETCH_AHEAD; i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
	for (uint16_t i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + PREFETCH_AHEAD], void *));
		if (!take_frame(&b, mbufs[i]))
			unused[unused_count++] = mbufs[i];
	}
	counter_add(&q->bytes, b.bytes);
	counter_add(&q->decoded, b.decoded);
	counter_add(&t->messages, b.messages);
	for (uint32_t w = 0; w < t->worker_count; w++)
		if (t->stage[w].count > 0)
			flush(t, &t->stage[w], b.tsc);
	rte_pktmbuf_free_bulk(unused, unused_count);
	return n;
}

uint32_t rx_poll(struct rx_task *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->queue_count; i++)
		n += queue_poll(t, &t->queue[i]);
	return n;
}
