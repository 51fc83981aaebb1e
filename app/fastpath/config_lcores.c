/* SPDX-License-Identifier: Apache-2.0 */
/* Which lcores there are, on which CPUs. */
#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"

#define LCORES_MAX (CONFIG_LCORES_MAX * 4)
#define CPUS_MAX   CPU_SETSIZE
#define NODES_MAX  64

static int fail(char err[CONFIG_ERROR_MAX], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static int fail(char err[CONFIG_ERROR_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, CONFIG_ERROR_MAX, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static void append_cpu(uint32_t *cpu, uint32_t *count, cpu_set_t *left, uint32_t id)
{
	if (!CPU_ISSET(id, left) || *count == CPUS_MAX)
		return;
	CPU_CLR(id, left);
	cpu[(*count)++] = id;
}

/* CPUs that this process may use: those of one NUMA node together, then any that no node names */
static uint32_t usable_cpus(uint32_t cpu[CPUS_MAX])
{
	cpu_set_t left;
	uint32_t count = 0;

	CPU_ZERO(&left);
	if (sched_getaffinity(0, sizeof(left), &left) < 0)
		return 0;
	for (uint32_t node = 0; node < NODES_MAX; node++) {
		uint32_t id[CPUS_MAX];
		char path[64], list[4096];
		FILE *f;
		int n;

		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/cpulist", node);
		f = fopen(path, "re");
		if (f == NULL)
			continue;
		list[0] = '\0';
		if (fgets(list, sizeof(list), f) != NULL)
			list[strcspn(list, "\n")] = '\0';
		fclose(f);
		n = config_parse_ids(list, id, CPUS_MAX, CPUS_MAX - 1);
		for (int i = 0; i < n; i++)
			append_cpu(cpu, &count, &left, id[i]);
	}
	for (uint32_t id = 0; id < CPUS_MAX; id++)
		append_cpu(cpu, &count, &left, id);
	return count;
}

static const char *list_numbers(char *out, size_t len, const uint32_t *number, uint32_t count)
{
	size_t n = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < count && n < len; i++)
		n += (size_t)snprintf(out + n, len - n, "%s%u", i == 0 ? "" : ",", number[i]);
	return out;
}

static int add_lcore(struct config_lcore *lcore, uint32_t *count, uint32_t id, uint32_t cpu)
{
	for (uint32_t i = 0; i < *count; i++)
		if (lcore[i].id == id)
			return -1;
	if (*count == LCORES_MAX || id >= LCORES_MAX)
		return -1;
	lcore[*count].id = id;
	lcore[(*count)++].cpu = cpu;
	return 0;
}

/* one item: 1 or 1-3 (lcore and CPU have one number), or 2@1 */
static int parse_item(const char *text, struct config_lcore *lcore, uint32_t *count)
{
	const char *at = strchr(text, '@');
	uint32_t id[LCORES_MAX], cpu;
	char left[16];
	int n;

	if (at != NULL) {
		if ((size_t)(at - text) >= sizeof(left) ||
		    config_parse_ids(at + 1, &cpu, 1, CPUS_MAX - 1) != 1)
			return -1;
		snprintf(left, sizeof(left), "%.*s", (int)(at - text), text);
		n = config_parse_ids(left, id, 1, LCORES_MAX - 1);
		return n == 1 ? add_lcore(lcore, count, id[0], cpu) : -1;
	}
	n = config_parse_ids(text, id, LCORES_MAX, LCORES_MAX - 1);
	for (int i = 0; i < n; i++)
		if (add_lcore(lcore, count, id[i], id[i]) < 0)
			return -1;
	return n < 0 ? -1 : 0;
}

static int by_id(const void *a, const void *b)
{
	const struct config_lcore *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int explicit_lcores(const struct config *c, const uint32_t *cpu, uint32_t cpus,
                           struct config_lcore *lcore, uint32_t *count, char err[CONFIG_ERROR_MAX])
{
	char copy[sizeof(c->lcores)], list[128];
	char *save = NULL;

	strcpy(copy, c->lcores);
	if (copy[0] == ',' || copy[strlen(copy) - 1] == ',' || strstr(copy, ",,") != NULL)
		copy[0] = '?';
	for (char *s = strtok_r(copy, ",", &save); s != NULL; s = strtok_r(NULL, ",", &save))
		if (parse_item(s + strspn(s, " "), lcore, count) < 0)
			return fail(err,
			            "eal.lcores: %.200s is not auto or a list of different lcores "
			            "below %d such as 0@0,1@1,2@1 or 0-3",
			            c->lcores, LCORES_MAX);
	for (uint32_t i = 0; i < *count; i++) {
		bool usable = false;

		for (uint32_t j = 0; j < cpus; j++)
			usable |= cpu[j] == lcore[i].cpu;
		if (!usable)
			return fail(
			    err,
			    "eal.lcores: lcore %u: CPU %u does not exist or may not be used; "
			    "there are %s",
			    lcore[i].id, lcore[i].cpu, list_numbers(list, sizeof(list), cpu, cpus));
	}
	qsort(lcore, *count, sizeof(*lcore), by_id);
	return 0;
}

static int check_list(const char *key, const uint32_t *id, uint32_t n,
                      const struct config_lcore *lcore, uint32_t count, char err[CONFIG_ERROR_MAX])
{
	uint32_t known[LCORES_MAX];
	char list[256];

	for (uint32_t i = 0; i < count; i++)
		known[i] = lcore[i].id;
	for (uint32_t i = 0; i < n; i++) {
		bool found = false;

		if (id[i] == lcore[0].id)
			return fail(
			    err,
			    "dataplane.%s: lcore %u is the main lcore, which serves HTTP; use "
			    "one of %s",
			    key, id[i], list_numbers(list, sizeof(list), known + 1, count - 1));
		for (uint32_t j = 1; j < count; j++)
			found |= lcore[j].id == id[i];
		if (!found)
			return fail(
			    err,
			    "dataplane.%s: lcore %u does not exist; there are %s (eal.lcores "
			    "can put several on one CPU)",
			    key, id[i], list_numbers(list, sizeof(list), known + 1, count - 1));
	}
	return 0;
}

int config_lcores(const struct config *c, struct config_lcore lcore[CONFIG_LCORES_MAX * 4],
                  uint32_t *count, char *out, size_t out_len, char err[CONFIG_ERROR_MAX])
{
	uint32_t cpu[CPUS_MAX];
	uint32_t cpus = usable_cpus(cpu);
	size_t n = 0;

	*count = 0;
	if (cpus == 0)
		return fail(err, "eal.lcores: the CPUs of this process cannot be read");
	if (strcmp(c->lcores, "auto") == 0) {
		for (uint32_t i = 0; i < cpus && i < LCORES_MAX; i++)
			add_lcore(lcore, count, i, cpu[i]);
		if (*count == 1)
			add_lcore(lcore, count, 1, cpu[0]);
	} else if (explicit_lcores(c, cpu, cpus, lcore, count, err) < 0) {
		return -EINVAL;
	}
	if (*count < 2)
		return fail(
		    err,
		    "eal.lcores: %.200s is one lcore; a second one has to do the work, such as "
		    "0@0,1@0",
		    c->lcores);
	if (check_list("worker_lcores", c->worker_lcore, c->worker_lcore_count, lcore, *count,
	               err) < 0)
		return -EINVAL;
	if (c->enable &&
	    check_list("rx_lcores", c->rx_lcore, c->rx_lcore_count, lcore, *count, err) < 0)
		return -EINVAL;
	for (uint32_t i = 0; i < *count; i++) {
		n += (size_t)snprintf(out + n, n < out_len ? out_len - n : 0, "%s%u@%u",
		                      i == 0 ? "" : ",", lcore[i].id, lcore[i].cpu);
		if (n >= out_len)
			return fail(err, "eal.lcores: the list is longer than %zu bytes", out_len);
	}
	return 0;
}
