/* SPDX-License-Identifier: Apache-2.0 */
#include "control/http_events.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "clock.h"
#include "control/http_answer.h"
#include "control/idempotency.h"
#include "http/url.h"

/* an event that was handed to a worker; shared by the requests that wait for it and the idempotency
 * table */
struct post {
	TAILQ_ENTRY(post) link; /* in events.pending */
	struct ingress_ticket ticket;
	enum ingress_state state;
	uint32_t references;
	char id[IDEMPOTENCY_KEY_MAX + 1]; /* its Idempotency-Key, "": none */
};

struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct http_request *request;
	struct post *post;
	uint64_t deadline_ns;
};

struct events {
	const struct config *config;
	struct figures_source *figures;
	struct ingress *ingress;
	const struct ownership *ownership;
	struct idempotency *idempotency;
	TAILQ_HEAD(post_list, post) pending; /* no worker has taken them yet */
	TAILQ_HEAD(waiter_list, waiter) waiters;
	uint32_t waiting;
	bool durable; /* what we call durable is on stable storage */
	bool draining;
};

/* what a request asks for, once it is found to be in order */
struct event_request {
	char key[EVENT_KEY_MAX];
	uint32_t key_len;
	const void *payload;
	size_t payload_len;
	const char *id; /* NULL: none */
	struct idempotency_print print;
};

static void post_release(void *value)
{
	struct post *p = value;

	if (--p->references == 0)
		free(p);
}

void events_attach(struct events *e, struct ingress *ingress, const struct ownership *ownership)
{
	e->ingress = ingress;
	e->ownership = ownership;
}

struct events *events_create(const struct config *c, struct figures_source *figures)
{
	struct events *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->config = c;
	e->figures = figures;
	e->durable = c->sync == JOURNAL_SYNC_GROUP && c->store == CONFIG_STORE_DISK;
	TAILQ_INIT(&e->pending);
	TAILQ_INIT(&e->waiters);
	e->idempotency = idempotency_create(IDEMPOTENCY_ENTRIES, IDEMPOTENCY_KEEP_NS, post_release);
	if (!e->idempotency) {
		free(e);
		return NULL;
	}
	return e;
}

void events_destroy(struct events *e)
{
	struct post *p;

	if (!e)
		return;
	while ((p = TAILQ_FIRST(&e->pending))) {
		TAILQ_REMOVE(&e->pending, p, link);
		ingress_done(e->ingress, &p->ticket);
		post_release(p);
	}
	idempotency_destroy(e->idempotency);
	free(e);
}

uint32_t events_waiting(const struct events *e)
{
	return e->waiting;
}

void events_drain(struct events *e)
{
	e->draining = true;
}

/* nothing was appended: the client may come again */
static void answer_busy(struct http_request *r, const char *code, const char *message)
{
	http_answer_header(r, "Retry-After", "1");
	http_answer_error(r, 503, code, "%s", message);
}

static bool parse_key(struct http_request *r, struct event_request *q)
{
	ssize_t n = url_argument(http_request_query(r), "key", q->key, sizeof(q->key));

	if (n > 0) {
		q->key_len = (uint32_t)n;
		return true;
	}
	if (n == 0 || n == -ENOENT)
		http_answer_error(r, 400, "MISSING_KEY",
		                  "the event has no key: POST /events?key=KEY");
	else if (n == -EEXIST)
		http_answer_error(r, 400, "BAD_KEY", "key is given more than once");
	else if (n == -ENOSPC)
		http_answer_error(r, 400, "BAD_KEY", "the key is longer than %d bytes",
		                  EVENT_KEY_MAX);
	else
		http_answer_error(
		    r, 400, "BAD_KEY",
		    "the key is not percent-encoded: %% needs two hexadecimal digits");
	return false;
}

static bool parse_id(struct http_request *r, struct event_request *q)
{
	q->id = http_request_header(r, "Idempotency-Key");
	if (!q->id)
		return true;
	size_t len = strlen(q->id);
	bool printable = len >= 1 && len <= IDEMPOTENCY_KEY_MAX;

	for (size_t i = 0; printable && i < len; i++)
		printable = q->id[i] >= 0x20 && q->id[i] <= 0x7e;
	if (!printable)
		http_answer_error(r, 400, "BAD_IDEMPOTENCY_KEY",
		                  "Idempotency-Key must be 1 to %d printable ASCII characters",
		                  IDEMPOTENCY_KEY_MAX);
	return printable;
}

