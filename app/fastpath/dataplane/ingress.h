/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of POST events (later TCP events) from the control thread to the workers: slots that the
 * control thread owns, an SP/SC ring per worker, and a cursor that the worker moves when it is done
 * with a slot. No mempool is shared with the data plane. All functions belong to the control
 * thread.
 */
#ifndef DATAPLANE_INGRESS_H
#define DATAPLANE_INGRESS_H

#include <stdint.h>

struct ingress;

enum ingress_state {
	INGRESS_PENDING,  /* the worker has not taken it yet */
	INGRESS_APPENDED, /* in the memlog: shard and seq are set; not yet said to be durable */
	INGRESS_DROPPED,  /* the memlog had no room; counted as dropped{journal_full}; nothing was
	                     appended */
};

struct ingress_ticket {
	uint32_t shard;
	uint32_t slot;
	uint64_t seq; /* set once appended */
};

/* Hand an event to the worker that owns the key's shard. Counts the message (law 2). Copies key and
 * payload. Returns 0, or -EAGAIN when all slots are taken (counted as dropped{ring_full}; nothing
 * was appended). key_len 1..EVENT_KEY_MAX, payload_len 0..EVENT_PAYLOAD_MAX. */
int ingress_submit(struct ingress *in, const void *key, uint32_t key_len, const void *payload,
                   uint32_t payload_len, struct ingress_ticket *ticket);

/* Count a message that the control thread filtered before it got here: REASON_NOT_OWNER and the
 * like. */
void ingress_filtered(struct ingress *in, int reason);

/* What became of it. */
enum ingress_state ingress_poll(struct ingress *in, struct ingress_ticket *ticket);

/* Give the slot back; also while pending (the slot is then freed when the worker is done). Once per
 * ticket. */
void ingress_done(struct ingress *in, struct ingress_ticket *ticket);

#endif
