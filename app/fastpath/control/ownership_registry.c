/* SPDX-License-Identifier: Apache-2.0 */
/* Our registration in etcd under a lease, and those of the others. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "control/ownership_private.h"
#include "control/steady.h"
#include "ownership/rendezvous.h"

#define SECOND_NS      1000000000ull
#define START_TRIES    3
#define START_WAIT_NS  (3 * SECOND_NS)
#define REVOKE_WAIT_MS 1000

/* ---- who we are ---- */

static void listen_url(const struct config *c, uint16_t port, char *out, size_t size)
{
	char text[INET6_ADDRSTRLEN], host[256];
	static const uint8_t any[16];

	if (memcmp(c->http_address.bytes, any, sizeof(any)) == 0) {
		/* listening everywhere: the host's name is the best guess */
		if (gethostname(host, sizeof(host)) != 0)
			strcpy(host, "localhost");
		host[sizeof(host) - 1] = '\0';
		snprintf(out, size, "http://%.200s:%u", host, port);
		return;
	}
	inet_ntop(c->http_address.family, c->http_address.bytes, text, sizeof(text));
	snprintf(out, size, c->http_address.family == AF_INET6 ? "http://[%s]:%u" : "http://%s:%u",
	         text, port);
}

int ownership_registry_init(struct ownership *o, const char *instance, uint16_t http_port)
{
	const struct config *c = o->config;

	snprintf(o->self.id, sizeof(o->self.id), "%s", c->engine_id);
	snprintf(o->self.instance, sizeof(o->self.instance), "%s", instance);
	snprintf(o->self.version, sizeof(o->self.version), "%.60s", FASTPATH_VERSION);
	if (c->http_advertise[0] != '\0')
		memcpy(o->self.http, c->http_advertise, sizeof(o->self.http));
	else
		listen_url(c, http_port, o->self.http, sizeof(o->self.http));
	snprintf(o->path, sizeof(o->path), LAYOUT_REGISTRY "%s", c->engine_id);
	return 0;
}

bool ownership_lease_held(const struct ownership *o)
{
	return o->mode != CONFIG_OWNERSHIP_ETCD ||
	       steady_ns() < atomic_load_explicit(&o->lease_until_ns, memory_order_acquire);
}

const struct layout_engine *ownership_registry_find(const struct ownership *o, const char *id)
{
	for (uint32_t i = 0; i < o->engine_count; i++)
		if (strcmp(o->engine[i].id, id) == 0)
			return &o->engine[i];
	return NULL;
}

/* ---- what a poll says ---- */

/* our own key: is it ours, and under our lease? */
static void look_at_own(struct ownership *o, const struct etcd_kv *kv,
                        const struct layout_engine *e)
{
	bool same = strcmp(e->instance, o->self.instance) == 0;

	o->registered_revision = kv->mod_revision;
	o->registered = same && o->lease != 0 && kv->lease == o->lease;
	/* a key without a lease is no live engine's */
	o->held = !same && kv->lease != 0;
	if (o->held && strcmp(o->held_by, e->instance) != 0)
		log_error(
		    "etcd: engine id %s is held by another instance, %s at %s: stop one of the "
		    "two, or give it another ENGINE_ID",
		    o->self.id, e->instance[0] ? e->instance : "unknown",
		    e->http[0] ? e->http : "an unknown address");
	snprintf(o->held_by, sizeof(o->held_by), "%s", o->held ? e->instance : "");
}

static bool is_registration(const struct etcd_kv *kv)
{
	const size_t len = sizeof(LAYOUT_REGISTRY) - 1;

	return kv->key_len > len && memcmp(kv->key, LAYOUT_REGISTRY, len) == 0;
}

void ownership_registry_take(struct ownership *o, const struct etcd_answer *a)
{
	bool seen = false, was = o->registered;

	o->engine_count = 0;
	o->live = 0;
	for (uint32_t i = 0; i < a->kv_count && o->engine_count < OWNERSHIP_ENGINES_MAX; i++) {
		const struct etcd_kv *kv = &a->kv[i];
		struct layout_engine *e = &o->engine[o->engine_count];
		bool good;

		if (!is_registration(kv))
			continue;
		good = layout_engine_parse(e, kv->key, kv->key_len, kv->value, kv->value_len) == 0;
		if (e->id[0] != '\0' && strcmp(e->id, o->self.id) == 0) {
			seen = true;
			look_at_own(o, kv, e);
		}
		/* what has no lease would be alive for ever */
		if (!good || kv->lease == 0)
			continue;
		o->live = o->live * 31 + rendezvous_hash(e->id, strlen(e->id));
		o->engine_count++;
	}
	if (!seen) {
		o->registered = false;
		o->registered_revision = 0;
		o->held = false;
		o->held_by[0] = '\0';
	}
	/* whoever sees no registration may take the keys */
	if (was && !o->registered && !o->leaving)
		ownership_cutoff_lost(o);
	if (o->held)
		ownership_cutoff_usurped(o);
}

