/* SPDX-License-Identifier: Apache-2.0 */
#include "etcd_access.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

#define PAGE_KEYS  5000u
#define TIMEOUT_MS 10000u /* nobody waits behind us */

static bool take_option(struct etcd_arguments *a, int c)
{
	switch (c) {
	case 'E':
		a->endpoints = optarg;
		break;
	case 'A':
		a->ca_file = optarg;
		break;
	case 'C':
		a->cert_file = optarg;
		break;
	case 'K':
		a->key_file = optarg;
		break;
	case 'U':
		a->user = optarg;
		break;
	case 'P':
		a->password_file = optarg;
		break;
	case 's':
		a->symbols = optarg;
		break;
	case 'e':
		a->engine = optarg;
		break;
	case 'j':
		a->json = true;
		break;
	case 'd':
		a->dry_run = true;
		break;
	case 'f':
		a->force = true;
		break;
	default:
		return false;
	}
	return true;
}

int etcd_arguments_parse(struct etcd_arguments *a, int argc, char **argv, const char *extra,
                         const char *usage)
{
	static const struct option long_options[] = {
	    {"endpoints", required_argument, NULL, 'E'},
	    {"ca-file", required_argument, NULL, 'A'},
	    {"cert-file", required_argument, NULL, 'C'},
	    {"key-file", required_argument, NULL, 'K'},
	    {"user", required_argument, NULL, 'U'},
	    {"password-file", required_argument, NULL, 'P'},
	    {"symbols", required_argument, NULL, 's'},
	    {"engine", required_argument, NULL, 'e'},
	    {"json", no_argument, NULL, 'j'},
	    {"dry-run", no_argument, NULL, 'd'},
	    {"force", no_argument, NULL, 'f'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	const char *variable = getenv("ETCD_ENDPOINTS");
	int c;

	memset(a, 0, sizeof(*a));
	a->endpoints = variable != NULL && variable[0] != '\0' ? variable : ETCD_URL;
	opterr = 0;
	optind = 0; /* the program's own options have been read */
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == 'h') {
			printf("usage: fastpathctl %s\n", usage);
			return 0;
		}
		/* lower case: not every command takes it */
		if ((islower(c) && strchr(extra, c) == NULL) || !take_option(a, c))
			return usage_error("%s: %s is unknown or lacks its value; usage: "
			                   "fastpathctl %s",
			                   argv[0], argv[optind - 1], usage);
	}
	a->rest = optind;
	if ((a->cert_file == NULL) != (a->key_file == NULL))
		return usage_error("%s: --cert-file and --key-file go together", argv[0]);
	if ((a->user == NULL) != (a->password_file == NULL))
		return usage_error("%s: --user and --password-file go together", argv[0]);
	return -1;
}

static bool read_password(const char *file, char *out, size_t size)
{
	FILE *f = fopen(file, "re");
	bool good = f != NULL && fgets(out, (int)size, f) != NULL;

	if (f != NULL)
		fclose(f);
	if (good)
		out[strcspn(out, "\r\n")] = '\0';
	return good && out[0] != '\0';
}

struct etcd *etcd_access_open(const struct etcd_arguments *a, const char *command)
{
	char password[257] = "", err[ETCD_MESSAGE_MAX];
	struct etcd_options o = {
	    .endpoints = a->endpoints,
	    .ca_file = a->ca_file,
	    .cert_file = a->cert_file,
	    .key_file = a->key_file,
	    .user = a->user,
	    .password = password,
	    .timeout_ms = TIMEOUT_MS,
	};
	struct etcd *c;

	if (a->password_file != NULL &&
	    !read_password(a->password_file, password, sizeof(password))) {
		usage_error("%s: %s holds no password that can be read", command, a->password_file);
		return NULL;
	}
	c = etcd_create(&o, err);
	explicit_bzero(password, sizeof(password));
	if (c == NULL)
		usage_error("%s: --endpoints: %s", command, err);
	return c;
}

