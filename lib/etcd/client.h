/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of etcd's JSON gateway (v3 API, etcd 3.4 and 3.5) that never blocks: requests over
 * libcurl's multi interface, several endpoints with failover, TLS, user and password. One thread:
 *
 *	poll or epoll etcd_fd(c) for reading, then etcd_step(c); callbacks run inside etcd_step only.
 *
 * A call is tried on each endpoint once, beginning with the one that answered last; what no
 * endpoint answers in time fails, and the caller comes again when it likes. So a call may be
 * carried out twice: transactions compare revisions. An answer that is garbage, cut short or above
 * ETCD_ANSWER_MAX counts as no answer. With a user, a token is fetched first, and anew when etcd
 * refuses it.
 */
#ifndef ETCD_CLIENT_H
#define ETCD_CLIENT_H

#include <jansson.h>
#include <stdint.h>

#include "etcd/answer.h"
#include "etcd/endpoints.h"
#include "etcd/request.h"

struct etcd;
struct etcd_call;

struct etcd_options {
	const char *endpoints; /* comma-separated http:// or https:// URLs without path */
	const char *ca_file, *cert_file, *key_file; /* PEM; NULL or "": none */
	const char *user, *password;                /* NULL or "": none */
	uint32_t timeout_ms;                        /* of one attempt; 0: 2000 */
};

struct etcd_reply {
	/* 0: answer is there; -EHOSTUNREACH: nobody answers; -EBADMSG: what answers is not etcd, or
	 * garbage; -EACCES: user, password or permission; -ERANGE: compacted; -ENOENT; -EINVAL */
	int error;
	const char *message;              /* with error: one line with the endpoint in it */
	const struct etcd_answer *answer; /* valid during the callback */
};
typedef void etcd_done(void *arg, const struct etcd_reply *reply);

/* Options are copied. NULL: one line in err. */
struct etcd *etcd_create(const struct etcd_options *o, char err[ETCD_MESSAGE_MAX]);
/* Ends all calls without their callbacks. */
void etcd_destroy(struct etcd *c);
int etcd_fd(const struct etcd *c);
/* Do what can be done now. */
void etcd_step(struct etcd *c);

/* Takes over body. done is called once, never from inside this function. NULL: no memory, done is
 * not called. The handle is good until then, for etcd_cancel. */
struct etcd_call *etcd_call(struct etcd *c, enum etcd_kind kind, json_t *body, etcd_done *done,
                            void *arg);
/* A stream on the endpoint that answered last: `on` is called for each message, at last with an
 * error; the stream is over then, and is not begun again by itself. */
struct etcd_call *etcd_watch(struct etcd *c, json_t *body, etcd_done *on, void *arg);
/* Ends it without a callback; also from inside a callback, but not for the call that is over. */
void etcd_cancel(struct etcd_call *call);

/* Blocking: one call to its end, for programs without a loop. The answer must be freed; returns
 * reply.error with message in err. */
int etcd_ask(struct etcd *c, enum etcd_kind kind, json_t *body, struct etcd_answer *answer,
             char err[ETCD_MESSAGE_MAX]);

/* the endpoint that answered last, or is tried next; and how often calls moved on to another */
const char *etcd_endpoint(const struct etcd *c);
uint64_t etcd_failovers(const struct etcd *c);
/* answers that were thrown away since the start: garbage, cut short, too long */
uint64_t etcd_rejected(const struct etcd *c);

#endif
