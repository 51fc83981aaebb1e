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

#define FRAMES_AHEAD 4

#define OFFLOAD_FLAGS \
	(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_VLAN_STRIPPED)

/* no frame's: each tag is looked at, and none is plain */
#define FLAGS_OF_A_TAG UINT64_MAX

static_assert(offsetof(struct event_source, result) == 32,
              "what a burst shares is copied whole, and a feed");
/* more would need stages that are flushed in front of a datagram, a session and a key_copy for each message */
static_assert(FEED_FRAMING_MESSAGES_MAX == 1, "a stage holds a message for each frame of a burst");

/* what the frames of one burst share, and what is counted once a burst */
struct burst {
	struct rx_task *task;
	struct rx_queue *queue;
	const struct ownership_keyset *keys;
	struct event_source source; /* its head: all up to `result` but the feed */
	/* flags come in runs: those of the frame before */
	uint64_t flags;
	struct net_classify_options options;
	uint64_t timestamp_flag; /* 0: the device sets none */
	uint64_t messages;
	struct rte_mbuf *unused[RX_BURST_MAX]; /* nothing of them is on its way to a worker */
	uint32_t unused_count;
};

/* where a datagram stands, and whose it is */
struct datagram {
	struct rte_mbuf *mbuf;
	const uint8_t *payload;
	uint32_t len;
	uint32_t feed; /* index */
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

	return (struct net_classify_options){
	    .ipv4 = checksum_state(flags & RTE_MBUF_F_RX_IP_CKSUM_MASK, RTE_MBUF_F_RX_IP_CKSUM_GOOD,
	                           RTE_MBUF_F_RX_IP_CKSUM_NONE, port->trust_checksums),
	    .udp = checksum_state(flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_GOOD,
	                          RTE_MBUF_F_RX_L4_CKSUM_NONE, port->trust_checksums),
	    .vlan = flags & RTE_MBUF_F_RX_VLAN_STRIPPED ? m->vlan_tci & 0xfff : 0,
	};
}

static void note_flags(struct burst *b, const struct rte_mbuf *m)
{
	uint64_t flags = m->ol_flags & OFFLOAD_FLAGS;

	if (likely(flags == b->flags))
		return;
	b->options = classify_options(b->queue->port, m);
	b->flags = flags & RTE_MBUF_F_RX_VLAN_STRIPPED ? FLAGS_OF_A_TAG : flags;
}

static __rte_noinline void take_timestamp(const struct port *port, const struct rte_mbuf *m,
                                          struct event_source *s)
{
	uint64_t ticks =
	    *RTE_MBUF_DYNFIELD(m, port->timestamp_offset, const rte_mbuf_timestamp_t *);

	s->rx_time_ns = clock_line_ns(&port->nic_line, ticks);
	s->clock = EVENT_CLOCK_NIC;
}

static inline struct event_source *fill_source(const struct burst *b, struct rte_mbuf *m,
                                               const struct rx_feed *feed)
{
	struct event_source *s = source_of(m);

	memcpy(s, &b->source, offsetof(struct event_source, result));
	s->feed = feed->journal_id;
	if (unlikely(m->ol_flags & b->timestamp_flag))
		take_timestamp(b->queue->port, m, s);
	return s;
}

/* REASON_NONE: staged for its worker */
static inline enum reason take_message(const struct burst *b, const struct rx_feed *feed,
                                       struct event_source *source, const struct feed_frame *frame)
{
	struct rx_task *t = b->task;
	struct feed_message message;
	enum reason reason =
	    feed_decode(&feed->codec, frame->data, frame->len, source->key_copy, &message);

	if (unlikely(reason != REASON_NONE))
		return reason;
	uint32_t hash = event_key_hash(message.key, message.key_len);
	if (b->keys != NULL &&
	    !ownership_keyset_contains(b->keys, message.key, message.key_len, hash))
		return REASON_NOT_OWNER;

	struct rx_stage *stage = &t->stage[event_key_worker(hash, t->worker_count)];
	const uint8_t *base = (const uint8_t *)source;

