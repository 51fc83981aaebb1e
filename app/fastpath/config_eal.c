/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [eal]: options that EAL takes. It answers a wrong one with pages of help, so they are known here: the long
 * names of DPDK 22.11 (lib/eal/common/eal_options.h).
 */
#include <string.h>

#include "config_internal.h"

enum argument { NONE, NEEDED, OPTIONAL, OURS };

static const struct option {
	const char *name;
	enum argument argument;
	bool repeated;
} options[] = {
    {"allow", NEEDED, true},
    {"base-virtaddr", NEEDED, false},
    {"block", NEEDED, true},
    {"create-uio-dev", NONE, false},
    {"file-prefix", NEEDED, false},
    {"force-max-simd-bitwidth", NEEDED, false},
    {"huge-dir", NEEDED, false},
    {"huge-unlink", OPTIONAL, false},
    {"huge-worker-stack", OPTIONAL, false},
    {"in-memory", NONE, false},
    {"iova-mode", NEEDED, false},
    {"legacy-mem", NONE, false},
    {"log-level", NEEDED, true},
    {"match-allocations", NONE, false},
    {"mbuf-pool-ops-name", NEEDED, false},
    {"no-hpet", NONE, false},
    {"no-huge", NONE, false},
    {"no-pci", NONE, false},
    {"no-shconf", NONE, false},
    {"no-telemetry", NONE, false},
    {"single-file-segments", NONE, false},
    {"socket-limit", NEEDED, false},
    {"socket-mem", NEEDED, false},
    {"syslog", NEEDED, false},
    {"telemetry", NONE, false},
    {"trace", NEEDED, true},
    {"trace-bufsz", NEEDED, false},
    {"trace-dir", NEEDED, false},
    {"trace-mode", NEEDED, false},
    {"vdev", NEEDED, true},
    {"vfio-intr", NEEDED, false},
    {"vfio-vf-token", NEEDED, false},
    {"vmware-tsc-map", NONE, false},
    /* short names and long ones that would take lcores or the process out of our hands */
    {"c", OURS, false},
    {"l", OURS, false},
    {"s", OURS, false},
    {"S", OURS, false},
    {"main-lcore", OURS, false},
    {"proc-type", OURS, false},
    {"help", OURS, false},
    {"version", OURS, false},
};

static const struct option *find(const char *name)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	return NULL;
}

static int check(struct config_parse *p, const char *name, const char *value)
{
	const struct option *o = find(name + strspn(name, "-"));

	if (o != NULL && o->argument == OURS)
		return config_fail(p, "this option is the engine's: lcores come from eal.lcores");
	if (name[0] == '-')
		return config_fail(p, "options are written without dashes");
	if (o == NULL && strlen(name) == 1)
		return config_fail(p, "one-letter options are not taken: use EAL's long name");
	if (o == NULL)
		return config_fail(p, "EAL has no such option");
	if (o->argument == NONE && value[0] != '\0')
		return config_fail(p, "this option takes no value: write %s =", name);
	if (o->argument == NEEDED && value[0] == '\0')
		return config_fail(p, "this option needs a value");
	return 0;
}

int config_parse_eal(struct config_parse *p, const struct config_key_info *k, void *base,
                     const char *value)
{
	struct config *c = base;
	const char *name = p->key_name;
	struct config_eal_option *o = &c->eal[c->eal_count];

	(void)k;
	if (check(p, name, value) < 0)
		return p->rc;
	for (uint32_t i = 0; i < c->eal_count; i++)
		if (strcmp(c->eal[i].key, name) == 0 &&
		    (!find(name)->repeated || strcmp(c->eal[i].value, value) == 0))
			return config_fail(p, "duplicate");
	if (c->eal_count == CONFIG_EAL_MAX)
		return config_fail(p, "there are more than %d EAL options", CONFIG_EAL_MAX);
	strcpy(o->key, name);
	strcpy(o->value, value);
	c->eal_count++;
	return 0;
}
