/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env:NAME and file:PATH in the file: values that whoever starts the appliance knows, such as a pod's devices
 * and addresses. https://github.com/k8snetworkplumbingwg/multi-net-spec has the network-status annotation.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_internal.h"

#define FILE_BYTES_MAX (64u << 10)

/* one reference, taken apart: env:NAME[WHICH]? */
struct parts {
	const char *text; /* as written */
	bool file, optional;
	char name[200];  /* of the variable, or the file's path */
	char which[200]; /* "" when there is none */
};

/* "variable A" or "/etc/podinfo/a", for messages */
static const char *source(const struct parts *r)
{
	static char text[sizeof(r->name) + 16];

	snprintf(text, sizeof(text), "%s%s", r->file ? "" : "variable ", r->name);
	return text;
}

/* false: it is none */
static bool take_apart(const struct config_reference *ref, bool address, struct parts *r)
{
	char copy[sizeof(ref->text)];
	size_t len = strlen(ref->text);
	char *bracket;

	memset(r, 0, sizeof(*r));
	r->text = ref->text;
	r->file = strncmp(ref->text, "file:", 5) == 0;
	strcpy(copy, strchr(ref->text, ':') + 1);
	len = strlen(copy);
	r->optional = len > 0 && copy[len - 1] == '?';
	if (r->optional)
		copy[--len] = '\0';
	bracket = strchr(copy, '[');
	if (bracket != NULL) {
		if (copy[len - 1] != ']' || len < (size_t)(bracket - copy) + 3)
			return false;
		copy[len - 1] = '\0';
		*bracket = '\0';
		strcpy(r->which, bracket + 1);
	}
	strcpy(r->name, copy);
	if (!address &&
	    (r->file || r->optional || r->which[strspn(r->which, "0123456789")] != '\0'))
		return false;
	return r->name[0] != '\0' &&
	       (r->file || r->name[strspn(r->name, CONFIG_NAME_CHARACTERS)] == '\0');
}

/* What it refers to holds nothing: an error, or a warning when that was to be expected. 0 or -EINVAL. */
static int nothing(struct config_parse *p, const struct parts *r, const char *why)
{
	if (!r->optional)
		return config_fail(p, "%s%s", source(r), why);
	config_warn(p->c, "port %s: %s gives no address: %s%s", p->section_name, r->text, source(r),
	            why);
	return 0;
}

/* all of a regular file, nothing that could block; < 0: -errno */
static ssize_t read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		n = -EINVAL;
	else if (st.st_size > (off_t)size)
		n = -EFBIG;
	else
		n = read(fd, text, size);
	if (n < 0 && n != -EINVAL && n != -EFBIG)
		n = -errno;
	close(fd);
	return n;
}

/* the file's text without blanks at its end, to be freed; NULL: none, or errno is set */
static char *read_text(const char *path)
{
	char *text = malloc(FILE_BYTES_MAX + 1);
	ssize_t len = text != NULL ? read_file(path, text, FILE_BYTES_MAX) : -ENOMEM;

	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	errno = len < 0 ? (int)-len : 0;
	if (len > 0) {
		text[len] = '\0';
		return text;
	}
	free(text);
	return NULL;
}

/* the text that it refers to, to be freed; NULL: p->rc says whether that is an error */
static char *fetch(struct config_parse *p, const struct parts *r)
{
	const char *value = r->file ? NULL : config_environ(p->environ_, r->name);
	char *text = value != NULL ? strdup(value) : r->file ? read_text(r->name) : NULL;
	char why[128];

	if (text != NULL)
		return text;
	if (value != NULL)
		config_fail(p, "no memory for a value");
	else if (!r->file)
		nothing(p, r, " is not set");
	else if (errno == 0)
		nothing(p, r, " is empty");
	else if (errno == EINVAL)
		config_fail(p, "%s is no file", r->name);
	else if (snprintf(why, sizeof(why), ": %s", strerror(errno)) > 0)
		nothing(p, r, why);
	return NULL;
}

/* ---- lists ---- */

/* The i-th of a comma list instead of all of it, in place; false: there is no such one. */
static bool keep_item(char *list, unsigned long index)
{
	const char *item = list;
	size_t len;

	for (; index > 0; index--) {
		item = strchr(item, ',');
		if (item == NULL)
			return false;
		item++;
	}
	item += strspn(item, " ");
	len = strcspn(item, ",");
	while (len > 0 && isspace((unsigned char)item[len - 1]))
		len--;
	memmove(list, item, len);
	list[len] = '\0';
	return len > 0;
}

