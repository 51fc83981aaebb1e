/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "doctor.h"

/* the lcores that poll, without the main one, and no CPU twice */
static uint32_t polling_cpus(const struct doctor *d, uint32_t cpu[CONFIG_LCORES_MAX * 4])
{
	const struct config *c = d->config;
	uint32_t count = 0;

	for (uint32_t i = 0; i < d->lcore_count; i++) {
		const struct config_lcore *l = &d->lcore[i];
		bool polls = false, known = false;

		for (uint32_t j = 0; c->enable && j < c->rx_lcore_count; j++)
			polls |= c->rx_lcore[j] == l->id;
		for (uint32_t j = 0; j < c->worker_lcore_count; j++)
			polls |= c->worker_lcore[j] == l->id;
		for (uint32_t j = 0; j < count; j++)
			known |= cpu[j] == l->cpu;
		if (polls && !known)
			cpu[count++] = l->cpu;
	}
	return count;
}

static void isolation(struct doctor *d, const uint32_t *cpu, uint32_t count)
{
	char isolated[256], shared[256] = "";
	int len = 0;

	doctor_read(d->sys, isolated, sizeof(isolated), "devices/system/cpu/isolated");
	for (uint32_t i = 0; i < count && len < 200; i++)
		if (!doctor_list_has(isolated, cpu[i]))
			len += snprintf(shared + len, sizeof(shared) - (size_t)len, "%s%u",
			                len > 0 ? "," : "", cpu[i]);
	if (len == 0)
		doctor_add(d, "isolation", DOCTOR_OK, NULL, "isolated CPUs: %s", isolated);
	else if (d->config->idle == CONFIG_IDLE_ADAPTIVE)
		doctor_add(d, "isolation", DOCTOR_OK, NULL,
		           "CPUs %s are not isolated; idle = adaptive shares them", shared);
	else
		doctor_add(
		    d, "isolation", DOCTOR_WARN,
		    "isolcpus= and nohz_full= on the kernel's command line; in Kubernetes the "
		    "static CPU manager and whole CPUs",
		    "lcores spin on CPUs that others run on too: %s", shared);
}

static void governor(struct doctor *d, const uint32_t *cpu, uint32_t count)
{
	char name[64];
	uint32_t scaled = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (!doctor_read(d->sys, name, sizeof(name),
		                 "devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpu[i]))
			continue;
		scaled++;
		if (strcmp(name, "performance") == 0)
			continue;
		doctor_add(d, "governor", DOCTOR_WARN,
		           "cpupower frequency-set -g performance, on the host",
		           "CPU %u has the governor %s", cpu[i], name);
		return;
	}
	doctor_add(d, "governor", DOCTOR_OK, NULL, "%s",
	           scaled > 0 ? "performance" : "the frequency is not ours to set");
}

/* -1: there are no nodes to be seen */
static int node_of(const struct doctor *d, uint32_t cpu)
{
	char list[1024];

	for (int node = 0; node < 64; node++)
		if (doctor_read(d->sys, list, sizeof(list), "devices/system/node/node%d/cpulist",
		                node) &&
		    doctor_list_has(list, cpu))
			return node;
	return -1;
}

static void numa(struct doctor *d, const uint32_t *cpu, uint32_t count)
{
	int first = count > 0 ? node_of(d, cpu[0]) : -1;
	const char *remedy = "take lcores of the device's node; in Kubernetes the topology manager "
	                     "with single-numa-node";

	for (uint32_t i = 1; i < count; i++)
		if (node_of(d, cpu[i]) != first) {
			doctor_add(d, "numa", DOCTOR_WARN, remedy,
			           "CPU %u is on node %d, CPU %u on node %d", cpu[0], first, cpu[i],
			           node_of(d, cpu[i]));
			return;
		}
	for (uint32_t i = 0; d->config->enable && i < d->config->port_count; i++) {
		char address[32], node[16];
		int n;

		if (!doctor_pci_address(&d->config->port[i], address) ||
		    !doctor_read(d->sys, node, sizeof(node), "bus/pci/devices/%s/numa_node",
		                 address) ||
		    sscanf(node, "%d", &n) != 1 || n < 0 || first < 0 || n == first)
			continue;
		doctor_add(d, "numa", DOCTOR_WARN, remedy,
		           "%s is on node %d, the lcores on node %d", address, n, first);
		return;
	}
	doctor_add(d, "numa", DOCTOR_OK, NULL,
	           first < 0 ? "no nodes to be seen" : "lcores and devices are on one node");
}

static void throttling(struct doctor *d)
{
	uint64_t periods = 0, throttled = 0, quota;
	bool limited =
	    doctor_cgroup_number(d, "cpu", "cpu.max", "cpu.cfs_quota_us", NULL, &quota) &&
	    quota != UINT64_MAX;

	doctor_cgroup_number(d, "cpu", "cpu.stat", "cpu.stat", "nr_periods", &periods);
	doctor_cgroup_number(d, "cpu", "cpu.stat", "cpu.stat", "nr_throttled", &throttled);
	if (throttled > 0)
		doctor_add(
		    d, "throttling", DOCTOR_WARN,
		    "requests = limits with whole CPUs, one for each lcore and one more; or no "
		    "CPU limit",
		    "the cgroup was throttled in %llu of %llu periods",
		    (unsigned long long)throttled, (unsigned long long)periods);
	else
		doctor_add(d, "throttling", DOCTOR_OK, NULL, "%s",
		           limited ? "a CPU quota, never reached" : "no CPU quota");
}

void doctor_cpus(struct doctor *d)
{
	char err[CONFIG_ERROR_MAX], eal[2048];
	uint32_t cpu[CONFIG_LCORES_MAX * 4];
	uint32_t count;

	if (config_lcores(d->config, d->lcore, &d->lcore_count, eal, sizeof(eal), err) < 0) {
		d->lcore_count = 0;
		doctor_add(d, "lcores", DOCTOR_FAIL, "set eal.lcores, rx_lcores and worker_lcores",
		           "%s", err);
	} else {
		doctor_add(d, "lcores", DOCTOR_OK, NULL, "%s", eal);
	}
	count = polling_cpus(d, cpu);
	if (count > 0) {
		isolation(d, cpu, count);
		governor(d, cpu, count);
		numa(d, cpu, count);
	}
	throttling(d);
}
