/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "control/console.h"
#include "control/http_answer.h"
#include "control/stats.h"

#define MS UINT64_C(1000000)

static json_t *u64(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *real(double value)
{
	return json_real(round(value * 1000) / 1000);
}

static json_t *health_json(const struct figures *f, const struct health *h,
                           const struct history *history)
{
	json_t *reasons = json_array(), *parts = json_array();

	for (uint32_t i = 0; i < h->reason_count; i++)
		json_array_append_new(reasons,
		                      json_pack("{s:s, s:s, s:o}", "part",
		                                health_part_name(h->reason_part[i]), "status",
		                                health_status_name(h->reason_status[i]), "text",
		                                http_text_json(h->reason[i])));
	for (int i = 0; i < HEALTH_PARTS; i++)
		json_array_append_new(
		    parts,
		    json_pack("{s:s, s:s, s:o}", "part", health_part_name(i), "status",
		              health_status_name(h->part[i]), "since_ms",
		              u64(history_part_since_ms(history, i, h->part[i], f->now_ns / MS))));
	return json_pack("{s:s, s:o, s:b, s:b, s:b, s:b, s:b, s:o, s:o}", "status",
	                 health_status_name(h->status), "since_ms",
	                 u64(history_status_since_ms(history, h->status, f->now_ns / MS)), "ready",
	                 health_ready(f), "ports_up", f->ports_up, "recovered", f->recovered,
	                 "ownership_known", f->ownership_known, "draining", f->draining, "reasons",
	                 reasons, "parts", parts);
}

/* what the configuration calls too much */
static json_t *limits_json(const struct config *c)
{
	return json_pack("{s:f, s:f, s:I, s:I, s:i, s:f, s:f}", "p99_degraded_us",
	                 c->p99_degraded_us, "p99_unhealthy_us", c->p99_unhealthy_us,
	                 "drops_degraded", (json_int_t)c->drops_degraded, "drops_unhealthy",
	                 (json_int_t)c->drops_unhealthy, "silent_feed_s", (int)c->silent_feed_s,
	                 "disk_free_degraded_mb", c->disk_free_degraded_mb, "retain_gb",
	                 c->retain_gb);
}

static json_t *reasons_json(const struct figures *f)
{
	json_t *reasons = json_array();

	for (int i = 0; i < REASON_COUNT; i++)
		json_array_append_new(
		    reasons,
		    json_pack(
		        "{s:s, s:s, s:s, s:s, s:o, s:o}", "name", reason_table[i].name, "kind",
		        reason_table[i].kind == REASON_KIND_DROPPED ? "dropped" : "filtered",
		        "unit", reason_table[i].unit == REASON_UNIT_FRAME ? "frame" : "message",
		        "sentence", reason_table[i].sentence, "total", u64(f->reason[i]), "window",
		        u64(f->reason_window[i])));
	return reasons;
}

static json_t *ports_json(const struct figures *f)
{
	json_t *ports = json_array();

	for (uint32_t i = 0; i < f->port_count; i++) {
		const struct port_figures *p = &f->port[i];
		uint64_t filtered = 0, dropped = 0;

		for (int r = 0; r < REASON_COUNT; r++)
			*(reason_table[r].kind == REASON_KIND_DROPPED ? &dropped : &filtered) +=
			    p->reason[r];
		json_array_append_new(
		    ports,
		    json_pack("{s:o, s:o, s:s?, s:b, s:b, s:i, s:o, s:o, s:o, s:o, s:o, s:o}",
		              "name", http_text_json(p->name), "device", http_text_json(p->device),
		              "driver", p->driver, "link_up", p->link_up, "loss_known",
		              p->loss_known, "queues", (int)p->rx_queues, "seen", u64(p->seen),
		              "decoded", u64(p->decoded), "to_host", u64(p->to_host), "filtered",
		              u64(filtered), "dropped", u64(dropped), "bytes", u64(p->bytes)));
	}
	return ports;
}

static json_t *feeds_json(const struct figures *f)
{
	json_t *feeds = json_array();

	for (uint32_t i = 0; i < f->feed_count; i++) {
		const struct feed_figures *feed = &f->feed[i];

		json_array_append_new(
		    feeds, json_pack("{s:o, s:s?, s:o, s:o, s:o, s:o}", "name",
		                     http_text_json(feed->name), "port", feed->port, "datagrams",
		                     u64(feed->datagrams), "messages", u64(feed->messages), "bytes",
		                     u64(feed->bytes), "last_rx_ms", u64(feed->last_rx_ns / MS)));
	}
	return feeds;
}

static json_t *lcores_json(const struct figures *f)
{
	json_t *lcores = json_array();

	for (uint32_t i = 0; i < f->lcore_count; i++) {
		const struct lcore_figures *l = &f->lcore[i];

		json_array_append_new(lcores,
		                      json_pack("{s:i, s:i, s:s, s:b, s:o, s:o, s:o, s:o}", "id",
		                                (int)l->id, "cpu", (int)l->cpu, "task",
		                                l->rx && l->worker ? "receive and work"
		                                : l->rx            ? "receive"
		                                                   : "work",
		                                "moving", l->moving, "busy", real(l->busy_ratio),
		                                "gap_us", u64(l->longest_gap_ns / 1000), "polls",
		                                u64(l->polls), "empty_polls", u64(l->empty_polls)));
	}
	return lcores;
}

static json_t *rings_json(const struct figures *f)
{
	json_t *rings = json_array();

	for (uint32_t i = 0; i < f->ring_count; i++) {
		const struct ring_figures *r = &f->ring[i];

		json_array_append_new(rings, json_pack("{s:s, s:i, s:i, s:i, s:i}", "producer",
		                                       r->producer, "worker", (int)r->worker,
		                                       "size", (int)r->size, "used", (int)r->used,
		                                       "high_water", (int)r->high_water));
	}
	return rings;
}

static json_t *pools_json(const struct figures *f)
{
	json_t *pools = json_array();

	for (uint32_t i = 0; i < f->pool_count; i++)
		json_array_append_new(
		    pools, json_pack("{s:o, s:i, s:i}", "name", http_text_json(f->pool[i].name),
		                     "size", (int)f->pool[i].size, "used", (int)f->pool[i].used));
	return pools;
}

static json_t *brokers_json(const struct kafka_figures *k)
{
	json_t *brokers = json_array();

	for (uint32_t i = 0; i < k->broker_count; i++)
		json_array_append_new(brokers,
		                      json_pack("{s:o, s:b, s:o, s:o}", "name",
		                                http_text_json(k->broker[i].name), "up",
		                                k->broker[i].up, "rtt_us", u64(k->broker[i].rtt_us),
		                                "errors", u64(k->broker[i].errors)));
	return brokers;
}

/* A quarter of a power of two is a bar. The histogram's buckets divide a power of two by more, so that each falls into
 * one bar; below FINEST ns there is one bar for all. */
#define FINEST 64u

static uint64_t bar_low(uint64_t ns)
{
	if (ns < FINEST)
		return 0;
	uint32_t shift = 63u - (uint32_t)__builtin_clzll(ns) - 2;

	return ns >> shift << shift;
}

static uint64_t bar_high(uint64_t low)
{
	if (low < FINEST)
		return FINEST;
	return low + (UINT64_C(1) << (63u - (uint32_t)__builtin_clzll(low) - 2));
}

static void append_bar(json_t *bars, uint64_t low, uint64_t count)
{
	if (count)
		json_array_append_new(
		    bars, json_pack("[o, o, o]", u64(low), u64(bar_high(low)), u64(count)));
}

/* [[from ns, to ns, count], ...] of the last 10 s, without the empty ones */
static json_t *histogram_json(const struct histogram_snapshot *s)
{
	json_t *bars = json_array();
	uint64_t low = 0, count = 0;

	if (s->total == 0)
		return bars;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (s->count[i] == 0)
			continue;
		uint64_t bar = bar_low(histogram_bucket_low(i));

		if (bar != low) {
			append_bar(bars, low, count);
			low = bar;
			count = 0;
		}
		count += s->count[i];
	}
	append_bar(bars, low, count);
	return bars;
}

static json_t *histograms_json(const struct figures *f)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "process",
	                 histogram_json(&f->latency[LATENCY_PROCESS].window), "publish",
	                 histogram_json(&f->latency[LATENCY_PUBLISH].window), "write",
	                 histogram_json(&f->latency[LATENCY_WRITE].window), "sync",
	                 histogram_json(&f->latency[LATENCY_SYNC].window));
}

json_t *console_json(const struct figures *f, const struct health *h,
                     const struct http_figures *http, const struct history *history,
                     const struct config *c, uint64_t after)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	                 "now_ms", u64(f->now_ns / MS), "started_ms", u64(f->start_ns / MS),
	                 "health", health_json(f, h, history), "limits", limits_json(c), "stats",
	                 stats_json(f, h, http), "reasons", reasons_json(f), "ports", ports_json(f),
	                 "feeds", feeds_json(f), "lcores", lcores_json(f), "rings", rings_json(f),
	                 "pools", pools_json(f), "brokers", brokers_json(&f->kafka), "histograms",
	                 histograms_json(f), "history", history_json(history, after));
}
