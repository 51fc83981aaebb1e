/* SPDX-License-Identifier: Apache-2.0 */
#include "control/kafka_bridge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_lcore.h>

#include "clock.h"
#include "control/kafka_internal.h"
#include "control/steady.h"

#define MS             1000000ull
#define BURST          256 /* records between two polls */
#define IDLE_ACTIVE_MS 5
#define IDLE_MS        20
#define ACTIVE_NS      CLOCK_NS_PER_S
#define BACKOFF_MS     250
#define BACKOFF_MAX_MS 4000
#define FENCED_MS      1500 /* the one who fenced us has written its claim by then */
#define LOOK_AGAIN_MS  5000 /* at what an operator has to mend */
#define NAP_MS         20

enum kafka_trouble kafka_fail(struct kafka_bridge *b, enum kafka_trouble t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(b->why, sizeof(b->why), fmt, args);
	va_end(args);
	return t;
}

bool kafka_over(const struct kafka_bridge *b)
{
	return atomic_load(&b->ending) && clock_steady_ns() >= atomic_load(&b->deadline_ns);
}

/* what an operator has to look at has two names: the variable's, and that in Kubernetes' ConfigMap */
static void log_state(const struct kafka_bridge *b, enum kafka_state s, const char *reason)
{
	if (s == KAFKA_RUNNING || s == KAFKA_CONNECTING)
		log_info("kafka: %s%s%s", kafka_state_name(s), reason[0] != '\0' ? ": " : "",
		         reason);
	else if (s == KAFKA_AWAY_STATE)
		log_warning("kafka: away: %s; check KAFKA_BOOTSTRAP_SERVERS (ConfigMap key "
		            "kafka.bootstrap.servers), now %.500s; nothing is lost, trying again",
		            reason, b->config->kafka_bootstrap);
	else if (s != KAFKA_ENDED)
		log_error("kafka: %s: %s", kafka_state_name(s), reason);
}

void kafka_state(struct kafka_bridge *b, enum kafka_state s, const char *fmt, ...)
{
	char reason[KAFKA_REASON_MAX];
	va_list args;
	bool news;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	pthread_mutex_lock(&b->lock);
	/* why nobody answers may change with every attempt */
	news = b->figures.state != s ||
	       (s != KAFKA_AWAY_STATE && strcmp(b->figures.reason, reason) != 0);
	if (b->figures.state != s)
		b->figures.state_since_ns = clock_realtime_ns();
	b->figures.state = s;
	memcpy(b->figures.reason, reason, sizeof(reason));
	pthread_mutex_unlock(&b->lock);
	if (news)
		log_state(b, s, reason);
}

static void count_rebuild(struct kafka_bridge *b)
{
	pthread_mutex_lock(&b->lock);
	b->figures.rebuilds++;
	b->figures.errors++;
	pthread_mutex_unlock(&b->lock);
}

/* last record of a shard that the journal has */
static uint64_t last_of(const struct kafka_bridge *b, uint32_t shard)
{
	if (b->live[shard] != NULL)
		return atomic_load(&b->live[shard]->durable_seq);
	return b->spans.count > 0 ? b->spans.span[b->spans.count - 1].end[shard] : 0;
}

static bool is_own(const struct kafka_bridge *b)
{
	return b->span == b->spans.count;
}

static enum kafka_trouble check_partitions(struct kafka_bridge *b, const struct kafka_cursors *c)
{
	b->tell_partitions = c->partitions != b->partitions;
	if (!b->tell_partitions || c->partitions == 0 ||
	    (uint32_t)b->partitions == b->config->kafka_accept_partitions)
		return KAFKA_FINE;
	return kafka_fail(b, KAFKA_STOPPED,
	                  "topic %s has %d partitions, not %d as before: keys move to others and "
	                  "lose their order; if that is meant, set kafka.accept_partitions = %d",
	                  b->topic.events, b->partitions, c->partitions, b->partitions);
}

static enum kafka_trouble check_cursor(struct kafka_bridge *b, const struct kafka_cursors *c,
                                       uint32_t shard)
{
	if (!c->known[shard] || c->seq[shard] <= last_of(b, shard))
		return KAFKA_FINE;
	return kafka_fail(b, KAFKA_STOPPED,
	                  "the cursor of shard %u is at %" PRIu64
	                  ", but journal %s ends at %" PRIu64
	                  ": records are lost, or the directory is an old copy; bring the right "
	                  "one back, or begin with an empty one",
	                  shard, c->seq[shard], b->dir->path, last_of(b, shard));
}

