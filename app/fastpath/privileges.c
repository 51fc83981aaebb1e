/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capabilities belong to threads, and EAL has started its own by now. A thread can only change its own set, so
 * each one is interrupted by a signal whose handler calls capset(2), as glibc does for setuid(2). The same
 * holds of no_new_privs, without which root's exec(2) would bring all of them back.
 */
#include "privileges.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DROP_SIGNAL (SIGRTMIN + 5)
#define DEADLINE_MS 2000

static struct __user_cap_data_struct kept[_LINUX_CAPABILITY_U32S_3];
static _Atomic int failures;

static void drop_here(int signal)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	int saved = errno;

	(void)signal;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_capset, &header, kept) != 0)
		atomic_fetch_add(&failures, 1);
	errno = saved;
}

/* hex mask behind a field of /proc/self/task/TID/status; ~0 when it cannot be read */
static uint64_t status_mask(const char *tid, const char *field)
{
	char path[64], line[256];
	uint64_t mask = UINT64_MAX;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.16s/status", tid);
	if ((f = fopen(path, "r")) == NULL)
		return 0; /* the thread has ended */
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, field, strlen(field)) == 0)
			mask = strtoull(line + strlen(field), NULL, 16);
	fclose(f);
	return mask;
}

static bool is_done(const char *tid, uint64_t allowed)
{
	return !(status_mask(tid, "CapPrm:") & ~allowed) && status_mask(tid, "NoNewPrivs:") != 0;
}

/* signals the threads that still have more than `allowed`; returns how many there were, or -errno */
static int signal_threads(uint64_t allowed)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *e;
	int count = 0;

	if (dir == NULL)
		return -errno;
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.' || is_done(e->d_name, allowed))
			continue;
		count++;
		syscall(SYS_tgkill, getpid(), atoi(e->d_name), DROP_SIGNAL);
	}
	closedir(dir);
	return count;
}

static void keep_one(uint32_t capability, uint64_t permitted, uint64_t *allowed)
{
	if (!(permitted & UINT64_C(1) << capability))
		return;
	*allowed |= UINT64_C(1) << capability;
	kept[CAP_TO_INDEX(capability)].permitted |= CAP_TO_MASK(capability);
	kept[CAP_TO_INDEX(capability)].effective |= CAP_TO_MASK(capability);
}

int privileges_drop(unsigned int keep, char err[CONFIG_ERROR_MAX])
{
	struct sigaction action = {.sa_handler = drop_here, .sa_flags = SA_RESTART};
	const struct timespec pause = {.tv_nsec = 1000000};
	char self[16];
	uint64_t permitted, allowed = 0;
	int left;

	snprintf(self, sizeof(self), "%d", (int)syscall(SYS_gettid));
	permitted = status_mask(self, "CapPrm:");
	if (permitted == UINT64_MAX) {
		snprintf(err, CONFIG_ERROR_MAX, "capabilities: /proc/self/task cannot be read");
		return -EIO;
	}
	memset(kept, 0, sizeof(kept));
	if (keep & PRIVILEGES_DETACH_XDP) {
		keep_one(CAP_NET_ADMIN, permitted, &allowed);
		keep_one(CAP_BPF, permitted, &allowed);
	}
	if (keep & PRIVILEGES_FOREIGN_FILES)
		keep_one(CAP_DAC_OVERRIDE, permitted, &allowed);
	if (sigaction(DROP_SIGNAL, &action, NULL) != 0) {
		snprintf(err, CONFIG_ERROR_MAX, "capabilities: %s", strerror(errno));
		return -errno;
	}
	for (int ms = 0; (left = signal_threads(allowed)) > 0 && ms < DEADLINE_MS; ms++)
		nanosleep(&pause, NULL);
	if (left != 0 || atomic_load(&failures) != 0) {
		snprintf(err, CONFIG_ERROR_MAX,
		         "capabilities: could not be dropped in every thread (%d left)", left);
		return -EPERM;
	}
	return 0;
}
