/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/event.h"
#include "event/hash.h"
#include "journal/crc32c.h"
#include "ownership/keyset.h"

static bool contains(const struct ownership_keyset *set, const void *key, uint32_t len)
{
	return ownership_keyset_contains(set, key, len, event_key_hash(key, len));
}

START_TEST(no_set_holds_every_key)
{
	ck_assert(contains(NULL, "BTC", 3));
	ownership_keyset_free(NULL);
}
END_TEST

START_TEST(empty_set_holds_nothing)
{
	struct ownership_keyset *set = ownership_keyset_create(NULL, 0);

	ck_assert_ptr_nonnull(set);
	ck_assert(!contains(set, "BTC", 3));
	ck_assert_uint_eq(ownership_keyset_count(set), 0);
	ownership_keyset_free(set);
}
END_TEST

START_TEST(holds_its_keys_and_no_others)
{
	static const struct ownership_key keys[] = {
	    {"BTC", 3}, {"ETH", 3}, {"a\0b", 3}, {"BTC", 3}, {"B", 1}};
	struct ownership_keyset *set = ownership_keyset_create(keys, 5);

	ck_assert_ptr_nonnull(set);
	ck_assert_uint_eq(ownership_keyset_count(set), 4);
	ck_assert(contains(set, "BTC", 3));
	ck_assert(contains(set, "ETH", 3));
	ck_assert(contains(set, "a\0b", 3));
	ck_assert(contains(set, "B", 1));
	ck_assert(!contains(set, "BT", 2));
	ck_assert(!contains(set, "BTCX", 4));
	ck_assert(!contains(set, "a\0c", 3));
	ck_assert(!contains(set, "\0", 1));
	ownership_keyset_free(set);
}
END_TEST

/* another key of the same length and hash: differs by the CRC's polynomial, its first bit first */
static void make_twin(const uint8_t *key, uint8_t *twin, uint32_t len)
{
	uint64_t polynomial = UINT64_C(0x82f63b78) << 1 | 1;

	memcpy(twin, key, len);
	for (uint32_t i = 0; i < 5; i++)
		twin[i] ^= (uint8_t)(polynomial >> 8 * i);
	ck_assert_uint_eq(event_key_hash(twin, len), event_key_hash(key, len));
}

START_TEST(compares_keys_and_not_only_hashes)
{
	static const uint8_t key[40] = "exchange/instrument/class/00000001";
	static const struct ownership_key keys[] = {{key, 8}, {key, sizeof(key)}};
	struct ownership_keyset *set = ownership_keyset_create(keys, 2);
	uint8_t twin[sizeof(key)];

	ck_assert_ptr_nonnull(set);
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t hash = event_key_hash(key, keys[i].len);

		make_twin(key, twin, keys[i].len);
		ck_assert(contains(set, key, keys[i].len));
		ck_assert(!contains(set, twin, keys[i].len));
		ck_assert(!ownership_keyset_contains(set, key, keys[i].len - 1, hash));
	}
	ownership_keyset_free(set);
}
END_TEST

START_TEST(holds_keys_of_the_same_hash)
{
	static const uint8_t key[40] = "exchange/instrument/class/00000001";
	uint8_t short_twin[8], long_twin[40];
	struct ownership_key keys[] = {
	    {key, 8}, {short_twin, 8}, {key, sizeof(key)}, {long_twin, sizeof(key)}};
	struct ownership_keyset *set;

	make_twin(key, short_twin, sizeof(short_twin));
	make_twin(key, long_twin, sizeof(long_twin));
	set = ownership_keyset_create(keys, 4);
	ck_assert_ptr_nonnull(set);
	ck_assert_uint_eq(ownership_keyset_count(set), 4);
	for (uint32_t i = 0; i < 4; i++)
		ck_assert(contains(set, keys[i].data, keys[i].len));
	ownership_keyset_free(set);
}
END_TEST

START_TEST(holds_keys_of_every_length)
{
	static uint8_t bytes[EVENT_KEY_MAX][EVENT_KEY_MAX];
	struct ownership_key keys[EVENT_KEY_MAX];
	struct ownership_keyset *set;

	for (uint32_t i = 0; i < EVENT_KEY_MAX; i++) {
		memset(bytes[i], 'k', sizeof(bytes[i]));
		keys[i] = (struct ownership_key){bytes[i], i + 1};
	}
	set = ownership_keyset_create(keys, EVENT_KEY_MAX);
	ck_assert_ptr_nonnull(set);
	ck_assert_uint_eq(ownership_keyset_count(set), EVENT_KEY_MAX);
	for (uint32_t i = 0; i < EVENT_KEY_MAX; i++) {
		ck_assert(contains(set, bytes[i], i + 1));
		bytes[i][i] = 'x'; /* the set has copied them */
		ck_assert(!contains(set, bytes[i], i + 1));
	}
	ownership_keyset_free(set);
}
END_TEST

