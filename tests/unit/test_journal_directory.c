/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_fixture.h"

static void teardown(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	fx_teardown();
}

static void expect_error(enum journal_dir_mode mode, const char *path, int error, const char *text)
{
	struct journal_dir d;
	int r = journal_dir_open(&d, path, mode, fx.err);

	ck_assert_msg(r == -error, "%d: %s", r, fx.err);
	ck_assert_msg(strstr(fx.err, text) != NULL, "%s", fx.err);
	ck_assert_ptr_null(strchr(fx.err, '\n'));
}

static void make(void)
{
	ck_assert_msg(journal_dir_open(&fx.d, fx.dir, JOURNAL_MAKE, fx.err) == 0, "%s", fx.err);
}

static void write_identity(const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/journal.json", fx.dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

START_TEST(made_private_and_found_again)
{
	char uuid[37], path[PATH_MAX];
	struct stat st;

	make();
	ck_assert_uint_eq(strlen(fx.d.uuid_text), 36);
	strcpy(uuid, fx.d.uuid_text);
	ck_assert_int_eq(journal_dir_begin(&fx.d, "e7", 3, fx.err), 0);
	ck_assert_int_eq(journal_dir_feed_id(&fx.d, "http", fx.err), JOURNAL_FEED_HTTP);
	ck_assert_int_eq(journal_dir_feed_id(&fx.d, "ticks", fx.err), 2);
	ck_assert_int_eq(journal_dir_feed_id(&fx.d, "books", fx.err), 3);
	ck_assert_int_eq(stat(fx.dir, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	snprintf(path, sizeof(path), "%s/journal.json", fx.dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	journal_dir_close(&fx.d);
	make();
	ck_assert_str_eq(fx.d.uuid_text, uuid);
	ck_assert_str_eq(fx.d.engine, "e7");
	ck_assert_uint_eq(fx.d.shards, 3);
	ck_assert_uint_eq(fx.d.generation, 1);
	ck_assert_int_eq(journal_dir_feed_id(&fx.d, "ticks", fx.err), 2);
	ck_assert_str_eq(journal_dir_feed_name(&fx.d, 3), "books");
	ck_assert_str_eq(journal_dir_feed_name(&fx.d, 0), "");
	ck_assert_ptr_null(journal_dir_feed_name(&fx.d, 4));
}
END_TEST

START_TEST(held_by_another_process)
{
	char text[64];

	make();
	snprintf(text, sizeof(text), "is held by process %d; stop it first", (int)getpid());
	expect_error(JOURNAL_MAKE, fx.dir, EBUSY, text);
	expect_error(JOURNAL_LOCK, fx.dir, EBUSY, text);
	{
		struct journal_dir d;

		ck_assert_int_eq(journal_dir_open(&d, fx.dir, JOURNAL_READ, fx.err), 0);
		journal_dir_close(&d);
	}
}
END_TEST

START_TEST(missing_or_wrong)
{
	char path[PATH_MAX];

	expect_error(JOURNAL_READ, fx.dir, ENOENT,
	             "No such file or directory; create it, or mount");
	expect_error(JOURNAL_LOCK, fx.dir, ENOENT, "create it");
	snprintf(path, sizeof(path), "%s/missing/journal", fx.base);
	expect_error(JOURNAL_MAKE, path, ENOENT, "cannot open or make journal directory");
	snprintf(path, sizeof(path), "%s/file", fx.base);
	ck_assert_int_eq(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	expect_error(JOURNAL_MAKE, path, ENOTDIR, "name a directory");
	expect_error(JOURNAL_READ, fx.memory, ENOENT, "is not a journal: it has no journal.json");
	expect_error(JOURNAL_LOCK, fx.memory, ENOENT, "is not a journal: it has no journal.json");
	/* and no lock file was left where no journal is */
	snprintf(path, sizeof(path), "%s/lock", fx.memory);
	ck_assert_int_eq(access(path, F_OK), -1);
	expect_error(JOURNAL_MAKE, "", ENAMETOOLONG, "is empty or too long");
}
END_TEST

START_TEST(relative_path_is_made_with_parents)
{
	ck_assert_int_eq(chdir(fx.base), 0);
	ck_assert_msg(journal_dir_open(&fx.d, "./var/lib/journal", JOURNAL_MAKE, fx.err) == 0, "%s",
	              fx.err);
	ck_assert_int_eq(access("var/lib/journal/journal.json", F_OK), 0);
}
END_TEST

START_TEST(foreign_files_are_not_a_journal)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/photo.jpg", fx.memory);
	ck_assert_int_eq(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	expect_error(JOURNAL_MAKE, fx.memory, ENOTEMPTY, "has no journal.json but holds photo.jpg");
}
END_TEST

START_TEST(newer_format_is_refused)
{
	make();
	journal_dir_close(&fx.d);
	write_identity("{\"format\": 2}");
	expect_error(JOURNAL_MAKE, fx.dir, ENOTSUP,
	             "has journal format 2, this version reads up to 1; start the newer version");
	expect_error(JOURNAL_READ, fx.dir, ENOTSUP, "has journal format 2");
}
END_TEST

START_TEST(damaged_identity)
{
	static const char *const bad[] = {
	    "",
	    "{",
	    "[]",
	    "{}",
	    "{\"format\": 1}",
	    "{\"format\": 1, \"format\": 1}",
	    "{\"format\": 1, \"uuid\": \"nonsense\"}",
	    "{\"format\": 1, \"uuid\": \"00000000-0000-4000-8000-000000000000\"}",
	    "{\"format\": 1, \"uuid\": \"00000000-0000-4000-8000-000000000000\", \"engine\": "
	    "\"e\", "
	    "\"shards\": 65, \"generation\": 1, \"feeds\": [\"\", \"http\"]}",
	    "{\"format\": 1, \"uuid\": \"00000000-0000-4000-8000-000000000000\", \"engine\": "
	    "\"e\", "
	    "\"shards\": 1, \"generation\": 1, \"feeds\": [\"\"]}",
	    "{\"format\": 1, \"uuid\": \"00000000-0000-4000-8000-000000000000\", \"engine\": "
	    "\"e\", "
	    "\"shards\": 1, \"generation\": 1, \"feeds\": [\"\", 7]}",
	};

	make();
	journal_dir_close(&fx.d);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		write_identity(bad[i]);
		expect_error(JOURNAL_MAKE, fx.dir, EBADMSG, "journal.json is damaged: ");
	}
}
END_TEST

START_TEST(last_generation)
{
	char err[JOURNAL_ERROR_MAX];

	make();
	journal_dir_close(&fx.d);
	write_identity("{\"format\": 1, \"uuid\": \"00000000-0000-4000-8000-000000000000\", "
	               "\"engine\": \"e\", \"shards\": 1, \"generation\": 9223372036854775806, "
	               "\"feeds\": [\"\", \"http\"]}");
	ck_assert_int_eq(journal_dir_open(&fx.d, fx.dir, JOURNAL_MAKE, err), 0);
	ck_assert_int_eq(journal_dir_begin(&fx.d, "e", 1, err), 0);
	journal_dir_close(&fx.d);
	ck_assert_int_eq(journal_dir_open(&fx.d, fx.dir, JOURNAL_MAKE, err), 0);
	ck_assert_int_eq(journal_dir_begin(&fx.d, "e", 1, err), -EBADMSG);
	ck_assert_msg(strstr(err, "its generation cannot be counted up") != NULL, "%s", err);
}
END_TEST

START_TEST(bad_names_are_refused)
{
	char name[70];

	make();
	memset(name, 'a', sizeof(name));
	name[69] = '\0';
	ck_assert_int_eq(journal_dir_begin(&fx.d, name, 1, fx.err), -EINVAL);
	ck_assert_int_eq(journal_dir_begin(&fx.d, "\xff", 1, fx.err), -EINVAL);
	ck_assert_int_eq(journal_dir_begin(&fx.d, "e1", 0, fx.err), -EINVAL);
	ck_assert_int_eq(journal_dir_begin(&fx.d, "e1", 65, fx.err), -EINVAL);
	ck_assert_int_eq(journal_dir_feed_id(&fx.d, name, fx.err), -EINVAL);
	ck_assert_int_eq(journal_dir_feed_id(&fx.d, "\xff", fx.err), -EINVAL);
	ck_assert_uint_eq(fx.d.feed_count, 2);
	for (int i = 2; i < JOURNAL_FEEDS_MAX; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fx.d.feed_count++;
		strcpy(fx.d.feeds[i], name);
	}
	ck_assert_int_eq(journal_dir_feed_id(&fx.d, "one more", fx.err), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(fx.err, "no more fit"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("journal directory");
	TCase *t = tcase_create("directory");

	tcase_add_checked_fixture(t, fx_setup, teardown);
	tcase_add_test(t, made_private_and_found_again);
	tcase_add_test(t, held_by_another_process);
	tcase_add_test(t, missing_or_wrong);
	tcase_add_test(t, relative_path_is_made_with_parents);
	tcase_add_test(t, foreign_files_are_not_a_journal);
	tcase_add_test(t, newer_format_is_refused);
	tcase_add_test(t, damaged_identity);
	tcase_add_test(t, last_generation);
	tcase_add_test(t, bad_names_are_refused);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_run(suite());
}
