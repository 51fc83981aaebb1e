/* SPDX-License-Identifier: Apache-2.0 */
#include "etcd/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TIMEOUT_MS   2000u
#define CONNECT_MS   1000u
#define EVENTS_TURN  16
#define NEVER_ENDS   0L /* curl's: no time limit */
#define DEAD_IDLE_S  2L /* then the kernel asks whether a silent peer is still there */
#define DEAD_PROBE_S 2L

struct etcd_call {
	LIST_ENTRY(etcd_call) link;
	struct etcd *c;
	enum etcd_kind kind;
	bool stream;
	char *body;
	etcd_done *done;
	void *arg;

	CURL *easy; /* NULL: not under way */
	struct curl_slist *headers;
	char why[CURL_ERROR_SIZE];
	char *in; /* what has come and is not handed on yet */
	size_t in_len, in_room;
	bool too_long;
	bool over; /* curl is done with it: result and status hold */
	CURLcode result;
	long status;

	uint32_t endpoint, attempts;
	bool renewed; /* a refused token was renewed for it once */
};

struct etcd {
	CURLM *multi;
	int epoll_fd, timer_fd;
	char endpoint[ETCD_ENDPOINTS_MAX][ETCD_ENDPOINT_LEN];
	uint32_t endpoint_count, current;
	char *ca_file, *cert_file, *key_file, *user, *password, *token;
	uint32_t timeout_ms;
	struct etcd_call *login; /* the token is being fetched; the others wait for it */
	LIST_HEAD(etcd_calls, etcd_call) calls;
	uint64_t failovers, rejected;
	struct etcd_call *current_call; /* whose callback runs */
	bool cancelled;                 /* it was cancelled by that callback */
};

static void begin(struct etcd_call *call);

/* ---- curl's surroundings ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct etcd *c = arg;
	struct epoll_event event = {.data.fd = fd};

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(c->epoll_fd, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
		return -1;
	curl_multi_assign(c->multi, fd, c);
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	struct etcd *c = arg;
	struct itimerspec t = {0};

	(void)multi;
	if (ms >= 0) {
		t.it_value.tv_sec = ms / 1000;
		t.it_value.tv_nsec = ms % 1000 * 1000000 + (ms == 0); /* 0 would stop the timer */
	}
	return timerfd_settime(c->timer_fd, 0, &t, NULL);
}

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
	struct etcd_call *call = arg;
	size_t more = size * count;

	if (more == 0)
		return 0;
	if (call->in_len + more > ETCD_ANSWER_MAX) {
		call->too_long = true;
		return 0;
	}
	if (call->in_len + more > call->in_room) {
		size_t room = call->in_room * 2 > call->in_len + more ? call->in_room * 2
		                                                      : call->in_len + more;
		char *in = realloc(call->in, room);

		if (in == NULL)
			return 0;
		call->in = in;
		call->in_room = room;
	}
	memcpy(call->in + call->in_len, data, more);
	call->in_len += more;
	return more;
}

/* ---- a call's attempts ---- */

static void end_attempt(struct etcd_call *call)
{
	if (call->easy != NULL) {
		curl_multi_remove_handle(call->c->multi, call->easy);
		curl_easy_cleanup(call->easy);
		curl_slist_free_all(call->headers);
	}
	call->easy = NULL;
	call->headers = NULL;
	call->over = false;
	call->too_long = false;
	call->in_len = 0;
}

static void free_call(struct etcd_call *call)
{
	end_attempt(call);
	LIST_REMOVE(call, link);
	if (call->c->login == call)
		call->c->login = NULL;
	if (call->body != NULL)
		explicit_bzero(call->body, strlen(call->body));
	free(call->body);
	free(call->in);
	free(call);
}

static const char *const path[ETCD_KINDS] = {
    [ETCD_RANGE] = "/v3/kv/range",
    [ETCD_TXN] = "/v3/kv/txn",
    [ETCD_LEASE_GRANT] = "/v3/lease/grant",
    [ETCD_LEASE_KEEPALIVE] = "/v3/lease/keepalive",
    [ETCD_LEASE_REVOKE] = "/v3/lease/revoke",
    [ETCD_WATCH] = "/v3/watch",
    [ETCD_AUTHENTICATE] = "/v3/auth/authenticate",
};

