/* SPDX-License-Identifier: Apache-2.0 */
#include "control/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "control/health.h"
#include "control/history.h"
#include "control/http_events.h"
#include "control/http_routes.h"
#include "control/steady.h"
#include "http/server.h"
#include "log.h"

#define SECOND_NS   1000000000ull
#define MS_NS       1000000ull
#define WAITING_MS  1             /* between two looks while a POST waits */
#define GIVE_UP_NS  (200 * MS_NS) /* to hand out the last answers */
#define EVENTS_TURN 16
#define OTHER_FDS   256 /* descriptors that are no connections: ports, segments, EAL's */

struct watch {
	LIST_ENTRY(watch) link;
	int fd; /* -1: gone, to be freed after the turn */
	void (*callback)(void *arg, uint32_t events);
	void *arg;
};

struct control {
	int epoll_fd, wake_fd, signal_fd;
	uint16_t port;
	_Atomic bool waiting; /* somebody wants control_wake to write */
	uint32_t signals;
	uint64_t next_tick_ns; /* steady */
	struct figures_source *figures;
	struct history *history;
	const struct config *config;
	struct http_server *http;
	struct events *events;
	struct routes routes;
	struct drain drain;
	LIST_HEAD(watch_list, watch) watches, gone;
};

static void our_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

void control_block_signals(void)
{
	sigset_t set;

	our_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int control_listen(const struct config *c, char err[CONFIG_ERROR_MAX])
{
	static_assert(CONFIG_ERROR_MAX >= HTTP_ERROR_MAX, "err is handed through");

	return http_listen(c->http_address.family, c->http_address.bytes, c->http_port, err);
}

static bool is_loopback(const struct config_address *a)
{
	static const uint8_t loopback6[16] = {[15] = 1};

	if (a->family == AF_INET)
		return a->bytes[0] == 127;
	return memcmp(a->bytes, loopback6, sizeof(loopback6)) == 0;
}

void control_listen_warning(const struct config *c, char line[CONFIG_ERROR_MAX])
{
	line[0] = '\0';
	if (c->http_token[0] == '\0' && !is_loopback(&c->http_address))
		snprintf(line, CONFIG_ERROR_MAX,
		         "http: listening on %s without a token: whoever reaches it can send "
		         "events; set http.token_file (HTTP_TOKEN_FILE)",
		         c->http_listen);
}

int control_watch(struct control *c, int fd, uint32_t events,
                  void (*callback)(void *arg, uint32_t events), void *arg)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	*w = (struct watch){.fd = fd, .callback = callback, .arg = arg};
	struct epoll_event event = {.events = events, .data.ptr = w};

	if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		int rc = -errno;

		free(w);
		return rc;
	}
	LIST_INSERT_HEAD(&c->watches, w, link);
	return 0;
}

void control_unwatch(struct control *c, int fd)
{
	for (struct watch *w = LIST_FIRST(&c->watches); w; w = LIST_NEXT(w, link)) {
		if (w->fd != fd)
			continue;
		epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		w->fd = -1; /* an event of this turn may still point here */
		LIST_REMOVE(w, link);
		LIST_INSERT_HEAD(&c->gone, w, link);
		return;
	}
}

static void free_gone(struct control *c)
{
	struct watch *w;

	while ((w = LIST_FIRST(&c->gone))) {
		LIST_REMOVE(w, link);
		free(w);
	}
}

static void on_wake(void *arg, uint32_t events)
{
	struct control *c = arg;
	uint64_t count;

	(void)events;
	(void)!read(c->wake_fd, &count, sizeof(count));
}

