/* SPDX-License-Identifier: Apache-2.0 */
/* The key set's way to the lcores: built from the table, swapped, the old one freed after a grace period. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_lcore.h>

#include "control/ownership_private.h"
#include "control/steady.h"

#define BESIDE_KEYS 20000u /* from so many keys on, a thread builds the set */
#define THREADS_MAX (CONFIG_LCORES_MAX * 2)

int ownership_publish_init(struct ownership *o)
{
	size_t size = rte_rcu_qsbr_get_memsize(THREADS_MAX);

	o->build.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	o->rcu = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
	if (o->build.event_fd < 0 || o->rcu == NULL)
		return -ENOMEM;
	return rte_rcu_qsbr_init(o->rcu, THREADS_MAX) == 0 ? 0 : -EINVAL;
}

static void free_retired(struct ownership *o, bool all)
{
	struct ownership_retired **at = &o->retired, *r;

	while ((r = *at) != NULL) {
		if (!all && rte_rcu_qsbr_check(o->rcu, r->token, false) != 1) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		ownership_keyset_free(r->set);
		free(r);
	}
}

/* false: try again later */
static bool swap(struct ownership *o, struct ownership_keyset *made)
{
	struct ownership_retired *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return false;
	r->set = atomic_exchange_explicit(&o->set, made, memory_order_acq_rel);
	r->token = rte_rcu_qsbr_start(o->rcu);
	r->next = o->retired;
	o->retired = r;
	o->published = true;
	return true;
}

static struct ownership_keyset *set_of(const struct assignments_copy *copy)
{
	struct ownership_key *keys = malloc((copy->count + 1) * sizeof(*keys));
	const uint8_t *at = copy->data;
	struct ownership_keyset *set;

	if (keys == NULL)
		return NULL;
	for (uint64_t i = 0; i < copy->count; i++, at += 1 + at[0])
		keys[i] = (struct ownership_key){.data = at + 1, .len = at[0]};
	set = ownership_keyset_create(keys, copy->count);
	free(keys);
	return set;
}

static void build(struct ownership_build *b)
{
	bool whole = true;

	for (uint32_t i = 0; i < b->cutoff_count; i++) {
		b->cutoff[i].set = set_of(b->cutoff[i].copy);
		whole = whole && b->cutoff[i].set != NULL;
	}
	b->set = whole ? set_of(b->copy) : NULL;
}

static void *build_main(void *arg)
{
	struct ownership_build *b = arg;
	uint64_t one = 1;

	build(b);
	(void)!write(b->event_fd, &one, sizeof(one));
	return NULL;
}

static void take_over(struct ownership *o, uint64_t now_ns)
{
	struct ownership_build *b = &o->build;
	uint64_t took = now_ns - b->started_ns;

	if (b->set == NULL || !swap(o, b->set)) {
		log_error(
		    "ownership: no memory for a set of %lu keys; the old one stays, trying again",
		    b->copy->count);
		ownership_keyset_free(b->set);
		o->dirty = true;
		took = 1000000000;
	} else {
		ownership_cutoff_swapped(o);
	}
	ownership_cutoff_built(o);
	free(b->copy);
	b->copy = NULL;
	b->set = NULL;
	/* however many changes come, half of the time is left for other work */
	b->not_before_ns = now_ns + took;
}

static void begin(struct ownership *o, uint64_t now_ns)
{
	struct ownership_build *b = &o->build;

	o->dirty = false;
	b->started_ns = now_ns;
	b->copy = assignments_copy(o->table, o->self.id);
	if (b->copy == NULL || ownership_cutoff_copy(o) < 0) {
		ownership_cutoff_built(o);
		free(b->copy);
		b->copy = NULL;
		o->dirty = true;
		b->not_before_ns = now_ns + 1000000000;
		return;
	}
	if (b->copy->count >= BESIDE_KEYS &&
	    rte_ctrl_thread_create(&b->thread, "keyset", NULL, build_main, b) == 0) {
		b->running = true;
		return;
	}
	build(b);
	take_over(o, steady_ns());
}

void ownership_publish_step(struct ownership *o, uint64_t now_ns)
{
	struct ownership_build *b = &o->build;
	uint64_t count;

	if (b->running && read(b->event_fd, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
		pthread_join(b->thread, NULL);
		b->running = false;
		take_over(o, now_ns);
	}
	if (o->dirty && !b->running && now_ns >= b->not_before_ns)
		begin(o, now_ns);
	free_retired(o, false);
}

void ownership_publish_close(struct ownership *o)
{
	struct ownership_build *b = &o->build;

	if (b->running)
		pthread_join(b->thread, NULL);
	ownership_keyset_free(b->set);
	ownership_cutoff_built(o);
	free(b->copy);
	if (b->event_fd > 0)
		close(b->event_fd);
	free_retired(o, true);
	free(o->rcu);
}
