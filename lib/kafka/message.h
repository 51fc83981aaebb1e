/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal record as a Kafka record: key, value, receive time as the timestamp, and the headers
 * engine, shard, seq, feed, session, feed_seq, rx_time_ns, as text.
 */
#ifndef KAFKA_MESSAGE_H
#define KAFKA_MESSAGE_H

#include <librdkafka/rdkafka.h>

#include "journal/record.h"

#define KAFKA_PARTITIONER "murmur2_random" /* what Java clients choose for records with a key */

/* where a record comes from; borrowed */
struct kafka_origin {
	const char *engine, *feed;
	uint32_t shard;
};

/* one header more than the fixed ones */
struct kafka_header {
	const char *name, *value;
};

/* Queue r for a topic. payload_len: at most r->payload_len bytes are sent. more: ends with
 * {NULL, NULL}, or NULL. Copies all. Returns RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR__QUEUE_FULL
 * (poll, then call again) or another error. */
rd_kafka_resp_err_t kafka_message_produce(rd_kafka_t *rk, rd_kafka_topic_t *topic,
                                          const struct kafka_origin *from,
                                          const struct journal_record *r, uint32_t payload_len,
                                          const struct kafka_header *more);

/* bytes that r takes in a transaction, about */
uint32_t kafka_message_size(const struct journal_record *r);

#endif