static void set_tls(const struct etcd *c, CURL *easy)
{
	if (c->ca_file != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca_file);
	if (c->cert_file != NULL)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, c->cert_file);
	if (c->key_file != NULL)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, c->key_file);
}

static bool set_headers(struct etcd_call *call)
{
	static const char *const fixed[] = {"Content-Type: application/json", "Expect:"};
	const char *token = call->kind != ETCD_AUTHENTICATE ? call->c->token : NULL;
	char authorization[4200];

	snprintf(authorization, sizeof(authorization), "Authorization: %s", token ? token : "");
	for (int i = 0; i < (token != NULL ? 3 : 2); i++) {
		struct curl_slist *more =
		    curl_slist_append(call->headers, i < 2 ? fixed[i] : authorization);

		if (more == NULL)
			return false;
		call->headers = more;
	}
	return true;
}

static void set_limits(const struct etcd_call *call)
{
	CURL *easy = call->easy;

	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
	                 call->stream ? NEVER_ENDS : (long)call->c->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, DEAD_IDLE_S);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, DEAD_PROBE_S);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
}

static bool start_attempt(struct etcd_call *call)
{
	struct etcd *c = call->c;
	char url[ETCD_ENDPOINT_LEN + 32];

	call->easy = curl_easy_init();
	if (call->easy == NULL || !set_headers(call))
		return false;
	call->why[0] = '\0';
	snprintf(url, sizeof(url), "%s%s", c->endpoint[call->endpoint], path[call->kind]);
	curl_easy_setopt(call->easy, CURLOPT_URL, url);
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->body);
	curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
	curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->why);
	curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
	set_limits(call);
	set_tls(c, call->easy);
	return curl_multi_add_handle(c->multi, call->easy) == CURLM_OK;
}

static void login_done(void *arg, const struct etcd_reply *reply);

static struct etcd_call *new_call(struct etcd *c, enum etcd_kind kind, json_t *body,
                                  etcd_done *done, void *arg)
{
	struct etcd_call *call = calloc(1, sizeof(*call));

	if (call != NULL && body != NULL)
		call->body = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	if (call == NULL || call->body == NULL) {
		free(call);
		return NULL;
	}
	call->c = c;
	call->kind = kind;
	call->done = done;
	call->arg = arg;
	call->endpoint = c->current;
	LIST_INSERT_HEAD(&c->calls, call, link);
	return call;
}

/* false: the token is being fetched */
static bool has_token(struct etcd_call *call)
{
	struct etcd *c = call->c;

	if (c->user == NULL || c->token != NULL || call->kind == ETCD_AUTHENTICATE)
		return true;
	if (c->login == NULL) {
		c->login = new_call(c, ETCD_AUTHENTICATE, etcd_authenticate(c->user, c->password),
		                    login_done, c);
		if (c->login != NULL)
			begin(c->login);
	}
	return c->login == NULL;
}

/* a failure to start looks like any other failed attempt */
static void begin(struct etcd_call *call)
{
	if (!has_token(call))
		return;
	if (!start_attempt(call)) {
		call->over = true;
		call->result = CURLE_OUT_OF_MEMORY;
	}
}

/* ---- what came ---- */

/* the callback may cancel its own call: false then */
static bool hand_out(struct etcd_call *call, int error, const char *message,
                     const struct etcd_answer *answer)
{
	struct etcd *c = call->c;
	struct etcd_call *outer = c->current_call;
	struct etcd_reply reply = {.error = error, .message = message, .answer = answer};

	c->current_call = call;
	c->cancelled = false;
	call->done(call->arg, &reply);
	c->current_call = outer;
	return !c->cancelled;
}

