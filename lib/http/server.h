/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/1.1 server over libmicrohttpd that runs on the caller's thread and bounds what clients
 * can take: connections, memory, and time. It has an epoll descriptor to wait for, and is given the
 * time.
 *
 * Time: a connection has request_timeout_ms from accept, or from the end of the last answer, to
 * bring a request line; from there request_timeout_ms to bring the rest and to take the answer. The
 * time that a request waits for us does not count. A connection that overstays is shut down,
 * whatever trickles. Room: when all connections are taken, the one that has been without a request
 * for longest gives way; when all are in a request, a new one gets a 503 and is closed. The limit
 * for one client works the same way among its own connections.
 *
 * Everything belongs to one thread.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_ERROR_MAX 512
/* of one connection, by libmicrohttpd: request line, headers, buffers. Longer ones get 414 or 431
 */
#define HTTP_CONNECTION_MEMORY (32u * 1024)
/* a body above body_max is read on up to here, so that its sender sees the 413 */
#define HTTP_DRAIN_MAX (1024u * 1024)

struct http_server;
struct http_request;

struct http_options {
	int listen_fd;        /* from http_listen; the server closes it, also when create fails */
	uint32_t connections; /* most at once, 1 or more */
	uint32_t connections_per_ip; /* 0: no limit */
	uint32_t request_timeout_ms; /* 1 or more */
	size_t body_max;             /* bytes */
	/* A whole request is here: answer it, or call http_request_wait and answer it later. The
	 * request is gone once answered. */
	void (*handle)(void *arg, struct http_request *r);
	void *arg;
};

/* what operators want to know of it; grows only, but for `open` */
struct http_figures {
	uint64_t accepted, requests, refused, evicted, timed_out;
	uint32_t open;
};

/* A listening, non-blocking socket. family: AF_INET or AF_INET6; address in network order; port in
 * host order, 0: the kernel picks one. Returns the descriptor, or -errno with one line in err. */
int http_listen(int family, const void *address, uint16_t port, char err[HTTP_ERROR_MAX]);
/* the port that a listening socket got, host order; 0 on error */
uint16_t http_listen_port(int listen_fd);

/* NULL: one line in err. SIGPIPE must be ignored by the process. */
struct http_server *http_server_create(const struct http_options *o, uint64_t now_ns,
                                       char err[HTTP_ERROR_MAX]);
/* to wait for with epoll or poll: readable when there is something to do */
int http_server_fd(const struct http_server *s);
/* ms until http_server_run must be called although the descriptor says nothing; -1: no need */
int http_server_timeout_ms(const struct http_server *s, uint64_t now_ns);
/* Does what can be done now; never blocks. now_ns: steady clock. */
void http_server_run(struct http_server *s, uint64_t now_ns);
/* Take no new connection any more; those that are open are served, with a second at most for a request and for
 * taking its answer, so that no client holds up the end. */
void http_server_stop_accepting(struct http_server *s);
/* Whole requests: waiting, or being answered. One that still comes in does not count. */
uint32_t http_server_busy(const struct http_server *s);
const struct http_figures *http_server_figures(const struct http_server *s);
/* Closes everything. Every waiting request must have been answered. */
void http_server_destroy(struct http_server *s);

const char *http_request_method(const struct http_request *r);
const char *http_request_path(const struct http_request *r);  /* as sent, still percent-encoded */
const char *http_request_query(const struct http_request *r); /* as sent; NULL: no `?` */
/* the first header of that name; NULL: none */
const char *http_request_header(const struct http_request *r, const char *name);
/* The body; *too_large: it was above body_max and is not kept. */
const void *http_request_body(const struct http_request *r, size_t *len, bool *too_large);
/* whether the client is on this host: it came over loopback */
bool http_request_is_local(const struct http_request *r);
uint64_t http_request_now(const struct http_request *r); /* the now_ns of this run */

/* Not answered yet: the connection rests until http_answer. */
void http_request_wait(struct http_request *r);
/* A header of the answer to come. Copied. */
void http_answer_header(struct http_request *r, const char *name, const char *value);
/* Answer. Takes body (malloc; NULL: empty, or out of memory, which then is answered as 500). */
void http_answer(struct http_request *r, int status, const char *content_type, char *body,
                 size_t len);

struct http_header {
	const char *name, *value;
};
/* Answer with bytes that outlive the server, and are not copied. The headers are all that the answer gets, but for
 * Content-Type, Date and what frames it; they are copied. */
void http_answer_static(struct http_request *r, int status, const char *content_type,
                        const void *body, size_t len, const struct http_header *header,
                        uint32_t header_count);

#endif
