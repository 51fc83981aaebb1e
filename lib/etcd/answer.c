/* SPDX-License-Identifier: Apache-2.0 */
#include "etcd/answer.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd/base64.h"

/* what one parse carries along */
struct parse {
	struct etcd_answer *a;
	uint32_t kv_room;
	uint8_t *bytes; /* where decoded bytes go: never more than the text has characters */
	char *err;
	int rc;
};

static int __attribute__((format(printf, 2, 3))) wrong(struct parse *p, const char *format, ...)
{
	va_list args;

	if (p->rc < 0)
		return p->rc;
	va_start(args, format);
	vsnprintf(p->err, ETCD_ERROR_MAX, format, args);
	va_end(args);
	return p->rc = -EBADMSG;
}

static bool is_int64(const char *s)
{
	size_t digits = strspn(s + (*s == '-'), "0123456789");

	return digits > 0 && digits < 20 && s[(*s == '-') + digits] == '\0';
}

static int64_t number(struct parse *p, const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	if (v == NULL)
		return 0;
	if (json_is_integer(v))
		return json_integer_value(v);
	if (json_is_string(v) && is_int64(json_string_value(v))) {
		errno = 0;
		int64_t n = strtoll(json_string_value(v), NULL, 10);

		if (errno == 0)
			return n;
	}
	wrong(p, "%s is no whole number", name);
	return 0;
}

static bool flag(struct parse *p, const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	if (v != NULL && !json_is_boolean(v))
		wrong(p, "%s is no boolean", name);
	return json_is_true(v);
}

static const uint8_t *bytes(struct parse *p, const json_t *o, const char *name, uint32_t *len)
{
	const json_t *v = json_object_get(o, name);
	const uint8_t *at = p->bytes;
	ssize_t n;

	*len = 0;
	if (v == NULL)
		return at;
	if (!json_is_string(v)) {
		wrong(p, "%s is no string", name);
		return at;
	}
	n = base64_decode(json_string_value(v), json_string_length(v), p->bytes);
	if (n < 0) {
		wrong(p, "%s is not base64", name);
		return at;
	}
	p->bytes += n;
	*len = (uint32_t)n;
	return at;
}

/* a member that is an object; NULL: not there, or wrong */
static const json_t *object(struct parse *p, const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	if (v != NULL && !json_is_object(v))
		wrong(p, "%s is no object", name);
	return json_is_object(v) ? v : NULL;
}

static void header(struct parse *p, const json_t *o)
{
	const json_t *h = object(p, o, "header");

	if (h == NULL) {
		wrong(p, "there is no header");
		return;
	}
	p->a->revision = number(p, h, "revision");
	if (p->a->revision < 0)
		wrong(p, "revision is negative");
}

static bool make_room(struct parse *p, size_t more)
{
	struct etcd_kv *kv;

	if (p->a->kv_count + more <= p->kv_room)
		return true;
	kv = realloc(p->a->kv, (p->a->kv_count + more) * sizeof(*kv));
	if (kv == NULL) {
		wrong(p, "no memory for %zu keys", more);
		return false;
	}
	p->a->kv = kv;
	p->kv_room = (uint32_t)(p->a->kv_count + more);
	return true;
}

static void add_kv(struct parse *p, const json_t *o, bool deleted)
{
	struct etcd_kv *kv = &p->a->kv[p->a->kv_count];

	if (!json_is_object(o)) {
		wrong(p, "a kv is no object");
		return;
	}
	kv->key = bytes(p, o, "key", &kv->key_len);
	kv->value = bytes(p, o, "value", &kv->value_len);
	kv->create_revision = number(p, o, "create_revision");
	kv->mod_revision = number(p, o, "mod_revision");
	kv->lease = number(p, o, "lease");
	kv->deleted = deleted;
	if (kv->key_len == 0)
		wrong(p, "a kv has no key");
	if (kv->mod_revision <= 0 || (!deleted && kv->create_revision <= 0))
		wrong(p, "a kv has no revision");
	if (p->rc == 0)
		p->a->kv_count++;
}

static void parse_range(struct parse *p, const json_t *o)
{
	const json_t *kvs = json_object_get(o, "kvs");

	if (kvs != NULL && !json_is_array(kvs)) {
		wrong(p, "kvs is no array");
		return;
	}
	p->a->more = flag(p, o, "more");
	p->a->count = number(p, o, "count");
	if (kvs == NULL || !make_room(p, json_array_size(kvs)))
		return;
	for (size_t i = 0; p->rc == 0 && i < json_array_size(kvs); i++)
		add_kv(p, json_array_get(kvs, i), false);
	if (p->rc == 0 && p->a->more && json_array_size(kvs) == 0)
		wrong(p, "there is more, but nothing came");
}

static void parse_txn(struct parse *p, const json_t *o)
{
	const json_t *responses = json_object_get(o, "responses");

	p->a->succeeded = flag(p, o, "succeeded");
	if (responses != NULL && !json_is_array(responses))
		wrong(p, "responses is no array");
	for (size_t i = 0; p->rc == 0 && i < json_array_size(responses); i++) {
		const json_t *one = json_array_get(responses, i);
		const json_t *range = object(p, one, "response_range");

		if (!json_is_object(one))
			wrong(p, "a response is no object");
		if (range != NULL)
			parse_range(p, range);
	}
}

