/* SPDX-License-Identifier: Apache-2.0 */
/* The appliance: this file reads as the boot order, and its unwinding in reverse. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_pdump.h>

#include "clock.h"
#include "config.h"
#include "control/figures_source.h"
#include "control/journal_thread.h"
#include "control/kafka_bridge.h"
#include "control/kafka_fence.h"
#include "control/loop.h"
#include "control/ownership.h"
#include "control/telemetry.h"
#include "dataplane/dataplane.h"
#include "eal.h"
#include "journal/recovery.h"
#include "journal/spans.h"
#include "lock.h"
#include "log.h"
#include "memory.h"
#include "options.h"
#include "ownership/cutoff.h"
#include "privileges.h"

#define EXIT_REFUSED      2
#define DRAIN_STEP_MS     5
#define RECOVERY_STEP_MS  2
#define DRAIN_DEADLINE_NS (30 * CLOCK_NS_PER_S)
#define KAFKA_END_MS      5000
#define TELL_NS           (3 * CLOCK_NS_PER_S)
#define NS_PER_MS         UINT64_C(1000000)

struct engine {
	struct options options;
	struct config config;
	struct config_lcore lcore[CONFIG_LCORES_MAX * 4];
	uint32_t lcore_count;
	char lcores[1024];
	struct lock http_lock;
	struct lock port_lock[CONFIG_PORTS_MAX];
	int listen_fd;
	struct journal_dir dir;
	bool dir_open;
	struct journal_recovery_report recovery;
	uint16_t feed_id[CONFIG_FEEDS_MAX];
	struct memory_plan memory;
	bool eal;
	struct ownership *ownership;
	struct memory_memlog memlog_file[CONFIG_LCORES_MAX];
	struct memlog memlog[CONFIG_LCORES_MAX];
	struct dataplane dataplane;
	struct journal_thread journal[CONFIG_LCORES_MAX];
	struct kafka_bridge *kafka; /* NULL: off */
	struct figures_source *figures;
	struct control *control;
	bool pdump;
	bool forced; /* a second signal came */
};

static struct engine engine;

static void on_recovery(void *arg, const char *line)
{
	(void)arg;
	log_info("journal: %s", line);
}

static void on_durable(void *arg)
{
	struct engine *e = arg;
	struct control *control = __atomic_load_n(&e->control, __ATOMIC_ACQUIRE);

	if (control != NULL)
		control_wake(control);
}

/* everything that can be wrong before anything is touched */
static int check(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	int ret = config_load(&e->config, e->options.config_file, environ, err);

	if (ret < 0)
		return ret;
	ret =
	    config_lcores(&e->config, e->lcore, &e->lcore_count, e->lcores, sizeof(e->lcores), err);
	for (uint32_t i = 0; ret == 0 && e->config.enable && i < e->config.port_count; i++)
		ret = lock_check_port(&e->config.port[i], err);
	return ret < 0 ? ret : kafka_bridge_check(&e->config, err);
}

static int take_locks(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	int ret = lock_http(&e->http_lock, &e->config, err);

	for (uint32_t i = 0; ret == 0 && e->config.enable && i < e->config.port_count; i++)
		ret = lock_port(&e->port_lock[i], &e->config.port[i], err);
	if (ret < 0)
		return ret;
	e->listen_fd = control_listen(&e->config, err);
	return e->listen_fd < 0 ? e->listen_fd : 0;
}

static int open_journal(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	int ret = journal_dir_open(&e->dir, e->config.journal_dir, JOURNAL_MAKE, err);

	e->dir_open = ret == 0;
	return ret;
}

static int recover(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	char paths[MEMORY_DIRS_MAX][PATH_MAX];
	const char *dirs[MEMORY_DIRS_MAX + 1];
	struct journal_recovery_options options = {
	    .memlog_dirs = dirs, .policy = e->config.damage, .log = on_recovery};
	int ret;

	memory_memlog_dirs(dirs, paths);
	ret = journal_recover(&e->dir, &options, &e->recovery, err);
	if (ret == 0)
		ret = journal_spans_begin(&e->dir, e->config.engine_id,
		                          e->config.worker_lcore_count, &e->recovery, err);
	if (ret == 0)
		ret = journal_dir_begin(&e->dir, e->config.engine_id, e->config.worker_lcore_count,
		                        err);
	for (uint32_t i = 0; ret == 0 && i < e->config.feed_count; i++) {
		int id = journal_dir_feed_id(&e->dir, e->config.feed[i].name, err);

		if (id < 0)
			return id;
		e->feed_id[i] = (uint16_t)id;
	}
	return ret;
}

