/* SPDX-License-Identifier: Apache-2.0 */
#include "ownership/cutoff.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION 1

struct cutoff cutoff_added(const struct cutoff_list *l, const struct cutoff *c)
{
	struct cutoff out = *c;
	const struct cutoff *last = l->count > 0 ? &l->at[l->count - 1] : NULL;

	if (l->count < CUTOFF_MAX)
		return out;
	out.from_ns = last->from_ns < c->from_ns ? last->from_ns : c->from_ns;
	out.to_ns = last->to_ns > c->to_ns ? last->to_ns : c->to_ns;
	out.revision = last->revision < c->revision ? last->revision : c->revision;
	return out;
}

int cutoff_add(struct cutoff_list *l, const struct cutoff *c)
{
	struct cutoff made = cutoff_added(l, c);

	if (c->from_ns >= c->to_ns)
		return -1;
	if (l->count < CUTOFF_MAX)
		l->count++;
	l->at[l->count - 1] = made;
	return (int)l->count - 1;
}

void cutoff_remove(struct cutoff_list *l, uint32_t i)
{
	l->count--;
	memmove(&l->at[i], &l->at[i + 1], (l->count - i) * sizeof(l->at[0]));
}

/* ---- the file ---- */

static int fail(char err[CUTOFF_ERROR_MAX], const char *path, int code, const char *what)
{
	snprintf(err, CUTOFF_ERROR_MAX, "%.300s/" CUTOFF_FILE " cannot be %s: %s", path, what,
	         strerror(-code));
	return code;
}

static int damaged(char err[CUTOFF_ERROR_MAX], const char *path, const char *what)
{
	snprintf(err, CUTOFF_ERROR_MAX,
	         "%.200s/" CUTOFF_FILE
	         " is damaged: %.120s; restore it, or remove it if this engine was not cut off "
	         "from etcd when it ran last",
	         path, what);
	return -EBADMSG;
}

static bool take_number(json_t *o, const char *name, int64_t least, int64_t *out)
{
	json_t *value = json_object_get(o, name);

	*out = json_integer_value(value);
	return json_is_integer(value) && *out >= least;
}

static bool take_interval(json_t *o, struct cutoff_list *l)
{
	int64_t from, to, revision;

	if (!take_number(o, "from_ns", 1, &from) || !take_number(o, "to_ns", 1, &to) ||
	    !take_number(o, "revision", 1, &revision) || from >= to)
		return false;
	l->at[l->count++] = (struct cutoff){(uint64_t)from, (uint64_t)to, revision};
	return true;
}

static int parse(struct cutoff_note *n, json_t *root, const char *path, char err[CUTOFF_ERROR_MAX])
{
	json_t *list = json_object_get(root, "cut_off");
	int64_t version, end, revision;

	if (!take_number(root, "version", 1, &version))
		return damaged(err, path, "it has no version");
	if (version > VERSION) {
		snprintf(err, CUTOFF_ERROR_MAX,
		         "%.300s/" CUTOFF_FILE " has version %" PRId64
		         ", this program knows %d: run the newer program",
		         path, version, VERSION);
		return -ENOTSUP;
	}
	if (!take_number(root, "lease_end_ns", 0, &end) ||
	    !take_number(root, "revision", 0, &revision))
		return damaged(err, path, "lease_end_ns and revision have to be whole numbers");
	n->lease_end_ns = (uint64_t)end;
	n->revision = revision;
	if (!json_is_array(list) || json_array_size(list) > CUTOFF_MAX)
		return damaged(err, path, "cut_off has to be a list of at most 8 intervals");
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!take_interval(json_array_get(list, i), &n->list))
			return damaged(err, path,
			               "an interval needs from_ns < to_ns and a revision");
	return 0;
}

int cutoff_read(struct cutoff_note *n, int dir_fd, const char *path, char err[CUTOFF_ERROR_MAX])
{
	int fd = openat(dir_fd, CUTOFF_FILE, O_RDONLY | O_CLOEXEC), ret;
	json_error_t why;
	json_t *root;

	*n = (struct cutoff_note){0};
	if (fd < 0)
		return errno == ENOENT ? 0 : fail(err, path, -errno, "read");
	root = json_loadfd(fd, JSON_REJECT_DUPLICATES, &why);
	close(fd);
	if (root == NULL)
		return damaged(err, path, why.text);
	ret = parse(n, root, path, err);
	json_decref(root);
	return ret;
}

static char *text_of(const struct cutoff_note *n)
{
	json_t *list = json_array(), *root;
	char *text;

	for (uint32_t i = 0; i < n->list.count; i++)
		json_array_append_new(list, json_pack("{s:I, s:I, s:I}", "from_ns",
		                                      (json_int_t)n->list.at[i].from_ns, "to_ns",
		                                      (json_int_t)n->list.at[i].to_ns, "revision",
		                                      (json_int_t)n->list.at[i].revision));
	root = json_pack("{s:i, s:I, s:I, s:o}", "version", VERSION, "lease_end_ns",
	                 (json_int_t)n->lease_end_ns, "revision", (json_int_t)n->revision,
	                 "cut_off", list);
	text = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	return text;
}

static int replace(int dir_fd, const char *text)
{
	static const char tmp[] = CUTOFF_FILE ".tmp";
	int fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), ret = 0;
	size_t len = strlen(text);

	if (fd < 0)
		return -errno;
	errno = 0;
	if (write(fd, text, len) != (ssize_t)len || fsync(fd) < 0)
		ret = errno != 0 ? -errno : -ENOSPC;
	close(fd);
	if (ret == 0 && renameat(dir_fd, tmp, dir_fd, CUTOFF_FILE) < 0)
		ret = -errno;
	if (ret == 0 && fsync(dir_fd) < 0)
		ret = -errno;
	return ret;
}

int cutoff_write(const struct cutoff_note *n, int dir_fd, const char *path,
                 char err[CUTOFF_ERROR_MAX])
{
	char *text = text_of(n);
	int ret = text != NULL ? replace(dir_fd, text) : -ENOMEM;

	free(text);
	return ret < 0 ? fail(err, path, ret, "written") : 0;
}
