/* SPDX-License-Identifier: Apache-2.0 */
#include "control/http_routes.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "control/console.h"
#include "control/health.h"
#include "control/http_answer.h"
#include "control/metrics_page.h"
#include "control/stats.h"
#include "http/url.h"

static const struct figures *figures_now(struct routes *routes)
{
	return figures_get(routes->figures, clock_realtime_ns());
}

static void get_health(struct routes *routes, struct http_request *r)
{
	const struct figures *f = figures_now(routes);
	static struct health h; /* the control thread's alone, and large */

	health_judge(&h, f, routes->config);
	json_t *reasons = json_array(), *parts = json_object();

	for (uint32_t i = 0; i < h.reason_count; i++)
		json_array_append_new(reasons, http_text_json(h.reason[i]));
	for (int i = 0; i < HEALTH_PARTS; i++)
		json_object_set_new(parts, health_part_name(i),
		                    json_string(health_status_name(h.part[i])));
	json_t *o = json_pack(
	    "{s:s, s:o, s:I, s:o}", "status", health_status_name(h.status), "reasons", reasons,
	    "uptime_s", (json_int_t)((f->now_ns - f->start_ns) / 1000000000ull), "parts", parts);

	http_answer_json(r, h.status == HEALTH_UNHEALTHY ? 503 : 200, o);
}

static void get_live(struct routes *routes, struct http_request *r)
{
	bool live = health_live(figures_now(routes));

	http_answer_json(r, live ? 200 : 503, json_pack("{s:b}", "live", live));
}

static void get_ready(struct routes *routes, struct http_request *r)
{
	const struct figures *f = figures_now(routes);
	bool ready = health_ready(f);

	http_answer_json(r, ready ? 200 : 503,
	                 json_pack("{s:b, s:b, s:b, s:b, s:b}", "ready", ready, "ports_up",
	                           f->ports_up, "recovered", f->recovered, "ownership_known",
	                           f->ownership_known, "draining", f->draining));
}

static void get_stats(struct routes *routes, struct http_request *r)
{
	const struct figures *f = figures_now(routes);
	static struct health h;

	health_judge(&h, f, routes->config);
	http_answer_json(r, 200, stats_json(f, &h, http_server_figures(routes->server)));
}

static void get_metrics(struct routes *routes, struct http_request *r)
{
	const struct figures *f = figures_now(routes);
	static struct health h;
	struct process_figures process;
	size_t len;

	if (!routes->config->metrics) {
		http_answer_error(r, 404, "METRICS_OFF",
		                  "/metrics is off: set FAST_PATH_METRICS=1, or http.metrics = 1 "
		                  "in the configuration file, and start again");
		return;
	}
	health_judge(&h, f, routes->config);
	process_read(&process);
	char *text = metrics_page(f, &h, &process, http_server_figures(routes->server), &len);

	http_answer(r, 200, "text/plain; version=0.0.4; charset=utf-8", text, text ? len : 1);
}

/* a key in JSON: as text when it is UTF-8, else percent-encoded as it came */
static json_t *key_json(const void *key, size_t len)
{
	return json_stringn(key, len);
}

static void get_key(struct routes *routes, struct http_request *r)
{
	const char *encoded = http_request_path(r) + strlen("/keys/");
	char key[EVENT_KEY_MAX];
	ssize_t n = url_decode(encoded, strlen(encoded), false, key, sizeof(key));
	struct key_figures figures = {0};
	const char *engine = NULL, *url = NULL;

	if (n <= 0) {
		http_answer_error(r, 400, n == 0 ? "MISSING_KEY" : "BAD_KEY",
		                  "the key must be 1 to %d percent-encoded bytes: GET /keys/KEY",
		                  EVENT_KEY_MAX);
		return;
	}
	uint32_t len = (uint32_t)n;
	bool owned = ownership_owns(routes->ownership, key, len);

	if (owned)
		engine = routes->config->engine_id;
	else
		ownership_owner(routes->ownership, key, len, &engine, &url);
	figures_key(routes->figures, key, len, &figures);
	http_answer_json(r, 200,
	                 json_pack("{s:o?, s:s, s:b, s:s?, s:s?, s:b, s:I, s:I, s:I}", "key",
	                           key_json(key, len), "key_encoded", encoded, "owned", owned,
	                           "owner", engine, "url", url, "seen", figures.seen, "shard",
	                           (json_int_t)figures.shard, "events", (json_int_t)figures.count,
	                           "last_seq", (json_int_t)figures.last_seq));
}

