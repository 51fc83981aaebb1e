/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/url.h"

START_TEST(decode)
{
	static const struct {
		const char *in;
		bool plus;
		ssize_t len;
		const char *out;
	} row[] = {
	    {"", false, 0, ""},
	    {"BTC", false, 3, "BTC"},
	    {"%42%54%63", false, 3, "BTc"},
	    {"%c3%A9", false, 2, "\xc3\xa9"},
	    {"a%00b", false, 3, "a\0b"},
	    {"a+b", false, 3, "a+b"},
	    {"a+b", true, 3, "a b"},
	    {"a%2Bb", true, 3, "a+b"},
	    {"%", false, -EINVAL, NULL},
	    {"%4", false, -EINVAL, NULL},
	    {"%4g", false, -EINVAL, NULL},
	    {"%g4", false, -EINVAL, NULL},
	    {"%%41", false, -EINVAL, NULL},
	    {"12345678", false, 8, "12345678"},
	    {"123456789", false, -ENOSPC, NULL},
	    {"1234567%39%39", false, -ENOSPC, NULL},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		char out[8];
		ssize_t n = url_decode(row[i].in, strlen(row[i].in), row[i].plus, out, sizeof(out));

		ck_assert_msg(n == row[i].len, "%s: %zd", row[i].in, n);
		if (n > 0)
			ck_assert_mem_eq(out, row[i].out, (size_t)n);
	}
}
END_TEST

START_TEST(decode_all_bytes)
{
	for (int byte = 0; byte < 256; byte++) {
		char in[4];
		unsigned char out;

		snprintf(in, sizeof(in), "%%%02x", byte);
		ck_assert_int_eq(url_decode(in, 3, true, &out, 1), 1);
		ck_assert_int_eq(out, byte);
	}
	/* the end of the input is its length, not a NUL */
	char out[4];

	ck_assert_int_eq(url_decode("%41", 2, false, out, sizeof(out)), -EINVAL);
	ck_assert_int_eq(url_decode("ab%41", 2, false, out, sizeof(out)), 2);
}
END_TEST

START_TEST(argument)
{
	static const struct {
		const char *query;
		ssize_t len;
		const char *out;
	} row[] = {
	    {NULL, -ENOENT, NULL},
	    {"", -ENOENT, NULL},
	    {"&&&", -ENOENT, NULL},
	    {"other=1", -ENOENT, NULL},
	    {"keys=1", -ENOENT, NULL},
	    {"ke=1", -ENOENT, NULL},
	    {"KEY=1", -ENOENT, NULL},
	    {"=key", -ENOENT, NULL},
	    {"key", 0, ""},
	    {"key=", 0, ""},
	    {"key&x=1", 0, ""},
	    {"key=1", 1, "1"},
	    {"key=a=b", 3, "a=b"},
	    {"a=2&key=1&b=3", 1, "1"},
	    {"&key=1&", 1, "1"},
	    {"%6bey=1", 1, "1"},
	    {"key=%26+%3D", 3, "& ="},
	    {"key=1&key=1", -EEXIST, NULL},
	    {"key=1&%6Bey=2", -EEXIST, NULL},
	    {"key=%&key=2", -EEXIST, NULL},
	    {"key=%", -EINVAL, NULL},
	    {"%=1&key=1", 1, "1"},
	    {"key=123456789", -ENOSPC, NULL},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		char out[8];
		ssize_t n = url_argument(row[i].query, "key", out, sizeof(out));

		ck_assert_msg(n == row[i].len, "%s: %zd", row[i].query, n);
		if (n > 0)
			ck_assert_mem_eq(out, row[i].out, (size_t)n);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http_url");
	TCase *t = tcase_create("url");

	tcase_add_test(t, decode);
	tcase_add_test(t, decode_all_bytes);
	tcase_add_test(t, argument);
	suite_add_tcase(s, t);
	SRunner *runner = srunner_create(s);

	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
