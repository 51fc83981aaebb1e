/* SPDX-License-Identifier: Apache-2.0 */
/* What goes to etcd and what comes from it, without a server. */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "etcd/answer.h"
#include "etcd/base64.h"
#include "etcd/endpoints.h"
#include "etcd/request.h"

static struct etcd_answer a;
static char err[ETCD_ERROR_MAX];

static int parse(enum etcd_kind kind, const char *text)
{
	etcd_answer_free(&a);
	return etcd_answer_parse(&a, kind, text, strlen(text), err);
}

static void teardown(void)
{
	etcd_answer_free(&a);
}

START_TEST(base64_both_ways)
{
	static const struct {
		const char *bytes, *text;
	} known[] = {{"", ""},
	             {"f", "Zg=="},
	             {"fo", "Zm8="},
	             {"foo", "Zm9v"},
	             {"foob", "Zm9vYg=="},
	             {"fooba", "Zm9vYmE="},
	             {"foobar", "Zm9vYmFy"}};
	static const char *const bad[] = {"Z",    "Zg",   "Zg=",      "Zh==", "Zm9=", "Zg==Zg==",
	                                  "====", "Z===", "Zm9v\nZg", "Zm-v", "Zm 9", "=Zg="};
	uint8_t all[256], back[258];
	char text[BASE64_LEN(256)];

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = base64_encode(known[i].bytes, strlen(known[i].bytes), text);

		ck_assert_uint_eq(n, strlen(known[i].text));
		ck_assert_mem_eq(text, known[i].text, n);
		ck_assert_int_eq(base64_decode(text, n, back), (int)strlen(known[i].bytes));
		ck_assert_mem_eq(back, known[i].bytes, strlen(known[i].bytes));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(base64_decode(bad[i], strlen(bad[i]), back) == -EINVAL, "%s", bad[i]);
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	ck_assert_uint_eq(base64_encode(all, 256, text), sizeof(text));
	ck_assert_int_eq(base64_decode(text, sizeof(text), back), 256);
	ck_assert_mem_eq(back, all, 256);
}
END_TEST

#define HEADER "\"header\":{\"cluster_id\":\"1\",\"revision\":\"42\"}"
#define KV(key, value)                                                                             \
	"{\"key\":\"" key "\",\"create_revision\":\"7\",\"mod_revision\":\"9\",\"version\":\"2\"," \
	"\"value\":\"" value "\",\"lease\":\"-5\"}"

START_TEST(a_range)
{
	ck_assert_int_eq(parse(ETCD_RANGE, "{" HEADER ",\"kvs\":[" KV("Zm9v", "YmFy") "," KV(
	                                       "Zm9vYg==", "") "],\"more\":true,\"count\":\"12\"}"),
	                 0);
	ck_assert_int_eq(a.revision, 42);
	ck_assert_uint_eq(a.kv_count, 2);
	ck_assert_uint_eq(a.kv[0].key_len, 3);
	ck_assert_mem_eq(a.kv[0].key, "foo", 3);
	ck_assert_uint_eq(a.kv[0].value_len, 3);
	ck_assert_mem_eq(a.kv[0].value, "bar", 3);
	ck_assert_int_eq(a.kv[0].create_revision, 7);
	ck_assert_int_eq(a.kv[0].mod_revision, 9);
	ck_assert_int_eq(a.kv[0].lease, -5);
	ck_assert_uint_eq(a.kv[1].value_len, 0);
	ck_assert(a.more);
	ck_assert_int_eq(a.count, 12);
	/* what is empty is left out */
	ck_assert_int_eq(parse(ETCD_RANGE, "{" HEADER "}"), 0);
	ck_assert_uint_eq(a.kv_count, 0);
	ck_assert(!a.more);
}
END_TEST

START_TEST(a_transaction)
{
	ck_assert_int_eq(
	    parse(ETCD_TXN,
	          "{" HEADER ",\"succeeded\":true,\"responses\":[{\"response_range\":{"
	          "\"kvs\":[" KV("Zm9v", "YmFy") "],\"count\":\"1\"}},"
	                                         "{\"response_put\":{}},{\"response_range\":{}},"
	                                         "{\"response_range\":{\"kvs\":[" KV(
	                                             "Zg==", "YmFy") "]}}]}"),
	    0);
	ck_assert(a.succeeded);
	ck_assert_uint_eq(a.kv_count, 2);
	ck_assert_mem_eq(a.kv[1].key, "f", 1);
	ck_assert_int_eq(parse(ETCD_TXN, "{" HEADER "}"), 0);
	ck_assert(!a.succeeded);
}
END_TEST

