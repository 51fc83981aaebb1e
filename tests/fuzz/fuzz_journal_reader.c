/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a segment file, and as a memlog file. The reader must end, give sequence numbers that grow,
 * and never fail behind what a repair calls usable. The first byte picks the file and whether checksums are
 * made right, so that fields behind them are reached.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/crc32c.h"
#include "journal/memlog_file.h"
#include "journal/reader.h"
#include "journal/recovery.h"
#include "journal/segment.h"

#define MEMLOG (1u << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char base[128], memory[144], path[144];
static struct journal_dir d;

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void finish(void)
{
	char command[160];

	journal_dir_close(&d);
	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	if (system(command) != 0)
		perror(command);
}

static void begin(void)
{
	char err[JOURNAL_ERROR_MAX];

	if (base[0])
		return;
	/* scripts/fuzz.sh removes it: libFuzzer ends without running atexit when its time is up */
	const char *scratch = getenv("FUZZ_SCRATCH");

	snprintf(base, sizeof(base), "%.64s/fuzz_journal.%d",
	         scratch != NULL ? scratch : "/dev/shm", (int)getpid());
	snprintf(memory, sizeof(memory), "%s/memory", base);
	snprintf(path, sizeof(path), "%s/journal", base);
	require(mkdir(base, 0700) == 0 && mkdir(memory, 0700) == 0);
	require(journal_dir_open(&d, path, JOURNAL_MAKE, err) == 0);
	atexit(finish);
}

static void store(const char *file, const void *bytes, size_t len, off_t size)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	require(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	require(size == 0 || ftruncate(fd, size) == 0);
	close(fd);
}

static void clear(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		if (strncmp(e->d_name, "journal.", 8) && strcmp(e->d_name, "lock"))
			unlinkat(dirfd(dir), e->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

static void fix_record(uint8_t *p, size_t left)
{
	struct journal_record r;

	if (left < sizeof(r))
		return;
	memcpy(&r, p, sizeof(r));
	if (r.length >= sizeof(r) && r.length <= left) {
		r.crc = crc32c(p + 4, r.length - 4);
		memcpy(p, &r, sizeof(r));
	}
}

/* right checksums, names and offsets wherever something starts that could be a batch or a record */
static void fix_segment(uint8_t *p, size_t len)
{
	for (size_t i = 0; i + sizeof(struct segment_batch) <= len; i += 8) {
		struct segment_batch b;

		memcpy(&b, p + i, sizeof(b));
		if (memcmp(b.magic, SEGMENT_BATCH_MAGIC, 8)) {
			fix_record(p + i, len - i);
			continue;
		}
		memcpy(b.uuid, d.uuid, sizeof(b.uuid));
		b.offset = SEGMENT_HEADER_SIZE + i;
		b.shard = 0;
		b.crc = crc32c((uint8_t *)&b + 12, sizeof(b) - 12);
		memcpy(p + i, &b, sizeof(b));
		i += sizeof(b) - 8;
	}
}

static void make_segment(const uint8_t *data, size_t size, bool fix)
{
	uint8_t *file = calloc(1, SEGMENT_HEADER_SIZE + size);
	struct segment_header h = {.format = JOURNAL_FORMAT, .first_seq = 1};
	char name[256];

	require(file != NULL);
	memcpy(file + SEGMENT_HEADER_SIZE, data, size);
	if (fix)
		fix_segment(file + SEGMENT_HEADER_SIZE, size);
	memcpy(h.magic, SEGMENT_MAGIC, 8);
	memcpy(h.uuid, d.uuid, 16);
	memcpy(file, &h, sizeof(h));
	h.crc = crc32c(file + 12, SEGMENT_HEADER_SIZE - 12);
	memcpy(file, &h, sizeof(h));
	snprintf(name, sizeof(name), "%s/shard-00-00000000000000000001.seg", path);
	store(name, file, SEGMENT_HEADER_SIZE + size, 0);
	free(file);
}

static void make_memlog(const uint8_t *data, size_t size, bool fix)
{
	static uint8_t file[MEMLOG_HEADER_SIZE + MEMLOG];
	struct memlog_header *h = (void *)file;
	char name[PATH_MAX];

	if (size < 24)
		return;
	size = size - 24 < MEMLOG ? size - 24 : MEMLOG;
	memset(file, 0, sizeof(file));
	memcpy(h->magic, MEMLOG_MAGIC, 8);
	h->version = MEMLOG_VERSION;
	memcpy(h->uuid, d.uuid, 16);
	h->capacity = MEMLOG;
	h->first_seq = 1;
	h->crc = memlog_header_crc(h);
	h->published = (uint64_t)(data[0] | data[1] << 8 | data[2] << 16) * (fix ? 8 : 1);
	h->released = (uint64_t)(data[3] | data[4] << 8 | data[5] << 16) * (fix ? 8 : 1);
	memcpy(file + MEMLOG_HEADER_SIZE, data + 24, size);
	for (size_t i = 0; fix && i + 56 <= size; i += 8)
		fix_record(file + MEMLOG_HEADER_SIZE + i, size - i);
	journal_memlog_path(name, memory, &d, 0);
	store(name, file, sizeof(file), 0);
}

/* to the end, over all damage. Returns whether there was any */
static bool read_all(void)
{
	char err[JOURNAL_ERROR_MAX];
	struct journal_reader *r = journal_reader_open(&d, 0, 0, err);
	const struct journal_record *record;
	uint64_t last = 0, from, to;
	bool damage = false;
	int result = 1;

	require(r != NULL);
	while (result == 1) {
		result = journal_reader_next(r, &record);
		if (result == 1) {
			require(record->seq > last);
			last = record->seq;
		} else if (result == -EBADMSG || result == -ERANGE) {
			damage = true;
			require(journal_reader_error(r)[0] != '\0');
			result = journal_reader_skip(r, &from, &to);
		}
	}
	require(result == 0);
	journal_reader_close(r);
	return damage;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *dirs[] = {memory, NULL};
	struct journal_recovery_options o = {
	    .memlog_dirs = dirs,
	    .policy = JOURNAL_DAMAGE_QUARANTINE,
	    .thorough = true,
	};
	struct journal_recovery_report report;
	char err[JOURNAL_ERROR_MAX], quarantine[128];

	begin();
	if (size < 1 || size > 1 << 18)
		return 0;
	if (data[0] & 2)
		make_memlog(data + 1, size - 1, data[0] & 1);
	else
		make_segment(data + 1, size - 1, data[0] & 1);
	read_all();
	if (journal_recover(&d, &o, &report, err) == 0)
		require(!read_all());
	else
		require(err[0] != '\0');
	snprintf(quarantine, sizeof(quarantine), "%s/" JOURNAL_QUARANTINE, path);
	clear(quarantine);
	clear(path);
	clear(memory);
	return 0;
}
