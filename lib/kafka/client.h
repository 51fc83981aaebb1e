/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librdkafka handles as the bridge and replay make them: our settings, then the operator's properties
 * (KAFKA_CONFIG_FILE) over them, except for those that exactly-once delivery stands on. Control
 * threads only.
 */
#ifndef KAFKA_CLIENT_H
#define KAFKA_CLIENT_H

#include <stdbool.h>

#include <librdkafka/rdkafka.h>

#define KAFKA_ERROR_MAX 512

/* what a librdkafka property is set to; the list ends with {NULL, NULL} */
struct kafka_setting {
	const char *name, *value;
};

/* the lines of a properties file: name = value, comments with # */
struct kafka_properties;

/* Read and check a file; "" is none. Every name must be one of librdkafka's and not one of those
 * that the bridge sets itself. Returns 0, or -errno with one line in err: file and line, what was
 * wrong, what to do. *p is freed by kafka_properties_free, also when it is NULL. */
int kafka_properties_read(struct kafka_properties **p, const char *path, char err[KAFKA_ERROR_MAX]);
void kafka_properties_free(struct kafka_properties *p);

struct kafka_client_options {
	rd_kafka_type_t type;
	const char *bootstrap_servers;
	const struct kafka_setting *defaults; /* NULL: none; properties go over them */
	const struct kafka_properties *properties;
	const struct kafka_setting *fixed; /* NULL: none; over everything */
	/* all called from rd_kafka_poll of the handle, with opaque; each may be NULL */
	void (*log)(const rd_kafka_t *rk, int level, const char *facility, const char *text);
	void (*error)(rd_kafka_t *rk, int code, const char *reason, void *opaque);
	int (*statistics)(rd_kafka_t *rk, char *json, size_t len, void *opaque);
	void (*delivered)(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque);
	void *opaque;
};

/* Opens no connection by itself. NULL: one line in err. */
rd_kafka_t *kafka_client_create(const struct kafka_client_options *o, char err[KAFKA_ERROR_MAX]);
/* Throws away what is queued. Harmless on NULL. */
void kafka_client_destroy(rd_kafka_t *rk);

/* What an error means to somebody who delivers. */
enum kafka_trouble {
	KAFKA_FINE,
	KAFKA_AWAY,    /* nobody answers, or not in time: try again */
	KAFKA_REFUSED, /* a topic is missing, or we may not: an operator has to mend it */
	KAFKA_CONTENT, /* this record will never be taken */
	KAFKA_FENCED,  /* somebody else holds our transactional.id */
	KAFKA_BROKEN,  /* the handle is of no use any more: make a new one */
	KAFKA_STOPPED, /* must not go on by itself */
	KAFKA_WAITING, /* not now: something else has to come first */
	KAFKA_ENDING,  /* we were asked to end */
};
enum kafka_trouble kafka_trouble_of(rd_kafka_resp_err_t code);

#endif
