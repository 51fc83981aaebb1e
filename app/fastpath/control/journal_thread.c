/* SPDX-License-Identifier: Apache-2.0 */
#include "control/journal_thread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rte_common.h>
#include <rte_lcore.h>

#include "clock.h"
#include "log.h"

#define GROUP_BYTES     (4u << 20)
#define NAP_ACTIVE_NS   100000u
#define NAP_GATHER_NS   500000u
#define NAP_IDLE_NS     2000000u
#define NAP_FAULT_NS    10000000u
#define ACTIVE_FOR_NS   CLOCK_NS_PER_S
#define RETAIN_EVERY_NS CLOCK_NS_PER_S
#define GIB             (1024.0 * 1024 * 1024)

static struct journal_io io; /* the system's, with the data plane's clock */

static void on_written(void *arg, uint64_t latency_ns)
{
	histogram_record(&((struct journal_thread *)arg)->write_latency, latency_ns, 1);
}

static void on_durable(void *arg, uint64_t latency_ns)
{
	histogram_record(&((struct journal_thread *)arg)->sync_latency, latency_ns, 1);
}

static void on_log(void *arg, int level, const char *line)
{
	(void)arg; /* the line names its shard */

	if (level <= CONFIG_LOG_ERROR)
		log_error("journal: %s", line);
	else if (level <= CONFIG_LOG_WARNING)
		log_warning("journal: %s", line);
	else
		log_info("journal: %s", line);
}

static void nap(uint32_t ns)
{
	struct timespec ts = {.tv_nsec = ns};

	nanosleep(&ts, NULL);
}

/* a sync costs as much for one event as for a thousand */
static void gather(const struct journal_thread *t, uint64_t until_ns)
{
	while (clock_steady_ns() < until_ns && memlog_used(t->memlog) < t->gather_bytes &&
	       !memlog_urged(t->memlog) && !atomic_load_explicit(&t->stop, memory_order_relaxed))
		nap(NAP_GATHER_NS);
}

static void retain(struct journal_thread *t)
{
	uint64_t keep_from[JOURNAL_SHARDS_MAX];
	int ret;

	for (uint32_t i = 0; i < JOURNAL_SHARDS_MAX; i++)
		keep_from[i] = t->keep_from != NULL ? atomic_load(&t->keep_from[i]) : UINT64_MAX;
	ret = journal_retain(t->dir, t->retain_bytes, keep_from);
	if (ret > 0)
		log_info("journal: removed %d old segment files (retain_gb)", ret);
	else if (ret < 0)
		log_error("journal %s: cannot remove old segments: %s", t->dir->path,
		          strerror(-ret));
}

static void *thread_main(void *arg)
{
	struct journal_thread *t = arg;
	uint64_t last_work = clock_steady_ns(), last_retain = last_work;

	for (;;) {
		/* read before the step: what was published before `stop` is then not missed */
		bool stop = atomic_load_explicit(&t->stop, memory_order_acquire);
		int n = journal_writer_step(t->writer);
		uint64_t now = clock_steady_ns();

		if (n > 0) {
			last_work = now;
			t->on_durable(t->arg);
			gather(t, now + t->gather_ns);
		}
		if (stop && (n == 0 || atomic_load_explicit(&t->done, memory_order_acquire)))
			break;
		/* also under a feed that never pauses: it is what fills the disk */
		if (t->shard == 0 && t->retain_bytes != 0 && now - last_retain > RETAIN_EVERY_NS) {
			retain(t);
			last_retain = now;
		}
		if (n > 0)
			continue;
		if (n < 0)
			nap(NAP_FAULT_NS);
		else
			nap(now - last_work < ACTIVE_FOR_NS ? NAP_ACTIVE_NS : NAP_IDLE_NS);
	}
	atomic_store_explicit(&t->done, true, memory_order_release);
	t->on_durable(t->arg);
	return NULL;
}

int journal_thread_start(struct journal_thread *t, const struct config *c, struct journal_dir *dir,
                         struct memlog *memlog, uint32_t shard, void (*wake)(void *arg), void *arg,
                         char err[CONFIG_ERROR_MAX])
{
	char name[RTE_MAX_THREAD_NAME_LEN];
	struct journal_writer_options options = {
	    .sync = c->sync,
	    .segment_bytes = (uint64_t)c->segment_mb << 20,
	    .group_bytes = GROUP_BYTES,
	    .discard = c->store == CONFIG_STORE_MEMORY,
	    .io = &io,
	    .on_written = on_written,
	    .on_durable = on_durable,
	    .log = on_log,
	    .arg = t,
	};
	int ret;

	io = journal_io_system;
	io.now_ns = clock_steady_ns;
	t->shard = shard;
	t->memlog = memlog;
	/* what comes while it is written and synced needs room as well */
	t->gather_bytes = RTE_MIN((uint64_t)GROUP_BYTES, memlog->capacity / 4);
	t->gather_ns =
	    options.sync == JOURNAL_SYNC_GROUP && !options.discard ? c->sync_ms * 1000000ull : 0;
	t->dir = dir;
	t->retain_bytes = (uint64_t)(c->retain_gb * GIB);
	t->on_durable = wake;
	t->arg = arg;
	t->writer = journal_writer_open(dir, memlog, shard, memlog->next_seq, &options, err);
	if (t->writer == NULL)
		return -EIO;
	snprintf(name, sizeof(name), "journal-%u", shard);
	ret = rte_ctrl_thread_create(&t->thread, name, NULL, thread_main, t);
	if (ret != 0) {
		snprintf(err, CONFIG_ERROR_MAX, "journal thread %u: %s", shard,
		         strerror(ret < 0 ? -ret : ret));
		return ret < 0 ? ret : -ret;
	}
	t->running = true;
	return 0;
}

void journal_thread_finish(struct journal_thread *t)
{
	atomic_store_explicit(&t->stop, true, memory_order_release);
}

void journal_thread_join(struct journal_thread *t, bool force)
{
	if (!t->running)
		return;
	atomic_store_explicit(&t->stop, true, memory_order_release);
	if (force)
		atomic_store_explicit(&t->done, true, memory_order_release);
	pthread_join(t->thread, NULL);
	t->running = false;
}

int journal_thread_close(struct journal_thread *t)
{
	int ret = 0;

	journal_thread_join(t, false);
	if (t->writer != NULL)
		ret = journal_writer_close(t->writer);
	t->writer = NULL;
	return ret;
}
