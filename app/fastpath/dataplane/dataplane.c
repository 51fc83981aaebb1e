/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/dataplane.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_ring_elem.h>

#include "log.h"

#define RING_NAME "ring-%u-%u"

size_t dataplane_memory(const struct config *c)
{
	size_t bytes = 0;
	size_t ring = (size_t)rte_align32pow2(c->ring_size + 1) * sizeof(struct event_desc) + 4096;
	size_t key_slot = sizeof(struct keytable_slot) + 24;

	for (uint32_t i = 0; c->enable && i < c->port_count; i++)
		bytes += (size_t)port_mbufs(c, &c->port[i]) * (port_mbuf_bytes(&c->port[i]) + 64);
	bytes += (size_t)c->worker_lcore_count * (c->rx_lcore_count + 1) * ring;
	bytes += (size_t)c->worker_lcore_count *
	         (sizeof(struct worker) + sizeof(struct histogram) + c->key_slots * key_slot);
	bytes += (size_t)c->rx_lcore_count *
	         (sizeof(struct rx_task) + sizeof(struct histogram) +
	          c->worker_lcore_count * RX_BURST_MAX * sizeof(struct event_desc));
	return bytes;
}

static int no_memory(char err[CONFIG_ERROR_MAX], const char *what)
{
	snprintf(err, CONFIG_ERROR_MAX,
	         "%s: %s: reserve more hugepages, or lower mbufs, ring_size or key_slots", what,
	         rte_strerror(rte_errno != 0 ? rte_errno : ENOMEM));
	return -ENOMEM;
}

static void *zmalloc(const char *name, size_t bytes, uint32_t lcore)
{
	return rte_zmalloc_socket(name, bytes, RTE_CACHE_LINE_SIZE,
	                          (int)rte_lcore_to_socket_id(lcore));
}

/* producer: an RX task's index, or rx_count for the ingress */
static int add_ring(struct dataplane *d, struct worker *w, uint32_t producer, uint32_t lcore,
                    char err[CONFIG_ERROR_MAX])
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), RING_NAME, producer, w->shard);
	w->ring[producer].ring = rte_ring_create_elem(
	    name, sizeof(struct event_desc), d->config->ring_size,
	    (int)rte_lcore_to_socket_id(lcore), RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
	if (w->ring[producer].ring == NULL)
		return no_memory(err, "rte_ring_create_elem");
	w->ring[producer].near = producer < d->rx_count &&
	                         d->config->rx_lcore[producer] == d->config->worker_lcore[w->shard];
	w->ring_count = producer + 1;
	return 0;
}

static int make_worker(struct dataplane *d, uint32_t i, struct memlog *memlog,
                       char err[CONFIG_ERROR_MAX])
{
	uint32_t lcore = d->config->worker_lcore[i];
	struct worker *w = zmalloc("worker", sizeof(*w), lcore);
	int ret;

	d->worker[i] = w;
	if (w == NULL)
		return no_memory(err, "worker");
	d->worker_count = i + 1;
	w->shard = i;
	w->memlog = memlog;
	counter_set(&w->last_seq, memlog->next_seq - 1);
	w->process = zmalloc("process", sizeof(*w->process), lcore);
	if (w->process == NULL || keytable_init(&w->keys, "keys", d->config->key_slots,
	                                        (int)rte_lcore_to_socket_id(lcore)) < 0)
		return no_memory(err, "worker tables");
	for (uint32_t producer = 0; producer <= d->rx_count; producer++)
		if ((ret = add_ring(d, w, producer, lcore, err)) < 0)
			return ret;
	return 0;
}

static int make_rx_task(struct dataplane *d, uint32_t i, const struct ownership *ownership,
                        char err[CONFIG_ERROR_MAX])
{
	const struct config *c = d->config;
	uint32_t lcore = c->rx_lcore[i];
	struct rx_task *t = zmalloc("rx", sizeof(*t), lcore);

	d->rx[i] = t;
	if (t == NULL)
		return no_memory(err, "rx task");
	t->index = i;
	t->burst = c->burst;
	t->feeds = d->feed;
	t->ownership = ownership;
	t->tsc_line = &d->tsc_line;
	t->worker_count = c->worker_lcore_count;
	t->stage = zmalloc("stage", c->worker_lcore_count * sizeof(*t->stage), lcore);
	t->desc = zmalloc("desc", c->worker_lcore_count * RX_BURST_MAX * sizeof(*t->desc), lcore);
	t->feed_counters =
	    zmalloc("feeds", RTE_MAX(c->feed_count, 1u) * sizeof(*t->feed_counters), lcore);
	t->publish = zmalloc("publish", sizeof(*t->publish), lcore);
	if (t->stage == NULL || t->desc == NULL || t->feed_counters == NULL || t->publish == NULL)
		return no_memory(err, "rx task");
	return 0;
}

