/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns a key, as this engine knows it: all, a static set, or what etcd says. The data plane reads
 * the key set lock-free; the rest is the control thread's, unless said otherwise.
 */
#ifndef CONTROL_OWNERSHIP_H
#define CONTROL_OWNERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

struct cutoff_note;
struct ownership;
struct ownership_keyset;
struct rte_rcu_qsbr;

/* instance: UUID of the journal directory; http_port: where HTTP listens. Both are copied, c is
 * borrowed. */
struct ownership *ownership_create(const struct config *c, const char *instance, uint16_t http_port,
                                   char err[CONFIG_ERROR_MAX]);
/* Gives up the registration in etcd: for at most a second it waits for the answer. No lcore reads the
 * set any more. */
void ownership_destroy(struct ownership *o);

/* At start, before EAL; waits a few seconds at most. 0: registered, or etcd is away and it is tried
 * again in the loop, or there is nothing to register. -EEXIST: another instance with this id is
 * alive, err names it. */
int ownership_register(struct ownership *o, char err[CONFIG_ERROR_MAX]);

/* any lcore: the current set; NULL: all keys are ours. Valid until the lcore's next quiescent state. */
const struct ownership_keyset *ownership_keys(const struct ownership *o);
/* what the lcores report their quiescent states to; NULL: the set never changes */
struct rte_rcu_qsbr *ownership_rcu(const struct ownership *o);

/* Before a stop, when nothing of ours is on its way any more: gives the registration back, so that the engines with
 * ownership.assign = auto give our keys to others, and goes on following etcd. */
void ownership_leave(struct ownership *o);

/* A descriptor that is readable when ownership_step has something to do; -1: never. */
int ownership_fd(const struct ownership *o);
void ownership_step(struct ownership *o);

bool ownership_known(const struct ownership *o); /* false: not ready */
bool ownership_owns(const struct ownership *o, const void *key, uint32_t len);
/* engine id of the owner of a key that is not ours and its URL, each NULL when unknown; borrowed
 * until the next step */
void ownership_owner(const struct ownership *o, const void *key, uint32_t len, const char **engine,
                     const char **url);
const char *ownership_mode_name(const struct ownership *o); /* "all", "static", "etcd" */
uint64_t ownership_key_count(const struct ownership *o);    /* 0 for all */
/* the i-th owned key in sorted order, up to OWNERSHIP_KEYS_LISTED of them; false past the end */
#define OWNERSHIP_KEYS_LISTED 1000
bool ownership_key_at(const struct ownership *o, uint64_t i, const void **key, uint32_t *len);

/* The i-th engine registered in etcd, by id: its URL ("" unknown) and how many keys it owns; false past
 * the end. Borrowed until the next step. */
bool ownership_engine_at(const struct ownership *o, uint32_t i, const char **engine,
                         const char **url, uint64_t *keys);

/* how many other engines are registered in etcd */
uint32_t ownership_others(const struct ownership *o);

/* Any thread: whether this engine's registration in etcd is certainly alive. Without etcd always
 * true. */
bool ownership_lease_held(const struct ownership *o);

/*
 * What the Kafka bridge has to know of the times in which the lease was not held (ownership/cutoff.h).
 * Without etcd nothing was ever taken over. Times of records: ns since the epoch.
 */
/* Before ownership_register: what an earlier process left in the journal directory; copied. */
void ownership_restore(struct ownership *o, const struct cutoff_note *note);
/* Any thread: whether the engine's transactional.id may be claimed: the lease is certainly held, etcd has
 * said so to a question from after since_ns (steady), and what was taken meanwhile is known. */
bool ownership_may_claim(const struct ownership *o, uint64_t since_ns);
/* Any thread: what is to stand in the journal directory; false: nothing is. */
bool ownership_note(struct ownership *o, struct cutoff_note *out);
/* Any thread: whether a record of this key was received while cut off from etcd and the key was taken
 * over meanwhile. */
bool ownership_taken_over(struct ownership *o, const void *key, uint32_t len, uint64_t rx_time_ns);
/* Any thread: when the last time without a lease ended, 0: there is none to think of. */
uint64_t ownership_cut_off_until(struct ownership *o);
/* Any thread: no record older than until_ns is left to ask about. */
void ownership_cut_off_settled(struct ownership *o, uint64_t until_ns);

/* Before anything starts: with ownership.assign = auto, what keeps a dead engine from publishing any
 * more. Called from a helper thread, once per engine that is gone, before its keys get new owners;
 * < 0: not done, it is called again. Without it keys are reassigned at once. */
void ownership_set_fence(struct ownership *o, int (*fence)(void *arg, const char *engine),
                         void *arg);

struct ownership_figures {
	bool etcd;                      /* the rest is 0 without */
	bool away;                      /* etcd has not given a good answer for a while */
	bool registered;                /* our key stands in etcd, under our lease */
	bool from_etcd;                 /* the key set is etcd's, not OWNED_KEYS */
	bool watching;                  /* false: polling only */
	bool leader;                    /* this engine reassigns keys */
	const char *held_by;            /* another instance holds our id: its UUID, else NULL */
	const char *endpoint, *trouble; /* trouble: the last error while away, "" otherwise */
	int64_t revision;               /* of the assignments we know */
	uint64_t answer_age_ms;         /* since the last good answer; UINT64_MAX: none yet */
	uint64_t keys, assignments, engines;
	uint64_t moves, failovers, rejected, reads; /* since the start */
};
void ownership_figures(const struct ownership *o, struct ownership_figures *out);

#endif
