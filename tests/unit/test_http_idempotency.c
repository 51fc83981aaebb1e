/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/idempotency.h"

#define KEEP_NS 1000

static uint32_t released;
static struct idempotency *table;
static struct idempotency_print print_a, print_b;

static void release(void *value)
{
	(void)value;
	released++;
}

static void setup(void)
{
	released = 0;
	table = idempotency_create(4, KEEP_NS, release);
	ck_assert_ptr_nonnull(table);
	print_a = idempotency_print("BTC", 3, "1", 1);
	print_b = idempotency_print("BTC", 3, "2", 1);
}

static void teardown(void)
{
	idempotency_destroy(table);
}

static enum idempotency_found find(const char *id, const struct idempotency_print *print,
                                   uint64_t now, void **value)
{
	*value = NULL;
	return idempotency_find(table, id, print, now, value);
}

START_TEST(remembers_for_a_while)
{
	int x;
	void *value;

	ck_assert_int_eq(find("one", &print_a, 0, &value), IDEMPOTENCY_NEW);
	idempotency_add(table, "one", &print_a, 0, &x);
	ck_assert_int_eq(find("one", &print_a, KEEP_NS - 1, &value), IDEMPOTENCY_SAME);
	ck_assert_ptr_eq(value, &x);
	ck_assert_int_eq(find("one", &print_b, KEEP_NS - 1, &value), IDEMPOTENCY_DIFFERENT);
	ck_assert_int_eq(find("on", &print_a, 0, &value), IDEMPOTENCY_NEW);
	ck_assert_uint_eq(released, 0);
	ck_assert_int_eq(find("one", &print_a, KEEP_NS, &value), IDEMPOTENCY_NEW);
	ck_assert_uint_eq(released, 1);
}
END_TEST

START_TEST(the_oldest_goes_when_it_is_full)
{
	int x[6];
	void *value;

	for (int i = 0; i < 6; i++) {
		char id[8];

		snprintf(id, sizeof(id), "id%d", i);
		idempotency_add(table, id, &print_a, 0, &x[i]);
	}
	ck_assert_uint_eq(released, 2);
	ck_assert_int_eq(find("id1", &print_a, 0, &value), IDEMPOTENCY_NEW);
	for (int i = 2; i < 6; i++) {
		char id[8];

		snprintf(id, sizeof(id), "id%d", i);
		ck_assert_int_eq(find(id, &print_a, 0, &value), IDEMPOTENCY_SAME);
		ck_assert_ptr_eq(value, &x[i]);
	}
}
END_TEST

START_TEST(forgets_only_what_it_is_told)
{
	int x, y;
	void *value;

	idempotency_add(table, "one", &print_a, 0, &x);
	idempotency_forget(table, "one", &y); /* not its value any more */
	idempotency_forget(table, "two", &x);
	ck_assert_int_eq(find("one", &print_a, 0, &value), IDEMPOTENCY_SAME);
	idempotency_forget(table, "one", &x);
	ck_assert_int_eq(find("one", &print_b, 0, &value), IDEMPOTENCY_NEW);
	ck_assert_uint_eq(released, 1);
}
END_TEST

START_TEST(longest_id)
{
	char id[IDEMPOTENCY_KEY_MAX + 1], other[IDEMPOTENCY_KEY_MAX + 1];
	int x;
	void *value;

	memset(id, 'x', sizeof(id) - 1);
	id[IDEMPOTENCY_KEY_MAX] = '\0';
	memcpy(other, id, sizeof(id));
	other[IDEMPOTENCY_KEY_MAX - 1] = 'y';
	idempotency_add(table, id, &print_a, 0, &x);
	ck_assert_int_eq(find(id, &print_a, 0, &value), IDEMPOTENCY_SAME);
	ck_assert_int_eq(find(other, &print_a, 0, &value), IDEMPOTENCY_NEW);
}
END_TEST

START_TEST(prints_tell_key_from_payload)
{
	struct idempotency_print whole = idempotency_print("AB", 2, "C", 1);
	struct idempotency_print other = idempotency_print("A", 1, "BC", 2);
	struct idempotency_print again = idempotency_print("AB", 2, "C", 1);

	ck_assert_mem_ne(&whole, &other, sizeof(whole));
	ck_assert_mem_eq(&whole, &again, sizeof(whole));
	ck_assert_uint_ne(whole.half[0], whole.half[1]);
}
END_TEST

START_TEST(a_long_life)
{
	static int x[50000];
	void *value;

	for (uint32_t i = 0; i < 50000; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%u", i);
		ck_assert_int_eq(find(id, &print_a, i, &value), IDEMPOTENCY_NEW);
		idempotency_add(table, id, &print_a, i, &x[i]);
		if (i % 3 == 0)
			idempotency_forget(table, id, &x[i]);
	}
	idempotency_destroy(table);
	table = NULL;
	ck_assert_uint_eq(released, 50000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http_idempotency");
	TCase *t = tcase_create("table");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, remembers_for_a_while);
	tcase_add_test(t, the_oldest_goes_when_it_is_full);
	tcase_add_test(t, forgets_only_what_it_is_told);
	tcase_add_test(t, longest_id);
	tcase_add_test(t, prints_tell_key_from_payload);
	tcase_add_test(t, a_long_life);
	suite_add_tcase(s, t);
	SRunner *runner = srunner_create(s);

	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
