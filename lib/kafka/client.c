/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka/client.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 8192

struct property {
	char *name, *value;
};

struct kafka_properties {
	struct property *item;
	size_t count;
};

/* what exactly-once delivery stands on, and what has a key of its own */
static const struct kafka_setting managed[] = {
    {"bootstrap.servers", "set kafka.bootstrap_servers"},
    {"metadata.broker.list", "set kafka.bootstrap_servers"},
    {"transactional.id", "it is fast-path-<ENGINE_ID>"},
    {"enable.idempotence", "it is true"},
    {"acks", "it is all"},
    {"request.required.acks", "it is all"},
    {"transaction.timeout.ms", "it is 10000"},
    {"message.timeout.ms", "the transaction's timeout holds"},
    {"delivery.timeout.ms", "the transaction's timeout holds"},
    {"partitioner", "it is murmur2_random, as Java clients"},
    {"isolation.level", "each reader needs its own"},
    {"enable.partition.eof", "it is true for readers"},
    {"enable.auto.commit", "no consumer group is used"},
    {"enable.auto.offset.store", "no consumer group is used"},
    {"group.id", "no consumer group is used"},
    {"auto.offset.reset", "cursors are read from the beginning"},
    {"allow.auto.create.topics", "topics are made by the bridge"},
    {"statistics.interval.ms", "it is 1000"},
    {"log.queue", "it is true"},
    {"enabled_events", "the bridge serves its own"},
    {"delivery.report.only.error", "it is true"},
};

__attribute__((format(printf, 3, 4))) static int fail(char err[KAFKA_ERROR_MAX], int code,
                                                      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err, KAFKA_ERROR_MAX, format, args);
	va_end(args);
	return code;
}

static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return text;
}

static int add(struct kafka_properties *p, const char *name, const char *value)
{
	struct property *item = realloc(p->item, (p->count + 1) * sizeof(*item));

	if (item == NULL)
		return -ENOMEM;
	p->item = item;
	item[p->count] = (struct property){.name = strdup(name), .value = strdup(value)};
	p->count++;
	return item[p->count - 1].name != NULL && item[p->count - 1].value != NULL ? 0 : -ENOMEM;
}

static int check_name(rd_kafka_conf_t *trial, const char *name, const char *value, const char *path,
                      uint32_t line, char err[KAFKA_ERROR_MAX])
{
	char why[256];

	for (size_t i = 0; i < sizeof(managed) / sizeof(managed[0]); i++)
		if (strcmp(name, managed[i].name) == 0)
			return fail(err, -EINVAL,
			            "%.200s:%u: %s is not yours to set here: %s; remove the line",
			            path, line, name, managed[i].value);
	if (rd_kafka_conf_set(trial, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
		return fail(err, -EINVAL, "%.150s:%u: %.200s", path, line, why);
	return 0;
}

static int read_line(struct kafka_properties *p, rd_kafka_conf_t *trial, char *text,
                     const char *path, uint32_t line, char err[KAFKA_ERROR_MAX])
{
	char *name = trim(text), *equals, *value;

	if (name[0] == '\0' || name[0] == '#')
		return 0;
	equals = strchr(name, '=');
	if (equals == NULL)
		return fail(err, -EINVAL, "%.300s:%u: a line is name = value, or starts with #",
		            path, line);
	*equals = '\0';
	value = trim(equals + 1);
	name = trim(name);
	if (check_name(trial, name, value, path, line, err) < 0)
		return -EINVAL;
	if (add(p, name, value) < 0)
		return fail(err, -ENOMEM, "%.300s: no memory for it", path);
	return 0;
}

static int read_lines(struct kafka_properties *p, FILE *f, const char *path,
                      char err[KAFKA_ERROR_MAX])
{
	rd_kafka_conf_t *trial = rd_kafka_conf_new();
	char text[LINE_MAX_BYTES];
	uint32_t line = 0;
	int ret = 0;

	while (ret == 0 && fgets(text, sizeof(text), f) != NULL) {
		line++;
		if (strlen(text) == sizeof(text) - 1 && text[sizeof(text) - 2] != '\n')
			ret = fail(err, -EINVAL, "%.300s:%u: a line is longer than %d bytes", path,
			           line, LINE_MAX_BYTES - 2);
		else
			ret = read_line(p, trial, text, path, line, err);
	}
	if (ret == 0 && ferror(f))
		ret = fail(err, -EIO, "%.300s: cannot be read: %s", path, strerror(errno));
	rd_kafka_conf_destroy(trial);
	return ret;
}

int kafka_properties_read(struct kafka_properties **out, const char *path,
                          char err[KAFKA_ERROR_MAX])
{
	struct kafka_properties *p = calloc(1, sizeof(*p));
	int ret = 0;
	FILE *f;

	*out = p;
	if (p == NULL)
		return fail(err, -ENOMEM, "no memory for Kafka properties");
	if (path[0] == '\0')
		return 0;
	f = fopen(path, "re");
	if (f == NULL)
		ret = fail(err, -errno, "%.300s: cannot be read: %s", path, strerror(errno));
	else {
		ret = read_lines(p, f, path, err);
		fclose(f);
	}
	if (ret < 0) {
		kafka_properties_free(p);
		*out = NULL;
	}
	return ret;
}

void kafka_properties_free(struct kafka_properties *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->count; i++) {
		free(p->item[i].name);
		free(p->item[i].value);
	}
	free(p->item);
	free(p);
}

static int set(rd_kafka_conf_t *conf, const char *name, const char *value,
               char err[KAFKA_ERROR_MAX])
{
	char why[256];

	if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK)
		return 0;
	return fail(err, -EINVAL, "Kafka property %.100s = %.100s: %s", name, value, why);
}

