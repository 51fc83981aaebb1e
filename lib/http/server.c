/* SPDX-License-Identifier: Apache-2.0 */
#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS          1000000ull
#define BACKLOG     511
#define CLOSING_MAX 32 /* connections shut down that libmicrohttpd has not closed yet */
#define HEADERS_MAX 4
#define LAST_MS     1000 /* for what is still open when we stop accepting */

enum { REQUEST_READING, REQUEST_HANDLING, REQUEST_WAITING, REQUEST_ANSWERED };

struct http_connection {
	TAILQ_ENTRY(http_connection) link; /* of server.armed, or of server.unused */
	LIST_ENTRY(http_connection) open;  /* in server.open */
	uint64_t deadline_ns;
	struct in6_addr client; /* IPv4 as ::ffff:a.b.c.d */
	int fd;
	bool armed;      /* has a deadline, and so is in server.armed */
	bool in_request; /* from the request line to the end of the answer */
	bool closing;    /* shut down by us */
};
TAILQ_HEAD(http_connections, http_connection);

struct http_request {
	struct http_server *server;
	struct http_connection *connection;
	struct MHD_Connection *mhd;
	struct MHD_Response *response;
	int state, status;
	bool begun, too_large;
	bool busy; /* handed over, so counted in server.busy */
	char method[16];
	char *path, *query; /* both in one allocation */
	char *body;
	size_t body_len, body_size, body_seen;
	struct {
		char name[32], value[128];
	} header[HEADERS_MAX];
	uint32_t header_count;
};

struct http_server {
	struct http_options o;
	struct MHD_Daemon *daemon;
	struct http_connection *connection; /* all of them */
	struct http_connections unused;
	struct http_connections
	    armed; /* the timeout is one constant, so the order is that of the deadlines */
	LIST_HEAD(http_open, http_connection) open;
	struct http_figures figures;
	uint64_t now_ns;
	uint32_t busy, closing;
	bool accepting;
};

static void disarm(struct http_server *s, struct http_connection *c)
{
	if (c->armed)
		TAILQ_REMOVE(&s->armed, c, link);
	c->armed = false;
}

static void arm(struct http_server *s, struct http_connection *c)
{
	disarm(s, c);
	c->deadline_ns = s->now_ns + s->o.request_timeout_ms * MS;
	c->armed = true;
	TAILQ_INSERT_TAIL(&s->armed, c, link);
}

/* libmicrohttpd sees the end of the stream in its next run and closes the descriptor */
static void shut(struct http_server *s, struct http_connection *c)
{
	disarm(s, c);
	if (c->closing)
		return;
	c->closing = true;
	s->closing++;
	shutdown(c->fd, SHUT_RDWR);
}

/* client: only connections of this one; NULL: of all */
static struct http_connection *longest_idle(struct http_server *s, const struct in6_addr *client)
{
	struct http_connection *c;

	TAILQ_FOREACH(c, &s->armed, link)
	if (!c->in_request && (!client || IN6_ARE_ADDR_EQUAL(client, &c->client)))
		return c;
	return NULL;
}

static bool client_is_full(const struct http_server *s, const struct in6_addr *client)
{
	const struct http_connection *c;
	uint32_t count = 0;

	if (s->o.connections_per_ip == 0)
		return false;
	LIST_FOREACH(c, &s->open, open)
	count += !c->closing && IN6_ARE_ADDR_EQUAL(client, &c->client);
	return count > s->o.connections_per_ip;
}

