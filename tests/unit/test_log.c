/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <regex.h>
#include <rte_log.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define TIME   "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z"
#define SECOND 1000000000ull

static FILE *captured;
static int standard_error;
static char text[1 << 20];

/* standard error goes to a file of ours; Check itself writes to standard output */
static void capture(enum config_log_level level, enum config_log_format format)
{
	struct config c = {.engine_id = "e-1", .log_level = level, .log_format = format};

	captured = tmpfile();
	standard_error = dup(STDERR_FILENO);
	ck_assert_int_eq(dup2(fileno(captured), STDERR_FILENO), STDERR_FILENO);
	log_init(&c);
}

static const char *released(void)
{
	ck_assert_int_eq(dup2(standard_error, STDERR_FILENO), STDERR_FILENO);
	close(standard_error);
	rewind(captured);
	text[fread(text, 1, sizeof(text) - 1, captured)] = '\0';
	fclose(captured);
	return text;
}

static void must_match(const char *line, const char *pattern)
{
	regex_t r;

	ck_assert_int_eq(regcomp(&r, pattern, REG_EXTENDED | REG_NOSUB), 0);
	ck_assert_msg(regexec(&r, line, 0, NULL, 0) == 0, "%s\nis not\n%s", line, pattern);
	regfree(&r);
}

START_TEST(a_text_record)
{
	capture(CONFIG_LOG_INFO, CONFIG_LOG_TEXT);
	log_error("port %s: %d", "nic0", 7);
	log_warning("say \"hello\" \\");
	log_info("two\nlines\tand \x1b[31m\x7f");
	must_match(released(),
	           "^" TIME " error   port nic0: 7\n" TIME " warning say \"hello\" \\\\\n" TIME
	           " info    two\\\\nlines\\\\tand \\\\x1b\\[31m\\\\x7f\n$");
}
END_TEST

START_TEST(a_json_record)
{
	const char *line;
	json_t *record;

	capture(CONFIG_LOG_INFO, CONFIG_LOG_JSON);
	log_warning("say \"hello\" \\ \n\x01 \xe2\x82\xac");
	line = released();
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
	record = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(record);
	ck_assert_uint_eq(json_object_size(record), 4);
	must_match(json_string_value(json_object_get(record, "time")), "^" TIME "$");
	ck_assert_str_eq(json_string_value(json_object_get(record, "level")), "warning");
	ck_assert_str_eq(json_string_value(json_object_get(record, "engine")), "e-1");
	ck_assert_str_eq(json_string_value(json_object_get(record, "message")),
	                 "say \"hello\" \\ \n\x01 \xe2\x82\xac");
	json_decref(record);
}
END_TEST

START_TEST(levels)
{
	static const int count[] = {[3] = 1, [4] = 2, [6] = 3, [7] = 4};
	int lines = 0;

	for (int level = 3; level <= 7; level++) {
		if (count[level] == 0)
			continue;
		capture((enum config_log_level)level, CONFIG_LOG_TEXT);
		log_error("x");
		log_warning("x");
		log_info("x");
		log_debug("x");
		lines = 0;
		for (const char *s = released(); (s = strchr(s, '\n')) != NULL; s++)
			lines++;
		ck_assert_int_eq(lines, count[level]);
	}
}
END_TEST

START_TEST(levels_of_lib)
{
	capture(CONFIG_LOG_DEBUG, CONFIG_LOG_TEXT);
	for (int level = 0; level <= 8; level++)
		log_line(level, "100% %s");
	must_match(released(), "^(" TIME " error   100% %s\n){4}" TIME " warning 100% %s\n(" TIME
	                       " info    100% %s\n){2}(" TIME " debug   100% %s\n){2}$");
}
END_TEST

/* every byte, and sequences that are nearly UTF-8 */
static const char *const hostile[] = {"\x80",
                                      "\xc0\xaf",
                                      "\xc1\xbf",
                                      "\xe0\x80\xaf",
                                      "\xed\xa0\x80",
                                      "\xf0\x80\x80\xaf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff\xfe",
                                      "\xe2\x82",
                                      "\xf0\x9f\x98",
                                      "a\xe2",
                                      "\xe2(\xa1",
                                      "\xf0\x9f(\x80",
                                      "\xc3("};

START_TEST(always_valid_utf8)
{
	enum config_log_format format = _i % 2 == 0 ? CONFIG_LOG_TEXT : CONFIG_LOG_JSON;
	const char *line;
	json_t *value;

	capture(CONFIG_LOG_INFO, format);
	log_info("%s", hostile[_i / 2]);
	line = released();
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
	/* jansson takes only what is UTF-8 */
	value = format == CONFIG_LOG_TEXT ? json_string(line) : json_loads(line, 0, NULL);
	ck_assert_msg(value != NULL, "%s", line);
	ck_assert_ptr_nonnull(strstr(line, "\xef\xbf\xbd"));
	json_decref(value);
}
END_TEST

START_TEST(every_byte)
{
	char message[256];
	const char *line;
	json_t *record;

	for (int i = 1; i < 256; i++)
		message[i - 1] = (char)i;
	message[255] = '\0';
	capture(CONFIG_LOG_INFO, CONFIG_LOG_JSON);
	log_info("%s", message);
	line = released();
	record = json_loads(line, 0, NULL);
	ck_assert_ptr_nonnull(record);
	ck_assert_int_eq(
	    memcmp(json_string_value(json_object_get(record, "message")), message, 127), 0);
	json_decref(record);
}
END_TEST

