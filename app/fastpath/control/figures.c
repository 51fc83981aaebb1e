/* SPDX-License-Identifier: Apache-2.0 */
#include "control/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include <rte_cycles.h>

#include "control/figures_source.h"
#include "control/telemetry.h"
#include "event/hash.h"

#define SLOTS    (FIGURES_WINDOW_S + 1)
#define FRESH_NS 10000000ull /* figures younger than this are not gathered again */

/* what a window needs of one moment */
struct moment {
	uint64_t reason[REASON_COUNT];
	uint64_t journal_errors;
	uint64_t journaled;
	uint64_t tsc;
	uint64_t busy_tsc[CONFIG_LCORES_MAX * 2];
	struct histogram_snapshot latency[LATENCY_COUNT];
};

struct figures_source {
	struct figures_inputs in;
	bool attached; /* the data plane and what follows are there */
	const struct ownership *ownership;
	struct kafka_bridge *kafka;
	const char *huge_pages;
	bool ready, draining;
	uint64_t gathered_ns; /* steady */
	uint32_t ticks;       /* moments kept so far */
	struct moment history[SLOTS];
	struct figures now;
};

struct figures_source *figures_create(const struct figures_inputs *in)
{
	struct figures_source *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->in = *in;
	return s;
}

void figures_attach(struct figures_source *s, const struct ownership *ownership,
                    struct kafka_bridge *kafka, const char *huge_pages)
{
	s->ownership = ownership;
	s->kafka = kafka;
	s->huge_pages = huge_pages;
	s->attached = true;
}

void figures_destroy(struct figures_source *s)
{
	free(s);
}

void figures_set_ready(struct figures_source *s, bool ready)
{
	s->ready = ready;
}

void figures_set_draining(struct figures_source *s)
{
	s->draining = true;
	s->gathered_ns = 0;
}

/* the moment `age` seconds ago; NULL: the start was later than that */
static const struct moment *moment_ago(const struct figures_source *s, uint32_t age)
{
	if (age > s->ticks)
		return NULL;
	return &s->history[(s->ticks - age) % SLOTS];
}

static void add_reasons(uint64_t *sum, const counter *reasons)
{
	for (int r = 0; r < REASON_COUNT; r++)
		sum[r] += counter_read(&reasons[r]);
}

static void gather_port(const struct dataplane *d, uint32_t i, struct port_figures *out)
{
	struct port *p = (struct port *)&d->port[i];
	struct port_counts counts;
	uint64_t taken = 0;

	port_counts_read(p, &counts);
	*out = (struct port_figures){
	    .name = p->config->name,
	    .device = p->config->device,
	    .driver = p->driver,
	    .link_up = counts.link_up,
	    .loss_known = counts.loss_known,
	    .checksum_offload = (p->offloads & RTE_ETH_RX_OFFLOAD_UDP_CKSUM) != 0,
	    .rss_offload = p->rss,
	    .timestamp_offload = p->timestamps,
	    .rx_queues = p->queues,
	    .seen = counts.seen,
	};
	out->reason[REASON_NIC_MISSED] = counts.missed;
	out->reason[REASON_NO_MBUF] = counts.no_mbuf;
	out->reason[REASON_NIC_ERROR] = counts.errors;
	for (uint32_t t = 0; t < d->rx_count; t++)
		for (uint32_t q = 0; q < d->rx[t]->queue_count; q++) {
			const struct rx_queue *queue = &d->rx[t]->queue[q];

			if (queue->port != p)
				continue;
			taken += counter_read(&queue->frames);
			out->decoded += counter_read(&queue->decoded);
			out->to_host += counter_read(&queue->to_host);
			out->bytes += counter_read(&queue->bytes);
			add_reasons(out->reason, queue->reason);
		}
	/* a driver that cannot tell its loss may forget its counts too (net_memif, when its peer
	 * goes): what it handed over is all there is to know */
	if (p->loss == PORT_LOSS_UNKNOWN)
		out->seen = taken;
}

