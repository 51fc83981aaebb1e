/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal directory, a memlog in a file beside it, and a model of what was appended: what the
 * tests of the journal share. One at a time.
 */
#ifndef JOURNAL_FIXTURE_H
#define JOURNAL_FIXTURE_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal/memlog.h"
#include "journal/reader.h"
#include "journal/recovery.h"
#include "journal/segment.h"
#include "journal/writer.h"

#define MEMLOG_SIZE (MEMLOG_MIN_SIZE)

static struct {
	char base[64];   /* holds both */
	char dir[96];    /* the journal */
	char memory[96]; /* stands for /dev/shm */
	struct journal_dir d;
	struct memlog memlog;
	uint8_t *map;
	struct journal_writer *writer;
	struct journal_writer_options options;
	struct journal_recovery_report report;
	char log[4096]; /* what recovery said */
	char err[JOURNAL_ERROR_MAX];
	uint64_t now;
} fx;

__attribute__((unused)) static uint64_t fx_now(void)
{
	return fx.now;
}

/* no disk waits for a unit test: what is synced is what the test models */
__attribute__((unused)) static int fx_nosync(int fd)
{
	(void)fd;
	return 0;
}

__attribute__((unused)) static void fx_log(void *arg, const char *line)
{
	size_t used = strlen(fx.log);

	(void)arg;
	snprintf(fx.log + used, sizeof(fx.log) - used, "%s\n", line);
}

__attribute__((unused)) static struct journal_io fx_io;

__attribute__((unused)) static void fx_remove(const char *path)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	ck_assert_int_eq(system(command), 0);
}

__attribute__((unused)) static void fx_setup(void)
{
	const char *where = getenv("JOURNAL_TEST_DIR");

	/* in memory where there is one: recovery really syncs */
	if (!where)
		where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	memset(&fx, 0, sizeof(fx));
	snprintf(fx.base, sizeof(fx.base), "%s/test_journal.XXXXXX", where);
	ck_assert_ptr_nonnull(mkdtemp(fx.base));
	snprintf(fx.dir, sizeof(fx.dir), "%s/journal", fx.base);
	snprintf(fx.memory, sizeof(fx.memory), "%s/memory", fx.base);
	ck_assert_int_eq(mkdir(fx.memory, 0700), 0);
	fx.d.fd = fx.d.lock_fd = -1;
	fx.now = 1000000000;
	fx_io = journal_io_system;
	fx_io.now_ns = fx_now;
	fx_io.datasync = fx_nosync;
	fx_io.sync_dir = fx_nosync;
	fx.options = (struct journal_writer_options){
	    .sync = JOURNAL_SYNC_GROUP,
	    .segment_bytes = 1 << 20,
	    .group_bytes = 1 << 16,
	    .io = &fx_io,
	};
}

/* what the kernel closes when a process dies */
__attribute__((unused)) static void fx_close_all(void)
{
	DIR *dir = opendir("/proc/self/fd");
	char path[PATH_MAX];
	struct dirent *e;

	ck_assert_ptr_nonnull(dir);
	while ((e = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, path, sizeof(path) - 1);

		if (n > 0 && !strncmp(path, fx.base, strlen(fx.base)))
			close(atoi(e->d_name));
	}
	closedir(dir);
}

/* the process is gone: nothing is flushed, sealed or removed */
__attribute__((unused)) static void fx_kill(void)
{
	free(fx.writer);
	fx.writer = NULL;
	memlog_detach(&fx.memlog);
	if (fx.map)
		munmap(fx.map, MEMLOG_SIZE);
	fx.map = NULL;
	journal_dir_close(&fx.d);
	fx_close_all();
}

__attribute__((unused)) static void fx_teardown(void)
{
	fx_kill();
	fx_remove(fx.base);
}

__attribute__((unused)) static int fx_recover(enum journal_damage_policy policy, bool thorough)
{
	const char *dirs[] = {fx.memory, NULL};
	struct journal_recovery_options o = {
	    .memlog_dirs = dirs,
	    .policy = policy,
	    .thorough = thorough,
	    .log = fx_log,
	};
	int r;

	if (fx.d.fd < 0) {
		r = journal_dir_open(&fx.d, fx.dir, JOURNAL_MAKE, fx.err);
		ck_assert_msg(r == 0, "%s", fx.err);
	}
	fx.log[0] = fx.err[0] = '\0';
	return journal_recover(&fx.d, &o, &fx.report, fx.err);
}

/* recover in a child that is killed when it enters or leaves its n-th system call. Returns false when it
 * got through */
