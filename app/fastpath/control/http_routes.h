/* SPDX-License-Identifier: Apache-2.0 */
/* What the control loop's HTTP server answers to which request. Control thread. */
#ifndef CONTROL_HTTP_ROUTES_H
#define CONTROL_HTTP_ROUTES_H

#include "config.h"
#include "control/drain.h"
#include "control/figures.h"
#include "control/history.h"
#include "control/http_events.h"
#include "control/ownership.h"
#include "http/server.h"

/* all of it borrowed */
struct routes {
	const struct config *config;
	struct figures_source *figures;
	const struct ownership *ownership; /* NULL: the engine is starting */
	const struct history *history;
	struct events *events;
	const struct http_server *server;
	struct drain *drain;
};

/* the handle callback of the server; arg: struct routes */
void routes_handle(void *arg, struct http_request *r);

#endif