/* where each shard goes on, from the cursors and the span's bounds */
static enum kafka_trouble place(struct kafka_bridge *b, const struct kafka_cursors *c)
{
	const struct journal_span *before = b->span > 0 ? &b->spans.span[b->span - 1] : NULL;
	const struct journal_writer_status *live[JOURNAL_SHARDS_MAX] = {NULL};
	uint64_t end[JOURNAL_SHARDS_MAX];
	enum kafka_trouble t = check_partitions(b, c);

	for (uint32_t i = 0; t == KAFKA_FINE && i < JOURNAL_SHARDS_MAX; i++) {
		uint64_t begin = before != NULL && before->end[i] > 0 ? before->end[i] + 1 : 0;
		uint64_t next = c->known[i] ? c->seq[i] + 1 : 0;

		t = check_cursor(b, c, i);
		b->next[i] = next > begin ? next : begin;
		end[i] = is_own(b) ? 0 : b->spans.span[b->span].end[i];
		if (is_own(b) && b->live[i] != NULL) {
			live[i] = b->live[i];
			end[i] = UINT64_MAX;
		}
		if (is_own(b))
			atomic_store(&b->keep_from[i], live[i] != NULL ? b->next[i] : UINT64_MAX);
	}
	if (t == KAFKA_FINE)
		kafka_source_begin(&b->source, b->dir, b->next, end, live);
	return t;
}

/* so that whoever is fenced by us, or fences us, can tell who did */
static enum kafka_trouble claim(struct kafka_bridge *b, bool released)
{
	enum kafka_trouble t = kafka_begin(b);

	if (t == KAFKA_FINE)
		t = kafka_claim_send(b, released);
	if (t == KAFKA_FINE && b->tell_partitions)
		t = kafka_partitions_send(b);
	if (t == KAFKA_FINE)
		t = kafka_commit(b);
	if (t == KAFKA_FINE)
		b->tell_partitions = false;
	return t;
}

static enum kafka_trouble check_claim(struct kafka_bridge *b)
{
	struct kafka_cursors c;
	enum kafka_trouble t;

	t = kafka_cursors_read(b, &c);
	if (t != KAFKA_FINE)
		return t;
	b->held = c.claim[0] != '\0' && !c.claim_released && strcmp(c.claim, b->dir->uuid_text);
	if (!b->held)
		return KAFKA_FINE;
	return kafka_fail(b, KAFKA_FENCED,
	                  "fenced by instance %s, which delivers as engine %s now; give one of the "
	                  "two another ENGINE_ID and start this one again",
	                  c.claim, b->engine);
}

static enum kafka_trouble prepare(struct kafka_bridge *b)
{
	struct kafka_cursors c;
	enum kafka_trouble t = kafka_lease_check(b);

	if (t == KAFKA_FINE)
		t = kafka_open_plain(b);
	if (t == KAFKA_FINE)
		t = kafka_topics_ensure(b);
	if (t == KAFKA_FINE && b->fenced)
		t = check_claim(b);
	if (t == KAFKA_FINE)
		t = kafka_open_producer(b);
	/* still held: whoever takes our keys from now on fences this producer */
	if (t == KAFKA_FINE)
		t = kafka_lease_check(b);
	if (t == KAFKA_FINE)
		b->fenced = false;
	if (t == KAFKA_FINE)
		t = kafka_cursors_read(b, &c);
	if (t == KAFKA_FINE)
		t = place(b, &c);
	if (t == KAFKA_FINE)
		t = claim(b, false);
	return t;
}

/* The transaction is gone. KAFKA_FINE: the same producer can go on from where the last one ended */
static enum kafka_trouble recover(struct kafka_bridge *b, enum kafka_trouble t)
{
	enum kafka_trouble aborted = kafka_abort(b);
	const struct kafka_transaction tx = b->tx;

	b->tx = (struct kafka_transaction){0};
	if (aborted != KAFKA_FINE)
		return aborted;
	if (t != KAFKA_CONTENT && t != KAFKA_AWAY)
		return t;
	kafka_source_rewind(&b->source, b->next);
	if (t == KAFKA_AWAY) {
		rd_kafka_poll(b->producer, BACKOFF_MS);
		return KAFKA_FINE;
	}
	if (tx.dead_letters > 0 && tx.events <= 1)
		return kafka_fail(b, KAFKA_REFUSED,
		                  "topic %s does not take a record cut to fit it; raise its "
		                  "max.message.bytes",
		                  b->topic.dead_letter);
	b->most = tx.events > 1 ? tx.events / 2 : 1;
	if (tx.events <= 1) {
		b->dead_shard = tx.first_shard;
		b->dead_seq = tx.first_seq;
	}
	return KAFKA_FINE;
}