static void finish(struct etcd_call *call, int error, const struct etcd_answer *answer,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

static void finish(struct etcd_call *call, int error, const struct etcd_answer *answer,
                   const char *format, ...)
{
	char message[ETCD_MESSAGE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	for (char *s = message; *s != '\0'; s++)
		if ((unsigned char)*s < ' ')
			*s = '?';
	/* its own cancellation has no meaning any more */
	hand_out(call, error, message, answer);
	free_call(call);
}

static const char *where(const struct etcd_call *call)
{
	return call->c->endpoint[call->endpoint];
}

/* This endpoint did not do: the next one, or the end. */
static void move_on(struct etcd_call *call, int error, const char *why)
{
	struct etcd *c = call->c;

	/* others may have moved on already */
	if (c->current == call->endpoint && c->endpoint_count > 1) {
		c->current = (c->current + 1) % c->endpoint_count;
		c->failovers++;
	}
	if (call->stream || ++call->attempts >= c->endpoint_count) {
		finish(call, error, NULL, "etcd %s: %s", where(call), why);
		return;
	}
	end_attempt(call);
	call->endpoint = (call->endpoint + 1) % c->endpoint_count;
	begin(call);
}

static int error_of(int code)
{
	switch (code) {
	case ETCD_CODE_DENIED:
	case ETCD_CODE_UNAUTHENTICATED:
		return -EACCES;
	case ETCD_CODE_OUT_OF_RANGE:
		return -ERANGE;
	case ETCD_CODE_NOT_FOUND:
		return -ENOENT;
	default:
		return -EINVAL;
	}
}

static bool is_of_the_endpoint(int code)
{
	return code == ETCD_CODE_UNAVAILABLE || code == ETCD_CODE_DEADLINE ||
	       code == ETCD_CODE_INTERNAL || code == ETCD_CODE_EXHAUSTED;
}

static bool is_stale_token(const struct etcd_call *call, int code, const char *message)
{
	return call->c->user != NULL && call->kind != ETCD_AUTHENTICATE && !call->renewed &&
	       (code == ETCD_CODE_UNAUTHENTICATED || strstr(message, "auth token") != NULL ||
	        strstr(message, "auth: revision") != NULL);
}

/* etcd, or what calls itself so, says no */
static void refused(struct etcd_call *call, const char *text, size_t len)
{
	char message[ETCD_ERROR_MAX], why[ETCD_ERROR_MAX + 64];
	int code = etcd_error_parse(text, len, message);

	if (code < 0) {
		call->c->rejected++;
		snprintf(why, sizeof(why), "status %ld, and not in etcd's form", call->status);
		move_on(call, -EBADMSG, why);
	} else if (is_stale_token(call, code, message)) {
		call->renewed = true;
		free(call->c->token);
		call->c->token = NULL;
		end_attempt(call);
		begin(call);
	} else if (is_of_the_endpoint(code)) {
		move_on(call, -EHOSTUNREACH, message);
	} else {
		finish(call, error_of(code), NULL, "etcd %s: %s", where(call), message);
	}
}

static void answered(struct etcd_call *call)
{
	char err[ETCD_ERROR_MAX], why[ETCD_ERROR_MAX + 64];
	struct etcd_answer answer;
	/* an answer without a body left nothing to hold it */
	int rc = etcd_answer_parse(&answer, call->kind, call->in != NULL ? call->in : "",
	                           call->in_len, err);

	if (rc < 0) {
		call->c->rejected++;
		snprintf(why, sizeof(why), "the answer was thrown away: %s", err);
		etcd_answer_free(&answer);
		move_on(call, -EBADMSG, why);
		return;
	}
	call->c->current = call->endpoint;
	finish(call, 0, &answer, "%s", "");
	etcd_answer_free(&answer);
}

static void settle(struct etcd_call *call)
{
	char why[CURL_ERROR_SIZE + 64];

	if (call->too_long) {
		call->c->rejected++;
		snprintf(why, sizeof(why), "the answer was thrown away: it is longer than %u MiB",
		         ETCD_ANSWER_MAX >> 20);
		move_on(call, -EBADMSG, why);
	} else if (call->result != CURLE_OK) {
		if (call->result == CURLE_PARTIAL_FILE || call->result == CURLE_GOT_NOTHING)
			call->c->rejected++;
		move_on(call, -EHOSTUNREACH,
		        call->why[0] ? call->why : curl_easy_strerror(call->result));
	} else if (call->status != 200) {
		refused(call, call->in != NULL ? call->in : "", call->in_len);
	} else if (call->stream) {
		move_on(call, -EHOSTUNREACH, "the stream ended");
	} else {
		answered(call);
	}
}

/* one line of a stream; false: the call is no more */
static bool take_line(struct etcd_call *call, const char *line, size_t len)
{
	char err[ETCD_ERROR_MAX], why[ETCD_ERROR_MAX + 64];
	struct etcd_answer answer;
	bool goes_on = true;

	if (len == 0)
		return true;
	if (etcd_answer_parse(&answer, call->kind, line, len, err) == 0) {
		goes_on = hand_out(call, 0, "", &answer);
		if (!goes_on)
			free_call(call);
	} else if (etcd_error_parse(line, len, why) >= 0) {
		goes_on = false;
		refused(call, line, len);
	} else {
		goes_on = false;
		call->c->rejected++;
		snprintf(why, sizeof(why), "the answer was thrown away: %s", err);
		move_on(call, -EBADMSG, why);
	}
	etcd_answer_free(&answer);
	return goes_on;
}

static bool take_lines(struct etcd_call *call)
{
	size_t done = 0;
	const char *end;

	while ((end = memchr(call->in + done, '\n', call->in_len - done)) != NULL) {
		const char *line = call->in + done;
		size_t len = (size_t)(end - line);

		done += len + 1;
		if (!take_line(call, line, len))
			return false;
	}
	if (done > 0) {
		call->in_len -= done;
		memmove(call->in, call->in + done, call->in_len);
	}
	return true;
}

static bool stream_is_open(struct etcd_call *call)
{
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	return status == 200;
}

static void login_done(void *arg, const struct etcd_reply *reply)
{
	struct etcd *c = arg;
	struct etcd_call *call, *next;
	char message[ETCD_MESSAGE_MAX];

	c->login = NULL;
	if (reply->error == 0)
		c->token = strdup(reply->answer->token);
	snprintf(message, sizeof(message), "%s", reply->error != 0 ? reply->message : "");
	for (call = LIST_FIRST(&c->calls); call != NULL; call = next) {
		next = LIST_NEXT(call, link);
		if (call->easy != NULL || call->over || call->kind == ETCD_AUTHENTICATE)
			continue;
		if (reply->error == 0) {
			begin(call);
			continue;
		}
		/* its callback runs in the next step, and not inside another one's */
		call->over = true;
		call->result = CURLE_LOGIN_DENIED;
		call->attempts = c->endpoint_count;
		snprintf(call->why, sizeof(call->why), "user %.32s: %.180s", c->user, message);
	}
}

/* ---- the client ---- */

static void collect(struct etcd *c)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
		struct etcd_call *call = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		call->over = true;
		call->result = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &call->status);
	}
}

