/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_internal.h"

#define FILE_BYTES_MAX (4u << 20)

static void one_line(char *s)
{
	for (; *s != '\0'; s++)
		if (iscntrl((unsigned char)*s))
			*s = '?';
}

static int place(const struct config_parse *p, char *out, size_t len)
{
	const struct config_key_info *k = p->key;

	if (p->variable != NULL)
		return snprintf(out, len, "%s: ", p->variable);
	if (k == NULL)
		return snprintf(out, len, "%.200s:%u: ", p->file, p->line);
	if (p->section_name[0] != '\0')
		return snprintf(out, len, "%.200s:%u: %s %s.%s: ", p->file, p->line, k->section,
		                p->section_name, k->key);
	return snprintf(out, len, "%.200s:%u: %s.%s: ", p->file, p->line, k->section,
	                k->flags & CONFIG_KEY_ANY ? p->key_name : k->key);
}

int config_fail(struct config_parse *p, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (p->rc < 0)
		return p->rc;
	p->rc = -EINVAL;
	n = place(p, p->err, CONFIG_ERROR_MAX);
	va_start(ap, fmt);
	vsnprintf(p->err + n, CONFIG_ERROR_MAX - (size_t)n, fmt, ap);
	va_end(ap);
	one_line(p->err);
	return p->rc;
}

void config_warn(struct config *c, const char *fmt, ...)
{
	va_list ap;

	if (c->warning_count == CONFIG_WARNINGS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(c->warning[c->warning_count], CONFIG_WARNING_MAX, fmt, ap);
	va_end(ap);
	one_line(c->warning[c->warning_count++]);
}

const char *config_environ(char *const environ_[], const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; environ_ != NULL && environ_[i] != NULL; i++)
		if (strncmp(environ_[i], name, len) == 0 && environ_[i][len] == '=')
			return environ_[i][len + 1] == '\0' ? NULL : environ_[i] + len + 1;
	return NULL;
}

int config_defaults(struct config_parse *p, const char *section, void *base)
{
	for (uint32_t i = 0; i < config_key_count; i++) {
		const struct config_key_info *k = &config_keys[i];

		p->key = k;
		if (strcmp(k->section, section) == 0 && k->fallback[0] != '\0' &&
		    k->parse(p, k, base, k->fallback) < 0)
			return p->rc;
	}
	p->key = NULL;
	return 0;
}

int config_set(struct config_parse *p, const struct config_key_info *k, void *base,
               const char *value)
{
	uint32_t *seen = &p->seen[k - config_keys];

	p->key = k;
	if (p->variable == NULL) {
		if (*seen != 0 && (k->flags & (CONFIG_KEY_REPEATED | CONFIG_KEY_ANY)) == 0)
			return config_fail(p, "duplicate: it stands at line %u", *seen);
		*seen = p->line;
	} else {
		*seen = UINT32_MAX;
	}
	return k->parse(p, k, base, value);
}

bool config_was_set(const struct config_parse *p, const char *section, const char *key)
{
	return p->seen[config_find(section, key) - config_keys] != 0;
}

static bool is_variable(const char *name, size_t len)
{
	if (len == strlen("FAST_PATH_CONFIG") && memcmp(name, "FAST_PATH_CONFIG", len) == 0)
		return true;
	for (uint32_t i = 0; i < config_key_count; i++)
		if (strlen(config_keys[i].variable) == len && len > 0 &&
		    memcmp(config_keys[i].variable, name, len) == 0)
			return true;
	return false;
}

/* Kubernetes sets FAST_PATH_SERVICE_HOST, FAST_PATH_PORT, FAST_PATH_PORT_80_TCP ... for a service
 * that is called fast-path */
static bool is_service(const char *name, size_t len)
{
	char copy[128];
	const char *port;

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, name, len);
	copy[len] = '\0';
	if (strstr(copy, "_SERVICE_HOST") != NULL || strstr(copy, "_SERVICE_PORT") != NULL)
		return true;
	port = strstr(copy, "_PORT");
	return port != NULL &&
	       (port[5] == '\0' || (port[5] == '_' && isdigit((unsigned char)port[6])));
}

static int check_variables(struct config_parse *p)
{
	for (size_t i = 0; p->environ_ != NULL && p->environ_[i] != NULL; i++) {
		const char *name = p->environ_[i];
		size_t len = strcspn(name, "=");
		char copy[128];

		if (strncmp(name, "FAST_PATH_", 10) != 0 || is_variable(name, len) ||
		    is_service(name, len))
			continue;
		snprintf(copy, sizeof(copy), "%.*s", (int)len, name);
		p->variable = copy;
		config_fail(p, "unknown variable; there are FAST_PATH_CONFIG, FAST_PATH_ENABLE and "
		               "FAST_PATH_METRICS");
		p->variable = NULL;
		return p->rc;
	}
	return 0;
}

