/* SPDX-License-Identifier: Apache-2.0 */
/* The table of assignments, their layout in etcd, and rendezvous hashing. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ownership/assignments.h"
#include "ownership/layout.h"
#include "ownership/rendezvous.h"

#define KEYS 20000u

static struct assignments *t;

static void setup(void)
{
	t = assignments_create();
	ck_assert_ptr_nonnull(t);
}

static void teardown(void)
{
	assignments_free(t);
}

/* short and long ones in turn */
static uint32_t key_name(uint32_t i, char out[EVENT_KEY_MAX + 1])
{
	return (uint32_t)snprintf(out, EVENT_KEY_MAX + 1, i % 3 ? "K%u" : "a-rather-long-key-%040u",
	                          i);
}

static void put(uint32_t i, const char *engine, int64_t revision)
{
	char key[EVENT_KEY_MAX + 1];
	uint32_t len = key_name(i, key);

	ck_assert_int_eq(assignments_put(t, key, len, engine, strlen(engine), revision), 0);
}

START_TEST(put_find_remove)
{
	char key[EVENT_KEY_MAX + 1];
	struct assignment a;

	for (uint32_t i = 0; i < KEYS; i++)
		put(i, i % 2 ? "e1" : "e2", i + 1);
	ck_assert_uint_eq(assignments_count(t), KEYS);
	ck_assert_uint_eq(assignments_owned(t, "e1"), KEYS / 2);
	ck_assert_uint_eq(assignments_owned(t, "e3"), 0);
	/* every third goes, every fifth of the others changes its owner */
	for (uint32_t i = 0; i < KEYS; i++) {
		uint32_t len = key_name(i, key);

		if (i % 3 == 0) {
			ck_assert(assignments_remove(t, key, len));
			ck_assert(!assignments_remove(t, key, len));
		} else if (i % 5 == 0) {
			put(i, "e3", KEYS + i);
		}
	}
	uint32_t left = 0, third = 0;

	for (uint32_t i = 0; i < KEYS; i++) {
		uint32_t len = key_name(i, key);
		bool there = assignments_find(t, key, len, &a);

		ck_assert(there == (i % 3 != 0));
		if (!there)
			continue;
		left++;
		third += i % 5 == 0;
		ck_assert_str_eq(a.engine, i % 5 == 0 ? "e3" : i % 2 ? "e1" : "e2");
		ck_assert_int_eq(a.mod_revision, i % 5 == 0 ? KEYS + i : i + 1);
		ck_assert_uint_eq(a.key_len, len);
		ck_assert_mem_eq(a.key, key, len);
	}
	ck_assert_uint_eq(assignments_count(t), left);
	ck_assert_uint_eq(assignments_owned(t, "e3"), third);
	ck_assert_uint_eq(assignments_owned(t, "e1") + assignments_owned(t, "e2") + third, left);
}
END_TEST

START_TEST(walk_and_copy)
{
	struct assignment a;
	uint64_t cursor = 0, seen = 0;

	for (uint32_t i = 0; i < 1000; i++)
		put(i, i % 4 ? "e1" : "e2", 1);
	while (assignments_next(t, &cursor, &a))
		seen++;
	ck_assert_uint_eq(seen, 1000);
	struct assignments_copy *copy = assignments_copy(t, "e2");
	const uint8_t *at = copy->data;

	ck_assert_uint_eq(copy->count, 250);
	for (uint64_t i = 0; i < copy->count; i++, at += 1 + at[0]) {
		ck_assert(assignments_find(t, at + 1, at[0], &a));
		ck_assert_str_eq(a.engine, "e2");
	}
	ck_assert_ptr_eq(at, copy->data + copy->bytes);
	free(copy);
	copy = assignments_copy(t, "nobody");
	ck_assert_uint_eq(copy->count, 0);
	free(copy);
}
END_TEST

START_TEST(limits)
{
	char key[EVENT_KEY_MAX + 1] = {0}, engine[LAYOUT_ENGINE_MAX + 2] = {0};

	memset(engine, 'e', LAYOUT_ENGINE_MAX + 1);
	ck_assert_int_eq(assignments_put(t, key, 0, "e", 1, 1), -EINVAL);
	ck_assert_int_eq(assignments_put(t, key, EVENT_KEY_MAX + 1, "e", 1, 1), -EINVAL);
	ck_assert_int_eq(assignments_put(t, key, 1, engine, LAYOUT_ENGINE_MAX + 1, 1), -EINVAL);
	ck_assert_int_eq(assignments_put(t, key, 1, "e\0f", 3, 1), -EINVAL);
	ck_assert_int_eq(assignments_put(t, key, EVENT_KEY_MAX, engine, LAYOUT_ENGINE_MAX, 1), 0);
	ck_assert_int_eq(assignments_put(t, key, 1, "", 0, 1), 0);
	ck_assert_uint_eq(assignments_count(t), 2);
	ck_assert_uint_eq(assignments_owned(t, ""), 1);
}
END_TEST

