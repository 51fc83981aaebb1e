/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void doctor_add(struct doctor *d, const char *check, enum doctor_level level, const char *remedy,
                const char *found, ...)
{
	static const char *const names[] = {"ok", "warn", "fail"};
	char text[1024];
	va_list args;

	va_start(args, found);
	vsnprintf(text, sizeof(text), found, args);
	va_end(args);
	json_array_append_new(d->lines,
	                      json_pack("{ss ss ss# ss*}", "check", check, "status", names[level],
	                                "found", text, (int)strlen(text), "do", remedy));
	if (level > d->worst)
		d->worst = level;
}

static bool read_path(const char *path, char *out, size_t size)
{
	FILE *f = fopen(path, "re");
	bool good = f != NULL && fgets(out, (int)size, f) != NULL;

	if (f != NULL)
		fclose(f);
	if (!good)
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return good;
}

static bool make_path(char out[PATH_MAX], const char *root, const char *format, va_list args)
{
	int len = snprintf(out, PATH_MAX, "%s/", root);

	if (len < 0 || len >= PATH_MAX)
		return false;
	int more = vsnprintf(out + len, (size_t)(PATH_MAX - len), format, args);

	return more >= 0 && more < PATH_MAX - len;
}

bool doctor_read(const char *root, char *out, size_t size, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;

	out[0] = '\0';
	va_start(args, format);
	bool good = make_path(path, root, format, args);
	va_end(args);
	return good && read_path(path, out, size);
}

bool doctor_number(const char *root, uint64_t *out, const char *format, ...)
{
	char path[PATH_MAX], line[64], *end;
	va_list args;

	va_start(args, format);
	bool good = make_path(path, root, format, args);
	va_end(args);
	if (!good || !read_path(path, line, sizeof(line)))
		return false;
	if (strcmp(line, "max") == 0) {
		*out = UINT64_MAX;
		return true;
	}
	errno = 0;
	*out = strtoull(line, &end, 10);
	return isdigit((unsigned char)line[0]) && *end == '\0' && errno == 0;
}

/* our path in the hierarchy of v2 (controller "") or of a v1 controller */
static bool cgroup_path(const struct doctor *d, const char *controller, char out[PATH_MAX])
{
	char path[PATH_MAX], line[PATH_MAX];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%.4000s/self/cgroup", d->proc);
	if ((f = fopen(path, "re")) == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), f) != NULL) {
		char *names = strchr(line, ':'), *at = names ? strchr(names + 1, ':') : NULL;

		line[strcspn(line, "\n")] = '\0';
		if (at == NULL)
			continue;
		*at++ = '\0';
		names++;
		/* cpu,cpuacct is one hierarchy of both */
		for (char *save = NULL, *s = strtok_r(names, ",", &save); s && !found;
		     s = strtok_r(NULL, ",", &save))
			found = strcmp(s, controller) == 0;
		found = found || (controller[0] == '\0' && names[0] == '\0');
		if (found)
			snprintf(out, PATH_MAX, "%s", strcmp(at, "/") == 0 ? "" : at);
	}
	fclose(f);
	return found;
}

static const char *readable(char out[PATH_MAX], const char *sys, const char *folder,
                            const char *group, const char *file)
{
	snprintf(out, PATH_MAX, "%.1000s/fs/cgroup%s%.1500s/%s", sys, folder, group, file);
	return access(out, R_OK) == 0 ? out : NULL;
}

static const char *cgroup_file(const struct doctor *d, const char *controller, const char *v2,
                               const char *v1, char out[PATH_MAX])
{
	char group[PATH_MAX], folder[64];

	/* a container sees its own group as the root, whatever the path says */
	if (cgroup_path(d, "", group) &&
	    (readable(out, d->sys, "", group, v2) || readable(out, d->sys, "", "", v2)))
		return out;
	snprintf(folder, sizeof(folder), "/%.60s", controller);
	if (cgroup_path(d, controller, group) &&
	    (readable(out, d->sys, folder, group, v1) || readable(out, d->sys, folder, "", v1)))
		return out;
	return NULL;
}

bool doctor_cgroup_number(const struct doctor *d, const char *controller, const char *v2,
                          const char *v1, const char *key, uint64_t *out)
{
	char path[PATH_MAX], line[256];
	size_t len = key != NULL ? strlen(key) : 0;
	bool found = false;
	FILE *f;

	if (!cgroup_file(d, controller, v2, v1, path) || (f = fopen(path, "re")) == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), f) != NULL)
		found = key == NULL || (strncmp(line, key, len) == 0 && line[len] == ' ');
	fclose(f);
	if (!found)
		return false;
	const char *value = key != NULL ? line + len + 1 : line;

	*out = strncmp(value, "max", 3) == 0 || value[0] == '-' ? UINT64_MAX
	                                                        : strtoull(value, NULL, 10);
	return true;
}

bool doctor_list_has(const char *list, uint32_t number)
{
	for (const char *s = list; isdigit((unsigned char)*s);) {
		char *end;
		unsigned long from = strtoul(s, &end, 10), to = from;

		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		if (number >= from && number <= to)
			return true;
		s = *end == ',' ? end + 1 : end;
	}
	return false;
}

bool doctor_pci_address(const struct config_port *port, char out[32])
{
	unsigned int domain = 0, bus, device, function;

	if (sscanf(port->device, "%4x:%2x:%2x.%1x", &domain, &bus, &device, &function) != 4) {
		domain = 0;
		if (sscanf(port->device, "%2x:%2x.%1x", &bus, &device, &function) != 3)
			return false;
	}
	snprintf(out, 32, "%04x:%02x:%02x.%x", domain, bus, device, function);
	return true;
}

bool doctor_has_pci(const struct doctor *d)
{
	char address[32];

	for (uint32_t i = 0; d->config->enable && i < d->config->port_count; i++)
		if (doctor_pci_address(&d->config->port[i], address))
			return true;
	return false;
}
