/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "doctor.h"

#define MIB (1024.0 * 1024)

static void kernel(struct doctor *d)
{
	char release[128];
	int major = 0, minor = 0;

	if (!doctor_read(d->proc, release, sizeof(release), "sys/kernel/osrelease") ||
	    sscanf(release, "%d.%d", &major, &minor) != 2)
		doctor_add(d, "kernel", DOCTOR_WARN, "uname -r shows it",
		           "its version is not seen");
	else if (major * 1000 + minor < 4014)
		doctor_add(d, "kernel", DOCTOR_FAIL, "4.14 is the least that DPDK runs on", "%s",
		           release);
	else if (major * 1000 + minor < 5010)
		doctor_add(d, "kernel", DOCTOR_WARN, "take 5.10 or later for net_af_xdp", "%s",
		           release);
	else
		doctor_add(d, "kernel", DOCTOR_OK, NULL, "%s", release);
}

static void clock_source(struct doctor *d)
{
	char name[64];

	if (!doctor_read(d->sys, name, sizeof(name),
	                 "devices/system/clocksource/clocksource0/current_clocksource"))
		doctor_add(d, "clock-source", DOCTOR_WARN, "mount sysfs", "not seen");
	else if (strcmp(name, "hpet") == 0 || strcmp(name, "acpi_pm") == 0 ||
	         strcmp(name, "jiffies") == 0)
		doctor_add(
		    d, "clock-source", DOCTOR_WARN,
		    "see in dmesg why the kernel does not trust the TSC; tsc=reliable on its "
		    "command line if you do",
		    "%s: each reading takes a microsecond or more", name);
	else
		doctor_add(d, "clock-source", DOCTOR_OK, NULL, "%s", name);
}

static void clock_sync(struct doctor *d)
{
	struct timex t = {.modes = 0};
	int state = adjtimex(&t);

	if (state < 0)
		doctor_add(d, "clock-sync", DOCTOR_WARN, "allow adjtimex", "adjtimex: %s",
		           strerror(errno));
	else if (state == TIME_ERROR || (t.status & STA_UNSYNC) != 0)
		doctor_add(d, "clock-sync", DOCTOR_WARN, "run chrony or a PTP client on the host",
		           "the kernel's clock is not synchronised: receive times may be wrong");
	else
		doctor_add(d, "clock-sync", DOCTOR_OK, NULL, "synchronised, error at most %.3f ms",
		           (double)t.maxerror / 1000);
}

static double directory_bytes(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	struct stat st;
	double bytes = 0;

	if (dir == NULL)
		return 0;
	while ((e = readdir(dir)) != NULL)
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			bytes += (double)st.st_blocks * 512;
	closedir(dir);
	return bytes;
}

/* the directory, or what of its path there is; what is missing the engine makes */
static bool existing(const char *path, char out[PATH_MAX])
{
	char *parent;

	snprintf(out, PATH_MAX, "%s", path);
	while (access(out, F_OK) != 0) {
		if (errno != ENOENT)
			return false;
		parent = dirname(out);
		memmove(out, parent, strlen(parent) + 1);
	}
	return true;
}

static void disk(struct doctor *d)
{
	const struct config *c = d->config;
	char path[PATH_MAX];
	struct statvfs space;
	struct statfs type;
	double available, wanted;

	if (!existing(c->journal_dir, path) || statvfs(path, &space) != 0 ||
	    statfs(path, &type) != 0) {
		doctor_add(d, "disk", DOCTOR_FAIL, "set journal.dir (JOURNAL_DIR)", "%.400s: %s",
		           c->journal_dir, strerror(errno));
		return;
	}
	if (access(path, W_OK) != 0) {
		doctor_add(d, "disk", DOCTOR_FAIL,
		           "chown it to the engine's user, or run this as that user",
		           "%.400s cannot be written: %s", path, strerror(errno));
		return;
	}
	available = (double)space.f_bavail * (double)space.f_frsize / MIB;
	wanted = c->retain_gb * 1024 - directory_bytes(c->journal_dir) / MIB;
	if (type.f_type == TMPFS_MAGIC || type.f_type == RAMFS_MAGIC)
		doctor_add(d, "disk", DOCTOR_FAIL, "put journal.dir on a disk",
		           "%.400s is in memory: nothing there survives a power loss", path);
	else if (available < c->disk_free_degraded_mb || available < 2.0 * c->segment_mb)
		doctor_add(d, "disk", DOCTOR_FAIL, "free some, or lower journal.retain_gb",
		           "%.400s: only %.0f MiB are free", path, available);
	else if (available < wanted)
		doctor_add(d, "disk", DOCTOR_WARN, "lower journal.retain_gb, or take a larger disk",
		           "%.400s: %.0f MiB are free, journal.retain_gb may take %.0f more", path,
		           available, wanted);
	else if (type.f_type == OVERLAYFS_SUPER_MAGIC)
		doctor_add(d, "disk", DOCTOR_WARN, "mount a volume there",
		           "%.400s is the container's own layer: it goes with the container", path);
	else
		doctor_add(d, "disk", DOCTOR_OK, NULL, "%.400s: %.0f MiB are free", path,
		           available);
}

void doctor_system(struct doctor *d)
{
	kernel(d);
	clock_source(d);
	clock_sync(d);
	disk(d);
}
