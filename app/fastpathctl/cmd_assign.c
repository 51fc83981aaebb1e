/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fastpathctl assign: gives each symbol of a file to the engine that rendezvous hashing picks among
 * those alive. What is so already is not written, so a run that was broken off is simply run again.
 * Batches compare the revision of every key they change.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "etcd_access.h"
#include "ownership/rendezvous.h"

#define BATCH     100u /* compares, and as many operations: etcd takes 128 */
#define TRIES_MAX 20   /* of a batch that somebody else keeps changing */

static const char usage[] = "assign --symbols FILE [--dry-run] " ETCD_USAGE;

struct symbol {
	uint8_t len;
	uint8_t key[EVENT_KEY_MAX];
	uint32_t to; /* index of the engine */
	int64_t mod_revision;
};

struct plan {
	struct layout_engine *engines;
	uint64_t *hashes;
	uint32_t engine_count;
	struct symbol *symbols; /* once read: all; once planned: those that move */
	uint64_t count, room, already;
};

/* ---- the file ---- */

static int add_symbol(struct plan *p, const char *line, size_t len)
{
	if (p->count == p->room) {
		uint64_t room = p->room != 0 ? 2 * p->room : 1024;
		struct symbol *more = realloc(p->symbols, room * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		p->symbols = more;
		p->room = room;
	}
	struct symbol *s = &p->symbols[p->count++];

	memset(s, 0, sizeof(*s));
	s->len = (uint8_t)len;
	memcpy(s->key, line, len);
	return 0;
}

static int read_symbols(struct plan *p, const char *file)
{
	FILE *f = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int rc = 0;

	if (f == NULL)
		return usage_error("assign: %s: %s", file, strerror(errno));
	for (uint64_t number = 1; rc == 0 && (n = getline(&line, &room, f)) >= 0; number++) {
		while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		if (n > EVENT_KEY_MAX)
			rc = usage_error("assign: %s:%" PRIu64 ": a symbol has at most %d bytes",
			                 file, number, EVENT_KEY_MAX);
		else if (n > 0 && add_symbol(p, line, (size_t)n) < 0)
			rc = usage_error("assign: no memory for the symbols");
	}
	free(line);
	if (f != stdin)
		fclose(f);
	if (rc == 0 && p->count == 0)
		rc = usage_error("assign: %s: it names no symbol; one a line is wanted", file);
	return rc;
}

/* ---- the plan ---- */

static int by_key(const void *a, const void *b)
{
	const struct symbol *one = a, *other = b;
	uint32_t len = one->len < other->len ? one->len : other->len;
	int order = memcmp(one->key, other->key, len);

	return order != 0 ? order : one->len - other->len;
}

static bool is_settled(const struct plan *p, const struct symbol *s, const char *engine)
{
	return strcmp(p->engines[s->to].id, engine) == 0;
}

static void print_move(const struct plan *p, const struct symbol *s, const char *from)
{
	char path[LAYOUT_PATH_MAX];

	layout_assignment_path(s->key, s->len, path);
	printf("%s\t%s\t%s\n", path + strlen(LAYOUT_ASSIGNMENTS), from[0] ? from : "-",
	       p->engines[s->to].id);
}

/* leaves the symbols that have to move, each once */
static void make_plan(struct plan *p, const struct assignments *t, bool print)
{
	struct symbol previous = {0};
	uint64_t kept = 0;

	qsort(p->symbols, p->count, sizeof(*p->symbols), by_key);
	for (uint64_t i = 0; i < p->count; i++) {
		struct symbol s = p->symbols[i];
		struct assignment a = {.engine = ""};

		if (i > 0 && by_key(&s, &previous) == 0)
			continue;
		previous = s;
		s.to = rendezvous_pick(p->hashes, p->engine_count, rendezvous_hash(s.key, s.len));
		if (assignments_find(t, s.key, s.len, &a)) {
			s.mod_revision = a.mod_revision;
			if (is_settled(p, &s, a.engine)) {
				p->already++;
				continue;
			}
		}
		if (print)
			print_move(p, &s, a.engine);
		p->symbols[kept++] = s;
	}
	p->count = kept;
}

/* ---- writing ---- */

static json_t *batch_txn(const struct plan *p, const struct symbol *s, uint32_t n)
{
	json_t *compares = json_array(), *puts = json_array(), *gets = json_array();

	for (uint32_t i = 0; i < n; i++) {
		char path[LAYOUT_PATH_MAX];
		struct etcd_bytes key = {path, layout_assignment_path(s[i].key, s[i].len, path)};

		json_array_append_new(compares, etcd_compare(key, "MOD", s[i].mod_revision));
		json_array_append_new(puts, etcd_op_put(key, ETCD_TEXT(p->engines[s[i].to].id), 0));
		json_array_append_new(
		    gets, etcd_op_range(etcd_range(key, (struct etcd_bytes){NULL, 0}, 0, 0)));
	}
	return etcd_txn(compares, puts, gets);
}

/* Somebody else was faster with one of them: what stands there now. Returns how many are left. */
static uint32_t look_again(const struct plan *p, struct symbol *s, uint32_t n,
                           const struct etcd_answer *a)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint8_t key[EVENT_KEY_MAX];
		char engine[LAYOUT_ENGINE_MAX + 1] = "";

		s[i].mod_revision = 0;
		for (uint32_t k = 0; k < a->kv_count; k++) {
			const struct etcd_kv *kv = &a->kv[k];
			int len = layout_assignment_key(kv->key, kv->key_len, key);

			if (len != s[i].len || memcmp(key, s[i].key, s[i].len) != 0)
				continue;
			s[i].mod_revision = kv->mod_revision;
			if (layout_is_engine_id(kv->value, kv->value_len))
				memcpy(engine, kv->value, kv->value_len);
		}
		if (!is_settled(p, &s[i], engine))
			s[left++] = s[i];
	}
	return left;
}

