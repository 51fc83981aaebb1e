/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every figure of the engine at one moment, as plain numbers: what /stats, /metrics, /health, telemetry and
 * the log's closing summary are rendered from. Gathered by the control thread; counters only grow.
 */
#ifndef CONTROL_FIGURES_H
#define CONTROL_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "control/ownership.h"
#include "metrics/histogram.h"
#include "metrics/reasons.h"

#define FIGURES_WINDOW_S  10
#define FIGURES_RINGS_MAX ((CONFIG_LCORES_MAX + 1) * CONFIG_LCORES_MAX)

struct port_figures {
	const char *name, *device, *driver;
	bool link_up;
	bool loss_known; /* false: the driver cannot tell; shown as "unknown", never as 0 */
	bool checksum_offload, rss_offload, timestamp_offload;
	uint32_t rx_queues;
	uint64_t seen;    /* frames, by the device's or kernel's own count, losses included */
	uint64_t decoded; /* frames whose datagram went to a feed */
	uint64_t to_host;
	uint64_t reason[REASON_COUNT]; /* the frame reasons */
	uint64_t bytes;
};

struct feed_figures {
	const char *name, *port;
	uint64_t datagrams, messages, bytes;
	uint64_t last_rx_ns; /* since the epoch, 0: never */
};

struct lcore_figures {
	uint32_t id, cpu;
	bool rx, worker;
	double busy_ratio; /* 0..1 over the last 10 s: time in polls that found work */
	uint64_t polls, empty_polls;
	uint64_t longest_gap_ns; /* between two polls, in the last 10 s, naps not counted */
	bool moving;             /* polled within the last second, or a stop has begun */
};

struct ring_figures {
	char producer[CONFIG_NAME_MAX + 8]; /* "rx0", "http" */
	uint32_t worker;
	uint32_t size, used, high_water;
};

struct shard_figures {
	uint64_t journaled; /* events published in the memlog by this process */
	uint64_t last_seq;  /* last sequence number published */
	uint64_t written_seq, durable_seq, first_seq;
	uint64_t lag; /* last_seq - durable_seq */
	uint64_t bytes, segments, syncs, errors;
	int failing; /* errno, 0: well */
	uint64_t memlog_used, memlog_size;
	uint64_t keys, keys_untracked;
};

struct pool_figures {
	char name[32];
	uint32_t size, used;
};

enum kafka_state {
	KAFKA_OFF,        /* kafka.enable is 0 */
	KAFKA_CONNECTING, /* a producer is being made, cursors are being read */
	KAFKA_RUNNING,
	KAFKA_AWAY_STATE,    /* no broker answers; goes on by itself */
	KAFKA_PAUSED,        /* a topic is missing, or we may not; goes on when it is mended */
	KAFKA_FENCED_STATE,  /* another instance holds the engine id */
	KAFKA_STOPPED_STATE, /* must not go on: the reason says why */
	KAFKA_ENDED,         /* the engine stops */
};

static inline const char *kafka_state_name(enum kafka_state s)
{
	static const char *const name[] = {
	    [KAFKA_OFF] = "off",
	    [KAFKA_CONNECTING] = "connecting",
	    [KAFKA_RUNNING] = "running",
	    [KAFKA_AWAY_STATE] = "away",
	    [KAFKA_PAUSED] = "paused",
	    [KAFKA_FENCED_STATE] = "fenced",
	    [KAFKA_STOPPED_STATE] = "stopped",
	    [KAFKA_ENDED] = "ended",
	};

	return name[s];
}

#define KAFKA_BROKERS_MAX 16
#define KAFKA_REASON_MAX  256

struct kafka_broker_figures {
	char name[64];
	bool up;
	uint64_t rtt_us, rtt_p99_us;
	uint64_t requests, retries, errors;
};

struct kafka_figures {
	enum kafka_state state;
	uint64_t state_since_ns; /* since the epoch */
	char reason[KAFKA_REASON_MAX];
	uint64_t sent;   /* events in committed transactions, by this process */
	uint64_t errors; /* transactions and deliveries that failed */
	uint64_t transactions, aborted, rebuilds;
	uint64_t dead_letters, gaps;
	uint64_t skipped; /* events whose keys were taken over, in committed transactions */
	uint64_t lag;     /* durable records that Kafka has not */
	double lag_s;     /* age of the oldest of them */
	uint32_t broker_count;
	struct kafka_broker_figures broker[KAFKA_BROKERS_MAX];
};

enum figures_latency {
	LATENCY_PUBLISH, /* RX burst to ring */
	LATENCY_PROCESS, /* RX burst to appended in the memlog */
	LATENCY_WRITE,   /* append to written */
	LATENCY_SYNC,    /* append to durable */
	LATENCY_COUNT
};

struct latency_figures {
	struct histogram_snapshot total;  /* since the start */
	struct histogram_snapshot window; /* the last 10 s */
};

struct figures {
	uint64_t now_ns, start_ns; /* since the epoch */
	const char *engine_id, *journal_uuid, *version;
	const char *huge_pages; /* "2M", "1G", "none" */
	uint64_t messages;      /* from decoded datagrams and POST */
	uint64_t journaled;
	uint64_t reason[REASON_COUNT];        /* all ports, tasks and workers together */
	uint64_t reason_window[REASON_COUNT]; /* of which in the last 10 s */
	uint64_t journal_errors, journal_errors_window;
	uint64_t lag;          /* all shards */
	uint64_t events_per_s; /* journaled, over the last second */
	uint64_t disk_free_bytes, disk_size_bytes;
	bool ports_up, recovered, ownership_known, draining;
	struct ownership_figures ownership;
	uint32_t port_count, feed_count, lcore_count, ring_count, shard_count, pool_count;
	struct port_figures port[CONFIG_PORTS_MAX];
	struct feed_figures feed[CONFIG_FEEDS_MAX + 1]; /* the last one is "http" */
	struct lcore_figures lcore[CONFIG_LCORES_MAX * 2];
	struct ring_figures ring[FIGURES_RINGS_MAX];
	struct shard_figures shard[CONFIG_LCORES_MAX];
	struct pool_figures pool[CONFIG_PORTS_MAX + 1];
	struct latency_figures latency[LATENCY_COUNT];
	struct kafka_figures kafka;
};

/* what the engine knows of one key */
struct key_figures {
	bool seen;
	uint32_t shard;
	uint64_t count;    /* events since the start */
	uint64_t last_seq; /* sequence number of the last one */
};

struct figures_source; /* made by main from the data plane and the journal writers */

/* Control thread, once a second: moves the 10 s windows. */
void figures_tick(struct figures_source *s, uint64_t now_ns);
/* Control thread: the figures now. Borrowed until the next call; cheap to call again within 10 ms (the
 * same figures are returned). */
const struct figures *figures_get(struct figures_source *s, uint64_t now_ns);
/* Control thread: one key. */
void figures_key(struct figures_source *s, const void *key, uint32_t len, struct key_figures *out);
/* Control thread: last durable sequence number of a shard; one atomic load. */
uint64_t figures_durable_seq(const struct figures_source *s, uint32_t shard);

#endif
