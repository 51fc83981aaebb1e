/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ownership.assign = auto. The engines elect one of them: whose id stands in LAYOUT_LEADER, under its
 * lease. It walks through all assignments, first for keys of engines that are gone, then, gently, for
 * keys that rendezvous hashing gives to somebody else. Every transaction compares the leader's key,
 * the revision of each assignment it changes, and that the engine whose keys it takes is still gone: so
 * whatever somebody else did meanwhile stands, and who registers knows that all was taken before.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_lcore.h>

#include "control/ownership_private.h"
#include "control/steady.h"
#include "ownership/rendezvous.h"

#define SECOND_NS  1000000000ull
#define SLICE_KEYS 20000u /* looked at in one turn of the loop */
#define SLICE_NS   1000000ull
#define TOKENS_NS  20000000ull
#define AGAIN_NS   SECOND_NS
#define FENCED_MAX 1024u

int ownership_leader_init(struct ownership *o)
{
	o->leader.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return o->leader.event_fd >= 0 ? 0 : -errno;
}

/* ---- election ---- */

static void on_elected(void *arg, const struct etcd_reply *reply)
{
	struct ownership *o = arg;

	(void)reply; /* the next poll tells who it is */
	o->leader.electing = false;
}

static void stand(struct ownership *o)
{
	json_t *txn =
	    etcd_txn(json_pack("[o]", etcd_compare(ETCD_TEXT(LAYOUT_LEADER), "CREATE", 0)),
	             json_pack("[o]", etcd_op_put(ETCD_TEXT(LAYOUT_LEADER), ETCD_TEXT(o->self.id),
	                                          o->lease)),
	             NULL);

	o->leader.electing = etcd_call(o->etcd, ETCD_TXN, txn, on_elected, o) != NULL;
}

/* who is back may publish again, and is fenced anew when it goes */
static void forget_living(struct ownership *o)
{
	struct ownership_leader *l = &o->leader;

	for (uint32_t i = 0; i < l->fenced_count;) {
		if (ownership_registry_find(o, l->fenced[i]) == NULL)
			i++;
		else
			memmove(l->fenced[i], l->fenced[--l->fenced_count], sizeof(*l->fenced));
	}
}

void ownership_leader_take(struct ownership *o, const struct etcd_answer *a)
{
	struct ownership_leader *l = &o->leader;
	bool was = l->elected;

	if (o->config->assign != CONFIG_ASSIGN_AUTO)
		return;
	l->elected = false;
	l->name[0] = '\0';
	for (uint32_t i = 0; i < a->kv_count; i++) {
		const struct etcd_kv *kv = &a->kv[i];

		if (kv->key_len != strlen(LAYOUT_LEADER) ||
		    memcmp(kv->key, LAYOUT_LEADER, kv->key_len) != 0 ||
		    !layout_is_engine_id(kv->value, kv->value_len))
			continue;
		memcpy(l->name, kv->value, kv->value_len);
		l->name[kv->value_len] = '\0';
		l->election_revision = kv->mod_revision;
		l->elected =
		    o->registered && kv->lease == o->lease && strcmp(l->name, o->self.id) == 0;
	}
	if (l->elected != was)
		log_info("etcd: this engine %s", l->elected ? "is elected: it reassigns keys now"
		                                            : "no longer reassigns keys");
	if (l->elected && !was) {
		l->table_version = l->live = 0; /* look through everything once */
		l->fenced_count = 0;            /* they may have been back meanwhile */
	}
	forget_living(o);
	if (l->name[0] == '\0' && o->registered && !l->electing)
		stand(o);
}

/* ---- fencing ---- */

static void *fence_main(void *arg)
{
	struct ownership_leader *l = arg;
	uint64_t one = 1;

	l->fence_result = l->fence(l->fence_arg, l->fence_engine);
	atomic_store_explicit(&l->fence_done, true, memory_order_release);
	(void)!write(l->event_fd, &one, sizeof(one));
	return NULL;
}

static bool is_fenced(const struct ownership_leader *l, const char *engine)
{
	for (uint32_t i = 0; i < l->fenced_count; i++)
		if (strcmp(l->fenced[i], engine) == 0)
			return true;
	return false;
}

