/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/ingress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ring_elem.h>

#include "clock.h"
#include "dataplane/ingress_private.h"
#include "event/hash.h"

struct ingress *ingress_create(uint16_t feed)
{
	struct ingress *in = calloc(1, sizeof(*in));

	if (in != NULL)
		in->feed = feed;
	return in;
}

int ingress_attach(struct ingress *in, struct worker_ring *ring)
{
	struct ingress_shard *s = &in->shard[in->shard_count];

	s->slots = calloc(INGRESS_SLOTS, sizeof(*s->slots));
	if (s->slots == NULL)
		return -ENOMEM;
	s->ring = ring;
	in->shard_count++;
	return 0;
}

void ingress_destroy(struct ingress *in)
{
	if (in == NULL)
		return;
	for (uint32_t i = 0; i < in->shard_count; i++)
		free(in->shard[i].slots);
	free(in);
}

static bool worker_is_done(const struct ingress_shard *s, const struct ingress_slot *slot)
{
	/* acquire: the result behind the cursor is seen as well */
	return atomic_load_explicit(&s->ring->consumed, memory_order_acquire) > slot->ordinal;
}

/* a slot that nobody waits for, or -1 */
static int free_slot(struct ingress_shard *s)
{
	for (uint32_t i = 0; i < INGRESS_SLOTS; i++) {
		uint32_t at = (s->next + i) % INGRESS_SLOTS;
		struct ingress_slot *slot = &s->slots[at];

		if (slot->state == INGRESS_SLOT_ABANDONED && worker_is_done(s, slot))
			slot->state = INGRESS_SLOT_FREE;
		if (slot->state == INGRESS_SLOT_FREE) {
			s->next = at + 1;
			return (int)at;
		}
	}
	return -1;
}

static struct event_desc fill(const struct ingress *in, struct ingress_slot *slot, const void *key,
                              uint32_t key_len, const void *payload, uint32_t payload_len,
                              uint32_t hash)
{
	memset(&slot->source, 0, sizeof(slot->source));
	slot->source.rx_tsc = rte_rdtsc();
	slot->source.rx_time_ns = clock_realtime_ns();
	slot->source.clock = EVENT_CLOCK_SYSTEM;
	slot->source.origin = EVENT_ORIGIN_INGRESS;
	slot->source.feed = in->feed;
	memcpy(slot->source.key_copy, key, key_len);
	memcpy(slot->payload, payload, payload_len);
	return (struct event_desc){
	    .source = &slot->source,
	    .key_hash = hash,
	    .key_offset = offsetof(struct event_source, key_copy),
	    .key_len = (uint8_t)key_len,
	    .payload_offset =
	        offsetof(struct ingress_slot, payload) - offsetof(struct ingress_slot, source),
	    .payload_len = (uint16_t)payload_len,
	    .type = JOURNAL_EVENT,
	};
}

int ingress_submit(struct ingress *in, const void *key, uint32_t key_len, const void *payload,
                   uint32_t payload_len, struct ingress_ticket *ticket)
{
	uint32_t hash = event_key_hash(key, key_len);
	uint32_t shard = event_key_worker(hash, in->shard_count);
	struct ingress_shard *s = &in->shard[shard];
	int at = free_slot(s);

	counter_add(&in->messages, 1);
	counter_add(&in->bytes, payload_len);
	if (at >= 0) {
		struct ingress_slot *slot = &s->slots[at];
		struct event_desc d = fill(in, slot, key, key_len, payload, payload_len, hash);

		if (rte_ring_sp_enqueue_elem(s->ring->ring, &d, sizeof(d)) == 0) {
			slot->state = INGRESS_SLOT_TAKEN;
			slot->ordinal = s->submitted++;
			*ticket = (struct ingress_ticket){.shard = shard, .slot = (uint32_t)at};
			counter_set(&in->last_rx_ns, slot->source.rx_time_ns);
			return 0;
		}
	}
	counter_add(&in->reason[REASON_RING_FULL], 1);
	return -EAGAIN;
}

void ingress_filtered(struct ingress *in, int reason)
{
	counter_add(&in->messages, 1);
	counter_add(&in->reason[reason], 1);
}

enum ingress_state ingress_poll(struct ingress *in, struct ingress_ticket *ticket)
{
	const struct ingress_shard *s = &in->shard[ticket->shard];
	const struct ingress_slot *slot = &s->slots[ticket->slot];

	if (!worker_is_done(s, slot))
		return INGRESS_PENDING;
	ticket->seq = slot->source.result;
	return ticket->seq != 0 ? INGRESS_APPENDED : INGRESS_DROPPED;
}

void ingress_done(struct ingress *in, struct ingress_ticket *ticket)
{
	const struct ingress_shard *s = &in->shard[ticket->shard];
	struct ingress_slot *slot = &s->slots[ticket->slot];

	slot->state = worker_is_done(s, slot) ? INGRESS_SLOT_FREE : INGRESS_SLOT_ABANDONED;
}
