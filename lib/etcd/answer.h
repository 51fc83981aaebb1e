/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What etcd's JSON gateway (v3 API of etcd 3.4 and 3.5) answers, checked and taken apart. Pure: any
 * thread. Numbers may come as JSON strings (that is how the gateway writes int64) or as integers;
 * members that are left out are 0, as protobuf has it.
 */
#ifndef ETCD_ANSWER_H
#define ETCD_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ETCD_ERROR_MAX  256
#define ETCD_ANSWER_MAX (16u << 20) /* bytes; longer ones are not taken */

enum etcd_kind {
	ETCD_RANGE,
	ETCD_TXN,
	ETCD_LEASE_GRANT,
	ETCD_LEASE_KEEPALIVE,
	ETCD_LEASE_REVOKE,
	ETCD_WATCH, /* one message of the stream */
	ETCD_AUTHENTICATE,
	ETCD_KINDS
};

struct etcd_kv {
	const uint8_t *key, *value;
	uint32_t key_len, value_len;
	int64_t create_revision, mod_revision, lease;
	bool deleted; /* watch: the key is gone */
};

struct etcd_answer {
	int64_t revision; /* the store's, when it answered */
	/* range; txn: of all its ranges one after the other; watch: the changes in order */
	struct etcd_kv *kv;
	uint32_t kv_count;
	bool more;                /* range: there are more keys than asked for */
	int64_t count;            /* range: keys in the range */
	bool succeeded;           /* txn: the compares held */
	int64_t lease, ttl;       /* lease; ttl in seconds, <= 0: the lease is gone */
	bool created, canceled;   /* watch */
	bool fragment;            /* watch: more of the same revision follows */
	int64_t compact_revision; /* watch: not 0 when what was asked for is compacted */
	const char *token;        /* authenticate */
	void *memory;
};

/* Take an answer of status 200 apart. Returns 0, or -EBADMSG with a reason in err: no JSON, not
 * the shape of such an answer, or out of range. Free in both cases. */
int etcd_answer_parse(struct etcd_answer *a, enum etcd_kind kind, const char *text, size_t len,
                      char err[ETCD_ERROR_MAX]);
void etcd_answer_free(struct etcd_answer *a);

/* gRPC status codes that callers tell apart */
enum etcd_code {
	ETCD_CODE_NONE = 0,
	ETCD_CODE_INVALID = 3,
	ETCD_CODE_DEADLINE = 4,
	ETCD_CODE_NOT_FOUND = 5,
	ETCD_CODE_DENIED = 7,
	ETCD_CODE_EXHAUSTED = 8,
	ETCD_CODE_OUT_OF_RANGE = 11, /* compacted, or a revision of the future */
	ETCD_CODE_INTERNAL = 13,
	ETCD_CODE_UNAVAILABLE = 14,
	ETCD_CODE_UNAUTHENTICATED = 16,
};
/* An answer of another status, or an error inside a stream: its gRPC code (1..16), message in err.
 * -EBADMSG: it is none. */
int etcd_error_parse(const char *text, size_t len, char err[ETCD_ERROR_MAX]);

#endif
