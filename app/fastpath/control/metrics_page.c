/* SPDX-License-Identifier: Apache-2.0 */
#include "control/metrics_page.h"

#include <inttypes.h>
#include <stdio.h>

#include "metrics/prometheus.h"

typedef struct prometheus page;

static void one_u64(page *p, const char *name, const char *type, const char *help, uint64_t value)
{
	prometheus_family(p, name, type, help);
	prometheus_u64(p, name, value, NULL);
}

static void one_double(page *p, const char *name, const char *type, const char *help, double value)
{
	prometheus_family(p, name, type, help);
	prometheus_double(p, name, value, NULL);
}

static void put_reasons(page *p, const struct figures *f, enum reason_kind kind, const char *name,
                        const char *help)
{
	prometheus_family(p, name, "counter", help);
	for (int i = 0; i < REASON_COUNT; i++)
		if (reason_table[i].kind == kind)
			prometheus_u64(
			    p, name, f->reason[i],
			    PROMETHEUS_LABELS({"reason", reason_table[i].name},
			                      {"unit", reason_table[i].unit == REASON_UNIT_FRAME
			                                   ? "frame"
			                                   : "message"}));
}

static void put_events(page *p, const struct figures *f)
{
	one_u64(p, "fast_path_events_total", "counter", "Events published in the memlog.",
	        f->journaled);
	one_u64(p, "fast_path_messages_total", "counter",
	        "Messages from decoded datagrams and POST: journaled, filtered or dropped.",
	        f->messages);
	put_reasons(p, f, REASON_KIND_DROPPED, "fast_path_drops_total",
	            "Frames and messages that were wanted and lost.");
	put_reasons(p, f, REASON_KIND_FILTERED, "fast_path_filtered_total",
	            "Frames and messages that were chosen not to be taken.");
}

/* the contract's names are in microseconds, whatever promtool's lint thinks of it */
static void put_quantile(page *p, const struct figures *f, int latency, const char *stem,
                         const char *what, const char *name, double quantile)
{
	uint64_t ns = histogram_quantile(&f->latency[latency].window, quantile);
	char metric[128], help[160];

	snprintf(metric, sizeof(metric), "%s_%s_microseconds", stem, name);
	snprintf(help, sizeof(help), "%s: %s of the last %d s.", what, name, FIGURES_WINDOW_S);
	one_double(p, metric, "gauge", help, (double)ns / 1000.0);
}

static void put_latencies(page *p, const struct figures *f)
{
	static const uint64_t bounds_us[] = {1,   2,    5,    10,   20,    50,     100,    200,
	                                     500, 1000, 2000, 5000, 10000, 100000, 1000000};
	static const struct {
		int latency;
		const char *stem, *help;
	} histogram[] = {
	    {LATENCY_PROCESS, "fast_path_process_latency", "RX burst to appended in the memlog"},
	    {LATENCY_PUBLISH, "fast_path_publish_latency", "RX burst to ring"},
	};
	char name[128];

	for (size_t i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s_microseconds", histogram[i].stem);
		prometheus_family(p, name, "histogram", histogram[i].help);
		prometheus_histogram_us(p, name, &f->latency[histogram[i].latency].total, bounds_us,
		                        sizeof(bounds_us) / sizeof(bounds_us[0]));
		put_quantile(p, f, histogram[i].latency, histogram[i].stem, histogram[i].help,
		             "p50", 0.5);
		put_quantile(p, f, histogram[i].latency, histogram[i].stem, histogram[i].help,
		             "p99", 0.99);
		put_quantile(p, f, histogram[i].latency, histogram[i].stem, histogram[i].help,
		             "p999", 0.999);
	}
	put_quantile(p, f, LATENCY_WRITE, "persistence_queue_write_latency",
	             "Append to written to the journal", "p99", 0.99);
	put_quantile(p, f, LATENCY_SYNC, "persistence_queue_sync_latency",
	             "Append to durable in the journal", "p99", 0.99);
	one_u64(p, "persistence_queue_lag", "gauge",
	        "Records published in the memlog and not yet durable.", f->lag);
	one_u64(p, "persistence_queue_errors_total", "counter",
	        "Failed system calls of the journal writers.", f->journal_errors);
}

