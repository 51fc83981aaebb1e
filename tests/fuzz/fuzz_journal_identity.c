/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as journal.json, or as spans.json beside a good one: the first byte says which. Either it is
 * refused with one line, or what comes of it is in range, and is read again as it was when it is written.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/directory.h"
#include "journal/spans.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char good[] = "{\"format\": 1, \"uuid\": \"01234567-89ab-4cde-8f01-23456789abcd\", "
                           "\"engine\": \"e1\", \"shards\": 2, \"generation\": 3, "
                           "\"feeds\": [\"http\", \"http\"]}";
static char path[128];

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void finish(void)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	if (system(command) != 0)
		perror(command);
}

static void begin(void)
{
	if (path[0])
		return;
	/* scripts/fuzz.sh removes it: libFuzzer ends without running atexit when its time is up */
	const char *scratch = getenv("FUZZ_SCRATCH");

	snprintf(path, sizeof(path), "%.64s/fuzz_identity.%d",
	         scratch != NULL ? scratch : "/dev/shm", (int)getpid());
	require(mkdir(path, 0700) == 0);
	atexit(finish);
}

static void store(const char *name, const void *bytes, size_t len)
{
	char file[192];
	int fd;

	snprintf(file, sizeof(file), "%s/%s", path, name);
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	require(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}

static void clear(void)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	require(dir != NULL);
	while ((e = readdir(dir)))
		unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
}

static void is_one_line(const char *err)
{
	require(err[0] != '\0' && strlen(err) < JOURNAL_ERROR_MAX && strchr(err, '\n') == NULL);
}

static void check_directory(const struct journal_dir *d)
{
	require(d->format >= 1 && d->format <= JOURNAL_FORMAT);
	require(d->shards <= JOURNAL_SHARDS_MAX && strlen(d->engine) < sizeof(d->engine));
	require(d->feed_count >= 2 && d->feed_count <= JOURNAL_FEEDS_MAX);
	require(strlen(d->uuid_text) == 36);
	for (uint32_t i = 0; i < d->feed_count; i++)
		require(strlen(journal_dir_feed_name(d, (uint16_t)i)) < JOURNAL_FEED_NAME);
}

/* what an engine does with a directory that it was given */
static void identity(const uint8_t *data, size_t size)
{
	static struct journal_dir d, again;
	char err[JOURNAL_ERROR_MAX];

	store("journal.json", data, size);
	if (journal_dir_open(&d, path, JOURNAL_LOCK, err) < 0) {
		is_one_line(err);
		return;
	}
	check_directory(&d);
	if (journal_dir_begin(&d, "fuzz", 3, err) < 0) {
		require(d.generation == INT64_MAX);
		is_one_line(err);
		journal_dir_close(&d);
		return;
	}
	require(journal_dir_open(&again, path, JOURNAL_READ, err) == 0);
	require(again.generation == d.generation && again.shards == 3);
	require(memcmp(again.uuid, d.uuid, 16) == 0 && again.feed_count == d.feed_count);
	require(memcmp(again.feeds, d.feeds, sizeof(d.feeds)) == 0);
	journal_dir_close(&again);
	journal_dir_close(&d);
}

static void check_spans(const struct journal_spans *s)
{
	require(s->count <= JOURNAL_SPANS_MAX);
	for (uint32_t i = 0; i < s->count; i++) {
		require(strlen(s->span[i].engine) < sizeof(s->span[i].engine));
		require(s->span[i].shards >= 1 && s->span[i].shards <= JOURNAL_SHARDS_MAX);
	}
	require(journal_spans_engine(s, 0, 1, "now") != NULL);
}

/* a start under another id, and a delivery */
static void spans(const uint8_t *data, size_t size)
{
	static struct journal_dir d;
	static struct journal_recovery_report r;
	struct journal_spans s, again;
	char err[JOURNAL_ERROR_MAX];
	int ret;

	store("journal.json", good, sizeof(good) - 1);
	store("spans.json", data, size);
	require(journal_dir_open(&d, path, JOURNAL_LOCK, err) == 0);
	ret = journal_spans_read(&s, &d, err);
	if (ret < 0)
		is_one_line(err);
	else
		check_spans(&s);
	r.shard_count = 2;
	r.shard[0].next_seq = INT64_MAX;
	require((journal_spans_begin(&d, "other", 1, &r, err) == 0) == (ret == 0));
	if (ret == 0) {
		require(journal_spans_delivered(&d, s.count, err) == 0);
		require(journal_spans_read(&again, &d, err) == 0);
		check_spans(&again);
		require(again.count >= s.count || s.count == JOURNAL_SPANS_MAX);
		for (uint32_t i = 0; i < again.count; i++)
			require(again.span[i].delivered);
		journal_spans_free(&again);
	}
	journal_spans_free(&s);
	journal_dir_close(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	begin();
	if (size < 1 || size > 1 << 16)
		return 0;
	if (data[0] & 1)
		spans(data + 1, size - 1);
	else
		identity(data + 1, size - 1);
	clear();
	return 0;
}
