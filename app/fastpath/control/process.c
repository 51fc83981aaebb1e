/* SPDX-License-Identifier: Apache-2.0 */
#include "control/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* a small file of /proc or /sys; false: it cannot be read */
static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return false;
	while (len + 1 < size) {
		ssize_t n = read(fd, text + len, size - 1 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	text[len] = '\0';
	return len > 0;
}

/* since the epoch. Reckoned once: a value that moved with the clock would look like a restart */
static double start_time(double after_boot)
{
	static double reckoned;
	struct timespec now, up;

	if (reckoned > 0)
		return reckoned;
	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	reckoned = (double)(now.tv_sec - up.tv_sec) + (double)(now.tv_nsec - up.tv_nsec) / 1e9 +
	           after_boot;
	return reckoned;
}

/* proc(5): fields count from the state, after the command's closing bracket */
static void read_stat(struct process_figures *p)
{
	double ticks = (double)sysconf(_SC_CLK_TCK);
	unsigned long utime, stime, vsize;
	unsigned long long start;
	long threads, rss;
	char text[1024];

	if (!read_text("/proc/self/stat", text, sizeof(text)))
		return;
	const char *after = strrchr(text, ')');

	if (!after ||
	    sscanf(after + 1,
	           " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %ld %*d "
	           "%llu %lu %ld",
	           &utime, &stime, &threads, &start, &vsize, &rss) != 6)
		return;
	p->cpu_seconds = (double)(utime + stime) / ticks;
	p->threads = (uint64_t)threads;
	p->virtual_bytes = vsize;
	p->resident_bytes = (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE);
	p->start_time_s = start_time((double)start / ticks);
}

static void count_fds(struct process_figures *p)
{
	DIR *dir = opendir("/proc/self/fd");
	struct rlimit limit;

	if (dir) {
		const struct dirent *e;

		while ((e = readdir(dir)))
			p->open_fds += e->d_name[0] != '.';
		p->open_fds--; /* our own look */
		closedir(dir);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		p->max_fds = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

bool process_parse_cpu_stat(const char *text, struct process_figures *p)
{
	bool found = false;

	for (const char *line = text; *line;) {
		uint64_t n;

		if (sscanf(line, "throttled_usec %" SCNu64, &n) == 1) {
			p->throttled_seconds = (double)n / 1e6;
			found = true;
		} else if (sscanf(line, "throttled_time %" SCNu64, &n) == 1) {
			p->throttled_seconds = (double)n / 1e9;
			found = true;
		} else if (sscanf(line, "nr_throttled %" SCNu64, &n) == 1) {
			p->throttled_periods = n;
		}
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return found;
}

static bool has_cpu(const char *controllers, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t word = strcspn(controllers + i, ",:");

		if (word == 3 && memcmp(controllers + i, "cpu", 3) == 0)
			return true;
		i += word + 1;
	}
	return false;
}

bool process_parse_cgroup(const char *text, bool v2, char *path, unsigned int size)
{
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		const char *controllers = memchr(line, ':', len);
		const char *at = controllers ? memchr(controllers + 1, ':',
		                                      (size_t)(line + len - controllers - 1))
		                             : NULL;

		if (at) {
			size_t names = (size_t)(at - controllers - 1);

			if (v2 ? names == 0 : has_cpu(controllers + 1, names)) {
				snprintf(path, size, "%.*s", (int)(line + len - at - 1), at + 1);
				return true;
			}
		}
		line += len;
		line += *line == '\n';
	}
	return false;
}

static void read_throttling(struct process_figures *p)
{
	static const struct {
		bool v2;
		const char *mount;
	} hierarchy[] = {
	    {true, "/sys/fs/cgroup"},
	    {true, "/sys/fs/cgroup/unified"},
	    {false, "/sys/fs/cgroup/cpu"},
	    {false, "/sys/fs/cgroup/cpu,cpuacct"},
	};
	char text[4096], group[PATH_MAX], file[PATH_MAX + 64];

	if (!read_text("/proc/self/cgroup", text, sizeof(text)))
		return;
	for (size_t i = 0; i < sizeof(hierarchy) / sizeof(hierarchy[0]); i++) {
		char stat[4096];

		if (!process_parse_cgroup(text, hierarchy[i].v2, group, sizeof(group)))
			continue;
		/* inside a container the group's own directory may be mounted at the top */
		snprintf(file, sizeof(file), "%s%s/cpu.stat", hierarchy[i].mount, group);
		if (!read_text(file, stat, sizeof(stat))) {
			snprintf(file, sizeof(file), "%s/cpu.stat", hierarchy[i].mount);
			if (!read_text(file, stat, sizeof(stat)))
				continue;
		}
		p->throttled_known = process_parse_cpu_stat(stat, p);
		if (p->throttled_known)
			return;
	}
}

void process_read(struct process_figures *p)
{
	*p = (struct process_figures){0};
	read_stat(p);
	count_fds(p);
	read_throttling(p);
}