#define LCORE_LABELS(i) \
	PROMETHEUS_LABELS({"lcore", lcore_id[i]}, {"cpu", cpu_id[i]}, {"task", task[i]})

static void put_lcores(page *p, const struct figures *f)
{
	char lcore_id[CONFIG_LCORES_MAX * 2][12], cpu_id[CONFIG_LCORES_MAX * 2][12];
	const char *task[CONFIG_LCORES_MAX * 2];

	if (f->lcore_count == 0)
		return;
	for (uint32_t i = 0; i < f->lcore_count; i++) {
		const struct lcore_figures *l = &f->lcore[i];

		snprintf(lcore_id[i], sizeof(lcore_id[i]), "%u", l->id);
		snprintf(cpu_id[i], sizeof(cpu_id[i]), "%u", l->cpu);
		task[i] = l->rx && l->worker ? "rx+worker" : l->rx ? "rx" : "worker";
	}
	prometheus_family(p, "fast_path_lcore_busy_ratio", "gauge",
	                  "Share of the last 10 s in polls that found work.");
	for (uint32_t i = 0; i < f->lcore_count; i++)
		prometheus_double(p, "fast_path_lcore_busy_ratio", f->lcore[i].busy_ratio,
		                  LCORE_LABELS(i));
	prometheus_family(p, "fast_path_lcore_polls_total", "counter", "Polls.");
	for (uint32_t i = 0; i < f->lcore_count; i++)
		prometheus_u64(p, "fast_path_lcore_polls_total", f->lcore[i].polls,
		               LCORE_LABELS(i));
	prometheus_family(p, "fast_path_lcore_empty_polls_total", "counter",
	                  "Polls that found nothing.");
	for (uint32_t i = 0; i < f->lcore_count; i++)
		prometheus_u64(p, "fast_path_lcore_empty_polls_total", f->lcore[i].empty_polls,
		               LCORE_LABELS(i));
	prometheus_family(p, "fast_path_lcore_longest_poll_gap_seconds", "gauge",
	                  "Longest time between two polls in the last 10 s, naps not counted.");
	for (uint32_t i = 0; i < f->lcore_count; i++)
		prometheus_double(p, "fast_path_lcore_longest_poll_gap_seconds",
		                  (double)f->lcore[i].longest_gap_ns / 1e9, LCORE_LABELS(i));
	prometheus_family(p, "fast_path_lcore_moving", "gauge",
	                  "1: it has polled within the last second.");
	for (uint32_t i = 0; i < f->lcore_count; i++)
		prometheus_u64(p, "fast_path_lcore_moving", f->lcore[i].moving, LCORE_LABELS(i));
}

static void put_rings(page *p, const struct figures *f)
{
	static const struct {
		const char *name, *help;
	} family[] = {
	    {"fast_path_ring_used", "Descriptors in the ring now."},
	    {"fast_path_ring_high_water", "Most descriptors that were in the ring at once."},
	    {"fast_path_ring_size", "Descriptors that the ring holds."},
	};

	for (int k = 0; k < 3 && f->ring_count; k++) {
		prometheus_family(p, family[k].name, "gauge", family[k].help);
		for (uint32_t i = 0; i < f->ring_count; i++) {
			const struct ring_figures *r = &f->ring[i];
			char worker[12];

			snprintf(worker, sizeof(worker), "%u", r->worker);
			prometheus_u64(
			    p, family[k].name,
			    k == 0   ? r->used
			    : k == 1 ? r->high_water
			             : r->size,
			    PROMETHEUS_LABELS({"producer", r->producer}, {"worker", worker}));
		}
	}
}

