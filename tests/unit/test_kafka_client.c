/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kafka/client.h"

static char path[] = "/tmp/fastpath-properties-XXXXXX";
static char err[KAFKA_ERROR_MAX];

static void setup(void)
{
	int fd;

	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void teardown(void)
{
	unlink(path);
}

static int read_text(const char *text, struct kafka_properties **p)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	return kafka_properties_read(p, path, err);
}

START_TEST(properties_are_read_and_applied)
{
	static const struct kafka_setting defaults[] = {
	    {"linger.ms", "5"}, {"compression.type", "lz4"}, {NULL, NULL}};
	struct kafka_client_options o = {
	    .type = RD_KAFKA_PRODUCER, .bootstrap_servers = "127.0.0.1:1", .defaults = defaults};
	struct kafka_properties *p;
	const rd_kafka_conf_t *conf;
	char value[64];
	size_t size = sizeof(value);
	rd_kafka_t *rk;

	ck_assert_int_eq(
	    read_text("# tuning\n\n  linger.ms = 17 \nsecurity.protocol=plaintext\n", &p), 0);
	o.properties = p;
	rk = kafka_client_create(&o, err);
	ck_assert_msg(rk != NULL, "%s", err);
	conf = rd_kafka_conf(rk);
	ck_assert_int_eq(rd_kafka_conf_get(conf, "linger.ms", value, &size), RD_KAFKA_CONF_OK);
	ck_assert_str_eq(value, "17");
	size = sizeof(value);
	ck_assert_int_eq(rd_kafka_conf_get(conf, "compression.type", value, &size),
	                 RD_KAFKA_CONF_OK);
	ck_assert_str_eq(value, "lz4");
	kafka_client_destroy(rk);
	kafka_properties_free(p);
}
END_TEST

static const struct {
	const char *text, *error;
} bad[] = {
    {"\ntransactional.id = x\n", ":2: transactional.id is not yours to set here: it is "
                                 "fast-path-<ENGINE_ID>; remove the line"},
    {"acks=1\n", ":1: acks is not yours to set here: it is all; remove the line"},
    {"bootstrap.servers = a:1\n",
     ":1: bootstrap.servers is not yours to set here: set kafka.bootstrap_servers; remove the "
     "line"},
    {"no.such.thing = 1\n", ":1: No such configuration property: \"no.such.thing\""},
    {"security.protocol = soon\n",
     ":1: Invalid value \"soon\" for configuration property \"security.protocol\""},
    {"linger.ms\n", ":1: a line is name = value, or starts with #"},
};

START_TEST(a_bad_line_is_named)
{
	struct kafka_properties *p;
	char expected[512];

	ck_assert_int_eq(read_text(bad[_i].text, &p), -EINVAL);
	ck_assert_ptr_null(p);
	snprintf(expected, sizeof(expected), "%s%s", path, bad[_i].error);
	ck_assert_str_eq(err, expected);
}
END_TEST

START_TEST(a_missing_file_is_named)
{
	struct kafka_properties *p;

	ck_assert_int_eq(kafka_properties_read(&p, "/nonexistent/k", err), -ENOENT);
	ck_assert_str_eq(err, "/nonexistent/k: cannot be read: No such file or directory");
	ck_assert_int_eq(kafka_properties_read(&p, "", err), 0);
	kafka_properties_free(p);
}
END_TEST

START_TEST(properties_that_contradict_each_other)
{
	static const struct kafka_setting fixed[] = {{"enable.idempotence", "true"}, {NULL, NULL}};
	struct kafka_client_options o = {
	    .type = RD_KAFKA_PRODUCER, .bootstrap_servers = "127.0.0.1:1", .fixed = fixed};
	struct kafka_properties *p;

	ck_assert_int_eq(read_text("max.in.flight = 20\n", &p), 0);
	o.properties = p;
	ck_assert_ptr_null(kafka_client_create(&o, err));
	ck_assert_ptr_nonnull(strstr(err, "max.in.flight"));
	ck_assert_ptr_nonnull(strstr(err, "see KAFKA_CONFIG_FILE"));
	kafka_properties_free(p);
}
END_TEST

START_TEST(errors_have_a_meaning)
{
	ck_assert_int_eq(kafka_trouble_of(RD_KAFKA_RESP_ERR_NO_ERROR), KAFKA_FINE);
	ck_assert_int_eq(kafka_trouble_of(RD_KAFKA_RESP_ERR__TRANSPORT), KAFKA_AWAY);
	ck_assert_int_eq(kafka_trouble_of(RD_KAFKA_RESP_ERR__MSG_TIMED_OUT), KAFKA_AWAY);
	ck_assert_int_eq(kafka_trouble_of(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), KAFKA_CONTENT);
	ck_assert_int_eq(kafka_trouble_of(RD_KAFKA_RESP_ERR__FENCED), KAFKA_FENCED);
	ck_assert_int_eq(kafka_trouble_of(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED),
	                 KAFKA_REFUSED);
	ck_assert_int_eq(kafka_trouble_of(RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING),
	                 KAFKA_BROKEN);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kafka_client");
	TCase *t = tcase_create("client");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, properties_are_read_and_applied);
	tcase_add_loop_test(t, a_bad_line_is_named, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(t, a_missing_file_is_named);
	tcase_add_test(t, properties_that_contradict_each_other);
	tcase_add_test(t, errors_have_a_meaning);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