START_TEST(paths)
{
	static const struct {
		const char *key, *path;
	} known[] = {{"BTC", "/assignments/BTC"},   {"BTC/USD", "/assignments/BTC/USD"},
	             {"a b", "/assignments/a b"},   {"50%", "/assignments/50%25"},
	             {"\n", "/assignments/%0A"},    {"\xc3\xbc", "/assignments/%C3%BC"},
	             {"\x7f~", "/assignments/%7F~"}};
	static const char *const none[] = {
	    "/assignments/",     "/assignment/BTC",  "BTC",
	    "/assignments/%",    "/assignments/%2",  "/assignments/%zz",
	    "/assignments/%41",  "/assignments/%0a", "/assignments/\xc3\xbc",
	    "/assignments/a\nb",
	};
	char path[LAYOUT_PATH_MAX];
	uint8_t key[EVENT_KEY_MAX];

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = layout_assignment_path(known[i].key, strlen(known[i].key), path);

		ck_assert_str_eq(path, known[i].path);
		ck_assert_uint_eq(n, strlen(path));
		ck_assert_int_eq(layout_assignment_key(path, n, key), (int)strlen(known[i].key));
		ck_assert_mem_eq(key, known[i].key, strlen(known[i].key));
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		ck_assert_msg(layout_assignment_key(none[i], strlen(none[i]), key) == -EINVAL, "%s",
		              none[i]);
	uint8_t longest[EVENT_KEY_MAX + 1];

	memset(longest, 0xff, sizeof(longest));
	size_t n = layout_assignment_path(longest, EVENT_KEY_MAX, path);

	ck_assert_uint_eq(n, LAYOUT_PATH_MAX - 1);
	ck_assert_int_eq(layout_assignment_key(path, n, key), EVENT_KEY_MAX);
	char longer[LAYOUT_PATH_MAX + 3];

	snprintf(longer, sizeof(longer), "%s%%FF", path);
	ck_assert_int_eq(layout_assignment_key(longer, strlen(longer), key), -EINVAL);
}
END_TEST

START_TEST(registrations)
{
	const char *path = "/registry/engines/e1";
	struct layout_engine e = {.id = "e1",
	                          .http = "http://[::1]:8080",
	                          .instance = "a-uuid",
	                          .version = "v1",
	                          .ts_ms = 1700000000000},
	                     back;
	char *text = layout_engine_text(&e);

	ck_assert_int_eq(layout_engine_parse(&back, path, strlen(path), text, strlen(text)), 0);
	ck_assert_str_eq(back.id, "e1");
	ck_assert_str_eq(back.http, e.http);
	ck_assert_str_eq(back.instance, e.instance);
	ck_assert_str_eq(back.version, e.version);
	ck_assert_int_eq(back.ts_ms, e.ts_ms);
	free(text);
	/* somebody else's: what it lacks, or what could do harm, is empty */
	text = "{\"id\":\"other\",\"http\":\"http://a\\nb\",\"ts\":\"x\",\"instance\":7}";
	ck_assert_int_eq(layout_engine_parse(&back, path, strlen(path), text, strlen(text)), 0);
	ck_assert_str_eq(back.id, "e1");
	ck_assert_str_eq(back.http, "");
	ck_assert_str_eq(back.instance, "");
	ck_assert_int_eq(layout_engine_parse(&back, path, strlen(path), "e1", 2), -EINVAL);
	ck_assert_int_eq(layout_engine_parse(&back, "/registry/engines/a b", 21, "{}", 2), -EINVAL);
	ck_assert_int_eq(layout_engine_parse(&back, "/registry/engines/", 18, "{}", 2), -EINVAL);
}
END_TEST

/* the weights are a contract between engines of different versions */
START_TEST(weights_never_change)
{
	ck_assert_uint_eq(rendezvous_hash("", 0), UINT64_C(0xf52a15e9a9b5e89b));
	ck_assert_uint_eq(rendezvous_hash("BTC", 3), UINT64_C(0xccae77478049658f));
}
END_TEST

static uint32_t pick(const uint64_t *engines, uint32_t count, uint32_t i)
{
	char key[EVENT_KEY_MAX + 1];
	uint32_t len = key_name(i, key);

	return rendezvous_pick(engines, count, rendezvous_hash(key, len));
}

START_TEST(balance_and_minimal_movement)
{
	uint64_t engines[8], without[8];
	uint32_t owned[8] = {0}, moved = 0;
	char id[8];

	for (uint32_t i = 0; i < 8; i++) {
		snprintf(id, sizeof(id), "e%u", i);
		engines[i] = rendezvous_hash(id, strlen(id));
	}
	for (uint32_t i = 0; i < KEYS; i++)
		owned[pick(engines, 8, i)]++;
	/* six standard deviations of a fair draw around an eighth */
	for (uint32_t e = 0; e < 8; e++)
		ck_assert_msg(owned[e] > 2220 && owned[e] < 2780, "engine %u: %u", e, owned[e]);
	/* engine 3 goes: its keys move, nobody else's; and come back with it */
	memcpy(without, engines, 3 * sizeof(*engines));
	memcpy(without + 3, engines + 4, 4 * sizeof(*engines));
	for (uint32_t i = 0; i < KEYS; i++) {
		uint32_t before = pick(engines, 8, i), after = pick(without, 7, i);

		if (before == 3)
			moved++;
		else
			ck_assert_uint_eq(after + (after >= 3), before);
	}
	ck_assert_uint_eq(moved, owned[3]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ownership_assignments");
	TCase *c = tcase_create("all");
	SRunner *r = srunner_create(s);

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, put_find_remove);
	tcase_add_test(c, walk_and_copy);
	tcase_add_test(c, limits);
	tcase_add_test(c, paths);
	tcase_add_test(c, registrations);
	tcase_add_test(c, weights_never_change);
	tcase_add_test(c, balance_and_minimal_movement);
	suite_add_tcase(s, c);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}