static void on_signal(void *arg, uint32_t events)
{
	struct control *c = arg;
	struct signalfd_siginfo info;

	(void)events;
	while (read(c->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		/* a terminal that goes away may say so more than once: that is nobody in a hurry */
		if (info.ssi_signo != SIGHUP || c->signals == 0)
			c->signals++;
}

/* the server runs in every turn: its descriptor only ends the sleep */
static void on_http(void *arg, uint32_t events)
{
	(void)arg;
	(void)events;
}

void control_wake(struct control *c)
{
	uint64_t one = 1;

	/* only the first one after the loop began to wait pays for a system call */
	if (atomic_load_explicit(&c->waiting, memory_order_relaxed) &&
	    atomic_exchange(&c->waiting, false))
		(void)!write(c->wake_fd, &one, sizeof(one));
}

static int open_descriptors(struct control *c)
{
	sigset_t set;
	int rc;

	our_signals(&set);
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	c->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (c->epoll_fd < 0 || c->wake_fd < 0 || c->signal_fd < 0)
		return -errno;
	rc = control_watch(c, c->wake_fd, EPOLLIN, on_wake, c);
	if (rc == 0)
		rc = control_watch(c, c->signal_fd, EPOLLIN, on_signal, c);
	return rc;
}

/* Every connection may have a descriptor; the soft limit of 1024 is for programs that use
 * select(2). Returns how many connections there is room for. */
static uint32_t make_room(uint32_t connections)
{
	struct rlimit limit;
	rlim_t want = (rlim_t)connections + OTHER_FDS;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= want)
		return connections;
	limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= want)
		return connections;
	connections = limit.rlim_cur > 2 * OTHER_FDS ? (uint32_t)limit.rlim_cur - OTHER_FDS
	                                             : (uint32_t)limit.rlim_cur / 2;
	log_warning("http: only %u connections at once: RLIMIT_NOFILE is %lu; raise it, or lower "
	            "http.connections",
	            connections, (unsigned long)limit.rlim_cur);
	return connections;
}

static int start_http(struct control *c, const struct config *config, int listen_fd,
                      char err[CONFIG_ERROR_MAX])
{
	struct http_options o = {
	    .listen_fd = listen_fd,
	    .connections = make_room(config->http_connections),
	    .connections_per_ip = config->http_connections_per_ip,
	    .request_timeout_ms = config->http_request_timeout_ms,
	    .body_max = config->http_body_max,
	    .handle = routes_handle,
	    .arg = &c->routes,
	};

	c->port = http_listen_port(listen_fd);
	c->http = http_server_create(&o, steady_ns(), err);
	if (!c->http)
		return -EIO;
	c->routes.server = c->http;
	return control_watch(c, http_server_fd(c->http), EPOLLIN, on_http, c);
}

struct control *control_create(const struct config *config, struct figures_source *figures,
                               int listen_fd, char err[CONFIG_ERROR_MAX])
{
	struct control *c = calloc(1, sizeof(*c));
	int rc;

	if (!c) {
		snprintf(err, CONFIG_ERROR_MAX, "control: no memory");
		close(listen_fd);
		return NULL;
	}
	c->figures = figures;
	c->config = config;
	c->history = history_create();
	c->next_tick_ns = steady_ns() + SECOND_NS;
	c->events = events_create(config, figures);
	c->routes = (struct routes){.config = config,
	                            .figures = figures,
	                            .history = c->history,
	                            .events = c->events,
	                            .drain = &c->drain};
	err[0] = '\0';
	rc = open_descriptors(c);
	if (rc == 0)
		rc = c->events && c->history ? 0 : -ENOMEM;
	if (rc)
		close(listen_fd);
	else
		rc = start_http(c, config, listen_fd, err);
	if (rc == 0)
		return c;
	if (err[0] == '\0')
		snprintf(err, CONFIG_ERROR_MAX, "control: the loop cannot start: %s",
		         strerror(-rc));
	control_destroy(c);
	return NULL;
}

void control_attach(struct control *c, struct ingress *ingress, const struct ownership *ownership)
{
	events_attach(c->events, ingress, ownership);
	c->routes.ownership = ownership;
}

uint16_t control_port(const struct control *c)
{
	return c->port;
}

