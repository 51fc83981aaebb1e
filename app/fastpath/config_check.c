/* SPDX-License-Identifier: Apache-2.0 */
/* What holds between keys, sections and the environment. */
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"

/* the place where a key was set, for config_fail; the section's name is given for named ones */
static void go_to(struct config_parse *p, const char *section, const char *key)
{
	const struct config_key_info *k = config_find(section, key);
	uint32_t seen = p->seen[k - config_keys];

	p->key = k;
	p->line = seen;
	p->section_name[0] = '\0';
	p->variable = seen == UINT32_MAX ? k->variable : NULL;
}

static void go_to_section(struct config_parse *p, uint32_t line)
{
	p->key = NULL;
	p->variable = NULL;
	p->line = line;
}

static int find_port(struct config_parse *p, uint32_t feed)
{
	struct config *c = p->c;
	const char *name = p->feed_port[feed];

	go_to_section(p, p->feed_line[feed]);
	if (name[0] == '\0')
		return config_fail(p, "[feed %s] has no port: give it the name of a port",
		                   c->feed[feed].name);
	for (uint32_t i = 0; i < c->port_count; i++) {
		if (strcmp(c->port[i].name, name) == 0) {
			c->feed[feed].port = i;
			return 0;
		}
	}
	return config_fail(p, "[feed %s] names port %s, which has no section: add [port %s]",
	                   c->feed[feed].name, name, name);
}

static int check_group(struct config_parse *p, const struct config_feed *f)
{
	const struct config_port *port = &p->c->port[f->port];

	if (config_address_is_multicast(&f->group))
		return 0;
	for (uint32_t i = 0; i < port->address_count; i++) {
		struct config_address a = port->address[i];

		if (config_address_equal(&a, &f->group))
			return 0;
	}
	return config_fail(
	    p, "[feed %s] line_a is neither a multicast group nor an address of port %s", f->name,
	    port->name);
}

static int check_twins(struct config_parse *p, uint32_t index)
{
	const struct config_feed *f = &p->c->feed[index];

	for (uint32_t i = 0; i < index; i++) {
		const struct config_feed *g = &p->c->feed[i];

		if (f->port == g->port && f->vlan == g->vlan && f->udp_port == g->udp_port &&
		    config_address_equal(&f->group, &g->group))
			return config_fail(
			    p, "[feed %s] has the port, VLAN, group and UDP port of [feed %s]",
			    f->name, g->name);
	}
	return 0;
}

static int check_feeds(struct config_parse *p)
{
	struct config *c = p->c;
	bool used[CONFIG_PORTS_MAX] = {false};

	for (uint32_t i = 0; i < c->feed_count; i++) {
		if (find_port(p, i) < 0)
			return p->rc;
		used[c->feed[i].port] = true;
		/* addresses that stand in variables are known only when ports are opened */
		if ((c->enable || p->reference_count == 0) && check_group(p, &c->feed[i]) < 0)
			return p->rc;
		if (check_twins(p, i) < 0)
			return p->rc;
	}
	for (uint32_t i = 0; i < c->port_count; i++)
		if (!used[i])
			config_warn(c, "port %s carries no feed", c->port[i].name);
	return 0;
}

