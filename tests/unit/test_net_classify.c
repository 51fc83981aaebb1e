/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_classify on frames written byte by byte. Every frame is copied into a block of exactly its
 * size (and once more at an odd address), so that a sanitizer sees each byte read beyond it.
 */
#include <check.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "net/classify.h"

static const struct net_classify_options verify = {NET_CHECKSUM_VERIFY, NET_CHECKSUM_VERIFY, 0};
static const struct net_classify_options good = {NET_CHECKSUM_GOOD, NET_CHECKSUM_GOOD, 0};
static const struct net_classify_options trust = {NET_CHECKSUM_TRUST, NET_CHECKSUM_TRUST, 0};

struct frame {
	uint8_t data[4096];
	uint32_t len;
	uint32_t ip;  /* offset of the IP header */
	uint32_t udp; /* offset of the UDP header */
};

static void put(struct frame *f, const void *bytes, uint32_t len)
{
	if (len > 0)
		memcpy(f->data + f->len, bytes, len);
	f->len += len;
}

#define PUT(f, ...)                                     \
	do {                                            \
		const uint8_t bytes_[] = {__VA_ARGS__}; \
		put(f, bytes_, sizeof(bytes_));         \
	} while (0)

static void set16(struct frame *f, uint32_t at, uint32_t value)
{
	f->data[at] = (uint8_t)(value >> 8);
	f->data[at + 1] = (uint8_t)value;
}