START_TEST(long_messages_are_cut)
{
	char *message = malloc(20000);
	size_t head = strlen("2026-01-01T00:00:00.000000Z info    ");
	const char *line;

	/* the worst case for escapes, twice: formatted and as it is */
	memset(message, 1, 19999);
	message[19999] = '\0';
	capture(CONFIG_LOG_INFO, CONFIG_LOG_JSON);
	log_info("%s", message);
	log_line(6, message);
	line = released();
	ck_assert_uint_gt(strlen(line), (size_t)LOG_MESSAGE_MAX * 6 * 2);
	ck_assert_str_eq(line + strlen(line) - 6, "...\"}\n");

	memset(message, 'x', 19999);
	message[LOG_MESSAGE_MAX] = '\0';
	capture(CONFIG_LOG_INFO, CONFIG_LOG_TEXT);
	log_info("%s", message);
	ck_assert_uint_eq(strlen(released()), head + LOG_MESSAGE_MAX + 1);
	message[LOG_MESSAGE_MAX] = 'x';
	capture(CONFIG_LOG_INFO, CONFIG_LOG_TEXT);
	log_info("%s", message);
	ck_assert_uint_eq(strlen(released()), head + LOG_MESSAGE_MAX + 4);
	free(message);
}
END_TEST

START_TEST(limited)
{
	struct log_limit s = {0};

	capture(CONFIG_LOG_INFO, CONFIG_LOG_TEXT);
	log_limited(&s, 5 * SECOND, CONFIG_LOG_WARNING, "drop %d", 1);
	log_limited(&s, 6 * SECOND, CONFIG_LOG_WARNING, "drop %d", 2);
	log_limited(&s, 15 * SECOND - 1, CONFIG_LOG_WARNING, "drop %d", 3);
	log_limited(&s, 15 * SECOND, CONFIG_LOG_WARNING, "drop %d", 4);
	log_limited(&s, 25 * SECOND, CONFIG_LOG_WARNING, "drop %d", 5);
	must_match(released(),
	           "^" TIME " warning drop 1\n" TIME
	           " warning drop 4 \\(2 more like this suppressed\\)\n" TIME " warning drop 5\n$");
	ck_assert_uint_eq(s.suppressed, 0);

	s = (struct log_limit){.interval_ns = 100};
	capture(CONFIG_LOG_INFO, CONFIG_LOG_TEXT);
	/* the clock may start at 0 */
	log_limited(&s, 0, CONFIG_LOG_INFO, "a");
	log_limited(&s, 99, CONFIG_LOG_INFO, "b");
	log_limited(&s, 100, CONFIG_LOG_INFO, "c");
	must_match(released(),
	           "^" TIME " info    a\n" TIME " info    c \\(1 more like this suppressed\\)\n$");
}
END_TEST

static void *write_many(void *arg)
{
	for (int i = 0; i < 500; i++)
		log_info("thread %c %0100d end", *(char *)arg, i);
	return NULL;
}

START_TEST(threads_do_not_mix)
{
	char name[] = "abcd", end[8];
	pthread_t thread[4];
	int next[4] = {0}, count = 0, n;

	capture(CONFIG_LOG_INFO, CONFIG_LOG_TEXT);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, write_many, &name[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	for (const char *s = released(); *s != '\0'; s = strchr(s, '\n') + 1) {
		char who;

		ck_assert_int_eq(sscanf(s, "%*s info thread %c %d %7s", &who, &n, end), 3);
		ck_assert_str_eq(end, "end");
		ck_assert_int_eq(n, next[who - 'a']++);
		count++;
	}
	ck_assert_int_eq(count, 2000);
}
END_TEST

START_TEST(eal_comes_through)
{
	capture(CONFIG_LOG_DEBUG, CONFIG_LOG_TEXT);
	ck_assert_int_eq(log_capture_eal(), 0);
	rte_log_set_global_level(RTE_LOG_DEBUG);
	rte_log_set_level(RTE_LOGTYPE_USER1, RTE_LOG_DEBUG);
	rte_log(RTE_LOG_CRIT, RTE_LOGTYPE_USER1, "critical\n");
	rte_log(RTE_LOG_ERR, RTE_LOGTYPE_USER1, "in ");
	rte_log(RTE_LOG_ERR, RTE_LOGTYPE_USER1, "parts\n");
	rte_log(RTE_LOG_WARNING, RTE_LOGTYPE_USER1, "two\nlines\n\n");
	rte_log(RTE_LOG_NOTICE, RTE_LOGTYPE_USER1, "notice\n");
	rte_log(RTE_LOG_INFO, RTE_LOGTYPE_USER1, "detail\n");
	must_match(released(),
	           "^" TIME " error   [^ ]*critical\n" TIME " error   [^\n]*in [^\n]*parts\n" TIME
	           " warning [^\n]*two\n" TIME " warning lines\n" TIME
	           " info    [^\n]*notice\n" TIME " debug   [^\n]*detail\n$");
}
END_TEST

START_TEST(what_is_lost_is_counted)
{
	int saved = dup(STDERR_FILENO), full = open("/dev/full", O_WRONLY);

	ck_assert_int_ge(full, 0);
	dup2(full, STDERR_FILENO);
	log_error("x");
	log_error("x");
	dup2(saved, STDERR_FILENO);
	ck_assert_uint_eq(log_lost(), 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("log");
	SRunner *r;
	int failed;

	tcase_add_test(t, a_text_record);
	tcase_add_test(t, a_json_record);
	tcase_add_test(t, levels);
	tcase_add_test(t, levels_of_lib);
	tcase_add_loop_test(t, always_valid_utf8, 0,
	                    2 * (int)(sizeof(hostile) / sizeof(hostile[0])));
	tcase_add_test(t, every_byte);
	tcase_add_test(t, long_messages_are_cut);
	tcase_add_test(t, limited);
	tcase_add_test(t, threads_do_not_mix);
	tcase_add_test(t, eal_comes_through);
	tcase_add_test(t, what_is_lost_is_counted);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
