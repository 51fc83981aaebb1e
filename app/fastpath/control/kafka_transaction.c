/* SPDX-License-Identifier: Apache-2.0 */
/* One transaction: records and the cursors that say how far they reach, or nothing of it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "control/kafka_internal.h"
#include "journal/segment.h"
#include "kafka/message.h"

#define GIVE_UP_NS   (60 * CLOCK_NS_PER_S) /* of one commit or abort: the producer has lost its way */
#define LAST_WORD_NS CLOCK_NS_PER_S
#define FULL_MS      20

/* an error of the transactional API, once it says that the transaction cannot go on */
static enum kafka_trouble trouble(struct kafka_bridge *b, const char *what, rd_kafka_error_t *error)
{
	char text[KAFKA_REASON_MAX];
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);
	enum kafka_trouble t;

	if (rd_kafka_error_is_fatal(error))
		code = rd_kafka_fatal_error(b->producer, text, sizeof(text));
	t = kafka_trouble_of(code);
	if (rd_kafka_error_is_fatal(error) && t != KAFKA_FENCED && t != KAFKA_REFUSED)
		t = KAFKA_BROKEN;
	return kafka_fail(b, t, "%s: %s", what, rd_kafka_error_string(error));
}

enum kafka_trouble kafka_begin(struct kafka_bridge *b)
{
	rd_kafka_error_t *error = rd_kafka_begin_transaction(b->producer);

	b->tx = (struct kafka_transaction){.began_ns = clock_steady_ns()};
	b->delivery_error = 0;
	if (error != NULL) {
		enum kafka_trouble t = trouble(b, "beginning a transaction", error);

		rd_kafka_error_destroy(error);
		return t == KAFKA_AWAY ? KAFKA_BROKEN : t;
	}
	b->tx.open = true;
	return KAFKA_FINE;
}

/* what a failed produce call means. The transaction may have failed for a reason that came in as a
 * delivery report */
static enum kafka_trouble produce_trouble(struct kafka_bridge *b, rd_kafka_resp_err_t err,
                                          const rd_kafka_topic_t *topic)
{
	enum kafka_trouble t;

	rd_kafka_poll(b->producer, 0);
	if ((err == RD_KAFKA_RESP_ERR__STATE || err == RD_KAFKA_RESP_ERR__FATAL) &&
	    b->delivery_error != 0)
		err = b->delivery_error;
	t = kafka_trouble_of(err);
	return kafka_fail(b, t, "topic %s: %s", rd_kafka_topic_name(topic), rd_kafka_err2str(err));
}

/* librdkafka's own queue is full: what it holds has to go out first */
static enum kafka_trouble wait_for_room(struct kafka_bridge *b, uint64_t began)
{
	if (kafka_over(b))
		return KAFKA_ENDING;
	if (clock_steady_ns() - began > KAFKA_SOON_NS)
		kafka_state(b, KAFKA_AWAY_STATE,
		            "the local queue is full and the broker takes nothing from it: %s",
		            b->last_error[0] != '\0' ? b->last_error : "no answer");
	rd_kafka_poll(b->producer, FULL_MS);
	return KAFKA_FINE;
}

enum kafka_trouble kafka_produce(struct kafka_bridge *b, rd_kafka_topic_t *topic, const char *key,
                                 const char *value)
{
	uint64_t began = clock_steady_ns();
	enum kafka_trouble t = KAFKA_FINE;

	while (t == KAFKA_FINE) {
		if (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
		                     (void *)(uintptr_t)value, strlen(value), key, strlen(key),
		                     NULL) == 0)
			return KAFKA_FINE;
		if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			return produce_trouble(b, rd_kafka_last_error(), topic);
		t = wait_for_room(b, began);
	}
	return t;
}

static enum kafka_trouble put_record(struct kafka_bridge *b, rd_kafka_topic_t *topic,
                                     const struct kafka_item *item, uint32_t payload_len,
                                     const struct kafka_header *more)
{
	const char *feed = journal_dir_feed_name(b->dir, item->record->feed);
	const struct kafka_origin from = {
	    .engine = b->engine, .feed = feed != NULL ? feed : "", .shard = item->shard};
	enum kafka_trouble t = KAFKA_FINE;
	uint64_t began = 0;

	while (t == KAFKA_FINE) {
		rd_kafka_resp_err_t err = kafka_message_produce(b->producer, topic, &from,
		                                                item->record, payload_len, more);

		if (err == 0)
			return KAFKA_FINE;
		if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			return produce_trouble(b, err, topic);
		began = began != 0 ? began : clock_steady_ns();
		t = wait_for_room(b, began);
	}
	return t;
}