struct recovery_thread {
	struct engine *engine;
	char *err;
	int ret;
	_Atomic bool done;
};

static void *recovery_main(void *arg)
{
	struct recovery_thread *t = arg;

	t->ret = recover(t->engine, t->err);
	atomic_store_explicit(&t->done, true, memory_order_release);
	return NULL;
}

/* the control loop goes on turning: probes are answered however long it takes */
static int recover_journal(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	struct recovery_thread t = {.engine = e, .err = err};
	bool stop = false;
	pthread_t thread;
	int ret = pthread_create(&thread, NULL, recovery_main, &t);

	if (ret != 0) {
		snprintf(err, CONFIG_ERROR_MAX, "recovery thread: %s", strerror(ret));
		return -ret;
	}
	while (!atomic_load_explicit(&t.done, memory_order_acquire)) {
		enum control_end end = control_step(e->control, RECOVERY_STEP_MS);

		if (end == CONTROL_FORCED)
			_exit(EXIT_FAILURE); /* recovery may be cut off anywhere */
		stop |= end == CONTROL_SIGNAL;
	}
	pthread_join(thread, NULL);
	if (t.ret < 0 || !stop)
		return t.ret;
	snprintf(err, CONFIG_ERROR_MAX, "stopped by a signal while it was starting");
	return -EINTR;
}

static int start_eal(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	char prefix[128];
	int ret;

	eal_file_prefix(&e->config, prefix, sizeof(prefix));
	memory_reclaim(prefix);
	memory_plan(&e->memory, &e->config, dataplane_memory(&e->config),
	            options_eal_given(&e->options, "--no-huge"));
	if (e->memory.notice[0] != '\0')
		log_warning("%s", e->memory.notice);
	if ((ret = log_capture_eal()) < 0) {
		snprintf(err, CONFIG_ERROR_MAX, "log_capture_eal: %s", strerror(-ret));
		return ret;
	}
	/* the lowest id is the main lcore */
	uint32_t main_lcore = e->lcore[0].id;
	for (uint32_t i = 1; i < e->lcore_count; i++)
		main_lcore = RTE_MIN(main_lcore, e->lcore[i].id);
	ret = eal_start(&e->config, &e->memory, &e->options, e->lcores, main_lcore, err);
	if (ret == 0) {
		log_capture_bpf();
		e->eal = true;
		clock_init(rte_get_tsc_hz());
	}
	return ret;
}

static int make_memlogs(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	for (uint32_t i = 0; i < e->config.worker_lcore_count; i++) {
		uint64_t next_seq = RTE_MAX(e->recovery.shard[i].next_seq, UINT64_C(1));
		struct memory_memlog *f = &e->memlog_file[i];
		int ret = memory_memlog_create(f, &e->memory, &e->dir, i, err);

		if (ret < 0)
			return ret;
		/* nothing of it is kept, so nobody may look for it after a crash */
		if (e->config.store == CONFIG_STORE_MEMORY)
			memory_memlog_forget(f);
		/* whole pages of it */
		size_t size = f->zone->len & ~(size_t)(MEMLOG_HEADER_SIZE - 1);
		ret =
		    memlog_format(f->zone->addr, size, e->dir.uuid, i, e->dir.generation, next_seq);
		if (ret == 0)
			ret = memlog_attach(&e->memlog[i], f->zone->addr);
		if (ret < 0) {
			snprintf(err, CONFIG_ERROR_MAX, "memlog %u: %s", i, strerror(-ret));
			return ret;
		}
	}
	return 0;
}

