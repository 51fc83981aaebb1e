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

/* what is being made of eal.lcores */
struct list {
	struct config_lcore *lcore;
	uint32_t *count;
	const uint32_t *usable;
	uint32_t usable_count;
	char *out; /* EAL's argument */
	size_t len, max;
	char *err;
};

static int usable(struct list *l, uint32_t lcore, uint32_t cpu)
{
	char list[128];

	for (uint32_t i = 0; i < l->usable_count; i++)
		if (l->usable[i] == cpu)
			return 0;
	return fail(l->err,
	            "eal.lcores: lcore %u: CPU %u does not exist or may not be used; there are %s",
	            lcore, cpu, list_numbers(list, sizeof(list), l->usable, l->usable_count));
}

/* lcore id on one of several CPUs; -1: a duplicate, or too many */
static int add_lcore(struct list *l, uint32_t id, const uint32_t *cpu, uint32_t cpus)
{
	char on[256];

	for (uint32_t i = 0; i < *l->count; i++)
		if (l->lcore[i].id == id)
			return -1;
	for (uint32_t i = 0; i < cpus; i++)
		if (usable(l, id, cpu[i]) < 0)
			return -1;
	list_numbers(on, sizeof(on), cpu, cpus);
	l->len += (size_t)snprintf(l->out + l->len, l->max - l->len, "%s%u@%s%s%s",
	                           *l->count == 0 ? "" : ",", id, cpus > 1 ? "(" : "", on,
	                           cpus > 1 ? ")" : "");
	if (l->len >= l->max || *l->count == LCORES_MAX)
		return fail(l->err, "eal.lcores: the list is longer than %zu bytes", l->max);
	l->lcore[*l->count].id = id;
	l->lcore[*l->count].cpu = cpu[*l->count % cpus];
	(*l->count)++;
	return 0;
}

/* 1, 1-3 or (1,3-5); -1 when it is none. *grouped: in parentheses */
static int parse_set(const char *text, size_t len, uint32_t id[LCORES_MAX], uint32_t highest,
                     bool *grouped)
{
	char copy[256];

	*grouped = len > 2 && text[0] == '(' && text[len - 1] == ')';
	if (len >= sizeof(copy))
		return -1;
	snprintf(copy, sizeof(copy), "%.*s", (int)(len - (*grouped ? 2 : 0)), text + *grouped);
	return config_parse_ids(copy, id, LCORES_MAX, highest);
}

/* EAL's lcore_set[@cpu_set]: without the second, 1-3 are one to one, (1-3) share */
static int parse_item(struct list *l, const char *text, size_t len)
{
	const char *at = memchr(text, '@', len);
	size_t left = at == NULL ? len : (size_t)(at - text);
	uint32_t id[LCORES_MAX], cpu[LCORES_MAX];
	bool grouped, cpus_grouped;
	int n = parse_set(text, left, id, LCORES_MAX - 1, &grouped), cpus;

	if (at == NULL) {
		cpus = parse_set(text, left, cpu, CPUS_MAX - 1, &cpus_grouped);
	} else {
		cpus = parse_set(at + 1, len - left - 1, cpu, CPUS_MAX - 1, &cpus_grouped);
		/* a range here would mean something else in every reader's eyes */
		if ((n > 1 && !grouped) || (cpus > 1 && !cpus_grouped))
			return -1;
	}
	if (n < 0 || cpus < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		bool own = at == NULL && !grouped;

		if (add_lcore(l, id[i], own ? &cpu[i] : cpu, own ? 1 : (uint32_t)cpus) < 0)
			return -1;
	}
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct config_lcore *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* bytes up to a comma outside of parentheses */
static size_t item_length(const char *s)
{
	size_t len = 0;

	for (int depth = 0; s[len] != '\0' && (depth > 0 || s[len] != ','); len++)
		depth += (s[len] == '(') - (s[len] == ')');
	return len;
}

static int explicit_lcores(const struct config *c, struct list *l)
{
	const char *s = c->lcores;

	l->err[0] = '\0';
	for (;;) {
		s += strspn(s, " ");
		size_t len = item_length(s);

		if (parse_item(l, s, len) < 0 && l->err[0] == '\0')
			return fail(
			    l->err,
			    "eal.lcores: %.200s is not auto or a list of different lcores below "
			    "%d such as 0@0,1@1,2@1 or 0-3",
			    c->lcores, LCORES_MAX);
		if (l->err[0] != '\0')
			return -EINVAL;
		s += len;
		if (*s == '\0')
			break;
		s++;
	}
	qsort(l->lcore, *l->count, sizeof(*l->lcore), by_id);
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

static int auto_lcores(struct list *l)
{
	uint32_t n = l->usable_count < LCORES_MAX ? l->usable_count : LCORES_MAX;

	for (uint32_t i = 0; i < n; i++)
		if (add_lcore(l, i, &l->usable[i], 1) < 0)
			return -EINVAL;
	return n == 1 ? add_lcore(l, 1, &l->usable[0], 1) : 0;
}

int config_lcores(const struct config *c, struct config_lcore lcore[CONFIG_LCORES_MAX * 4],
                  uint32_t *count, char *out, size_t out_len, char err[CONFIG_ERROR_MAX])
{
	uint32_t cpu[CPUS_MAX];
	struct list l = {
	    .lcore = lcore, .count = count, .usable = cpu, .out = out, .max = out_len, .err = err};

	*count = 0;
	l.usable_count = usable_cpus(cpu);
	if (l.usable_count == 0)
		return fail(err, "eal.lcores: the CPUs of this process cannot be read");
	if ((strcmp(c->lcores, "auto") == 0 ? auto_lcores(&l) : explicit_lcores(c, &l)) < 0)
		return -EINVAL;
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
	return 0;
}