START_TEST(holds_a_million_keys)
{
	enum { COUNT = 1000000, NAME = 40 };
	struct ownership_key *keys = calloc(COUNT, sizeof(*keys));
	char(*names)[NAME] = calloc(COUNT, sizeof(*names));
	struct ownership_keyset *set;
	char other[NAME];

	ck_assert_ptr_nonnull(keys);
	ck_assert_ptr_nonnull(names);
	for (uint32_t i = 0; i < COUNT; i++) {
		int len = snprintf(names[i], NAME,
		                   i % 10 ? "K%07u" : "exchange/instrument/class/%08u", i);

		keys[i] = (struct ownership_key){names[i], (uint32_t)len};
	}
	set = ownership_keyset_create(keys, COUNT);
	ck_assert_ptr_nonnull(set);
	ck_assert_uint_eq(ownership_keyset_count(set), COUNT);
	for (uint32_t i = 0; i < COUNT; i++) {
		int len =
		    snprintf(other, NAME, i % 10 ? "L%07u" : "exchange/instrument/klass/%08u", i);

		ck_assert(contains(set, names[i], keys[i].len));
		ck_assert(!contains(set, other, (uint32_t)len));
	}
	ownership_keyset_free(set);
	free(names);
	free(keys);
}
END_TEST

START_TEST(refuses_lengths_out_of_range)
{
	static const uint8_t bytes[EVENT_KEY_MAX + 1] = {0};
	struct ownership_key keys[] = {{"BTC", 3}, {bytes, 0}};

	ck_assert_ptr_null(ownership_keyset_create(keys, 2));
	ck_assert_int_eq(errno, EINVAL);
	keys[1].len = EVENT_KEY_MAX + 1;
	errno = 0;
	ck_assert_ptr_null(ownership_keyset_create(keys, 2));
	ck_assert_int_eq(errno, EINVAL);
	errno = 0;
	ck_assert_ptr_null(ownership_keyset_create(keys, (size_t)OWNERSHIP_KEYS_MAX + 1));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* the hash */

START_TEST(hash_is_the_crc_of_whole_words)
{
	static const uint8_t padded[16] = "123456789";

	/* RFC 3720's polynomial; without the last inversion */
	ck_assert_uint_eq(event_key_hash("123456789", 9), ~crc32c_table(padded, sizeof(padded)));
	ck_assert_uint_eq(event_key_hash("12345678", 8), ~crc32c_table(padded, 8));
	ck_assert_uint_eq(event_key_hash("", 0), EVENT_HASH_SEED);
}
END_TEST

START_TEST(hash_takes_any_alignment_and_length)
{
	uint8_t bytes[8 + EVENT_KEY_MAX];

	for (uint32_t len = 1; len <= EVENT_KEY_MAX; len++) {
		uint32_t first = 0;

		for (uint32_t shift = 0; shift < 8; shift++) {
			uint32_t hash;

			memset(bytes, 0xaa, sizeof(bytes));
			for (uint32_t i = 0; i < len; i++)
				bytes[shift + i] = (uint8_t)(i * 7 + 1);
			hash = event_key_hash(bytes + shift, len);
			if (shift == 0)
				first = hash;
			ck_assert_uint_eq(hash, first);
			bytes[shift + len - 1] ^= 1;
			ck_assert_uint_ne(event_key_hash(bytes + shift, len), first);
		}
	}
}
END_TEST

START_TEST(hash_spreads_keys_over_workers)
{
	static const char *const forms[] = {"K%04u", "%u", "SYM%u.X", "%08x"};
	char key[32];

	for (uint32_t form = 0; form < 4; form++) {
		for (uint32_t workers = 1; workers <= 8; workers++) {
			uint32_t share[8] = {0};

			for (uint32_t i = 0; i < 4000; i++) {
				int len = snprintf(key, sizeof(key), forms[form], i);
				uint32_t worker =
				    event_key_worker(event_key_hash(key, (uint32_t)len), workers);

				ck_assert_uint_lt(worker, workers);
				share[worker]++;
			}
			for (uint32_t w = 0; w < workers; w++) {
				ck_assert_uint_gt(share[w], 4000 / workers * 3 / 4);
				ck_assert_uint_lt(share[w], 4000 / workers * 5 / 4);
			}
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ownership_keyset");
	TCase *tcase = tcase_create("keys");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, no_set_holds_every_key);
	tcase_add_test(tcase, empty_set_holds_nothing);
	tcase_add_test(tcase, holds_its_keys_and_no_others);
	tcase_add_test(tcase, compares_keys_and_not_only_hashes);
	tcase_add_test(tcase, holds_keys_of_the_same_hash);
	tcase_add_test(tcase, holds_keys_of_every_length);
	tcase_add_test(tcase, holds_a_million_keys);
	tcase_add_test(tcase, refuses_lengths_out_of_range);
	tcase_add_test(tcase, hash_is_the_crc_of_whole_words);
	tcase_add_test(tcase, hash_takes_any_alignment_and_length);
	tcase_add_test(tcase, hash_spreads_keys_over_workers);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
