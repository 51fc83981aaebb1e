/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of ownership share; nobody else includes it. */
#ifndef CONTROL_OWNERSHIP_PRIVATE_H
#define CONTROL_OWNERSHIP_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include <rte_rcu_qsbr.h>

#include "control/ownership.h"
#include "etcd/client.h"
#include "log.h"
#include "ownership/assignments.h"
#include "ownership/cutoff.h"
#include "ownership/keyset.h"
#include "ownership/layout.h"

#define OWNERSHIP_ENGINES_MAX 1024

/* an old key set that some lcore may still read */
struct ownership_retired {
	struct ownership_retired *next;
	struct ownership_keyset *set;
	uint64_t token;
};

/* the keys that an interval cut off from etcd leaves us, while they are built */
struct ownership_cutoff_build {
	struct cutoff cutoff;
	struct assignments_copy *copy;
	struct ownership_keyset *set;
	bool changed; /* some key was assigned since it began */
};

/* how far we are in finding out what was taken; a lease that goes again begins anew */
enum ownership_cutoff_step {
	CUTOFF_IDLE,
	CUTOFF_WANTS_READ, /* a reading that begins behind the registration */
	CUTOFF_READING,
	CUTOFF_READ,
	CUTOFF_BUILDING, /* the key set of that reading */
};

/* ownership_cutoff.c. The control thread's, but for what is atomic or under the lock */
struct ownership_cutoff {
	enum ownership_cutoff_step step;
	bool leased, by_clock; /* by_clock: it was our clock that ended the lease */
	bool restored;         /* the interval that is open began before this process */
	uint64_t until_ns;     /* steady; until then the lease is certainly held */
	uint64_t lease_end_ns, confirmed_epoch_ns;
	int64_t confirmed_revision;
	_Atomic uint64_t confirmed_ns; /* steady; when we asked what etcd has confirmed last */
	_Atomic bool open;             /* the lease has run out, and what was taken is not known */
	_Atomic uint32_t count;        /* of note.list */
	pthread_mutex_t lock;
	struct cutoff_note note; /* as it is to stand in the journal directory */
	struct ownership_keyset *kept[CUTOFF_MAX];
};

/* building a key set, beside the loop when it takes long */
struct ownership_build {
	pthread_t thread;
	bool running;
	struct assignments_copy *copy;
	struct ownership_keyset *set; /* what came of it; NULL: no memory */
	uint32_t cutoff_count;
	struct ownership_cutoff_build cutoff[CUTOFF_MAX + 1];
	int event_fd;
	uint64_t started_ns, not_before_ns;
};

/* who reassigns keys, and how far it is: ownership_leader.c */
enum ownership_pass { PASS_NONE, PASS_DEAD, PASS_EVEN };
#define OWNERSHIP_BATCH 100

struct ownership_move {
	uint8_t key[EVENT_KEY_MAX];
	uint32_t key_len;
	int64_t mod_revision;
	uint32_t to; /* index into engine */
};

struct ownership_leader {
	bool elected, electing;
	int64_t election_revision;        /* mod revision of the leader's key */
	char name[LAYOUT_ENGINE_MAX + 1]; /* whoever leads now, "" nobody */
	enum ownership_pass pass;
	uint64_t cursor, live, table_version; /* what the pass began with */
	bool again;                           /* something was put off: one more pass */
	double tokens;
	uint64_t tokens_ns;
	struct etcd_call *call;
	uint32_t batch_count;
	char batch_dead[LAYOUT_ENGINE_MAX +
	                1]; /* gone: it must still be when the batch comes, "" nobody */
	struct ownership_move batch[OWNERSHIP_BATCH];
	uint64_t moves;
	/* fencing: one engine at a time */
	int (*fence)(void *arg, const char *engine);
	void *fence_arg;
	pthread_t thread;
	bool fencing;
	_Atomic bool fence_done;
	int fence_result, event_fd;
	char fence_engine[LAYOUT_ENGINE_MAX + 1];
	char (*fenced)[LAYOUT_ENGINE_MAX + 1];
	uint32_t fenced_count;
	uint64_t fence_not_before_ns;
};

struct ownership {
	const struct config *config;
	enum config_ownership mode;
	_Atomic(struct ownership_keyset *) set; /* NULL: every key is ours */
	const char **sorted; /* of the static set, borrowed from the configuration */
	uint32_t count;

	/* etcd only */
	struct rte_rcu_qsbr *rcu;
	struct ownership_retired *retired;
	struct ownership_build build;
	struct etcd *etcd;
	int epoll_fd, timer_fd;
	struct layout_engine self;
	char path[sizeof(LAYOUT_REGISTRY) + LAYOUT_ENGINE_MAX];

