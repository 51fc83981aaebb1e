/* SPDX-License-Identifier: Apache-2.0 */
/* fastpathctl journal, called as its main does it: what is printed where, and the exit status */
#include <jansson.h>
#include <signal.h>

#include "../../app/fastpathctl/command.h"
#include "journal_fixture.h"

static char out[1 << 20], err[1 << 16];

static void load(const char *name, char *text, size_t size)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", fx.base, name);
	fd = open(path, O_RDONLY);
	n = read(fd, text, size - 1);
	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	close(fd);
}

static int redirect(const char *name, int fd)
{
	char path[PATH_MAX];
	int kept = dup(fd), file;

	snprintf(path, sizeof(path), "%s/%s", fx.base, name);
	file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(file, 0);
	dup2(file, fd);
	close(file);
	return kept;
}

/* words separated by spaces; DIR stands for the journal */
static int run(const char *words)
{
	char text[1024], *argv[32] = {0};
	int argc = 0, kept_out, kept_err, status;

	snprintf(text, sizeof(text), "journal %s", words);
	for (char *w = strtok(text, " "); w; w = strtok(NULL, " "))
		argv[argc++] = strcmp(w, "DIR") ? w : fx.dir;
	fflush(NULL);
	kept_out = redirect("out", STDOUT_FILENO);
	kept_err = redirect("err", STDERR_FILENO);
	status = cmd_journal(argc, argv);
	fflush(NULL);
	dup2(kept_out, STDOUT_FILENO);
	dup2(kept_err, STDERR_FILENO);
	close(kept_out);
	close(kept_err);
	load("out", out, sizeof(out));
	load("err", err, sizeof(err));
	return status;
}

static int lines(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void append(uint8_t key_len, const void *key, uint32_t payload_len, const void *payload,
                   uint16_t feed)
{
	struct journal_entry e = {
	    .type = JOURNAL_EVENT,
	    .clock = EVENT_CLOCK_NIC,
	    .feed = feed,
	    .rx_time_ns = 1700000000000000000u + fx.memlog.next_seq * 1000000000u,
	    .feed_seq = 9,
	    .session = (const uint8_t *)"SESSION1\0",
	    .key = key,
	    .key_len = key_len,
	    .payload = payload,
	    .payload_len = payload_len,
	};

	ck_assert_uint_ne(memlog_append_entry(&fx.memlog, &e), 0);
}

static void setup(void)
{
	int ticks;

	fx_setup();
	fx_start();
	ticks = journal_dir_feed_id(&fx.d, "ticks", fx.err);
	append(3, "BTC", 15, "{\"price\":50000}", (uint16_t)ticks);
	append(2, "\xff\x00", 3, "\x00\x80z", (uint16_t)ticks);
	append(3, "ETH", 0, "", JOURNAL_FEED_HTTP);
	append(3, "BTC", 5, "a\"b\\c", JOURNAL_FEED_HTTP);
	append(3, "XRP", 1, "x", 77);
	memlog_publish(&fx.memlog, fx.now);
	fx_drain();
	fx.now += 200000000;
	fx_drain();
}

START_TEST(cat_prints_every_field)
{
	static const char first[] =
	    "{\"type\":\"event\",\"shard\":0,\"seq\":1,"
	    "\"time\":\"2023-11-14T22:13:21.000000000Z\",\"clock\":\"nic\","
	    "\"feed\":\"ticks\",\"session\":\"SESSION1\",\"feed_seq\":9,\"key\":\"BTC\","
	    "\"payload\":\"{\\\"price\\\":50000}\"}\n";
	const char *line = out;

	ck_assert_int_eq(run("cat DIR"), 0);
	ck_assert_str_eq(err, "");
	ck_assert_int_eq(lines(out), 5);
	ck_assert_int_eq(strncmp(out, first, strlen(first)), 0);
	ck_assert_ptr_nonnull(strstr(out, "\"key_base64\":\"/wA=\",\"payload_base64\":\"AIB6\"}"));
	ck_assert_ptr_nonnull(strstr(out, "\"feed\":\"feed-77\""));
	for (int seq = 1; *line; seq++, line = strchr(line, '\n') + 1) {
		json_t *object = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);

		ck_assert_ptr_nonnull(object);
		ck_assert_int_eq(json_integer_value(json_object_get(object, "seq")), seq);
		ck_assert_uint_eq(json_object_size(object), 10);
		json_decref(object);
	}
}
END_TEST