/* RFC 1071 as the RFC's text has it, on big-endian words: the peer of DPDK's */
static uint32_t sum_words(const uint8_t *at, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)at[i] << 8 : at[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void finish_ipv4(struct frame *f)
{
	uint32_t header_len = (f->data[f->ip] & 15u) * 4;

	set16(f, f->ip + 10, 0);
	set16(f, f->ip + 10, ~sum_words(f->data + f->ip, header_len, 0));
}

static void finish_udp(struct frame *f)
{
	uint32_t udp_len = (uint32_t)f->data[f->udp + 4] << 8 | f->data[f->udp + 5];
	uint32_t sum;

	set16(f, f->udp + 6, 0);
	if (f->data[f->ip] >> 4 == 4)
		sum = sum_words(f->data + f->ip + 12, 8, IPPROTO_UDP + udp_len);
	else
		sum = sum_words(f->data + f->ip + 8, 32, IPPROTO_UDP + udp_len);
	sum = ~sum_words(f->data + f->udp, udp_len, sum) & 0xffff;
	set16(f, f->udp + 6, sum == 0 ? 0xffff : sum);
}

static void start(struct frame *f)
{
	f->len = 0;
	PUT(f, 0x01, 0x00, 0x5e, 0x01, 0x01, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01);
}

static void put_udp(struct frame *f, const char *payload)
{
	uint32_t len = (uint32_t)strlen(payload);

	f->udp = f->len;
	PUT(f, 0x9c, 0x40, 0x23, 0x28, 0, (uint8_t)(8 + len), 0, 0); /* 40000 to 9000 */
	put(f, payload, len);
}

/* options: a multiple of four bytes */
static void put_ipv4(struct frame *f, const char *options, uint32_t options_len,
                     const char *payload)
{
	PUT(f, 0x08, 0x00);
	f->ip = f->len;
	PUT(f, (uint8_t)(0x45 + options_len / 4), 0, 0, 0, 0x12, 0x34, 0x40, 0, 16, IPPROTO_UDP, 0,
	    0, 10, 99, 0, 2, 239, 1, 1, 1);
	put(f, options, options_len);
	put_udp(f, payload);
	set16(f, f->ip + 2, f->len - f->ip);
	finish_ipv4(f);
	finish_udp(f);
}

/* chain: extension headers whose last names UDP; first: the type of the first */
static void put_ipv6(struct frame *f, uint8_t first, const uint8_t *chain, uint32_t chain_len,
                     const char *payload)
{
	PUT(f, 0x86, 0xdd);
	f->ip = f->len;
	PUT(f, 0x60, 0, 0, 0, 0, 0, first, 1);
	PUT(f, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2);
	PUT(f, 0xff, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34);
	put(f, chain, chain_len);
	put_udp(f, payload);
	set16(f, f->ip + 4, f->len - f->ip - 40);
	finish_udp(f);
}

static struct frame ipv4_frame(void)
{
	struct frame f;

	start(&f);
	put_ipv4(&f, "", 0, "\3BTCprice");
	return f;
}

static struct frame ipv6_frame(void)
{
	struct frame f;

	start(&f);
	put_ipv6(&f, IPPROTO_UDP, NULL, 0, "\3BTCprice");
	return f;
}

static enum reason classify_at(const struct frame *f, uint32_t shift,
                               const struct net_classify_options *options, struct net_packet *out)
{
	uint8_t *block = malloc(f->len + shift > 0 ? f->len + shift : 1);
	enum reason reason;

	ck_assert_ptr_nonnull(block);
	memcpy(block + shift, f->data, f->len);
	reason = net_classify(block + shift, f->len, options, out);
	free(block);
	return reason;
}

static enum reason classify(const struct frame *f, const struct net_classify_options *options,
                            struct net_packet *out)
{
	struct net_packet odd;
	enum reason reason = classify_at(f, 0, options, out);

	ck_assert_int_eq(classify_at(f, 1, options, &odd), reason);
	return reason;
}

#define expect(f, options, reason)                                     \
	do {                                                           \
		struct net_packet out_;                                \
		ck_assert_int_eq(classify(f, options, &out_), reason); \
	} while (0)

/* the datagram is found whole, and its parts where they stand */
static void expect_packet(const struct frame *f, const struct net_classify_options *options,
                          uint8_t family, uint16_t vlan, const char *payload)
{
	struct net_packet p;
	uint32_t address_len = family == AF_INET ? 4 : 16;

	ck_assert_int_eq(classify(f, options, &p), REASON_NONE);
	ck_assert_uint_eq(p.family, family);
	ck_assert_uint_eq(p.vlan, vlan);
	ck_assert_uint_eq(p.src_port, 40000);
	ck_assert_uint_eq(p.dst_port, 9000);
	ck_assert_uint_eq(p.src_offset, f->ip + (family == AF_INET ? 12u : 8u));
	ck_assert_uint_eq(p.dst_offset, p.src_offset + address_len);
	ck_assert_uint_eq(p.payload_offset, f->udp + 8);
	ck_assert_uint_eq(p.payload_len, strlen(payload));
	ck_assert_mem_eq(f->data + p.payload_offset, payload, p.payload_len);
}

START_TEST(finds_ipv4_datagram)
{
	struct frame f = ipv4_frame();

	expect_packet(&f, &verify, AF_INET, 0, "\3BTCprice");
	expect_packet(&f, &good, AF_INET, 0, "\3BTCprice");
	expect_packet(&f, &trust, AF_INET, 0, "\3BTCprice");
}
END_TEST

START_TEST(finds_ipv6_datagram)
{
	struct frame f = ipv6_frame();

	expect_packet(&f, &verify, AF_INET6, 0, "\3BTCprice");
	expect_packet(&f, &trust, AF_INET6, 0, "\3BTCprice");
}
END_TEST

START_TEST(finds_payloads_of_every_small_length)
{
	char payload[128] = "";
	struct frame f;

	for (uint32_t i = 0; i < 100; i++) {
		start(&f);
		put_ipv4(&f, "", 0, payload);
		expect_packet(&f, &verify, AF_INET, 0, payload);
		start(&f);
		put_ipv6(&f, IPPROTO_UDP, NULL, 0, payload);
		expect_packet(&f, &verify, AF_INET6, 0, payload);
		payload[i] = (char)(1 + i * 37 % 255);
	}
}
END_TEST

START_TEST(takes_ethernet_padding)
{
	struct frame f;

	start(&f);
	put_ipv4(&f, "", 0, "x");
	while (f.len < 60)
		PUT(&f, 0xee);
	expect_packet(&f, &verify, AF_INET, 0, "x");

	start(&f);
	put_ipv6(&f, IPPROTO_UDP, NULL, 0, "x");
	PUT(&f, 0xee, 0xee, 0xee);
	expect_packet(&f, &verify, AF_INET6, 0, "x");
}
END_TEST

START_TEST(takes_datagram_shorter_than_its_packet)
{
	struct frame f = ipv4_frame();

	set16(&f, f.udp + 4, 8 + 4);
	finish_udp(&f);
	expect_packet(&f, &verify, AF_INET, 0, "\3BTC");

	f = ipv6_frame();
	set16(&f, f.udp + 4, 8 + 4);
	finish_udp(&f);
	expect_packet(&f, &verify, AF_INET6, 0, "\3BTC");
}
END_TEST

START_TEST(takes_ipv4_options)
{
	char options[40];
	struct frame f;

	memset(options, 1, sizeof(options));
	for (uint32_t len = 4; len <= sizeof(options); len += 4) {
		start(&f);
		put_ipv4(&f, options, len, "\3BTCprice");
		expect_packet(&f, &verify, AF_INET, 0, "\3BTCprice");
	}
}
END_TEST

START_TEST(reads_vlan_tags)
{
	struct net_classify_options stripped = {NET_CHECKSUM_VERIFY, NET_CHECKSUM_VERIFY, 7};
	struct frame f;

	start(&f);
	PUT(&f, 0x81, 0x00, 0xe0 | 0x01, 0x23); /* priority 7, id 0x123 */
	put_ipv4(&f, "", 0, "x");
	expect_packet(&f, &verify, AF_INET, 0x123, "x");
	expect_packet(&f, &stripped, AF_INET, 0x123, "x");

	start(&f);
	PUT(&f, 0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 6);
	put_ipv6(&f, IPPROTO_UDP, NULL, 0, "x");
	expect_packet(&f, &verify, AF_INET6, 6, "x");

	start(&f);
	PUT(&f, 0x81, 0x00, 0, 5, 0x81, 0x00, 0, 6);
	put_ipv4(&f, "", 0, "x");
	expect_packet(&f, &verify, AF_INET, 6, "x");
	expect_packet(&f, &stripped, AF_INET, 6, "x");

	start(&f);
	put_ipv4(&f, "", 0, "x");
	expect_packet(&f, &stripped, AF_INET, 7, "x");
}
END_TEST

START_TEST(takes_priority_tag_for_no_vlan)
{
	struct net_classify_options stripped = {NET_CHECKSUM_VERIFY, NET_CHECKSUM_VERIFY, 7};
	struct frame f;

	start(&f);
	PUT(&f, 0x81, 0x00, 0xe0, 0x00);
	put_ipv4(&f, "", 0, "x");
	expect_packet(&f, &verify, AF_INET, 0, "x");
	expect_packet(&f, &stripped, AF_INET, 7, "x");
}
END_TEST

START_TEST(refuses_other_ethertypes)
{
	struct frame f;

	start(&f);
	PUT(&f, 0x08, 0x06, 0, 1, 8, 0, 6, 4); /* ARP */
	expect(&f, &verify, REASON_NOT_IP);
	start(&f);
	PUT(&f, 0x00, 0x26, 0x42, 0x42, 0x03); /* IEEE 802.3 length: spanning tree */
	expect(&f, &verify, REASON_NOT_IP);
	start(&f);
	PUT(&f, 0x81, 0x00, 0, 5, 0x81, 0x00, 0, 6, 0x81, 0x00, 0, 7); /* a third tag */
	put_ipv4(&f, "", 0, "x");
	expect(&f, &verify, REASON_NOT_IP);
	start(&f);
	PUT(&f, 0x91, 0x00, 0, 5); /* a TPID of no standard */
	put_ipv4(&f, "", 0, "x");
	expect(&f, &verify, REASON_NOT_IP);
}
END_TEST

/* cut anywhere, a frame is truncated, whatever the checksums */
static void expect_truncated_everywhere(struct frame f)
{
	uint32_t whole = f.len;

	for (f.len = 0; f.len < whole; f.len++) {
		expect(&f, &verify, REASON_TRUNCATED);
		expect(&f, &trust, REASON_TRUNCATED);
	}
	expect(&f, &verify, REASON_NONE);
}

START_TEST(finds_truncated_frames)
{
	static const uint8_t chain[] = {IPPROTO_UDP, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	struct frame f;

	expect_truncated_everywhere(ipv4_frame());
	expect_truncated_everywhere(ipv6_frame());
	start(&f);
	PUT(&f, 0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 6);
	put_ipv4(&f, "\1\1\1\1", 4, "x");
	expect_truncated_everywhere(f);
	start(&f);
	put_ipv6(&f, IPPROTO_HOPOPTS, chain, sizeof(chain), "x");
	expect_truncated_everywhere(f);
}
END_TEST

START_TEST(finds_announced_lengths_beyond_the_frame)
{
	struct frame f = ipv4_frame();

	set16(&f, f.ip + 2, 65535);
	finish_ipv4(&f);
	expect(&f, &verify, REASON_TRUNCATED);
	f = ipv6_frame();
	set16(&f, f.ip + 4, 65535);
	expect(&f, &verify, REASON_TRUNCATED);
}
END_TEST

START_TEST(finds_contradicting_ipv4_headers)
{
	struct frame f;

	for (uint32_t version = 0; version < 16; version++) {
		if (version == 4)
			continue;
		f = ipv4_frame();
		f.data[f.ip] = (uint8_t)(version << 4 | 5);
		finish_ipv4(&f);
		expect(&f, &verify, REASON_BAD_HEADER);
	}
	for (uint32_t words = 0; words < 5; words++) {
		f = ipv4_frame();
		f.data[f.ip] = (uint8_t)(0x40 | words);
		expect(&f, &trust, REASON_BAD_HEADER);
	}
	for (uint32_t total = 0; total < 20; total++) {
		f = ipv4_frame();
		set16(&f, f.ip + 2, total);
		finish_ipv4(&f);
		expect(&f, &verify, REASON_BAD_HEADER);
	}
	/* a header of 4 words, behind which a good UDP header would stand */
	f = ipv4_frame();
	f.data[f.ip] = 0x44;
	set16(&f, f.udp, 8);
	expect(&f, &trust, REASON_BAD_HEADER);
	/* 15 words of header in a packet of 37 bytes */
	f = ipv4_frame();
	f.data[f.ip] = 0x4f;
	expect(&f, &trust, REASON_BAD_HEADER);
}
END_TEST

START_TEST(finds_contradicting_udp_lengths)
{
	struct frame f;

	for (uint32_t len = 0; len < 8; len++) {
		f = ipv4_frame();
		set16(&f, f.udp + 4, len);
		expect(&f, &verify, REASON_BAD_HEADER);
		f = ipv6_frame();
		set16(&f, f.udp + 4, len);
		expect(&f, &verify, REASON_BAD_HEADER);

		/* the IP packet ends inside the UDP header */
		f = ipv4_frame();
		set16(&f, f.ip + 2, 20 + len);
		finish_ipv4(&f);
		expect(&f, &verify, REASON_BAD_HEADER);
		f = ipv6_frame();
		set16(&f, f.ip + 4, len);
		expect(&f, &verify, REASON_BAD_HEADER);
	}
	f = ipv4_frame();
	set16(&f, f.udp + 4, 8 + 9 + 1);
	expect(&f, &verify, REASON_BAD_HEADER);
	PUT(&f, 0, 0, 0, 0); /* padding makes no room for it */
	expect(&f, &trust, REASON_BAD_HEADER);
	f = ipv6_frame();
	set16(&f, f.udp + 4, 65535);
	expect(&f, &trust, REASON_BAD_HEADER);
}
END_TEST

START_TEST(finds_contradicting_ipv6_headers)
{
	struct frame f = ipv6_frame();

	f.data[f.ip] = 0x40;
	expect(&f, &verify, REASON_BAD_HEADER);
	f.data[f.ip] = 0x70;
	expect(&f, &trust, REASON_BAD_HEADER);

	/* a jumbogram: payload length 0 */
	f = ipv6_frame();
	set16(&f, f.ip + 4, 0);
	expect(&f, &trust, REASON_BAD_HEADER);
}
END_TEST

START_TEST(finds_every_flipped_bit)
{
	struct frame f = ipv4_frame();

	for (uint32_t bit = 8 * (f.ip + 10); bit < 8 * (f.ip + 20); bit++) {
		f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		expect(&f, &verify, REASON_BAD_CHECKSUM);
		f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (uint32_t bit = 8 * (f.udp + 6); bit < 8 * f.len; bit++) {
		f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		expect(&f, &verify, REASON_BAD_CHECKSUM);
		expect(&f, &good, REASON_NONE);
		f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	f = ipv6_frame();
	for (uint32_t bit = 8 * (f.ip + 8); bit < 8 * f.len; bit++) {
		if (bit / 8 == f.udp + 4 || bit / 8 == f.udp + 5)
			continue;
		f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		expect(&f, &verify, REASON_BAD_CHECKSUM);
		expect(&f, &trust, REASON_NONE);
		f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(obeys_each_checksum_option_alone)
{
	struct net_classify_options only_ipv4 = {NET_CHECKSUM_VERIFY, NET_CHECKSUM_TRUST, 0};
	struct net_classify_options only_udp = {NET_CHECKSUM_GOOD, NET_CHECKSUM_VERIFY, 0};
	struct frame bad_ipv4 = ipv4_frame();
	struct frame bad_udp = ipv4_frame();

	bad_ipv4.data[bad_ipv4.ip + 10] ^= 1;
	expect(&bad_ipv4, &only_ipv4, REASON_BAD_CHECKSUM);
	expect(&bad_ipv4, &only_udp, REASON_NONE);
	bad_udp.data[bad_udp.udp + 6] ^= 1;
	expect(&bad_udp, &only_ipv4, REASON_NONE);
	expect(&bad_udp, &only_udp, REASON_BAD_CHECKSUM);
}
END_TEST

START_TEST(knows_the_missing_udp_checksum)
{
	struct frame f = ipv4_frame();

	set16(&f, f.udp + 6, 0);
	expect_packet(&f, &verify, AF_INET, 0, "\3BTCprice");
	f = ipv6_frame();
	set16(&f, f.udp + 6, 0);
	expect(&f, &verify, REASON_BAD_CHECKSUM);
	expect(&f, &good, REASON_BAD_CHECKSUM);
	expect(&f, &trust, REASON_NONE);
}
END_TEST

START_TEST(takes_a_udp_checksum_of_all_ones)
{
	struct frame f = ipv4_frame();
	uint32_t sum;

	/* choose the source port so that the sum is zero, which is sent as 0xffff */
	set16(&f, f.udp, 0);
	finish_udp(&f);
	sum = (uint32_t)f.data[f.udp + 6] << 8 | f.data[f.udp + 7];
	set16(&f, f.udp, sum);
	finish_udp(&f);
	ck_assert_uint_eq(f.data[f.udp + 6], 0xff);
	ck_assert_uint_eq(f.data[f.udp + 7], 0xff);
	expect(&f, &verify, REASON_NONE);
}
END_TEST

START_TEST(finds_fragments)
{
	static const uint8_t fragment[] = {IPPROTO_UDP, 0, 0, 1, 0, 0, 0, 9};
	static const uint8_t atomic[] = {IPPROTO_UDP, 0, 0, 0, 0, 0, 0, 9};
	static const uint8_t behind[] = {IPPROTO_FRAGMENT, 0, 1, 4, 0, 0, 0, 0,
	                                 IPPROTO_UDP,      0, 0, 8, 0, 0, 0, 9};
	struct frame f = ipv4_frame();

	set16(&f, f.ip + 6, 0x2000); /* more to come */
	finish_ipv4(&f);
	expect(&f, &verify, REASON_FRAGMENT);
	set16(&f, f.ip + 6, 0x0001); /* the last */
	finish_ipv4(&f);
	expect(&f, &verify, REASON_FRAGMENT);
	set16(&f, f.ip + 6, 0x8000); /* reserved bit: no fragment */
	finish_ipv4(&f);
	expect(&f, &verify, REASON_NONE);

	start(&f);
	put_ipv6(&f, IPPROTO_FRAGMENT, fragment, sizeof(fragment), "x");
	expect(&f, &verify, REASON_FRAGMENT);
	start(&f);
	put_ipv6(&f, IPPROTO_FRAGMENT, atomic, sizeof(atomic), "x");
	expect(&f, &verify, REASON_FRAGMENT);
	start(&f);
	put_ipv6(&f, IPPROTO_HOPOPTS, behind, sizeof(behind), "x");
	expect(&f, &verify, REASON_FRAGMENT);
}
END_TEST

START_TEST(refuses_other_protocols)
{
	static const uint8_t others[] = {IPPROTO_ICMP, IPPROTO_IGMP, IPPROTO_TCP, IPPROTO_ICMPV6,
	                                 IPPROTO_ESP,  IPPROTO_AH,   IPPROTO_NONE};

	for (uint32_t i = 0; i < sizeof(others); i++) {
		struct frame f = ipv4_frame();

		f.data[f.ip + 9] = others[i];
		finish_ipv4(&f);
		expect(&f, &verify, REASON_NOT_UDP);
		f = ipv6_frame();
		f.data[f.ip + 6] = others[i];
		expect(&f, &verify, REASON_NOT_UDP);
	}
}
END_TEST

START_TEST(walks_ipv6_extension_headers)
{
	static const uint8_t chain[] = {
	    IPPROTO_ROUTING, 0, 1, 4,  0, 0, 0, 0, /* hop-by-hop */
	    IPPROTO_DSTOPTS, 0, 2, 0,  0, 0, 0, 0, /* no segment left */
	    IPPROTO_UDP,     1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	struct frame f;

	start(&f);
	put_ipv6(&f, IPPROTO_HOPOPTS, chain, sizeof(chain), "\3BTCprice");
	expect_packet(&f, &verify, AF_INET6, 0, "\3BTCprice");

	/* the same, with a segment left */
	f.data[f.ip + 40 + 8 + 3] = 1;
	expect(&f, &verify, REASON_BAD_HEADER);

	/* hop-by-hop options in second place */
	start(&f);
	put_ipv6(&f, IPPROTO_HOPOPTS, chain, sizeof(chain), "x");
	f.data[f.ip + 40] = IPPROTO_HOPOPTS;
	expect(&f, &verify, REASON_BAD_HEADER);

	/* a header that ends beyond the packet */
	start(&f);
	put_ipv6(&f, IPPROTO_DSTOPTS, chain + 16, 16, "x");
	f.data[f.ip + 40 + 1] = 255;
	expect(&f, &verify, REASON_BAD_HEADER);

	/* a packet that ends inside a header's first bytes */
	start(&f);
	put_ipv6(&f, IPPROTO_DSTOPTS, chain + 16, 16, "x");
	for (uint32_t len = 0; len < 16; len++) {
		set16(&f, f.ip + 4, len);
		expect(&f, &verify, REASON_BAD_HEADER);
	}
	/* and the frame with it */
	for (uint32_t len = 0; len < 16; len++) {
		set16(&f, f.ip + 4, len);
		f.len = f.ip + 40 + len;
		expect(&f, &verify, REASON_BAD_HEADER);
	}
}
END_TEST

START_TEST(bounds_the_walk_over_extension_headers)
{
	uint8_t chain[8 * (NET_IPV6_EXTENSIONS_MAX + 1)] = {0};
	struct frame f;

	for (uint32_t i = 0; i < sizeof(chain); i += 8)
		chain[i] = IPPROTO_DSTOPTS;
	chain[sizeof(chain) - 8] = IPPROTO_UDP;
	start(&f);
	put_ipv6(&f, IPPROTO_DSTOPTS, chain, sizeof(chain), "x");
	expect(&f, &verify, REASON_BAD_HEADER);
	start(&f);
	put_ipv6(&f, IPPROTO_DSTOPTS, chain + 8, sizeof(chain) - 8, "x");
	expect_packet(&f, &verify, AF_INET6, 0, "x");
}
END_TEST

/* whatever the bytes, what is found lies inside the frame */
static void expect_inside(const struct frame *f, const struct net_classify_options *options)
{
	struct net_packet p;

	if (classify(f, options, &p) != REASON_NONE)
		return;
	ck_assert_uint_le((uint32_t)p.payload_offset + p.payload_len, f->len);
	ck_assert_uint_le(p.dst_offset + (p.family == AF_INET ? 4u : 16u), p.payload_offset);
}

START_TEST(stays_inside_frames_of_random_bytes)
{
	uint64_t random = 42;

	for (int round = 0; round < 200000; round++) {
		struct frame f = round % 2 ? ipv4_frame() : ipv6_frame();

		for (int flips = round % 7; flips >= 0; flips--) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			f.data[14 + (random >> 33) % (f.len - 14)] = (uint8_t)(random >> 56);
		}
		f.len -= (random >> 40) % 4 == 0 ? (random >> 42) % f.len : 0;
		expect_inside(&f, &trust);
		expect_inside(&f, &verify);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net_classify");
	TCase *tcase = tcase_create("frames");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, finds_ipv4_datagram);
	tcase_add_test(tcase, finds_ipv6_datagram);
	tcase_add_test(tcase, finds_payloads_of_every_small_length);
	tcase_add_test(tcase, takes_ethernet_padding);
	tcase_add_test(tcase, takes_datagram_shorter_than_its_packet);
	tcase_add_test(tcase, takes_ipv4_options);
	tcase_add_test(tcase, reads_vlan_tags);
	tcase_add_test(tcase, takes_priority_tag_for_no_vlan);
	tcase_add_test(tcase, refuses_other_ethertypes);
	tcase_add_test(tcase, finds_truncated_frames);
	tcase_add_test(tcase, finds_announced_lengths_beyond_the_frame);
	tcase_add_test(tcase, finds_contradicting_ipv4_headers);
	tcase_add_test(tcase, finds_contradicting_udp_lengths);
	tcase_add_test(tcase, finds_contradicting_ipv6_headers);
	tcase_add_test(tcase, finds_every_flipped_bit);
	tcase_add_test(tcase, obeys_each_checksum_option_alone);
	tcase_add_test(tcase, knows_the_missing_udp_checksum);
	tcase_add_test(tcase, takes_a_udp_checksum_of_all_ones);
	tcase_add_test(tcase, finds_fragments);
	tcase_add_test(tcase, refuses_other_protocols);
	tcase_add_test(tcase, walks_ipv6_extension_headers);
	tcase_add_test(tcase, bounds_the_walk_over_extension_headers);
	tcase_add_test(tcase, stays_inside_frames_of_random_bytes);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