	if (likely(stage->near != NULL))
		keytable_prefetch(stage->near, hash);
	*stage->end++ = (struct event_desc){
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

static inline void count_datagram(struct burst *b, const struct datagram *d, uint32_t messages)
{
	struct rx_feed_counters *c = &b->task->feed_counters[d->feed];

	counter_add(&c->datagrams, 1);
	counter_add(&c->messages, messages);
	counter_add(&c->bytes, d->len);
	/* the burst's, also where the device gives each frame its own: it tells whether a feed is silent */
	counter_set(&c->last_rx_ns, b->source.rx_time_ns);
	b->messages += messages;
}

/* every message staged holds a reference to the buffer */
static inline void take_datagram(struct burst *b, const struct datagram *d)
{
	const struct rx_feed *feed = &b->task->feeds[d->feed];
	struct event_source *source;
	struct feed_datagram datagram;
	struct feed_frame frame;
	uint32_t staged = 0, messages = 0;

	source = fill_source(b, d->mbuf, feed);
	feed_framing_begin(&datagram, feed->framing, d->payload, d->len);
	while (feed_framing_next(&datagram, &frame)) {
		enum reason reason = take_message(b, feed, source, &frame);

		messages++;
		if (likely(reason == REASON_NONE))
			staged++;
		else
			counter_add(&b->task->reason[reason], 1);
	}
	count_datagram(b, d, messages);
	if (unlikely(staged == 0))
		b->unused[b->unused_count++] = d->mbuf;
	else if (staged > 1)
		rte_mbuf_refcnt_update(d->mbuf, (int16_t)(staged - 1));
	poison_off(d->mbuf);
}

static __rte_noinline void filter_frame(struct burst *b, struct rte_mbuf *m, enum reason reason)
{
	counter_add(&b->queue->reason[reason], 1);
	poison_off(m);
	b->unused[b->unused_count++] = m;
}

/* a plain frame whose destination did not come lately, or another in its place; false: no feed's */
static __rte_noinline bool search_group(const struct port *port, const uint8_t *frame,
                                        uint64_t destination, struct net_groups_found *found)
{
	int feed = net_groups_find_plain(port->groups, frame);

	if (feed < 0)
		return false;
	*found = (struct net_groups_found){destination, (uint32_t)feed};
	return true;
}

/* false: no feed's, and counted */
static inline bool take_plain(struct burst *b, struct rte_mbuf *m, const uint8_t *frame,
                              struct datagram *out)
{
	const struct port *port = b->queue->port;
	uint64_t destination = net_groups_destination(frame, (uint16_t)(port->id + 1));
	struct net_groups_found *found = net_groups_recent(&b->task->recent, destination);

	if (unlikely(found->destination != destination) &&
	    !search_group(port, frame, destination, found)) {
		filter_frame(b, m, REASON_UNKNOWN_GROUP);
		return false;
	}
	out->payload = frame + NET_PLAIN_PAYLOAD;
	out->feed = found->feed;
	return true;
}

/* a frame that is not plain, or wrong */
static enum reason locate_any(struct burst *b, const struct rte_mbuf *m, const uint8_t *frame,
                              struct datagram *out)
{
	struct rx_queue *q = b->queue;
	struct net_packet packet;
	enum reason reason;
	int feed;

	/* a frame that needs more than one buffer is larger than the port's mtu */
	if (m->nb_segs != 1)
		return REASON_TRUNCATED;
	reason = net_classify_any(frame, m->data_len, &b->options, &packet);
	if (reason != REASON_NONE)
		return reason;
	feed = net_groups_find(q->port->groups, frame, &packet);
	if (feed < 0)
		return REASON_UNKNOWN_GROUP;
	out->payload = frame + packet.payload_offset;
	out->len = packet.payload_len;
	out->feed = (uint32_t)feed;
	return REASON_NONE;
}

/* false: it is filtered, and counted */
static __rte_noinline bool take_any(struct burst *b, struct rte_mbuf *m, const uint8_t *frame,
                                    struct datagram *out)
{
	enum reason reason = locate_any(b, m, frame, out);

	if (reason != REASON_NONE)
		filter_frame(b, m, reason);
	return reason == REASON_NONE;
}

static inline bool is_plain(const struct burst *b, const struct rte_mbuf *m, const uint8_t *frame,
                            uint32_t *payload_len)
{
	return m->nb_segs == 1 && b->flags != FLAGS_OF_A_TAG &&
	       net_classify_plain(frame, m->data_len, b->options, payload_len);
}

/* which of the frames are datagrams of a feed; returns how many */
static inline uint32_t classify(struct burst *b, struct rte_mbuf **mbufs, uint32_t n,
                                struct datagram *out)
{
	struct rx_queue *q = b->queue;
	struct datagram *at = out;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *m = mbufs[i];
		const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);

		if (i + FRAMES_AHEAD < n)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + FRAMES_AHEAD], void *));
		bytes += m->pkt_len;
		poison_around(m);
		note_flags(b, m);
		at->mbuf = m;
		if (likely(is_plain(b, m, frame, &at->len)))
			at += take_plain(b, m, frame, at);
		else
			at += take_any(b, m, frame, at);
	}
	counter_add(&q->frames, n);
	counter_add(&q->bytes, bytes);
	counter_add(&q->decoded, (uint32_t)(at - out));
	return (uint32_t)(at - out);
}

