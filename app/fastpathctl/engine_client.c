/* SPDX-License-Identifier: Apache-2.0 */
#include "engine_client.h"
#include "command.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX      (8u * 1024 * 1024)
#define CONNECT_SECONDS 3L
#define ANSWER_SECONDS  10L

struct engine_client {
	CURL *curl;
	char url[512];
	char why[CURL_ERROR_SIZE];
	char *answer;
	size_t len;
	bool too_long;
	bool gone; /* nobody answered the last request */
	struct curl_slist *headers;
};

static size_t keep(char *data, size_t size, size_t count, void *arg)
{
	struct engine_client *c = arg;
	size_t more = size * count;

	c->too_long = c->len + more > ANSWER_MAX;
	char *answer = c->too_long ? NULL : realloc(c->answer, c->len + more);

	if (!answer)
		return 0;
	memcpy(answer + c->len, data, more);
	c->answer = answer;
	c->len += more;
	return more;
}

struct engine_client *engine_client_open(const char *url, char err[ENGINE_ERROR_MAX])
{
	struct engine_client *c;
	size_t len = strlen(url);

	while (len > 0 && url[len - 1] == '/')
		len--;
	if (len >= sizeof(c->url) || (strncmp(url, "http://", 7) && strncmp(url, "https://", 8))) {
		snprintf(err, ENGINE_ERROR_MAX,
		         "--url %.100s: it must begin with http:// or https://, as " ENGINE_URL,
		         printable(url));
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c || !(c->curl = curl_easy_init())) {
		free(c);
		snprintf(err, ENGINE_ERROR_MAX, "no memory for a connection");
		return NULL;
	}
	memcpy(c->url, url, len);
	curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->why);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, keep);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, ANSWER_SECONDS);
	curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	return c;
}

void engine_client_close(struct engine_client *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->curl);
	curl_slist_free_all(c->headers);
	free(c->answer);
	free(c);
}

int engine_command(const char *name, const char *url, engine_run run, const void *options)
{
	char err[ENGINE_ERROR_MAX];
	struct engine_client *c = engine_client_open(url, err);
	int rc;

	if (!c)
		return usage_error("%s: %s", name, err);
	rc = run(c, options, err);
	if (rc == EXIT_FOUND)
		fprintf(stderr, "fastpathctl: %s\n", err);
	engine_client_close(c);
	return rc;
}

static json_t *get(struct engine_client *c, const char *path, long *status,
                   char err[ENGINE_ERROR_MAX])
{
	char url[sizeof(c->url) + 32];
	json_error_t error;

	snprintf(url, sizeof(url), "%s%s", c->url, path);
	c->len = 0;
	c->too_long = false;
	c->why[0] = '\0';
	curl_easy_setopt(c->curl, CURLOPT_URL, url);
	CURLcode rc = curl_easy_perform(c->curl);

	c->gone = rc != CURLE_OK && !c->too_long;

	if (c->too_long) {
		snprintf(err, ENGINE_ERROR_MAX,
		         "%s: the answer is longer than %u MiB: is it fastpath?", printable(url),
		         ANSWER_MAX >> 20);
		return NULL;
	}
	if (rc != CURLE_OK) {
		snprintf(
		    err, ENGINE_ERROR_MAX,
		    "no engine answers at %.200s: %.200s; is fastpath running? --url names another",
		    c->url, c->why[0] ? c->why : curl_easy_strerror(rc));
		return NULL;
	}
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, status);
	json_t *o = json_loadb(c->answer ? c->answer : "", c->len, JSON_REJECT_DUPLICATES, &error);

	if (!json_is_object(o)) {
		json_decref(o);
		snprintf(err, ENGINE_ERROR_MAX,
		         "%.300s: status %ld, and the answer is no JSON object: is it fastpath?",
		         url, *status);
		return NULL;
	}
	return o;
}

