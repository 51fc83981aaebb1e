/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The assignments as etcd tells them: a paged read at one revision, then a watch from there. Whatever
 * is not as it should be is thrown away, and the table stays as it was.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control/ownership_private.h"
#include "control/steady.h"

#define PAGE_KEYS      4000u
#define WATCH_BEGIN_NS 3000000000ull /* to say that it is created */
#define READ_AGAIN_NS  1000000000ull
#define BLIND_AFTER    2u /* watches that failed one after the other */

static const struct etcd_bytes prefix = {LAYOUT_ASSIGNMENTS, sizeof(LAYOUT_ASSIGNMENTS) - 1};

/* what stands there and is none of ours: told, and otherwise left alone */
static void bad_entry(struct ownership *o, const struct etcd_kv *kv, const char *why)
{
	o->bad_entries++;
	log_limited(&o->bad_limit, steady_ns(), CONFIG_LOG_WARNING,
	            "etcd: %.*s at revision %" PRId64 " is not looked at: %s",
	            (int)(kv->key_len < 200 ? kv->key_len : 200), (const char *)kv->key,
	            kv->mod_revision, why);
}

static int apply(struct ownership *o, struct assignments *t, const struct etcd_kv *kv)
{
	uint8_t key[EVENT_KEY_MAX];
	int len = layout_assignment_key(kv->key, kv->key_len, key);

	if (len < 0) {
		bad_entry(o, kv, "it is no key in the form that fastpathctl writes");
		return 0;
	}
	if (kv->deleted) {
		assignments_remove(t, key, (uint32_t)len);
		return 0;
	}
	bool good = layout_is_engine_id(kv->value, kv->value_len);

	if (!good)
		bad_entry(o, kv, "its value is no engine id; the key belongs to nobody");
	return assignments_put(t, key, (uint32_t)len, good ? kv->value : (const uint8_t *)"",
	                       good ? kv->value_len : 0, kv->mod_revision);
}

/* ---- the paged read ---- */

static void on_page(void *arg, const struct etcd_reply *reply);
static void begin_watch(struct ownership *o, uint64_t now_ns);

static void drop_read(struct ownership *o)
{
	assignments_free(o->incoming);
	o->incoming = NULL;
	ownership_cutoff_go(o, CUTOFF_READING, CUTOFF_WANTS_READ);
	o->next_read_ns = steady_ns() + READ_AGAIN_NS;
}

static void ask_page(struct ownership *o)
{
	char end[sizeof(LAYOUT_ASSIGNMENTS)];
	struct etcd_bytes from = prefix;

	if (o->incoming_last_len > 0)
		/* the NUL behind it is the next possible key */
		from = (struct etcd_bytes){o->incoming_last, o->incoming_last_len + 1};
	o->read = etcd_call(
	    o->etcd, ETCD_RANGE,
	    etcd_range(from, etcd_prefix_end(prefix, end), PAGE_KEYS, o->incoming_revision),
	    on_page, o);
	if (o->read == NULL)
		drop_read(o);
}

static void begin_read(struct ownership *o)
{
	o->incoming = assignments_create();
	o->incoming_revision = 0;
	o->incoming_last_len = 0;
	if (o->incoming == NULL)
		return;
	ownership_cutoff_go(o, CUTOFF_WANTS_READ, CUTOFF_READING);
	ask_page(o);
}

/* keys ascend, go on where the last page ended, and are not younger than the revision */
static bool is_next(const struct ownership *o, const struct etcd_kv *kv)
{
	size_t len = kv->key_len < o->incoming_last_len ? kv->key_len : o->incoming_last_len;
	int order = memcmp(kv->key, o->incoming_last, len);

	return kv->key_len > prefix.len && memcmp(kv->key, prefix.data, prefix.len) == 0 &&
	       kv->mod_revision <= o->incoming_revision &&
	       (order > 0 || (order == 0 && kv->key_len > o->incoming_last_len));
}

static const char *take_page(struct ownership *o, const struct etcd_answer *a)
{
	if (o->incoming_revision == 0)
		o->incoming_revision = a->revision;
	if (a->revision < o->incoming_revision || a->revision <= 0)
		return "its revision goes backwards";
	for (uint32_t i = 0; i < a->kv_count; i++) {
		if (!is_next(o, &a->kv[i]))
			return "keys are out of order or out of range";
		/* longer ones are foreign, and only their order matters */
		o->incoming_last_len = a->kv[i].key_len < sizeof(o->incoming_last) - 1
		                           ? a->kv[i].key_len
		                           : sizeof(o->incoming_last) - 1;
		memcpy(o->incoming_last, a->kv[i].key, o->incoming_last_len);
		o->incoming_last[o->incoming_last_len] = '\0';
		if (apply(o, o->incoming, &a->kv[i]) < 0)
			return "there is no memory for it";
	}
	return NULL;
}

static void read_done(struct ownership *o)
{
	if (o->table == NULL)
		log_info("etcd: %" PRIu64 " assignments at revision %" PRId64 ", %" PRIu64
		         " of them ours",
		         assignments_count(o->incoming), o->incoming_revision,
		         assignments_owned(o->incoming, o->self.id));
	else if (o->incoming_revision < o->revision)
		log_warning("etcd: its revision went back from %" PRId64 " to %" PRId64
		            ": it is another store, or an older copy; its %" PRIu64
		            " assignments hold now",
		            o->revision, o->incoming_revision, assignments_count(o->incoming));
	assignments_free(o->table);
	o->table = o->incoming;
	o->incoming = NULL;
	o->revision = o->incoming_revision;
	o->table_version++;
	o->dirty = true;
	o->reads++;
	ownership_cutoff_go(o, CUTOFF_READING, CUTOFF_READ);
	if (o->watch == NULL)
		begin_watch(o, steady_ns());
}