static enum kafka_trouble fill(struct kafka_bridge *b, bool *got)
{
	enum kafka_trouble t = KAFKA_FINE;
	struct kafka_item item;

	*got = false;
	for (int i = 0; t == KAFKA_FINE && i < BURST && b->tx.events < b->most; i++) {
		int ret = kafka_source_next(&b->source, &item);

		if (ret < 0)
			return kafka_fail(b, KAFKA_STOPPED, "%s", b->source.error);
		if (ret == 0)
			break;
		*got = true;
		if (!b->tx.open) {
			t = kafka_begin(b);
			if (item.record != NULL)
				atomic_store(&b->oldest_ns, item.record->rx_time_ns);
		}
		if (t == KAFKA_FINE)
			t = kafka_add(b, &item);
	}
	return t;
}

/* with a backlog to read, a transaction is filled: small ones cost Kafka more than they gain */
static bool is_due(const struct kafka_bridge *b, bool got)
{
	uint64_t age = clock_steady_ns() - b->tx.began_ns;
	uint64_t most = b->config->kafka_transaction_ms * 1000000ull;

	if (got && most < KAFKA_TX_MAX_NS)
		most = KAFKA_TX_MAX_NS;
	return b->tx.open &&
	       (b->tx.events >= b->most || b->tx.bytes >= KAFKA_TX_BYTES || age >= most);
}

/* all goes well again, after whatever */
static void succeeded(struct kafka_bridge *b)
{
	uint32_t full = b->config->kafka_transaction_events;

	b->tx = (struct kafka_transaction){0};
	b->most = b->most < full / 2 ? 2 * b->most : full;
	b->last_error[0] = '\0';
	kafka_state(b, KAFKA_RUNNING, "as engine %s to topic %s", b->engine, b->topic.events);
}

/* Until the span is delivered (KAFKA_FINE), or the producer or we have to end */
static enum kafka_trouble deliver(struct kafka_bridge *b)
{
	uint64_t active = clock_steady_ns();

	b->most = b->config->kafka_transaction_events;
	b->dead_seq = 0;
	for (;;) {
		bool ending = atomic_load(&b->ending), got = false;
		enum kafka_trouble t;

		rd_kafka_poll(b->producer, 0);
		kafka_lease_keep(b);
		if (!b->tx.open)
			kafka_lease_settle(b);
		if (kafka_over(b))
			t = KAFKA_ENDING;
		else
			t = fill(b, &got);
		if (t == KAFKA_FINE && (is_due(b, got) || (!got && ending && b->tx.open))) {
			t = kafka_commit(b);
			if (t == KAFKA_FINE)
				succeeded(b);
		}
		if (t != KAFKA_FINE && (t = recover(b, t)) != KAFKA_FINE)
			return t;
		if (got) {
			active = clock_steady_ns();
			continue;
		}
		if (!b->tx.open && (ending || kafka_source_finished(&b->source)))
			return ending ? KAFKA_ENDING : KAFKA_FINE;
		if (b->tx.open)
			rd_kafka_poll(b->producer, 1);
		else
			rd_kafka_poll(b->producer, clock_steady_ns() - active < ACTIVE_NS
			                               ? IDLE_ACTIVE_MS
			                               : IDLE_MS);
	}
}

/* a span is all in Kafka: the next one */
static enum kafka_trouble next_span(struct kafka_bridge *b)
{
	char err[JOURNAL_ERROR_MAX];
	bool foreign = strcmp(b->engine, b->config->engine_id) != 0;

	/* the engine itself may be running elsewhere with another journal */
	if (foreign) {
		enum kafka_trouble t = claim(b, true);

		if (t != KAFKA_FINE)
			return t;
	}
	if (journal_spans_delivered(b->dir, b->span, err) < 0)
		return kafka_fail(b, KAFKA_STOPPED, "%s", err);
	b->spans.span[b->span].delivered = true;
	log_info("kafka: all that engine %s with %u shards left in %s is delivered", b->engine,
	         b->spans.span[b->span].shards, b->dir->path);
	b->span++;
	return KAFKA_FINE;
}

static enum kafka_trouble session(struct kafka_bridge *b)
{
	enum kafka_trouble t;

