/* SPDX-License-Identifier: Apache-2.0 */
/* fastpathctl move: gives one key to an engine. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "etcd_access.h"

static const char usage[] = "move KEY ENGINE [--force] " ETCD_USAGE;

static bool is_alive(struct etcd *c, const char *engine, bool *asked)
{
	struct layout_engine *engines = NULL;
	int count = etcd_read_engines(c, &engines);
	bool alive = false;

	*asked = count >= 0;
	for (int i = 0; i < count; i++)
		alive = alive || strcmp(engines[i].id, engine) == 0;
	free(engines);
	return alive;
}

/* what stands there now; 0: nothing */
static int look(struct etcd *c, struct etcd_bytes key, int64_t *revision, char *owner)
{
	char err[ETCD_MESSAGE_MAX];
	struct etcd_answer a;
	int rc =
	    etcd_ask(c, ETCD_RANGE, etcd_range(key, (struct etcd_bytes){NULL, 0}, 0, 0), &a, err);

	*revision = 0;
	owner[0] = '\0';
	if (rc < 0)
		etcd_complain(err);
	if (rc == 0 && a.kv_count > 0) {
		*revision = a.kv[0].mod_revision;
		if (layout_is_engine_id(a.kv[0].value, a.kv[0].value_len)) {
			memcpy(owner, a.kv[0].value, a.kv[0].value_len);
			owner[a.kv[0].value_len] = '\0';
		}
	}
	etcd_answer_free(&a);
	return rc;
}

static int move(struct etcd *c, const char *name, const char *engine)
{
	char path[LAYOUT_PATH_MAX], owner[LAYOUT_ENGINE_MAX + 1], err[ETCD_MESSAGE_MAX];
	struct etcd_bytes key = {path, layout_assignment_path(name, strlen(name), path)};
	struct etcd_answer a;
	int64_t revision;
	int rc;

	if (look(c, key, &revision, owner) < 0)
		return EXIT_FOUND;
	rc = etcd_ask(c, ETCD_TXN,
	              etcd_txn(json_pack("[o]", etcd_compare(key, "MOD", revision)),
	                       json_pack("[o]", etcd_op_put(key, ETCD_TEXT(engine), 0)), NULL),
	              &a, err);
	if (rc == 0 && !a.succeeded) {
		rc = -1;
		snprintf(err, sizeof(err),
		         "%s was changed by somebody else just now: look at it "
		         "with fastpathctl assignments, and try again",
		         path);
	}
	if (rc == 0)
		printf("%s: from %s to %s at revision %" PRId64 "\n", path,
		       owner[0] ? owner : "nobody", engine, a.revision);
	else
		etcd_complain(err);
	etcd_answer_free(&a);
	return rc == 0 ? 0 : EXIT_FOUND;
}

int cmd_move(int argc, char **argv)
{
	struct etcd_arguments a;
	int rc = etcd_arguments_parse(&a, argc, argv, "f", usage);
	const char *key, *engine;
	struct etcd *c;
	bool asked = true;

	if (rc >= 0)
		return rc;
	if (argc - a.rest != 2)
		return usage_error("move: it takes a key and an engine; usage: fastpathctl %s",
		                   usage);
	key = argv[a.rest];
	engine = argv[a.rest + 1];
	if (strlen(key) < 1 || strlen(key) > EVENT_KEY_MAX)
		return usage_error("move: a key has 1 to %d bytes", EVENT_KEY_MAX);
	if (!layout_is_engine_id(engine, strlen(engine)))
		return usage_error("move: %.80s is not 1 to 64 letters, digits, '.', '_' or '-'",
		                   engine);
	if ((c = etcd_access_open(&a, "move")) == NULL)
		return EXIT_USAGE;
	if (a.force || is_alive(c, engine, &asked)) {
		rc = move(c, key, engine);
	} else {
		rc = EXIT_FOUND;
		if (asked)
			fprintf(stderr,
			        "fastpathctl: engine %s is not registered in etcd; see fastpathctl "
			        "engines, or use --force\n",
			        engine);
	}
	etcd_destroy(c);
	return rc;
}
