/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

/* the last part of what a link of the device points to, "" when there is none */
static void link_name(const struct doctor *d, const char *address, const char *name, char out[64])
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "%.3000s/bus/pci/devices/%s/%s", d->sys, address, name);
	n = readlink(path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	snprintf(out, 64, "%.63s", n < 0 ? "" : basename(target));
}

static bool has_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e = NULL;

	if (dir == NULL)
		return false;
	do {
		e = readdir(dir);
	} while (e != NULL && e->d_name[0] == '.');
	closedir(dir);
	return e != NULL;
}

static void iommu(struct doctor *d)
{
	static const char remedy[] =
	    "switch it on in the firmware, and intel_iommu=on iommu=pt on the kernel's command "
	    "line";
	char path[PATH_MAX], unsafe[8];

	snprintf(path, sizeof(path), "%.4000s/kernel/iommu_groups", d->sys);
	doctor_read(d->sys, unsafe, sizeof(unsafe),
	            "module/vfio/parameters/enable_unsafe_noiommu_mode");
	if (has_entries(path))
		doctor_add(d, "iommu", DOCTOR_OK, NULL, "on");
	else if (!doctor_has_pci(d))
		doctor_add(d, "iommu", DOCTOR_OK, NULL, "none; no port is a PCI device");
	else if (unsafe[0] == 'Y' || unsafe[0] == '1')
		doctor_add(d, "iommu", DOCTOR_WARN, remedy,
		           "none, VFIO's unsafe mode is on: a device can write anywhere");
	else
		doctor_add(d, "iommu", DOCTOR_FAIL, remedy, "none: vfio-pci takes no device");
}

/* N of the physical function's virtfnN that is our device, -1 when it is not seen */
static int vf_number(const struct doctor *d, const char *address)
{
	char name[64], target[64];

	for (int i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "physfn/virtfn%d", i);
		link_name(d, address, name, target);
		if (strcmp(target, address) == 0)
			return i;
	}
	return -1;
}

/* the physical function's interface, where this network namespace has it */
static bool pf_interface(const struct doctor *d, const char *address, char out[64])
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *dir;

	out[0] = '\0';
	snprintf(path, sizeof(path), "%.3000s/bus/pci/devices/%s/physfn/net", d->sys, address);
	if ((dir = opendir(path)) == NULL)
		return false;
	while (out[0] == '\0' && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.' && strspn(e->d_name, "abcdefghijklmnopqrstuvwxyz"
		                                             "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		                                             "0123456789._-") == strlen(e->d_name))
			snprintf(out, 64, "%.63s", e->d_name);
	closedir(dir);
	return out[0] != '\0';
}

/* 1, 0; -1: ip does not say */
static int vf_trust(const char *pf, int vf)
{
	char command[160];
	json_t *answer, *one;
	size_t i;
	int trust = -1;
	FILE *f;

	snprintf(command, sizeof(command), "ip -details -json link show dev %s 2>/dev/null", pf);
	if ((f = popen(command, "re")) == NULL)
		return -1;
	answer = json_loadf(f, 0, NULL);
	pclose(f);
	json_array_foreach (json_object_get(json_array_get(answer, 0), "vfinfo_list"), i, one) {
		json_t *t = json_object_get(one, "trust");

		if (json_integer_value(json_object_get(one, "vf")) == vf && json_is_boolean(t))
			trust = json_is_true(t);
	}
	json_decref(answer);
	return trust;
}

static void trust(struct doctor *d, const char *address)
{
	char pf[64], remedy[160], physical[64];
	int vf = vf_number(d, address), trusted;

	link_name(d, address, "physfn", physical);
	if (physical[0] == '\0')
		return; /* no virtual function */
	if (vf < 0 || !pf_interface(d, address, pf)) {
		doctor_add(
		    d, "vf-trust", DOCTOR_WARN,
		    "on its host: ip link set PF vf N trust on spoofchk off; with the SR-IOV "
		    "operator trust: \"on\" in the network",
		    "%s is a virtual function of %s, whose interface is not seen from here",
		    address, physical);
		return;
	}
	trusted = vf_trust(pf, vf);
	snprintf(remedy, sizeof(remedy), "ip link set %s vf %d trust on", pf, vf);
	if (trusted == 1)
		doctor_add(d, "vf-trust", DOCTOR_OK, NULL, "%s, virtual function %d of %s: trusted",
		           address, vf, pf);
	else
		doctor_add(d, "vf-trust", trusted == 0 ? DOCTOR_FAIL : DOCTOR_WARN, remedy,
		           "%s, virtual function %d of %s: %s", address, vf, pf,
		           trusted == 0 ? "not trusted, multicast may not reach it"
		                        : "ip does not say whether it is trusted");
}

static void driver(struct doctor *d, const struct config_port *port, const char *address)
{
	static const char *const good[] = {"vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_core",
	                                   "mlx4_core"};
	char name[64], remedy[160], class[16];

	snprintf(remedy, sizeof(remedy), "modprobe vfio-pci; dpdk-devbind.py --bind=vfio-pci %s",
	         address);
	if (!doctor_read(d->sys, class, sizeof(class), "bus/pci/devices/%s/class", address)) {
		doctor_add(d, "device", DOCTOR_FAIL,
		           "dpdk-devbind.py --status shows what there is; in a pod the device "
		           "plugin's resource must be requested",
		           "port %s: there is no PCI device %s", port->name, address);
		return;
	}
	link_name(d, address, "driver", name);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (strcmp(name, good[i]) == 0) {
			doctor_add(d, "device", DOCTOR_OK, NULL, "port %s: %s is bound to %s",
			           port->name, address, name);
			return;
		}
	doctor_add(d, "device", DOCTOR_FAIL, remedy, "port %s: %s is bound to %s", port->name,
	           address, name[0] != '\0' ? name : "no driver");
}

/* iface=NAME of net_af_packet and net_af_xdp */
static void interface(struct doctor *d, const struct config_port *port)
{
	const char *at = strstr(port->device, "iface=");
	char name[64], state[32];

	if (at == NULL)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 6, ","), at + 6);
	if (!doctor_read(d->sys, state, sizeof(state), "class/net/%s/operstate", name))
		doctor_add(d, "device", DOCTOR_FAIL, "ip link shows which there are",
		           "port %s: there is no interface %s", port->name, name);
	else if (strcmp(state, "down") == 0)
		doctor_add(d, "device", DOCTOR_FAIL, "ip link set it up; check the cable",
		           "port %s: interface %s is down", port->name, name);
	else
		doctor_add(d, "device", DOCTOR_OK, NULL, "port %s: interface %s is %s", port->name,
		           name, state);
}

void doctor_devices(struct doctor *d)
{
	char address[32];

	iommu(d);
	if (!d->config->enable)
		doctor_add(d, "device", DOCTOR_OK, NULL, "dataplane.enable is 0: no port is used");
	for (uint32_t i = 0; d->config->enable && i < d->config->port_count; i++) {
		const struct config_port *port = &d->config->port[i];

		if (!doctor_pci_address(port, address)) {
			interface(d, port);
			continue;
		}
		driver(d, port, address);
		trust(d, address);
	}
}
