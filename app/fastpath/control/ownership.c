/* SPDX-License-Identifier: Apache-2.0 */
#include "control/ownership.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "control/ownership_private.h"
#include "control/steady.h"
#include "event/hash.h"

#define MS_NS          1000000ull
#define SECOND_NS      1000000000ull
#define AWAY_POLLS     3
#define AWAY_MIN_NS    (3 * SECOND_NS) /* a busy disk holds etcd up for a second now and then */
#define BACKOFF_MAX_NS (2 * SECOND_NS)

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int load_static(struct ownership *o, const struct config *c)
{
	struct ownership_key *keys = calloc(c->owned_key_count + 1, sizeof(*keys));
	struct ownership_keyset *set;

	o->sorted = calloc(c->owned_key_count + 1, sizeof(*o->sorted));
	if (keys == NULL || o->sorted == NULL) {
		free(keys);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < c->owned_key_count; i++) {
		o->sorted[i] = c->owned_keys[i];
		keys[i] = (struct ownership_key){.data = (const uint8_t *)c->owned_keys[i],
		                                 .len = (uint8_t)strlen(c->owned_keys[i])};
	}
	o->count = c->owned_key_count;
	qsort(o->sorted, o->count, sizeof(*o->sorted), by_name);
	set = ownership_keyset_create(keys, o->count);
	free(keys);
	if (set == NULL)
		return -errno;
	atomic_store_explicit(&o->set, set, memory_order_release);
	return 0;
}

