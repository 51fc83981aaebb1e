/* SPDX-License-Identifier: Apache-2.0 */
#include "eal.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>

#define ARGS_MAX  (CONFIG_EAL_MAX + CONFIG_PORTS_MAX + 64)
#define ARG_BYTES 768
#define MIB       (1024ul * 1024)

struct args {
	char text[ARGS_MAX][ARG_BYTES];
	char *argv[ARGS_MAX + 1];
	int argc;
};

static void add(struct args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct args *a, const char *fmt, ...)
{
	va_list ap;

	if (a->argc == ARGS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(a->text[a->argc], ARG_BYTES, fmt, ap);
	va_end(ap);
	a->argv[a->argc] = a->text[a->argc];
	a->argv[++a->argc] = NULL;
}

static const char *option(const struct config *c, const char *key)
{
	for (uint32_t i = 0; i < c->eal_count; i++)
		if (strcmp(c->eal[i].key, key) == 0)
			return c->eal[i].value;
	return NULL;
}

void eal_file_prefix(const struct config *c, char *out, size_t out_len)
{
	const char *given = option(c, "file-prefix");

	if (given != NULL) {
		snprintf(out, out_len, "%s", given);
		return;
	}
	snprintf(out, out_len, "fastpath-%s", c->engine_id);
	for (char *p = out; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_' && *p != '.')
			*p = '_';
}

static bool looks_like_pci(const char *device)
{
	return isxdigit((unsigned char)device[0]) && strchr(device, ':') != NULL;
}

static void add_devices(struct args *a, const struct config *c)
{
	uint32_t pci = 0;

	for (uint32_t i = 0; c->enable && i < c->port_count; i++)
		if (looks_like_pci(c->port[i].device)) {
			add(a, "--allow=%s", c->port[i].device);
			pci++;
		}
	if (pci > 0 || option(c, "allow") != NULL)
		return;
	/* an EAL left alone takes every PCI device that it can drive */
	if (option(c, "no-pci") == NULL)
		add(a, "--no-pci");
	/* physical addresses are of no use then, and without privileges no memory could be added later */
	if (option(c, "iova-mode") == NULL)
		add(a, "--iova-mode=va");
}

static void add_memory(struct args *a, const struct config *c, const struct memory_plan *m)
{
	if (m->huge) {
		if (option(c, "huge-dir") == NULL)
			add(a, "--huge-dir=%s", m->huge_dir);
		return;
	}
	if (option(c, "no-huge") == NULL)
		add(a, "--no-huge");
	if (option(c, "m") == NULL)
		add(a, "-m%zu", (m->eal_bytes + MIB - 1) / MIB);
}

int eal_start(const struct config *c, const struct memory_plan *m, const struct options *o,
              const char *lcores, uint32_t main_lcore, char err[CONFIG_ERROR_MAX])
{
	static struct args a;
	char prefix[128];

	eal_file_prefix(c, prefix, sizeof(prefix));
	add(&a, "fastpath");
	add(&a, "--lcores=%s", lcores);
	add(&a, "--main-lcore=%u", main_lcore);
	if (option(c, "file-prefix") == NULL)
		add(&a, "--file-prefix=%s", prefix);
	/* it warns at every start that a socket of older releases is not made */
	add(&a, "--log-level=lib.telemetry:error");
	add_devices(&a, c);
	add_memory(&a, c, m);
	for (uint32_t i = 0; i < c->eal_count; i++) {
		const struct config_eal_option *e = &c->eal[i];
		const char *dashes = e->key[1] == '\0' ? "-" : "--";

		if (e->value[0] == '\0')
			add(&a, "%s%s", dashes, e->key);
		else
			add(&a, "%s%s%s%s", dashes, e->key, e->key[1] == '\0' ? "" : "=", e->value);
	}
	for (int i = 0; i < o->eal_argc; i++)
		add(&a, "%s", o->eal_argv[i]);
	if (rte_eal_init(a.argc, a.argv) < 0) {
		snprintf(err, CONFIG_ERROR_MAX,
		         "rte_eal_init: %s (LOG_LEVEL=debug shows what EAL says)",
		         rte_strerror(rte_errno));
		return rte_errno != 0 ? -rte_errno : -EIO;
	}
	return 0;
}