/* the record that Kafka does not take: what is known of it, and as much of it as fits */
static enum kafka_trouble put_dead_letter(struct kafka_bridge *b, const struct kafka_item *item)
{
	const struct journal_record *r = item->record;
	uint32_t max = b->dead_letter_max != 0 ? b->dead_letter_max : 1000000;
	uint32_t room = max > 2048 ? max - 2048 : 0;
	uint32_t len = r->payload_len < room ? r->payload_len : room;
	char length[16];
	const char *why = rd_kafka_err2name(
	    b->delivery_error != 0 ? b->delivery_error : RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	const struct kafka_header more[] = {
	    {"error", why}, {"payload_length", length}, {NULL, NULL}};

	snprintf(length, sizeof(length), "%u", r->payload_len);
	log_error("kafka: record %" PRIu64 " of shard %u is not taken (%s): its first %u of %u "
	          "payload bytes go to %s",
	          r->seq, item->shard, why, len, r->payload_len, b->topic.dead_letter);
	b->tx.dead_letters++;
	return put_record(b, b->dead_letter, item, len, more);
}

/* a hole in the journal, or a gap record in it */
static enum kafka_trouble put_gap(struct kafka_bridge *b, const struct kafka_item *item)
{
	const struct journal_record *r = item->record;
	uint64_t from = r != NULL ? r->seq : item->lost_from;
	uint64_t to = r != NULL ? item->next - 1 : item->lost_to;
	const char *reason = r != NULL ? "journal" : "not_retained";
	char value[512];

	if (r == NULL)
		log_error("kafka: records %" PRIu64 " to %" PRIu64 " of shard %u are gone before "
		          "Kafka had them: retention or somebody removed them; %s says so",
		          from, to, item->shard, b->topic.gaps);
	snprintf(value, sizeof(value),
	         "{\"engine\":\"%s\",\"journal\":\"%s\",\"shard\":%u,\"from\":%" PRIu64
	         ",\"to\":%" PRIu64 ",\"reason\":\"%s\"}",
	         b->engine, b->dir->uuid_text, item->shard, from, to, reason);
	b->tx.gaps++;
	return kafka_produce(b, b->gaps, b->engine, value);
}

static enum kafka_trouble put_event(struct kafka_bridge *b, const struct kafka_item *item)
{
	bool dead = item->record->seq == b->dead_seq && item->shard == b->dead_shard;
	enum kafka_trouble t;

	if (b->tx.events++ == 0) {
		b->tx.first_shard = item->shard;
		b->tx.first_seq = item->record->seq;
	}
	b->tx.bytes += kafka_message_size(item->record);
	if (dead)
		return put_dead_letter(b, item);
	t = put_record(b, b->events, item, item->record->payload_len, NULL);
	/* too large even for the client: that needs no broker to find out */
	if (t == KAFKA_CONTENT && b->delivery_error == 0)
		t = put_dead_letter(b, item);
	return t;
}

enum kafka_trouble kafka_add(struct kafka_bridge *b, const struct kafka_item *item)
{
	const struct journal_record *r = item->record;
	enum kafka_trouble t = KAFKA_FINE;