static void parse_event(struct parse *p, const json_t *o)
{
	const json_t *type = json_object_get(o, "type");
	const json_t *kv = object(p, o, "kv");
	const char *name = type == NULL ? "PUT" : json_string_value(type);

	if (kv == NULL || name == NULL || (strcmp(name, "PUT") != 0 && strcmp(name, "DELETE") != 0))
		wrong(p, "an event is neither PUT nor DELETE of a kv");
	else
		add_kv(p, kv, name[0] == 'D');
}

static void parse_watch(struct parse *p, const json_t *o)
{
	const json_t *events = json_object_get(o, "events");

	p->a->created = flag(p, o, "created");
	p->a->canceled = flag(p, o, "canceled");
	p->a->fragment = flag(p, o, "fragment");
	p->a->compact_revision = number(p, o, "compact_revision");
	if (events != NULL && !json_is_array(events))
		wrong(p, "events is no array");
	if (p->rc < 0 || events == NULL || !make_room(p, json_array_size(events)))
		return;
	for (size_t i = 0; p->rc == 0 && i < json_array_size(events); i++)
		parse_event(p, json_array_get(events, i));
}

static void parse_lease(struct parse *p, const json_t *o, bool granted)
{
	p->a->lease = number(p, o, "ID");
	p->a->ttl = number(p, o, "TTL");
	if (p->a->lease == 0 || (granted && p->a->ttl <= 0))
		wrong(p, "it names no lease");
}

static void parse_token(struct parse *p, const json_t *o)
{
	const char *token = json_string_value(json_object_get(o, "token"));
	size_t len = token == NULL ? 0 : strlen(token);

	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)token[i]))
			len = 0;
	if (len == 0 || len > 4096) {
		wrong(p, "it holds no token");
		return;
	}
	memcpy(p->bytes, token, len + 1);
	p->a->token = (const char *)p->bytes;
}

static void parse_kind(struct parse *p, enum etcd_kind kind, const json_t *o)
{
	header(p, o);
	switch (kind) {
	case ETCD_RANGE:
		parse_range(p, o);
		break;
	case ETCD_TXN:
		parse_txn(p, o);
		break;
	case ETCD_LEASE_GRANT:
	case ETCD_LEASE_KEEPALIVE:
		parse_lease(p, o, kind == ETCD_LEASE_GRANT);
		break;
	case ETCD_WATCH:
		parse_watch(p, o);
		break;
	case ETCD_AUTHENTICATE:
		parse_token(p, o);
		break;
	case ETCD_LEASE_REVOKE:
	case ETCD_KINDS:
		break;
	}
}

int etcd_answer_parse(struct etcd_answer *a, enum etcd_kind kind, const char *text, size_t len,
                      char err[ETCD_ERROR_MAX])
{
	struct parse p = {.a = a, .err = err};
	json_error_t error;
	json_t *root;
	const json_t *o;

	memset(a, 0, sizeof(*a));
	err[0] = '\0';
	if (len > ETCD_ANSWER_MAX)
		return wrong(&p, "it is longer than %u MiB", ETCD_ANSWER_MAX >> 20);
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	a->memory = p.bytes = malloc(len + 1);
	if (p.bytes == NULL) {
		json_decref(root);
		return wrong(&p, "no memory for %zu bytes", len);
	}
	o = root;
	if (!json_is_object(root))
		wrong(&p, "it is no JSON object%s%.100s", root == NULL ? ": " : "",
		      root == NULL ? error.text : "");
	else if (kind == ETCD_LEASE_KEEPALIVE || kind == ETCD_WATCH)
		o = object(&p, root, "result"); /* these two are streams */
	if (p.rc == 0 && o == NULL)
		wrong(&p, "there is no result");
	if (p.rc == 0)
		parse_kind(&p, kind, o);
	json_decref(root);
	return p.rc;
}

void etcd_answer_free(struct etcd_answer *a)
{
	free(a->kv);
	free(a->memory);
	a->kv = NULL;
	a->memory = NULL;
}

int etcd_error_parse(const char *text, size_t len, char err[ETCD_ERROR_MAX])
{
	json_error_t error;
	json_t *root = json_loadb(text, len, 0, &error);
	const json_t *e = json_object_get(root, "error");
	const json_t *o = json_is_object(e) ? e : root; /* inside a stream it is an object */
	const json_t *code = json_object_get(o, json_is_object(e) ? "grpc_code" : "code");
	const char *message = json_string_value(json_object_get(o, "message"));
	json_int_t n = json_integer_value(code);

	if (json_is_object(e) && code == NULL)
		n = json_integer_value(json_object_get(o, "code"));
	if (message == NULL)
		message = json_string_value(e);
	snprintf(err, ETCD_ERROR_MAX, "%.200s", message != NULL ? message : "no reason given");
	json_decref(root);
	return n >= 1 && n <= 16 ? (int)n : -EBADMSG;
}
