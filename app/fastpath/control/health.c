/* SPDX-License-Identifier: Apache-2.0 */
#include "control/health.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

#define KAFKA_PATIENCE_S      5    /* to connect */
#define KAFKA_BACKLOG_SHARE   0.8  /* of retain_gb: from here on a backlog is worth a word */
#define KAFKA_BACKLOG_RECORDS 1e5  /* what a healthy bridge may be behind */
#define KAFKA_DISK_SHARE      0.25 /* of the disk, free */

static void __attribute__((format(printf, 4, 5)))
blame(struct health *h, enum health_part part, enum health_status status, const char *format, ...)
{
	va_list args;

	if (status > h->part[part])
		h->part[part] = status;
	if (status > h->status)
		h->status = status;
	if (h->reason_count == HEALTH_REASONS_MAX)
		return;
	h->reason_part[h->reason_count] = part;
	h->reason_status[h->reason_count] = status;
	va_start(args, format);
	vsnprintf(h->reason[h->reason_count++], HEALTH_REASON_LEN, format, args);
	va_end(args);
}

static void judge_engine(struct health *h, const struct figures *f)
{
	if (!f->recovered)
		blame(h, HEALTH_ENGINE, HEALTH_DEGRADED, "recovery of the journal is running");
	if (!f->ownership_known)
		blame(h, HEALTH_ENGINE, HEALTH_DEGRADED,
		      "it is not known yet which keys this engine owns");
	if (f->draining)
		blame(h, HEALTH_ENGINE, HEALTH_DEGRADED, "draining before a stop");
}

static void judge_lcores(struct health *h, const struct figures *f)
{
	for (uint32_t i = 0; i < f->lcore_count; i++)
		if (!f->lcore[i].moving)
			blame(h, HEALTH_LCORES, HEALTH_UNHEALTHY,
			      "lcore %u on CPU %u has not polled for more than a second",
			      f->lcore[i].id, f->lcore[i].cpu);
}

static void judge_ports(struct health *h, const struct figures *f)
{
	uint32_t down = 0;

	if (f->ports_up)
		return;
	for (uint32_t i = 0; i < f->port_count; i++) {
		if (f->port[i].link_up)
			continue;
		down++;
		blame(h, HEALTH_PORTS, HEALTH_UNHEALTHY, "port %s (%s) has no link",
		      f->port[i].name, f->port[i].device);
	}
	if (down == 0)
		blame(h, HEALTH_PORTS, HEALTH_UNHEALTHY, "the ports are not up");
}

/* the last feed is the engine's own HTTP ingress, which may be silent */
static bool is_ingress(const struct figures *f, uint32_t i)
{
	return i + 1 == f->feed_count && strcmp(f->feed[i].name, "http") == 0;
}

static void judge_feeds(struct health *h, const struct figures *f, const struct config *c)
{
	for (uint32_t i = 0; c->silent_feed_s && i < f->feed_count; i++) {
		uint64_t last = f->feed[i].last_rx_ns ? f->feed[i].last_rx_ns : f->start_ns;

		if (is_ingress(f, i) || f->now_ns <= last ||
		    f->now_ns - last <= c->silent_feed_s * SECOND)
			continue;
		blame(h, HEALTH_FEEDS, HEALTH_DEGRADED,
		      "feed %s has been silent for %" PRIu64 " s, above %u s", f->feed[i].name,
		      (f->now_ns - last) / SECOND, c->silent_feed_s);
	}
}

static void judge_latency(struct health *h, const struct figures *f, const struct config *c)
{
	const struct histogram_snapshot *window = &f->latency[LATENCY_PROCESS].window;
	double p99_us = (double)histogram_quantile(window, 0.99) / 1000.0;

	if (window->total < HEALTH_P99_SAMPLES)
		return;
	if (p99_us > c->p99_unhealthy_us)
		blame(h, HEALTH_LATENCY, HEALTH_UNHEALTHY,
		      "process p99 is %.1f us over the last %d s, above %g us", p99_us,
		      FIGURES_WINDOW_S, c->p99_unhealthy_us);
	else if (p99_us > c->p99_degraded_us)
		blame(h, HEALTH_LATENCY, HEALTH_DEGRADED,
		      "process p99 is %.1f us over the last %d s, above %g us", p99_us,
		      FIGURES_WINDOW_S, c->p99_degraded_us);
}