static void put_port_frames(page *p, const struct port_figures *port)
{
	static const char name[] = "fast_path_port_frames_total";

	prometheus_u64(
	    p, name, port->decoded,
	    PROMETHEUS_LABELS({"port", port->name}, {"fate", "decoded"}, {"reason", ""}));
	prometheus_u64(
	    p, name, port->to_host,
	    PROMETHEUS_LABELS({"port", port->name}, {"fate", "to_host"}, {"reason", ""}));
	for (int i = 0; i < REASON_COUNT; i++)
		if (reason_table[i].unit == REASON_UNIT_FRAME)
			prometheus_u64(
			    p, name, port->reason[i],
			    PROMETHEUS_LABELS({"port", port->name},
			                      {"fate", reason_table[i].kind == REASON_KIND_DROPPED
			                                   ? "dropped"
			                                   : "filtered"},
			                      {"reason", reason_table[i].name}));
}

static void put_ports(page *p, const struct figures *f)
{
	if (f->port_count == 0)
		return;
	prometheus_family(p, "fast_path_port_seen_frames_total", "counter",
	                  "Frames by the device's or the kernel's own count, losses included.");
	for (uint32_t i = 0; i < f->port_count; i++)
		prometheus_u64(p, "fast_path_port_seen_frames_total", f->port[i].seen,
		               PROMETHEUS_LABELS({"port", f->port[i].name}));
	prometheus_family(p, "fast_path_port_frames_total", "counter",
	                  "Frames by what became of them.");
	for (uint32_t i = 0; i < f->port_count; i++)
		put_port_frames(p, &f->port[i]);
	prometheus_family(p, "fast_path_port_received_bytes_total", "counter",
	                  "Bytes of received frames.");
	for (uint32_t i = 0; i < f->port_count; i++)
		prometheus_u64(p, "fast_path_port_received_bytes_total", f->port[i].bytes,
		               PROMETHEUS_LABELS({"port", f->port[i].name}));
	prometheus_family(p, "fast_path_port_link_up", "gauge", "1: the link is up.");
	for (uint32_t i = 0; i < f->port_count; i++)
		prometheus_u64(p, "fast_path_port_link_up", f->port[i].link_up,
		               PROMETHEUS_LABELS({"port", f->port[i].name}));
	prometheus_family(p, "fast_path_port_loss_known", "gauge",
	                  "0: the driver cannot tell what it lost, and nic_missed says nothing.");
	for (uint32_t i = 0; i < f->port_count; i++)
		prometheus_u64(p, "fast_path_port_loss_known", f->port[i].loss_known,
		               PROMETHEUS_LABELS({"port", f->port[i].name}));
}

static void put_port_info(page *p, const struct figures *f)
{
	static const char *const no_yes[] = {"no", "yes"};

	if (f->port_count == 0)
		return;
	prometheus_family(p, "fast_path_port_info", "gauge", "1; what the port is.");
	for (uint32_t i = 0; i < f->port_count; i++) {
		const struct port_figures *port = &f->port[i];

		prometheus_u64(
		    p, "fast_path_port_info", 1,
		    PROMETHEUS_LABELS({"port", port->name}, {"device", port->device},
		                      {"driver", port->driver},
		                      {"checksum_offload", no_yes[port->checksum_offload]},
		                      {"rss_offload", no_yes[port->rss_offload]},
		                      {"timestamp_offload", no_yes[port->timestamp_offload]}));
	}
}

static void put_feeds(page *p, const struct figures *f)
{
	static const struct {
		const char *name, *type, *help;
	} family[] = {
	    {"fast_path_feed_datagrams_total", "counter", "Datagrams of the feed."},
	    {"fast_path_feed_messages_total", "counter", "Messages of the feed."},
	    {"fast_path_feed_received_bytes_total", "counter", "Bytes of the feed's datagrams."},
	    {"fast_path_feed_last_receive_timestamp_seconds", "gauge",
	     "When the feed's last datagram came; 0: never."},
	};

	for (int k = 0; k < 4 && f->feed_count; k++) {
		prometheus_family(p, family[k].name, family[k].type, family[k].help);
		for (uint32_t i = 0; i < f->feed_count; i++) {
			const struct feed_figures *feed = &f->feed[i];
			const char *port = feed->port ? feed->port : "";

			if (k == 3)
				prometheus_double(
				    p, family[k].name, (double)feed->last_rx_ns / 1e9,
				    PROMETHEUS_LABELS({"feed", feed->name}, {"port", port}));
			else
				prometheus_u64(
				    p, family[k].name,
				    k == 0   ? feed->datagrams
				    : k == 1 ? feed->messages
				             : feed->bytes,
				    PROMETHEUS_LABELS({"feed", feed->name}, {"port", port}));
		}
	}
}

