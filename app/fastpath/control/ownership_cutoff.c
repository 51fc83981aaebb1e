/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The times in which this engine's lease was not certainly held. One begins where the lease ends by
 * our own clock; it ends when a key set that was read after the lease came back reaches the lcores.
 * Then it is known which keys were ours throughout; the Kafka bridge asks about the others' records.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "control/ownership_private.h"
#include "control/steady.h"
#include "event/hash.h"

static uint64_t epoch_of(uint64_t steady)
{
	return clock_realtime_ns() - (steady_ns() - steady);
}

void ownership_cutoff_init(struct ownership *o)
{
	pthread_mutex_init(&o->cutoff.lock, NULL);
}

void ownership_cutoff_free(struct ownership *o)
{
	for (uint32_t i = 0; i < CUTOFF_MAX; i++)
		ownership_keyset_free(o->cutoff.kept[i]);
	pthread_mutex_destroy(&o->cutoff.lock);
}

void ownership_restore(struct ownership *o, const struct cutoff_note *note)
{
	struct ownership_cutoff *c = &o->cutoff;

	if (o->mode != CONFIG_OWNERSHIP_ETCD)
		return;
	c->note = *note;
	atomic_store(&c->count, note->list.count);
	/* where the last process held its lease, this one does not yet */
	c->restored = note->revision > 0;
	atomic_store(&c->open, c->restored);
}

/* ---- the lease comes and goes: control thread ---- */

static void begin(struct ownership *o, uint64_t from_ns, int64_t revision)
{
	struct ownership_cutoff *c = &o->cutoff;

	c->step = CUTOFF_IDLE;
	if (!c->leased)
		return;
	c->leased = false;
	/* who has never known etcd has taken nothing but OWNED_KEYS, the operator's word */
	if (atomic_load(&c->open) || revision == 0)
		return;
	pthread_mutex_lock(&c->lock);
	c->note.lease_end_ns = from_ns;
	c->note.revision = revision;
	pthread_mutex_unlock(&c->lock);
	atomic_store(&c->open, true);
	log_warning("etcd: the lease of engine %s has run out: what it takes from now on is not "
	            "published if its key is taken over",
	            o->self.id);
}

void ownership_cutoff_check(struct ownership *o, uint64_t now_ns)
{
	struct ownership_cutoff *c = &o->cutoff;

	/* before anything that etcd says is looked at: a change that was waiting came too late */
	if (c->leased && now_ns >= c->until_ns) {
		c->by_clock = !atomic_load(&c->open);
		begin(o, c->note.lease_end_ns, c->note.revision);
	}
	if (atomic_load(&c->open) || o->table == NULL || c->note.revision == o->revision)
		return;
	pthread_mutex_lock(&c->lock);
	c->note.revision = o->revision;
	pthread_mutex_unlock(&c->lock);
}

void ownership_cutoff_lost(struct ownership *o)
{
	struct ownership_cutoff *c = &o->cutoff;

	atomic_store_explicit(&o->lease_until_ns, 0, memory_order_release);
	/* our clock did not tell, so it is not to be relied on: back to what etcd confirmed last */
	c->by_clock = false;
	begin(o, c->confirmed_epoch_ns, c->confirmed_revision);
}

void ownership_cutoff_usurped(struct ownership *o)
{
	struct ownership_cutoff *c = &o->cutoff;

	pthread_mutex_lock(&c->lock);
	if (!atomic_load(&c->open))
		c->note.lease_end_ns = epoch_of(o->started_ns);
	/* before any assignment: none of them was ours alone */
	c->note.revision = 1;
	pthread_mutex_unlock(&c->lock);
	atomic_store(&c->open, true);
}