/* false: its keys have to wait */
static bool fenced(struct ownership *o, const char *engine, uint64_t now_ns)
{
	struct ownership_leader *l = &o->leader;

	if (l->fence == NULL || engine[0] == '\0' || is_fenced(l, engine))
		return true;
	if (l->fencing || now_ns < l->fence_not_before_ns)
		return false;
	strcpy(l->fence_engine, engine);
	atomic_store_explicit(&l->fence_done, false, memory_order_relaxed);
	l->fencing = rte_ctrl_thread_create(&l->thread, "fence", NULL, fence_main, l) == 0;
	if (!l->fencing)
		l->fence_not_before_ns = now_ns + AGAIN_NS;
	return false;
}

static void remember_fenced(struct ownership_leader *l, const char *engine)
{
	char(*more)[LAYOUT_ENGINE_MAX + 1];

	if (l->fenced_count == FENCED_MAX)
		l->fenced_count = 0; /* fencing twice does no harm */
	more = realloc(l->fenced, (l->fenced_count + 1) * sizeof(*more));
	if (more == NULL)
		return;
	l->fenced = more;
	strcpy(l->fenced[l->fenced_count++], engine);
}

static void end_fencing(struct ownership *o, uint64_t now_ns)
{
	struct ownership_leader *l = &o->leader;
	uint64_t count;

	(void)!read(l->event_fd, &count, sizeof(count));
	if (!l->fencing || !atomic_load_explicit(&l->fence_done, memory_order_acquire))
		return;
	pthread_join(l->thread, NULL);
	l->fencing = false;
	if (l->fence_result >= 0) {
		log_info("etcd: engine %s is gone and fenced; its keys get new owners",
		         l->fence_engine);
		remember_fenced(l, l->fence_engine);
	} else {
		log_warning("etcd: engine %s is gone and could not be fenced: %s; its keys wait",
		            l->fence_engine, strerror(-l->fence_result));
		l->fence_not_before_ns = now_ns + AGAIN_NS;
	}
	l->again = true;
}

/* ---- reassigning ---- */

static void on_moved(void *arg, const struct etcd_reply *reply)
{
	struct ownership *o = arg;
	struct ownership_leader *l = &o->leader;

	l->call = NULL;
	if (reply->error == 0 && reply->answer->succeeded) {
		l->moves += l->batch_count;
	} else {
		/* somebody else moved one of them, or leads now: what is true comes by the watch */
		l->again = true;
		if (reply->error != 0)
			log_limited(&o->trouble_limit, steady_ns(), CONFIG_LOG_WARNING,
			            "etcd: reassigning keys failed, trying again: %s",
			            reply->message);
	}
	l->batch_count = 0;
}

static void send_batch(struct ownership *o)
{
	struct ownership_leader *l = &o->leader;
	json_t *compares = json_array(), *puts = json_array();
	char registry[sizeof(o->path)];

	json_array_append_new(compares,
	                      etcd_compare(ETCD_TEXT(LAYOUT_LEADER), "MOD", l->election_revision));
	if (l->batch_dead[0] != '\0') {
		snprintf(registry, sizeof(registry), LAYOUT_REGISTRY "%s", l->batch_dead);
		json_array_append_new(compares, etcd_compare(ETCD_TEXT(registry), "CREATE", 0));
	}
	for (uint32_t i = 0; i < l->batch_count; i++) {
		const struct ownership_move *m = &l->batch[i];
		char path[LAYOUT_PATH_MAX];
		struct etcd_bytes key = {path, layout_assignment_path(m->key, m->key_len, path)};

		json_array_append_new(compares, etcd_compare(key, "MOD", m->mod_revision));
		json_array_append_new(puts, etcd_op_put(key, ETCD_TEXT(o->engine[m->to].id), 0));
	}
	l->call = etcd_call(o->etcd, ETCD_TXN, etcd_txn(compares, puts, NULL), on_moved, o);
	if (l->call == NULL) {
		l->batch_count = 0;
		l->again = true;
	}
}

struct living {
	uint64_t hash[OWNERSHIP_ENGINES_MAX];
	uint32_t count;
};

/* a batch takes keys of one dead engine only */
static bool is_batch_dead(struct ownership_leader *l, const char *engine)
{
	if (l->batch_dead[0] == '\0')
		strcpy(l->batch_dead, engine);
	return strcmp(l->batch_dead, engine) == 0;
}

/* whether the key has to move in this pass, and where to */
static bool wants_move(struct ownership *o, const struct living *living, const struct assignment *a,
                       uint64_t now_ns, uint32_t *to)
{
	bool alive = ownership_registry_find(o, a->engine) != NULL;

	if (o->leader.pass == PASS_DEAD && alive)
		return false;
	*to = rendezvous_pick(living->hash, living->count, rendezvous_hash(a->key, a->key_len));
	if (alive)
		return strcmp(o->engine[*to].id, a->engine) != 0;
	if (!fenced(o, a->engine, now_ns) || !is_batch_dead(&o->leader, a->engine)) {
		o->leader.again = true;
		return false;
	}
	return true;
}

