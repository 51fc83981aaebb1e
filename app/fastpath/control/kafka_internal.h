/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the bridge share; nobody else includes it. All but the outside view belongs to
 * the bridge's thread. */
#ifndef CONTROL_KAFKA_INTERNAL_H
#define CONTROL_KAFKA_INTERNAL_H

#include <pthread.h>

#include "control/kafka_bridge.h"
#include "control/kafka_source.h"
#include "control/ownership.h"
#include "journal/spans.h"
#include "kafka/client.h"
#include "log.h"
#include "ownership/cutoff.h"

#define KAFKA_SLICE_MS 500 /* a blocking call lasts no longer, so that a stop is heard */
#define KAFKA_STEP_NS  (10 * CLOCK_NS_PER_S) /* an answer that takes longer does not come */
#define KAFKA_SOON_NS  (2 * CLOCK_NS_PER_S)  /* who has not answered by then is away */
#define KAFKA_TIMEOUT_MS \
	"10000" /* of a transaction: well above the most that transaction_ms may be */
#define KAFKA_TX_BYTES (16u << 20)
#define KAFKA_TX_MAX_NS \
	(1000 * 1000000ull) /* age at which one is committed while there is more to read */

struct kafka_topic_names {
	char events[CONFIG_TOPIC_MAX + 1], cursors[256], gaps[256], dead_letter[256];
};

/* what the cursor topic says about one engine and one journal */
struct kafka_cursors {
	bool known[JOURNAL_SHARDS_MAX];
	uint64_t seq[JOURNAL_SHARDS_MAX];
	char claim[40];      /* instance that holds the engine id, "" when nobody ever did */
	bool claim_released; /* it has let go */
	int32_t partitions;  /* of the event topic, 0 when nobody has said */
};

/* events of a shard that are not sent because their keys were taken over */
struct kafka_skipped {
	uint64_t count, from, to;
};

struct kafka_transaction {
	bool open;
	uint32_t events, records;
	uint64_t bytes, began_ns;
	uint64_t next[JOURNAL_SHARDS_MAX]; /* where a shard goes on behind it; 0: not touched */
	uint32_t dead_letters, gaps, skips;
	struct kafka_skipped skipped[JOURNAL_SHARDS_MAX];
	uint32_t first_shard; /* its first event */
	uint64_t first_seq;
};

struct kafka_bridge {
	const struct config *config;
	const struct journal_dir *dir;
	struct kafka_properties *properties;
	struct kafka_topic_names topic;
	const struct journal_writer_status *live[JOURNAL_SHARDS_MAX];

	pthread_t thread;
	bool running;
	_Atomic bool ending, done;
	_Atomic uint64_t deadline_ns; /* steady; once ending */

	/* the span that is being delivered; its index is spans.count when it is the one that this
	 * process writes */
	struct journal_spans spans;
	uint32_t span;
	const char *engine;
	bool fenced;        /* look at the claim before the next producer is made */
	bool held;          /* that claim was somebody else's */
	uint64_t fenced_ns; /* steady; when that was noticed */

	/* kafka_lease.c */
	struct ownership *ownership; /* NULL: there is no lease to look at */
	struct cutoff_note note;     /* as it stands in the journal directory, if noted */
	bool noted;
	uint64_t next_note_ns;
	struct log_limit note_limit;
	uint64_t settle_until, settle_end[JOURNAL_SHARDS_MAX];

	rd_kafka_t *plain, *producer;
	rd_kafka_topic_t *events, *cursors, *gaps, *dead_letter;
	int32_t partitions;                  /* of the event topic */
	_Atomic bool repartitioned;          /* librdkafka has seen another number */
	uint32_t event_max, dead_letter_max; /* bytes of a batch that the topics take */
	bool tell_partitions;                /* the cursor topic is to remember them */

	struct kafka_source source;
	struct kafka_transaction tx;
	uint64_t next[JOURNAL_SHARDS_MAX];  /* first that Kafka has not; 0: the oldest retained */
	rd_kafka_resp_err_t delivery_error; /* the first one of this transaction */

	/* the search for a record that Kafka does not take */
	uint32_t most;       /* events of a transaction now: fewer while it is searched */
	uint32_t dead_shard; /* it was alone in its transaction: */
	uint64_t dead_seq;   /* this one, 0: none */

	/* why the last step failed */
	char why[KAFKA_REASON_MAX];
	struct log_limit log_limit;
	char last_error[KAFKA_REASON_MAX]; /* of librdkafka */

	/* the outside view */
	_Atomic uint64_t keep_from[JOURNAL_SHARDS_MAX];
	_Atomic uint64_t oldest_ns; /* receive time of the oldest that Kafka has not; 0: unknown */
	pthread_mutex_t lock;
	struct kafka_figures figures;
};

/* kafka_bridge.c */
enum kafka_trouble kafka_fail(struct kafka_bridge *b, enum kafka_trouble t, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* whether the thread has to end now, whatever it does */
bool kafka_over(const struct kafka_bridge *b);
void kafka_state(struct kafka_bridge *b, enum kafka_state s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* kafka_handles.c. Return KAFKA_FINE or fill b->why */
enum kafka_trouble kafka_open_plain(struct kafka_bridge *b);
enum kafka_trouble kafka_open_reader(struct kafka_bridge *b, rd_kafka_t **out);
enum kafka_trouble kafka_open_producer(struct kafka_bridge *b); /* init_transactions too */
void kafka_close(struct kafka_bridge *b);

/* kafka_topics.c: make what is missing, look at what is there */
enum kafka_trouble kafka_topics_ensure(struct kafka_bridge *b);

/* kafka_cursors.c: read what the engine has committed; b->plain is open */
enum kafka_trouble kafka_cursors_read(struct kafka_bridge *b, struct kafka_cursors *out);
/* add one to the open transaction */
enum kafka_trouble kafka_cursor_send(struct kafka_bridge *b, uint32_t shard, uint64_t seq);
enum kafka_trouble kafka_claim_send(struct kafka_bridge *b, bool released);
enum kafka_trouble kafka_partitions_send(struct kafka_bridge *b);

/* kafka_transaction.c */
enum kafka_trouble kafka_begin(struct kafka_bridge *b);
enum kafka_trouble kafka_produce(struct kafka_bridge *b, rd_kafka_topic_t *topic, const char *key,
                                 const char *value);
enum kafka_trouble kafka_add(struct kafka_bridge *b, const struct kafka_item *item);
/* KAFKA_FINE: committed. Otherwise it is aborted, or the producer is of no use any more */
enum kafka_trouble kafka_commit(struct kafka_bridge *b);
enum kafka_trouble kafka_abort(struct kafka_bridge *b);

/* kafka_lease.c */
/* keeps lease.json true: called at least every few seconds, wherever the thread is */
void kafka_lease_keep(struct kafka_bridge *b);
/* whether a producer may be made now */
enum kafka_trouble kafka_lease_check(struct kafka_bridge *b);
/* whether the event is not to be sent; then it is counted in the transaction */
bool kafka_lease_skips(struct kafka_bridge *b, const struct kafka_item *item);
/* before a commit: gap records for what was skipped */
enum kafka_trouble kafka_lease_tell(struct kafka_bridge *b);
/* between transactions: are the times without a lease all delivered? */
void kafka_lease_settle(struct kafka_bridge *b);

/* kafka_statistics.c */
int kafka_on_statistics(rd_kafka_t *rk, char *json, size_t len, void *opaque);

#endif