void ownership_cutoff_held(struct ownership *o, uint64_t sent_ns, uint64_t until_ns, bool same)
{
	struct ownership_cutoff *c = &o->cutoff;
	bool open = atomic_load(&c->open);

	/* etcd says that the lease never ended: nobody can have taken anything */
	if (same && open && c->by_clock && !c->restored) {
		atomic_store(&c->open, open = false);
		log_info("etcd: the lease of engine %s was alive all the time", o->self.id);
	}
	if (open && (!same || !c->leased))
		c->step = CUTOFF_WANTS_READ;
	c->by_clock = c->by_clock && same;
	c->leased = true;
	c->until_ns = until_ns;
	c->lease_end_ns = epoch_of(until_ns);
	c->confirmed_epoch_ns = epoch_of(sent_ns);
	if (!open) {
		pthread_mutex_lock(&c->lock);
		c->note.lease_end_ns = c->lease_end_ns;
		pthread_mutex_unlock(&c->lock);
		c->confirmed_revision = c->note.revision;
	}
	atomic_store_explicit(&o->lease_until_ns, until_ns, memory_order_release);
	atomic_store_explicit(&c->confirmed_ns, sent_ns, memory_order_release);
}

/* ---- a reading behind it ---- */

void ownership_cutoff_go(struct ownership *o, enum ownership_cutoff_step from,
                         enum ownership_cutoff_step to)
{
	if (o->cutoff.step == from)
		o->cutoff.step = to;
}

static int copy_kept(struct ownership *o, struct ownership_cutoff_build *b)
{
	/* an older copy of the store says nothing of what happened meanwhile */
	int64_t revision = o->revision >= b->cutoff.revision ? b->cutoff.revision : -1;

	b->copy = assignments_copy_until(o->table, o->self.id, revision, &b->changed);
	b->changed = b->changed || revision < 0;
	return b->copy != NULL ? 0 : -1;
}

/* what is to be built together with the key set */
int ownership_cutoff_copy(struct ownership *o)
{
	struct ownership_cutoff *c = &o->cutoff;
	struct ownership_build *b = &o->build;

	b->cutoff_count = 0;
	if (c->step != CUTOFF_READ)
		return 0;
	c->step = CUTOFF_BUILDING;
	pthread_mutex_lock(&c->lock);
	for (uint32_t i = 0; i < c->note.list.count; i++)
		if (c->kept[i] == NULL)
			b->cutoff[b->cutoff_count++].cutoff = c->note.list.at[i];
	/* the one that ends now */
	b->cutoff[b->cutoff_count++].cutoff =
	    cutoff_added(&c->note.list, &(struct cutoff){.from_ns = c->note.lease_end_ns,
	                                                 .to_ns = UINT64_MAX,
	                                                 .revision = c->note.revision});
	pthread_mutex_unlock(&c->lock);
	for (uint32_t i = 0; i < b->cutoff_count; i++)
		if (copy_kept(o, &b->cutoff[i]) < 0)
			return -1;
	return 0;
}

/* one that was restored gets its set */
static void fit(struct ownership_cutoff *c, struct ownership_cutoff_build *b)
{
	for (uint32_t i = 0; i < c->note.list.count; i++) {
		if (c->kept[i] != NULL || c->note.list.at[i].from_ns != b->cutoff.from_ns)
			continue;
		c->kept[i] = b->set;
		b->set = NULL;
		return;
	}
}

static void drop(struct ownership_cutoff *c, uint32_t i)
{
	ownership_keyset_free(c->kept[i]);
	cutoff_remove(&c->note.list, i);
	memmove(&c->kept[i], &c->kept[i + 1], (CUTOFF_MAX - 1 - i) * sizeof(c->kept[0]));
	c->kept[CUTOFF_MAX - 1] = NULL;
}

static void end(struct ownership *o, struct ownership_cutoff_build *b, uint64_t now_ns)
{
	struct ownership_cutoff *c = &o->cutoff;
	const struct cutoff ended = {
	    .from_ns = c->note.lease_end_ns, .to_ns = now_ns, .revision = c->note.revision};
	int at = b->changed ? cutoff_add(&c->note.list, &ended) : -1;

	if (at < 0)
		return;
	/* where it was merged with the last one, the set was made for both */
	ownership_keyset_free(c->kept[at]);
	c->kept[at] = b->set;
	b->set = NULL;
}

