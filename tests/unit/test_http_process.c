/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/process.h"

START_TEST(this_process)
{
	struct process_figures before, after;
	double now = (double)time(NULL);

	process_read(&before);
	int fd = open("/dev/null", O_RDONLY);
	volatile uint64_t work = 0;

	for (clock_t end = clock() + CLOCKS_PER_SEC / 20; clock() < end;)
		work++;
	process_read(&after);
	close(fd);
	ck_assert_uint_eq(after.open_fds, before.open_fds + 1);
	ck_assert_uint_eq(after.threads, 1);
	ck_assert_double_gt(after.cpu_seconds, before.cpu_seconds);
	ck_assert_uint_gt(after.resident_bytes, 100000);
	ck_assert_uint_ge(after.virtual_bytes, after.resident_bytes);
	ck_assert_uint_gt(after.max_fds, after.open_fds);
	ck_assert_double_le(after.start_time_s, now + 2);
	ck_assert_double_ge(after.start_time_s, now - 3600);
	/* Prometheus would take a change for a restart */
	ck_assert_double_eq(after.start_time_s, before.start_time_s);
}
END_TEST

START_TEST(cpu_stat_of_both_versions)
{
	struct process_figures p = {0};

	ck_assert(
	    process_parse_cpu_stat("usage_usec 5\nuser_usec 2\nnr_periods 10\nnr_throttled 3\n"
	                           "throttled_usec 1500000\n",
	                           &p));
	ck_assert_double_eq(p.throttled_seconds, 1.5);
	ck_assert_uint_eq(p.throttled_periods, 3);
	p = (struct process_figures){0};
	ck_assert(
	    process_parse_cpu_stat("nr_periods 1\nnr_throttled 7\nthrottled_time 2500000000", &p));
	ck_assert_double_eq(p.throttled_seconds, 2.5);
	ck_assert_uint_eq(p.throttled_periods, 7);
	/* the root group of v2 has no limit, and says nothing of it */
	ck_assert(!process_parse_cpu_stat("usage_usec 5\nuser_usec 2\n", &p));
	ck_assert(!process_parse_cpu_stat("", &p));
	ck_assert(!process_parse_cpu_stat("throttled_usec\nthrottled_time x\n", &p));
}
END_TEST

START_TEST(cgroup_of_both_versions)
{
	static const char mixed[] =
	    "12:cpuset:/a\n11:cpu,cpuacct:/b/c\n1:name=systemd:/d\n0::/e.slice/f";
	char path[64];

	ck_assert(process_parse_cgroup(mixed, false, path, sizeof(path)));
	ck_assert_str_eq(path, "/b/c");
	ck_assert(process_parse_cgroup(mixed, true, path, sizeof(path)));
	ck_assert_str_eq(path, "/e.slice/f");
	ck_assert(process_parse_cgroup("3:cpuacct,cpu:/x:y\n", false, path, sizeof(path)));
	ck_assert_str_eq(path, "/x:y");
	ck_assert(!process_parse_cgroup("3:cpuset,cpuacct:/x\n", false, path, sizeof(path)));
	ck_assert(!process_parse_cgroup("3:cpu:/x\n", true, path, sizeof(path)));
	ck_assert(!process_parse_cgroup("", true, path, sizeof(path)));
	ck_assert(!process_parse_cgroup("garbage\n:\n", false, path, sizeof(path)));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http_process");
	TCase *t = tcase_create("process");

	tcase_add_test(t, this_process);
	tcase_add_test(t, cpu_stat_of_both_versions);
	tcase_add_test(t, cgroup_of_both_versions);
	suite_add_tcase(s, t);
	SRunner *runner = srunner_create(s);

	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);

	srunner_free(runner);
	return failed != 0;
}