/* ---- registering ---- */

static json_t *registration(struct ownership *o)
{
	char *text;
	json_t *txn;

	o->self.ts_ms = (int64_t)(clock_realtime_ns() / 1000000);
	if ((text = layout_engine_text(&o->self)) == NULL)
		return NULL;
	txn = etcd_txn(
	    json_pack("[o]", etcd_compare(ETCD_TEXT(o->path), "MOD", o->registered_revision)),
	    json_pack("[o]", etcd_op_put(ETCD_TEXT(o->path), ETCD_TEXT(text), o->lease)), NULL);
	free(text);
	return txn;
}

static void hold(struct ownership *o, int64_t ttl_s, bool same)
{
	if (o->registered)
		ownership_cutoff_held(o, o->lease_asked_ns,
		                      o->lease_asked_ns + (uint64_t)ttl_s * SECOND_NS, same);
}

static void on_registered(void *arg, const struct etcd_reply *reply)
{
	struct ownership *o = arg;

	o->registering = false;
	/* if somebody else was faster, the next poll tells who */
	if (reply->error != 0 || !reply->answer->succeeded)
		return;
	o->registered = true;
	o->registered_revision = reply->answer->revision;
	hold(o, LAYOUT_LEASE_S, false);
	log_info("etcd: engine %s is registered", o->self.id);
}

static void on_granted(void *arg, const struct etcd_reply *reply)
{
	struct ownership *o = arg;

	o->registering = false;
	if (reply->error != 0)
		return;
	o->lease = reply->answer->lease;
	o->lease_asked_ns = o->renewal_sent_ns;
}

static void on_renewed(void *arg, const struct etcd_reply *reply)
{
	struct ownership *o = arg;

	o->renewal = NULL;
	if (reply->error != 0 || o->leaving)
		return;
	if (reply->answer->ttl > 0) {
		o->lease_asked_ns = o->renewal_sent_ns;
		hold(o, reply->answer->ttl, true);
		return;
	}
	log_warning(
	    "etcd: the lease of engine %s has run out; registering again, the journal goes on",
	    o->self.id);
	o->lease = 0;
	o->registered = false;
	ownership_cutoff_lost(o);
}

/* after each good poll: one step of grant, register */
static void go_on_registering(struct ownership *o, uint64_t now_ns)
{
	struct etcd_call *call;

	if (o->registered || o->registering || o->held)
		return;
	if (o->lease == 0) {
		o->renewal_sent_ns = now_ns;
		o->next_renewal_ns = now_ns + LAYOUT_RENEW_S * SECOND_NS;
		call = etcd_call(o->etcd, ETCD_LEASE_GRANT, etcd_lease_grant(LAYOUT_LEASE_S),
		                 on_granted, o);
	} else {
		call = etcd_call(o->etcd, ETCD_TXN, registration(o), on_registered, o);
	}
	o->registering = call != NULL;
}

static void on_given_back(void *arg, const struct etcd_reply *reply)
{
	struct ownership *o = arg;

	o->revocation = NULL;
	/* what etcd does not know any more is given back too */
	if (reply->error == 0)
		o->lease = 0;
}

/* after a good poll, until etcd has taken it */
static void give_back(struct ownership *o)
{
	if (o->lease == 0 || o->revocation != NULL)
		return;
	o->registered = false;
	o->revocation =
	    etcd_call(o->etcd, ETCD_LEASE_REVOKE, etcd_lease(o->lease), on_given_back, o);
}

void ownership_leave(struct ownership *o)
{
	if (o->mode != CONFIG_OWNERSHIP_ETCD || o->leaving)
		return;
	o->leaving = true;
	log_info("etcd: engine %s leaves the registry", o->self.id);
	give_back(o);
}

void ownership_registry_step(struct ownership *o, uint64_t now_ns)
{
	if (o->leaving) {
		if (o->poll_failures == 0)
			give_back(o);
		return;
	}
	if (o->lease != 0 && o->renewal == NULL && now_ns >= o->next_renewal_ns) {
		o->renewal_sent_ns = now_ns;
		o->next_renewal_ns = now_ns + LAYOUT_RENEW_S * SECOND_NS;
		o->renewal =
		    etcd_call(o->etcd, ETCD_LEASE_KEEPALIVE, etcd_lease(o->lease), on_renewed, o);
	}
	if (o->poll_failures == 0 && o->last_good_ns != 0)
		go_on_registering(o, now_ns);
}