static void gather_ports(struct figures_source *s, struct figures *f)
{
	const struct dataplane *d = s->in.dataplane;

	f->port_count = d->port_count;
	for (uint32_t i = 0; i < d->port_count; i++) {
		gather_port(d, i, &f->port[i]);
		for (int r = 0; r < REASON_COUNT; r++)
			f->reason[r] += f->port[i].reason[r];
	}
}

static void gather_feeds(const struct figures_source *s, struct figures *f)
{
	const struct config *c = s->in.config;
	const struct dataplane *d = s->in.dataplane;

	f->feed_count = c->feed_count + 1;
	for (uint32_t i = 0; i < c->feed_count; i++) {
		struct feed_figures *out = &f->feed[i];

		*out = (struct feed_figures){.name = c->feed[i].name,
		                             .port = c->port[c->feed[i].port].name};
		for (uint32_t t = 0; t < d->rx_count; t++) {
			const struct rx_feed_counters *in = &d->rx[t]->feed_counters[i];
			uint64_t last = counter_read(&in->last_rx_ns);

			out->datagrams += counter_read(&in->datagrams);
			out->messages += counter_read(&in->messages);
			out->bytes += counter_read(&in->bytes);
			if (last > out->last_rx_ns)
				out->last_rx_ns = last;
		}
	}
	f->feed[c->feed_count] = (struct feed_figures){
	    .name = "http",
	    .port = "",
	    .messages = counter_read(&d->ingress->messages),
	    .bytes = counter_read(&d->ingress->bytes),
	    .last_rx_ns = counter_read(&d->ingress->last_rx_ns),
	};
}

static uint64_t longest_gap_ns(const struct lcore *l)
{
	uint64_t now = *l->second, longest = 0;

	for (uint32_t age = 0; age < FIGURES_WINDOW_S && age <= now; age++) {
		uint64_t gap = counter_read(&l->gap[(now - age) % LCORE_GAPS]);
		if (gap > longest)
			longest = gap;
	}
	return clock_duration_ns(0, longest);
}

static void gather_lcores(struct figures_source *s, struct figures *f)
{
	const struct dataplane *d = s->in.dataplane;
	/* young engines: over what there is */
	const struct moment *then =
	    moment_ago(s, s->ticks < FIGURES_WINDOW_S ? s->ticks : FIGURES_WINDOW_S);
	uint64_t tsc = rte_rdtsc();

	f->lcore_count = d->lcore_count;
	for (uint32_t i = 0; i < d->lcore_count; i++) {
		const struct lcore *l = d->lcore[i];
		uint64_t busy = counter_read(&l->busy_tsc);

		f->lcore[i] = (struct lcore_figures){
		    .id = l->id,
		    .cpu = l->cpu,
		    .rx = l->rx != NULL,
		    .worker = l->worker != NULL,
		    .polls = counter_read(&l->polls),
		    .empty_polls = counter_read(&l->empty_polls),
		    .longest_gap_ns = longest_gap_ns(l),
		    /* in a stop they end, and are not stuck */
		    .moving = s->draining || clock_duration_ns(counter_read(&l->last_poll_tsc),
		                                               tsc) < CLOCK_NS_PER_S,
		};
		if (s->ticks > 0 && tsc > then->tsc && busy >= then->busy_tsc[i])
			f->lcore[i].busy_ratio =
			    (double)(busy - then->busy_tsc[i]) / (double)(tsc - then->tsc);
	}
}

static void gather_rings(const struct figures_source *s, struct figures *f)
{
	const struct dataplane *d = s->in.dataplane;

	f->ring_count = 0;
	for (uint32_t w = 0; w < d->worker_count; w++)
		for (uint32_t r = 0; r < d->worker[w]->ring_count; r++) {
			const struct worker_ring *ring = &d->worker[w]->ring[r];
			struct ring_figures *out = &f->ring[f->ring_count++];

			if (r < d->rx_count)
				snprintf(out->producer, sizeof(out->producer), "rx%u", r);
			else
				snprintf(out->producer, sizeof(out->producer), "http");
			out->worker = w;
			out->size = rte_ring_get_capacity(ring->ring);
			out->used = rte_ring_count(ring->ring);
			out->high_water = (uint32_t)counter_read(&ring->high_water);
		}
}

