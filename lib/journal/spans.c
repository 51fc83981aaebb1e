/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/spans.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPANS_FILE "spans.json"
#define SPANS_TMP  "spans.json.tmp"

static int fail(char err[JOURNAL_ERROR_MAX], const struct journal_dir *d, int code,
                const char *what)
{
	snprintf(err, JOURNAL_ERROR_MAX, "%.300s/" SPANS_FILE " %s: %s", d->path, what,
	         strerror(-code));
	return code;
}

static int damaged(char err[JOURNAL_ERROR_MAX], const struct journal_dir *d, const char *what)
{
	snprintf(err, JOURNAL_ERROR_MAX,
	         "%.200s/" SPANS_FILE
	         " is damaged: %.120s; restore it, or remove it if this journal never changed its "
	         "engine id or number of shards",
	         d->path, what);
	return -EBADMSG;
}

static bool parse_span(struct journal_span *s, json_t *o)
{
	const char *engine = json_string_value(json_object_get(o, "engine"));
	json_t *shards = json_object_get(o, "shards"), *ends = json_object_get(o, "ends");

	if (engine == NULL || strlen(engine) >= sizeof(s->engine) || !json_is_integer(shards) ||
	    json_integer_value(shards) < 1 || json_integer_value(shards) > JOURNAL_SHARDS_MAX ||
	    !json_is_array(ends) || json_array_size(ends) > JOURNAL_SHARDS_MAX)
		return false;
	strcpy(s->engine, engine);
	s->shards = (uint32_t)json_integer_value(shards);
	s->delivered = json_is_true(json_object_get(o, "delivered"));
	for (size_t i = 0; i < json_array_size(ends); i++) {
		json_t *end = json_array_get(ends, i);

		if (!json_is_integer(end) || json_integer_value(end) < 0)
			return false;
		s->end[i] = (uint64_t)json_integer_value(end);
	}
	return true;
}

static int parse(struct journal_spans *s, const struct journal_dir *d, json_t *root,
                 char err[JOURNAL_ERROR_MAX])
{
	json_t *list = json_object_get(root, "spans");
	size_t count = json_array_size(list);

	if (!json_is_array(list) || count > JOURNAL_SPANS_MAX)
		return damaged(err, d, "it has no list of spans");
	s->span = calloc(count + 1, sizeof(*s->span));
	if (s->span == NULL)
		return fail(err, d, -ENOMEM, "cannot be read");
	for (size_t i = 0; i < count; i++)
		if (!parse_span(&s->span[i], json_array_get(list, i)))
			return damaged(err, d, "a span is not as this version writes it");
	s->count = (uint32_t)count;
	return 0;
}

int journal_spans_read(struct journal_spans *s, const struct journal_dir *d,
                       char err[JOURNAL_ERROR_MAX])
{
	int fd = openat(d->fd, SPANS_FILE, O_RDONLY | O_CLOEXEC), ret;
	json_error_t why;
	json_t *root;

	*s = (struct journal_spans){0};
	if (fd < 0)
		return errno == ENOENT ? 0 : fail(err, d, -errno, "cannot be read");
	root = json_loadfd(fd, 0, &why);
	close(fd);
	if (root == NULL)
		return damaged(err, d, why.text);
	ret = parse(s, d, root, err);
	json_decref(root);
	return ret;
}

void journal_spans_free(struct journal_spans *s)
{
	free(s->span);
	*s = (struct journal_spans){0};
}

static json_t *span_json(const struct journal_span *s)
{
	uint32_t last = JOURNAL_SHARDS_MAX;
	json_t *ends = json_array();

	while (last > 0 && s->end[last - 1] == 0)
		last--;
	for (uint32_t i = 0; i < last; i++)
		json_array_append_new(ends, json_integer((json_int_t)s->end[i]));
	return json_pack("{s:s, s:i, s:b, s:o}", "engine", s->engine, "shards", (int)s->shards,
	                 "delivered", (int)s->delivered, "ends", ends);
}

static int write_all(const struct journal_dir *d, const char *text)
{
	int fd = openat(d->fd, SPANS_TMP, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t len = strlen(text);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len || fsync(fd) < 0)
		ret = errno != 0 ? -errno : -EIO;
	close(fd);
	if (ret == 0 && renameat(d->fd, SPANS_TMP, d->fd, SPANS_FILE) < 0)
		ret = -errno;
	if (ret == 0 && fsync(d->fd) < 0)
		ret = -errno;
	return ret;
}

static int store(const struct journal_spans *s, const struct journal_dir *d,
                 char err[JOURNAL_ERROR_MAX])
{
	json_t *list = json_array(), *root;
	char *text;
	int ret;

	for (uint32_t i = 0; i < s->count; i++)
		json_array_append_new(list, span_json(&s->span[i]));
	root = json_pack("{s:o}", "spans", list);
	text = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	errno = 0;
	ret = text != NULL ? write_all(d, text) : -ENOMEM;
	free(text);
	return ret < 0 ? fail(err, d, ret, "cannot be written") : 0;
}

/* what is new behind the last span, if anything */
static bool ended(struct journal_span *out, const struct journal_spans *s,
                  const struct journal_dir *d, const struct journal_recovery_report *r)
{
	const struct journal_span *last = s->count > 0 ? &s->span[s->count - 1] : NULL;
	bool any = false;

	*out = (struct journal_span){.shards = d->shards};
	strcpy(out->engine, d->engine);
	for (uint32_t i = 0; i < r->shard_count && i < JOURNAL_SHARDS_MAX; i++) {
		uint64_t next = r->shard[i].next_seq;

		out->end[i] = next > 0 ? next - 1 : 0;
		any = any || out->end[i] > (last != NULL ? last->end[i] : 0);
	}
	return any;
}

/* the oldest ones that are delivered need not be remembered for ever */
static void make_room(struct journal_spans *s)
{
	if (s->count < JOURNAL_SPANS_MAX)
		return;
	memmove(s->span, s->span + 1, (s->count - 1) * sizeof(*s->span));
	s->count--;
}

int journal_spans_begin(const struct journal_dir *d, const char *engine, uint32_t shards,
                        const struct journal_recovery_report *r, char err[JOURNAL_ERROR_MAX])
{
	struct journal_spans s;
	struct journal_span now;
	int ret;

	if (d->engine[0] == '\0' || (strcmp(d->engine, engine) == 0 && d->shards == shards))
		return 0;
	ret = journal_spans_read(&s, d, err);
	if (ret == 0 && ended(&now, &s, d, r)) {
		struct journal_span *more = realloc(s.span, (s.count + 1) * sizeof(*more));

		if (more == NULL)
			ret = fail(err, d, -ENOMEM, "cannot be written");
		else {
			s.span = more;
			make_room(&s);
			s.span[s.count++] = now;
			ret = store(&s, d, err);
		}
	}
	journal_spans_free(&s);
	return ret;
}

int journal_spans_delivered(const struct journal_dir *d, uint32_t index,
                            char err[JOURNAL_ERROR_MAX])
{
	struct journal_spans s;
	int ret = journal_spans_read(&s, d, err);

	if (ret == 0) {
		for (uint32_t i = 0; i <= index && i < s.count; i++)
			s.span[i].delivered = true;
		ret = store(&s, d, err);
	}
	journal_spans_free(&s);
	return ret;
}

const char *journal_spans_engine(const struct journal_spans *s, uint32_t shard, uint64_t seq,
                                 const char *current)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (seq <= s->span[i].end[shard])
			return s->span[i].engine;
	return current;
}