/* HTTP, the feed without a port, may be silent */
static void put_silence(page *p, const struct figures *f)
{
	if (f->port_count == 0)
		return;
	prometheus_family(p, "fast_path_feed_silent_seconds", "gauge",
	                  "Time since the feed's last datagram, or since the start.");
	for (uint32_t i = 0; i < f->feed_count; i++) {
		const struct feed_figures *feed = &f->feed[i];
		uint64_t last = feed->last_rx_ns ? feed->last_rx_ns : f->start_ns;

		if (feed->port && feed->port[0])
			prometheus_double(
			    p, "fast_path_feed_silent_seconds",
			    f->now_ns > last ? (double)(f->now_ns - last) / 1e9 : 0,
			    PROMETHEUS_LABELS({"feed", feed->name}, {"port", feed->port}));
	}
}

enum shard_family {
	SHARD_EVENTS,
	SHARD_LAST,
	SHARD_WRITTEN,
	SHARD_DURABLE,
	SHARD_FIRST,
	SHARD_LAG,
	SHARD_BYTES,
	SHARD_SEGMENTS,
	SHARD_SYNCS,
	SHARD_ERRORS,
	SHARD_FAILING,
	SHARD_MEMLOG_USED,
	SHARD_MEMLOG_SIZE,
	SHARD_KEYS,
	SHARD_KEYS_UNTRACKED,
	SHARD_FAMILIES
};

static uint64_t shard_value(const struct shard_figures *s, enum shard_family family)
{
	const uint64_t value[SHARD_FAMILIES] = {
	    [SHARD_EVENTS] = s->journaled,
	    [SHARD_LAST] = s->last_seq,
	    [SHARD_WRITTEN] = s->written_seq,
	    [SHARD_DURABLE] = s->durable_seq,
	    [SHARD_FIRST] = s->first_seq,
	    [SHARD_LAG] = s->lag,
	    [SHARD_BYTES] = s->bytes,
	    [SHARD_SEGMENTS] = s->segments,
	    [SHARD_SYNCS] = s->syncs,
	    [SHARD_ERRORS] = s->errors,
	    [SHARD_FAILING] = s->failing != 0,
	    [SHARD_MEMLOG_USED] = s->memlog_used,
	    [SHARD_MEMLOG_SIZE] = s->memlog_size,
	    [SHARD_KEYS] = s->keys,
	    [SHARD_KEYS_UNTRACKED] = s->keys_untracked,
	};

	return value[family];
}