static json_t *engines_json(const struct ownership *own)
{
	json_t *engines = json_array();
	const char *id, *url;
	uint64_t keys;

	for (uint32_t i = 0; ownership_engine_at(own, i, &id, &url, &keys); i++)
		json_array_append_new(engines, json_pack("{s:s, s:s, s:I}", "id", id, "url", url,
		                                         "keys", (json_int_t)keys));
	return engines;
}

static void get_ownership(struct routes *routes, struct http_request *r)
{
	const struct ownership *own = routes->ownership;
	json_t *keys = json_array();
	const void *key;
	uint32_t len;
	uint64_t count = ownership_key_count(own);

	for (uint64_t i = 0; i < OWNERSHIP_KEYS_LISTED && ownership_key_at(own, i, &key, &len);
	     i++) {
		json_t *text = key_json(key, len);

		json_array_append_new(keys, text ? text : json_null());
	}
	http_answer_json(r, 200,
	                 json_pack("{s:s, s:s, s:b, s:I, s:b, s:o, s:o}", "engine",
	                           routes->config->engine_id, "mode", ownership_mode_name(own),
	                           "known", ownership_known(own), "key_count", (json_int_t)count,
	                           "truncated", count > json_array_size(keys), "keys", keys,
	                           "engines", engines_json(own)));
}

static bool all_digits(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return len > 0;
}

static void get_console(struct routes *routes, struct http_request *r)
{
	(void)routes;
	if (!console_answer_file(r, http_request_path(r)))
		http_answer_error(r, 404, "NOT_FOUND", "the console has no such file; it is at /");
}

static void get_console_json(struct routes *routes, struct http_request *r)
{
	const struct figures *f = figures_now(routes);
	static struct health h;
	char after[24] = "0";
	ssize_t n = url_argument(http_request_query(r), "after", after, sizeof(after) - 1);

	if ((n < 0 && n != -ENOENT) || (n >= 0 && !all_digits(after, (size_t)n))) {
		http_answer_error(r, 400, "BAD_ARGUMENT",
		                  "after must be one number: that of the last row that was got");
		return;
	}
	if (n > 0)
		after[n] = '\0';
	health_judge(&h, f, routes->config);
	http_answer_json(r, 200,
	                 console_json(f, &h, http_server_figures(routes->server), routes->history,
	                              routes->config, strtoull(after, NULL, 10)));
}

/* RFC 6750. Every byte is looked at, whatever differs, so that time tells nothing */
static bool token_matches(const char *header, const char *token)
{
	static const char scheme[] = "Bearer ";
	size_t len = strlen(token), given_len;
	volatile unsigned char different;

	if (!header || strncasecmp(header, scheme, sizeof(scheme) - 1) != 0)
		return false;
	const char *given = header + sizeof(scheme) - 1;

	given_len = strlen(given);
	different = given_len != len;
	for (size_t i = 0; i < len; i++)
		different |= (unsigned char)(token[i] ^ (given_len ? given[i % given_len] : 0));
	return !different;
}

/* what changes something needs the token, where there is one */
static bool authorized(struct routes *routes, struct http_request *r)
{
	const char *token = routes->config->http_token;

	if (!token[0] || token_matches(http_request_header(r, "Authorization"), token))
		return true;
	http_answer_header(r, "WWW-Authenticate", "Bearer realm=\"fastpath\"");
	http_answer_error(r, 401, "UNAUTHORIZED",
	                  "this request needs the header Authorization: Bearer TOKEN, with "
	                  "the token of http.token_file");
	return false;
}

static void post_events(struct routes *routes, struct http_request *r)
{
	if (authorized(routes, r))
		events_handle(routes->events, r);
}

static void get_drain(struct routes *routes, struct http_request *r)
{
	struct drain *d = routes->drain;

	d->told |= d->step == DRAIN_ENDED;
	http_answer_json(r, 200, drain_json(d, figures_now(routes)));
}

/* Without a token whoever reaches the port could stop the engine, and a page in the operator's browser reaches
 * loopback. */