static bool parse(struct events *e, struct http_request *r, struct event_request *q)
{
	bool too_large;

	if (!parse_key(r, q))
		return false;
	q->payload = http_request_body(r, &q->payload_len, &too_large);
	if (too_large) {
		http_answer_error(r, 413, "BODY_TOO_LARGE", "the body is longer than %u bytes",
		                  e->config->http_body_max);
		return false;
	}
	if (!parse_id(r, q))
		return false;
	q->print = idempotency_print(q->key, q->key_len, q->payload, q->payload_len);
	return true;
}

static bool check_owner(struct events *e, struct http_request *r, const struct event_request *q)
{
	const char *engine = NULL, *url = NULL;

	if (!ownership_known(e->ownership)) {
		answer_busy(r, "NOT_READY", "it is not known yet which keys this engine owns");
		return false;
	}
	if (ownership_owns(e->ownership, q->key, q->key_len))
		return true;
	ingress_filtered(e->ingress, REASON_NOT_OWNER);
	ownership_owner(e->ownership, q->key, q->key_len, &engine, &url);
	json_t *o = http_error_json("NOT_OWNER", "the key belongs to another engine");

	json_object_set_new(o, "owner", engine ? json_string(engine) : json_null());
	json_object_set_new(o, "url", url ? json_string(url) : json_null());
	http_answer_json(r, 409, o);
	return false;
}

/* 503 now rather than an event that is appended and cannot become durable */
static bool check_journal(struct events *e, struct http_request *r, const struct event_request *q)
{
	const struct figures *f = figures_get(e->figures, clock_realtime_ns());
	struct key_figures key;

	if (e->draining || f->draining) {
		answer_busy(r, "DRAINING", "this engine is about to stop");
		return false;
	}
	if (!f->recovered) {
		answer_busy(r, "NOT_READY", "recovery of the journal is running");
		return false;
	}
	figures_key(e->figures, q->key, q->key_len, &key);
	int failing = key.shard < f->shard_count ? f->shard[key.shard].failing : 0;

	if (failing) {
		char message[160];

		snprintf(message, sizeof(message), "the journal of shard %u cannot be written: %s",
		         key.shard, strerror(failing));
		answer_busy(
		    r, failing == ENOSPC || failing == EDQUOT ? "DISK_FULL" : "JOURNAL_FAILING",
		    message);
		return false;
	}
	return true;
}

static void wait_for(struct events *e, struct waiter *w, struct http_request *r, struct post *p)
{
	w->request = r;
	w->post = p;
	w->deadline_ns = http_request_now(r) + e->config->http_durable_timeout_ms * 1000000ull;
	p->references++;
	TAILQ_INSERT_TAIL(&e->waiters, w, link);
	e->waiting++;
	http_request_wait(r);
}

static void submit(struct events *e, struct http_request *r, const struct event_request *q)
{
	struct waiter *w = calloc(1, sizeof(*w));
	struct post *p = calloc(1, sizeof(*p));

	if (!w || !p) {
		answer_busy(r, "NO_MEMORY", "there is no memory for another request");
		goto fail;
	}
	if (ingress_submit(e->ingress, q->key, q->key_len, q->payload, (uint32_t)q->payload_len,
	                   &p->ticket)) {
		answer_busy(r, "BUSY", "the worker's ring is full");
		goto fail;
	}
	p->state = INGRESS_PENDING;
	p->references = 1; /* events.pending's */
	TAILQ_INSERT_TAIL(&e->pending, p, link);
	if (q->id) {
		snprintf(p->id, sizeof(p->id), "%s", q->id);
		p->references++;
		idempotency_add(e->idempotency, p->id, &q->print, http_request_now(r), p);
	}
	wait_for(e, w, r, p);
	return;
fail:
	free(w);
	free(p);
}