static void put_shards(page *p, const struct figures *f)
{
	static const struct {
		const char *name, *type, *help;
	} family[SHARD_FAMILIES] = {
	    [SHARD_EVENTS] = {"fast_path_shard_events_total", "counter",
	                      "Events published in the shard's memlog."},
	    [SHARD_LAST] = {"fast_path_shard_last_sequence", "gauge",
	                    "Last sequence number published."},
	    [SHARD_WRITTEN] = {"fast_path_shard_written_sequence", "gauge",
	                       "Last sequence number handed to the file system."},
	    [SHARD_DURABLE] = {"fast_path_shard_durable_sequence", "gauge",
	                       "Last sequence number that is durable."},
	    [SHARD_FIRST] = {"fast_path_shard_first_sequence", "gauge",
	                     "Oldest sequence number retained."},
	    [SHARD_LAG] = {"fast_path_shard_lag", "gauge", "Records not yet durable."},
	    [SHARD_BYTES] = {"fast_path_shard_journal_bytes", "gauge",
	                     "Size of the shard's segment files."},
	    [SHARD_SEGMENTS] = {"fast_path_shard_segments", "gauge", "Segment files."},
	    [SHARD_SYNCS] = {"fast_path_shard_syncs_total", "counter", "fdatasync calls."},
	    [SHARD_ERRORS] = {"fast_path_shard_errors_total", "counter",
	                      "Failed system calls of the journal writer."},
	    [SHARD_FAILING] = {"fast_path_shard_failing", "gauge",
	                       "1: the journal cannot be written."},
	    [SHARD_MEMLOG_USED] = {"fast_path_shard_memlog_used_bytes", "gauge",
	                           "Memlog that waits for its copy to be durable."},
	    [SHARD_MEMLOG_SIZE] = {"fast_path_shard_memlog_size_bytes", "gauge",
	                           "Size of the memlog."},
	    [SHARD_KEYS] = {"fast_path_shard_keys", "gauge", "Keys that the worker remembers."},
	    [SHARD_KEYS_UNTRACKED] = {"fast_path_shard_keys_untracked", "gauge",
	                              "Events of keys that found no slot to be remembered in."},
	};

	for (int k = 0; k < SHARD_FAMILIES && f->shard_count; k++) {
		prometheus_family(p, family[k].name, family[k].type, family[k].help);
		for (uint32_t i = 0; i < f->shard_count; i++) {
			char shard[12];

			snprintf(shard, sizeof(shard), "%u", i);
			prometheus_u64(p, family[k].name, shard_value(&f->shard[i], k),
			               PROMETHEUS_LABELS({"shard", shard}));
		}
	}
}

enum {
	BROKER_UP,
	BROKER_RTT,
	BROKER_RTT_P99,
	BROKER_REQUESTS,
	BROKER_RETRIES,
	BROKER_ERRORS,
	BROKER_FAMILIES
};

static double broker_value(const struct kafka_broker_figures *b, int family)
{
	const double value[BROKER_FAMILIES] = {
	    [BROKER_UP] = b->up,
	    [BROKER_RTT] = (double)b->rtt_us / 1e6,
	    [BROKER_RTT_P99] = (double)b->rtt_p99_us / 1e6,
	    [BROKER_REQUESTS] = (double)b->requests,
	    [BROKER_RETRIES] = (double)b->retries,
	    [BROKER_ERRORS] = (double)b->errors,
	};

	return value[family];
}

static void put_brokers(page *p, const struct kafka_figures *k)
{
	static const struct {
		const char *name, *type, *help;
	} family[BROKER_FAMILIES] = {
	    [BROKER_UP] = {"kafka_bridge_broker_up", "gauge", "1: connected."},
	    [BROKER_RTT] = {"kafka_bridge_broker_rtt_seconds", "gauge",
	                    "Average round trip of the last second."},
	    [BROKER_RTT_P99] = {"kafka_bridge_broker_rtt_p99_seconds", "gauge",
	                        "99th percentile of the round trip."},
	    [BROKER_REQUESTS] = {"kafka_bridge_broker_requests_total", "counter", "Requests sent."},
	    [BROKER_RETRIES] = {"kafka_bridge_broker_retries_total", "counter",
	                        "Requests sent again."},
	    [BROKER_ERRORS] = {"kafka_bridge_broker_errors_total", "counter",
	                       "Failed sends, failed receives and timeouts."},
	};

	for (int i = 0; i < BROKER_FAMILIES && k->broker_count > 0; i++) {
		prometheus_family(p, family[i].name, family[i].type, family[i].help);
		for (uint32_t b = 0; b < k->broker_count; b++)
			prometheus_double(p, family[i].name, broker_value(&k->broker[b], i),
			                  PROMETHEUS_LABELS({"broker", k->broker[b].name}));
	}
}