static void judge_drops(struct health *h, const struct figures *f, const struct config *c)
{
	uint64_t drops = 0;
	enum reason worst = REASON_COUNT;

	for (int i = 0; i < REASON_COUNT; i++) {
		if (reason_table[i].kind != REASON_KIND_DROPPED || f->reason_window[i] == 0)
			continue;
		drops += f->reason_window[i];
		if (worst == REASON_COUNT || f->reason_window[i] > f->reason_window[worst])
			worst = (enum reason)i;
	}
	if (worst == REASON_COUNT || drops <= c->drops_degraded)
		return;
	blame(h, HEALTH_DROPS, drops > c->drops_unhealthy ? HEALTH_UNHEALTHY : HEALTH_DEGRADED,
	      "%" PRIu64 " dropped in the last %d s, most of them %s: %s", drops, FIGURES_WINDOW_S,
	      reason_table[worst].name, reason_table[worst].sentence);
}

static void judge_journal(struct health *h, const struct figures *f, const struct config *c)
{
	for (uint32_t i = 0; i < f->shard_count; i++) {
		int failing = f->shard[i].failing;

		if (failing == ENOSPC || failing == EDQUOT)
			blame(h, HEALTH_DISK, HEALTH_UNHEALTHY,
			      "the disk is full: shard %u waits to write %" PRIu64 " records", i,
			      f->shard[i].lag);
		else if (failing)
			blame(h, HEALTH_JOURNAL, HEALTH_UNHEALTHY,
			      "the journal of shard %u cannot be written: %s; %" PRIu64
			      " records wait",
			      i, strerror(failing), f->shard[i].lag);
	}
	if (f->journal_errors_window > c->errors_degraded)
		blame(h, HEALTH_JOURNAL,
		      f->journal_errors_window > c->errors_unhealthy ? HEALTH_UNHEALTHY
		                                                     : HEALTH_DEGRADED,
		      "%" PRIu64 " journal errors in the last %d s", f->journal_errors_window,
		      FIGURES_WINDOW_S);
}

static void judge_disk(struct health *h, const struct figures *f, const struct config *c)
{
	double free_mb = (double)f->disk_free_bytes / (1024 * 1024);

	if (f->disk_size_bytes && free_mb < c->disk_free_degraded_mb)
		blame(h, HEALTH_DISK, HEALTH_DEGRADED,
		      "%.0f MB are free on the journal's disk, below %g MB", free_mb,
		      c->disk_free_degraded_mb);
}

static void judge_etcd(struct health *h, const struct ownership_figures *o)
{
	if (!o->etcd)
		return;
	if (o->held_by != NULL)
		blame(h, HEALTH_ETCD, HEALTH_UNHEALTHY,
		      "another instance, %s, is registered in etcd under this engine's id",
		      o->held_by[0] ? o->held_by : "of unknown name");
	if (o->away && o->answer_age_ms == UINT64_MAX)
		blame(h, HEALTH_ETCD, HEALTH_DEGRADED, "etcd has not answered yet%s%.150s",
		      o->trouble[0] ? ": " : "", o->trouble);
	else if (o->away)
		blame(h, HEALTH_ETCD, HEALTH_DEGRADED,
		      "etcd has been away for %" PRIu64 " s, ownership stays as it is%s%.120s",
		      o->answer_age_ms / 1000, o->trouble[0] ? ": " : "", o->trouble);
	else if (!o->registered && o->held_by == NULL)
		blame(h, HEALTH_ETCD, HEALTH_DEGRADED, "this engine is not registered in etcd yet");
}

static bool no_broker(const struct kafka_figures *k)
{
	for (uint32_t i = 0; i < k->broker_count; i++)
		if (k->broker[i].up)
			return false;
	return k->broker_count > 0;
}