/* What Kubernetes says of a pod has no prefix: it is the address alone then. */
static bool parse_learnt(struct config_address *a, const char *text)
{
	char address[64];

	snprintf(address, sizeof(address), "%s%s", text,
	         strchr(text, '/') != NULL   ? ""
	         : strchr(text, ':') != NULL ? "/128"
	                                     : "/32");
	return config_parse_interface_address(a, address) == 0;
}

static int take_addresses(struct config_parse *p, const struct config_key_info *k,
                          struct config_port *port, char *list)
{
	char *save = NULL;

	for (char *s = strtok_r(list, ", \t\r\n", &save); s;
	     s = strtok_r(NULL, ", \t\r\n", &save)) {
		if (port->address_count == CONFIG_ADDRESSES_MAX)
			return config_fail(p, "a port has at most %d addresses",
			                   CONFIG_ADDRESSES_MAX);
		/* as one in the file, it says what is allowed */
		if (!parse_learnt(&port->address[port->address_count], s))
			return k->parse(p, k, port, s);
		port->address_count++;
	}
	return 0;
}

/* a list of the key's own values */
static int take_list(struct config_parse *p, const struct config_key_info *k,
                     struct config_port *port, const struct parts *r, char *value)
{
	char *end;
	unsigned long index = isdigit((unsigned char)r->which[0]) ? strtoul(r->which, &end, 10) : 0;
	bool address = strcmp(k->key, "address") == 0;
	char whole[128];

	if (r->which[0] != '\0' && (!isdigit((unsigned char)r->which[0]) || *end != '\0'))
		return config_fail(p, "%s: %s holds a list: [%s] is no number that begins at 0",
		                   r->text, source(r), r->which);
	snprintf(whole, sizeof(whole), "%.120s", value);
	if (r->which[0] != '\0' && !keep_item(value, index))
		return config_fail(p, "%s has no item %lu: %s", source(r), index, whole);
	if (strlen(value) >= sizeof(port->device))
		return config_fail(p, "%s is longer than %zu bytes", source(r),
		                   sizeof(port->device) - 1);
	if (strstr(value, "env:") != NULL || (address && strstr(value, "file:") != NULL))
		return config_fail(p, "%s stands for another reference, %s", r->text, value);
	return address ? take_addresses(p, k, port, value) : k->parse(p, k, port, value);
}

/* ---- network-status ---- */

static const char *member(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));

	return text != NULL ? text : "";
}

static const char *pci_address(const json_t *network)
{
	const json_t *info = json_object_get(network, "device-info");

	return member(json_object_get(info, "pci"), "pci-address");
}

/* the PCI address that `device` gives, without arguments and with its domain; "" when it is none */
static void pci_of(const char *device, char out[16])
{
	size_t len = strcspn(device, ",");
	unsigned domain = 0, bus, slot, function;
	int full = 0, brief = 0;

	out[0] = '\0';
	if ((sscanf(device, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &full) == 4 &&
	     (size_t)full == len) ||
	    (sscanf(device, "%2x:%2x.%1x%n", &bus, &slot, &function, &brief) == 3 &&
	     (size_t)brief == len))
		snprintf(out, 16, "%04x:%02x:%02x.%x",
		         full != 0 && (size_t)full == len ? domain & 0xffff : 0, bus & 0xff,
		         slot & 0xff, function & 0xf);
}

/* hft-system/hft-nic0 is called hft-nic0 too */
static bool is_called(const json_t *network, const char *which)
{
	const char *name = member(network, "name");
	const char *slash = strchr(name, '/');

	return strcmp(name, which) == 0 || (slash != NULL && strcmp(slash + 1, which) == 0) ||
	       (which[0] != '\0' && strcmp(pci_address(network), which) == 0);
}

/* "hft-system/hft-nic0 (0000:3b:02.1), cbr0" */
static void list_networks(const json_t *networks, char *out, size_t size)
{
	size_t n = 0, i;
	const json_t *one;

	out[0] = '\0';
	json_array_foreach (networks, i, one) {
		const char *pci = pci_address(one);

		if (n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%s%s%s%s", i == 0 ? "" : ", ",
			                      member(one, "name"), pci[0] != '\0' ? " (" : "", pci,
			                      pci[0] != '\0' ? ")" : "");
	}
}

