/* SPDX-License-Identifier: Apache-2.0 */
#include "control/telemetry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rte_telemetry.h>

/* telemetry has a thread a client; they read this copy */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct figures *copy;

static void add_u64(struct rte_tel_data *d, const char *name, uint64_t value)
{
	rte_tel_data_add_dict_u64(d, name, value);
}

static int stats(const char *cmd, const char *params, struct rte_tel_data *d)
{
	(void)cmd;
	(void)params;
	rte_tel_data_start_dict(d);
	pthread_mutex_lock(&lock);
	rte_tel_data_add_dict_string(d, "engine", copy->engine_id);
	add_u64(d, "messages", copy->messages);
	add_u64(d, "journaled", copy->journaled);
	add_u64(d, "lag", copy->lag);
	add_u64(d, "events_per_second", copy->events_per_s);
	add_u64(d, "journal_errors", copy->journal_errors);
	for (int r = 0; r < REASON_COUNT; r++)
		add_u64(d, reason_table[r].name, copy->reason[r]);
	pthread_mutex_unlock(&lock);
	return 0;
}

static int latency(const char *cmd, const char *params, struct rte_tel_data *d)
{
	static const char *const names[LATENCY_COUNT][4] = {
	    [LATENCY_PUBLISH] = {"publish_p50_ns", "publish_p99_ns", "publish_p999_ns",
	                         "publish_max_ns"},
	    [LATENCY_PROCESS] = {"process_p50_ns", "process_p99_ns", "process_p999_ns",
	                         "process_max_ns"},
	    [LATENCY_WRITE] = {"write_p50_ns", "write_p99_ns", "write_p999_ns", "write_max_ns"},
	    [LATENCY_SYNC] = {"sync_p50_ns", "sync_p99_ns", "sync_p999_ns", "sync_max_ns"},
	};
	static const double quantiles[3] = {0.5, 0.99, 0.999};

	(void)cmd;
	(void)params;
	rte_tel_data_start_dict(d);
	pthread_mutex_lock(&lock);
	for (int l = 0; l < LATENCY_COUNT; l++) {
		for (int q = 0; q < 3; q++)
			add_u64(d, names[l][q],
			        histogram_quantile(&copy->latency[l].window, quantiles[q]));
		add_u64(d, names[l][3], copy->latency[l].window.max);
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

/* as DPDK's own commands: /fastpath/lcores lists ids, /fastpath/lcore,1 shows one */
static int list_ids(struct rte_tel_data *d, uint32_t count, uint32_t (*id)(uint32_t i))
{
	rte_tel_data_start_array(d, RTE_TEL_U64_VAL);
	for (uint32_t i = 0; i < count; i++)
		rte_tel_data_add_array_u64(d, id(i));
	return 0;
}

/* fills d with the one whose id is params; -EINVAL when there is none */
static int show_one(struct rte_tel_data *d, const char *params, uint32_t count,
                    uint32_t (*id)(uint32_t i), void (*fill)(struct rte_tel_data *item, uint32_t i))
{
	char *end;
	unsigned long wanted;

	if (params == NULL || *params == '\0')
		return -EINVAL;
	wanted = strtoul(params, &end, 10);
	if (*end != '\0')
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++)
		if (id(i) == wanted) {
			rte_tel_data_start_dict(d);
			fill(d, i);
			return 0;
		}
	return -EINVAL;
}

static uint32_t lcore_id(uint32_t i)
{
	return copy->lcore[i].id;
}

static uint32_t same(uint32_t i)
{
	return i;
}

static void fill_lcore(struct rte_tel_data *item, uint32_t i)
{
	const struct lcore_figures *l = &copy->lcore[i];

	add_u64(item, "lcore", l->id);
	add_u64(item, "cpu", l->cpu);
	add_u64(item, "busy_permille", (uint64_t)(l->busy_ratio * 1000));
	add_u64(item, "polls", l->polls);
	add_u64(item, "empty_polls", l->empty_polls);
	add_u64(item, "longest_gap_ns", l->longest_gap_ns);
}

static int lcores(const char *cmd, const char *params, struct rte_tel_data *d)
{
	int ret;

	(void)cmd;
	(void)params;
	pthread_mutex_lock(&lock);
	ret = list_ids(d, copy->lcore_count, lcore_id);
	pthread_mutex_unlock(&lock);
	return ret;
}

static int lcore(const char *cmd, const char *params, struct rte_tel_data *d)
{
	int ret;

	(void)cmd;
	pthread_mutex_lock(&lock);
	ret = show_one(d, params, copy->lcore_count, lcore_id, fill_lcore);
	pthread_mutex_unlock(&lock);
	return ret;
}

static void fill_port(struct rte_tel_data *item, uint32_t i)
{
	const struct port_figures *p = &copy->port[i];

	rte_tel_data_add_dict_string(item, "port", p->name);
	rte_tel_data_add_dict_string(item, "driver", p->driver);
	rte_tel_data_add_dict_string(item, "loss", p->loss_known ? "known" : "unknown");
	add_u64(item, "seen", p->seen);
	add_u64(item, "decoded", p->decoded);
	add_u64(item, "to_host", p->to_host);
	for (int r = 0; r < REASON_COUNT; r++)
		if (reason_table[r].unit == REASON_UNIT_FRAME)
			add_u64(item, reason_table[r].name, p->reason[r]);
}

static int ports(const char *cmd, const char *params, struct rte_tel_data *d)
{
	int ret;

	(void)cmd;
	(void)params;
	pthread_mutex_lock(&lock);
	ret = list_ids(d, copy->port_count, same);
	pthread_mutex_unlock(&lock);
	return ret;
}

static int port(const char *cmd, const char *params, struct rte_tel_data *d)
{
	int ret;

	(void)cmd;
	pthread_mutex_lock(&lock);
	ret = show_one(d, params, copy->port_count, same, fill_port);
	pthread_mutex_unlock(&lock);
	return ret;
}

static void fill_shard(struct rte_tel_data *item, uint32_t i)
{
	const struct shard_figures *s = &copy->shard[i];

	add_u64(item, "shard", i);
	add_u64(item, "last_seq", s->last_seq);
	add_u64(item, "durable_seq", s->durable_seq);
	add_u64(item, "lag", s->lag);
	add_u64(item, "keys", s->keys);
	add_u64(item, "memlog_used", s->memlog_used);
	add_u64(item, "errors", s->errors);
}

static int shards(const char *cmd, const char *params, struct rte_tel_data *d)
{
	int ret;

	(void)cmd;
	(void)params;
	pthread_mutex_lock(&lock);
	ret = list_ids(d, copy->shard_count, same);
	pthread_mutex_unlock(&lock);
	return ret;
}

static int shard(const char *cmd, const char *params, struct rte_tel_data *d)
{
	int ret;

	(void)cmd;
	pthread_mutex_lock(&lock);
	ret = show_one(d, params, copy->shard_count, same, fill_shard);
	pthread_mutex_unlock(&lock);
	return ret;
}

static int kafka(const char *cmd, const char *params, struct rte_tel_data *d)
{
	(void)cmd;
	(void)params;
	rte_tel_data_start_dict(d);
	pthread_mutex_lock(&lock);
	rte_tel_data_add_dict_string(d, "state", kafka_state_name(copy->kafka.state));
	add_u64(d, "sent", copy->kafka.sent);
	add_u64(d, "errors", copy->kafka.errors);
	add_u64(d, "lag", copy->kafka.lag);
	add_u64(d, "lag_ms", (uint64_t)(copy->kafka.lag_s * 1000));
	add_u64(d, "transactions", copy->kafka.transactions);
	add_u64(d, "aborted", copy->kafka.aborted);
	add_u64(d, "rebuilds", copy->kafka.rebuilds);
	add_u64(d, "dead_letters", copy->kafka.dead_letters);
	add_u64(d, "gaps", copy->kafka.gaps);
	add_u64(d, "skipped", copy->kafka.skipped);
	pthread_mutex_unlock(&lock);
	return 0;
}

int telemetry_init(void)
{
	static const struct {
		const char *command;
		telemetry_cb fn;
		const char *help;
	} commands[] = {
	    {"/fastpath/stats", stats, "Messages, events and every reason. No parameters"},
	    {"/fastpath/latency", latency, "Latencies of the last 10 s. No parameters"},
	    {"/fastpath/lcores", lcores, "Ids of the data-plane lcores. No parameters"},
	    {"/fastpath/lcore", lcore, "Busy ratio, polls, longest gap. Parameter: lcore id"},
	    {"/fastpath/ports", ports, "Numbers of the ports. No parameters"},
	    {"/fastpath/port", port, "Frames by their fate. Parameter: port number"},
	    {"/fastpath/shards", shards, "Numbers of the shards. No parameters"},
	    {"/fastpath/shard", shard, "Journal of a worker. Parameter: shard number"},
	    {"/fastpath/kafka", kafka, "The Kafka bridge. No parameters"},
	};

	copy = calloc(1, sizeof(*copy));
	if (copy == NULL)
		return -ENOMEM;
	copy->engine_id = "";
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		int ret = rte_telemetry_register_cmd(commands[i].command, commands[i].fn,
		                                     commands[i].help);
		if (ret < 0)
			return ret;
	}
	return 0;
}

void telemetry_update(const struct figures *f)
{
	pthread_mutex_lock(&lock);
	*copy = *f;
	pthread_mutex_unlock(&lock);
}