/* a repeat gets what the first one gets; false: it is no repeat */
static bool repeat(struct events *e, struct http_request *r, const struct event_request *q)
{
	void *value = NULL;

	if (!q->id)
		return false;
	switch (idempotency_find(e->idempotency, q->id, &q->print, http_request_now(r), &value)) {
	case IDEMPOTENCY_NEW:
		return false;
	case IDEMPOTENCY_DIFFERENT:
		http_answer_error(r, 422, "IDEMPOTENCY_KEY_REUSED",
		                  "this Idempotency-Key came before with another key or body");
		return true;
	case IDEMPOTENCY_SAME:
		break;
	}
	struct waiter *w = calloc(1, sizeof(*w));

	if (w)
		wait_for(e, w, r, value);
	else
		answer_busy(r, "NO_MEMORY", "there is no memory for another request");
	return true;
}

void events_handle(struct events *e, struct http_request *r)
{
	struct event_request q = {0};

	if (!parse(e, r, &q) || repeat(e, r, &q))
		return;
	if (check_owner(e, r, &q) && check_journal(e, r, &q))
		submit(e, r, &q);
}

static void poll_pending(struct events *e)
{
	struct post *p, *next;

	for (p = TAILQ_FIRST(&e->pending); p; p = next) {
		next = TAILQ_NEXT(p, link);
		p->state = ingress_poll(e->ingress, &p->ticket);
		if (p->state == INGRESS_PENDING)
			continue;
		ingress_done(e->ingress, &p->ticket);
		TAILQ_REMOVE(&e->pending, p, link);
		/* nothing was appended, so a repeat may try anew */
		if (p->state == INGRESS_DROPPED && p->id[0])
			idempotency_forget(e->idempotency, p->id, p);
		post_release(p);
	}
}

static void answer_late(struct http_request *r, const struct post *p)
{
	json_t *o = json_pack("{s:i, s:o, s:b, s:s, s:s}", "shard", (int)p->ticket.shard, "seq",
	                      p->state == INGRESS_APPENDED ? json_integer((json_int_t)p->ticket.seq)
	                                                   : json_null(),
	                      "durable", 0, "error", "NOT_DURABLE_IN_TIME", "message",
	                      "the event was taken, but is not durable yet; do not send it again");

	http_answer_json(r, 504, o);
}

/* answers a request whose outcome is known; false: it has to wait on */
static bool settle(struct events *e, struct http_request *r, const struct post *p, bool late)
{
	if (p->state == INGRESS_DROPPED) {
		answer_busy(r, "JOURNAL_FULL", "the memlog has no room: the disk is too slow");
		return true;
	}
	if (p->state == INGRESS_APPENDED &&
	    figures_durable_seq(e->figures, p->ticket.shard) >= p->ticket.seq) {
		http_answer_json(r, 200,
		                 json_pack("{s:i, s:I, s:b}", "shard", (int)p->ticket.shard, "seq",
		                           (json_int_t)p->ticket.seq, "durable", e->durable));
		return true;
	}
	if (late)
		answer_late(r, p);
	return late;
}

static void settle_all(struct events *e, uint64_t now_ns)
{
	struct waiter *w, *next;

	for (w = TAILQ_FIRST(&e->waiters); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (!settle(e, w->request, w->post, w->deadline_ns <= now_ns))
			continue;
		TAILQ_REMOVE(&e->waiters, w, link);
		e->waiting--;
		post_release(w->post);
		free(w);
	}
}

void events_step(struct events *e, uint64_t now_ns)
{
	poll_pending(e);
	settle_all(e, now_ns);
}

/* the workers have ended: what they did not take is not appended, and never will be */
static void turn_away_pending(struct events *e)
{
	struct waiter *w, *next;

	for (w = TAILQ_FIRST(&e->waiters); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->post->state != INGRESS_PENDING)
			continue;
		answer_busy(w->request, "STOPPING", "this engine stopped before it took the event");
		TAILQ_REMOVE(&e->waiters, w, link);
		e->waiting--;
		post_release(w->post);
		free(w);
	}
}

void events_give_up(struct events *e)
{
	poll_pending(e);
	turn_away_pending(e);
	settle_all(e, UINT64_MAX);
}