static int make_feeds(struct dataplane *d, const uint16_t *feed_ids, char err[CONFIG_ERROR_MAX])
{
	static const enum feed_codec_type types[] = {
	    [CONFIG_CODEC_KEYED] = FEED_CODEC_KEYED,
	    [CONFIG_CODEC_JSON] = FEED_CODEC_JSON,
	    [CONFIG_CODEC_FIXED] = FEED_CODEC_FIXED,
	};

	for (uint32_t i = 0; i < d->config->feed_count; i++) {
		const struct config_feed *f = &d->config->feed[i];
		bool fixed = f->codec == CONFIG_CODEC_FIXED;
		const char *name = fixed ? f->key : f->key_field;
		uint32_t len = fixed ? f->key_len : (uint32_t)strlen(name);

		d->feed[i].framing = FEED_FRAMING_RAW;
		d->feed[i].journal_id = feed_ids[i];
		if (feed_codec_init(&d->feed[i].codec, types[f->codec], name, len) < 0) {
			snprintf(err, CONFIG_ERROR_MAX, "feed %s: its key or key_field is unusable",
			         f->name);
			return -EINVAL;
		}
	}
	return 0;
}

static uint32_t groups_of_port(const struct config *c, uint32_t port, struct net_group *groups)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->feed_count; i++) {
		const struct config_feed *f = &c->feed[i];

		if (f->port != port)
			continue;
		groups[n] = (struct net_group){.family = f->group.family,
		                               .udp_port = f->udp_port,
		                               .vlan = f->vlan,
		                               .feed = (uint16_t)i};
		memcpy(groups[n].address, f->group.bytes, sizeof(groups[n].address));
		n++;
	}
	return n;
}

/* all queues of a port go to one RX task, so that each line keeps its order of arrival */
static void bind_queues(struct rx_task *t, const struct port *port)
{
	for (uint16_t q = 0; q < port->queues; q++)
		t->queue[t->queue_count++] = (struct rx_queue){.port = port, .queue = q};
}

static int open_ports(struct dataplane *d, char err[CONFIG_ERROR_MAX])
{
	const struct config *c = d->config;
	struct net_group groups[CONFIG_FEEDS_MAX];

	if (c->port_count < d->rx_count) {
		snprintf(err, CONFIG_ERROR_MAX,
		         "dataplane.rx_lcores names %u lcores for %u ports: all queues of a port "
		         "are polled by "
		         "one lcore, so that a feed keeps its order; name at most %u",
		         d->rx_count, c->port_count, c->port_count);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < c->port_count; i++) {
		uint32_t n = groups_of_port(c, i, groups);

		d->port_count = i + 1;
		int ret = port_open(&d->port[i], c, &c->port[i], groups, n, err);
		if (ret < 0)
			return ret;
		bind_queues(d->rx[i % d->rx_count], &d->port[i]);
	}
	return 0;
}

static struct lcore *lcore_of(struct dataplane *d, uint32_t id, const struct config_lcore *lcores,
                              uint32_t lcore_count)
{
	for (uint32_t i = 0; i < d->lcore_count; i++)
		if (d->lcore[i]->id == id)
			return d->lcore[i];
	struct lcore *l = zmalloc("lcore", sizeof(*l), id);
	if (l == NULL)
		return NULL;
	l->id = id;
	for (uint32_t i = 0; i < lcore_count; i++)
		if (lcores[i].id == id)
			l->cpu = lcores[i].cpu;
	l->idle = d->config->idle;
	l->rcu = d->rcu;
	l->rcu_id = d->lcore_count;
	l->phase = &d->phase;
	l->second = &d->second;
	d->lcore[d->lcore_count++] = l;
	return l;
}

static int make_lcores(struct dataplane *d, const struct config_lcore *lcores, uint32_t lcore_count,
                       char err[CONFIG_ERROR_MAX])
{
	struct lcore *l;

	for (uint32_t i = 0; i < d->rx_count; i++) {
		if ((l = lcore_of(d, d->config->rx_lcore[i], lcores, lcore_count)) == NULL)
			return no_memory(err, "lcore");
		l->rx = d->rx[i];
	}
	for (uint32_t i = 0; i < d->worker_count; i++) {
		if ((l = lcore_of(d, d->config->worker_lcore[i], lcores, lcore_count)) == NULL)
			return no_memory(err, "lcore");
		l->worker = d->worker[i];
	}
	return 0;
}