START_TEST(leases_and_tokens)
{
	ck_assert_int_eq(parse(ETCD_LEASE_GRANT, "{" HEADER ",\"ID\":\"77\",\"TTL\":\"15\"}"), 0);
	ck_assert_int_eq(a.lease, 77);
	ck_assert_int_eq(a.ttl, 15);
	ck_assert_int_eq(parse(ETCD_LEASE_GRANT, "{" HEADER ",\"ID\":\"77\"}"), -EBADMSG);
	ck_assert_int_eq(
	    parse(ETCD_LEASE_KEEPALIVE, "{\"result\":{" HEADER ",\"ID\":\"77\",\"TTL\":\"15\"}}"),
	    0);
	ck_assert_int_eq(a.ttl, 15);
	/* no TTL: the lease is gone */
	ck_assert_int_eq(parse(ETCD_LEASE_KEEPALIVE, "{\"result\":{" HEADER ",\"ID\":\"77\"}}"), 0);
	ck_assert_int_eq(a.ttl, 0);
	ck_assert_int_eq(parse(ETCD_LEASE_REVOKE, "{" HEADER "}"), 0);
	ck_assert_int_eq(parse(ETCD_AUTHENTICATE, "{" HEADER ",\"token\":\"abc.12\"}"), 0);
	ck_assert_str_eq(a.token, "abc.12");
	ck_assert_int_eq(parse(ETCD_AUTHENTICATE, "{" HEADER ",\"token\":\"a\\r\\nX: y\"}"),
	                 -EBADMSG);
	ck_assert_str_eq(err, "it holds no token");
}
END_TEST

START_TEST(a_watch)
{
	ck_assert_int_eq(parse(ETCD_WATCH, "{\"result\":{" HEADER ",\"created\":true}}"), 0);
	ck_assert(a.created);
	ck_assert_int_eq(parse(ETCD_WATCH,
	                       "{\"result\":{" HEADER ",\"fragment\":true,\"events\":[{\"kv\":" KV(
	                           "Zm9v", "YmFy") "},"
	                                           "{\"type\":\"DELETE\",\"kv\":{\"key\":\"Zg==\","
	                                           "\"mod_revision\":\"11\"}}]}}"),
	                 0);
	ck_assert_uint_eq(a.kv_count, 2);
	ck_assert(a.fragment);
	ck_assert(!a.kv[0].deleted);
	ck_assert(a.kv[1].deleted);
	ck_assert_int_eq(a.kv[1].mod_revision, 11);
	ck_assert_int_eq(parse(ETCD_WATCH, "{\"result\":{" HEADER ",\"canceled\":true,"
	                                   "\"compact_revision\":\"5\"}}"),
	                 0);
	ck_assert(a.canceled);
	ck_assert_int_eq(a.compact_revision, 5);
}
END_TEST

