/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_client.h"

#define SHARDS_MAX 1024
#define MIB        (1024.0 * 1024.0)

static void print_uptime(FILE *out, uint64_t s)
{
	if (s >= 86400)
		fprintf(out, "%" PRIu64 " d ", s / 86400);
	fprintf(out, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600 % 24, s / 60 % 60, s % 60);
}

static void print_head(FILE *out, const json_t *stats, const json_t *health)
{
	const json_t *reason;
	size_t i;

	fprintf(out, "engine     %s", stats_text(stats, "engine"));
	fprintf(out, ", version %s, up ", stats_text(stats, "version"));
	print_uptime(out, stats_u64(stats, "uptime_s"));
	fprintf(out, "\nstatus     %s\n", stats_text(stats, "status"));
	json_array_foreach (json_object_get(health, "reasons"), i, reason) {
		const char *text = json_string_value(reason);

		if (text)
			fprintf(out, "           - %s\n", printable(text));
	}
}

static void print_flow(FILE *out, const json_t *stats)
{
	fprintf(out,
	        "events     %" PRIu64 " journaled, %" PRIu64 " a second, %" PRIu64
	        " not durable yet\n",
	        stats_u64(stats, "fast_path_count"), stats_u64(stats, "events_per_second"),
	        stats_u64(stats, "persistence_queue_lag"));
	fprintf(out,
	        "messages   %" PRIu64 " = %" PRIu64 " journaled + %" PRIu64 " filtered + %" PRIu64
	        " dropped\n",
	        stats_u64(stats, "messages_total"), stats_u64(stats, "journaled_total"),
	        stats_u64(stats, "messages_filtered_total"),
	        stats_u64(stats, "messages_dropped_total"));
	fprintf(out,
	        "frames     %" PRIu64 " = %" PRIu64 " decoded + %" PRIu64 " to host + %" PRIu64
	        " filtered + %" PRIu64 " dropped%s\n",
	        stats_u64(stats, "frames_seen_total"), stats_u64(stats, "frames_decoded_total"),
	        stats_u64(stats, "frames_to_host_total"), stats_u64(stats, "frames_filtered_total"),
	        stats_u64(stats, "frames_dropped_total"),
	        json_is_false(json_object_get(stats, "frames_loss_known"))
	            ? " (a driver cannot tell what it lost)"
	            : "");
}

static void print_reasons(FILE *out, json_t *stats)
{
	const char *name;
	json_t *value;
	const char *title = "reasons    ";

	json_object_foreach (stats, name, value) {
		if (strncmp(name, "reason_", 7) != 0 || json_integer_value(value) == 0)
			continue;
		fprintf(out, "%s%s %" JSON_INTEGER_FORMAT, title, printable(name + 7),
		        json_integer_value(value));
		title = ", ";
	}
	if (title[0] == ',')
		fprintf(out, "\n");
}

static void print_latencies(FILE *out, const json_t *stats)
{
	static const struct {
		const char *name, *prefix;
	} row[] = {
	    {"publish", "fast_path_publish"},
	    {"process", "fast_path_process"},
	    {"write", "persistence_queue_write"},
	    {"sync", "persistence_queue_sync"},
	};

	fprintf(out, "latency of the last %" PRIu64 " s, us\n", stats_u64(stats, "window_s"));
	fprintf(out, "           %12s %12s %12s %12s\n", "p50", "p99", "p99.9", "max");
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		fprintf(out, "  %-8s %12.1f %12.1f %12.1f %12.1f\n", row[i].name,
		        stats_real(stats, "%s_p50_us", row[i].prefix),
		        stats_real(stats, "%s_p99_us", row[i].prefix),
		        stats_real(stats, "%s_p999_us", row[i].prefix),
		        stats_real(stats, "%s_max_us", row[i].prefix));
}

static void print_shards(FILE *out, const json_t *stats)
{
	uint64_t count = stats_u64(stats, "shard_count");

	fprintf(out, "journal    %s, %.0f MiB free of %.0f MiB\n",
	        stats_text(stats, "journal_uuid"),
	        (double)stats_u64(stats, "disk_free_bytes") / MIB,
	        (double)stats_u64(stats, "disk_size_bytes") / MIB);
	fprintf(out, "  %-5s %14s %14s %10s %10s %8s %7s\n", "shard", "last", "durable", "lag",
	        "MiB", "segments", "errors");
	for (uint64_t i = 0; i < count && i < SHARDS_MAX; i++) {
		uint64_t failing = stats_u64(stats, "shard_%" PRIu64 "_failing_errno", i);

		fprintf(out,
		        "  %-5" PRIu64 " %14" PRIu64 " %14" PRIu64 " %10" PRIu64 " %10.1f %8" PRIu64
		        " %7" PRIu64 "%s%s\n",
		        i, stats_u64(stats, "shard_%" PRIu64 "_last_seq", i),
		        stats_u64(stats, "shard_%" PRIu64 "_durable_seq", i),
		        stats_u64(stats, "shard_%" PRIu64 "_lag", i),
		        (double)stats_u64(stats, "shard_%" PRIu64 "_bytes", i) / MIB,
		        stats_u64(stats, "shard_%" PRIu64 "_segments", i),
		        stats_u64(stats, "shard_%" PRIu64 "_errors_total", i), failing ? "  " : "",
		        failing ? strerror((int)failing) : "");
	}
}

void print_stats(FILE *out, const json_t *stats, const json_t *health)
{
	print_head(out, stats, health);
	print_flow(out, stats);
	print_reasons(out, (json_t *)(uintptr_t)stats);
	print_latencies(out, stats);
	print_shards(out, stats);
	fprintf(out, "process    %.1f s CPU, %.0f MiB resident, %" PRIu64 " descriptors\n",
	        stats_real(stats, "process_cpu_seconds_total"),
	        (double)stats_u64(stats, "process_resident_memory_bytes") / MIB,
	        stats_u64(stats, "process_open_fds"));
}