/* ---- at start and at the end ---- */

/* 0: nobody else's; registered_revision is set */
static int look_for_others(struct ownership *o, char err[CONFIG_ERROR_MAX])
{
	char message[ETCD_MESSAGE_MAX];
	struct etcd_answer a;
	struct layout_engine e;
	int rc = etcd_ask(o->etcd, ETCD_RANGE,
	                  etcd_range(ETCD_TEXT(o->path), (struct etcd_bytes){NULL, 0}, 0, 0), &a,
	                  message);

	if (rc == 0 && a.kv_count > 0) {
		layout_engine_parse(&e, a.kv[0].key, a.kv[0].key_len, a.kv[0].value,
		                    a.kv[0].value_len);
		o->registered_revision = a.kv[0].mod_revision;
		if (a.kv[0].lease != 0 && strcmp(e.instance, o->self.instance) != 0) {
			rc = -EEXIST;
			snprintf(err, CONFIG_ERROR_MAX,
			         "engine id %s is taken: instance %s at %.150s is registered in "
			         "etcd and "
			         "alive; stop it (its lease then ends within %d s), or set another "
			         "ENGINE_ID",
			         o->self.id, e.instance[0] ? e.instance : "unknown",
			         e.http[0] ? e.http : "an unknown address", LAYOUT_LEASE_S);
		}
	} else if (rc == 0) {
		o->registered_revision = 0;
	} else {
		snprintf(err, CONFIG_ERROR_MAX, "%.500s", message);
	}
	etcd_answer_free(&a);
	return rc;
}

static int take_lease(struct ownership *o, char err[CONFIG_ERROR_MAX])
{
	struct etcd_answer a;
	int rc;

	o->renewal_sent_ns = steady_ns();
	o->next_renewal_ns = o->renewal_sent_ns + LAYOUT_RENEW_S * SECOND_NS;
	rc = etcd_ask(o->etcd, ETCD_LEASE_GRANT, etcd_lease_grant(LAYOUT_LEASE_S), &a, err);
	if (rc == 0) {
		o->lease = a.lease;
		o->lease_asked_ns = o->renewal_sent_ns;
	}
	etcd_answer_free(&a);
	return rc;
}

static int try_once(struct ownership *o, char err[CONFIG_ERROR_MAX])
{
	struct etcd_answer a;
	int rc = look_for_others(o, err);

	static_assert(CONFIG_ERROR_MAX >= ETCD_MESSAGE_MAX, "err is handed through");
	if (rc == 0 && o->lease == 0)
		rc = take_lease(o, err);
	if (rc < 0)
		return rc;
	rc = etcd_ask(o->etcd, ETCD_TXN, registration(o), &a, err);
	if (rc == 0 && a.succeeded) {
		o->registered = true;
		o->registered_revision = a.revision;
		o->last_good_ns = steady_ns();
		hold(o, LAYOUT_LEASE_S, false);
	}
	etcd_answer_free(&a);
	return rc;
}

int ownership_register(struct ownership *o, char err[CONFIG_ERROR_MAX])
{
	uint64_t end = steady_ns() + START_WAIT_NS;
	int rc = 0;

	if (o->mode != CONFIG_OWNERSHIP_ETCD)
		return 0;
	err[0] = '\0';
	for (int i = 0; i < START_TRIES && !o->registered && steady_ns() < end; i++) {
		rc = try_once(o, err);
		if (rc == -EEXIST)
			return rc;
		if (rc < 0)
			break;
	}
	if (o->registered)
		log_info("etcd: engine %s is registered, its address is %s", o->self.id,
		         o->self.http);
	else
		log_warning("etcd: engine %s is not registered yet, trying again while it runs%s%s",
		            o->self.id, rc < 0 ? ": " : "", rc < 0 ? err : "");
	if (rc < 0)
		snprintf(o->trouble, sizeof(o->trouble), "%.500s", err);
	return 0;
}

static void on_revoked(void *arg, const struct etcd_reply *reply)
{
	(void)reply;
	*(bool *)arg = true;
}

void ownership_registry_revoke(struct ownership *o)
{
	uint64_t end = steady_ns() + REVOKE_WAIT_MS * 1000000ull;
	bool done = false;
	struct etcd_call *call;

	if (o->lease == 0)
		return;
	call = etcd_call(o->etcd, ETCD_LEASE_REVOKE, etcd_lease(o->lease), on_revoked, &done);
	while (call != NULL && !done && steady_ns() < end) {
		usleep(2000);
		etcd_step(o->etcd);
	}
}
