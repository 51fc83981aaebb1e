/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys for people. */
#include <string.h>

#include "config_internal.h"

static bool named(const struct config_key_info *k)
{
	return strcmp(k->section, "port") == 0 || strcmp(k->section, "feed") == 0;
}

static const char *key_name(const struct config_key_info *k)
{
	return k->flags & CONFIG_KEY_ANY ? "OPTION" : k->key;
}

void config_print_help(FILE *out)
{
	const char *section = "";

	for (uint32_t i = 0; i < config_key_count; i++) {
		const struct config_key_info *k = &config_keys[i];

		if (strcmp(section, k->section) != 0)
			fprintf(out, "[%s%s]\n", k->section, named(k) ? " NAME" : "");
		section = k->section;
		fprintf(out, "  %-22s %s", key_name(k), k->sentence);
		if (k->fallback[0] != '\0')
			fprintf(out, " Default: %s.", k->fallback);
		if (k->variable[0] != '\0')
			fprintf(out, " Variable: %s.", k->variable);
		fputc('\n', out);
	}
}

static const char *const preface =
    "# Configuration\n\n"
    "<!-- written by `UPDATE=1 build/unit/test_config` from the table in "
    "app/fastpath/config_keys.c -->\n\n"
    "`fastpath --config FILE`, or the variable `FAST_PATH_CONFIG`, names an INI file. A variable "
    "goes over\n"
    "the file, the file over the default; a variable that is set to nothing counts as not set.\n"
    "[config/fastpath.ini](../config/fastpath.ini) holds every key. `fastpath --check-config` "
    "reads\n"
    "everything, looks for lcores, devices and locks, and starts nothing.\n\n"
    "A bad value, an unknown, duplicate or misplaced key or section, a line without `=`, a line "
    "longer than\n"
    "198 bytes, a control character, or a variable that starts with `FAST_PATH_` and is none of "
    "ours stops\n"
    "the start with exit status 2 and one line on standard error:\n\n"
    "    config/fastpath.ini:12: dataplane.ring_size: 1000 is not a power of two between 64 and "
    "1048576\n\n"
    "Lines that start with `;` or `#` are comments, as is what follows a blank and `;` behind a "
    "value.\n"
    "Blanks before a line mean nothing: a value stands on one line. Keys that say so may stand on "
    "several.\n"
    "`[port NAME]` and `[feed NAME]` stand once for each port and feed; names have 1 to 31 "
    "letters, digits,\n"
    "`.`, `_` or `-`.\n\n"
    "`env:NAME` in `device` and `address` stands for a variable, `env:NAME[i]` for the i-th item, "
    "from 0, of a\n"
    "comma list, as the SR-IOV device plugin sets them. `file:PATH` and `file:PATH[i]` in "
    "`address` "
    "stand for a\n"
    "file's text in the same way. They are looked up when `dataplane.enable` is 1.\n\n"
    "In `address` that text is a list of addresses; one without a prefix, as Kubernetes gives a "
    "pod's, gets /32 or\n"
    "/128. Or it is Multus's annotation `k8s.v1.cni.cncf.io/network-status`, which is known by its "
    "`[`: the addresses\n"
    "are then the `ips` of the network whose PCI device (`device-info`) is the port's `device`, or "
    "of the one that\n"
    "`[WHICH]` names: its name with or without the namespace, or a PCI address. With a `?` behind "
    "it, a reference that\n"
    "gives no address (nothing is set, no such network, a network without `ips`) is a warning "
    "instead of an error:\n\n"
    "    address = 10.99.0.1/24, fd00::1/64\n"
    "    address = env:POD_IP\n"
    "    address = env:NETWORK_STATUS[hft-nic0]\n"
    "    address = file:/etc/podinfo/network-status?\n\n"
    "A port's addresses are used for one thing so far: a feed's line may be unicast to one of "
    "them. Multicast needs\n"
    "none, and the appliance answers neither ARP nor ND.\n\n"
    "Variables that Kubernetes sets for a service called `fast-path` (`FAST_PATH_SERVICE_HOST`,\n"
    "`FAST_PATH_PORT`, `FAST_PATH_PORT_80_TCP` ...) are left alone.\n\n";

static void print_code(FILE *out, const char *text)
{
	if (text[0] != '\0')
		fprintf(out, "`%s`", text);
	fputs(" | ", out);
}

void config_print_markdown(FILE *out)
{
	const char *section = "";

	fputs(preface, out);
	for (uint32_t i = 0; i < config_key_count; i++) {
		const struct config_key_info *k = &config_keys[i];
		char allowed[256];

		if (strcmp(section, k->section) != 0)
			fprintf(out,
			        "%s## [%s%s]\n\n| key | variable | default | value | meaning |\n"
			        "| --- | --- | --- | --- | --- |\n",
			        i == 0 ? "" : "\n", k->section, named(k) ? " NAME" : "");
		section = k->section;
		config_key_allowed(k, allowed, sizeof(allowed));
		fputs("| ", out);
		print_code(out, key_name(k));
		print_code(out, k->variable);
		print_code(out, k->fallback);
		fprintf(out, "%s | %s |\n", strcmp(allowed, "taken") == 0 ? "none" : allowed,
		        k->sentence);
	}
}

/* headers of ports and feeds are commented out too: their sections are not complete without values
 */
void config_print_ini(FILE *out)
{
	const char *section = "";

	fputs("; Fast Path: every key, commented out at its default. docs/configuration.md has "
	      "more.\n"
	      "; Variables, where a key names one, go over this file.\n"
	      "; (written by `UPDATE=1 build/unit/test_config`)\n",
	      out);
	for (uint32_t i = 0; i < config_key_count; i++) {
		const struct config_key_info *k = &config_keys[i];
		bool port = strcmp(k->section, "port") == 0;

		if (strcmp(section, k->section) != 0)
			fprintf(out, named(k) ? "\n;[%s %s]\n" : "\n[%s]\n", k->section,
			        port ? "nic0" : "ticks");
		section = k->section;
		fprintf(out, "; %s%s%s\n", k->sentence, k->variable[0] != '\0' ? " " : "",
		        k->variable);
		fprintf(out, ";%s =%s%s\n", k->flags & CONFIG_KEY_ANY ? "no-pci" : k->key,
		        k->fallback[0] != '\0' || (k->example != NULL && k->example[0] != '\0')
		            ? " "
		            : "",
		        k->fallback[0] != '\0' ? k->fallback
		        : k->example != NULL   ? k->example
		                               : "");
	}
}
