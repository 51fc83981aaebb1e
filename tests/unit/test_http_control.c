/* SPDX-License-Identifier: Apache-2.0 */
/* The control loop and its HTTP routes over real sockets, with doubles for the engine behind them.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "control/loop.h"
#include "control/steady.h"

#define PATIENCE_NS UINT64_C(10000000000)

/* --- doubles --- */

static struct figures figures;
static uint64_t durable_seq, last_seq;
static uint32_t ticks, submitted, filtered_not_owner, slots_out;
static int submit_result;
static enum ingress_state ingress_outcome;
static char submitted_key[EVENT_KEY_MAX], submitted_payload[EVENT_PAYLOAD_MAX];
static uint32_t submitted_key_len, submitted_payload_len;

void figures_tick(struct figures_source *s, uint64_t now_ns)
{
	(void)s;
	(void)now_ns;
	ticks++;
}

const struct figures *figures_get(struct figures_source *s, uint64_t now_ns)
{
	(void)s;
	figures.now_ns = now_ns;
	return &figures;
}

void figures_key(struct figures_source *s, const void *key, uint32_t len, struct key_figures *out)
{
	(void)s;
	*out = (struct key_figures){.shard = 1};
	if (len == 3 && memcmp(key, "BTC", 3) == 0)
		*out = (struct key_figures){.seen = true, .shard = 1, .count = 7, .last_seq = 42};
}

uint64_t figures_durable_seq(const struct figures_source *s, uint32_t shard)
{
	(void)s;
	ck_assert_uint_eq(shard, 1);
	return __atomic_load_n(&durable_seq, __ATOMIC_ACQUIRE);
}

int ingress_submit(struct ingress *in, const void *key, uint32_t key_len, const void *payload,
                   uint32_t payload_len, struct ingress_ticket *ticket)
{
	(void)in;
	if (submit_result)
		return submit_result;
	memcpy(submitted_key, key, key_len);
	memcpy(submitted_payload, payload, payload_len);
	submitted_key_len = key_len;
	submitted_payload_len = payload_len;
	submitted++;
	slots_out++;
	*ticket = (struct ingress_ticket){.shard = 1};
	return 0;
}

void ingress_filtered(struct ingress *in, int reason)
{
	(void)in;
	filtered_not_owner += reason == REASON_NOT_OWNER;
}

enum ingress_state ingress_poll(struct ingress *in, struct ingress_ticket *ticket)
{
	(void)in;
	if (ingress_outcome == INGRESS_APPENDED)
		ticket->seq = ++last_seq;
	return ingress_outcome;
}

void ingress_done(struct ingress *in, struct ingress_ticket *ticket)
{
	(void)in;
	(void)ticket;
	slots_out--;
}

bool ownership_known(const struct ownership *o)
{
	(void)o;
	return figures.ownership_known;
}

bool ownership_owns(const struct ownership *o, const void *key, uint32_t len)
{
	(void)o;
	return !(len >= 5 && memcmp(key, "other", 5) == 0);
}

void ownership_owner(const struct ownership *o, const void *key, uint32_t len, const char **engine,
                     const char **url)
{
	bool known = len > 5 && ((const char *)key)[5] == '2';

	(void)o;
	*engine = known ? "e2" : NULL;
	*url = known ? "http://e2:8080" : NULL;
}

const char *ownership_mode_name(const struct ownership *o)
{
	(void)o;
	return "static";
}

uint64_t ownership_key_count(const struct ownership *o)
{
	(void)o;
	return 2;
}

bool ownership_key_at(const struct ownership *o, uint64_t i, const void **key, uint32_t *len)
{
	static const char *const keys[] = {"BTC", "ETH"};

	(void)o;
	if (i >= 2)
		return false;
	*key = keys[i];
	*len = 3;
	return true;
}

bool ownership_engine_at(const struct ownership *o, uint32_t i, const char **engine,
                         const char **url, uint64_t *keys)
{
	(void)o;
	*engine = "e2";
	*url = "http://e2:8080";
	*keys = 7;
	return i == 0;
}

/* --- a client that turns the loop itself --- */

static struct config config;
static bool attached = true; /* its address stands for an ownership, which only the doubles see */
static struct control *control;
static char answer[1 << 20];

static void start(void)
{
	char err[CONFIG_ERROR_MAX];
	int fd = control_listen(&config, err);

	ck_assert_msg(fd >= 0, "%s", err);
	control = control_create(&config, NULL, fd, err);
	ck_assert_msg(control != NULL, "%s", err);
	if (attached)
		control_attach(control, NULL, (const struct ownership *)&attached);
}

static void setup(void)
{
	control_block_signals();
	memset(&config, 0, sizeof(config));
	memset(&figures, 0, sizeof(figures));
	config.http_address = (struct config_address){.family = AF_INET, .bytes = {127, 0, 0, 1}};
	strcpy(config.http_listen, "127.0.0.1:0");
	strcpy(config.engine_id, "e1");
	config.http_connections = 8;
	config.http_request_timeout_ms = 400;
	config.http_durable_timeout_ms = 100;
	config.http_body_max = EVENT_PAYLOAD_MAX;
	config.p99_degraded_us = 100;
	config.p99_unhealthy_us = 200;
	config.metrics = true;
	figures.engine_id = "e1";
	figures.journal_uuid = "a-uuid";
	figures.version = "v1";
	figures.huge_pages = "none";
	figures.ports_up = figures.recovered = figures.ownership_known = true;
	figures.start_ns = clock_realtime_ns() - 5000000000;
	figures.shard_count = 2;
	ingress_outcome = INGRESS_APPENDED;
	durable_seq = 0;
	last_seq = 0;
	submitted = filtered_not_owner = slots_out = ticks = 0;
	submit_result = 0;
	start();
}

static void teardown(void)
{
	control_destroy(control);
	ck_assert_uint_eq(slots_out, 0);
}