static int set_all(rd_kafka_conf_t *conf, const struct kafka_setting *s, char err[KAFKA_ERROR_MAX])
{
	int ret = 0;

	for (; ret == 0 && s != NULL && s->name != NULL; s++)
		ret = set(conf, s->name, s->value, err);
	return ret;
}

static int fill(rd_kafka_conf_t *conf, const struct kafka_client_options *o,
                char err[KAFKA_ERROR_MAX])
{
	const struct kafka_properties *p = o->properties;
	int ret = set(conf, "client.id", "fastpath", err);

	if (ret == 0)
		ret = set_all(conf, o->defaults, err);
	for (size_t i = 0; ret == 0 && p != NULL && i < p->count; i++)
		ret = set(conf, p->item[i].name, p->item[i].value, err);
	if (ret == 0)
		ret = set_all(conf, o->fixed, err);
	if (ret == 0)
		ret = set(conf, "bootstrap.servers", o->bootstrap_servers, err);
	if (ret == 0 && o->log != NULL)
		ret = set(conf, "log.queue", "true", err);
	return ret;
}

rd_kafka_t *kafka_client_create(const struct kafka_client_options *o, char err[KAFKA_ERROR_MAX])
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk = NULL;
	char why[256];

	if (fill(conf, o, err) < 0) {
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	rd_kafka_conf_set_opaque(conf, o->opaque);
	/* without a taker it would write to standard error by itself */
	rd_kafka_conf_set_log_cb(conf, o->log);
	if (o->error != NULL)
		rd_kafka_conf_set_error_cb(conf, o->error);
	if (o->statistics != NULL)
		rd_kafka_conf_set_stats_cb(conf, o->statistics);
	if (o->delivered != NULL)
		rd_kafka_conf_set_dr_msg_cb(conf, o->delivered);
	rk = rd_kafka_new(o->type, conf, why, sizeof(why));
	if (rk == NULL) {
		rd_kafka_conf_destroy(conf);
		fail(err, -EINVAL, "Kafka client: %s; see KAFKA_CONFIG_FILE", why);
		return NULL;
	}
	if (o->log != NULL)
		rd_kafka_set_log_queue(rk, NULL);
	return rk;
}

void kafka_client_destroy(rd_kafka_t *rk)
{
	if (rk == NULL)
		return;
	if (rd_kafka_type(rk) == RD_KAFKA_PRODUCER)
		rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

enum kafka_trouble kafka_trouble_of(rd_kafka_resp_err_t code)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		return KAFKA_FINE;
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_INVALID_MSG:
	case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
	case RD_KAFKA_RESP_ERR_INVALID_RECORD:
	case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
		return KAFKA_CONTENT;
	case RD_KAFKA_RESP_ERR__FENCED:
	case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
	case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
		return KAFKA_FENCED;
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
	case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
	case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
	case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
	case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
	case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR__SSL:
	case RD_KAFKA_RESP_ERR_SECURITY_DISABLED:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
	case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE:
	case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
		return KAFKA_REFUSED;
	case RD_KAFKA_RESP_ERR__FATAL:
	case RD_KAFKA_RESP_ERR__STATE:
	case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING:
	case RD_KAFKA_RESP_ERR_INVALID_TXN_STATE:
	case RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID:
	case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
		return KAFKA_BROKEN;
	default:
		return KAFKA_AWAY;
	}
}