static int sleep_ms(struct control *c, int timeout_ms)
{
	uint64_t now = steady_ns();
	uint64_t left = c->next_tick_ns > now ? c->next_tick_ns - now : 0;
	int ms = (int)((left + MS_NS - 1) / MS_NS);
	int http = http_server_timeout_ms(c->http, now);

	if (http >= 0 && http < ms)
		ms = http;
	if (timeout_ms >= 0 && timeout_ms < ms)
		ms = timeout_ms;
	if (events_waiting(c->events) && ms > WAITING_MS)
		ms = WAITING_MS;
	return ms;
}

static void tick(struct control *c, uint64_t now)
{
	static struct health health; /* the control thread's alone, and large */
	uint64_t wall_ns = clock_realtime_ns();

	if (now < c->next_tick_ns)
		return;
	figures_tick(c->figures, wall_ns);
	const struct figures *f = figures_get(c->figures, wall_ns);

	health_judge(&health, f, c->config);
	history_add(c->history, f, &health);
	c->next_tick_ns += SECOND_NS;
	if (c->next_tick_ns <= now) /* we were held up: do not catch up in a burst */
		c->next_tick_ns = now + SECOND_NS;
}

/* the server hands over events, and answering them wakes connections of the server */
static void serve(struct control *c)
{
	uint64_t now = steady_ns();

	http_server_run(c->http, now);
	uint32_t waiting = events_waiting(c->events);

	events_step(c->events, now);
	if (events_waiting(c->events) != waiting)
		http_server_run(c->http, now);
}

enum control_end control_step(struct control *c, int timeout_ms)
{
	struct epoll_event event[EVENTS_TURN];
	uint32_t signals = c->signals;

	atomic_store(&c->waiting, events_waiting(c->events) > 0);
	int n = epoll_wait(c->epoll_fd, event, EVENTS_TURN, sleep_ms(c, timeout_ms));

	for (int i = 0; i < n; i++) {
		struct watch *w = event[i].data.ptr;

		if (w->fd >= 0)
			w->callback(w->arg, event[i].events);
	}
	free_gone(c);
	serve(c);
	tick(c, steady_ns());
	if (c->signals == signals)
		return c->drain.requested ? CONTROL_DRAIN : CONTROL_GOES_ON;
	return c->signals > 1 ? CONTROL_FORCED : CONTROL_SIGNAL;
}

enum control_end control_run(struct control *c)
{
	enum control_end end;

	do {
		end = control_step(c, -1);
	} while (end == CONTROL_GOES_ON);
	return end;
}

struct drain *control_drain(struct control *c)
{
	return &c->drain;
}

void control_stop_events(struct control *c)
{
	events_drain(c->events);
}

void control_stop_accepting(struct control *c)
{
	http_server_stop_accepting(c->http);
	events_drain(c->events);
}

uint32_t control_busy(const struct control *c)
{
	return http_server_busy(c->http);
}

static void close_descriptor(int fd)
{
	if (fd > 0)
		close(fd);
}

void control_destroy(struct control *c)
{
	struct watch *w;

	if (!c)
		return;
	if (c->http) {
		control_stop_accepting(c);
		events_give_up(c->events);
		for (uint64_t now = steady_ns(), end = now + GIVE_UP_NS;
		     now < end && http_server_busy(c->http); now = steady_ns()) {
			http_server_run(c->http, now);
			events_give_up(c->events); /* one that was being read came in */
			usleep(1000);
		}
		events_give_up(c->events);
		http_server_destroy(c->http);
	}
	events_destroy(c->events);
	history_destroy(c->history);
	while ((w = LIST_FIRST(&c->watches))) {
		LIST_REMOVE(w, link);
		free(w);
	}
	free_gone(c);
	close_descriptor(c->epoll_fd);
	close_descriptor(c->wake_fd);
	close_descriptor(c->signal_fd);
	free(c);
}