static int connect_to(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	                        .sin_port = htons(control_port(control)),
	                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void send_text(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* turns the loop until a whole answer is there (true) or the connection ends (false) */
static bool read_answer(int fd, bool head)
{
	size_t len = 0;

	for (uint64_t end = steady_ns() + PATIENCE_NS; steady_ns() < end;) {
		control_step(control, 5);
		ssize_t n = recv(fd, answer + len, sizeof(answer) - 1 - len, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return false;
		if (n > 0)
			len += (size_t)n;
		answer[len] = '\0';
		const char *body = strstr(answer, "\r\n\r\n");
		const char *length = strcasestr(answer, "Content-Length: ");

		if (body && length && length < body &&
		    (head || len >= (size_t)(body + 4 - answer) + strtoul(length + 16, NULL, 10)))
			return true;
	}
	ck_abort_msg("no answer in time");
	return false;
}

static int answer_status(void)
{
	return atoi(answer + strlen("HTTP/1.1 "));
}

static int ask(const char *request_line, const char *headers, const char *body)
{
	char request[65536];
	int fd = connect_to();

	snprintf(request, sizeof(request),
	         "%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n%s\r\n%s", request_line,
	         strlen(body), headers, body);
	send_text(fd, request);
	ck_assert(read_answer(fd, strncmp(request_line, "HEAD", 4) == 0));
	close(fd);
	return answer_status();
}

/* an answer that has no body, whatever its length says: 304 */
static int ask_head(const char *request_line, const char *headers)
{
	char request[1024];
	int fd = connect_to();

	snprintf(request, sizeof(request), "%s HTTP/1.1\r\nHost: x\r\n%s\r\n", request_line,
	         headers);
	send_text(fd, request);
	size_t len = 0;

	answer[0] = '\0';
	for (uint64_t end = steady_ns() + PATIENCE_NS;
	     !strstr(answer, "\r\n\r\n") && steady_ns() < end;) {
		control_step(control, 5);
		ssize_t n = recv(fd, answer + len, sizeof(answer) - 1 - len, MSG_DONTWAIT);

		len += n > 0 ? (size_t)n : 0;
		answer[len] = '\0';
	}
	close(fd);
	ck_assert_ptr_nonnull(strstr(answer, "\r\n\r\n"));
	return answer_status();
}

static json_t *answer_json(void)
{
	json_error_t error;
	json_t *o = json_loads(strstr(answer, "\r\n\r\n") + 4, 0, &error);

	ck_assert_msg(o != NULL, "%s in %s", error.text, answer);
	return o;
}

static void assert_error(const char *code)
{
	json_t *o = answer_json();

	ck_assert_str_eq(json_string_value(json_object_get(o, "error")), code);
	ck_assert_int_gt((int)json_string_length(json_object_get(o, "message")), 0);
	json_decref(o);
}

static void assert_header(const char *line)
{
	ck_assert_msg(strcasestr(answer, line) != NULL, "no %s in %s", line, answer);
}

/* --- tests --- */

START_TEST(probes_are_answered_before_the_engine_is_there)
{
	control_destroy(control);
	attached = false;
	figures.recovered = figures.ownership_known = figures.ports_up = false;
	start();
	attached = true;
	ck_assert_int_eq(ask("GET /health/live", "", ""), 200);
	ck_assert_int_eq(ask("GET /health/ready", "", ""), 503);
	ck_assert_int_eq(ask("GET /stats", "", ""), 200);
	ck_assert_int_eq(ask("POST /events?key=BTC", "", "x"), 503);
	ck_assert_ptr_nonnull(strstr(answer, "STARTING"));
	ck_assert_ptr_nonnull(strstr(answer, "Retry-After: 1"));
	ck_assert_int_eq(ask("GET /keys/BTC", "", ""), 503);
	ck_assert_int_eq(ask("GET /ownership", "", ""), 503);
	ck_assert_uint_eq(submitted, 0);
}
END_TEST

START_TEST(post_is_answered_once_durable)
{
	int fd = connect_to();
	char byte;

	config.http_durable_timeout_ms = 5000;
	send_text(fd, "POST /events?key=B%54C HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
	for (int i = 0; i < 30; i++)
		control_step(control, 1);
	ck_assert_uint_eq(submitted, 1);
	ck_assert_int_eq(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	durable_seq = 1;
	ck_assert(read_answer(fd, false));
	ck_assert_int_eq(answer_status(), 200);
	ck_assert_str_eq(strstr(answer, "\r\n\r\n") + 4,
	                 "{\"shard\":1,\"seq\":1,\"durable\":true}\n");
	ck_assert_uint_eq(submitted_key_len, 3);
	ck_assert_mem_eq(submitted_key, "BTC", 3);
	ck_assert_uint_eq(submitted_payload_len, 2);
	ck_assert_mem_eq(submitted_payload, "{}", 2);
	close(fd);
}
END_TEST

START_TEST(stats_and_metrics_and_health)
{
	ck_assert_int_eq(ask("GET /stats", "", ""), 200);
	json_t *o = answer_json();

	ck_assert_str_eq(json_string_value(json_object_get(o, "status")), "healthy");
	json_decref(o);
	ck_assert_int_eq(ask("GET /health", "", ""), 200);
	ck_assert_int_eq(ask("GET /health/live", "", ""), 200);
	ck_assert_int_eq(ask("GET /health/ready", "", ""), 200);
	ck_assert_int_eq(ask("GET /metrics", "", ""), 200);
	assert_header("Content-Type: text/plain; version=0.0.4");
	ck_assert_int_eq(ask("HEAD /stats", "", ""), 200);
	if (getenv("DUMP")) {
		ask("GET /stats", "", "");
		puts(answer);
		ask("GET /metrics", "", "");
		puts(answer);
	}
}
END_TEST

static void header_value(const char *name, char *out, size_t size)
{
	const char *line = strcasestr(answer, name);

	ck_assert_msg(line != NULL, "no %s in %s", name, answer);
	snprintf(out, size, "%.*s", (int)strcspn(line + strlen(name), "\r"), line + strlen(name));
}

START_TEST(the_console_is_served_and_kept_by_the_client)
{
	static const char *const paths[] = {"/", "/console/main.js", "/console/uplot.js",
	                                    "/console/console.css", "/console/icon.svg"};
	char request[64], tag[64], condition[128];

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		snprintf(request, sizeof(request), "GET %s", paths[i]);
		ck_assert_int_eq(ask(request, "", ""), 200);
		assert_header("Content-Security-Policy: default-src 'none'; script-src 'self'; ");
		assert_header("frame-ancestors 'none'");
		assert_header("X-Content-Type-Options: nosniff");
		assert_header("Cache-Control: no-cache");
		header_value("ETag: ", tag, sizeof(tag));
		snprintf(condition, sizeof(condition), "If-None-Match: W/\"x\", %s\r\n", tag);
		ck_assert_int_eq(ask(request, "If-None-Match: \"another\"\r\n", ""), 200);
		ck_assert_int_eq(ask_head(request, condition), 304);
		assert_header(tag);
	}
	ck_assert_int_eq(ask("GET /", "", ""), 200);
	assert_header("Content-Type: text/html; charset=utf-8");
	ck_assert_ptr_nonnull(strstr(answer, "<!doctype html>"));
	ck_assert_ptr_nonnull(strstr(answer, "</html>\n"));
	ck_assert_int_eq(ask("HEAD /", "", ""), 200);
	ck_assert_ptr_null(strstr(answer, "<!doctype html>"));
}
END_TEST

START_TEST(the_console_gets_what_it_has_not)
{
	json_t *o, *history;

	ck_assert_int_eq(ask("GET /console.json", "", ""), 200);
	o = answer_json();
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(o, "health"), "status")),
	                 "healthy");
	ck_assert_uint_eq(json_array_size(json_object_get(o, "reasons")), REASON_COUNT);
	history = json_object_get(o, "history");
	ck_assert_int_eq((int)json_integer_value(json_object_get(history, "last")), 0);
	json_decref(o);
	for (uint64_t end = steady_ns() + PATIENCE_NS; ticks < 1 && steady_ns() < end;)
		control_step(control, 50);
	ck_assert_int_eq(ask("GET /console.json?after=0", "", ""), 200);
	o = answer_json();
	history = json_object_get(o, "history");
	ck_assert_int_eq((int)json_integer_value(json_object_get(history, "last")), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(history, "rows")), 1);
	json_decref(o);
	ck_assert_int_eq(ask("GET /console.json?after=1", "", ""), 200);
	o = answer_json();
	history = json_object_get(o, "history");
	ck_assert_uint_eq(json_array_size(json_object_get(history, "rows")), 0);
	json_decref(o);
}
END_TEST