static const struct {
	enum etcd_kind kind;
	const char *text, *error;
} bad[] = {
    {ETCD_RANGE, "", "it is no JSON object: '[' or '{' expected near end of file"},
    {ETCD_RANGE, "<html>", "it is no JSON object: '[' or '{' expected near '<'"},
    {ETCD_RANGE, "[]", "it is no JSON object"},
    {ETCD_RANGE, "{}", "there is no header"},
    {ETCD_RANGE, "{\"header\":3}", "header is no object"},
    {ETCD_RANGE, "{\"header\":{\"revision\":\"x\"}}", "revision is no whole number"},
    {ETCD_RANGE, "{\"header\":{\"revision\":\"99999999999999999999\"}}",
     "revision is no whole number"},
    {ETCD_RANGE, "{\"header\":{\"revision\":\"9999999999999999999\"}}",
     "revision is no whole number"},
    {ETCD_RANGE, "{\"header\":{\"revision\":\"-1\"}}", "revision is negative"},
    {ETCD_RANGE, "{\"header\":{\"revision\":1.5}}", "revision is no whole number"},
    {ETCD_RANGE, "{" HEADER ",\"kvs\":{}}", "kvs is no array"},
    {ETCD_RANGE, "{" HEADER ",\"kvs\":[3]}", "a kv is no object"},
    {ETCD_RANGE, "{" HEADER ",\"kvs\":[{}]}", "a kv has no key"},
    {ETCD_RANGE, "{" HEADER ",\"kvs\":[{\"key\":\"Zm9v\"}]}", "a kv has no revision"},
    {ETCD_RANGE, "{" HEADER ",\"kvs\":[{\"key\":5}]}", "key is no string"},
    {ETCD_RANGE, "{" HEADER ",\"kvs\":[{\"key\":\"Zm9\"}]}", "key is not base64"},
    {ETCD_RANGE, "{" HEADER ",\"more\":1}", "more is no boolean"},
    {ETCD_RANGE, "{" HEADER ",\"more\":true,\"kvs\":[]}", "there is more, but nothing came"},
    {ETCD_RANGE, "{" HEADER ",\"kvs\":[" KV("Zm9v", "YmFy"), NULL},
    {ETCD_TXN, "{" HEADER ",\"responses\":3}", "responses is no array"},
    {ETCD_TXN, "{" HEADER ",\"responses\":[3]}", "a response is no object"},
    {ETCD_WATCH, "{" HEADER "}", "there is no result"},
    {ETCD_WATCH, "{\"result\":[]}", "result is no object"},
    {ETCD_WATCH, "{\"result\":{" HEADER ",\"events\":[{}]}}",
     "an event is neither PUT nor DELETE of a kv"},
    {ETCD_WATCH, "{\"result\":{" HEADER ",\"events\":[{\"type\":\"X\",\"kv\":{}}]}}",
     "an event is neither PUT nor DELETE of a kv"},
    {ETCD_LEASE_GRANT, "{" HEADER "}", "it names no lease"},
};

START_TEST(what_is_no_answer)
{
	ck_assert_int_eq(parse(bad[_i].kind, bad[_i].text), -EBADMSG);
	if (bad[_i].error != NULL)
		ck_assert_str_eq(err, bad[_i].error);
	ck_assert_int_ne(err[0], '\0');
}
END_TEST

/* an answer that is cut anywhere is none */
START_TEST(cut_short)
{
	const char *text = "{" HEADER ",\"kvs\":[" KV("Zm9v", "YmFy") "],\"count\":\"1\"}";

	for (size_t len = 0; len < strlen(text); len++) {
		etcd_answer_free(&a);
		ck_assert_int_eq(etcd_answer_parse(&a, ETCD_RANGE, text, len, err), -EBADMSG);
	}
}
END_TEST

START_TEST(too_long)
{
	char *text = calloc(1, ETCD_ANSWER_MAX + 2);

	memset(text, ' ', ETCD_ANSWER_MAX + 1);
	ck_assert_int_eq(parse(ETCD_RANGE, text), -EBADMSG);
	ck_assert_str_eq(err, "it is longer than 16 MiB");
	free(text);
}
END_TEST

START_TEST(errors)
{
	static const struct {
		const char *text, *message;
		int code;
	} error[] = {
	    {"{\"error\":\"etcdserver: mvcc: required revision has been compacted\",\"code\":11,"
	     "\"message\":\"etcdserver: mvcc: required revision has been compacted\"}",
	     "etcdserver: mvcc: required revision has been compacted", 11},
	    {"{\"error\":\"no leader\",\"code\":14}", "no leader", 14},
	    {"{\"error\":{\"grpc_code\":16,\"http_code\":401,\"message\":\"invalid auth token\"}}",
	     "invalid auth token", 16},
	    {"{\"error\":{\"code\":7,\"message\":\"permission denied\"}}", "permission denied", 7},
	    {"{\"code\":0,\"message\":\"x\"}", "x", -EBADMSG},
	    {"{\"code\":17,\"message\":\"x\"}", "x", -EBADMSG},
	    {"404 page not found", "no reason given", -EBADMSG},
	};

	for (size_t i = 0; i < sizeof(error) / sizeof(error[0]); i++) {
		ck_assert_int_eq(etcd_error_parse(error[i].text, strlen(error[i].text), err),
		                 error[i].code);
		ck_assert_str_eq(err, error[i].message);
	}
}
END_TEST