static void put_kafka(page *p, const struct kafka_figures *k)
{
	one_u64(p, "kafka_bridge_lag", "gauge", "Durable records that Kafka has not.", k->lag);
	one_double(p, "kafka_bridge_lag_seconds", "gauge",
	           "Age of the oldest record that Kafka has not.", k->lag_s);
	prometheus_family(p, "kafka_bridge_state", "gauge", "1: the bridge is in this state.");
	for (int s = KAFKA_OFF; s <= KAFKA_ENDED; s++)
		prometheus_u64(p, "kafka_bridge_state", (int)k->state == s,
		               PROMETHEUS_LABELS({"state", kafka_state_name(s)}));
	one_u64(p, "kafka_bridge_events_total", "counter", "Events in committed transactions.",
	        k->sent);
	one_u64(p, "kafka_bridge_errors_total", "counter",
	        "Transactions that were aborted and producers that were lost.", k->errors);
	one_u64(p, "kafka_bridge_transactions_total", "counter", "Committed transactions.",
	        k->transactions);
	one_u64(p, "kafka_bridge_transactions_aborted_total", "counter", "Aborted transactions.",
	        k->aborted);
	one_u64(p, "kafka_bridge_producer_rebuilds_total", "counter",
	        "Producers that had to be made anew.", k->rebuilds);
	one_u64(p, "kafka_bridge_dead_letters_total", "counter", "Records that Kafka did not take.",
	        k->dead_letters);
	one_u64(p, "kafka_bridge_gaps_total", "counter", "Gap records sent.", k->gaps);
	one_u64(p, "kafka_bridge_skipped_total", "counter",
	        "Events not sent because their keys were taken over meanwhile.", k->skipped);
	put_brokers(p, k);
}

static void put_pools(page *p, const struct figures *f)
{
	if (f->pool_count == 0)
		return;
	prometheus_family(p, "fast_path_mempool_used", "gauge", "Buffers in use.");
	for (uint32_t i = 0; i < f->pool_count; i++)
		prometheus_u64(p, "fast_path_mempool_used", f->pool[i].used,
		               PROMETHEUS_LABELS({"pool", f->pool[i].name}));
	prometheus_family(p, "fast_path_mempool_size", "gauge", "Buffers of the pool.");
	for (uint32_t i = 0; i < f->pool_count; i++)
		prometheus_u64(p, "fast_path_mempool_size", f->pool[i].size,
		               PROMETHEUS_LABELS({"pool", f->pool[i].name}));
}

static void put_engine(page *p, const struct figures *f, const struct health *h)
{
	one_u64(p, "fast_path_health_status", "gauge", "0 healthy, 1 degraded, 2 unhealthy.",
	        h->status);
	prometheus_family(p, "fast_path_health_part_status", "gauge",
	                  "The same for a part of the engine.");
	for (int i = 0; i < HEALTH_PARTS; i++)
		prometheus_u64(p, "fast_path_health_part_status", h->part[i],
		               PROMETHEUS_LABELS({"part", health_part_name(i)}));
	one_u64(p, "fast_path_ready", "gauge", "1: ready to take events.", health_ready(f));
	one_u64(p, "fast_path_disk_free_bytes", "gauge", "Free space of the journal's file system.",
	        f->disk_free_bytes);
	one_u64(p, "fast_path_disk_size_bytes", "gauge", "Size of the journal's file system.",
	        f->disk_size_bytes);
	prometheus_family(p, "fast_path_build_info", "gauge", "1; which engine this is.");
	prometheus_u64(p, "fast_path_build_info", 1,
	               PROMETHEUS_LABELS({"version", f->version}, {"engine", f->engine_id},
	                                 {"journal", f->journal_uuid},
	                                 {"huge_pages", f->huge_pages}));
}