static int check_ports(struct config_parse *p)
{
	struct config *c = p->c;

	if (c->enable && c->port_count == 0) {
		go_to(p, "dataplane", "enable");
		return config_fail(
		    p, "1 needs a port: add a [port NAME] section to the configuration file");
	}
	if (c->enable && config_resolve(p) < 0)
		return p->rc;
	for (uint32_t i = 0; i < c->port_count; i++) {
		go_to_section(p, p->port_line[i]);
		for (uint32_t j = 0; j < i; j++)
			if (c->port[i].device[0] != '\0' &&
			    strcmp(c->port[i].device, c->port[j].device) == 0)
				return config_fail(p, "[port %s] has the device of [port %s]",
				                   c->port[i].name, c->port[j].name);
	}
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_keys(struct config_parse *p)
{
	struct config *c = p->c;
	const char **sorted = calloc(c->owned_key_count + 1, sizeof(*sorted));

	go_to(p, "ownership", "keys");
	if (sorted == NULL)
		return config_fail(p, "no memory for %u keys", c->owned_key_count);
	for (uint32_t i = 0; i < c->owned_key_count; i++)
		sorted[i] = c->owned_keys[i];
	qsort(sorted, c->owned_key_count, sizeof(*sorted), by_text);
	for (uint32_t i = 1; i < c->owned_key_count; i++)
		if (strcmp(sorted[i - 1], sorted[i]) == 0)
			config_fail(p, "key %s stands there twice", sorted[i]);
	free(sorted);
	return p->rc;
}

static int check_ownership(struct config_parse *p)
{
	struct config *c = p->c;

	if (check_keys(p) < 0)
		return p->rc;
	if (!config_was_set(p, "ownership", "mode"))
		c->ownership = config_was_set(p, "etcd", "endpoints") ? CONFIG_OWNERSHIP_ETCD
		               : c->owned_key_count > 0               ? CONFIG_OWNERSHIP_STATIC
		                                                      : CONFIG_OWNERSHIP_ALL;
	if (c->ownership == CONFIG_OWNERSHIP_ALL && c->owned_key_count > 0)
		config_warn(c, "ownership is all: the %u owned keys are not looked at",
		            c->owned_key_count);
	if (c->ownership == CONFIG_OWNERSHIP_STATIC && c->owned_key_count == 0) {
		go_to(p, "ownership", "mode");
		return config_fail(p, "static needs keys: set OWNED_KEYS");
	}
	return 0;
}

/* what goes together only */
static int check_pair(struct config_parse *p, const char *one, const char *other)
{
	bool first = config_was_set(p, "etcd", one), second = config_was_set(p, "etcd", other);

	if (first == second)
		return 0;
	go_to(p, "etcd", first ? one : other);
	return config_fail(p, "it needs etcd.%s too", first ? other : one);
}

static int check_etcd(struct config_parse *p)
{
	struct config *c = p->c;

	if (check_pair(p, "cert_file", "key_file") < 0 ||
	    check_pair(p, "user", "password_file") < 0)
		return p->rc;
	if (c->assign == CONFIG_ASSIGN_AUTO && c->ownership != CONFIG_OWNERSHIP_ETCD) {
		go_to(p, "ownership", "assign");
		return config_fail(p, "auto needs ownership.mode = etcd");
	}
	if (c->ownership != CONFIG_OWNERSHIP_ETCD) {
		if (config_was_set(p, "etcd", "endpoints"))
			config_warn(c, "ownership is %s: etcd is not asked",
			            c->ownership == CONFIG_OWNERSHIP_ALL ? "all" : "static");
		return 0;
	}
	if (c->etcd_password_file[0] == '\0')
		return 0;
	go_to(p, "etcd", "password_file");
	return config_read_secret(p, c->etcd_password_file, "password", c->etcd_password,
	                          sizeof(c->etcd_password));
}

static int check_token(struct config_parse *p)
{
	if (p->c->http_token_file[0] == '\0')
		return 0;
	go_to(p, "http", "token_file");
	return config_read_secret(p, p->c->http_token_file, "token", p->c->http_token,
	                          sizeof(p->c->http_token));
}

static int check_limits(struct config_parse *p, const char *degraded, const char *unhealthy)
{
	go_to(p, "health", config_was_set(p, "health", unhealthy) ? unhealthy : degraded);
	return config_fail(p, "%s is below %s", unhealthy, degraded);
}

static int check_health(struct config_parse *p)
{
	struct config *c = p->c;

	if (c->p99_unhealthy_us < c->p99_degraded_us)
		return check_limits(p, "p99_degraded_us", "p99_unhealthy_us");
	if (c->drops_unhealthy < c->drops_degraded)
		return check_limits(p, "drops_degraded", "drops_unhealthy");
	if (c->errors_unhealthy < c->errors_degraded)
		return check_limits(p, "errors_degraded", "errors_unhealthy");
	return 0;
}

static int check_kafka(struct config_parse *p)
{
	if (!p->c->kafka || p->c->store != CONFIG_STORE_MEMORY)
		return 0;
	go_to(p, "kafka", "enable");
	return config_fail(p, "1 needs a journal to read: set journal.store to disk");
}

int config_check(struct config_parse *p)
{
	if (check_ports(p) < 0 || check_feeds(p) < 0 || check_ownership(p) < 0 ||
	    check_etcd(p) < 0 || check_token(p) < 0 || check_health(p) < 0 || check_kafka(p) < 0)
		return p->rc;
	return 0;
}