static void refuse(struct http_server *s, struct http_connection *c)
{
	static const char full[] = "HTTP/1.1 503 Service Unavailable\r\n"
	                           "Content-Type: application/json\r\nRetry-After: 1\r\n"
	                           "Connection: close\r\nContent-Length: 72\r\n\r\n"
	                           "{\"error\":\"TOO_MANY_CONNECTIONS\",\"message\":"
	                           "\"all connections are in use\"}\n";

	s->figures.refused++;
	(void)!send(c->fd, full, sizeof(full) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	shut(s, c);
}

static struct in6_addr client_address(struct MHD_Connection *mhd)
{
	const struct sockaddr *a =
	    MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
	struct in6_addr out = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	if (a->sa_family == AF_INET6)
		return ((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
	memcpy(&out.s6_addr[12], &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
	return out;
}

static void connection_opened(struct http_server *s, struct MHD_Connection *mhd, void **context)
{
	struct http_connection *c = TAILQ_FIRST(&s->unused); /* there are as many as MHD may open */
	bool client_full;

	TAILQ_REMOVE(&s->unused, c, link);
	*c = (struct http_connection){.client = client_address(mhd)};
	c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	*context = c;
	LIST_INSERT_HEAD(&s->open, c, open);
	s->figures.accepted++;
	s->figures.open++;
	client_full = client_is_full(s, &c->client);
	if (client_full || s->figures.open - s->closing > s->o.connections) {
		struct http_connection *idle = longest_idle(s, client_full ? &c->client : NULL);

		if (!idle) {
			refuse(s, c);
			return;
		}
		s->figures.evicted++;
		shut(s, idle);
	}
	arm(s, c);
}

static void connection_closed(struct http_server *s, struct http_connection *c)
{
	disarm(s, c);
	if (c->closing)
		s->closing--;
	s->figures.open--;
	LIST_REMOVE(c, open);
	TAILQ_INSERT_HEAD(&s->unused, c, link);
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		connection_opened(arg, mhd, context);
	else
		connection_closed(arg, *context);
}

/* the path and query of a request target; an absolute-form target (RFC 9112, 3.2.2) loses its front
 */
static bool request_target(struct http_request *r, const char *uri)
{
	if (strncasecmp(uri, "http://", 7) == 0) {
		uri = strchr(uri + 7, '/');
		uri = uri ? uri : "/";
	}
	r->path = strdup(uri);
	if (!r->path)
		return false;
	r->query = strchr(r->path, '?');
	if (r->query)
		*r->query++ = '\0';
	return true;
}

/* a request line has been read: libmicrohttpd's own view of it cuts keys at NUL, so we keep the raw
 * one */
static void *on_request_line(void *arg, const char *uri, struct MHD_Connection *mhd)
{
	struct http_server *s = arg;
	struct http_request *r = calloc(1, sizeof(*r));

	if (!r || !request_target(r, uri)) {
		free(r);
		return NULL;
	}
	r->server = s;
	r->mhd = mhd;
	r->connection =
	    MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	r->connection->in_request = true;
	s->figures.requests++;
	if (!r->connection->closing)
		arm(s, r->connection);
	return r;
}

static void on_completed(void *arg, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode code)
{
	struct http_server *s = arg;
	struct http_request *r = *context;

	(void)mhd;
	(void)code;
	if (!r)
		return;
	s->busy -= r->busy;
	r->connection->in_request = false;
	if (!r->connection->closing)
		arm(s, r->connection);
	if (r->response)
		MHD_destroy_response(r->response);
	free(r->path);
	free(r->body);
	free(r);
	*context = NULL;
}

static void hand_over(struct http_request *r)
{
	r->state = REQUEST_HANDLING;
	r->busy = true;
	r->server->busy++;
	r->server->o.handle(r->server->o.arg, r);
}

static void begin(struct http_request *r, const char *method)
{
	const char *length = http_request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);

	r->begun = true;
	snprintf(r->method, sizeof(r->method), "%s", method);
	/* too long to be read to its end: answer now, and libmicrohttpd closes the connection */
	if (length && strtoull(length, NULL, 10) > HTTP_DRAIN_MAX) {
		r->too_large = true;
		hand_over(r);
	}
}

static bool keep_body(struct http_request *r, const char *data, size_t len)
{
	r->body_seen += len;
	if (r->body_seen > r->server->o.body_max) {
		r->too_large = true;
		return r->body_seen <= HTTP_DRAIN_MAX;
	}
	if (r->body_len + len > r->body_size) {
		size_t size = r->body_size ? r->body_size : 1024;

		while (size < r->body_len + len)
			size *= 2;
		char *body = realloc(r->body, size);

		if (!body)
			return false;
		r->body = body;
		r->body_size = size;
	}
	memcpy(r->body + r->body_len, data, len);
	r->body_len += len;
	return true;
}

static enum MHD_Result queue_answer(struct http_request *r)
{
	enum MHD_Result result = MHD_queue_response(r->mhd, (unsigned int)r->status, r->response);

	MHD_destroy_response(r->response); /* libmicrohttpd holds its own reference */
	r->response = NULL;
	return result;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *mhd, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_len, void **context)
{
	struct http_request *r = *context;

	(void)arg;
	(void)url;
	(void)version;
	if (!r)
		return MHD_NO; /* out of memory */
	if (!r->begun) {
		begin(r, method);
		return r->response ? queue_answer(r) : MHD_YES;
	}
	if (*data_len > 0) {
		bool kept = keep_body(r, data, *data_len);

		*data_len = 0;
		return kept ? MHD_YES : MHD_NO;
	}
	if (r->state == REQUEST_READING)
		hand_over(r);
	if (r->response)
		return queue_answer(r);
	if (r->state != REQUEST_WAITING)
		return MHD_NO;
	disarm(r->server, r->connection);
	MHD_suspend_connection(mhd);
	return MHD_YES;
}

void http_request_wait(struct http_request *r)
{
	r->state = REQUEST_WAITING;
}

void http_answer_header(struct http_request *r, const char *name, const char *value)
{
	if (r->header_count == HEADERS_MAX)
		return;
	snprintf(r->header[r->header_count].name, sizeof(r->header[0].name), "%s", name);
	snprintf(r->header[r->header_count].value, sizeof(r->header[0].value), "%s", value);
	r->header_count++;
}

/* the response is made, or there was no memory for one: then the connection is closed without an answer */
static void answered(struct http_request *r, int status, bool waiting)
{
	r->state = REQUEST_ANSWERED;
	r->status = status;
	if (waiting) {
		if (!r->connection->closing)
			arm(r->server, r->connection);
		MHD_resume_connection(r->mhd);
	}
}

void http_answer(struct http_request *r, int status, const char *content_type, char *body,
                 size_t len)
{
	if (!body && len > 0) {
		status = MHD_HTTP_INTERNAL_SERVER_ERROR;
		len = 0;
	}
	r->response = MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE);
	if (!r->response) {
		free(body);
	} else {
		MHD_add_response_header(r->response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
		MHD_add_response_header(r->response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
		for (uint32_t i = 0; i < r->header_count; i++)
			MHD_add_response_header(r->response, r->header[i].name, r->header[i].value);
	}
	answered(r, status, r->state == REQUEST_WAITING);
}

void http_answer_static(struct http_request *r, int status, const char *content_type,
                        const void *body, size_t len, const struct http_header *header,
                        uint32_t header_count)
{
	/* libmicrohttpd takes a plain pointer, and only reads */
	r->response =
	    MHD_create_response_from_buffer(len, (void *)(uintptr_t)body, MHD_RESPMEM_PERSISTENT);
	if (r->response) {
		MHD_add_response_header(r->response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
		for (uint32_t i = 0; i < header_count; i++)
			MHD_add_response_header(r->response, header[i].name, header[i].value);
	}
	answered(r, status, r->state == REQUEST_WAITING);
}

const char *http_request_method(const struct http_request *r)
{
	return r->method;
}

const char *http_request_path(const struct http_request *r)
{
	return r->path;
}

const char *http_request_query(const struct http_request *r)
{
	return r->query;
}

const char *http_request_header(const struct http_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
}

const void *http_request_body(const struct http_request *r, size_t *len, bool *too_large)
{
	*len = r->body_len;
	*too_large = r->too_large;
	return r->body_len ? r->body : "";
}

bool http_request_is_local(const struct http_request *r)
{
	const struct in6_addr *a = &r->connection->client;

	return IN6_IS_ADDR_V4MAPPED(a) ? a->s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(a);
}

uint64_t http_request_now(const struct http_request *r)
{
	return r->server->now_ns;
}

static int bind_and_listen(int fd, int family, const void *address, uint16_t port)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		return -errno;
	int rc;

	if (family == AF_INET6) {
		memcpy(&in6.sin6_addr, address, sizeof(in6.sin6_addr));
		rc = bind(fd, (struct sockaddr *)&in6, sizeof(in6));
	} else {
		memcpy(&in4.sin_addr, address, sizeof(in4.sin_addr));
		rc = bind(fd, (struct sockaddr *)&in4, sizeof(in4));
	}
	if (rc || listen(fd, BACKLOG))
		return -errno;
	return 0;
}

int http_listen(int family, const void *address, uint16_t port, char err[HTTP_ERROR_MAX])
{
	char text[INET6_ADDRSTRLEN] = "?";
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? -errno : bind_and_listen(fd, family, address, port);

	if (rc == 0)
		return fd;
	inet_ntop(family, address, text, sizeof(text));
	snprintf(err, HTTP_ERROR_MAX, "http: cannot listen on %s%s%s:%u: %s%s",
	         family == AF_INET6 ? "[" : "", text, family == AF_INET6 ? "]" : "", port,
	         strerror(-rc),
	         rc == -EADDRINUSE      ? "; stop what holds it, or set http.listen (HTTP_LISTEN)"
	         : rc == -EADDRNOTAVAIL ? "; no interface has it, set http.listen (HTTP_LISTEN)"
	         : rc == -EACCES        ? "; ports below 1024 need CAP_NET_BIND_SERVICE"
	                                : "");
	if (fd >= 0)
		close(fd);
	return rc;
}

uint16_t http_listen_port(int listen_fd)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);

	if (getsockname(listen_fd, (struct sockaddr *)&a, &len))
		return 0;
	return ntohs(a.sin6_port); /* at the same place as sin_port */
}

static struct MHD_Daemon *start_daemon(struct http_server *s)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_access,
	                        s, MHD_OPTION_LISTEN_SOCKET, s->o.listen_fd,
	                        MHD_OPTION_CONNECTION_LIMIT, s->o.connections + CLOSING_MAX,

	                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_CONNECTION_MEMORY,
	                        MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_STRICT_FOR_CLIENT, 1,
	                        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_NOTIFY_CONNECTION,
	                        on_connection, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
	                        MHD_OPTION_URI_LOG_CALLBACK, on_request_line, s, MHD_OPTION_END);
}

