/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of requests to etcd's JSON gateway (v3). Pure; every function returns a new reference,
 * NULL only without memory, and takes over the references it is given. */
#ifndef ETCD_REQUEST_H
#define ETCD_REQUEST_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* etcd's own limit (--max-txn-ops) on compares and on operations of one transaction */
#define ETCD_TXN_OPS_MAX 128

struct etcd_bytes {
	const void *data;
	size_t len;
};
#define ETCD_TEXT(s) ((struct etcd_bytes){(s), strlen(s)})

/* Keys from `from` on, below `end` (len 0: only `from`). limit 0: all. revision 0: the newest. */
json_t *etcd_range(struct etcd_bytes from, struct etcd_bytes end, uint32_t limit, int64_t revision);
/* What comes after every key that begins with `prefix`, into end[0..prefix.len): the last byte plus
 * one. Prefixes here are text that ends in '/'. */
struct etcd_bytes etcd_prefix_end(struct etcd_bytes prefix, char *end);

/* compares: what must be, "MOD" or "CREATE" revision; 0: the key is not there */
json_t *etcd_compare(struct etcd_bytes key, const char *target, int64_t revision);
json_t *etcd_op_put(struct etcd_bytes key, struct etcd_bytes value, int64_t lease);
json_t *etcd_op_delete(struct etcd_bytes key);
json_t *etcd_op_range(json_t *range);
/* arrays of the above; NULL: none */
json_t *etcd_txn(json_t *compares, json_t *success, json_t *failure);

json_t *etcd_lease_grant(int64_t ttl_s);
json_t *etcd_lease(int64_t id); /* keepalive, revoke */
/* all keys with the prefix, from a revision on */
json_t *etcd_watch_prefix(struct etcd_bytes prefix, int64_t revision);
json_t *etcd_authenticate(const char *user, const char *password);

#endif
