/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fastpathctl doctor looks at. Each check adds lines: what was found, and what to do about it.
 * /proc and /sys are read under roots that tests may plant. One thread.
 */
#ifndef FASTPATHCTL_DOCTOR_H
#define FASTPATHCTL_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor {
	const char *proc, *sys; /* roots, without a slash at the end */
	const struct config *config;
	struct config_lcore lcore[CONFIG_LCORES_MAX * 4];
	uint32_t lcore_count; /* 0: they could not be found out */
	json_t *lines;        /* array of {check, status, found, do} */
	enum doctor_level worst;
};

/* remedy: one line, what to do; NULL with DOCTOR_OK */
__attribute__((format(printf, 5, 6))) void doctor_add(struct doctor *d, const char *check,
                                                      enum doctor_level level, const char *remedy,
                                                      const char *found, ...);

/* The first line of a file, without its end, "" when it cannot be read. Returns whether it could.
 * The path is root and what format makes. */
__attribute__((format(printf, 4, 5))) bool doctor_read(const char *root, char *out, size_t size,
                                                       const char *format, ...);
/* A number in a file; false when there is none. "max" is UINT64_MAX. */
__attribute__((format(printf, 3, 4))) bool doctor_number(const char *root, uint64_t *out,
                                                         const char *format, ...);
/* A number of this process's cgroup, of v2 or, in a hierarchy of its own, of v1: in file, or behind
 * key in it (NULL: its first word). controller: such as cpu. "max" and -1 are UINT64_MAX. */
bool doctor_cgroup_number(const struct doctor *d, const char *controller, const char *v2,
                          const char *v1, const char *key, uint64_t *out);
/* whether a list such as 0-3,8 has the number */
bool doctor_list_has(const char *list, uint32_t number);
/* PCI address of the port's device as sysfs has it, 0000:3b:00.0; false: it is no PCI device */
bool doctor_pci_address(const struct config_port *port, char out[32]);
bool doctor_has_pci(const struct doctor *d);

void doctor_memory(struct doctor *d);  /* hugepages, their cgroup limit, memlock, open files */
void doctor_devices(struct doctor *d); /* IOMMU, drivers, trust of virtual functions */
void doctor_cpus(struct doctor *d);    /* lcores, isolation, governor, NUMA, cgroup */
void doctor_system(struct doctor *d);  /* kernel, clock, journal's disk */
void doctor_network(struct doctor *d); /* etcd, Kafka */

#endif
