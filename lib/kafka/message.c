/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka/message.h"

#include <string.h>

#define HEADERS        7
#define OVERHEAD       120 /* of headers and framing */
#define DIGITS_MAX     20
#define NS_PER_MS      1000000u
#define PAYLOAD_OUT(r) ((void *)(uintptr_t)journal_record_payload(r))

/* the digits of value, at the end of out; returns their start */
static const char *digits(char out[DIGITS_MAX + 1], uint64_t value)
{
	char *at = out + DIGITS_MAX;

	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	return at;
}

static rd_kafka_resp_err_t add_number(rd_kafka_headers_t *h, const char *name, size_t name_len,
                                      uint64_t value)
{
	char text[DIGITS_MAX + 1];
	const char *at = digits(text, value);

	return rd_kafka_header_add(h, name, (ssize_t)name_len, at, text + DIGITS_MAX - at);
}

static size_t session_len(const uint8_t session[EVENT_SESSION_LEN])
{
	size_t len = EVENT_SESSION_LEN;

	while (len > 0 && session[len - 1] == 0)
		len--;
	return len;
}

#define NAMED(name) name, sizeof(name) - 1

static rd_kafka_headers_t *headers(const struct kafka_origin *from, const struct journal_record *r,
                                   const struct kafka_header *more)
{
	rd_kafka_headers_t *h = rd_kafka_headers_new(HEADERS + (more != NULL ? 4 : 0));
	rd_kafka_resp_err_t err =
	    rd_kafka_header_add(h, NAMED("engine"), from->engine, (ssize_t)strlen(from->engine));

	if (err == 0)
		err = add_number(h, NAMED("shard"), from->shard);
	if (err == 0)
		err = add_number(h, NAMED("seq"), r->seq);
	if (err == 0)
		err =
		    rd_kafka_header_add(h, NAMED("feed"), from->feed, (ssize_t)strlen(from->feed));
	if (err == 0)
		err = rd_kafka_header_add(h, NAMED("session"), r->session,
		                          (ssize_t)session_len(r->session));
	if (err == 0)
		err = add_number(h, NAMED("feed_seq"), r->feed_seq);
	if (err == 0)
		err = add_number(h, NAMED("rx_time_ns"), r->rx_time_ns);
	for (; err == 0 && more != NULL && more->name != NULL; more++)
		err = rd_kafka_header_add(h, more->name, -1, more->value, -1);
	if (err == 0)
		return h;
	rd_kafka_headers_destroy(h);
	return NULL;
}

rd_kafka_resp_err_t kafka_message_produce(rd_kafka_t *rk, rd_kafka_topic_t *topic,
                                          const struct kafka_origin *from,
                                          const struct journal_record *r, uint32_t payload_len,
                                          const struct kafka_header *more)
{
	rd_kafka_headers_t *h = headers(from, r, more);
	size_t len = payload_len < r->payload_len ? payload_len : r->payload_len;

	if (h == NULL)
		return RD_KAFKA_RESP_ERR__FAIL;
	rd_kafka_vu_t v[] = {
	    {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
	    {.vtype = RD_KAFKA_VTYPE_KEY,
	     .u.mem = {.ptr = (void *)(uintptr_t)journal_record_key(r), .size = r->key_len}},
	    {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = PAYLOAD_OUT(r), .size = len}},
	    {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
	    {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = (int64_t)(r->rx_time_ns / NS_PER_MS)},
	    {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = h},
	};
	rd_kafka_error_t *error = rd_kafka_produceva(rk, v, sizeof(v) / sizeof(v[0]));
	rd_kafka_resp_err_t err = rd_kafka_error_code(error);

	if (error != NULL) {
		rd_kafka_headers_destroy(h);
		rd_kafka_error_destroy(error);
	}
	return err;
}

uint32_t kafka_message_size(const struct journal_record *r)
{
	return OVERHEAD + r->key_len + r->payload_len;
}
