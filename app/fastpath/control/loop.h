/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control loop: HTTP, signals, and the once-a-second housekeeping, on the main thread. It
 * sleeps until something happens: once a second when idle, every millisecond while a POST waits to
 * be durable.
 */
#ifndef CONTROL_LOOP_H
#define CONTROL_LOOP_H

#include <stdint.h>

#include "config.h"
#include "control/drain.h"
#include "control/figures.h"
#include "control/ownership.h"
#include "dataplane/ingress.h"

struct control;

enum control_end {
	CONTROL_GOES_ON,
	CONTROL_SIGNAL, /* SIGTERM, SIGINT or SIGHUP: drain, then stop */
	CONTROL_FORCED, /* a second one: stop now */
	CONTROL_DRAIN,  /* POST /drain: as a signal, in every turn from there on */
};

/* Main thread, before any other thread is made: SIGTERM, SIGINT and SIGHUP are blocked everywhere, to be
 * read by the loop; SIGPIPE is ignored. */
void control_block_signals(void);

/* The listening socket of http.listen, so that main can find out before EAL that the address is
 * taken. Returns the descriptor, or -errno with one line in err. */
int control_listen(const struct config *c, char err[CONFIG_ERROR_MAX]);
/* what to tell the operator at start about that address, "" when nothing: no token beyond loopback
 */
void control_listen_warning(const struct config *c, char line[CONFIG_ERROR_MAX]);

/* All is borrowed but listen_fd, which it closes, also on failure. NULL: one line in err. Until
 * control_attach it answers probes and figures, and what needs the engine with 503 STARTING. */
struct control *control_create(const struct config *c, struct figures_source *figures,
                               int listen_fd, char err[CONFIG_ERROR_MAX]);
void control_attach(struct control *c, struct ingress *ingress, const struct ownership *ownership);
/* Closes connections, answers what still waits as not durable in time. Before what it borrowed
 * goes. */
void control_destroy(struct control *c);

/* the port that HTTP listens on, host order */
uint16_t control_port(const struct control *c);

/* One turn: sleeps until there is something to do, at most timeout_ms (-1: as long as it likes,
 * which is a second), does it, and says whether a signal came since the last call. */
enum control_end control_step(struct control *c, int timeout_ms);
/* Turns until a signal or a POST /drain. */
enum control_end control_run(struct control *c);

/* what GET /drain tells */
struct drain *control_drain(struct control *c);
/* Takes no new event any more; everything else goes on. */
void control_stop_events(struct control *c);
/* Takes no new connection and no new event any more; what waits is served by further steps. */
void control_stop_accepting(struct control *c);
/* whole requests: waiting, or being answered */
uint32_t control_busy(const struct control *c);

/* Calls back in the loop when fd has one of the epoll events. Until control_unwatch or
 * control_destroy; fd stays the caller's. Returns 0, or -errno. */
int control_watch(struct control *c, int fd, uint32_t events,
                  void (*callback)(void *arg, uint32_t events), void *arg);
void control_unwatch(struct control *c, int fd);

/* Any thread: something became durable. Writes to an eventfd only when a POST waits. */
void control_wake(struct control *c);

#endif
