/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast recovery looks at every byte of a journal, and the limit for that.
 *
 *   journal_scan DIR            recovery, thorough: seconds
 *   journal_scan --limit DIR    pread and one CRC32C a block of 1 MiB, nothing else: seconds
 *
 * Prints one JSON object. The journal must be whole: recovery leaves it as it is.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "journal/crc32c.h"
#include "journal/recovery.h"

#define BLOCK (1u << 20)

static void die(const char *what)
{
	fprintf(stderr, "journal_scan: %s\n", what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_log(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "journal_scan: %s\n", line);
}

static void print(double seconds, uint64_t bytes, uint64_t count)
{
	printf("{\"seconds\": %.6f, \"bytes\": %" PRIu64 ", \"count\": %" PRIu64 "}\n", seconds,
	       bytes, count);
}

static void recover(const char *path)
{
	static const char *const none[] = {NULL};
	struct journal_recovery_options o = {.memlog_dirs = none, .thorough = true, .log = on_log};
	struct journal_recovery_report report;
	char err[JOURNAL_ERROR_MAX];
	struct journal_dir d;
	double begin;

	if (journal_dir_open(&d, path, JOURNAL_LOCK, err) < 0)
		die(err);
	begin = now();
	if (journal_recover(&d, &o, &report, err) < 0)
		die(err);
	print(now() - begin, report.shard[0].bytes, report.shard[0].next_seq - 1);
	journal_dir_close(&d);
}

static uint64_t read_file(int dir, const char *name, uint8_t *block, uint32_t *crc)
{
	int fd = openat(dir, name, O_RDONLY);
	uint64_t bytes = 0;
	ssize_t n;

	if (fd < 0)
		die("a segment cannot be opened");
	while ((n = pread(fd, block, BLOCK, (off_t)bytes)) > 0) {
		*crc ^= crc32c(block, (size_t)n);
		bytes += (uint64_t)n;
	}
	if (n < 0)
		die("a segment cannot be read");
	close(fd);
	return bytes;
}

static void limit(const char *path)
{
	uint8_t *block = malloc(BLOCK);
	DIR *dir = opendir(path);
	double begin = now();
	uint64_t bytes = 0;
	uint32_t crc = 0;
	struct dirent *e;

	if (dir == NULL || block == NULL)
		die("no such journal");
	while ((e = readdir(dir)) != NULL)
		if (strstr(e->d_name, ".seg") != NULL)
			bytes += read_file(dirfd(dir), e->d_name, block, &crc);
	print(now() - begin, bytes, crc);
	closedir(dir);
	free(block);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--limit"))
		limit(argv[2]);
	else if (argc == 2)
		recover(argv[1]);
	else
		die("use: journal_scan [--limit] DIR");
	return 0;
}
