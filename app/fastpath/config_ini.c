/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The INI file, read by libinih. That library cuts lines at 200 bytes, takes an indented line for
 * more of the value above, lets text follow a section's header, keeps silent about a section
 * without keys and merges sections of one name; so every line is looked at before it gets it.
 */
#include <ctype.h>
#include <ini.h>
#include <string.h>

#include "config_internal.h"

/* the sections; those with a name may stand several times */
static const struct {
	const char *name;
	bool named;
} sections[] = {
    {"engine", false}, {"eal", false},       {"dataplane", false}, {"port", true},
    {"feed", true},    {"ownership", false}, {"journal", false},   {"http", false},
    {"health", false}, {"log", false},       {"kafka", false},     {"etcd", false},
};
#define SECTION_COUNT (sizeof(sections) / sizeof(sections[0]))

const struct config_key_info *config_find(const char *section, const char *key)
{
	const struct config_key_info *any = NULL;

	for (uint32_t i = 0; i < config_key_count; i++) {
		if (strcmp(config_keys[i].section, section) != 0)
			continue;
		if (config_keys[i].flags & CONFIG_KEY_ANY)
			any = &config_keys[i];
		else if (strcmp(config_keys[i].key, key) == 0)
			return &config_keys[i];
	}
	return any;
}

static int feed_end(struct config_parse *p, const struct config_feed *f)
{
	bool fixed = f->codec == CONFIG_CODEC_FIXED;

	if (fixed && f->key_len == 0)
		return config_fail(p, "[feed %s] has no key: codec = fixed needs one", f->name);
	if (!fixed && f->key_len != 0)
		return config_fail(p, "[feed %s] has a key, which only codec = fixed takes",
		                   f->name);
	if (f->codec != CONFIG_CODEC_JSON && config_was_set(p, "feed", "key_field"))
		return config_fail(p, "[feed %s] has a key_field, which only codec = json takes",
		                   f->name);
	return 0;
}

/* the end of a section: what it must have */
static int section_end(struct config_parse *p)
{
	uint32_t line = p->line;
	int rc = 0;

	if (p->base == NULL || p->base == (void *)p->c)
		return 0;
	p->line = strcmp(p->section, "port") == 0 ? p->port_line[p->c->port_count - 1]
	                                          : p->feed_line[p->c->feed_count - 1];
	p->key = NULL;
	if (strcmp(p->section, "feed") == 0)
		rc = feed_end(p, p->base);
	for (uint32_t i = 0; i < config_key_count && rc == 0; i++) {
		const struct config_key_info *k = &config_keys[i];
		char allowed[256];

		if (strcmp(k->section, p->section) != 0 || (k->flags & CONFIG_KEY_REQUIRED) == 0 ||
		    p->seen[i] != 0)
			continue;
		config_key_allowed(k, allowed, sizeof(allowed));
		rc = config_fail(p, "[%s %s] has no %s: give it %s", p->section, p->section_name,
		                 k->key, allowed);
	}
	p->line = line;
	return rc;
}

static int name_taken(struct config_parse *p, bool port)
{
	uint32_t count = port ? p->c->port_count : p->c->feed_count;

	for (uint32_t i = 0; i < count; i++)
		if (strcmp(port ? p->c->port[i].name : p->c->feed[i].name, p->section_name) == 0)
			return config_fail(p, "duplicate section [%s %s]: it stands at line %u",
			                   p->section, p->section_name,
			                   port ? p->port_line[i] : p->feed_line[i]);
	if (!port && strcmp(p->section_name, "http") == 0)
		return config_fail(p, "a feed cannot be called http: the journal calls POSTs so");
	return 0;
}

static int named_section(struct config_parse *p, bool port)
{
	struct config *c = p->c;
	uint32_t max = port ? CONFIG_PORTS_MAX : CONFIG_FEEDS_MAX;
	uint32_t *count = port ? &c->port_count : &c->feed_count;

	if (name_taken(p, port) < 0)
		return p->rc;
	if (*count == max)
		return config_fail(p, "there are more than %u %s sections", max, p->section);
	p->base = port ? (void *)&c->port[*count] : (void *)&c->feed[*count];
	(port ? p->port_line : p->feed_line)[*count] = p->line;
	strcpy(port ? c->port[*count].name : c->feed[*count].name, p->section_name);
	(*count)++;
	if (config_defaults(p, p->section, p->base) < 0)
		return p->rc;
	for (uint32_t i = 0; i < config_key_count; i++)
		if (strcmp(config_keys[i].section, p->section) == 0)
			p->seen[i] = 0;
	return 0;
}

static int plain_section(struct config_parse *p, uint32_t kind)
{
	if (p->section_line[kind] != 0)
		return config_fail(p, "duplicate section [%s]: it stands at line %u", p->section,
		                   p->section_line[kind]);
	p->section_line[kind] = p->line;
	p->base = p->c;
	return 0;
}

static int unknown_section(struct config_parse *p, const char *text)
{
	char known[256];
	size_t n = 0;

	for (uint32_t i = 0; i < SECTION_COUNT; i++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s[%s%s]", i == 0 ? "" : " ",
		                      sections[i].name, sections[i].named ? " NAME" : "");
	return config_fail(p, "unknown section [%.60s]; there are %s", text, known);
}