static void on_page(void *arg, const struct etcd_reply *reply)
{
	struct ownership *o = arg;
	const char *why;

	o->read = NULL;
	if (reply->error != 0) {
		log_limited(&o->trouble_limit, steady_ns(), CONFIG_LOG_WARNING,
		            "etcd: reading the assignments failed, ownership is unchanged: %s",
		            reply->message);
		drop_read(o);
		/* compacted between two pages: begin anew at once */
		if (reply->error == -ERANGE)
			o->next_read_ns = 0;
		return;
	}
	why = take_page(o, reply->answer);
	if (why != NULL) {
		log_limited(
		    &o->trouble_limit, steady_ns(), CONFIG_LOG_WARNING,
		    "etcd %s: a page of assignments was thrown away, ownership is unchanged: %s",
		    etcd_endpoint(o->etcd), why);
		drop_read(o);
	} else if (reply->answer->more) {
		ask_page(o);
	} else {
		read_done(o);
	}
}

/* ---- the watch ---- */

static void end_watch(struct ownership *o, bool failed)
{
	o->watching = false;
	o->watch = NULL;
	if (failed)
		o->watch_failures++;
}

static bool take_events(struct ownership *o, const struct etcd_answer *a)
{
	int64_t last = o->revision;

	/* all of it or nothing */
	for (uint32_t i = 0; i < a->kv_count; i++) {
		const struct etcd_kv *kv = &a->kv[i];

		if (kv->mod_revision < last || kv->mod_revision > a->revision ||
		    kv->key_len <= prefix.len || memcmp(kv->key, prefix.data, prefix.len) != 0)
			return false;
		last = kv->mod_revision;
	}
	for (uint32_t i = 0; i < a->kv_count; i++)
		if (apply(o, o->table, &a->kv[i]) < 0)
			return false;
	/* pieces of one revision: only the last one completes it */
	if (a->kv_count > 0 && !a->fragment)
		o->revision = last;
	o->table_version += a->kv_count > 0;
	o->dirty = o->dirty || a->kv_count > 0;
	return true;
}

static void on_watch(void *arg, const struct etcd_reply *reply)
{
	struct ownership *o = arg;

	if (reply->error != 0) {
		log_limited(
		    &o->trouble_limit, steady_ns(), CONFIG_LOG_WARNING,
		    "etcd: watching the assignments ended, polling until it works again: %s",
		    reply->message);
		end_watch(o, true);
		return;
	}
	o->last_good_ns = steady_ns();
	if (reply->answer->canceled) {
		/* what it was to begin with is compacted: read all anew */
		if (reply->answer->compact_revision > 0) {
			log_info("etcd: revision %" PRId64 " is compacted, reading all assignments",
			         o->revision + 1);
			if (o->read == NULL && o->incoming == NULL)
				begin_read(o);
		}
		etcd_cancel(o->watch);
		end_watch(o, true);
		return;
	}
	if (!take_events(o, reply->answer)) {
		log_limited(&o->trouble_limit, steady_ns(), CONFIG_LOG_WARNING,
		            "etcd %s: changes of assignments were thrown away, they do not follow "
		            "revision %" PRId64 "; reading all anew",
		            etcd_endpoint(o->etcd), o->revision);
		etcd_cancel(o->watch);
		end_watch(o, true);
		return;
	}
	o->watching = true;
	o->watch_failures = 0;
}

static void begin_watch(struct ownership *o, uint64_t now_ns)
{
	o->watch_started_ns = now_ns;
	o->watch_failovers = etcd_failovers(o->etcd);
	o->watch = etcd_watch(o->etcd, etcd_watch_prefix(prefix, o->revision + 1), on_watch, o);
}

/* A server that is stopped keeps its connections: a watch is as good as the endpoint's polls. */
void ownership_table_watch_check(struct ownership *o, uint64_t now_ns)
{
	if (o->watch == NULL)
		return;
	if (o->watch_failovers != etcd_failovers(o->etcd) ||
	    (!o->watching && now_ns - o->watch_started_ns > WATCH_BEGIN_NS)) {
		etcd_cancel(o->watch);
		end_watch(o, !o->watching);
	}
}

static void read_anew(struct ownership *o)
{
	if (o->watch != NULL) {
		etcd_cancel(o->watch);
		end_watch(o, false);
	}
	begin_read(o);
}

/* the lease is back: what was taken meanwhile is to be known soon */
void ownership_table_after_lease(struct ownership *o, uint64_t now_ns)
{
	if (o->cutoff.step == CUTOFF_WANTS_READ && o->incoming == NULL && now_ns >= o->next_read_ns)
		read_anew(o);
}

/* After each good poll, which says how far the store is. A watch that keeps failing leaves reading all as
 * soon as anything has changed. */
void ownership_table_step(struct ownership *o, uint64_t now_ns, int64_t store_revision)
{
	bool back = store_revision < o->poll_revision;
	bool blind = !o->watching && o->watch_failures >= BLIND_AFTER;

	if (o->incoming != NULL || now_ns < o->next_read_ns)
		return;
	if (o->table == NULL || back || (blind && store_revision > o->revision))
		read_anew(o);
	else if (o->watch == NULL)
		begin_watch(o, now_ns);
}

void ownership_table_close(struct ownership *o)
{
	assignments_free(o->table);
	assignments_free(o->incoming);
}