static bool may_drain(struct routes *routes, struct http_request *r)
{
	if (!authorized(routes, r))
		return false;
	if (!routes->config->http_token[0] && !http_request_is_local(r)) {
		http_answer_error(
		    r, 403, "NOT_LOCAL",
		    "without a token only this host may drain the engine, over loopback; set "
		    "http.token_file (HTTP_TOKEN_FILE) to allow it from elsewhere");
		return false;
	}
	if (http_request_header(r, "Origin")) {
		http_answer_error(
		    r, 403, "FROM_A_PAGE",
		    "a page in a browser may not drain the engine: use fastpathctl drain");
		return false;
	}
	return true;
}

/* seconds in milliseconds, 0: none given; -1: answered as an error */
static int64_t drain_timeout_ms(struct http_request *r)
{
	char text[8];
	ssize_t n = url_argument(http_request_query(r), "timeout", text, sizeof(text) - 1);
	unsigned long seconds = 0;

	if (n == -ENOENT)
		return 0;
	if (n > 0 && all_digits(text, (size_t)n)) {
		text[n] = '\0';
		seconds = strtoul(text, NULL, 10);
	}
	if (seconds >= 1 && seconds <= DRAIN_TIMEOUT_MAX_S)
		return (int64_t)seconds * 1000;
	http_answer_error(r, 400, "BAD_ARGUMENT",
	                  "timeout must be one whole number of seconds from 1 to %d",
	                  DRAIN_TIMEOUT_MAX_S);
	return -1;
}

/* the loop sees that it is requested, and main goes on from there */
static void post_drain(struct routes *routes, struct http_request *r)
{
	struct drain *d = routes->drain;
	int64_t timeout_ms;

	if (!may_drain(routes, r) || (timeout_ms = drain_timeout_ms(r)) < 0)
		return;
	if (d->requested || d->step != DRAIN_RUNNING) {
		http_answer_error(
		    r, 409, "DRAINING",
		    "the engine is about to stop already; GET /drain says how far it is");
		return;
	}
	d->requested = true;
	d->timeout_ms = (uint32_t)timeout_ms;
	http_answer_json(r, 202, drain_json(d, figures_now(routes)));
}

static const struct route {
	const char *path;
	bool prefix;
	bool engine; /* needs one that has started */
	/* NULL: not with this method */
	void (*get)(struct routes *routes, struct http_request *r);
	void (*post)(struct routes *routes, struct http_request *r);
} route_table[] = {
    {"/health", false, false, get_health, NULL},
    {"/health/live", false, false, get_live, NULL},
    {"/health/ready", false, false, get_ready, NULL},
    {"/events", false, true, NULL, post_events},
    {"/drain", false, true, get_drain, post_drain},
    {"/stats", false, false, get_stats, NULL},
    {"/metrics", false, false, get_metrics, NULL},
    {"/keys/", true, true, get_key, NULL},
    {"/ownership", false, true, get_ownership, NULL},
    {"/", false, false, get_console, NULL},
    {"/console/", true, false, get_console, NULL},
    {"/console.json", false, false, get_console_json, NULL},
};

static const struct route *find_route(const char *path)
{
	for (size_t i = 0; i < sizeof(route_table) / sizeof(route_table[0]); i++) {
		const struct route *route = &route_table[i];

		if (route->prefix ? strncmp(path, route->path, strlen(route->path)) == 0
		                  : strcmp(path, route->path) == 0)
			return route;
	}
	return NULL;
}

void routes_handle(void *arg, struct http_request *r)
{
	struct routes *routes = arg;
	const char *method = http_request_method(r);
	const struct route *route = find_route(http_request_path(r));

	if (!route) {
		http_answer_error(
		    r, 404, "NOT_FOUND",
		    "there is no such path; there are / (the console), /health, /health/live, "
		    "/health/ready, /events, /drain, /stats, /metrics, /keys/KEY, /ownership");
		return;
	}
	bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
	void (*handle)(struct routes *, struct http_request *) = get ? route->get
	                                                         : strcmp(method, "POST") == 0
	                                                             ? route->post
	                                                             : NULL;

	if (!handle) {
		const char *allow = !route->get    ? "POST"
		                    : !route->post ? "GET, HEAD"
		                                   : "GET, HEAD, POST";

		http_answer_header(r, "Allow", allow);
		http_answer_error(r, 405, "METHOD_NOT_ALLOWED", "%s takes %s", route->path, allow);
		return;
	}
	if (route->engine && !routes->ownership) {
		http_answer_header(r, "Retry-After", "1");
		http_answer_error(r, 503, "STARTING",
		                  "the engine is starting; /health/ready tells when it is done");
		return;
	}
	handle(routes, r);
}