START_TEST(cat_filters)
{
	static const struct {
		const char *words;
		int lines;
		const char *has;
	} test[] = {
	    {"cat --from-seq 4 DIR", 2, "\"seq\":4,"},
	    {"cat --key BTC DIR", 2, "\"seq\":4,"},
	    {"cat --key BT DIR", 0, ""},
	    {"cat --feed http DIR", 2, "\"seq\":3,"},
	    {"cat --feed ticks --key BTC DIR", 1, "\"seq\":1,"},
	    {"cat --limit 2 DIR", 2, "\"seq\":2,"},
	    {"cat --limit 0 DIR", 0, ""},
	    {"cat --shard 0 DIR", 5, "\"seq\":5,"},
	    {"cat --shard 1 DIR", 0, ""},
	    {"cat --since 1700000003 DIR", 3, "\"seq\":3,"},
	    {"cat --until 2023-11-14T22:13:23Z DIR", 2, "\"seq\":2,"},
	    {"cat --since 2023-11-14T22:13:22Z --until 1700000002.5 DIR", 1, "\"seq\":2,"},
	    {"cat --follow --limit 3 DIR", 3, "\"seq\":3,"},
	};

	for (size_t i = 0; i < sizeof(test) / sizeof(*test); i++) {
		ck_assert_msg(run(test[i].words) == 0, "%s: %s", test[i].words, err);
		ck_assert_msg(lines(out) == test[i].lines, "%s: %s", test[i].words, out);
		ck_assert_msg(strstr(out, test[i].has) != NULL, "%s: %s", test[i].words, out);
	}
}
END_TEST

START_TEST(bad_arguments_are_one_line)
{
	static const char *const test[][2] = {
	    {"", "no command given; see fastpathctl journal --help"},
	    {"sing DIR", "unknown command 'sing'"},
	    {"cat", "give one directory"},
	    {"cat DIR DIR", "give one directory"},
	    {"cat --bogus DIR", "unknown option '--bogus'"},
	    {"cat DIR --limit", "no value for '--limit'"},
	    {"cat --limit x DIR", "--limit wants a number from 0 to"},
	    {"cat --limit -1 DIR", "--limit wants a number from 0 to"},
	    {"cat --shard 64 DIR", "--shard wants a number from 0 to 63, not '64'"},
	    {"cat --since noon DIR", "--since wants a time such as"},
	    {"cat --until 2023-13-01T00:00:00Z DIR", "--until wants a time such as"},
	    {"cat /nonexistent", "cannot open journal directory /nonexistent"},
	    {"ls", "no directory given"},
	    {"ls --yaml DIR", "unexpected argument '--yaml'"},
	    {"stat DIR DIR", "unexpected argument"},
	    {"stat /nonexistent", "cannot open journal directory"},
	    {"verify", "give one directory"},
	    {"verify --deep DIR", "give one directory"},
	    {"repair", "no directory given"},
	    {"repair --memlog-dir", "unexpected argument '--memlog-dir'"},
	    {"repair DIR", "is held by process"},
	};

	for (size_t i = 0; i < sizeof(test) / sizeof(*test); i++) {
		ck_assert_msg(run(test[i][0]) == 2, "%s: %s", test[i][0], err);
		ck_assert_msg(strstr(err, test[i][1]) != NULL, "%s: %s", test[i][0], err);
		ck_assert_int_eq(strncmp(err, "fastpathctl: ", 13), 0);
		ck_assert_int_eq(lines(err), 1);
		ck_assert_str_eq(out, "");
	}
}
END_TEST

START_TEST(help_is_no_error)
{
	ck_assert_int_eq(run("--help"), 0);
	ck_assert_ptr_nonnull(strstr(out, "fastpathctl journal verify DIR"));
	ck_assert_int_eq(run("cat --help"), 0);
	ck_assert_ptr_nonnull(strstr(out, "--follow"));
}
END_TEST