	/* registration */
	int64_t lease, registered_revision;
	bool registered, registering;
	bool leaving;                    /* a stop: not to be registered again */
	_Atomic uint64_t lease_until_ns; /* steady */
	char held_by[LAYOUT_INSTANCE_MAX];
	bool held;
	struct etcd_call *renewal, *revocation;
	uint64_t next_renewal_ns, renewal_sent_ns;
	uint64_t lease_asked_ns; /* when we sent what etcd has granted or renewed last */

	/* polling */
	struct etcd_call *poll;
	uint64_t next_poll_ns, last_good_ns, started_ns;
	uint32_t poll_failures;
	char trouble[ETCD_MESSAGE_MAX];
	bool away_told;
	struct layout_engine *engine; /* alive, sorted by id */
	int64_t *engine_revision;
	uint32_t engine_count;
	uint64_t live; /* hash over their ids */

	/* assignments */
	struct assignments *table; /* NULL: no good answer yet */
	int64_t revision;          /* up to which the table is true */
	int64_t poll_revision;  /* the same when the poll went out: the store cannot be behind it */
	uint64_t table_version; /* counts changes */
	bool dirty;             /* the key set is behind the table */
	bool published;         /* a set from etcd has reached the lcores */
	struct assignments *incoming;
	int64_t incoming_revision;
	uint8_t incoming_last[LAYOUT_PATH_MAX]; /* the last path that came */
	size_t incoming_last_len;
	struct etcd_call *read;
	uint64_t reads, next_read_ns;
	struct etcd_call *watch;
	bool watching;
	uint32_t watch_failures;
	uint64_t watch_started_ns, watch_failovers;
	uint64_t bad_entries;
	struct log_limit bad_limit, trouble_limit;

	struct ownership_leader leader;
	struct ownership_cutoff cutoff;

	/* for ownership_key_at */
	uint8_t (*listed)[EVENT_KEY_MAX + 1]; /* length, key */
	uint32_t listed_count;
	uint64_t listed_version;
};

/* ownership_publish.c: the key set's way to the lcores */
int ownership_publish_init(struct ownership *o);
/* begins a build when the set is behind and none is running; takes over one that is done */
void ownership_publish_step(struct ownership *o, uint64_t now_ns);
void ownership_publish_close(struct ownership *o);

/* ownership_cutoff.c: the times without a lease */
void ownership_cutoff_init(struct ownership *o);
void ownership_cutoff_free(struct ownership *o);
/* before anything that etcd says is looked at: has the lease run out? */
void ownership_cutoff_check(struct ownership *o, uint64_t now_ns);
/* etcd says that the lease, or the registration, is gone */
void ownership_cutoff_lost(struct ownership *o);
/* another instance holds our id: what we take until it is ours again, or have since our start without a
 * lease, is not ours */
void ownership_cutoff_usurped(struct ownership *o);
/* it is held: asked at sent_ns, until until_ns (steady). same: it is the lease from before */
void ownership_cutoff_held(struct ownership *o, uint64_t sent_ns, uint64_t until_ns, bool same);
/* a reading begins, fails, ends: the step from which it goes on to the next one, if it is there */
void ownership_cutoff_go(struct ownership *o, enum ownership_cutoff_step from,
                         enum ownership_cutoff_step to);
/* with the copy for a key set; < 0: no memory */
int ownership_cutoff_copy(struct ownership *o);
/* the key set has been swapped; then throw away what was built and not used */
void ownership_cutoff_swapped(struct ownership *o);
void ownership_cutoff_built(struct ownership *o);

/* ownership_table.c: assignments as etcd tells them */
void ownership_table_step(struct ownership *o, uint64_t now_ns, int64_t store_revision);
void ownership_table_watch_check(struct ownership *o, uint64_t now_ns);
void ownership_table_after_lease(struct ownership *o, uint64_t now_ns);
void ownership_table_close(struct ownership *o);

/* ownership_registry.c: our registration, and the others' */
int ownership_registry_init(struct ownership *o, const char *instance, uint16_t http_port);
void ownership_registry_take(struct ownership *o, const struct etcd_answer *a);
void ownership_registry_step(struct ownership *o, uint64_t now_ns);
void ownership_registry_revoke(struct ownership *o);
const struct layout_engine *ownership_registry_find(const struct ownership *o, const char *id);

/* ownership_leader.c */
int ownership_leader_init(struct ownership *o);
void ownership_leader_take(struct ownership *o, const struct etcd_answer *a);
/* returns when it wants to be called again, steady ns; UINT64_MAX: at the next event */
uint64_t ownership_leader_step(struct ownership *o, uint64_t now_ns);
void ownership_leader_close(struct ownership *o);

#endif