static void assert_json(json_t *made, const char *wanted)
{
	json_t *o = json_loads(wanted, 0, NULL);
	char *text = json_dumps(made, JSON_COMPACT);

	ck_assert_ptr_nonnull(o);
	ck_assert_msg(json_equal(made, o), "%s", text);
	json_decref(o);
	json_decref(made);
	free(text);
}

START_TEST(requests)
{
	char end[8];
	struct etcd_bytes prefix = ETCD_TEXT("/a/"), after = etcd_prefix_end(prefix, end);

	ck_assert_mem_eq(after.data, "/a0", 3);
	assert_json(
	    etcd_range(prefix, after, 10, 42),
	    "{\"key\":\"L2Ev\",\"range_end\":\"L2Ew\",\"limit\":\"10\",\"revision\":\"42\"}");
	assert_json(etcd_range(prefix, (struct etcd_bytes){NULL, 0}, 0, 0), "{\"key\":\"L2Ev\"}");
	assert_json(
	    etcd_txn(json_pack("[o, o]", etcd_compare(prefix, "MOD", 3),
	                       etcd_compare(prefix, "CREATE", 0)),
	             json_pack("[o, o]", etcd_op_put(prefix, ETCD_TEXT("foo"), 9),
	                       etcd_op_delete(prefix)),
	             NULL),
	    "{\"compare\":[{\"result\":\"EQUAL\",\"target\":\"MOD\",\"key\":\"L2Ev\","
	    "\"mod_revision\":\"3\"},{\"result\":\"EQUAL\",\"target\":\"CREATE\",\"key\":\"L2Ev\","
	    "\"create_revision\":\"0\"}],\"success\":[{\"request_put\":{\"key\":\"L2Ev\","
	    "\"value\":\"Zm9v\",\"lease\":\"9\"}},{\"request_delete_range\":{\"key\":\"L2Ev\"}}]}");
	assert_json(etcd_lease_grant(15), "{\"TTL\":\"15\"}");
	assert_json(etcd_lease(-8), "{\"ID\":\"-8\"}");
	assert_json(etcd_watch_prefix(prefix, 5),
	            "{\"create_request\":{\"key\":\"L2Ev\",\"range_end\":\"L2Ew\","
	            "\"start_revision\":\"5\",\"fragment\":true}}");
	assert_json(etcd_authenticate("u", "p"), "{\"name\":\"u\",\"password\":\"p\"}");
}
END_TEST

START_TEST(endpoints)
{
	char out[ETCD_ENDPOINTS_MAX][ETCD_ENDPOINT_LEN], why[ETCD_MESSAGE_MAX];
	static const char *const wrong[] = {"",           "etcd:2379",   "http://",    "ftp://a:1",
	                                    "http://a,",  "http://a/v3", "http://a b", ",http://a",
	                                    "http://u@a", "http://a?b=c"};

	ck_assert_int_eq(etcd_endpoints_split("http://a:1/, https://[::1]:2 ,http://b", out, why),
	                 3);
	ck_assert_str_eq(out[0], "http://a:1");
	ck_assert_str_eq(out[1], "https://[::1]:2");
	ck_assert_str_eq(out[2], "http://b");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_msg(etcd_endpoints_split(wrong[i], out, why) == -EINVAL, "%s", wrong[i]);
		ck_assert_ptr_nonnull(strstr(why, "is not an endpoint such as"));
	}
	ck_assert_int_eq(
	    etcd_endpoints_split("http://a,http://a,http://a,http://a,http://a,http://a,http://a,"
	                         "http://a,http://a,http://a,http://a,http://a,http://a,http://a,"
	                         "http://a,http://a,http://a",
	                         out, why),
	    -EINVAL);
	ck_assert_str_eq(why, "there are more than 16 endpoints");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("etcd_answer");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, base64_both_ways);
	tcase_add_test(t, a_range);
	tcase_add_test(t, a_transaction);
	tcase_add_test(t, leases_and_tokens);
	tcase_add_test(t, a_watch);
	tcase_add_loop_test(t, what_is_no_answer, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(t, cut_short);
	tcase_add_test(t, too_long);
	tcase_add_test(t, errors);
	tcase_add_test(t, requests);
	tcase_add_test(t, endpoints);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}