	while (!is_own(b) && b->spans.span[b->span].delivered)
		b->span++;
	b->engine = is_own(b) ? b->config->engine_id : b->spans.span[b->span].engine;
	t = prepare(b);
	if (t == KAFKA_FINE) {
		succeeded(b);
		t = deliver(b);
	}
	if (t == KAFKA_FINE)
		t = next_span(b);
	kafka_source_end(&b->source);
	kafka_close(b);
	return t;
}

static uint64_t lag(const struct kafka_bridge *b)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < JOURNAL_SHARDS_MAX; i++) {
		uint64_t last = last_of(b, i), from = atomic_load(&b->keep_from[i]);
		uint64_t first = b->live[i] != NULL ? atomic_load(&b->live[i]->first_seq) : 1;

		if (from == 0)
			from = first > 0 ? first : 1;
		sum += last >= from ? last - from + 1 : 0;
	}
	return sum;
}

static bool worth_waiting(const struct kafka_bridge *b, enum kafka_trouble t)
{
	if (t == KAFKA_ENDING || kafka_over(b))
		return false;
	return !atomic_load(&b->ending) || ((t == KAFKA_AWAY || t == KAFKA_BROKEN) && lag(b) > 0);
}

/* what a failed session means; returns how long to wait before the next one, ms */
static uint32_t judge(struct kafka_bridge *b, enum kafka_trouble t, uint32_t backoff)
{
	switch (t) {
	case KAFKA_FINE:
		return 0;
	case KAFKA_REFUSED:
	case KAFKA_CONTENT:
		kafka_state(b, KAFKA_PAUSED, "%s", b->why);
		return backoff;
	case KAFKA_WAITING:
		kafka_state(b, KAFKA_CONNECTING, "%s", b->why);
		return BACKOFF_MS;
	case KAFKA_STOPPED:
		kafka_state(b, KAFKA_STOPPED_STATE, "%s", b->why);
		return LOOK_AGAIN_MS;
	case KAFKA_FENCED:
		count_rebuild(b);
		if (b->fenced && b->held) {
			kafka_state(b, KAFKA_FENCED_STATE, "%s", b->why);
			return LOOK_AGAIN_MS;
		}
		b->fenced = true;
		b->fenced_ns = steady_ns();
		kafka_state(b, KAFKA_CONNECTING,
		            "another producer took transactional.id fast-path-%s", b->engine);
		return FENCED_MS + (uint32_t)(clock_steady_ns() % FENCED_MS);
	case KAFKA_BROKEN:
		count_rebuild(b);
		kafka_state(b, KAFKA_CONNECTING, "a new producer is made: %s", b->why);
		return backoff;
	default:
		kafka_state(b, KAFKA_AWAY_STATE, "%s", b->why);
		return backoff;
	}
}

static void nap(struct kafka_bridge *b, enum kafka_trouble t, uint32_t ms)
{
	const struct timespec ts = {.tv_nsec = NAP_MS * MS};
	uint64_t until = clock_steady_ns() + ms * MS;

	while (worth_waiting(b, t) && clock_steady_ns() < until) {
		kafka_lease_keep(b);
		if (atomic_load(&b->oldest_ns) == 0 && lag(b) > 0)
			atomic_store(&b->oldest_ns, clock_realtime_ns());
		nanosleep(&ts, NULL);
	}
}

static void *thread_main(void *arg)
{
	struct kafka_bridge *b = arg;
	uint32_t backoff = BACKOFF_MS;
	enum kafka_trouble t;

	do {
		uint64_t began = clock_steady_ns();

		t = session(b);
		/* one that ran for a while has deserved a quick try */
		if (t == KAFKA_FINE || clock_steady_ns() - began > 2 * KAFKA_STEP_NS)
			backoff = BACKOFF_MS;
		if (t != KAFKA_ENDING)
			nap(b, t, judge(b, t, backoff));
		backoff = backoff < BACKOFF_MAX_MS ? 2 * backoff : BACKOFF_MAX_MS;
	} while (worth_waiting(b, t));
	if (lag(b) > 0)
		log_info("kafka: %" PRIu64 " records wait for the next start", lag(b));
	kafka_state(b, KAFKA_ENDED, "the engine stops");
	atomic_store_explicit(&b->done, true, memory_order_release);
	return NULL;
}

int kafka_bridge_check(const struct config *c, char err[CONFIG_ERROR_MAX])
{
	struct kafka_properties *p = NULL;
	int ret = 0;

	if (c->kafka)
		ret = kafka_properties_read(&p, c->kafka_config_file, err);
	kafka_properties_free(p);
	return ret;
}

