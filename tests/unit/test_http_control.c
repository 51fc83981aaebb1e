/* SPDX-License-Identifier: Apache-2.0 */
/* The control loop and its HTTP routes over real sockets, with doubles for the engine behind them.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
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
	return durable_seq;
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

/* --- a client that turns the loop itself --- */

static struct config config;
static struct control *control;
static char answer[1 << 20];

static void start(void)
{
	char err[CONFIG_ERROR_MAX];
	int fd = control_listen(&config, err);

	ck_assert_msg(fd >= 0, "%s", err);
	control = control_create(&config, NULL, NULL, NULL, fd, err);
	ck_assert_msg(control != NULL, "%s", err);
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
	    {"GET /", 404, "NOT_FOUND"},
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

static Suite *suite(void)
{
	Suite *s = suite_create("http_control");
	TCase *t = tcase_create("routes");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, post_is_answered_once_durable);
	tcase_add_test(t, stats_and_metrics_and_health);
	tcase_add_test(t, errors_are_json);
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