/* the one network that is meant; NULL: p->rc says whether that is an error */
static const json_t *find_network(struct config_parse *p, const struct config_port *port,
                                  const struct parts *r, const json_t *networks)
{
	char which[sizeof(r->which)], known[256], why[sizeof(known) + sizeof(which) + 64];
	const json_t *one, *found = NULL;
	uint32_t count = 0;
	size_t i;

	strcpy(which, r->which);
	if (which[0] == '\0')
		pci_of(port->device, which);
	if (which[0] == '\0') {
		config_fail(p,
		            "%s: device %.100s is no PCI address: name the network, %.*s[NETWORK]",
		            r->text, port->device, (int)strcspn(r->text, "?"), r->text);
		return NULL;
	}
	json_array_foreach (networks, i, one) {
		if (!is_called(one, which))
			continue;
		found = one;
		count++;
	}
	if (count == 1)
		return found;
	list_networks(networks, known, sizeof(known));
	if (count > 1) {
		config_fail(p, "%s has %u networks %s: name one by its PCI address; there are %s",
		            source(r), count, which, known);
		return NULL;
	}
	snprintf(why, sizeof(why), " has no network %s; there are %s", which,
	         known[0] != '\0' ? known : "none");
	nothing(p, r, why);
	return NULL;
}

/* one of `ips` */
static int add_address(struct config_parse *p, struct config_port *port, const struct parts *r,
                       const json_t *network, const json_t *ip)
{
	const char *text = json_string_value(ip);

	if (port->address_count == CONFIG_ADDRESSES_MAX)
		return config_fail(p, "a port has at most %d addresses", CONFIG_ADDRESSES_MAX);
	if (!parse_learnt(&port->address[port->address_count], text != NULL ? text : ""))
		return config_fail(p, "%s: network %s has %.60s, which is no unicast address",
		                   source(r), member(network, "name"),
		                   text != NULL ? text : "no string");
	port->address_count++;
	return 0;
}

static int take_network(struct config_parse *p, struct config_port *port, const struct parts *r,
                        const json_t *networks)
{
	const json_t *network = find_network(p, port, r, networks);
	const json_t *ips = json_object_get(network, "ips"), *ip;
	char why[256];
	size_t i;

	if (network == NULL)
		return p->rc;
	if (json_array_size(ips) == 0) {
		snprintf(why, sizeof(why), ": network %s has no address: does its ipam give any?",
		         member(network, "name"));
		return nothing(p, r, why);
	}
	json_array_foreach (ips, i, ip) {
		if (add_address(p, port, r, network, ip) < 0)
			return p->rc;
	}
	return 0;
}

static int take_network_status(struct config_parse *p, struct config_port *port,
                               const struct parts *r, const char *text)
{
	json_error_t error;
	json_t *networks = json_loads(text, JSON_REJECT_DUPLICATES, &error);

	if (networks == NULL)
		config_fail(p, "%s is no network-status: line %d, column %d: %s", source(r),
		            error.line, error.column, error.text);
	else
		take_network(p, port, r, networks);
	json_decref(networks);
	return p->rc;
}

/* ---- all of them ---- */

static int resolve(struct config_parse *p, const struct config_reference *ref)
{
	struct config_port *port = &p->c->port[ref->port];
	bool address = strcmp(ref->key->key, "address") == 0;
	struct parts r;
	char *text;

	p->key = ref->key;
	p->line = ref->line;
	strcpy(p->section_name, port->name);
	if (!take_apart(ref, address, &r))
		return config_fail(p, "%s is not %s", ref->text,
		                   address
		                       ? "env:NAME, env:NAME[WHICH], file:PATH or file:PATH[WHICH]"
		                       : "env:NAME or env:NAME[i]");
	text = fetch(p, &r);
	if (text == NULL)
		return p->rc;
	if (address && text[strspn(text, " \t\r\n")] == '[')
		take_network_status(p, port, &r, text);
	else
		take_list(p, ref->key, port, &r, text);
	free(text);
	return p->rc;
}

int config_resolve(struct config_parse *p)
{
	/* devices first: a network may be found by its device */
	for (int address = 0; address < 2; address++)
		for (uint32_t i = 0; i < p->reference_count; i++)
			if ((strcmp(p->reference[i].key->key, "address") == 0) == address &&
			    resolve(p, &p->reference[i]) < 0)
				return p->rc;
	return 0;
}