struct http_server *http_server_create(const struct http_options *o, uint64_t now_ns,
                                       char err[HTTP_ERROR_MAX])
{
	struct http_server *s = calloc(1, sizeof(*s));
	struct http_connection *c = calloc(o->connections + CLOSING_MAX, sizeof(*c));

	if (!s || !c) {
		snprintf(err, HTTP_ERROR_MAX, "http: no memory for %u connections", o->connections);
		goto fail;
	}
	s->o = *o;
	s->now_ns = now_ns;
	s->connection = c;
	s->accepting = true;
	TAILQ_INIT(&s->unused);
	TAILQ_INIT(&s->armed);
	LIST_INIT(&s->open);
	for (uint32_t i = 0; i < o->connections + CLOSING_MAX; i++)
		TAILQ_INSERT_TAIL(&s->unused, &c[i], link);
	s->daemon = start_daemon(s);
	if (!s->daemon) {
		snprintf(err, HTTP_ERROR_MAX, "http: MHD_start_daemon failed: %s", strerror(errno));
		goto fail;
	}
	return s;
fail:
	close(o->listen_fd);
	free(c);
	free(s);
	return NULL;
}

int http_server_fd(const struct http_server *s)
{
	return MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

int http_server_timeout_ms(const struct http_server *s, uint64_t now_ns)
{
	const struct http_connection *c = TAILQ_FIRST(&s->armed);
	unsigned long long mhd;

	if (MHD_get_timeout(s->daemon, &mhd) == MHD_YES && mhd == 0)
		return 0;
	if (!c)
		return -1;
	if (c->deadline_ns <= now_ns)
		return 0;
	uint64_t ms = (c->deadline_ns - now_ns + MS - 1) / MS;

	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

void http_server_run(struct http_server *s, uint64_t now_ns)
{
	struct http_connection *c;

	s->now_ns = now_ns;
	while ((c = TAILQ_FIRST(&s->armed)) && c->deadline_ns <= now_ns) {
		s->figures.timed_out++;
		shut(s, c);
	}
	MHD_run(s->daemon);
}

void http_server_stop_accepting(struct http_server *s)
{
	uint64_t last_ns = s->now_ns + LAST_MS * MS;
	struct http_connection *c;

	if (!s->accepting)
		return;
	s->accepting = false;
	MHD_socket fd = MHD_quiesce_daemon(s->daemon);

	if (fd != MHD_INVALID_SOCKET)
		close(fd);
	if (s->o.request_timeout_ms > LAST_MS)
		s->o.request_timeout_ms = LAST_MS;
	TAILQ_FOREACH(c, &s->armed, link)
	if (c->deadline_ns > last_ns)
		c->deadline_ns = last_ns;
}

uint32_t http_server_busy(const struct http_server *s)
{
	return s->busy;
}

const struct http_figures *http_server_figures(const struct http_server *s)
{
	return &s->figures;
}

void http_server_destroy(struct http_server *s)
{
	if (!s)
		return;
	MHD_stop_daemon(s->daemon);
	free(s->connection);
	free(s);
}