static uint32_t enqueue(struct rx_stage *stage, uint32_t count)
{
	struct rte_ring_zc_data at; /* in two pieces where the ring ends */
	uint32_t n = rte_ring_enqueue_zc_burst_elem_start(stage->ring, sizeof(struct event_desc),
	                                                  count, &at, NULL);

	if (n == 0)
		return 0;
	memcpy(at.ptr1, stage->begin, at.n1 * sizeof(struct event_desc));
	if (n > at.n1)
		memcpy(at.ptr2, stage->begin + at.n1, (n - at.n1) * sizeof(struct event_desc));
	rte_ring_enqueue_zc_elem_finish(stage->ring, n);
	return n;
}

static void flush(struct rx_task *t, struct rx_stage *stage, uint64_t tsc)
{
	uint32_t count = (uint32_t)(stage->end - stage->begin), n;

	if (count == 0)
		return;
	n = enqueue(stage, count);
	if (n > 0)
		histogram_record(t->publish, clock_duration_ns(tsc, rte_rdtsc()), n);
	if (unlikely(n < count)) {
		counter_add(&t->reason[REASON_RING_FULL], count - n);
		for (uint32_t i = n; i < count; i++)
			rte_pktmbuf_free(
			    RTE_PTR_SUB(stage->begin[i].source, sizeof(struct rte_mbuf)));
	}
	stage->end = stage->begin;
}

static void burst_begin(struct burst *b, struct rx_task *t, struct rx_queue *q)
{
	uint64_t tsc = rte_rdtsc();

	b->task = t;
	b->queue = q;
	b->source.rx_tsc = tsc;
	b->source.rx_time_ns = clock_line_ns(t->tsc_line, tsc);
	memset(b->source.session, 0, sizeof(b->source.session));
	b->source.feed = 0;
	b->source.clock = EVENT_CLOCK_TSC;
	b->source.origin = EVENT_ORIGIN_MBUF;
	b->source.reserved = 0;
	b->flags = FLAGS_OF_A_TAG;
	b->timestamp_flag = q->port->timestamps ? q->port->timestamp_flag : 0;
	b->messages = 0;
	b->unused_count = 0;
	/* after the clock: what is received behind a swap of the set is judged by the new one. It stays
	 * valid until this lcore reports a quiescent state */
	b->keys = ownership_keys(t->ownership);
}

static uint32_t queue_poll(struct rx_task *t, struct rx_queue *q)
{
	struct rte_mbuf *mbufs[RX_BURST_MAX];
	struct datagram datagrams[RX_BURST_MAX];
	uint32_t n = rte_eth_rx_burst(q->port->id, q->queue, mbufs, (uint16_t)t->burst), count;
	struct burst b;

	if (n == 0)
		return 0;
	burst_begin(&b, t, q);
	for (uint32_t i = 0; i < n && i < FRAMES_AHEAD; i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
	count = classify(&b, mbufs, n, datagrams);
	for (uint32_t i = 0; i < count; i++)
		take_datagram(&b, &datagrams[i]);
	counter_add(&t->messages, b.messages);
	for (uint32_t w = 0; w < t->worker_count; w++)
		flush(t, &t->stage[w], b.source.rx_tsc);
	rte_pktmbuf_free_bulk(b.unused, b.unused_count);
	return n;
}

void rx_wire(struct rx_task *t, uint32_t worker, struct rte_ring *ring, const struct keytable *near)
{
	struct event_desc *desc = t->desc + (size_t)worker * RX_BURST_MAX;

	t->stage[worker] =
	    (struct rx_stage){.ring = ring, .begin = desc, .end = desc, .near = near};
}

uint32_t rx_poll(struct rx_task *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->queue_count; i++)
		n += queue_poll(t, &t->queue[i]);
	return n;
}