static void put_ownership(page *p, const struct ownership_figures *o)
{
	one_u64(p, "fast_path_ownership_keys", "gauge", "Keys that this engine owns; 0 for all.",
	        o->keys);
	if (!o->etcd)
		return;
	one_u64(p, "fast_path_etcd_up", "gauge", "1: etcd answers.", !o->away);
	one_u64(p, "fast_path_etcd_registered", "gauge",
	        "1: this engine is registered under a lease.", o->registered);
	one_u64(p, "fast_path_etcd_id_taken", "gauge",
	        "1: another instance is registered under this engine's id.", o->held_by != NULL);
	one_u64(p, "fast_path_etcd_watching", "gauge",
	        "1: changes come by watching; 0: by polling only.", o->watching);
	one_u64(p, "fast_path_etcd_leader", "gauge", "1: this engine reassigns keys.", o->leader);
	one_u64(p, "fast_path_etcd_revision", "gauge", "Revision of the assignments known.",
	        (uint64_t)o->revision);
	if (o->answer_age_ms != UINT64_MAX)
		one_double(p, "fast_path_etcd_answer_age_seconds", "gauge",
		           "Age of etcd's last good answer.", (double)o->answer_age_ms / 1000);
	one_u64(p, "fast_path_etcd_assignments", "gauge", "Keys that are assigned to anybody.",
	        o->assignments);
	one_u64(p, "fast_path_etcd_engines", "gauge", "Engines that are registered.", o->engines);
	one_u64(p, "fast_path_etcd_reads_total", "counter", "Readings of all assignments.",
	        o->reads);
	one_u64(p, "fast_path_etcd_moves_total", "counter", "Keys that this engine reassigned.",
	        o->moves);
	one_u64(p, "fast_path_etcd_failovers_total", "counter",
	        "Times that another endpoint had to be asked.", o->failovers);
	one_u64(p, "fast_path_etcd_rejected_answers_total", "counter",
	        "Answers thrown away: garbage, cut short or too long.", o->rejected);
}

static void put_http(page *p, const struct http_figures *http)
{
	one_u64(p, "fast_path_http_requests_total", "counter", "HTTP requests.", http->requests);
	one_u64(p, "fast_path_http_connections", "gauge", "Open HTTP connections.", http->open);
	one_u64(p, "fast_path_http_connections_accepted_total", "counter",
	        "HTTP connections accepted.", http->accepted);
	prometheus_family(p, "fast_path_http_connections_closed_total", "counter",
	                  "HTTP connections that the engine closed on its own.");
	prometheus_u64(p, "fast_path_http_connections_closed_total", http->timed_out,
	               PROMETHEUS_LABELS({"reason", "deadline"}));
	prometheus_u64(p, "fast_path_http_connections_closed_total", http->evicted,
	               PROMETHEUS_LABELS({"reason", "idle"}));
	prometheus_u64(p, "fast_path_http_connections_closed_total", http->refused,
	               PROMETHEUS_LABELS({"reason", "full"}));
}

static void put_process(page *p, const struct process_figures *process)
{
	one_double(p, "process_cpu_seconds_total", "counter",
	           "User and system CPU time spent in seconds.", process->cpu_seconds);
	one_u64(p, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
	        process->resident_bytes);
	one_u64(p, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
	        process->virtual_bytes);
	one_u64(p, "process_open_fds", "gauge", "Number of open file descriptors.",
	        process->open_fds);
	one_double(p, "process_max_fds", "gauge", "Maximum number of open file descriptors.",
	           process->max_fds == UINT64_MAX ? -1.0 : (double)process->max_fds);
	one_double(p, "process_start_time_seconds", "gauge",
	           "Start time of the process since the epoch in seconds.", process->start_time_s);
	one_u64(p, "process_threads", "gauge", "Number of threads.", process->threads);
	if (!process->throttled_known)
		return;
	one_double(p, "fast_path_cgroup_throttled_seconds_total", "counter",
	           "Time that the cgroup's CPU limit kept this process from running.",
	           process->throttled_seconds);
	one_u64(p, "fast_path_cgroup_throttled_periods_total", "counter",
	        "Periods in which the cgroup's CPU limit was hit.", process->throttled_periods);
}

char *metrics_page(const struct figures *f, const struct health *h, const struct process_figures *p,
                   const struct http_figures *http, size_t *len)
{
	page text = {0};

	put_events(&text, f);
	put_latencies(&text, f);
	put_lcores(&text, f);
	put_rings(&text, f);
	put_ports(&text, f);
	put_port_info(&text, f);
	put_feeds(&text, f);
	put_silence(&text, f);
	put_shards(&text, f);
	put_pools(&text, f);
	put_kafka(&text, &f->kafka);
	put_engine(&text, f, h);
	put_ownership(&text, &f->ownership);
	put_http(&text, http);
	put_process(&text, p);
	return prometheus_finish(&text, len);
}
