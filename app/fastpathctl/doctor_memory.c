/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

#define MIB (1024ull * 1024)

/* about what the engine asks for: docs/operations.md has the parts */
static uint64_t needed_bytes(const struct config *c)
{
	uint64_t bytes = 32 * MIB + (uint64_t)c->worker_lcore_count * c->memory_mb * MIB;

	bytes += (uint64_t)c->worker_lcore_count * (c->rx_lcore_count + 1) * c->ring_size * 32;
	bytes += (uint64_t)c->worker_lcore_count * c->key_slots * 88;
	for (uint32_t i = 0; c->enable && i < c->port_count; i++) {
		const struct config_port *p = &c->port[i];
		uint64_t mbufs = 4096 + (uint64_t)p->rx_queues * p->rx_ring +
		                 (uint64_t)c->worker_lcore_count * c->ring_size +
		                 512ull * c->rx_lcore_count;

		bytes += (c->mbufs != 0 ? c->mbufs : mbufs) * (p->mtu + 1000);
	}
	return bytes;
}

static bool is_mounted(const struct doctor *d)
{
	char path[PATH_MAX];
	struct mntent *e;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%.4000s/self/mounts", d->proc);
	if ((f = setmntent(path, "re")) == NULL)
		return false;
	while (!found && (e = getmntent(f)) != NULL)
		found = strcmp(e->mnt_type, "hugetlbfs") == 0;
	endmntent(f);
	return found;
}

static void cgroup_limit(struct doctor *d, uint64_t page_kib, uint64_t need)
{
	char v2[64], v1[64], size[16];
	uint64_t bytes;

	snprintf(size, sizeof(size), page_kib >= 1048576 ? "%uGB" : "%uMB",
	         (unsigned int)(page_kib >= 1048576 ? page_kib / 1048576 : page_kib / 1024));
	snprintf(v2, sizeof(v2), "hugetlb.%s.max", size);
	snprintf(v1, sizeof(v1), "hugetlb.%s.limit_in_bytes", size);
	/* v1 writes a limit that is none as a number near 2^63 */
	if (!doctor_cgroup_number(d, "hugetlb", v2, v1, NULL, &bytes) || bytes > UINT64_MAX / 4)
		return;
	if (bytes < need)
		doctor_add(d, "hugepages-limit", DOCTOR_FAIL,
		           "raise the pod's hugepages request and limit, or the cgroup's limit",
		           "the cgroup may use %llu MiB of %s pages, about %llu are needed",
		           (unsigned long long)(bytes / MIB), size,
		           (unsigned long long)(need / MIB));
	else
		doctor_add(d, "hugepages-limit", DOCTOR_OK, NULL,
		           "the cgroup may use %llu MiB of %s pages",
		           (unsigned long long)(bytes / MIB), size);
}

struct pages {
	uint64_t kib, total, free;
};

/* the size of which most is free */
static struct pages best_pages(const struct doctor *d)
{
	struct pages best = {0};
	char path[PATH_MAX];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%.4000s/kernel/mm/hugepages", d->sys);
	if ((dir = opendir(path)) == NULL)
		return best;
	while ((e = readdir(dir)) != NULL) {
		struct pages p = {0};

		if (strncmp(e->d_name, "hugepages-", 10) != 0)
			continue;
		p.kib = strtoull(e->d_name + 10, NULL, 10);
		doctor_number(path, &p.total, "%s/nr_hugepages", e->d_name);
		doctor_number(path, &p.free, "%s/free_hugepages", e->d_name);
		if (best.kib == 0 || p.kib * p.free > best.kib * best.free ||
		    (best.total == 0 && p.total > 0))
			best = p;
	}
	closedir(dir);
	return best;
}

static void hugepages(struct doctor *d)
{
	uint64_t need = needed_bytes(d->config);
	struct pages p = best_pages(d);
	/* without them the engine goes on, but a device needs memory that stays where it is */
	enum doctor_level bad = doctor_has_pci(d) ? DOCTOR_FAIL : DOCTOR_WARN;
	unsigned long long mib = need / MIB;

	if (p.kib == 0)
		doctor_add(d, "hugepages", bad, "use a kernel with hugetlbfs",
		           "this kernel has none; about %llu MiB are needed", mib);
	else if (p.free * p.kib * 1024 < need)
		doctor_add(d, "hugepages", bad,
		           "reserve more: sysctl -w vm.nr_hugepages=N, and hugepages.conf in "
		           "/etc/sysctl.d to keep it; a running engine has its own already",
		           "%llu of %llu pages of %llu KiB are free, %llu MiB; about %llu MiB are "
		           "needed",
		           (unsigned long long)p.free, (unsigned long long)p.total,
		           (unsigned long long)p.kib, (unsigned long long)(p.free * p.kib / 1024),
		           mib);
	else
		doctor_add(d, "hugepages", DOCTOR_OK, NULL,
		           "%llu of %llu pages of %llu KiB are free; about %llu MiB are needed",
		           (unsigned long long)p.free, (unsigned long long)p.total,
		           (unsigned long long)p.kib, mib);
	if (p.kib != 0)
		cgroup_limit(d, p.kib, need);
	if (p.total > 0 && !is_mounted(d))
		doctor_add(d, "hugetlbfs", bad,
		           "mount -t hugetlbfs hugetlbfs /dev/hugepages; in a pod an emptyDir with "
		           "medium HugePages",
		           "hugetlbfs is not mounted");
}

/* the soft limit of this process; false when it is not there */
static bool process_limit(const struct doctor *d, const char *name, uint64_t *out)
{
	char path[PATH_MAX], line[256];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%.4000s/self/limits", d->proc);
	if ((f = fopen(path, "re")) == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), f) != NULL)
		found = strncmp(line, name, strlen(name)) == 0;
	fclose(f);
	if (!found)
		return false;
	const char *value = line + strlen(name) + strspn(line + strlen(name), " ");

	*out = strncmp(value, "unlimited", 9) == 0 ? UINT64_MAX : strtoull(value, NULL, 10);
	return true;
}

static void limits(struct doctor *d)
{
	uint64_t memlock, files, wanted = d->config->http_connections + 256;

	if (process_limit(d, "Max locked memory", &memlock)) {
		if (memlock == UINT64_MAX)
			doctor_add(d, "memlock", DOCTOR_OK, NULL, "unlimited");
		else
			doctor_add(d, "memlock", DOCTOR_WARN,
			           "ulimit -l unlimited, LimitMEMLOCK=infinity, or the capability "
			           "IPC_LOCK",
			           "%llu KiB may be locked: too little for VFIO and for "
			           "net_af_packet's ring, unless root starts the engine",
			           (unsigned long long)(memlock / 1024));
	}
	if (!process_limit(d, "Max open files", &files))
		return;
	if (files < wanted)
		doctor_add(d, "open-files", DOCTOR_FAIL, "ulimit -n 65536, or LimitNOFILE=65536",
		           "%llu, http.connections wants %llu", (unsigned long long)files,
		           (unsigned long long)wanted);
	else
		doctor_add(d, "open-files", DOCTOR_OK, NULL, "%llu", (unsigned long long)files);
}

void doctor_memory(struct doctor *d)
{
	hugepages(d);
	limits(d);
}