START_TEST(ls_and_stat)
{
	json_t *root;

	ck_assert_int_eq(run("ls DIR"), 0);
	ck_assert_int_eq(lines(out), 2);
	ck_assert_ptr_nonnull(strstr(out, "shard-00-00000000000000000001.seg"));
	ck_assert_int_eq(run("ls --json DIR"), 0);
	root = json_loads(out, 0, NULL);
	ck_assert_uint_eq(json_array_size(root), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(root, 0), "last_seq")),
	                 5);
	json_decref(root);
	ck_assert_int_eq(run("stat DIR"), 0);
	ck_assert_int_eq(lines(out), 3);
	ck_assert_ptr_nonnull(strstr(out, "engine e1, format 1, generation 1, 1 shards"));
	ck_assert_int_eq(run("stat DIR --json"), 0);
	root = json_loads(out, 0, NULL);
	ck_assert_int_eq(json_integer_value(json_object_get(
	                     json_array_get(json_object_get(root, "shards"), 0), "durable")),
	                 5);
	json_decref(root);
}
END_TEST

static void flip_second_record(void)
{
	char path[PATH_MAX];
	int fd;

	fx_segment(0, path);
	fd = open(path, O_RDWR);
	/* behind the page, the batch header and a record of 80 bytes */
	ck_assert_int_eq(pwrite(fd, "!", 1, 4096 + 64 + 80 + 17), 1);
	close(fd);
}

START_TEST(verify_and_repair)
{
	ck_assert_int_eq(run("verify DIR"), 0);
	ck_assert_str_eq(out, "shard 0: 5 records, sequence numbers 1 to 5, durable to 5: good\n");
	flip_second_record();
	ck_assert_int_eq(run("verify DIR"), 1);
	ck_assert_ptr_nonnull(strstr(err, "/shard-00-00000000000000000001.seg is damaged at offset "
	                                  "4240 (sequence number 2): a record does not match its "
	                                  "checksum; run fastpathctl journal repair\n"));
	ck_assert_ptr_nonnull(strstr(out, "shard 0: 4 records, sequence numbers 1 to 5, durable to "
	                                  "5: damaged"));
	ck_assert_int_eq(run("cat DIR"), 1);
	ck_assert_int_eq(lines(out), 1); /* what stands before the damage */
	ck_assert_ptr_nonnull(strstr(err, "is damaged at offset 4240"));
	fx_kill();
	snprintf(out, sizeof(out), "repair --memlog-dir %s DIR", fx.memory);
	ck_assert_int_eq(run(out), 0);
	ck_assert_ptr_nonnull(strstr(out,
	                             "is usable: 1 sequence numbers became gaps, 0 records came "
	                             "from memlogs, 0 bytes of torn tail were cut\n"));
	ck_assert_int_eq(run("verify DIR"), 0);
	ck_assert_int_eq(run("cat --from-seq 2 --limit 1 DIR"), 0);
	ck_assert_ptr_nonnull(strstr(out, "{\"type\":\"gap\",\"shard\":0,\"seq\":2,"));
	ck_assert_ptr_nonnull(strstr(out, ",\"count\":1}\n"));
	ck_assert_int_eq(run("cat DIR"), 0);
	ck_assert_int_eq(lines(out), 5);
}
END_TEST

/* head(1) leaves early: no message, no error */
START_TEST(reader_of_the_output_leaves)
{
	char *argv[] = {"cat", fx.dir};
	int ends[2], kept = dup(STDOUT_FILENO), status;

	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe(ends), 0);
	close(ends[0]);
	fflush(NULL);
	dup2(ends[1], STDOUT_FILENO);
	status = cmd_journal_cat(2, argv);
	dup2(kept, STDOUT_FILENO);
	ck_assert_int_eq(status, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("journal commands");
	TCase *t = tcase_create("commands");

	tcase_add_checked_fixture(t, setup, fx_teardown);
	tcase_add_test(t, cat_prints_every_field);
	tcase_add_test(t, cat_filters);
	tcase_add_test(t, bad_arguments_are_one_line);
	tcase_add_test(t, help_is_no_error);
	tcase_add_test(t, ls_and_stat);
	tcase_add_test(t, verify_and_repair);
	tcase_add_test(t, reader_of_the_output_leaves);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_run(suite());
}