void etcd_complain(const char *message)
{
	fprintf(stderr, "fastpathctl: %s\n", message);
}

int etcd_read_engines(struct etcd *c, struct layout_engine **engines)
{
	struct etcd_bytes registry = ETCD_TEXT(LAYOUT_REGISTRY);
	char end[sizeof(LAYOUT_REGISTRY)], err[ETCD_MESSAGE_MAX];
	struct etcd_answer a;
	int count = 0;
	int rc = etcd_ask(c, ETCD_RANGE, etcd_range(registry, etcd_prefix_end(registry, end), 0, 0),
	                  &a, err);

	if (rc == 0 && (*engines = calloc(a.kv_count + 1, sizeof(**engines))) == NULL) {
		rc = -ENOMEM;
		strcpy(err, "no memory for the engines");
	}
	for (uint32_t i = 0; rc == 0 && i < a.kv_count; i++) {
		const struct etcd_kv *kv = &a.kv[i];

		/* without a lease nobody is behind it */
		if (kv->lease != 0 && layout_engine_parse(&(*engines)[count], kv->key, kv->key_len,
		                                          kv->value, kv->value_len) == 0)
			count++;
	}
	etcd_answer_free(&a);
	if (rc < 0)
		etcd_complain(err);
	return rc < 0 ? rc : count;
}

static int take_page(struct assignments *t, const struct etcd_answer *a)
{
	uint8_t key[EVENT_KEY_MAX];

	for (uint32_t i = 0; i < a->kv_count; i++) {
		const struct etcd_kv *kv = &a->kv[i];
		int len = layout_assignment_key(kv->key, kv->key_len, key);
		bool good = layout_is_engine_id(kv->value, kv->value_len);

		if (len < 0) {
			fprintf(stderr, "fastpathctl: %.*s is no assignment, left alone\n",
			        (int)(kv->key_len < 200 ? kv->key_len : 200),
			        (const char *)kv->key);
			continue;
		}
		if (assignments_put(t, key, (uint32_t)len, good ? kv->value : key,
		                    good ? kv->value_len : 0, kv->mod_revision) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* where the next page begins: behind the last key */
static struct etcd_bytes behind(const struct etcd_answer *a, uint8_t **last)
{
	const struct etcd_kv *kv = &a->kv[a->kv_count - 1];

	free(*last);
	*last = calloc(1, kv->key_len + 1);
	if (*last == NULL)
		return (struct etcd_bytes){NULL, 0};
	memcpy(*last, kv->key, kv->key_len);
	return (struct etcd_bytes){*last, kv->key_len + 1};
}

struct assignments *etcd_read_assignments(struct etcd *c, int64_t *revision)
{
	struct etcd_bytes prefix = ETCD_TEXT(LAYOUT_ASSIGNMENTS), from = prefix;
	char end[sizeof(LAYOUT_ASSIGNMENTS)],
	    err[ETCD_MESSAGE_MAX] = "no memory for the assignments";
	struct assignments *t = assignments_create();
	uint8_t *last = NULL;
	int rc = t != NULL ? 0 : -ENOMEM;
	bool more = true;

	*revision = 0;
	while (rc == 0 && more) {
		struct etcd_answer a;

		rc = etcd_ask(c, ETCD_RANGE,
		              etcd_range(from, etcd_prefix_end(prefix, end), PAGE_KEYS, *revision),
		              &a, err);
		if (rc == 0) {
			*revision = *revision != 0 ? *revision : a.revision;
			rc = take_page(t, &a);
			more = a.more;
		}
		if (rc == 0 && more && (from = behind(&a, &last)).data == NULL)
			rc = -ENOMEM;
		etcd_answer_free(&a);
	}
	free(last);
	if (rc == 0)
		return t;
	assignments_free(t);
	etcd_complain(err[0] != '\0' ? err : "no memory for the assignments");
	return NULL;
}