static void judge_bridge(struct health *h, const struct figures *f)
{
	const struct kafka_figures *k = &f->kafka;

	switch (k->state) {
	case KAFKA_OFF:
	case KAFKA_ENDED:
		return;
	case KAFKA_CONNECTING:
		if (f->now_ns > k->state_since_ns + KAFKA_PATIENCE_S * SECOND)
			blame(h, HEALTH_KAFKA, HEALTH_DEGRADED,
			      "the Kafka bridge does not deliver yet: %s", k->reason);
		return;
	case KAFKA_RUNNING:
		if (no_broker(k))
			blame(h, HEALTH_KAFKA, HEALTH_DEGRADED, "no Kafka broker is connected");
		return;
	case KAFKA_AWAY_STATE:
		blame(h, HEALTH_KAFKA, HEALTH_DEGRADED, "Kafka is away: %s", k->reason);
		return;
	case KAFKA_PAUSED:
		blame(h, HEALTH_KAFKA, HEALTH_UNHEALTHY, "the Kafka bridge is paused: %s",
		      k->reason);
		return;
	case KAFKA_FENCED_STATE:
	case KAFKA_STOPPED_STATE:
		blame(h, HEALTH_KAFKA, HEALTH_UNHEALTHY, "the Kafka bridge has stopped: %s",
		      k->reason);
		return;
	}
}

/* what Kafka has not is kept, beyond retain_gb if need be: warn while there is room */
static void judge_backlog(struct health *h, const struct figures *f, const struct config *c)
{
	double bytes = 0, limit = c->retain_gb * 1e9;
	double room = (double)f->disk_free_bytes, size = (double)f->disk_size_bytes;

	if (f->kafka.state == KAFKA_OFF || f->kafka.lag == 0)
		return;
	for (uint32_t i = 0; i < f->shard_count; i++)
		bytes += (double)f->shard[i].bytes;
	if (limit > 0 && bytes > limit * KAFKA_BACKLOG_SHARE &&
	    (double)f->kafka.lag > KAFKA_BACKLOG_RECORDS)
		blame(h, HEALTH_KAFKA, HEALTH_DEGRADED,
		      "the journal holds %.1f GB with %" PRIu64
		      " records that Kafka has not: they are kept beyond retain_gb = %g",
		      bytes / 1e9, f->kafka.lag, c->retain_gb);
	else if (size > 0 && room < size * KAFKA_DISK_SHARE && f->kafka.state != KAFKA_RUNNING)
		blame(h, HEALTH_KAFKA, HEALTH_DEGRADED,
		      "%.1f GB are free for the %" PRIu64
		      " records that Kafka has not, and their number grows",
		      room / 1e9, f->kafka.lag);
}

void health_judge(struct health *h, const struct figures *f, const struct config *c)
{
	h->status = HEALTH_HEALTHY;
	h->reason_count = 0;
	for (int i = 0; i < HEALTH_PARTS; i++)
		h->part[i] = HEALTH_HEALTHY;
	judge_engine(h, f);
	judge_lcores(h, f);
	judge_ports(h, f);
	judge_journal(h, f, c);
	judge_drops(h, f, c);
	judge_latency(h, f, c);
	judge_disk(h, f, c);
	judge_feeds(h, f, c);
	judge_etcd(h, &f->ownership);
	judge_bridge(h, f);
	judge_backlog(h, f, c);
}

bool health_live(const struct figures *f)
{
	for (uint32_t i = 0; i < f->lcore_count; i++)
		if (!f->lcore[i].moving)
			return false;
	return true;
}

bool health_ready(const struct figures *f)
{
	return f->ports_up && f->recovered && f->ownership_known && !f->draining;
}

const char *health_status_name(enum health_status s)
{
	static const char *const name[] = {"healthy", "degraded", "unhealthy"};

	return name[s];
}

const char *health_part_name(enum health_part p)
{
	static const char *const name[HEALTH_PARTS] = {
	    [HEALTH_ENGINE] = "engine",   [HEALTH_LCORES] = "lcores",   [HEALTH_PORTS] = "ports",
	    [HEALTH_FEEDS] = "feeds",     [HEALTH_LATENCY] = "latency", [HEALTH_DROPS] = "drops",
	    [HEALTH_JOURNAL] = "journal", [HEALTH_DISK] = "disk",       [HEALTH_ETCD] = "etcd",
	    [HEALTH_KAFKA] = "kafka",
	};

	return name[p];
}
