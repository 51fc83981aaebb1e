/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kafka bridge: delivers every durable record of the journal to Kafka, exactly once. It is a
 * thread of its own on the control plane's CPUs; nothing that Kafka does holds up anybody else.
 *
 * A transaction holds events and the cursors that say how far they reach. A start makes a producer
 * with the engine's transactional.id, which ends whatever an earlier one left open, and then reads
 * the cursors; so does every error that the producer does not survive. docs/kafka.md has the rest.
 */
#ifndef CONTROL_KAFKA_BRIDGE_H
#define CONTROL_KAFKA_BRIDGE_H

#include <stdatomic.h>

#include "config.h"
#include "control/figures.h"
#include "control/journal_thread.h"
#include "journal/directory.h"

struct kafka_bridge;
struct ownership;

/* Start, before anything is touched: whether kafka.config_file can be used. Returns 0 or -errno
 * with one line in err. */
int kafka_bridge_check(const struct config *c, char err[CONFIG_ERROR_MAX]);

/* dir is recovered and begun. All is borrowed. NULL: one line in err. */
struct kafka_bridge *kafka_bridge_create(const struct config *c, const struct journal_dir *dir,
                                         char err[CONFIG_ERROR_MAX]);
/* Before the start: whose lease in etcd a producer needs, and what was taken over without it; borrowed. */
void kafka_bridge_set_ownership(struct kafka_bridge *b, struct ownership *o);
/* Start the thread. journal: one a worker, started. Returns 0 or -errno with err set. */
int kafka_bridge_start(struct kafka_bridge *b, struct journal_thread *journal,
                       char err[CONFIG_ERROR_MAX]);
/* Nothing becomes durable any more: deliver what is left within timeout_ms, then end. */
void kafka_bridge_drain(struct kafka_bridge *b, uint32_t timeout_ms);
bool kafka_bridge_done(const struct kafka_bridge *b);
/* Ends the thread, whatever it does, before the journal's threads are closed; figures can still be
 * asked for. Harmless on NULL, as is kafka_bridge_destroy. */
void kafka_bridge_end(struct kafka_bridge *b);
void kafka_bridge_destroy(struct kafka_bridge *b);

/* Any thread: by shard, the first sequence number that Kafka has not; retention keeps it. */
const _Atomic uint64_t *kafka_bridge_keep_from(const struct kafka_bridge *b);
/* Control thread. b NULL: off. */
void kafka_bridge_figures(struct kafka_bridge *b, uint64_t now_ns, struct kafka_figures *out);

#endif
