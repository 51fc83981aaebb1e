/* SPDX-License-Identifier: Apache-2.0 */
#include "control/stats.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "control/http_answer.h"
#include "control/process.h"

static void set_u64(json_t *o, uint64_t value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void set_u64(json_t *o, uint64_t value, const char *format, ...)
{
	char name[128];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	json_object_set_new(o, name, json_integer((json_int_t)value));
}

static void set_real(json_t *o, const char *name, double value)
{
	json_object_set_new(o, name, json_real(round(value * 1000) / 1000));
}

static void set_text(json_t *o, const char *name, const char *value)
{
	json_object_set_new(o, name, http_text_json(value ? value : ""));
}

static uint64_t total(const struct figures *f, enum reason_kind kind, int unit)
{
	uint64_t n = 0;

	for (int i = 0; i < REASON_COUNT; i++)
		if (reason_table[i].kind == kind && (unit < 0 || (int)reason_table[i].unit == unit))
			n += f->reason[i];
	return n;
}

static void set_latency(json_t *o, const char *prefix, const char *suffix,
                        const struct histogram_snapshot *s)
{
	static const struct {
		const char *name;
		double quantile;
	} figure[] = {{"p50", 0.5}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
	char name[128];

	for (size_t i = 0; i < sizeof(figure) / sizeof(figure[0]); i++) {
		uint64_t ns = i == 3 ? s->max : histogram_quantile(s, figure[i].quantile);

		snprintf(name, sizeof(name), "%s%s_%s_us", prefix, suffix, figure[i].name);
		set_real(o, name, (double)ns / 1000.0);
	}
	set_u64(o, s->total, "%s%s_samples", prefix, suffix);
}

static void set_latencies(json_t *o, const struct figures *f)
{
	static const char *const prefix[LATENCY_COUNT] = {
	    [LATENCY_PUBLISH] = "fast_path_publish",
	    [LATENCY_PROCESS] = "fast_path_process",
	    [LATENCY_WRITE] = "persistence_queue_write",
	    [LATENCY_SYNC] = "persistence_queue_sync",
	};

	set_u64(o, FIGURES_WINDOW_S, "window_s");
	for (int i = 0; i < LATENCY_COUNT; i++)
		set_latency(o, prefix[i], "", &f->latency[i].window);
	for (int i = 0; i < LATENCY_COUNT; i++)
		set_latency(o, prefix[i], "_total", &f->latency[i].total);
}

/* the two laws, left side minus right side; 0 at rest */
static void set_laws(json_t *o, const struct figures *f)
{
	uint64_t seen = 0, decoded = 0, to_host = 0, bytes = 0;
	uint64_t filtered = total(f, REASON_KIND_FILTERED, REASON_UNIT_FRAME);
	uint64_t dropped = total(f, REASON_KIND_DROPPED, REASON_UNIT_FRAME);
	uint64_t messages_filtered = total(f, REASON_KIND_FILTERED, REASON_UNIT_MESSAGE);
	uint64_t messages_dropped = total(f, REASON_KIND_DROPPED, REASON_UNIT_MESSAGE);
	bool loss_known = true;

	for (uint32_t i = 0; i < f->port_count; i++) {
		seen += f->port[i].seen;
		decoded += f->port[i].decoded;
		to_host += f->port[i].to_host;
		bytes += f->port[i].bytes;
		loss_known = loss_known && f->port[i].loss_known;
	}
	set_u64(o, seen, "frames_seen_total");
	set_u64(o, decoded, "frames_decoded_total");
	set_u64(o, to_host, "frames_to_host_total");
	set_u64(o, filtered, "frames_filtered_total");
	set_u64(o, dropped, "frames_dropped_total");
	set_u64(o, bytes, "frames_bytes_total");
	json_object_set_new(o, "frames_loss_known", json_boolean(loss_known));
	set_u64(o, f->messages, "messages_total");
	set_u64(o, f->journaled, "journaled_total");
	set_u64(o, messages_filtered, "messages_filtered_total");
	set_u64(o, messages_dropped, "messages_dropped_total");
	set_u64(o, seen - decoded - to_host - filtered - dropped, "law_frames_balance");
	set_u64(o, f->messages - f->journaled - messages_filtered - messages_dropped,
	        "law_messages_balance");
	for (int i = 0; i < REASON_COUNT; i++)
		set_u64(o, f->reason[i], "reason_%s", reason_table[i].name);
}

static void set_shards(json_t *o, const struct figures *f)
{
	set_u64(o, f->shard_count, "shard_count");
	for (uint32_t i = 0; i < f->shard_count; i++) {
		const struct shard_figures *s = &f->shard[i];

		set_u64(o, s->first_seq, "shard_%u_first_seq", i);
		set_u64(o, s->last_seq, "shard_%u_last_seq", i);
		set_u64(o, s->written_seq, "shard_%u_written_seq", i);
		set_u64(o, s->durable_seq, "shard_%u_durable_seq", i);
		set_u64(o, s->lag, "shard_%u_lag", i);
		set_u64(o, s->journaled, "shard_%u_journaled_total", i);
		set_u64(o, s->bytes, "shard_%u_bytes", i);
		set_u64(o, s->segments, "shard_%u_segments", i);
		set_u64(o, s->syncs, "shard_%u_syncs_total", i);
		set_u64(o, s->errors, "shard_%u_errors_total", i);
		set_u64(o, (uint64_t)s->failing, "shard_%u_failing_errno", i);
		set_u64(o, s->memlog_used, "shard_%u_memlog_used_bytes", i);
		set_u64(o, s->memlog_size, "shard_%u_memlog_size_bytes", i);
		set_u64(o, s->keys, "shard_%u_keys", i);
		set_u64(o, s->keys_untracked, "shard_%u_keys_untracked", i);
	}
}

static void set_places(json_t *o, const struct figures *f)
{
	for (uint32_t i = 0; i < f->port_count; i++) {
		set_u64(o, f->port[i].seen, "port_%s_frames_seen_total", f->port[i].name);
		set_u64(o, f->port[i].decoded, "port_%s_frames_decoded_total", f->port[i].name);
		set_u64(o, f->port[i].link_up, "port_%s_link_up", f->port[i].name);
		set_u64(o, f->port[i].loss_known, "port_%s_loss_known", f->port[i].name);
	}
	for (uint32_t i = 0; i < f->feed_count; i++) {
		set_u64(o, f->feed[i].datagrams, "feed_%s_datagrams_total", f->feed[i].name);
		set_u64(o, f->feed[i].messages, "feed_%s_messages_total", f->feed[i].name);
		set_u64(o, f->feed[i].last_rx_ns, "feed_%s_last_rx_ns", f->feed[i].name);
	}
	for (uint32_t i = 0; i < f->lcore_count; i++) {
		char name[64];

		snprintf(name, sizeof(name), "lcore_%u_busy_ratio", f->lcore[i].id);
		set_real(o, name, f->lcore[i].busy_ratio);
		set_u64(o, f->lcore[i].longest_gap_ns / 1000, "lcore_%u_longest_gap_us",
		        f->lcore[i].id);
		set_u64(o, f->lcore[i].polls, "lcore_%u_polls_total", f->lcore[i].id);
		set_u64(o, f->lcore[i].empty_polls, "lcore_%u_empty_polls_total", f->lcore[i].id);
	}
	for (uint32_t i = 0; i < f->ring_count; i++)
		set_u64(o, f->ring[i].high_water, "ring_%s_%u_high_water", f->ring[i].producer,
		        f->ring[i].worker);
	for (uint32_t i = 0; i < f->pool_count; i++)
		set_u64(o, f->pool[i].used, "pool_%s_used", f->pool[i].name);
}

static void set_ownership(json_t *o, const struct ownership_figures *own)
{
	set_u64(o, own->keys, "ownership_keys");
	if (!own->etcd)
		return;
	set_text(o, "etcd_endpoint", own->endpoint);
	set_u64(o, own->away, "etcd_away");
	set_u64(o, own->registered, "etcd_registered");
	set_u64(o, own->from_etcd, "ownership_from_etcd");
	set_u64(o, own->watching, "etcd_watching");
	set_u64(o, own->leader, "etcd_leader");
	set_u64(o, (uint64_t)own->revision, "etcd_revision");
	json_object_set_new(o, "etcd_answer_age_ms",
	                    own->answer_age_ms != UINT64_MAX
	                        ? json_integer((json_int_t)own->answer_age_ms)
	                        : json_null());
	set_u64(o, own->assignments, "etcd_assignments");
	set_u64(o, own->engines, "etcd_engines");
	set_u64(o, own->reads, "etcd_reads_total");
	set_u64(o, own->moves, "etcd_moves_total");
	set_u64(o, own->failovers, "etcd_failovers_total");
	set_u64(o, own->rejected, "etcd_rejected_answers_total");
}

static void set_kafka(json_t *o, const struct kafka_figures *k)
{
	set_text(o, "kafka_bridge_state", kafka_state_name(k->state));
	set_text(o, "kafka_bridge_reason", k->reason);
	set_u64(o, k->sent, "kafka_bridge_send_count");
	set_u64(o, k->errors, "kafka_bridge_send_error_count");
	set_u64(o, k->lag, "kafka_bridge_lag");
	set_real(o, "kafka_bridge_lag_seconds", k->lag_s);
	set_u64(o, k->transactions, "kafka_bridge_transactions_total");
	set_u64(o, k->aborted, "kafka_bridge_transactions_aborted_total");
	set_u64(o, k->rebuilds, "kafka_bridge_producer_rebuilds_total");
	set_u64(o, k->dead_letters, "kafka_bridge_dead_letters_total");
	set_u64(o, k->gaps, "kafka_bridge_gaps_total");
	set_u64(o, k->skipped, "kafka_bridge_skipped_total");
	for (uint32_t i = 0; i < k->broker_count; i++) {
		set_u64(o, k->broker[i].up, "kafka_broker_%s_up", k->broker[i].name);
		set_u64(o, k->broker[i].rtt_us, "kafka_broker_%s_rtt_us", k->broker[i].name);
	}
}

static void set_machine(json_t *o, const struct figures *f)
{
	struct process_figures p;

	process_read(&p);
	set_u64(o, f->disk_free_bytes, "disk_free_bytes");
	set_u64(o, f->disk_size_bytes, "disk_size_bytes");
	set_real(o, "process_cpu_seconds_total", p.cpu_seconds);
	set_u64(o, p.resident_bytes, "process_resident_memory_bytes");
	set_u64(o, p.virtual_bytes, "process_virtual_memory_bytes");
	set_u64(o, p.open_fds, "process_open_fds");
	set_u64(o, p.threads, "process_threads");
	set_text(o, "huge_pages", f->huge_pages);
}

static void set_http(json_t *o, const struct http_figures *http)
{
	set_u64(o, http->open, "http_connections_open");
	set_u64(o, http->accepted, "http_connections_accepted_total");
	set_u64(o, http->refused, "http_connections_refused_total");
	set_u64(o, http->evicted, "http_connections_evicted_total");
	set_u64(o, http->timed_out, "http_connections_timed_out_total");
	set_u64(o, http->requests, "http_requests_total");
}

json_t *stats_json(const struct figures *f, const struct health *h, const struct http_figures *http)
{
	json_t *o = json_object();

	if (!o)
		return NULL;
	set_text(o, "status", health_status_name(h->status));
	set_text(o, "engine", f->engine_id);
	set_text(o, "version", f->version);
	set_text(o, "journal_uuid", f->journal_uuid);
	set_u64(o, (f->now_ns - f->start_ns) / 1000000000ull, "uptime_s");
	set_u64(o, f->events_per_s, "events_per_second");
	set_u64(o, f->journaled, "fast_path_count");
	set_u64(o, total(f, REASON_KIND_DROPPED, -1), "fast_path_drops_total");
	set_u64(o, total(f, REASON_KIND_FILTERED, -1), "fast_path_filtered_total");
	set_u64(o, f->lag, "persistence_queue_lag");
	set_u64(o, f->journal_errors, "persistence_queue_error_count");
	set_latencies(o, f);
	set_laws(o, f);
	set_shards(o, f);
	set_places(o, f);
	set_ownership(o, &f->ownership);
	set_kafka(o, &f->kafka);
	set_machine(o, f);
	set_http(o, http);
	return o;
}