/* Walks on; true: the pass is through. */
static bool walk(struct ownership *o, uint64_t now_ns, uint32_t most)
{
	static struct living living; /* the control thread's alone, and large */
	struct ownership_leader *l = &o->leader;
	struct assignment a;
	uint32_t to = 0;

	l->batch_dead[0] = '\0';
	living.count = o->engine_count;
	for (uint32_t i = 0; i < o->engine_count; i++)
		living.hash[i] = rendezvous_hash(o->engine[i].id, strlen(o->engine[i].id));
	for (uint32_t seen = 0; seen < SLICE_KEYS && l->batch_count < most; seen++) {
		if (!assignments_next(o->table, &l->cursor, &a))
			return true;
		if (!wants_move(o, &living, &a, now_ns, &to))
			continue;
		struct ownership_move *m = &l->batch[l->batch_count++];

		memcpy(m->key, a.key, a.key_len);
		m->key_len = a.key_len;
		m->mod_revision = a.mod_revision;
		m->to = to;
	}
	return false;
}

static uint32_t budget(struct ownership *o, uint64_t now_ns)
{
	struct ownership_leader *l = &o->leader;
	double rate = o->config->moves_per_s;

	if (l->pass == PASS_DEAD)
		return OWNERSHIP_BATCH;
	l->tokens += (double)(now_ns - l->tokens_ns) / 1e9 * rate;
	/* a rest does not save up for a burst */
	l->tokens = RTE_MIN(l->tokens, RTE_MAX(rate / 10, 1.0));
	l->tokens_ns = now_ns;
	return RTE_MIN((uint32_t)l->tokens, (uint32_t)OWNERSHIP_BATCH);
}

static void begin_pass(struct ownership *o, enum ownership_pass pass, uint64_t now_ns)
{
	struct ownership_leader *l = &o->leader;

	if (pass == PASS_DEAD) {
		l->live = o->live;
		l->table_version = o->table_version;
		l->again = false;
	}
	l->pass = pass;
	l->cursor = 0;
	l->tokens = 0;
	l->tokens_ns = now_ns;
}

static bool may_lead(const struct ownership *o)
{
	return o->leader.elected && o->registered && o->table != NULL && o->watching &&
	       o->incoming == NULL && o->engine_count > 0 &&
	       ownership_registry_find(o, o->self.id) != NULL && ownership_lease_held(o);
}

/* the walk's next piece; returns when the one after it is due */
static uint64_t go_on(struct ownership *o, uint64_t now_ns)
{
	struct ownership_leader *l = &o->leader;
	uint32_t most = budget(o, now_ns);
	bool through;

	if (most == 0)
		return now_ns + TOKENS_NS;
	through = walk(o, now_ns, most);
	if (l->batch_count > 0) {
		if (l->pass == PASS_EVEN)
			l->tokens -= l->batch_count;
		send_batch(o);
	}
	if (!through)
		return l->call != NULL ? UINT64_MAX : now_ns + SLICE_NS;
	if (l->pass == PASS_DEAD)
		begin_pass(o, PASS_EVEN, now_ns);
	else
		l->pass = PASS_NONE;
	return now_ns + TOKENS_NS;
}

uint64_t ownership_leader_step(struct ownership *o, uint64_t now_ns)
{
	struct ownership_leader *l = &o->leader;

	end_fencing(o, now_ns);
	if (!may_lead(o)) {
		l->pass = PASS_NONE;
		return UINT64_MAX;
	}
	if (l->call != NULL)
		return UINT64_MAX;
	if (l->pass != PASS_NONE && l->live != o->live)
		begin_pass(o, PASS_DEAD, now_ns);
	if (l->pass == PASS_NONE) {
		if (l->live == o->live && l->table_version == o->table_version && !l->again)
			return UINT64_MAX;
		if (l->again && l->fencing)
			return UINT64_MAX;
		begin_pass(o, PASS_DEAD, now_ns);
	}
	return go_on(o, now_ns);
}

void ownership_leader_close(struct ownership *o)
{
	struct ownership_leader *l = &o->leader;

	if (l->fencing)
		pthread_join(l->thread, NULL);
	free(l->fenced);
	if (l->event_fd > 0)
		close(l->event_fd);
}
