/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the configuration reader share; nobody else includes it. */
#ifndef FASTPATH_CONFIG_INTERNAL_H
#define FASTPATH_CONFIG_INTERNAL_H

#include "config.h"

#define CONFIG_NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define CONFIG_ENV_REFERENCES  (CONFIG_PORTS_MAX * (CONFIG_ADDRESSES_MAX + 1))

enum config_key_flags {
	CONFIG_KEY_REPEATED = 1, /* may stand on several lines: each one adds */
	CONFIG_KEY_REQUIRED = 2, /* its section is an error without it */
	CONFIG_KEY_NO_FIELD = 4, /* checked, then unused in this version */
	CONFIG_KEY_ANY = 8, /* stands for every key of its section that the table does not name */
};

/* env:NAME or file:PATH in the file: looked up at the end, and only when ports are opened */
struct config_reference {
	const struct config_key_info *key;
	uint32_t port, line;
	char text[200];
};

struct config_parse {
	struct config *c;
	const char *file;
	char *const *environ_;
	char *err;

	/* where the value at hand comes from: a line of the file, or a variable */
	uint32_t line;
	const char *variable;
	const struct config_key_info *key;
	const char *key_name; /* as written, for [eal] */

	/* the section at hand */
	const char *section; /* NULL before the first */
	char section_name[CONFIG_NAME_MAX + 1];
	void *base;

	uint32_t seen[128]; /* by key: line that set it, UINT32_MAX: a variable; 0: not set */
	uint32_t section_line[16]; /* by kind of section, for those without a name */
	uint32_t port_line[CONFIG_PORTS_MAX];
	uint32_t feed_line[CONFIG_FEEDS_MAX];
	char feed_port[CONFIG_FEEDS_MAX]
	              [CONFIG_NAME_MAX + 1]; /* resolved when all ports are known */
	struct config_reference reference[CONFIG_ENV_REFERENCES];
	uint32_t reference_count;

	const char *text; /* what is left to read */
	size_t left;
	int rc; /* of the first error; reading stops */
};

/* One line into p->err, behind the place that is being read; the first one stays. Returns -EINVAL.
 */
int config_fail(struct config_parse *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void config_warn(struct config *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Value of a variable, NULL when it is not set or empty. */
const char *config_environ(char *const environ_[], const char *name);

/* All lines of p->text through libinih into the sections and keys of the table. */
int config_ini_read(struct config_parse *p);
/* Defaults of one section into its struct. */
int config_defaults(struct config_parse *p, const char *section, void *base);
/* One value; counts duplicates. */
int config_set(struct config_parse *p, const struct config_key_info *k, void *base,
               const char *value);
const struct config_key_info *config_find(const char *section, const char *key);
bool config_was_set(const struct config_parse *p, const char *section, const char *key);
/* What holds between keys, sections and the environment. */
int config_check(struct config_parse *p);

/* Looks up what env: and file: refer to. */
int config_resolve(struct config_parse *p);

/* One address of a port, "10.0.0.1/24"; -1 when it is none. */
int config_parse_interface_address(struct config_address *a, const char *text);
bool config_address_is_multicast(const struct config_address *a);
bool config_address_equal(const struct config_address *a, const struct config_address *b);
/* ids such as 1 or 1,2 or 1-3, each once; -1 when the text is no such list or longer than max */
int config_parse_ids(const char *text, uint32_t *id, uint32_t max, uint32_t highest);

/* config_eal.c: one option of [eal], p->key_name */
int config_parse_eal(struct config_parse *p, const struct config_key_info *k, void *base,
                     const char *value);

/* The secret in a file that not everybody may read: 1 to size - 1 printable bytes. `what` names it in
 * messages. */
int config_read_secret(struct config_parse *p, const char *file, const char *what, char *out,
                       size_t size);

#endif