static int add_fd(struct ownership *o, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(o->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int open_etcd(struct ownership *o, char err[CONFIG_ERROR_MAX])
{
	const struct config *c = o->config;
	struct etcd_options options = {
	    .endpoints = c->etcd_endpoints,
	    .ca_file = c->etcd_ca_file,
	    .cert_file = c->etcd_cert_file,
	    .key_file = c->etcd_key_file,
	    .user = c->etcd_user,
	    .password = c->etcd_password,
	};
	int ret;

	o->etcd = etcd_create(&options, err);
	o->engine = calloc(OWNERSHIP_ENGINES_MAX, sizeof(*o->engine));
	o->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	o->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (o->etcd == NULL)
		return -EINVAL;
	if (o->engine == NULL || o->epoll_fd < 0 || o->timer_fd < 0)
		return -ENOMEM;
	if ((ret = ownership_publish_init(o)) < 0 || (ret = ownership_leader_init(o)) < 0 ||
	    (ret = add_fd(o, etcd_fd(o->etcd))) < 0 || (ret = add_fd(o, o->timer_fd)) < 0 ||
	    (ret = add_fd(o, o->build.event_fd)) < 0 || (ret = add_fd(o, o->leader.event_fd)) < 0)
		return ret;
	return 0;
}

struct ownership *ownership_create(const struct config *c, const char *instance, uint16_t http_port,
                                   char err[CONFIG_ERROR_MAX])
{
	struct ownership *o = calloc(1, sizeof(*o));
	int ret = o != NULL ? 0 : -ENOMEM;

	err[0] = '\0';
	if (ret == 0) {
		o->config = c;
		o->mode = c->ownership;
		o->epoll_fd = o->timer_fd = -1;
		o->started_ns = steady_ns();
		ownership_cutoff_init(o);
		if (o->mode != CONFIG_OWNERSHIP_ALL)
			ret = load_static(o, c);
	}
	if (ret == 0 && o->mode == CONFIG_OWNERSHIP_ETCD) {
		ret = ownership_registry_init(o, instance, http_port);
		if (ret == 0)
			ret = open_etcd(o, err);
	}
	if (ret < 0) {
		if (err[0] == '\0')
			snprintf(err, CONFIG_ERROR_MAX, "ownership: %u keys: %s",
			         c->owned_key_count, strerror(-ret));
		ownership_destroy(o);
		return NULL;
	}
	return o;
}

void ownership_destroy(struct ownership *o)
{
	if (o == NULL)
		return;
	if (o->mode == CONFIG_OWNERSHIP_ETCD) {
		ownership_leader_close(o);
		if (o->etcd != NULL)
			ownership_registry_revoke(o);
		etcd_destroy(o->etcd);
		ownership_table_close(o);
		ownership_publish_close(o);
		free(o->engine);
		if (o->epoll_fd >= 0)
			close(o->epoll_fd);
		if (o->timer_fd >= 0)
			close(o->timer_fd);
	}
	ownership_cutoff_free(o);
	ownership_keyset_free(atomic_load_explicit(&o->set, memory_order_acquire));
	free(o->sorted);
	free(o->listed);
	free(o);
}

const struct ownership_keyset *ownership_keys(const struct ownership *o)
{
	return atomic_load_explicit(&o->set, memory_order_acquire);
}

struct rte_rcu_qsbr *ownership_rcu(const struct ownership *o)
{
	return o->rcu;
}

/* ---- the loop ---- */

static uint64_t age_ns(const struct ownership *o, uint64_t now_ns)
{
	uint64_t since = o->last_good_ns != 0 ? o->last_good_ns : o->started_ns;

	return now_ns > since ? now_ns - since : 0;
}

static bool is_away(const struct ownership *o, uint64_t now_ns)
{
	uint64_t limit = AWAY_POLLS * o->config->etcd_poll_ms * MS_NS;

	return o->last_good_ns == 0 || age_ns(o, now_ns) > RTE_MAX(limit, AWAY_MIN_NS);
}

static void tell_away(struct ownership *o, uint64_t now_ns)
{
	bool away = is_away(o, now_ns) && (o->last_good_ns != 0 || age_ns(o, now_ns) > AWAY_MIN_NS);

	if (away == o->away_told)
		return;
	o->away_told = away;
	if (away)
		log_warning(
		    "etcd: away; ownership stays as it is: %s; check ETCD_ENDPOINTS (ConfigMap key "
		    "etcd.endpoints), now %.500s; trying again",
		    o->trouble[0] ? o->trouble : "no answer", o->config->etcd_endpoints);
	else
		log_info("etcd: answers again");
}

static void on_poll(void *arg, const struct etcd_reply *reply)
{
	struct ownership *o = arg;
	uint64_t now = steady_ns(), pause = o->config->etcd_poll_ms * MS_NS;

	o->poll = NULL;
	if (reply->error != 0) {
		snprintf(o->trouble, sizeof(o->trouble), "%s", reply->message);
		o->poll_failures = RTE_MIN(o->poll_failures + 1, 8u);
		/* what answers and is no etcd is worth a line of its own */
		if (reply->error != -EHOSTUNREACH)
			log_limited(&o->trouble_limit, now, CONFIG_LOG_WARNING,
			            "etcd: ownership is unchanged: %s", reply->message);
		o->next_poll_ns =
		    now + RTE_MAX(pause, RTE_MIN(pause << o->poll_failures, BACKOFF_MAX_NS));
		return;
	}
	o->last_good_ns = now;
	o->poll_failures = 0;
	o->trouble[0] = '\0';
	ownership_registry_take(o, reply->answer);
	ownership_leader_take(o, reply->answer);
	ownership_table_step(o, now, reply->answer->revision);
}

static void begin_poll(struct ownership *o, uint64_t now_ns)
{
	static const struct etcd_bytes registry = {LAYOUT_REGISTRY, sizeof(LAYOUT_REGISTRY) - 1};
	char end[sizeof(LAYOUT_REGISTRY)];
	json_t *ranges = json_pack(
	    "[o, o]", etcd_op_range(etcd_range(registry, etcd_prefix_end(registry, end), 0, 0)),
	    etcd_op_range(
	        etcd_range(ETCD_TEXT(LAYOUT_LEADER), (struct etcd_bytes){NULL, 0}, 0, 0)));

	o->next_poll_ns = now_ns + o->config->etcd_poll_ms * MS_NS;
	o->poll_revision = o->revision;
	/* one transaction: who is alive and who leads, at one revision */
	o->poll = etcd_call(o->etcd, ETCD_TXN, etcd_txn(NULL, ranges, NULL), on_poll, o);
}

static void set_timer(struct ownership *o, uint64_t now_ns, uint64_t at_ns)
{
	uint64_t left = at_ns > now_ns ? at_ns - now_ns : 1;
	struct itimerspec t = {.it_value = {.tv_sec = (time_t)(left / SECOND_NS),
	                                    .tv_nsec = (long)(left % SECOND_NS)}};

	timerfd_settime(o->timer_fd, 0, &t, NULL);
}

int ownership_fd(const struct ownership *o)
{
	return o->epoll_fd;
}

void ownership_step(struct ownership *o)
{
	uint64_t now, next, ticks;

	if (o->mode != CONFIG_OWNERSHIP_ETCD)
		return;
	(void)!read(o->timer_fd, &ticks, sizeof(ticks));
	ownership_cutoff_check(o, steady_ns());
	etcd_step(o->etcd);
	now = steady_ns();
	tell_away(o, now);
	ownership_table_watch_check(o, now);
	if (o->poll == NULL && now >= o->next_poll_ns)
		begin_poll(o, now);
	ownership_registry_step(o, now);
	ownership_table_after_lease(o, now);
	if (o->table != NULL)
		ownership_publish_step(o, now);
	next = ownership_leader_step(o, now);
	if (o->poll == NULL)
		next = RTE_MIN(next, o->next_poll_ns);
	if (o->dirty && !o->build.running)
		next = RTE_MIN(next, o->build.not_before_ns);
	if (o->retired != NULL)
		next = RTE_MIN(next, now + 5 * MS_NS);
	if (o->lease != 0 && o->renewal == NULL)
		next = RTE_MIN(next, o->next_renewal_ns);
	set_timer(o, now, RTE_MIN(next, now + SECOND_NS));
}

/* ---- questions ---- */

/* the set is etcd's, as soon as it has reached the lcores */
static bool from_etcd(const struct ownership *o)
{
	return o->table != NULL;
}

bool ownership_known(const struct ownership *o)
{
	return o->mode != CONFIG_OWNERSHIP_ETCD || o->count > 0 || o->published;
}

bool ownership_owns(const struct ownership *o, const void *key, uint32_t len)
{
	const struct ownership_keyset *set = ownership_keys(o);
	struct assignment a;

	if (from_etcd(o))
		return assignments_find(o->table, key, len, &a) &&
		       strcmp(a.engine, o->self.id) == 0;
	return set == NULL || ownership_keyset_contains(set, key, len, event_key_hash(key, len));
}

void ownership_owner(const struct ownership *o, const void *key, uint32_t len, const char **engine,
                     const char **url)
{
	const struct layout_engine *e;
	struct assignment a;

	*engine = NULL;
	*url = NULL;
	/* a static set says what is ours, not whose the rest is */
	if (!from_etcd(o) || !assignments_find(o->table, key, len, &a) || a.engine[0] == '\0')
		return;
	*engine = a.engine;
	e = ownership_registry_find(o, a.engine);
	if (e != NULL && e->http[0] != '\0')
		*url = e->http;
}

const char *ownership_mode_name(const struct ownership *o)
{
	static const char *const name[] = {[CONFIG_OWNERSHIP_ALL] = "all",
	                                   [CONFIG_OWNERSHIP_STATIC] = "static",
	                                   [CONFIG_OWNERSHIP_ETCD] = "etcd"};

	return name[o->mode];
}

uint64_t ownership_key_count(const struct ownership *o)
{
	return from_etcd(o) ? assignments_owned(o->table, o->self.id) : o->count;
}

static int by_key(const void *a, const void *b)
{
	const uint8_t *one = a, *other = b;
	int order = memcmp(one + 1, other + 1, RTE_MIN(one[0], other[0]));

	return order != 0 ? order : one[0] - other[0];
}

/* the first ones in order, of however many: half the room is for newcomers */
static void list_keys(struct ownership *o)
{
	struct assignment a;
	uint32_t n = 0;

	if (o->listed == NULL)
		o->listed = calloc(2 * OWNERSHIP_KEYS_LISTED, sizeof(*o->listed));
	if (o->listed == NULL)
		return;
	for (uint64_t cursor = 0; assignments_next(o->table, &cursor, &a);) {
		if (strcmp(a.engine, o->self.id) != 0)
			continue;
		o->listed[n][0] = (uint8_t)a.key_len;
		memcpy(o->listed[n] + 1, a.key, a.key_len);
		if (++n < 2 * OWNERSHIP_KEYS_LISTED)
			continue;
		qsort(o->listed, n, sizeof(*o->listed), by_key);
		n = OWNERSHIP_KEYS_LISTED;
	}
	qsort(o->listed, n, sizeof(*o->listed), by_key);
	o->listed_count = RTE_MIN(n, (uint32_t)OWNERSHIP_KEYS_LISTED);
	o->listed_version = o->table_version;
}

bool ownership_key_at(const struct ownership *o, uint64_t i, const void **key, uint32_t *len)
{
	if (from_etcd(o)) {
		/* the list is a cache; who owns what is not touched */
		if (o->listed == NULL || o->listed_version != o->table_version)
			list_keys((struct ownership *)o);
		if (o->listed == NULL || i >= o->listed_count)
			return false;
		*key = o->listed[i] + 1;
		*len = o->listed[i][0];
		return true;
	}
	if (i >= o->count || i >= OWNERSHIP_KEYS_LISTED)
		return false;
	*key = o->sorted[i];
	*len = (uint32_t)strlen(o->sorted[i]);
	return true;
}

bool ownership_engine_at(const struct ownership *o, uint32_t i, const char **engine,
                         const char **url, uint64_t *keys)
{
	if (i >= o->engine_count)
		return false;
	*engine = o->engine[i].id;
	*url = o->engine[i].http;
	*keys = o->table != NULL ? assignments_owned(o->table, o->engine[i].id) : 0;
	return true;
}

uint32_t ownership_others(const struct ownership *o)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < o->engine_count; i++)
		count += strcmp(o->engine[i].id, o->self.id) != 0;
	return count;
}

