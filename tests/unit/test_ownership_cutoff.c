/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ownership/assignments.h"
#include "ownership/cutoff.h"

static char path[64], err[CUTOFF_ERROR_MAX];
static int dir_fd;

static void setup(void)
{
	strcpy(path, "/tmp/fastpath-cutoff-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	dir_fd = open(path, O_RDONLY | O_DIRECTORY);
	ck_assert_int_ge(dir_fd, 0);
}

static void teardown(void)
{
	char command[128];

	close(dir_fd);
	snprintf(command, sizeof(command), "rm -rf %s", path);
	ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *text)
{
	int fd = openat(dir_fd, CUTOFF_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void refused(const char *text, int code, const char *words)
{
	struct cutoff_note n;

	write_file(text);
	ck_assert_int_eq(cutoff_read(&n, dir_fd, path, err), code);
	ck_assert_msg(strstr(err, words) != NULL && strstr(err, path) == err, "%s", err);
	ck_assert_ptr_null(strchr(err, '\n'));
}

START_TEST(covers_its_begin_and_not_its_end)
{
	const struct cutoff c = {.from_ns = 10, .to_ns = 20, .revision = 1};

	ck_assert(!cutoff_covers(&c, 9));
	ck_assert(cutoff_covers(&c, 10));
	ck_assert(cutoff_covers(&c, 19));
	ck_assert(!cutoff_covers(&c, 20));
}
END_TEST

START_TEST(an_empty_interval_is_none)
{
	struct cutoff_list l = {0};

	ck_assert_int_eq(cutoff_add(&l, &(struct cutoff){5, 5, 1}), -1);
	ck_assert_int_eq(cutoff_add(&l, &(struct cutoff){6, 5, 1}), -1);
	ck_assert_uint_eq(l.count, 0);
}
END_TEST

START_TEST(too_many_are_merged_with_the_last)
{
	struct cutoff_list l = {0};
	struct cutoff more = {.from_ns = 1000, .to_ns = 1010, .revision = 900}, made;

	for (uint32_t i = 0; i < CUTOFF_MAX; i++)
		ck_assert_int_eq(
		    cutoff_add(&l, &(struct cutoff){100 * i + 1, 100 * i + 10, 10 * i + 1}),
		    (int)i);
	made = cutoff_added(&l, &more);
	ck_assert_int_eq(cutoff_add(&l, &more), CUTOFF_MAX - 1);
	ck_assert_uint_eq(l.count, CUTOFF_MAX);
	ck_assert_mem_eq(&l.at[CUTOFF_MAX - 1], &made, sizeof(made));
	ck_assert_uint_eq(made.from_ns, 100 * (CUTOFF_MAX - 1) + 1);
	ck_assert_uint_eq(made.to_ns, 1010);
	/* the older revision: what was assigned between the two counts as taken */
	ck_assert_int_eq(made.revision, 10 * (CUTOFF_MAX - 1) + 1);
	cutoff_remove(&l, 0);
	ck_assert_uint_eq(l.count, CUTOFF_MAX - 1);
	ck_assert_uint_eq(l.at[0].from_ns, 101);
	ck_assert_mem_eq(&l.at[CUTOFF_MAX - 2], &made, sizeof(made));
}
END_TEST

static void put(struct assignments *t, const char *key, const char *engine, int64_t revision)
{
	ck_assert_int_eq(
	    assignments_put(t, key, (uint32_t)strlen(key), engine, strlen(engine), revision), 0);
}

/* what stays ours of an interval: assigned to us by a revision that we knew */
START_TEST(keys_that_were_ours_all_the_time)
{
	struct assignments *t = assignments_create();
	struct assignments_copy *copy;
	bool changed;

	put(t, "kept", "e1", 5);
	put(t, "returned", "e1", 9); /* taken and given back */
	put(t, "taken", "e2", 8);
	put(t, "others", "e2", 3);
	copy = assignments_copy_until(t, "e1", 7, &changed);
	ck_assert(changed);
	ck_assert_uint_eq(copy->count, 1);
	ck_assert_uint_eq(copy->bytes, 5);
	ck_assert_mem_eq(copy->data, "\4kept", 5);
	free(copy);
	/* the revision itself was known */
	copy = assignments_copy_until(t, "e1", 9, &changed);
	ck_assert(!changed);
	ck_assert_uint_eq(copy->count, 2);
	free(copy);
	copy = assignments_copy_until(t, "e1", -1, &changed);
	ck_assert(changed);
	ck_assert_uint_eq(copy->count, 0);
	free(copy);
	assignments_free(t);
}
END_TEST

START_TEST(the_file_brings_back_what_was_written)
{
	struct cutoff_note n = {.lease_end_ns = 1795000000123456789,
	                        .revision = INT64_MAX,
	                        .list = {.count = 2, .at = {{1, 2, 3}, {4, 5, 6}}}},
	                   got;

	ck_assert_int_eq(cutoff_read(&got, dir_fd, path, err), 0);
	ck_assert_uint_eq(got.lease_end_ns, 0);
	ck_assert_int_eq(got.revision, 0);
	ck_assert_uint_eq(got.list.count, 0);
	ck_assert_int_eq(cutoff_write(&n, dir_fd, path, err), 0);
	ck_assert_int_eq(cutoff_read(&got, dir_fd, path, err), 0);
	ck_assert_mem_eq(&got, &n, sizeof(n));
	n.list.count = 0;
	ck_assert_int_eq(cutoff_write(&n, dir_fd, path, err), 0);
	ck_assert_int_eq(cutoff_read(&got, dir_fd, path, err), 0);
	ck_assert_uint_eq(got.list.count, 0);
	ck_assert_int_ne(faccessat(dir_fd, CUTOFF_FILE ".tmp", F_OK, 0), 0);
}
END_TEST

START_TEST(a_file_that_is_not_ours_is_refused)
{
	refused("{\"version\":1,", -EBADMSG, "is damaged: ");
	refused("7", -EBADMSG, "is damaged: ");
	refused("[]", -EBADMSG, "it has no version; restore it, or remove it if");
	refused("{\"version\":\"1\"}", -EBADMSG, "it has no version");
	refused("{\"version\":2}", -ENOTSUP, "has version 2, this program knows 1");
	refused("{\"version\":1,\"revision\":1,\"cut_off\":[]}", -EBADMSG, "whole numbers");
	refused("{\"version\":1,\"lease_end_ns\":-1,\"revision\":1,\"cut_off\":[]}", -EBADMSG,
	        "whole numbers");
	refused("{\"version\":1,\"lease_end_ns\":1,\"revision\":1}", -EBADMSG, "at most 8");
	refused("{\"version\":1,\"lease_end_ns\":1,\"revision\":1,\"cut_off\":[1,2,3,4,5,6,7,8,9]}",
	        -EBADMSG, "at most 8");
	refused("{\"version\":1,\"lease_end_ns\":1,\"revision\":1,\"cut_off\":[1]}", -EBADMSG,
	        "an interval needs");
	refused("{\"version\":1,\"lease_end_ns\":1,\"revision\":1,\"cut_off\":[{\"from_ns\":2,"
	        "\"to_ns\":2,\"revision\":1}]}",
	        -EBADMSG, "an interval needs");
	refused("{\"version\":1,\"lease_end_ns\":1,\"revision\":1,\"cut_off\":[{\"from_ns\":1,"
	        "\"to_ns\":2,\"revision\":0}]}",
	        -EBADMSG, "an interval needs");
}
END_TEST

START_TEST(what_cannot_be_written_is_said)
{
	struct cutoff_note n = {0};

	ck_assert_int_eq(unlinkat(dir_fd, CUTOFF_FILE ".tmp", 0), -1);
	ck_assert_int_eq(mkdirat(dir_fd, CUTOFF_FILE ".tmp", 0700), 0);
	ck_assert_int_eq(cutoff_write(&n, dir_fd, path, err), -EISDIR);
	ck_assert_msg(strstr(err, "/lease.json cannot be written: Is a directory") != NULL, "%s",
	              err);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ownership cutoff");
	TCase *t = tcase_create("cutoff");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, covers_its_begin_and_not_its_end);
	tcase_add_test(t, an_empty_interval_is_none);
	tcase_add_test(t, too_many_are_merged_with_the_last);
	tcase_add_test(t, keys_that_were_ours_all_the_time);
	tcase_add_test(t, the_file_brings_back_what_was_written);
	tcase_add_test(t, a_file_that_is_not_ours_is_refused);
	tcase_add_test(t, what_cannot_be_written_is_said);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