/* `text` is what stands between the brackets */
static int section_begin(struct config_parse *p, const char *text)
{
	size_t len = strcspn(text, " ");
	const char *name = text + len + strspn(text + len, " ");

	if (section_end(p) < 0)
		return p->rc;
	p->section = NULL;
	p->key = NULL;
	for (uint32_t i = 0; i < SECTION_COUNT; i++) {
		if (strncmp(sections[i].name, text, len) != 0 || sections[i].name[len] != '\0')
			continue;
		if (!sections[i].named && *name != '\0')
			return config_fail(p, "section [%s] takes no name", sections[i].name);
		if (sections[i].named && *name == '\0')
			return config_fail(p, "section [%s] needs a name, such as [%s %s]",
			                   sections[i].name, sections[i].name,
			                   i == 3 ? "nic0" : "ticks");
		if (strlen(name) > CONFIG_NAME_MAX ||
		    strspn(name, CONFIG_NAME_CHARACTERS) != strlen(name))
			return config_fail(p,
			                   "%.60s is not a name of 1 to %d letters, digits, '.', "
			                   "'_' or '-'",
			                   name, CONFIG_NAME_MAX);
		p->section = sections[i].name;
		strcpy(p->section_name, name);
		return sections[i].named ? named_section(p, strcmp(p->section, "port") == 0)
		                         : plain_section(p, i);
	}
	return unknown_section(p, text);
}

static int check_section(struct config_parse *p, char *line)
{
	char *end = strchr(line, ']');
	char *rest;

	if (end == NULL)
		return config_fail(p, "the section's ']' is missing");
	rest = end + 1 + strspn(end + 1, " \t");
	/* as for values, a comment needs a blank before it */
	if (*rest != '\0' && !(*rest == ';' && rest > end + 1))
		return config_fail(p, "%.60s does not belong behind a section", rest);
	*end = '\0';
	if (strchr(line, ';') != NULL || strlen(line + 1) >= 50)
		return unknown_section(p, line + 1);
	if (section_begin(p, line + 1) < 0)
		return p->rc;
	*end = ']';
	return 0;
}

static int check_key(struct config_parse *p, const char *line)
{
	size_t len = strcspn(line, "=:;");

	if (line[len] != '=')
		return config_fail(p, "%.60s is not key = value", line);
	if (len == 0)
		return config_fail(p, "there is no key before '='");
	return 0;
}

/* one line without its end; inih's own rules are checked on a copy */
static int check_line(struct config_parse *p, char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((iscntrl((unsigned char)line[i]) && line[i] != '\t'))
			return config_fail(p, "byte %zu is a control character (0x%02x)", i + 1,
			                   (unsigned char)line[i]);
	while (len > 0 && isspace((unsigned char)line[len - 1]))
		line[--len] = '\0';
	if (line[0] == '\0' || line[0] == ';' || line[0] == '#')
		return 0;
	return line[0] == '[' ? check_section(p, line) : check_key(p, line);
}

/* The next line to libinih, without the blanks it starts with: they would join it to the one above.
 */
static char *next_line(char *out, int size, void *arg)
{
	struct config_parse *p = arg;
	const char *end;
	size_t len, room = (size_t)size - 2;

	if (p->rc < 0 || p->left == 0)
		return NULL;
	p->line++;
	p->key = NULL;
	end = memchr(p->text, '\n', p->left);
	len = end == NULL ? p->left : (size_t)(end - p->text);
	if (p->line == 1 && len >= 3 && memcmp(p->text, "\xef\xbb\xbf", 3) == 0) {
		p->text += 3;
		p->left -= 3;
		len -= 3;
	}
	while (len > 0 && (*p->text == ' ' || *p->text == '\t')) {
		p->text++;
		p->left--;
		len--;
	}
	const char *line = p->text;
	p->text += len + (end != NULL);
	p->left -= len + (end != NULL);
	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (len > room) {
		/* a comment may be as long as it likes */
		if (*line != ';' && *line != '#') {
			config_fail(p, "the line has %zu bytes; at most %zu are taken", len, room);
			return NULL;
		}
		len = room;
	}
	memcpy(out, line, len);
	out[len] = '\0';
	if (check_line(p, out, len) < 0)
		return NULL;
	strcat(out, "\n");
	return out;
}

static int misplaced(struct config_parse *p, const char *key)
{
	char known[320];
	size_t n = 0;

	for (uint32_t i = 0; i < config_key_count; i++) {
		const struct config_key_info *k = &config_keys[i];
		const char *name =
		    strcmp(k->section, "port") == 0 || strcmp(k->section, "feed") == 0 ? " NAME"
		                                                                       : "";

		if (strcmp(k->key, key) == 0 && (k->flags & CONFIG_KEY_ANY) == 0)
			return config_fail(p, "%s belongs in [%s%s]", key, k->section, name);
	}
	if (p->section == NULL)
		return config_fail(p, "unknown key %.60s before the first section", key);
	for (uint32_t i = 0; i < config_key_count; i++)
		if (strcmp(config_keys[i].section, p->section) == 0)
			n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s",
			                      n == 0 ? "" : ", ", config_keys[i].key);
	return config_fail(p, "unknown key %.60s; [%s] has %s", key, p->section, known);
}

/* libinih: nonzero goes on */
static int on_value(void *arg, const char *section, const char *key, const char *value)
{
	struct config_parse *p = arg;
	const struct config_key_info *k;

	(void)section;
	if (p->rc < 0)
		return 0;
	k = p->section == NULL ? NULL : config_find(p->section, key);
	if (k == NULL)
		return misplaced(p, key) == 0;
	p->key_name = key;
	return config_set(p, k, p->base, value) == 0;
}

int config_ini_read(struct config_parse *p)
{
	int rc = ini_parse_stream(next_line, p, on_value, p);

	if (p->rc == 0 && rc != 0) {
		p->key = NULL;
		config_fail(p, "the line is not understood");
	}
	if (p->rc == 0)
		section_end(p);
	p->section = NULL;
	p->base = NULL;
	return p->rc;
}