__attribute__((unused)) static bool fx_recover_killed(int n, enum journal_damage_policy policy,
                                                      bool thorough)
{
	int status, calls = 0;
	pid_t pid;

	journal_dir_close(&fx.d);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(fx_recover(policy, thorough) == 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	while (WIFSTOPPED(status)) {
		if (++calls > n) {
			kill(pid, SIGKILL);
		} else {
			ck_assert_int_eq(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	}
	if (WIFSIGNALED(status))
		return true;
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	return false;
}

/* the memlog of a shard, with its header `pages` into the file as EAL's heap does it */
__attribute__((unused)) static void fx_memlog(uint32_t shard, uint64_t next_seq, size_t pages)
{
	char path[PATH_MAX];
	size_t size = MEMLOG_SIZE + pages * 4096;
	int fd;

	journal_memlog_path(path, fx.memory, &fx.d, shard);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	fx.map =
	    mmap(NULL, MEMLOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(pages * 4096));
	ck_assert_ptr_ne(fx.map, MAP_FAILED);
	close(fd);
	ck_assert_int_eq(
	    memlog_format(fx.map, MEMLOG_SIZE, fx.d.uuid, shard, fx.d.generation, next_seq), 0);
	ck_assert_int_eq(memlog_attach(&fx.memlog, fx.map), 0);
}

/* a start as the engine makes it, with one shard */
__attribute__((unused)) static void fx_start(void)
{
	int r = fx_recover(JOURNAL_DAMAGE_REFUSE, false);

	ck_assert_msg(r == 0, "%s", fx.err);
	ck_assert_msg(journal_dir_begin(&fx.d, "e1", 1, fx.err) == 0, "%s", fx.err);
	fx_memlog(0, fx.report.shard[0].next_seq, 1);
	fx.writer = journal_writer_open(&fx.d, &fx.memlog, 0, fx.report.shard[0].next_seq,
	                                &fx.options, fx.err);
	ck_assert_msg(fx.writer != NULL, "%s", fx.err);
}

/* the content of record seq, the same in every run */
__attribute__((unused)) static size_t fx_payload(uint64_t seq, uint8_t *out)
{
	size_t len = (size_t)(seq * 2654435761u % 200);

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(seq * 31 + i * 7);
	return len;
}

__attribute__((unused)) static uint64_t fx_append(void)
{
	uint8_t payload[256];
	char key[16];
	struct journal_entry e = {
	    .type = JOURNAL_EVENT,
	    .clock = EVENT_CLOCK_TSC,
	    .feed = JOURNAL_FEED_HTTP,
	    .rx_time_ns = 1700000000000000000u + fx.memlog.next_seq,
	    .feed_seq = fx.memlog.next_seq * 2,
	    .key = key,
	    .payload = payload,
	};

	e.key_len = (uint8_t)snprintf(key, sizeof(key), "K%d", (int)(fx.memlog.next_seq % 17));
	e.payload_len = (uint32_t)fx_payload(fx.memlog.next_seq, payload);
	return memlog_append_entry(&fx.memlog, &e);
}

__attribute__((unused)) static void fx_publish(int count)
{
	for (int i = 0; i < count; i++)
		ck_assert_uint_ne(fx_append(), 0);
	memlog_publish(&fx.memlog, fx.now);
}

__attribute__((unused)) static void fx_drain(void)
{
	int r;

	while ((r = journal_writer_step(fx.writer)) > 0)
		;
	ck_assert_int_eq(r, 0);
}

/* append, write and sync `count` records as one group */
__attribute__((unused)) static void fx_write(int count)
{
	fx_publish(count);
	fx_drain();
}

__attribute__((unused)) static void fx_check_record(const struct journal_record *r)
{
	uint8_t payload[256];
	char key[16];
	int key_len = snprintf(key, sizeof(key), "K%d", (int)(r->seq % 17));
	size_t len = fx_payload(r->seq, payload);

	ck_assert_uint_eq(r->type, JOURNAL_EVENT);
	ck_assert_uint_eq(r->clock, EVENT_CLOCK_TSC);
	ck_assert_uint_eq(r->rx_time_ns, 1700000000000000000u + r->seq);
	ck_assert_uint_eq(r->feed_seq, r->seq * 2);
	ck_assert_int_eq(r->key_len, key_len);
	ck_assert_mem_eq(journal_record_key(r), key, (size_t)key_len);
	ck_assert_uint_eq(r->payload_len, len);
	if (len > 0)
		ck_assert_mem_eq(journal_record_payload(r), payload, len);
}

/* read shard 0 from `from` to its end: every record as it was appended, dense. Returns the last
 * sequence number, 0 when there is none; an error of the reader fails the test */
__attribute__((unused)) static uint64_t fx_read(uint64_t from)
{
	struct journal_reader *r = journal_reader_open(&fx.d, 0, from, fx.err);
	const struct journal_record *record;
	uint64_t last = 0;
	int result;

	ck_assert_ptr_nonnull(r);
	while ((result = journal_reader_next(r, &record)) == 1) {
		if (last)
			ck_assert_uint_eq(record->seq, last + 1);
		else if (from)
			ck_assert_uint_eq(record->seq, from);
		fx_check_record(record);
		last = record->seq;
	}
	ck_assert_msg(result == 0, "%s", journal_reader_error(r));
	journal_reader_close(r);
	return last;
}

/* full path of the n-th segment of shard 0 */
__attribute__((unused)) static void fx_segment(int n, char out[PATH_MAX])
{
	struct segment_list l;

	ck_assert_int_eq(segment_list_read(&fx.d, &l), 0);
	ck_assert_int_lt(n, (int)l.count);
	snprintf(out, PATH_MAX, "%s/%s", fx.dir, l.item[n].name);
	segment_list_free(&l);
}

__attribute__((unused)) static int fx_segments(void)
{
	struct segment_list l;
	int count;

	ck_assert_int_eq(segment_list_read(&fx.d, &l), 0);
	count = (int)l.count;
	segment_list_free(&l);
	return count;
}

__attribute__((unused)) static int fx_run(Suite *s)
{
	SRunner *runner = srunner_create(s);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
