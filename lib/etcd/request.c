/* SPDX-License-Identifier: Apache-2.0 */
#include "etcd/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd/base64.h"

static json_t *encoded(struct etcd_bytes b)
{
	char small[512], *text = BASE64_LEN(b.len) <= sizeof(small) ? small : NULL;
	json_t *o;

	if (text == NULL && (text = malloc(BASE64_LEN(b.len))) == NULL)
		return NULL;
	o = json_stringn_nocheck(text, base64_encode(b.data, b.len, text));
	if (text != small)
		free(text);
	return o;
}

/* int64 is a string in protobuf's JSON */
static json_t *int64(int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, n);
	return json_string(text);
}

struct etcd_bytes etcd_prefix_end(struct etcd_bytes prefix, char *end)
{
	memcpy(end, prefix.data, prefix.len);
	end[prefix.len - 1]++;
	return (struct etcd_bytes){end, prefix.len};
}

json_t *etcd_range(struct etcd_bytes from, struct etcd_bytes end, uint32_t limit, int64_t revision)
{
	json_t *o = json_pack("{s:o}", "key", encoded(from));

	if (end.len > 0)
		json_object_set_new(o, "range_end", encoded(end));
	if (limit > 0)
		json_object_set_new(o, "limit", int64(limit));
	if (revision > 0)
		json_object_set_new(o, "revision", int64(revision));
	return o;
}

json_t *etcd_compare(struct etcd_bytes key, const char *target, int64_t revision)
{
	return json_pack(
	    "{s:s, s:s, s:o, s:o}", "result", "EQUAL", "target", target, "key", encoded(key),
	    strcmp(target, "MOD") == 0 ? "mod_revision" : "create_revision", int64(revision));
}

json_t *etcd_op_put(struct etcd_bytes key, struct etcd_bytes value, int64_t lease)
{
	json_t *put = json_pack("{s:o, s:o}", "key", encoded(key), "value", encoded(value));

	if (lease != 0)
		json_object_set_new(put, "lease", int64(lease));
	return json_pack("{s:o}", "request_put", put);
}

json_t *etcd_op_delete(struct etcd_bytes key)
{
	return json_pack("{s:{s:o}}", "request_delete_range", "key", encoded(key));
}

json_t *etcd_op_range(json_t *range)
{
	return json_pack("{s:o}", "request_range", range);
}

json_t *etcd_txn(json_t *compares, json_t *success, json_t *failure)
{
	json_t *o = json_object();

	if (compares != NULL)
		json_object_set_new(o, "compare", compares);
	if (success != NULL)
		json_object_set_new(o, "success", success);
	if (failure != NULL)
		json_object_set_new(o, "failure", failure);
	return o;
}

json_t *etcd_lease_grant(int64_t ttl_s)
{
	return json_pack("{s:o}", "TTL", int64(ttl_s));
}

json_t *etcd_lease(int64_t id)
{
	return json_pack("{s:o}", "ID", int64(id));
}

json_t *etcd_watch_prefix(struct etcd_bytes prefix, int64_t revision)
{
	char end[256];

	return json_pack("{s:{s:o, s:o, s:o, s:b}}", "create_request", "key", encoded(prefix),
	                 "range_end", encoded(etcd_prefix_end(prefix, end)), "start_revision",
	                 int64(revision), "fragment", 1);
}

json_t *etcd_authenticate(const char *user, const char *password)
{
	return json_pack("{s:s, s:s}", "name", user, "password", password);
}