static void gather_shard(const struct figures_source *s, uint32_t i, struct shard_figures *out)
{
	const struct worker *w = s->in.dataplane->worker[i];
	const struct journal_writer_status *j = journal_writer_status(s->in.journal[i].writer);

	*out = (struct shard_figures){
	    .durable_seq = atomic_load(&j->durable_seq), /* first: it never passes the others */
	    .written_seq = atomic_load(&j->written_seq),
	    .journaled = counter_read(&w->journaled),
	    .last_seq = counter_read(&w->last_seq),
	    .first_seq = atomic_load(&j->first_seq),
	    .bytes = atomic_load(&j->bytes),
	    .segments = atomic_load(&j->segments),
	    .syncs = atomic_load(&j->syncs),
	    .errors = atomic_load(&j->errors),
	    .failing = atomic_load(&j->failing),
	    .memlog_used = memlog_used(&s->in.memlogs[i]),
	    .memlog_size = s->in.memlogs[i].capacity,
	    .keys = counter_read(&w->keys.keys),
	    .keys_untracked = counter_read(&w->keys.untracked),
	};
	out->lag = out->last_seq > out->durable_seq ? out->last_seq - out->durable_seq : 0;
}

static void gather_shards(const struct figures_source *s, struct figures *f)
{
	const struct dataplane *d = s->in.dataplane;

	f->shard_count = d->worker_count;
	for (uint32_t i = 0; i < d->worker_count; i++) {
		gather_shard(s, i, &f->shard[i]);
		f->journaled += f->shard[i].journaled;
		f->journal_errors += f->shard[i].errors;
		f->lag += f->shard[i].lag;
		add_reasons(f->reason, d->worker[i]->reason);
	}
}

static void gather_messages(const struct figures_source *s, struct figures *f)
{
	const struct dataplane *d = s->in.dataplane;

	for (uint32_t i = 0; i < d->rx_count; i++) {
		f->messages += counter_read(&d->rx[i]->messages);
		add_reasons(f->reason, d->rx[i]->reason);
	}
	f->messages += counter_read(&d->ingress->messages);
	add_reasons(f->reason, d->ingress->reason);
}

static void gather_pools(const struct figures_source *s, struct figures *f)
{
	const struct dataplane *d = s->in.dataplane;

	f->pool_count = 0;
	for (uint32_t i = 0; i < d->port_count; i++) {
		const struct rte_mempool *pool = d->port[i].pool;
		struct pool_figures *out = &f->pool[f->pool_count++];

		snprintf(out->name, sizeof(out->name), "%s", pool->name);
		out->size = pool->size;
		out->used = rte_mempool_in_use_count(pool);
	}
}

static void snapshot_latencies(const struct figures_source *s, struct histogram_snapshot *out)
{
	const struct dataplane *d = s->in.dataplane;

	memset(out, 0, LATENCY_COUNT * sizeof(*out));
	for (uint32_t i = 0; i < d->rx_count; i++)
		histogram_add(&out[LATENCY_PUBLISH], d->rx[i]->publish);
	for (uint32_t i = 0; i < d->worker_count; i++) {
		histogram_add(&out[LATENCY_PROCESS], d->worker[i]->process);
		histogram_add(&out[LATENCY_WRITE], &s->in.journal[i].write_latency);
		histogram_add(&out[LATENCY_SYNC], &s->in.journal[i].sync_latency);
	}
}

static void gather_latencies(struct figures_source *s, struct figures *f)
{
	static const struct histogram_snapshot nothing;
	static struct histogram_snapshot total[LATENCY_COUNT];
	const struct moment *then = moment_ago(s, FIGURES_WINDOW_S);

	snapshot_latencies(s, total);
	for (int i = 0; i < LATENCY_COUNT; i++) {
		f->latency[i].total = total[i];
		histogram_difference(&f->latency[i].window, &total[i],
		                     then != NULL ? &then->latency[i] : &nothing);
	}
}