/* Callbacks may begin and end other calls, so the search begins anew after each. */
static bool hand_out_one(struct etcd *c)
{
	struct etcd_call *call;

	LIST_FOREACH(call, &c->calls, link)
	{
		if (call->stream && call->in_len > 0 && call->easy != NULL &&
		    memchr(call->in, '\n', call->in_len) != NULL && stream_is_open(call)) {
			take_lines(call);
			return true;
		}
		if (call->over) {
			settle(call);
			return true;
		}
	}
	return false;
}

void etcd_step(struct etcd *c)
{
	struct epoll_event event[EVENTS_TURN];
	int n = epoll_wait(c->epoll_fd, event, EVENTS_TURN, 0), running;

	for (int i = 0; i < n; i++) {
		int fd = event[i].data.fd;
		int what = (event[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
		           (event[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		           (event[i].events & EPOLLERR ? CURL_CSELECT_ERR : 0);
		uint64_t count;

		if (fd != c->timer_fd)
			curl_multi_socket_action(c->multi, fd, what, &running);
		else if (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
			curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	do {
		collect(c);
	} while (hand_out_one(c));
}

static char *copy(const char *s)
{
	return s != NULL && s[0] != '\0' ? strdup(s) : NULL;
}

struct etcd *etcd_create(const struct etcd_options *o, char err[ETCD_MESSAGE_MAX])
{
	struct etcd *c = calloc(1, sizeof(*c));
	struct epoll_event event = {.events = EPOLLIN};
	int count;

	if (c == NULL)
		goto no_memory;
	c->epoll_fd = c->timer_fd = -1;
	LIST_INIT(&c->calls);
	if ((count = etcd_endpoints_split(o->endpoints, c->endpoint, err)) < 0) {
		etcd_destroy(c);
		return NULL;
	}
	c->endpoint_count = (uint32_t)count;
	c->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS;
	c->ca_file = copy(o->ca_file);
	c->cert_file = copy(o->cert_file);
	c->key_file = copy(o->key_file);
	c->user = copy(o->user);
	c->password = strdup(o->password != NULL ? o->password : "");
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	event.data.fd = c->timer_fd;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || c->password == NULL || c->epoll_fd < 0 ||
	    c->timer_fd < 0 || epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->timer_fd, &event) != 0 ||
	    (c->multi = curl_multi_init()) == NULL)
		goto no_memory;
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	return c;
no_memory:
	snprintf(err, ETCD_MESSAGE_MAX, "etcd client: %s", strerror(errno != 0 ? errno : ENOMEM));
	etcd_destroy(c);
	return NULL;
}

void etcd_destroy(struct etcd *c)
{
	struct etcd_call *call;

	if (c == NULL)
		return;
	while ((call = LIST_FIRST(&c->calls)) != NULL)
		free_call(call);
	if (c->multi != NULL)
		curl_multi_cleanup(c->multi);
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	if (c->timer_fd >= 0)
		close(c->timer_fd);
	if (c->password != NULL)
		explicit_bzero(c->password, strlen(c->password));
	free(c->ca_file);
	free(c->cert_file);
	free(c->key_file);
	free(c->user);
	free(c->password);
	free(c->token);
	free(c);
}

int etcd_fd(const struct etcd *c)
{
	return c->epoll_fd;
}

/* what could not even begin is told in the next step */
static void wake(struct etcd *c)
{
	on_timer(NULL, 0, c);
}

struct etcd_call *etcd_call(struct etcd *c, enum etcd_kind kind, json_t *body, etcd_done *done,
                            void *arg)
{
	struct etcd_call *call = new_call(c, kind, body, done, arg);

	if (call == NULL)
		return NULL;
	begin(call);
	if (call->over)
		wake(c);
	return call;
}

struct etcd_call *etcd_watch(struct etcd *c, json_t *body, etcd_done *on, void *arg)
{
	struct etcd_call *call = new_call(c, ETCD_WATCH, body, on, arg);

	if (call == NULL)
		return NULL;
	call->stream = true;
	begin(call);
	if (call->over)
		wake(c);
	return call;
}

void etcd_cancel(struct etcd_call *call)
{
	if (call == NULL)
		return;
	if (call->c->current_call == call)
		call->c->cancelled = true; /* freed by whoever runs its callback */
	else
		free_call(call);
}

struct asking {
	struct etcd_answer *answer;
	char *err;
	int error;
	bool done;
};

static void on_asked(void *arg, const struct etcd_reply *reply)
{
	struct asking *a = arg;

	a->done = true;
	a->error = reply->error;
	snprintf(a->err, ETCD_MESSAGE_MAX, "%s", reply->message);
	if (reply->error == 0) {
		*a->answer = *reply->answer;
		/* ours now: what is left behind is freed as nothing */
		((struct etcd_answer *)reply->answer)->kv = NULL;
		((struct etcd_answer *)reply->answer)->memory = NULL;
	}
}

int etcd_ask(struct etcd *c, enum etcd_kind kind, json_t *body, struct etcd_answer *answer,
             char err[ETCD_MESSAGE_MAX])
{
	struct asking a = {.answer = answer, .err = err};
	struct pollfd p = {.fd = c->epoll_fd, .events = POLLIN};

	memset(answer, 0, sizeof(*answer));
	if (etcd_call(c, kind, body, on_asked, &a) == NULL) {
		snprintf(err, ETCD_MESSAGE_MAX, "etcd: no memory for a request");
		return -ENOMEM;
	}
	while (!a.done) {
		/* curl's timer is among the descriptors */
		poll(&p, 1, 1000);
		etcd_step(c);
	}
	return a.error;
}

const char *etcd_endpoint(const struct etcd *c)
{
	return c->endpoint[c->current];
}

uint64_t etcd_failovers(const struct etcd *c)
{
	return c->failovers;
}

uint64_t etcd_rejected(const struct etcd *c)
{
	return c->rejected;
}