static bool is_stats(const json_t *o)
{
	return json_is_string(json_object_get(o, "status")) &&
	       json_is_integer(json_object_get(o, "fast_path_count")) &&
	       json_is_integer(json_object_get(o, "uptime_s"));
}

json_t *engine_stats(struct engine_client *c, char err[ENGINE_ERROR_MAX])
{
	long status = 0;
	json_t *o = get(c, "/stats", &status, err);

	if (o && (status != 200 || !is_stats(o))) {
		snprintf(
		    err, ENGINE_ERROR_MAX,
		    "%.300s/stats: status %ld, and the answer holds no figures: is it fastpath?",
		    c->url, status);
		json_decref(o);
		return NULL;
	}
	return o;
}

json_t *engine_health(struct engine_client *c, char err[ENGINE_ERROR_MAX])
{
	long status = 0;
	json_t *o = get(c, "/health", &status, err);

	if (o && !json_is_array(json_object_get(o, "reasons"))) {
		snprintf(err, ENGINE_ERROR_MAX,
		         "%.300s/health: status %ld, and the answer is not about health: is it "
		         "fastpath?",
		         c->url, status);
		json_decref(o);
		return NULL;
	}
	return o;
}

void engine_client_token(struct engine_client *c, const char *token)
{
	char header[512];
	struct curl_slist *more;

	snprintf(header, sizeof(header), "Authorization: Bearer %s", token);
	more = curl_slist_append(c->headers, header);
	if (more)
		c->headers = more;
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
}

static bool is_drain(const json_t *o)
{
	return json_is_string(json_object_get(o, "state")) &&
	       json_is_boolean(json_object_get(o, "complete")) &&
	       json_is_string(json_object_get(o, "message"));
}

static json_t *no_drain(struct engine_client *c, json_t *o, long status, char err[ENGINE_ERROR_MAX])
{
	const char *message = json_string_value(json_object_get(o, "message"));

	if (message)
		snprintf(err, ENGINE_ERROR_MAX, "%.100s/drain: %s", c->url, printable(message));
	else
		snprintf(err, ENGINE_ERROR_MAX,
		         "%.300s/drain: status %ld, and the answer is not about draining: is it "
		         "fastpath?",
		         c->url, status);
	json_decref(o);
	return NULL;
}

json_t *engine_drain(struct engine_client *c, unsigned int timeout_s, long *status,
                     char err[ENGINE_ERROR_MAX])
{
	char path[32] = "/drain";

	if (timeout_s > 0)
		snprintf(path, sizeof(path), "/drain?timeout=%u", timeout_s);
	curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, "");
	json_t *o = get(c, path, status, err);

	curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
	if (o && *status != 409 && (*status != 202 || !is_drain(o)))
		return no_drain(c, o, *status, err);
	return o;
}

json_t *engine_drain_state(struct engine_client *c, bool *gone, char err[ENGINE_ERROR_MAX])
{
	long status = 0;
	json_t *o = get(c, "/drain", &status, err);

	*gone = !o && c->gone;
	return o && !is_drain(o) ? no_drain(c, o, status, err) : o;
}

static const json_t *member(const json_t *stats, const char *format, va_list args)
{
	char name[160];

	vsnprintf(name, sizeof(name), format, args);
	return json_object_get(stats, name);
}

uint64_t stats_u64(const json_t *stats, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	const json_t *value = member(stats, format, args);

	va_end(args);
	return (uint64_t)json_integer_value(value);
}

double stats_real(const json_t *stats, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	const json_t *value = member(stats, format, args);

	va_end(args);
	return json_number_value(value);
}

/* a terminal does what control characters tell it, and these come from somewhere else */
const char *printable(const char *text)
{
	static char out[256];
	size_t len = strnlen(text, sizeof(out) - 1);

	for (size_t i = 0; i < len; i++)
		out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
	out[len] = '\0';
	return out;
}

const char *stats_text(const json_t *stats, const char *name)
{
	const char *text = json_string_value(json_object_get(stats, name));

	return printable(text ? text : "?");
}