START_TEST(errors_are_json)
{
	static const struct {
		const char *request;
		int status;
		const char *code;
	} bad[] = {
	    {"POST /events", 400, "MISSING_KEY"},
	    {"POST /events?key=", 400, "MISSING_KEY"},
	    {"POST /events?key", 400, "MISSING_KEY"},
	    {"POST /events?Key=a", 400, "MISSING_KEY"},
	    {"POST /events?key=a&key=b", 400, "BAD_KEY"},
	    {"POST /events?key=a&k%65y=b", 400, "BAD_KEY"},
	    {"POST /events?key=%", 400, "BAD_KEY"},
	    {"POST /events?key=%4", 400, "BAD_KEY"},
	    {"POST /events?key=%zz", 400, "BAD_KEY"},
	    {"POST /events?key=0123456789012345678901234567890123456789012345678901234567890123"
	     "4",
	     400, "BAD_KEY"},
	    {"GET /events?key=a", 405, "METHOD_NOT_ALLOWED"},
	    {"PUT /events?key=a", 405, "METHOD_NOT_ALLOWED"},
	    {"POST /stats", 405, "METHOD_NOT_ALLOWED"},
	    {"DELETE /keys/BTC", 405, "METHOD_NOT_ALLOWED"},
	    {"POST /", 405, "METHOD_NOT_ALLOWED"},
	    {"GET /console/", 404, "NOT_FOUND"},
	    {"GET /console/../stats", 404, "NOT_FOUND"},
	    {"GET /console.json?after=x", 400, "BAD_ARGUMENT"},
	    {"GET /console.json?after=-1", 400, "BAD_ARGUMENT"},
	    {"GET /console.json?after=1&after=2", 400, "BAD_ARGUMENT"},
	    {"GET /healthy", 404, "NOT_FOUND"},
	    {"GET /keys/", 400, "MISSING_KEY"},
	    {"GET /keys/%g0", 400, "BAD_KEY"},
	    {"POST /events?key=other", 409, "NOT_OWNER"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int status = ask(bad[i].request, "", "");

		ck_assert_msg(status == bad[i].status, "%s: %d", bad[i].request, status);
		assert_header("Content-Type: application/json");
		assert_error(bad[i].code);
	}
	ck_assert_uint_eq(submitted, 0);
}
END_TEST

static void restart(void)
{
	control_destroy(control);
	start();
}

static void assert_unavailable(const char *code)
{
	ck_assert_int_eq(ask("POST /events?key=BTC", "", "{}"), 503);
	assert_header("Retry-After: 1");
	assert_error(code);
}

START_TEST(not_owner)
{
	ck_assert_int_eq(ask("POST /events?key=other", "", ""), 409);
	json_t *o = answer_json();

	ck_assert(json_is_null(json_object_get(o, "owner")));
	ck_assert(json_is_null(json_object_get(o, "url")));
	json_decref(o);
	ck_assert_int_eq(ask("POST /events?key=other2", "", ""), 409);
	o = answer_json();
	ck_assert_str_eq(json_string_value(json_object_get(o, "owner")), "e2");
	ck_assert_str_eq(json_string_value(json_object_get(o, "url")), "http://e2:8080");
	json_decref(o);
	ck_assert_uint_eq(filtered_not_owner, 2);
	ck_assert_uint_eq(submitted, 0);
}
END_TEST

START_TEST(unavailable_when_nothing_is_appended)
{
	submit_result = -EAGAIN;
	assert_unavailable("BUSY");
	submit_result = 0;
	ingress_outcome = INGRESS_DROPPED;
	assert_unavailable("JOURNAL_FULL");
	ck_assert_uint_eq(submitted, 1);
	ingress_outcome = INGRESS_APPENDED;
	figures.shard[1].failing = ENOSPC;
	assert_unavailable("DISK_FULL");
	figures.shard[1].failing = EIO;
	assert_unavailable("JOURNAL_FAILING");
	figures.shard[1].failing = 0;
	figures.shard[0].failing = EIO; /* another shard's trouble */
	durable_seq = 100;
	ck_assert_int_eq(ask("POST /events?key=BTC", "", ""), 200);
	figures.draining = true;
	assert_unavailable("DRAINING");
	figures.draining = false;
	figures.recovered = false;
	assert_unavailable("NOT_READY");
	figures.recovered = true;
	figures.ownership_known = false;
	assert_unavailable("NOT_READY");
	ck_assert_uint_eq(submitted, 2);
}
END_TEST

START_TEST(late_when_appended_but_not_durable)
{
	ck_assert_int_eq(ask("POST /events?key=BTC", "", ""), 504);
	json_t *o = answer_json();

	ck_assert_int_eq(json_integer_value(json_object_get(o, "shard")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(o, "seq")), 1);
	ck_assert(json_is_false(json_object_get(o, "durable")));
	json_decref(o);
	ck_assert_ptr_null(strcasestr(answer, "Retry-After"));
	/* no worker has taken it: it may be appended yet */
	ingress_outcome = INGRESS_PENDING;
	ck_assert_int_eq(ask("POST /events?key=BTC", "", ""), 504);
	o = answer_json();
	ck_assert(json_is_null(json_object_get(o, "seq")));
	json_decref(o);
	ck_assert_uint_eq(slots_out, 1);
	ingress_outcome = INGRESS_APPENDED;
	ask("GET /health", "", "");
	ck_assert_uint_eq(slots_out, 0);
}
END_TEST

START_TEST(not_durable_without_sync)
{
	config.sync = JOURNAL_SYNC_NONE;
	restart();
	durable_seq = 1;
	ck_assert_int_eq(ask("POST /events?key=BTC", "", ""), 200);
	ck_assert_ptr_nonnull(strstr(answer, "\"durable\":false"));
	config.sync = JOURNAL_SYNC_GROUP;
	config.store = CONFIG_STORE_MEMORY;
	restart();
	durable_seq = 2;
	ck_assert_int_eq(ask("POST /events?key=BTC", "", ""), 200);
	ck_assert_ptr_nonnull(strstr(answer, "\"durable\":false"));
}
END_TEST

START_TEST(keys_and_bodies_of_any_bytes)
{
	static char body[EVENT_PAYLOAD_MAX + 1];

	durable_seq = 1000;
	ck_assert_int_eq(ask("POST /events?key=%00a%ff+b%2B&other=1", "", ""), 200);
	ck_assert_uint_eq(submitted_key_len, 6);
	ck_assert_mem_eq(submitted_key, "\0a\xff b+", 6);
	ck_assert_uint_eq(submitted_payload_len, 0);
	ck_assert_int_eq(ask("POST http://any.host/events?key=x", "", ""), 200);
	ck_assert_mem_eq(submitted_key, "x", 1);
	memset(body, 'b', EVENT_PAYLOAD_MAX);
	ck_assert_int_eq(ask("POST /events?key=BTC", "", body), 200);
	ck_assert_uint_eq(submitted_payload_len, EVENT_PAYLOAD_MAX);
	ck_assert_mem_eq(submitted_payload, body, EVENT_PAYLOAD_MAX);
	ck_assert_int_eq(
	    ask("POST "
	        "/events?key=0123456789012345678901234567890123456789012345678901234567890123",
	        "", ""),
	    200);
	ck_assert_uint_eq(submitted_key_len, EVENT_KEY_MAX);
}
END_TEST

START_TEST(body_too_large)
{
	static char body[EVENT_PAYLOAD_MAX + 2];
	int fd = connect_to();

	memset(body, 'b', EVENT_PAYLOAD_MAX + 1);
	ck_assert_int_eq(ask("POST /events?key=BTC", "", body), 413);
	assert_error("BODY_TOO_LARGE");
	send_text(fd,
	          "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	          "2001\r\n");
	send_text(fd, body);
	send_text(fd, "\r\n0\r\n\r\n");
	ck_assert(read_answer(fd, false));
	ck_assert_int_eq(answer_status(), 413);
	close(fd);
	/* nobody waits for a terabyte */
	fd = connect_to();
	send_text(fd, "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\n"
	              "Content-Length: 1099511627776\r\n\r\nxxx");
	ck_assert(read_answer(fd, false));
	ck_assert_int_eq(answer_status(), 413);
	close(fd);
	ck_assert_uint_eq(submitted, 0);
}
END_TEST

START_TEST(chunked_body)
{
	int fd = connect_to();

	durable_seq = 1;
	send_text(fd,
	          "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	          "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
	ck_assert(read_answer(fd, false));
	ck_assert_int_eq(answer_status(), 200);
	ck_assert_uint_eq(submitted_payload_len, 5);
	ck_assert_mem_eq(submitted_payload, "abcde", 5);
	close(fd);
}
END_TEST

START_TEST(token)
{
	static const char *const wrong[] = {"",
	                                    "Authorization: Bearer secre\r\n",
	                                    "Authorization: Bearer secret1\r\n",
	                                    "Authorization: Bearer \r\n",
	                                    "Authorization: Basic secret\r\n",
	                                    "Authorization: secret\r\n",
	                                    "Authorization: Bearer secretsecret\r\n",
	                                    "Authorization: Bearer Secret\r\n"};

	strcpy(config.http_token, "secret");
	durable_seq = 1;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_int_eq(ask("POST /events?key=BTC", wrong[i], "{}"), 401);
		assert_header("WWW-Authenticate: Bearer");
		assert_error("UNAUTHORIZED");
	}
	ck_assert_uint_eq(submitted, 0);
	ck_assert_int_eq(ask("POST /events?key=BTC", "Authorization: Bearer secret\r\n", "{}"),
	                 200);
	ck_assert_int_eq(ask("GET /stats", "", ""), 200);
}
END_TEST

static int post_as(const char *id, const char *body)
{
	char header[512];

	snprintf(header, sizeof(header), "Idempotency-Key: %s\r\n", id);
	return ask("POST /events?key=BTC", header, body);
}

START_TEST(idempotency)
{
	char first[256], id[200];

	durable_seq = 1000;
	ck_assert_int_eq(post_as("one", "{}"), 200);
	snprintf(first, sizeof(first), "%s", strstr(answer, "\r\n\r\n"));
	ck_assert_int_eq(post_as("two", "{}"), 200);
	ck_assert_str_ne(strstr(answer, "\r\n\r\n"), first);
	ck_assert_int_eq(post_as("one", "{}"), 200);
	ck_assert_str_eq(strstr(answer, "\r\n\r\n"), first);
	ck_assert_uint_eq(submitted, 2);
	ck_assert_int_eq(post_as("one", "{} "), 422);
	assert_error("IDEMPOTENCY_KEY_REUSED");
	ck_assert_int_eq(ask("POST /events?key=ETH", "Idempotency-Key: one\r\n", "{}"), 422);
	/* it was answered; what the journal does now does not matter */
	figures.shard[1].failing = ENOSPC;
	ck_assert_int_eq(post_as("one", "{}"), 200);
	figures.shard[1].failing = 0;
	memset(id, 'i', 128);
	id[128] = '\0';
	ck_assert_int_eq(post_as(id, "{}"), 200);
	id[128] = 'i';
	id[129] = '\0';
	ck_assert_int_eq(post_as(id, "{}"), 400);
	assert_error("BAD_IDEMPOTENCY_KEY");
	ck_assert_int_eq(post_as("", "{}"), 400);
	ck_assert_int_eq(post_as("caf\xc3\xa9", "{}"), 400);
	ck_assert_uint_eq(submitted, 3);
}
END_TEST

START_TEST(idempotency_of_what_failed)
{
	/* appended and late: the repeat is told the same number */
	ck_assert_int_eq(post_as("late", "{}"), 504);
	ck_assert_int_eq(post_as("late", "{}"), 504);
	durable_seq = 1;
	ck_assert_int_eq(post_as("late", "{}"), 200);
	ck_assert_ptr_nonnull(strstr(answer, "\"seq\":1,"));
	ck_assert_uint_eq(submitted, 1);
	/* not appended: the repeat is a new try */
	ingress_outcome = INGRESS_DROPPED;
	ck_assert_int_eq(post_as("lost", "{}"), 503);
	ingress_outcome = INGRESS_APPENDED;
	durable_seq = 2;
	ck_assert_int_eq(post_as("lost", "{}"), 200);
	ck_assert_uint_eq(submitted, 3);
}
END_TEST

START_TEST(idempotency_while_the_first_waits)
{
	static const char request[] =
	    "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nIdempotency-Key: a\r\n"
	    "Content-Length: 0\r\n\r\n";
	int first = connect_to(), second = connect_to();
	char byte;

	config.http_durable_timeout_ms = 5000;
	ingress_outcome = INGRESS_PENDING;
	send_text(first, request);
	send_text(second, request);
	for (int i = 0; i < 50; i++)
		control_step(control, 1);
	ck_assert_int_eq(recv(first, &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(recv(second, &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_uint_eq(submitted, 1);
	ingress_outcome = INGRESS_APPENDED;
	durable_seq = 1;
	ck_assert(read_answer(first, false));
	ck_assert_int_eq(answer_status(), 200);
	ck_assert(read_answer(second, false));
	ck_assert_int_eq(answer_status(), 200);
	ck_assert_ptr_nonnull(strstr(answer, "\"seq\":1,"));
	close(first);
	close(second);
}
END_TEST

START_TEST(what_no_worker_took_may_be_sent_again)
{
	int fd = connect_to();

	config.http_durable_timeout_ms = 5000;
	ingress_outcome = INGRESS_PENDING;
	send_text(fd, "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	for (int i = 0; i < 1000 && submitted == 0; i++)
		control_step(control, 1);
	ck_assert_uint_eq(submitted, 1);
	control_destroy(control);
	control = NULL;
	ssize_t n =
	    recv(fd, answer, sizeof(answer) - 1, 0); /* the loop is gone: it is here or never */

	ck_assert_int_gt(n, 0);
	answer[n] = '\0';
	ck_assert_int_eq(answer_status(), 503);
	ck_assert_ptr_nonnull(strstr(answer, "STOPPING"));
	ck_assert_ptr_nonnull(strstr(answer, "Retry-After"));
	close(fd);
}
END_TEST

START_TEST(keys_and_ownership)
{
	ck_assert_int_eq(ask("GET /keys/B%54C", "", ""), 200);
	json_t *o = answer_json();

	ck_assert_str_eq(json_string_value(json_object_get(o, "key")), "BTC");
	ck_assert(json_is_true(json_object_get(o, "owned")));
	ck_assert_str_eq(json_string_value(json_object_get(o, "owner")), "e1");
	ck_assert_int_eq(json_integer_value(json_object_get(o, "shard")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(o, "events")), 7);
	ck_assert_int_eq(json_integer_value(json_object_get(o, "last_seq")), 42);
	json_decref(o);
	ck_assert_int_eq(ask("GET /keys/%ff", "", ""), 200);
	o = answer_json();
	ck_assert(json_is_null(json_object_get(o, "key")));
	ck_assert(json_is_false(json_object_get(o, "seen")));
	json_decref(o);
	ck_assert_int_eq(ask("GET /ownership", "", ""), 200);
	o = answer_json();
	ck_assert_str_eq(json_string_value(json_object_get(o, "mode")), "static");
	ck_assert_uint_eq(json_array_size(json_object_get(o, "keys")), 2);
	ck_assert(json_is_false(json_object_get(o, "truncated")));
	json_decref(o);
}
END_TEST

START_TEST(stats_hold_what_the_contract_names)
{
	static const char *const names[] = {"fast_path_count",
	                                    "fast_path_drops_total",
	                                    "fast_path_filtered_total",
	                                    "fast_path_publish_p50_us",
	                                    "fast_path_publish_p99_us",
	                                    "fast_path_publish_p999_us",
	                                    "fast_path_process_p50_us",
	                                    "fast_path_process_p99_us",
	                                    "fast_path_process_p999_us",
	                                    "persistence_queue_write_p99_us",
	                                    "persistence_queue_sync_p99_us",
	                                    "persistence_queue_lag",
	                                    "persistence_queue_error_count",
	                                    "events_per_second",
	                                    "uptime_s",
	                                    "messages_total",
	                                    "journaled_total",
	                                    "law_frames_balance",
	                                    "law_messages_balance",
	                                    "shard_1_durable_seq",
	                                    "process_resident_memory_bytes"};
	struct latency_figures *process = &figures.latency[LATENCY_PROCESS];

	figures.journaled = 90;
	figures.messages = 100;
	figures.reason[REASON_NOT_OWNER] = 6;
	figures.reason[REASON_RING_FULL] = 3;
	figures.port_count = 1;
	figures.port[0] = (struct port_figures){.name = "nic0", .device = "d", .driver = "x"};
	figures.port[0].seen = 50;
	figures.port[0].decoded = 40;
	figures.reason[REASON_NOT_IP] = 8;
	figures.reason[REASON_NIC_MISSED] = 2;
	process->window.count[histogram_bucket(1500)] = process->window.total = 10;
	process->window.max = 1500;
	ck_assert_int_eq(ask("GET /stats", "", ""), 200);
	json_t *o = answer_json();
	const char *name;
	json_t *value;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(json_is_number(json_object_get(o, names[i])), "%s", names[i]);
	json_object_foreach (o, name, value) {
		ck_assert_msg(!json_is_object(value) && !json_is_array(value), "%s is not flat",
		              name);
	}
	ck_assert_int_eq(json_integer_value(json_object_get(o, "fast_path_count")), 90);
	ck_assert_int_eq(json_integer_value(json_object_get(o, "fast_path_drops_total")), 5);
	ck_assert_int_eq(json_integer_value(json_object_get(o, "fast_path_filtered_total")), 14);
	ck_assert_int_eq(json_integer_value(json_object_get(o, "law_frames_balance")), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(o, "law_messages_balance")), 1);
	ck_assert_double_eq(json_real_value(json_object_get(o, "fast_path_process_p99_us")), 1.5);
	json_decref(o);
}
END_TEST

START_TEST(metrics_hold_what_the_contract_names)
{
	static const char *const lines[] = {
	    "\nfast_path_events_total 0\n",
	    "\nfast_path_drops_total{reason=\"nic_missed\",unit=\"frame\"} 0\n",
	    "\nfast_path_drops_total{reason=\"ring_full\",unit=\"message\"} 0\n",
	    "\nfast_path_filtered_total{reason=\"not_owner\",unit=\"message\"} 0\n",
	    "\nfast_path_process_latency_microseconds_bucket{le=\"1\"} 0\n",
	    "\nfast_path_process_latency_microseconds_bucket{le=\"1000000\"} 0\n",
	    "\nfast_path_process_latency_microseconds_bucket{le=\"+Inf\"} 0\n",
	    "\nfast_path_publish_latency_microseconds_count 0\n",
	    "\nfast_path_process_latency_p50_microseconds 0\n",
	    "\nfast_path_process_latency_p99_microseconds 0\n",
	    "\nfast_path_process_latency_p999_microseconds 0\n",
	    "\npersistence_queue_write_latency_p99_microseconds 0\n",
	    "\npersistence_queue_sync_latency_p99_microseconds 0\n",
	    "\npersistence_queue_lag 0\n",
	    "# TYPE persistence_queue_errors_total counter\n",
	    "\nfast_path_lcore_busy_ratio{lcore=\"3\",cpu=\"4\",task=\"rx+worker\"} 0.25\n",
	    "\nfast_path_lcore_empty_polls_total{lcore=\"3\",cpu=\"4\",task=\"rx+worker\"} 0\n",
	    "\nfast_path_lcore_longest_poll_gap_seconds{lcore=\"3\",cpu=\"4\",task=\"rx+worker\"} "
	    "2.5e-05\n",
	    "\nfast_path_ring_high_water{producer=\"rx0\",worker=\"1\"} 9\n",
	    "\nfast_path_shard_durable_sequence{shard=\"1\"} 0\n",
	    "\nprocess_open_fds ",
	    "\nprocess_cpu_seconds_total ",
	    "\nfast_path_build_info{version=\"v1\",engine=\"e1\",journal=\"a-uuid\","
	    "huge_pages=\"none\"} 1\n",
	};

	figures.lcore_count = 1;
	figures.lcore[0] = (struct lcore_figures){.id = 3,
	                                          .cpu = 4,
	                                          .rx = true,
	                                          .worker = true,
	                                          .busy_ratio = 0.25,
	                                          .longest_gap_ns = 25000,
	                                          .moving = true};
	figures.ring_count = 1;
	figures.ring[0] = (struct ring_figures){"rx0", 1, 64, 2, 9};
	ck_assert_int_eq(ask("GET /metrics", "", ""), 200);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ck_assert_msg(strstr(answer, lines[i]) != NULL, "no %s in %s", lines[i], answer);
	for (int i = 0; i < REASON_COUNT; i++) {
		char text[64];

		snprintf(text, sizeof(text), "_total{reason=\"%s\",", reason_table[i].name);
		ck_assert_msg(strstr(answer, text) != NULL, "%s", text);
	}
	config.metrics = false;
	ck_assert_int_eq(ask("GET /metrics", "", ""), 404);
	assert_error("METRICS_OFF");
	ck_assert_ptr_nonnull(strstr(answer, "FAST_PATH_METRICS=1"));
}
END_TEST

START_TEST(health_and_probes_say_no)
{
	figures.lcore_count = 1;
	ck_assert_int_eq(ask("GET /health/live", "", ""), 503);
	ck_assert_int_eq(ask("GET /health", "", ""), 503);
	json_t *o = answer_json();

	ck_assert_str_eq(json_string_value(json_object_get(o, "status")), "unhealthy");
	ck_assert_uint_eq(json_array_size(json_object_get(o, "reasons")), 1);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(o, "parts"), "lcores")),
	                 "unhealthy");
	json_decref(o);
	figures.lcore[0].moving = true;
	ck_assert_int_eq(ask("GET /health/live", "", ""), 200);
	figures.reason_window[REASON_RING_FULL] = 1;
	config.drops_unhealthy = 100;
	ck_assert_int_eq(ask("GET /health", "", ""), 200); /* degraded */
	ck_assert_ptr_nonnull(strstr(answer, "\"degraded\""));
	figures.ports_up = false;
	ck_assert_int_eq(ask("GET /health/ready", "", ""), 503);
}
END_TEST

START_TEST(head_has_no_body)
{
	ck_assert_int_eq(ask("HEAD /health", "", ""), 200);
	ck_assert_str_eq(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
	ck_assert_int_eq(ask("HEAD /events?key=a", "", ""), 405);
	assert_header("Allow: POST");
	ck_assert_int_eq(ask("POST /stats", "", ""), 405);
	assert_header("Allow: GET, HEAD");
}
END_TEST

START_TEST(pipelined_requests)
{
	int fd = connect_to();
	size_t len = 0;

	send_text(fd, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
	              "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
	              "GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n"
	              "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	durable_seq = 1;
	for (uint64_t end = steady_ns() + PATIENCE_NS; steady_ns() < end;) {
		control_step(control, 5);
		ssize_t n = recv(fd, answer + len, sizeof(answer) - 1 - len, MSG_DONTWAIT);

		if (n == 0)
			break;
		if (n > 0)
			len += (size_t)n;
	}
	answer[len] = '\0';
	const char *live = strstr(answer, "{\"live\":true}"),
	           *post = strstr(answer, "{\"shard\":1");
	const char *ready = strstr(answer, "{\"ready\":true"), *none = strstr(answer, "NOT_FOUND");

	ck_assert(live && post && ready && none);
	ck_assert(live < post && post < ready && ready < none);
	close(fd);
}
END_TEST

/* how long until the server ends the connection, ms; feed: sent byte by byte again and again */
static uint64_t time_to_close(int fd, const char *feed)
{
	uint64_t begin = steady_ns(), next = begin;
	const char *at = feed;
	char bin[4096];

	while (steady_ns() - begin < PATIENCE_NS) {
		control_step(control, 2);
		if (*at && steady_ns() >= next) {
			send(fd, at, 1, MSG_NOSIGNAL);
			next = steady_ns() + 20000000;
			at = at[1] ? at + 1 : feed;
		}
		ssize_t n = recv(fd, bin, sizeof(bin), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return (steady_ns() - begin) / 1000000;
	}
	ck_abort_msg("it is still open");
	return 0;
}

START_TEST(slow_clients_meet_their_deadline)
{
	static const struct {
		const char *first, *feed;
	} slow[] = {
	    {"", ""},                                /* says nothing */
	    {"", "G"},                               /* a request line without end */
	    {"GET /stats HTTP/1.1\r\n", "X: y\r\n"}, /* headers without end */
	    {"POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\n", "x"},
	    {"POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
	     "1\r\nx\r\n"},
	    {"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", ""}, /* idle after its answer */
	};

	for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++) {
		int fd = connect_to();

		send_text(fd, slow[i].first);
		uint64_t ms = time_to_close(fd, slow[i].feed);

		ck_assert_msg(ms >= 380 && ms < 5000, "client %zu: %lu ms", i, ms);
		close(fd);
	}
	ck_assert_uint_eq(submitted, 0);
}
END_TEST

START_TEST(answers_nobody_reads)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
	int fd = connect_to(), small = 4096;
	uint64_t begin = steady_ns();
	struct pollfd poll_fd = {.fd = fd, .events = 0};

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	while (steady_ns() - begin < PATIENCE_NS) {
		send(fd, request, strlen(request), MSG_NOSIGNAL | MSG_DONTWAIT);
		control_step(control, 2);
		if (poll(&poll_fd, 1, 0) == 1)
			break;
	}
	ck_assert(poll_fd.revents & (POLLHUP | POLLERR));
	close(fd);
	ck_assert_int_eq(ask("GET /health", "", ""), 200);
}
END_TEST

static void turn(int times)
{
	for (int i = 0; i < times; i++)
		control_step(control, 1);
}

START_TEST(idle_connections_give_way)
{
	int fd[40];

	config.http_request_timeout_ms = 60000;
	restart();
	for (int i = 0; i < 40; i++) { /* the limit is 8 */
		fd[i] = connect_to();
		turn(2);
	}
	ck_assert_int_eq(ask("GET /health", "", ""), 200);
	for (int i = 0; i < 40; i++)
		close(fd[i]);
}
END_TEST

START_TEST(busy_connections_do_not_give_way)
{
	int fd[8], extra;

	config.http_request_timeout_ms = config.http_durable_timeout_ms = 60000;
	restart();
	for (int i = 0; i < 8; i++) {
		fd[i] = connect_to();
		send_text(fd[i],
		          "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
		turn(5);
	}
	ck_assert_uint_eq(submitted, 8);
	extra = connect_to();
	ck_assert(read_answer(extra, false));
	ck_assert_int_eq(answer_status(), 503);
	assert_error("TOO_MANY_CONNECTIONS");
	close(extra);
	durable_seq = 8;
	for (int i = 0; i < 8; i++) {
		ck_assert(read_answer(fd[i], false));
		ck_assert_int_eq(answer_status(), 200);
		close(fd[i]);
	}
	ck_assert_int_eq(ask("GET /health", "", ""), 200);
}
END_TEST

START_TEST(one_client_has_its_own_limit)
{
	int fd[3];
	char byte;

	config.http_connections_per_ip = 2;
	config.http_request_timeout_ms = 60000;
	restart();
	for (int i = 0; i < 3; i++) {
		fd[i] = connect_to();
		turn(5);
	}
	turn(5);
	ck_assert_int_eq(recv(fd[0], &byte, 1, MSG_DONTWAIT), 0); /* the longest idle one */
	ck_assert_int_eq(recv(fd[1], &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(recv(fd[2], &byte, 1, MSG_DONTWAIT), -1);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}
END_TEST

START_TEST(garbage_and_excess)
{
	static char request[200000];
	int fd;

	srandom(3);
	for (int round = 0; round < 200; round++) {
		char bytes[300];

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (char)random();
		fd = connect_to();
		send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
		turn(2);
		close(fd);
	}
	fd = connect_to();
	memset(request, 'a', sizeof(request) - 1);
	memcpy(request, "GET /", 5);
	send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (read_answer(fd, false))
		ck_assert_int_eq(answer_status(), 414);
	close(fd);
	fd = connect_to();
	memcpy(request, "GET /health HTTP/1.1\r\nHost: x\r\nA: ", 34);
	send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (read_answer(fd, false))
		ck_assert_int_eq(answer_status(), 431);
	close(fd);
	ck_assert_int_eq(ask("GET /health", "", ""), 200);
}
END_TEST

START_TEST(clients_that_leave_while_they_wait)
{
	config.http_durable_timeout_ms = 60000;
	for (int i = 0; i < 5; i++) {
		int fd = connect_to();

		send_text(fd,
		          "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
		turn(5);
		close(fd);
	}
	ck_assert_uint_eq(submitted, 5);
	durable_seq = 5;
	turn(10);
	ck_assert_uint_eq(control_busy(control), 0);
	ck_assert_int_eq(ask("GET /health", "", ""), 200);
}
END_TEST

START_TEST(stop_and_drain)
{
	int waiting = connect_to();
	struct sockaddr_in a = {.sin_family = AF_INET,
	                        .sin_port = htons(control_port(control)),
	                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	config.http_durable_timeout_ms = 60000;
	send_text(waiting, "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	turn(5);
	ck_assert_uint_eq(control_busy(control), 1);
	control_stop_accepting(control);
	control_stop_accepting(control);
	int late = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(connect(late, (struct sockaddr *)&a, sizeof(a)), -1);
	close(late);
	durable_seq = 1;
	ck_assert(read_answer(waiting, false));
	ck_assert_int_eq(answer_status(), 200);
	/* an open connection is served, and told that nothing is taken any more */
	send_text(waiting, "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	ck_assert(read_answer(waiting, false));
	ck_assert_int_eq(answer_status(), 503);
	assert_error("DRAINING");
	close(waiting);
}
END_TEST

START_TEST(slow_clients_do_not_hold_up_the_end)
{
	int slow = connect_to(), deaf = connect_to();

	config.http_request_timeout_ms = 60000;
	restart();
	close(slow);
	close(deaf);
	slow = connect_to();
	deaf = connect_to();
	send_text(slow, "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n");
	for (int i = 0; i < 400; i++) {
		static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

		send(deaf, request, sizeof(request) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		control_step(control, 1);
	}
	ck_assert_uint_eq(control_busy(control), 1); /* the answer that nobody reads */
	control_stop_accepting(control);
	uint64_t begin = steady_ns();

	while (control_busy(control) && steady_ns() - begin < PATIENCE_NS)
		control_step(control, 10);
	ck_assert_uint_eq(control_busy(control), 0);
	ck_assert_uint_lt(steady_ns() - begin, 5000000000);
	close(slow);
	close(deaf);
}
END_TEST

START_TEST(destroy_answers_what_waits)
{
	int fd = connect_to();

	config.http_durable_timeout_ms = 60000;
	send_text(fd, "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	turn(10);
	control_destroy(control);
	control = NULL;
	ssize_t n = recv(fd, answer, sizeof(answer) - 1, 0);

	ck_assert_int_gt(n, 0);
	answer[n] = '\0';
	ck_assert_int_eq(answer_status(), 504);
	close(fd);
}
END_TEST

START_TEST(signals)
{
	ck_assert_int_eq(control_step(control, 0), CONTROL_GOES_ON);
	raise(SIGTERM);
	ck_assert_int_eq(control_run(control), CONTROL_SIGNAL);
	ck_assert_int_eq(control_step(control, 0), CONTROL_GOES_ON);
	raise(SIGINT);
	ck_assert_int_eq(control_step(control, 1000), CONTROL_FORCED);
}
END_TEST

START_TEST(drain_is_asked_for_once)
{
	json_t *o;

	ck_assert_int_eq(ask("GET /drain", "", ""), 200);
	o = answer_json();
	ck_assert_str_eq(json_string_value(json_object_get(o, "state")), "running");
	ck_assert(json_is_false(json_object_get(o, "complete")));
	json_decref(o);
	ck_assert_int_eq(ask("PUT /drain", "", ""), 405);
	assert_header("Allow: GET, HEAD, POST");
	ck_assert_int_eq(ask("POST /drain", "Origin: http://x\r\n", ""), 403);
	assert_error("FROM_A_PAGE");
	static const char *const wrong[] = {
	    "", "0", "3601", "-1", "1x", "1000000000", "99999999999999999999"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char line[64];

		snprintf(line, sizeof(line), "POST /drain?timeout=%s", wrong[i]);
		ck_assert_int_eq(ask(line, "", ""), 400);
		assert_error("BAD_ARGUMENT");
	}
	ck_assert(!control_drain(control)->requested);
	ck_assert_int_eq(control_step(control, 0), CONTROL_GOES_ON);
	ck_assert_int_eq(ask("POST /drain?timeout=3600", "", ""), 202);
	ck_assert(control_drain(control)->requested);
	ck_assert_uint_eq(control_drain(control)->timeout_ms, 3600000);
	ck_assert_int_eq(control_run(control), CONTROL_DRAIN);
	ck_assert_int_eq(ask("POST /drain", "", ""), 409);
	assert_error("DRAINING");
	/* a signal meanwhile is the first one */
	raise(SIGTERM);
	ck_assert_int_eq(control_step(control, 1000), CONTROL_SIGNAL);
	raise(SIGTERM);
	ck_assert_int_eq(control_step(control, 1000), CONTROL_FORCED);
}
END_TEST

START_TEST(drain_is_seen_to_its_end)
{
	struct drain *d = control_drain(control);
	json_t *o;

	ck_assert_int_eq(ask("POST /drain", "", ""), 202);
	ck_assert_uint_eq(d->timeout_ms, 0);
	control_stop_events(control);
	ck_assert_int_eq(ask("POST /events?key=BTC", "", "{}"), 503);
	assert_error("DRAINING");
	for (int step = DRAIN_RINGS; step < DRAIN_ENDED; step++) {
		d->step = (enum drain_step)step;
		ck_assert_int_eq(ask("GET /drain", "", ""), 200);
		ck_assert_ptr_nonnull(strstr(answer, drain_step_name(d->step)));
		ck_assert(!d->told);
	}
	d->step = DRAIN_ENDED;
	d->complete = true;
	strcpy(d->message, "all is well");
	ck_assert_int_eq(ask("GET /drain", "", ""), 200);
	o = answer_json();
	ck_assert(json_is_true(json_object_get(o, "complete")));
	ck_assert_str_eq(json_string_value(json_object_get(o, "message")), "all is well");
	json_decref(o);
	ck_assert(d->told);
}
END_TEST

START_TEST(drain_wants_the_token)
{
	strcpy(config.http_token, "secret");
	ck_assert_int_eq(ask("POST /drain", "", ""), 401);
	assert_error("UNAUTHORIZED");
	ck_assert(!control_drain(control)->requested);
	ck_assert_int_eq(ask("GET /drain", "", ""), 200);
	ck_assert_int_eq(ask("POST /drain", "Authorization: Bearer secret\r\n", ""), 202);
}
END_TEST

static uint32_t watched;

static void on_watched(void *arg, uint32_t events)
{
	int fd = *(int *)arg;
	uint64_t count;

	ck_assert(events & 1);
	ck_assert_int_eq(read(fd, &count, sizeof(count)), sizeof(count));
	watched++;
}

START_TEST(watches)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t one = 1;

	watched = 0;
	ck_assert_int_eq(control_watch(control, fd, 1, on_watched, &fd), 0);
	ck_assert_int_eq(control_watch(control, fd, 1, on_watched, &fd), -EEXIST);
	ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one));
	turn(2);
	ck_assert_uint_eq(watched, 1);
	control_unwatch(control, fd);
	ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one));
	turn(2);
	ck_assert_uint_eq(watched, 1);
	close(fd);
}
END_TEST

START_TEST(an_idle_loop_sleeps)
{
	uint64_t begin = steady_ns();
	int turns = 0;

	for (; steady_ns() - begin < 2500000000; turns++)
		control_step(control, -1);
	ck_assert_int_ge(turns, 2);
	ck_assert_int_le(turns, 6);
	ck_assert_uint_ge(ticks, 2);
	ck_assert_uint_le(ticks, 3);
}
END_TEST

static void *wake_later(void *arg)
{
	uint64_t begin = steady_ns();

	(void)arg;
	/* nobody waits yet: these cost nothing and must not end the sleep */
	for (int i = 0; i < 1000; i++)
		control_wake(control);
	while (steady_ns() - begin < 20000000)
		usleep(1000);
	__atomic_store_n(&durable_seq, 1, __ATOMIC_RELEASE);
	control_wake(control);
	return NULL;
}

START_TEST(wake_from_another_thread)
{
	int fd = connect_to();
	pthread_t thread;

	config.http_durable_timeout_ms = 60000;
	send_text(fd, "POST /events?key=BTC HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq(pthread_create(&thread, NULL, wake_later, NULL), 0);
	ck_assert(read_answer(fd, false));
	ck_assert_int_eq(answer_status(), 200);
	pthread_join(thread, NULL);
	close(fd);
}
END_TEST

START_TEST(listening)
{
	struct config other = config;
	char err[CONFIG_ERROR_MAX];

	other.http_port = control_port(control);
	ck_assert_int_eq(control_listen(&other, err), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(err, "cannot listen on 127.0.0.1:"));
	ck_assert_ptr_nonnull(strstr(err, "HTTP_LISTEN"));
	ck_assert_ptr_null(strchr(err, '\n'));
	other.http_address = (struct config_address){.family = AF_INET, .bytes = {192, 0, 2, 1}};
	ck_assert_int_eq(control_listen(&other, err), -EADDRNOTAVAIL);
	ck_assert_ptr_nonnull(strstr(err, "no interface has it"));
	control_listen_warning(&other, err);
	ck_assert_ptr_nonnull(strstr(err, "without a token"));
	strcpy(other.http_token, "t");
	control_listen_warning(&other, err);
	ck_assert_str_eq(err, "");
	control_listen_warning(&config, err);
	ck_assert_str_eq(err, "");
	config.http_address = (struct config_address){.family = AF_INET6, .bytes = {[15] = 1}};
	int fd = control_listen(&config, err);

	ck_assert_msg(fd >= 0 || fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT, "%s", err);
	if (fd >= 0)
		close(fd);
}
END_TEST

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

START_TEST(no_descriptor_is_left)
{
	int before = open_descriptors();

	durable_seq = 1000;
	for (int i = 0; i < 100; i++) {
		int fd = connect_to();

		ask("POST /events?key=BTC", "", "{}");
		ask("GET /stats", "", "");
		send_text(fd, "GET /he");
		turn(1);
		close(fd);
	}
	turn(20);
	ck_assert_int_eq(open_descriptors(), before);
	restart();
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("http_control");
	TCase *t = tcase_create("routes");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, probes_are_answered_before_the_engine_is_there);
	tcase_add_test(t, post_is_answered_once_durable);
	tcase_add_test(t, stats_and_metrics_and_health);
	tcase_add_test(t, the_console_is_served_and_kept_by_the_client);
	tcase_add_test(t, the_console_gets_what_it_has_not);
	tcase_add_test(t, errors_are_json);
	tcase_add_test(t, not_owner);
	tcase_add_test(t, unavailable_when_nothing_is_appended);
	tcase_add_test(t, late_when_appended_but_not_durable);
	tcase_add_test(t, not_durable_without_sync);
	tcase_add_test(t, keys_and_bodies_of_any_bytes);
	tcase_add_test(t, body_too_large);
	tcase_add_test(t, chunked_body);
	tcase_add_test(t, token);
	tcase_add_test(t, idempotency);
	tcase_add_test(t, idempotency_of_what_failed);
	tcase_add_test(t, idempotency_while_the_first_waits);
	tcase_add_test(t, what_no_worker_took_may_be_sent_again);
	tcase_add_test(t, keys_and_ownership);
	tcase_add_test(t, stats_hold_what_the_contract_names);
	tcase_add_test(t, metrics_hold_what_the_contract_names);
	tcase_add_test(t, health_and_probes_say_no);
	tcase_add_test(t, head_has_no_body);
	tcase_add_test(t, pipelined_requests);
	tcase_add_test(t, slow_clients_meet_their_deadline);
	tcase_add_test(t, answers_nobody_reads);
	tcase_add_test(t, idle_connections_give_way);
	tcase_add_test(t, busy_connections_do_not_give_way);
	tcase_add_test(t, one_client_has_its_own_limit);
	tcase_add_test(t, garbage_and_excess);
	tcase_add_test(t, clients_that_leave_while_they_wait);
	tcase_add_test(t, stop_and_drain);
	tcase_add_test(t, slow_clients_do_not_hold_up_the_end);
	tcase_add_test(t, destroy_answers_what_waits);
	tcase_add_test(t, signals);
	tcase_add_test(t, drain_is_asked_for_once);
	tcase_add_test(t, drain_is_seen_to_its_end);
	tcase_add_test(t, drain_wants_the_token);
	tcase_add_test(t, watches);
	tcase_add_test(t, an_idle_loop_sleeps);
	tcase_add_test(t, wake_from_another_thread);
	tcase_add_test(t, listening);
	tcase_add_test(t, no_descriptor_is_left);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