static void name_topics(struct kafka_topic_names *n, const char *topic)
{
	snprintf(n->events, sizeof(n->events), "%s", topic);
	snprintf(n->cursors, sizeof(n->cursors), "%s-cursors", topic);
	snprintf(n->gaps, sizeof(n->gaps), "%s-gaps", topic);
	snprintf(n->dead_letter, sizeof(n->dead_letter), "%s-dead-letter", topic);
}

/* librdkafka finds out about properties that contradict each other, and about certificates that
 * cannot be read, when a client is made */
static int try_client(const struct kafka_bridge *b, char err[CONFIG_ERROR_MAX])
{
	static const struct kafka_setting fixed[] = {{"transactional.id", "trial"},
	                                             {"transaction.timeout.ms", KAFKA_TIMEOUT_MS},
	                                             {NULL, NULL}};
	struct kafka_client_options o = {.type = RD_KAFKA_PRODUCER,
	                                 .bootstrap_servers = b->config->kafka_bootstrap,
	                                 .properties = b->properties,
	                                 .fixed = fixed};
	rd_kafka_t *rk = kafka_client_create(&o, err);

	kafka_client_destroy(rk);
	return rk != NULL ? 0 : -EINVAL;
}

struct kafka_bridge *kafka_bridge_create(const struct config *c, const struct journal_dir *dir,
                                         char err[CONFIG_ERROR_MAX])
{
	struct kafka_bridge *b = calloc(1, sizeof(*b));

	if (b == NULL) {
		snprintf(err, CONFIG_ERROR_MAX, "kafka: no memory");
		return NULL;
	}
	b->config = c;
	b->dir = dir;
	pthread_mutex_init(&b->lock, NULL);
	name_topics(&b->topic, c->kafka_topic);
	b->figures.state = KAFKA_CONNECTING;
	b->figures.state_since_ns = clock_realtime_ns();
	if (kafka_properties_read(&b->properties, c->kafka_config_file, err) < 0 ||
	    try_client(b, err) < 0 || journal_spans_read(&b->spans, dir, err) < 0) {
		kafka_bridge_destroy(b);
		return NULL;
	}
	return b;
}

void kafka_bridge_set_ownership(struct kafka_bridge *b, struct ownership *o)
{
	b->ownership = o;
}

int kafka_bridge_start(struct kafka_bridge *b, struct journal_thread *journal,
                       char err[CONFIG_ERROR_MAX])
{
	int ret;

	for (uint32_t i = 0; i < b->config->worker_lcore_count; i++)
		b->live[i] = journal_writer_status(journal[i].writer);
	ret = rte_ctrl_thread_create(&b->thread, "kafka", NULL, thread_main, b);
	if (ret != 0) {
		snprintf(err, CONFIG_ERROR_MAX, "kafka thread: %s", strerror(abs(ret)));
		return -abs(ret);
	}
	b->running = true;
	return 0;
}

void kafka_bridge_drain(struct kafka_bridge *b, uint32_t timeout_ms)
{
	atomic_store(&b->deadline_ns, clock_steady_ns() + timeout_ms * MS);
	atomic_store(&b->ending, true);
}

bool kafka_bridge_done(const struct kafka_bridge *b)
{
	return atomic_load_explicit(&b->done, memory_order_acquire);
}

void kafka_bridge_end(struct kafka_bridge *b)
{
	if (b == NULL || !b->running)
		return;
	atomic_store(&b->deadline_ns, 0);
	atomic_store(&b->ending, true);
	pthread_join(b->thread, NULL);
	b->running = false;
	memset(b->live, 0, sizeof(b->live));
}

void kafka_bridge_destroy(struct kafka_bridge *b)
{
	if (b == NULL)
		return;
	kafka_bridge_end(b);
	kafka_properties_free(b->properties);
	journal_spans_free(&b->spans);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

const _Atomic uint64_t *kafka_bridge_keep_from(const struct kafka_bridge *b)
{
	return b->keep_from;
}

void kafka_bridge_figures(struct kafka_bridge *b, uint64_t now_ns, struct kafka_figures *out)
{
	uint64_t oldest;

	if (b == NULL) {
		*out = (struct kafka_figures){.state = KAFKA_OFF};
		return;
	}
	pthread_mutex_lock(&b->lock);
	*out = b->figures;
	pthread_mutex_unlock(&b->lock);
	out->lag = lag(b);
	oldest = atomic_load(&b->oldest_ns);
	if (out->lag > 0 && oldest != 0 && now_ns > oldest)
		out->lag_s = (double)(now_ns - oldest) / 1e9;
}