void ownership_cutoff_swapped(struct ownership *o)
{
	struct ownership_cutoff *c = &o->cutoff;
	struct ownership_build *b = &o->build;
	/* receive times follow the clock with an error of up to a step */
	uint64_t now = clock_realtime_ns() + CLOCK_STEP_NS;

	/* not built for this, or the lease went again meanwhile */
	if (c->step != CUTOFF_BUILDING)
		return;
	pthread_mutex_lock(&c->lock);
	for (uint32_t i = 0; i + 1 < b->cutoff_count; i++)
		fit(c, &b->cutoff[i]);
	end(o, &b->cutoff[b->cutoff_count - 1], now);
	c->note.lease_end_ns = c->lease_end_ns;
	c->note.revision = o->revision;
	atomic_store(&c->count, c->note.list.count);
	pthread_mutex_unlock(&c->lock);
	c->confirmed_revision = o->revision;
	c->step = CUTOFF_IDLE;
	c->restored = false;
	atomic_store(&c->open, false);
}

void ownership_cutoff_built(struct ownership *o)
{
	struct ownership_build *b = &o->build;

	/* it failed: the next one does it */
	ownership_cutoff_go(o, CUTOFF_BUILDING, CUTOFF_READ);
	for (uint32_t i = 0; i < b->cutoff_count; i++) {
		free(b->cutoff[i].copy);
		ownership_keyset_free(b->cutoff[i].set);
	}
	memset(b->cutoff, 0, sizeof(b->cutoff));
	b->cutoff_count = 0;
}

/* ---- the bridge's questions ---- */

bool ownership_may_claim(const struct ownership *o, uint64_t since_ns)
{
	const struct ownership_cutoff *c = &o->cutoff;

	return o->mode != CONFIG_OWNERSHIP_ETCD ||
	       (ownership_lease_held(o) && !atomic_load(&c->open) &&
	        atomic_load_explicit(&c->confirmed_ns, memory_order_acquire) > since_ns);
}

bool ownership_note(struct ownership *o, struct cutoff_note *out)
{
	if (o->mode != CONFIG_OWNERSHIP_ETCD)
		return false;
	pthread_mutex_lock(&o->cutoff.lock);
	*out = o->cutoff.note;
	pthread_mutex_unlock(&o->cutoff.lock);
	return true;
}

bool ownership_taken_over(struct ownership *o, const void *key, uint32_t len, uint64_t rx_time_ns)
{
	struct ownership_cutoff *c = &o->cutoff;
	bool taken = false;

	if (atomic_load_explicit(&c->count, memory_order_acquire) == 0)
		return false;
	pthread_mutex_lock(&c->lock);
	for (uint32_t i = 0; !taken && i < c->note.list.count; i++)
		taken = cutoff_covers(&c->note.list.at[i], rx_time_ns) &&
		        (c->kept[i] == NULL || !ownership_keyset_contains(
		                                   c->kept[i], key, len, event_key_hash(key, len)));
	pthread_mutex_unlock(&c->lock);
	return taken;
}

uint64_t ownership_cut_off_until(struct ownership *o)
{
	struct ownership_cutoff *c = &o->cutoff;
	uint64_t last = 0;

	if (atomic_load_explicit(&c->count, memory_order_acquire) == 0)
		return 0;
	pthread_mutex_lock(&c->lock);
	for (uint32_t i = 0; i < c->note.list.count; i++)
		last = RTE_MAX(last, c->note.list.at[i].to_ns);
	pthread_mutex_unlock(&c->lock);
	return last;
}

void ownership_cut_off_settled(struct ownership *o, uint64_t until_ns)
{
	struct ownership_cutoff *c = &o->cutoff;

	pthread_mutex_lock(&c->lock);
	for (uint32_t i = c->note.list.count; i-- > 0;)
		if (c->note.list.at[i].to_ns <= until_ns)
			drop(c, i);
	atomic_store(&c->count, c->note.list.count);
	pthread_mutex_unlock(&c->lock);
}