static int read_variables(struct config_parse *p)
{
	if (check_variables(p) < 0)
		return p->rc;
	p->section_name[0] = '\0';
	for (uint32_t i = 0; i < config_key_count && p->rc == 0; i++) {
		const struct config_key_info *k = &config_keys[i];
		const char *value = config_environ(p->environ_, k->variable);

		if (k->variable[0] == '\0' || value == NULL)
			continue;
		p->variable = k->variable;
		config_set(p, k, p->c, value);
	}
	p->variable = NULL;
	p->key = NULL;
	return p->rc;
}

int config_read_secret(struct config_parse *p, const char *file, const char *what, char *out,
                       size_t size)
{
	struct stat st;
	char text[512];
	ssize_t n;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return config_fail(p, "%s: %s", file, strerror(errno));
	n = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ? -1 : read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return config_fail(p, "%s cannot be read: it must be a file", file);
	if (st.st_mode & S_IROTH)
		return config_fail(p,
		                   "%s can be read by everyone: chmod 600 it (a Kubernetes secret: "
		                   "defaultMode 0400)",
		                   file);
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	text[n] = '\0';
	const char *token = text + strspn(text, " \t\r\n");
	size_t len = 0;

	while (isgraph((unsigned char)token[len]))
		len++;
	if (len == 0 || len >= size || token + len != text + n)
		return config_fail(p, "%s does not hold a %s of 1 to %zu printable bytes", file,
		                   what, size - 1);
	memcpy(out, token, len + 1);
	return 0;
}

static int load(struct config_parse *p)
{
	static const char *const globals[] = {"engine",  "eal",  "dataplane", "ownership",
	                                      "journal", "http", "health",    "log",
	                                      "etcd",    "kafka"};

	for (size_t i = 0; i < sizeof(globals) / sizeof(globals[0]); i++)
		if (config_defaults(p, globals[i], p->c) < 0)
			return p->rc;
	if (config_ini_read(p) < 0 || read_variables(p) < 0 || config_check(p) < 0)
		return p->rc;
	return 0;
}

int config_load_text(struct config *c, const char *name, const char *text, size_t len,
                     char *const environ_[], char err[CONFIG_ERROR_MAX])
{
	struct config_parse *p = calloc(1, sizeof(*p));
	int rc;

	memset(c, 0, sizeof(*c));
	err[0] = '\0';
	if (p == NULL) {
		snprintf(err, CONFIG_ERROR_MAX, "no memory for the configuration");
		return -ENOMEM;
	}
	snprintf(c->file, sizeof(c->file), "%s", name);
	p->c = c;
	p->file = c->file;
	p->environ_ = environ_;
	p->err = err;
	p->text = text;
	p->left = len;
	rc = load(p);
	if (rc < 0)
		config_free(c);
	free(p);
	return rc;
}

/* the whole file; NULL with errno set */
static char *read_file(const char *file, size_t *len)
{
	char *text = malloc(FILE_BYTES_MAX);
	int fd = text == NULL ? -1 : open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	for (*len = 0; fd >= 0 && *len < FILE_BYTES_MAX; *len += (size_t)n) {
		n = read(fd, text + *len, FILE_BYTES_MAX - *len);
		if (n <= 0)
			break;
	}
	int saved = *len == FILE_BYTES_MAX ? EFBIG : errno;
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && n == 0 && *len < FILE_BYTES_MAX)
		return text;
	free(text);
	errno = saved;
	return NULL;
}

int config_load(struct config *c, const char *file, char *const environ_[],
                char err[CONFIG_ERROR_MAX])
{
	const char *variable = config_environ(environ_, "FAST_PATH_CONFIG");
	bool named = file != NULL;
	size_t len;
	char *text;
	int rc;

	if (file == NULL)
		file = variable;
	if (file == NULL)
		return config_load_text(c, "", "", 0, environ_, err);
	text = strlen(file) < sizeof(c->file) ? read_file(file, &len) : NULL;
	if (text == NULL) {
		rc = strlen(file) < sizeof(c->file) ? -errno : -ENAMETOOLONG;
		memset(c, 0, sizeof(*c));
		snprintf(err, CONFIG_ERROR_MAX, "%s%.300s: %s: name a readable configuration file",
		         named ? "" : "FAST_PATH_CONFIG: ", file, strerror(-rc));
		one_line(err);
		return rc;
	}
	rc = config_load_text(c, file, text, len, environ_, err);
	free(text);
	return rc;
}

void config_free(struct config *c)
{
	free(c->owned_keys);
	c->owned_keys = NULL;
	c->owned_key_count = 0;
}