static void wire(struct dataplane *d)
{
	for (uint32_t r = 0; r < d->rx_count; r++) {
		for (uint32_t w = 0; w < d->worker_count; w++) {
			const struct worker *worker = d->worker[w];

			rx_wire(d->rx[r], w, worker->ring[r].ring,
			        worker->ring[r].near ? &worker->keys : NULL);
		}
	}
}

int dataplane_create(struct dataplane *d, const struct config *c, const struct config_lcore *lcores,
                     uint32_t lcore_count, const uint16_t *feed_ids, uint16_t http_feed_id,
                     struct memlog *memlogs, const struct ownership *ownership,
                     char err[CONFIG_ERROR_MAX])
{
	int ret;

	memset(d, 0, sizeof(*d));
	d->config = c;
	d->rcu = ownership_rcu(ownership);
	d->rx_count = c->enable ? c->rx_lcore_count : 0;
	clock_line_init(&d->tsc_line, rte_get_tsc_hz(), rte_rdtsc(), clock_realtime_ns());
	if ((ret = make_feeds(d, feed_ids, err)) < 0)
		return ret;
	for (uint32_t i = 0; i < c->worker_lcore_count; i++)
		if ((ret = make_worker(d, i, &memlogs[i], err)) < 0)
			return ret;
	for (uint32_t i = 0; i < d->rx_count; i++)
		if ((ret = make_rx_task(d, i, ownership, err)) < 0)
			return ret;
	wire(d);
	if ((d->ingress = ingress_create(http_feed_id)) == NULL)
		return no_memory(err, "ingress");
	for (uint32_t i = 0; i < d->worker_count; i++)
		if (ingress_attach(d->ingress, &d->worker[i]->ring[d->rx_count]) < 0)
			return no_memory(err, "ingress");
	if (c->enable && (ret = open_ports(d, err)) < 0)
		return ret;
	return make_lcores(d, lcores, lcore_count, err);
}

int dataplane_start(struct dataplane *d, char err[CONFIG_ERROR_MAX])
{
	for (uint32_t i = 0; i < d->lcore_count; i++) {
		int ret = rte_eal_remote_launch(lcore_main, d->lcore[i], d->lcore[i]->id);
		if (ret < 0) {
			snprintf(err, CONFIG_ERROR_MAX, "rte_eal_remote_launch: lcore %u: %s",
			         d->lcore[i]->id, rte_strerror(-ret));
			return ret;
		}
	}
	return 0;
}

void dataplane_tick(struct dataplane *d)
{
	clock_line_discipline(&d->tsc_line, rte_rdtsc(), clock_realtime_ns());
	atomic_fetch_add_explicit(&d->second, 1, memory_order_relaxed);
	for (uint32_t i = 0; i < d->port_count; i++)
		port_clock_tick(&d->port[i]);
}

void dataplane_drain(struct dataplane *d)
{
	atomic_store_explicit(&d->phase, LCORE_DRAIN, memory_order_release);
}

bool dataplane_drained(const struct dataplane *d)
{
	for (uint32_t i = 0; i < d->lcore_count; i++)
		if (d->lcore[i]->rx != NULL &&
		    !atomic_load_explicit(&d->lcore[i]->rx_drained, memory_order_acquire))
			return false;
	for (uint32_t i = 0; i < d->worker_count; i++)
		if (!worker_idle(d->worker[i]))
			return false;
	return true;
}

void dataplane_stop(struct dataplane *d)
{
	atomic_store_explicit(&d->phase, LCORE_STOP, memory_order_release);
	for (uint32_t i = 0; i < d->lcore_count; i++)
		rte_eal_wait_lcore(d->lcore[i]->id);
}

static void free_worker(struct worker *w)
{
	for (uint32_t r = 0; r < w->ring_count; r++)
		rte_ring_free(w->ring[r].ring);
	keytable_free(&w->keys);
	rte_free(w->process);
	rte_free(w);
}

static void free_rx_task(struct rx_task *t)
{
	if (t == NULL)
		return;
	rte_free(t->stage);
	rte_free(t->desc);
	rte_free(t->feed_counters);
	rte_free(t->publish);
	rte_free(t);
}

void dataplane_destroy(struct dataplane *d)
{
	for (uint32_t i = 0; i < d->port_count; i++)
		port_close(&d->port[i]);
	for (uint32_t i = 0; i < d->lcore_count; i++)
		rte_free(d->lcore[i]);
	for (uint32_t i = 0; i < d->rx_count; i++)
		free_rx_task(d->rx[i]);
	ingress_destroy(d->ingress);
	for (uint32_t i = 0; i < d->worker_count; i++)
		free_worker(d->worker[i]);
	memset(d, 0, sizeof(*d));
}