static int write_batch(struct etcd *c, const struct plan *p, struct symbol *s, uint32_t n)
{
	char err[ETCD_MESSAGE_MAX];

	for (int i = 0; n > 0 && i < TRIES_MAX; i++) {
		struct etcd_answer a;
		int rc = etcd_ask(c, ETCD_TXN, batch_txn(p, s, n), &a, err);
		bool done = rc == 0 && a.succeeded;

		if (rc == 0 && !done)
			n = look_again(p, s, n, &a);
		etcd_answer_free(&a);
		if (rc < 0) {
			etcd_complain(err);
			return rc;
		}
		if (done)
			return 0;
	}
	if (n > 0)
		etcd_complain("somebody else keeps changing these assignments: is "
		              "ownership.assign auto? Run it again to go on");
	return n > 0 ? -EAGAIN : 0;
}

static void progress(uint64_t done, uint64_t all, bool terminal)
{
	const int width = 30;
	int full = (int)(done * (uint64_t)width / all);

	if (!terminal)
		return;
	fprintf(stderr, "\r\033[Kassign [%.*s%*s] %" PRIu64 " of %" PRIu64, full,
	        "##############################", width - full, "", done, all);
	if (done == all)
		fputc('\n', stderr);
}

static int write_plan(struct etcd *c, struct plan *p)
{
	bool terminal = isatty(STDERR_FILENO);

	for (uint64_t at = 0; at < p->count; at += BATCH) {
		uint64_t left = p->count - at;
		uint32_t n = left < BATCH ? (uint32_t)left : BATCH;

		if (write_batch(c, p, &p->symbols[at], n) < 0) {
			fprintf(stderr,
			        "fastpathctl: %" PRIu64 " of %" PRIu64
			        " written; run it again to go on from there\n",
			        at, p->count);
			return EXIT_FOUND;
		}
		progress(at + n, p->count, terminal);
	}
	return 0;
}

static int assign(struct etcd *c, struct plan *p, bool dry_run)
{
	int count = etcd_read_engines(c, &p->engines);
	struct assignments *t;
	int64_t revision;

	if (count < 0)
		return EXIT_FOUND;
	if (count == 0) {
		etcd_complain("no engine is registered in etcd: start one with ETCD_ENDPOINTS set");
		return EXIT_FOUND;
	}
	p->engine_count = (uint32_t)count;
	p->hashes = calloc((size_t)count, sizeof(*p->hashes));
	for (int i = 0; p->hashes != NULL && i < count; i++)
		p->hashes[i] = rendezvous_hash(p->engines[i].id, strlen(p->engines[i].id));
	t = p->hashes != NULL ? etcd_read_assignments(c, &revision) : NULL;
	if (t == NULL)
		return EXIT_FOUND;
	make_plan(p, t, dry_run);
	assignments_free(t);
	int rc = dry_run ? 0 : write_plan(c, p);

	if (rc == 0)
		fprintf(stderr,
		        "%" PRIu64 " keys %s, %" PRIu64 " are where they belong, %d engines\n",
		        p->count, dry_run ? "would move" : "moved", p->already, count);
	return rc;
}

int cmd_assign(int argc, char **argv)
{
	struct etcd_arguments a;
	struct plan p = {0};
	struct etcd *c;
	int rc = etcd_arguments_parse(&a, argc, argv, "sd", usage);

	if (rc >= 0)
		return rc;
	if (a.rest < argc || a.symbols == NULL)
		return usage_error("assign: --symbols FILE is what it needs; usage: fastpathctl %s",
		                   usage);
	rc = read_symbols(&p, a.symbols);
	c = rc == 0 ? etcd_access_open(&a, "assign") : NULL;
	if (c != NULL)
		rc = assign(c, &p, a.dry_run);
	else
		rc = EXIT_USAGE;
	etcd_destroy(c);
	free(p.symbols);
	free(p.hashes);
	free(p.engines);
	return rc;
}