/* what an earlier process could not publish with certainty */
static int restore_ownership(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	struct cutoff_note note;

	static_assert(CONFIG_ERROR_MAX >= CUTOFF_ERROR_MAX, "err is handed through");
	if (!e->config.kafka || e->config.ownership != CONFIG_OWNERSHIP_ETCD)
		return 0;
	if (cutoff_read(&note, e->dir.fd, e->dir.path, err) < 0)
		return -EINVAL;
	/* that process may have given its lease back: this one has none before it says so */
	note.lease_end_ns = RTE_MIN(note.lease_end_ns, clock_realtime_ns());
	if (note.revision > 0 && cutoff_write(&note, e->dir.fd, e->dir.path, err) < 0)
		return -EINVAL;
	ownership_restore(e->ownership, &note);
	return 0;
}

static int start_journal(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	/* before retention runs for the first time */
	if (e->config.kafka) {
		e->kafka = kafka_bridge_create(&e->config, &e->dir, err);
		if (e->kafka == NULL)
			return -EINVAL;
		kafka_bridge_set_ownership(e->kafka, e->ownership);
	}
	for (uint32_t i = 0; i < e->config.worker_lcore_count; i++) {
		if (e->kafka != NULL)
			e->journal[i].keep_from = kafka_bridge_keep_from(e->kafka);
		int ret = journal_thread_start(&e->journal[i], &e->config, &e->dir, &e->memlog[i],
		                               i, on_durable, e, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static void on_ownership(void *arg, uint32_t events)
{
	(void)events;
	ownership_step(arg);
}

static int follow_ownership(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	int fd = ownership_fd(e->ownership), ret;

	if (fd < 0)
		return 0;
	ret = control_watch(e->control, fd, EPOLLIN, on_ownership, e->ownership);
	if (ret < 0)
		snprintf(err, CONFIG_ERROR_MAX, "control_watch: %s", strerror(-ret));
	else
		ownership_step(e->ownership);
	return ret;
}

static int start_control(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	struct figures_inputs in = {
	    .config = &e->config,
	    .dataplane = &e->dataplane,
	    .journal = e->journal,
	    .memlogs = e->memlog,
	    .dir = &e->dir,
	    .start_ns = clock_realtime_ns(),
	};
	char warning[CONFIG_ERROR_MAX];
	struct control *control;
	int fd = e->listen_fd;

	if ((e->figures = figures_create(&in)) == NULL) {
		snprintf(err, CONFIG_ERROR_MAX, "figures: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	control_listen_warning(&e->config, warning);
	if (warning[0] != '\0')
		log_warning("%s", warning);
	e->listen_fd = -1;
	control = control_create(&e->config, e->figures, fd, err);
	__atomic_store_n(&e->control, control, __ATOMIC_RELEASE);
	return control != NULL ? 0 : -EIO;
}

static int attach_control(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	figures_attach(e->figures, e->ownership, e->kafka, memory_huge_name(&e->memory));
	control_attach(e->control, e->dataplane.ingress, e->ownership);
	return follow_ownership(e, err);
}

/* what helps to look inside, and is no reason not to run */
static void start_telemetry(struct engine *e)
{
	if (telemetry_init() < 0)
		log_warning("telemetry: the /fastpath commands could not be registered");
	if (rte_pdump_init() == 0)
		e->pdump = true;
	else
		log_warning("rte_pdump_init failed: dpdk-dumpcap cannot capture");
}

static int drop_privileges(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	unsigned int keep = 0;
	struct stat st;

	for (uint32_t i = 0; i < e->dataplane.port_count; i++)
		if (port_needs_capabilities(&e->dataplane.port[i]))
			keep |= PRIVILEGES_DETACH_XDP;
	if (fstat(e->dir.fd, &st) != 0 || st.st_uid != geteuid())
		keep |= PRIVILEGES_FOREIGN_FILES;
	return privileges_drop(keep, err);
}

static int boot(struct engine *e, char err[CONFIG_ERROR_MAX])
{
	int ret;

	if ((ret = take_locks(e, err)) < 0 || (ret = open_journal(e, err)) < 0 ||
	    (ret = start_control(e, err)) < 0 || (ret = recover_journal(e, err)) < 0)
		return ret;
	e->ownership =
	    ownership_create(&e->config, e->dir.uuid_text, control_port(e->control), err);
	if (e->ownership == NULL)
		return -ENOMEM;
	if (e->config.kafka)
		ownership_set_fence(e->ownership, kafka_fence, &e->config);
	if ((ret = restore_ownership(e, err)) < 0 ||
	    (ret = ownership_register(e->ownership, err)) < 0 || (ret = start_eal(e, err)) < 0 ||
	    (ret = make_memlogs(e, err)) < 0)
		return ret;
	if ((ret = dataplane_create(&e->dataplane, &e->config, e->lcore, e->lcore_count, e->feed_id,
	                            JOURNAL_FEED_HTTP, e->memlog, e->ownership, err)) < 0 ||
	    (ret = start_journal(e, err)) < 0 || (ret = attach_control(e, err)) < 0)
		return ret;
	start_telemetry(e);
	/* before a lcore polls: a start that fails has taken nothing */
	if ((ret = drop_privileges(e, err)) < 0 || (ret = dataplane_start(&e->dataplane, err)) < 0)
		return ret;
	/* librdkafka's threads take no signal, so they must never have had capabilities */
	return e->kafka != NULL ? kafka_bridge_start(e->kafka, e->journal, err) : 0;
}

static void log_ready(const struct engine *e)
{
	for (uint32_t i = 0; i < e->config.warning_count; i++)
		log_warning("%s", e->config.warning[i]);
	for (uint32_t i = 0; i < e->dataplane.port_count; i++) {
		const struct port *p = &e->dataplane.port[i];

		log_info("port %s: %s, %u queues, loss %s, time from %s", p->config->name,
		         p->config->device, p->queues,
		         p->loss == PORT_LOSS_UNKNOWN ? "unknown" : "known",
		         p->timestamps ? "the NIC" : "the TSC");
	}
	log_info(
	    "ready: engine %s, journal %s (%s), %u workers, hugepages %s, lcores %s, HTTP port %u",
	    e->config.engine_id, e->config.journal_dir, e->dir.uuid_text,
	    e->config.worker_lcore_count, memory_huge_name(&e->memory), e->lcores,
	    control_port(e->control));
}

static bool all_written(struct engine *e)
{
	for (uint32_t i = 0; i < e->config.worker_lcore_count; i++)
		if (!atomic_load_explicit(&e->journal[i].done, memory_order_acquire))
			return false;
	return true;
}

static bool kafka_ended(struct engine *e)
{
	return kafka_bridge_done(e->kafka);
}

static bool rings_empty(struct engine *e)
{
	return dataplane_drained(&e->dataplane);
}

static bool no_requests(struct engine *e)
{
	return control_busy(e->control) == 0;
}

/* keeps the control loop turning until it is so; false: a second signal, or it takes too long */
static bool wait_within(struct engine *e, uint64_t ns, bool (*is_so)(struct engine *))
{
	uint64_t deadline = clock_steady_ns() + ns;

	while (!is_so(e)) {
		if (e->forced || clock_steady_ns() > deadline)
			return false;
		e->forced = control_step(e->control, DRAIN_STEP_MS) == CONTROL_FORCED;
	}
	return true;
}

static bool wait_until(struct engine *e, bool (*is_so)(struct engine *), const char *what)
{
	if (wait_within(e, DRAIN_DEADLINE_NS, is_so))
		return true;
	if (e->forced)
		log_warning("second signal: not waiting for %s; the next start recovers it", what);
	else
		log_error("gave up waiting for %s; the next start recovers it", what);
	return false;
}

static void log_totals(struct engine *e)
{
	const struct figures *f = figures_get(e->figures, clock_realtime_ns());
	uint64_t filtered = 0, dropped = 0;

	for (int r = 0; r < REASON_COUNT; r++)
		*(reason_table[r].kind == REASON_KIND_DROPPED ? &dropped : &filtered) +=
		    f->reason[r];
	log_info("stopped: %lu messages, %lu journaled, %lu filtered, %lu dropped, lag %lu",
	         f->messages, f->journaled, filtered, dropped, f->lag);
}

/* what Kafka does not get now it gets after the next start */
static void deliver(struct engine *e)
{
	struct drain *d = control_drain(e->control);
	uint32_t ms = d->timeout_ms > 0 ? d->timeout_ms : e->config.kafka_drain_ms;

	if (e->kafka == NULL)
		return;
	d->step = DRAIN_KAFKA;
	kafka_bridge_drain(e->kafka, ms);
	/* it ends by itself when the time is over */
	if (!wait_within(e, RTE_MAX(DRAIN_DEADLINE_NS, (ms + KAFKA_END_MS) * NS_PER_MS),
	                 kafka_ended))
		log_warning("not waiting for Kafka any more; the next start delivers the rest");
}

static bool keys_are_elsewhere(struct engine *e)
{
	return ownership_key_count(e->ownership) == 0;
}

/* Whoever asked for the drain sees the keys go. After a signal nobody does: the lease is given back at the very end. */
static void hand_over(struct engine *e)
{
	struct drain *d = control_drain(e->control);

	if (!d->requested || e->config.assign != CONFIG_ASSIGN_AUTO || keys_are_elsewhere(e))
		return;
	d->step = DRAIN_HANDOVER;
	ownership_leave(e->ownership);
	if (ownership_others(e->ownership) > 0)
		wait_within(e, d->timeout_ms > 0 ? d->timeout_ms * NS_PER_MS : DRAIN_DEADLINE_NS,
		            keys_are_elsewhere);
}

static void tell_keys(struct engine *e, struct drain *d, uint64_t had)
{
	size_t n = strlen(d->message);
	char *out = d->message + n;
	uint64_t left = ownership_key_count(e->ownership);

	n = sizeof(d->message) - n;
	if (e->config.ownership != CONFIG_OWNERSHIP_ETCD)
		snprintf(out, n, "; there are no keys to hand over: ownership is %s",
		         ownership_mode_name(e->ownership));
	else if (had == 0 && left == 0)
		snprintf(out, n, "; it had no keys");
	else if (left == 0)
		snprintf(out, n, "; %lu keys have new owners", had);
	else if (e->config.assign != CONFIG_ASSIGN_AUTO)
		snprintf(
		    out, n,
		    "; %lu keys stay assigned to %s, since ownership.assign is manual: fastpathctl "
		    "assign or move gives them to others",
		    left, e->config.engine_id);
	else if (ownership_others(e->ownership) == 0)
		snprintf(out, n, "; %lu keys stay assigned to %s: no other engine is registered",
		         left, e->config.engine_id);
	else
		snprintf(out, n,
		         "; %lu of %lu keys are still assigned to %s: do the others have "
		         "ownership.assign = auto, and reach etcd and Kafka?",
		         left, had, e->config.engine_id);
	d->complete = d->complete && (left == 0 || e->config.ownership != CONFIG_OWNERSHIP_ETCD);
}

static bool is_told(struct engine *e)
{
	return control_drain(e->control)->told;
}

/* how it ended, in one line; whoever asked for it may read it before the engine is gone */
static void tell(struct engine *e, bool clean, uint64_t had)
{
	struct drain *d = control_drain(e->control);
	const struct figures *f;

	if (!d->requested)
		return;
	figures_set_draining(e->figures); /* anew: what they were may be a moment old */
	f = figures_get(e->figures, clock_realtime_ns());
	d->complete = clean && (e->kafka == NULL || f->kafka.lag == 0);
	if (!clean)
		snprintf(d->message, sizeof(d->message),
		         "not everything is on the disk: the next start recovers it");
	else if (e->kafka == NULL)
		snprintf(d->message, sizeof(d->message), "everything is on the disk");
	else if (f->kafka.lag > 0)
		snprintf(d->message, sizeof(d->message),
		         "Kafka did not take %lu records in time: the next start delivers them",
		         f->kafka.lag);
	else
		snprintf(d->message, sizeof(d->message), "everything is delivered to Kafka");
	tell_keys(e, d, had);
	d->step = DRAIN_ENDED;
	log_info("drained: %s", d->message);
	wait_within(e, TELL_NS, is_told);
}

/* Forward along the way of an event: no new input, rings empty, journal durable, Kafka has it, the keys are
 * somebody else's. Returns true when nothing is left in memory. */
static bool drain(struct engine *e)
{
	struct drain *d = control_drain(e->control);
	uint64_t keys = ownership_key_count(e->ownership);
	bool clean;

	figures_set_draining(e->figures);
	d->step = DRAIN_RINGS;
	control_stop_events(e->control);
	/* nobody watches a stop by a signal, and no client may hold it up */
	if (!d->requested)
		control_stop_accepting(e->control);
	dataplane_drain(&e->dataplane);
	clean = wait_until(e, rings_empty, "the rings");
	dataplane_stop(&e->dataplane);
	d->step = DRAIN_DISK;
	for (uint32_t i = 0; i < e->config.worker_lcore_count; i++)
		journal_thread_finish(&e->journal[i]);
	clean = clean && wait_until(e, all_written, "the disk");
	if (clean) {
		deliver(e);
		hand_over(e);
	}
	tell(e, clean, keys);
	control_stop_accepting(e->control);
	clean = clean && wait_until(e, no_requests, "HTTP requests");
	figures_set_draining(e->figures);
	log_totals(e);
	return clean;
}

/* in reverse; `clean`: everything is durable, so the memlogs may go */
static bool unwind(struct engine *e, bool clean)
{
	char prefix[128];

	dataplane_stop(&e->dataplane);
	/* it reads what the journal's threads say */
	kafka_bridge_end(e->kafka);
	/* the threads first, because they wake the control loop; what they wrote last, because its last answers
	 * say what is durable */
	for (uint32_t i = 0; i < CONFIG_LCORES_MAX; i++)
		journal_thread_join(&e->journal[i], !clean);
	if (e->pdump)
		rte_pdump_uninit();
	if (e->control != NULL)
		control_destroy(e->control);
	for (uint32_t i = 0; i < CONFIG_LCORES_MAX; i++)
		if (journal_thread_close(&e->journal[i]) < 0)
			clean = false;
	figures_destroy(e->figures);
	kafka_bridge_destroy(e->kafka);
	if (e->eal)
		dataplane_destroy(&e->dataplane);
	ownership_destroy(e->ownership);
	for (uint32_t i = 0; i < CONFIG_LCORES_MAX; i++) {
		memlog_detach(&e->memlog[i]);
		memory_memlog_destroy(&e->memlog_file[i], clean);
	}
	if (e->eal) {
		rte_eal_cleanup();
		eal_file_prefix(&e->config, prefix, sizeof(prefix));
		memory_reclaim(prefix);
	}
	if (e->dir_open)
		journal_dir_close(&e->dir);
	if (e->listen_fd >= 0)
		close(e->listen_fd);
	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++)
		lock_release(&e->port_lock[i]);
	lock_release(&e->http_lock);
	config_free(&e->config);
	return clean;
}

static int run(struct engine *e)
{
	char err[CONFIG_ERROR_MAX];
	bool clean;
	int ret;

	log_init(&e->config);
	control_block_signals();
	if ((ret = boot(e, err)) < 0) {
		/* nothing was taken from a port yet that a memlog could hold */
		unwind(e, true);
		if (ret == -EINTR) {
			log_info("%s", err);
			return EXIT_SUCCESS;
		}
		fprintf(stderr, "fastpath: %s\n", err);
		return EXIT_REFUSED;
	}
	figures_set_ready(e->figures, true);
	figures_tick(e->figures, clock_realtime_ns());
	log_ready(e);
	clean = control_run(e->control) != CONTROL_FORCED && drain(e);
	return unwind(e, clean) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct engine *e = &engine;
	char err[CONFIG_ERROR_MAX];

	e->listen_fd = -1;
	e->http_lock.fd = -1;
	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++)
		e->port_lock[i].fd = -1;
	if (options_parse(&e->options, argc, argv, err) < 0)
		goto refused;
	switch (e->options.action) {
	case OPTIONS_HELP:
		options_help();
		return EXIT_SUCCESS;
	case OPTIONS_HELP_MARKDOWN:
		config_print_markdown(stdout);
		return EXIT_SUCCESS;
	case OPTIONS_VERSION:
		puts("fastpath " FASTPATH_VERSION);
		return EXIT_SUCCESS;
	case OPTIONS_CHECK_CONFIG:
	case OPTIONS_RUN:
		break;
	}
	if (check(e, err) < 0)
		goto refused;
	if (e->options.action == OPTIONS_RUN)
		return run(e);
	config_free(&e->config);
	puts("configuration is good");
	return EXIT_SUCCESS;
refused:
	fprintf(stderr, "fastpath: %s\n", err);
	return EXIT_REFUSED;
}