	if (kafka_lease_skips(b, item))
		t = KAFKA_FINE;
	else if (r != NULL && r->type == JOURNAL_EVENT)
		t = put_event(b, item);
	else if (r == NULL || r->type == JOURNAL_GAP)
		t = put_gap(b, item);
	b->tx.records++;
	b->tx.next[item->shard] = item->next;
	return t;
}

/* Waits for commit or abort. Returns KAFKA_FINE, KAFKA_CONTENT when the transaction has to be
 * aborted, or what keeps it from ending. */
static enum kafka_trouble finish(struct kafka_bridge *b, const char *what,
                                 rd_kafka_error_t *(*call)(rd_kafka_t *rk, int ms), bool *abortable)
{
	uint64_t began = clock_steady_ns();
	uint64_t last_word = 0;

	for (;;) {
		rd_kafka_error_t *error = call(b->producer, KAFKA_SLICE_MS);
		uint64_t now = clock_steady_ns();
		enum kafka_trouble t;
		bool again;

		kafka_lease_keep(b);
		if (error == NULL)
			return KAFKA_FINE;
		again = rd_kafka_error_is_retriable(error);
		*abortable = rd_kafka_error_txn_requires_abort(error);
		t = trouble(b, what, error);
		rd_kafka_error_destroy(error);
		if (*abortable)
			return t;
		if (!again)
			return t == KAFKA_AWAY || t == KAFKA_CONTENT ? KAFKA_BROKEN : t;
		if (kafka_over(b) && last_word == 0)
			last_word = now;
		if (last_word != 0 && now - last_word > LAST_WORD_NS)
			return KAFKA_ENDING;
		if (now - began > GIVE_UP_NS)
			return kafka_fail(b, KAFKA_AWAY, "%s has not ended after 60 s", what);
		if (now - began > KAFKA_SOON_NS)
			kafka_state(b, KAFKA_AWAY_STATE, "%s waits for the broker: %s", what,
			            b->last_error[0] != '\0' ? b->last_error : "no answer");
	}
}

static void count(struct kafka_bridge *b, bool committed)
{
	const struct kafka_transaction *tx = &b->tx;

	pthread_mutex_lock(&b->lock);
	if (committed) {
		b->figures.transactions++;
		b->figures.sent += tx->events - tx->dead_letters;
		b->figures.dead_letters += tx->dead_letters;
		b->figures.gaps += tx->gaps;
		b->figures.skipped += tx->skips;
	} else {
		b->figures.aborted++;
		b->figures.errors++;
	}
	pthread_mutex_unlock(&b->lock);
}

enum kafka_trouble kafka_abort(struct kafka_bridge *b)
{
	bool abortable = false;
	enum kafka_trouble t;

	if (!b->tx.open)
		return KAFKA_FINE;
	t = finish(b, "an abort", rd_kafka_abort_transaction, &abortable);
	b->tx.open = false;
	count(b, false);
	return t;
}

/* how far Kafka has the journal now */
static void advance(struct kafka_bridge *b)
{
	for (uint32_t i = 0; i < JOURNAL_SHARDS_MAX; i++) {
		if (b->tx.next[i] == 0)
			continue;
		b->next[i] = b->tx.next[i];
		/* while older spans are delivered, what the own one needs is not known yet */
		if (b->span == b->spans.count)
			atomic_store(&b->keep_from[i], b->next[i]);
	}
	atomic_store(&b->oldest_ns, 0);
}

static enum kafka_trouble send_cursors(struct kafka_bridge *b)
{
	enum kafka_trouble t = KAFKA_FINE;

	for (uint32_t i = 0; t == KAFKA_FINE && i < JOURNAL_SHARDS_MAX; i++)
		if (b->tx.next[i] != 0)
			t = kafka_cursor_send(b, i, b->tx.next[i] - 1);
	return t;
}

enum kafka_trouble kafka_commit(struct kafka_bridge *b)
{
	bool abortable = true;
	enum kafka_trouble t = send_cursors(b), aborted;

	if (t == KAFKA_FINE)
		t = kafka_lease_tell(b);
	if (t == KAFKA_FINE && atomic_load(&b->repartitioned))
		t = kafka_fail(b, KAFKA_STOPPED,
		               "topic %s has no longer %d partitions: keys would move to others "
		               "and lose their order",
		               b->topic.events, b->partitions);
	if (t == KAFKA_FINE)
		t = finish(b, "a commit", rd_kafka_commit_transaction, &abortable);
	if (t == KAFKA_FINE) {
		b->tx.open = false;
		count(b, true);
		advance(b);
		return KAFKA_FINE;
	}
	if (!abortable)
		return t;
	/* why deliveries failed says more than that the transaction has to be aborted */
	if (b->delivery_error != 0 && t != KAFKA_STOPPED)
		t = kafka_fail(b, kafka_trouble_of(b->delivery_error), "topic %s: %s",
		               b->topic.events, rd_kafka_err2str(b->delivery_error));
	aborted = kafka_abort(b);
	return aborted == KAFKA_FINE ? t : aborted;
}
