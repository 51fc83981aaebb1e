/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/groups.h"

static struct net_group group(const char *address, uint16_t udp_port, uint16_t vlan, uint16_t feed)
{
	struct net_group g = {.udp_port = udp_port, .vlan = vlan, .feed = feed};

	g.family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
	ck_assert_int_eq(inet_pton(g.family, address, g.address), 1);
	return g;
}

static int find(const struct net_groups *groups, const char *address, uint16_t udp_port,
                uint16_t vlan)
{
	struct net_group g = group(address, 1, 0, 0);
	struct net_packet p = {
	    .family = g.family, .vlan = vlan, .dst_port = udp_port, .dst_offset = 3};
	uint8_t frame[3 + 16]; /* an odd offset: addresses in frames are not aligned */

	memset(frame, 0xee, sizeof(frame));
	memcpy(frame + 3, g.address, g.family == AF_INET ? 4 : 16);
	return net_groups_find(groups, frame, &p);
}

START_TEST(finds_groups_by_address_port_and_family)
{
	struct net_group list[] = {
	    group("239.1.1.1", 9000, 0, 4), group("239.1.1.2", 9000, 0, 5),
	    group("239.1.1.1", 9001, 0, 6), group("ff15::1234", 9000, 0, 7),
	    /* the bytes of 239.1.1.1 and zeros behind them, as an IPv6 address */
	    group("ef01:101::", 9000, 0, 65535)};
	struct net_groups *groups = net_groups_create(list, 5);

	ck_assert_ptr_nonnull(groups);
	ck_assert_int_eq(find(groups, "239.1.1.1", 9000, 0), 4);
	ck_assert_int_eq(find(groups, "239.1.1.2", 9000, 0), 5);
	ck_assert_int_eq(find(groups, "239.1.1.1", 9001, 0), 6);
	ck_assert_int_eq(find(groups, "ff15::1234", 9000, 0), 7);
	ck_assert_int_eq(find(groups, "ef01:101::", 9000, 0), 65535);
	ck_assert_int_eq(find(groups, "239.1.1.3", 9000, 0), -1);
	ck_assert_int_eq(find(groups, "239.1.1.2", 9001, 0), -1);
	ck_assert_int_eq(find(groups, "ff15::1235", 9000, 0), -1);
	net_groups_free(groups);
}
END_TEST

START_TEST(prefers_the_group_of_the_vlan)
{
	struct net_group list[] = {group("239.1.1.1", 9000, 0, 1), group("239.1.1.1", 9000, 5, 2),
	                           group("239.1.1.2", 9000, 5, 3)};
	struct net_groups *groups = net_groups_create(list, 3);

	ck_assert_ptr_nonnull(groups);
	ck_assert_int_eq(find(groups, "239.1.1.1", 9000, 0), 1);
	ck_assert_int_eq(find(groups, "239.1.1.1", 9000, 4), 1);
	ck_assert_int_eq(find(groups, "239.1.1.1", 9000, 5), 2);
	ck_assert_int_eq(find(groups, "239.1.1.2", 9000, 5), 3);
	ck_assert_int_eq(find(groups, "239.1.1.2", 9000, 6), -1);
	ck_assert_int_eq(find(groups, "239.1.1.2", 9000, 0), -1);
	net_groups_free(groups);
}
END_TEST

START_TEST(any_vlan_matches_without_vlan_groups)
{
	struct net_group only = group("ff15::1", 9000, 0, 9);
	struct net_groups *groups = net_groups_create(&only, 1);

	ck_assert_ptr_nonnull(groups);
	ck_assert_int_eq(find(groups, "ff15::1", 9000, 4094), 9);
	ck_assert_int_eq(find(groups, "ff15::1", 9000, 0), 9);
	net_groups_free(groups);
}
END_TEST

START_TEST(finds_nothing_in_an_empty_table)
{
	struct net_groups *groups = net_groups_create(NULL, 0);

	ck_assert_ptr_nonnull(groups);
	ck_assert_int_eq(find(groups, "239.1.1.1", 9000, 0), -1);
	ck_assert_int_eq(find(groups, "0.0.0.0", 0, 0), -1);
	net_groups_free(groups);
	net_groups_free(NULL);
}
END_TEST

START_TEST(holds_many_groups)
{
	static struct net_group list[20000];
	uint32_t count = 0;
	struct net_groups *groups;
	char address[INET6_ADDRSTRLEN];

	for (uint32_t i = 0; i < 10000; i++) {
		for (uint16_t port = 9000; port < 9002; port++) {
			snprintf(address, sizeof(address), i % 2 ? "239.1.%u.%u" : "ff15::%x:%x",
			         i / 200, i % 200);
			list[count] = group(address, port, (uint16_t)(i % 3), (uint16_t)count);
			count++;
		}
	}
	groups = net_groups_create(list, count);
	ck_assert_ptr_nonnull(groups);
	for (uint32_t i = 0; i < count; i++) {
		inet_ntop(list[i].family, list[i].address, address, sizeof(address));
		ck_assert_int_eq(find(groups, address, list[i].udp_port, list[i].vlan), (int)i);
		ck_assert_int_eq(find(groups, address, 9200, list[i].vlan), -1);
	}
	net_groups_free(groups);
}
END_TEST

static void expect_refused(const struct net_group *list, uint32_t count, int error)
{
	errno = 0;
	ck_assert_ptr_null(net_groups_create(list, count));
	ck_assert_int_eq(errno, error);
}

START_TEST(refuses_what_it_cannot_hold)
{
	struct net_group twice[] = {group("239.1.1.1", 9000, 5, 1), group("239.1.1.1", 9000, 5, 2)};
	struct net_group bad = group("239.1.1.1", 9000, 0, 1);

	/* what stands behind an IPv4 address does not make it another */
	twice[1].address[4] = 1;
	expect_refused(twice, 2, EEXIST);
	bad.vlan = 4095;
	expect_refused(&bad, 1, EINVAL);
	bad = group("239.1.1.1", 9000, 0, 1);
	bad.udp_port = 0;
	expect_refused(&bad, 1, EINVAL);
	bad = group("239.1.1.1", 9000, 0, 1);
	bad.family = 0;
	expect_refused(&bad, 1, EINVAL);
	expect_refused(&bad, NET_GROUPS_MAX + 1, EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net_groups");
	TCase *tcase = tcase_create("groups");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, finds_groups_by_address_port_and_family);
	tcase_add_test(tcase, prefers_the_group_of_the_vlan);
	tcase_add_test(tcase, any_vlan_matches_without_vlan_groups);
	tcase_add_test(tcase, finds_nothing_in_an_empty_table);
	tcase_add_test(tcase, holds_many_groups);
	tcase_add_test(tcase, refuses_what_it_cannot_hold);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
