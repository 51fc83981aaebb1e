/* SPDX-License-Identifier: Apache-2.0 */
/* what `fastpathctl journal cat` prints and takes, piece by piece */
#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../../app/fastpathctl/json_line.h"
#include "../../app/fastpathctl/time_argument.h"

/* the same bytes as jansson, or both say that it is not UTF-8 */
static void compare(const uint8_t *text, size_t len)
{
	char ours[JSON_STRING_MAX(64)];
	json_t *value = json_stringn((const char *)text, len);
	char *theirs = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
	char *end = json_line_string(ours, text, len);

	ck_assert_int_eq(end == NULL, theirs == NULL);
	if (theirs) {
		ck_assert_uint_eq((size_t)(end - ours), strlen(theirs));
		ck_assert_mem_eq(ours, theirs, strlen(theirs));
		ck_assert_uint_le((size_t)(end - ours), JSON_STRING_MAX(len));
	}
	free(theirs);
	json_decref(value);
}

START_TEST(every_short_string_as_jansson)
{
	uint8_t text[4];

	for (uint32_t i = 0; i < 1u << 16; i++) {
		text[0] = (uint8_t)i;
		text[1] = (uint8_t)(i >> 8);
		compare(text, 1);
		compare(text, 2);
	}
	/* all lead bytes with the continuations where rules change */
	for (uint32_t i = 0xc0; i < 256; i++) {
		static const uint8_t edge[] = {0x00, 0x7f, 0x80, 0x8f, 0x90,
		                               0x9f, 0xa0, 0xbf, 0xc0};

		for (uint32_t j = 0; j < 729; j++) {
			text[0] = (uint8_t)i;
			text[1] = edge[j % 9];
			text[2] = edge[j / 9 % 9];
			text[3] = edge[j / 81];
			compare(text, 3);
			compare(text, 4);
		}
	}
}
END_TEST

START_TEST(random_strings_as_jansson)
{
	uint8_t text[64];
	unsigned int seed = 1;

	for (int i = 0; i < 100000; i++) {
		size_t len = (size_t)rand_r(&seed) % sizeof(text);

		for (size_t j = 0; j < len; j++)
			text[j] = (uint8_t)(rand_r(&seed) % (i % 3 ? 128 : 256));
		compare(text, len);
	}
}
END_TEST

/* RFC 4648, section 10 */
START_TEST(base64_vectors)
{
	static const char *const vector[][2] = {
	    {"", "\"\""},
	    {"f", "\"Zg==\""},
	    {"fo", "\"Zm8=\""},
	    {"foo", "\"Zm9v\""},
	    {"foob", "\"Zm9vYg==\""},
	    {"fooba", "\"Zm9vYmE=\""},
	    {"foobar", "\"Zm9vYmFy\""},
	};
	char out[32];

	for (size_t i = 0; i < sizeof(vector) / sizeof(*vector); i++) {
		*json_line_base64(out, (const uint8_t *)vector[i][0], strlen(vector[i][0])) = '\0';
		ck_assert_str_eq(out, vector[i][1]);
	}
	*json_line_base64(out, (const uint8_t *)"\xfb\xff\xfe", 3) = '\0';
	ck_assert_str_eq(out, "\"+//+\"");
}
END_TEST

START_TEST(numbers_and_members)
{
	char out[64];

	*json_line_number(out, 0) = '\0';
	ck_assert_str_eq(out, "0");
	*json_line_number(out, UINT64_MAX) = '\0';
	ck_assert_str_eq(out, "18446744073709551615");
	*json_line_member(out, "key", (const uint8_t *)"BTC", 3) = '\0';
	ck_assert_str_eq(out, ",\"key\":\"BTC\"");
	*json_line_member(out, "key", (const uint8_t *)"\xff", 1) = '\0';
	ck_assert_str_eq(out, ",\"key_base64\":\"/w==\"");
}
END_TEST

START_TEST(times)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
	    {"0", 0},
	    {"1700000000", 1700000000000000000},
	    {"1700000000.5", 1700000000500000000},
	    {"1700000000.000000001", 1700000000000000001},
	    {"2023-11-14T22:13:20Z", 1700000000000000000},
	    {"2023-11-14T22:13:20.123456789Z", 1700000000123456789},
	    {"2023-11-14t22:13:20z", 1700000000000000000},
	    {"2023-11-15T07:13:20+09:00", 1700000000000000000},
	    {"2023-11-14T17:43:20-04:30", 1700000000000000000},
	    {"2024-02-29T00:00:00Z", 1709164800000000000},
	};
	static const char *const bad[] = {
	    "",
	    "-1",
	    "x",
	    "1.",
	    "1.0000000001",
	    "1e9",
	    "2023-11-14",
	    "2023-11-14T22:13:20",
	    "2023-11-14T22:13Z",
	    "2023-13-14T22:13:20Z",
	    "2023-02-29T00:00:00Z",
	    "2023-11-14T24:00:00Z",
	    "2023-11-14T22:13:20+9:00",
	    "2023-11-14T22:13:20Zjunk",
	    "2023-11-14T22:13:20.Z",
	    "1969-12-31T23:59:59Z",
	    "99999999999999999999",
	    "2023-11-14T22:13:20+25:00",
	};
	uint64_t ns;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		ck_assert_msg(time_argument(good[i].text, &ns), "%s", good[i].text);
		ck_assert_uint_eq(ns, good[i].ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(!time_argument(bad[i], &ns), "%s", bad[i]);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("journal cat");
	TCase *t = tcase_create("pieces");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, every_short_string_as_jansson);
	tcase_add_test(t, random_strings_as_jansson);
	tcase_add_test(t, base64_vectors);
	tcase_add_test(t, numbers_and_members);
	tcase_add_test(t, times);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
