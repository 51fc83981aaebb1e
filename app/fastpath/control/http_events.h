/* SPDX-License-Identifier: Apache-2.0 */
/* POST /events: checks, hands the event to its worker, and answers once it is durable. Control
 * thread. */
#ifndef CONTROL_HTTP_EVENTS_H
#define CONTROL_HTTP_EVENTS_H

#include "config.h"
#include "control/figures.h"
#include "control/ownership.h"
#include "dataplane/ingress.h"
#include "http/server.h"

struct events;

/* All of it is borrowed. NULL: out of memory. */
struct events *events_create(const struct config *c, struct figures_source *figures);
/* before the first events_handle */
void events_attach(struct events *e, struct ingress *ingress, const struct ownership *ownership);
/* Every waiting request must have been answered: events_give_up. */
void events_destroy(struct events *e);

void events_handle(struct events *e, struct http_request *r);
/* requests that wait to be durable */
uint32_t events_waiting(const struct events *e);
/* Answers those that can be answered. now_ns: steady clock. */
void events_step(struct events *e, uint64_t now_ns);
/* From now on new ones get 503; those that wait go on. */
void events_drain(struct events *e);
/* The workers have ended. Answers all that wait: 503 to what was not appended, to the others as if their time were
 * over. */
void events_give_up(struct events *e);

#endif