static void gather_windows(struct figures_source *s, struct figures *f)
{
	const struct moment *then = moment_ago(s, FIGURES_WINDOW_S);
	const struct moment *second = moment_ago(s, 1);

	for (int r = 0; r < REASON_COUNT; r++)
		f->reason_window[r] = f->reason[r] - (then != NULL ? then->reason[r] : 0);
	f->journal_errors_window = f->journal_errors - (then != NULL ? then->journal_errors : 0);
	if (second != NULL && rte_rdtsc() > second->tsc) {
		uint64_t ns = clock_duration_ns(second->tsc, rte_rdtsc());
		f->events_per_s = (f->journaled - second->journaled) * CLOCK_NS_PER_S / (ns + 1);
	}
}

static void gather_disk(const struct figures_source *s, struct figures *f)
{
	struct statvfs v;

	/* by descriptor: without capabilities the path may be out of reach */
	if (fstatvfs(s->in.dir->fd, &v) != 0)
		return;
	f->disk_free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	f->disk_size_bytes = (uint64_t)v.f_blocks * v.f_frsize;
}

/* Behind before ahead: what was journaled is read before what was taken, so that a reader under load never
 * sees more events kept than came. */
static void gather(struct figures_source *s, uint64_t now_ns)
{
	struct figures *f = &s->now;

	f->now_ns = now_ns;
	f->start_ns = s->in.start_ns;
	f->engine_id = s->in.config->engine_id;
	f->journal_uuid = s->in.dir->uuid_text;
	f->version = FASTPATH_VERSION;
	f->draining = s->draining;
	f->huge_pages = s->attached ? s->huge_pages : "none";
	gather_disk(s, f);
	if (!s->attached)
		return;
	f->messages = f->journaled = f->journal_errors = f->lag = f->events_per_s = 0;
	memset(f->reason, 0, sizeof(f->reason));
	gather_shards(s, f);
	gather_messages(s, f);
	gather_ports(s, f);
	gather_feeds(s, f);
	gather_lcores(s, f);
	gather_rings(s, f);
	gather_pools(s, f);
	gather_latencies(s, f);
	gather_windows(s, f);
	kafka_bridge_figures(s->kafka, now_ns, &f->kafka);
	f->recovered = true; /* main attaches after that */
	f->ports_up = s->ready;
	f->ownership_known = ownership_known(s->ownership);
	ownership_figures(s->ownership, &f->ownership);
}

void figures_tick(struct figures_source *s, uint64_t now_ns)
{
	struct moment *m = &s->history[s->ticks % SLOTS];

	if (!s->attached)
		return;
	dataplane_tick(s->in.dataplane);
	gather(s, now_ns);
	s->gathered_ns = clock_steady_ns();
	memcpy(m->reason, s->now.reason, sizeof(m->reason));
	m->journal_errors = s->now.journal_errors;
	m->journaled = s->now.journaled;
	m->tsc = rte_rdtsc();
	for (uint32_t i = 0; i < s->in.dataplane->lcore_count; i++)
		m->busy_tsc[i] = counter_read(&s->in.dataplane->lcore[i]->busy_tsc);
	for (int i = 0; i < LATENCY_COUNT; i++)
		m->latency[i] = s->now.latency[i].total;
	s->ticks++;
	telemetry_update(&s->now);
}

const struct figures *figures_get(struct figures_source *s, uint64_t now_ns)
{
	uint64_t steady = clock_steady_ns();

	if (s->gathered_ns == 0 || steady - s->gathered_ns > FRESH_NS) {
		gather(s, now_ns);
		s->gathered_ns = steady;
	}
	return &s->now;
}

void figures_key(struct figures_source *s, const void *key, uint32_t len, struct key_figures *out)
{
	uint32_t hash = event_key_hash(key, len);
	uint32_t shard = event_key_worker(hash, s->in.dataplane->worker_count);

	*out = (struct key_figures){.shard = shard};
	out->seen = keytable_find(&s->in.dataplane->worker[shard]->keys, key, len, hash,
	                          &out->count, &out->last_seq);
}

uint64_t figures_durable_seq(const struct figures_source *s, uint32_t shard)
{
	return atomic_load(&journal_writer_status(s->in.journal[shard].writer)->durable_seq);
}