void ownership_set_fence(struct ownership *o, int (*fence)(void *arg, const char *engine),
                         void *arg)
{
	o->leader.fence = fence;
	o->leader.fence_arg = arg;
}

void ownership_figures(const struct ownership *o, struct ownership_figures *out)
{
	uint64_t now = steady_ns();

	memset(out, 0, sizeof(*out));
	out->etcd = o->mode == CONFIG_OWNERSHIP_ETCD;
	out->keys = ownership_key_count(o);
	if (!out->etcd)
		return;
	out->away = is_away(o, now);
	out->registered = o->registered && ownership_lease_held(o);
	out->from_etcd = from_etcd(o);
	out->watching = o->watching;
	out->leader = o->leader.elected;
	out->held_by = o->held ? o->held_by : NULL;
	out->endpoint = etcd_endpoint(o->etcd);
	out->trouble = o->trouble;
	out->revision = o->revision;
	out->answer_age_ms = o->last_good_ns != 0 ? age_ns(o, now) / MS_NS : UINT64_MAX;
	out->assignments = o->table != NULL ? assignments_count(o->table) : 0;
	out->engines = o->engine_count;
	out->moves = o->leader.moves;
	out->failovers = etcd_failovers(o->etcd);
	out->rejected = etcd_rejected(o->etcd);
	out->reads = o->reads;
}
