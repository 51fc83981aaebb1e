/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a received Ethernet frame is: a UDP datagram, and where its parts stand, or why it is not
 * one.
 *
 * Ethernet II, up to two tags in the frame (TPID 0x8100 or 0x88a8, IEEE 802.1Q and 802.1ad), IPv4
 * (RFC 791) with options, IPv6 (RFC 8200) with hop-by-hop, routing and destination options, UDP
 * (RFC 768).
 */
#ifndef NET_CLASSIFY_H
#define NET_CLASSIFY_H

#include <arpa/inet.h>
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>

#include "metrics/reasons.h"

/* extension headers that are walked before an IPv6 packet is given up as REASON_BAD_HEADER */
#define NET_IPV6_EXTENSIONS_MAX 8

enum net_checksum {
	NET_CHECKSUM_VERIFY, /* in software; also for what hardware calls bad: software decides */
	NET_CHECKSUM_GOOD,   /* hardware has found it right */
	NET_CHECKSUM_TRUST,  /* not looked at: local senders leave it unfinished */
};

/* per frame, because hardware reports per frame */
struct net_classify_options {
	uint8_t ipv4;  /* enum net_checksum, of the IPv4 header */
	uint8_t udp;   /* enum net_checksum, of the datagram */
	uint16_t vlan; /* id of a tag that hardware has taken off, 0: none */
};

/* offsets count from the first byte of the frame; ports and ids are in host order */
struct net_packet {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint16_t vlan;  /* id of the innermost tag, 0: none. A priority tag (id 0) is no VLAN */
	uint16_t src_offset; /* source address, 4 or 16 bytes */
	uint16_t dst_offset; /* destination address, 4 or 16 bytes */
	uint16_t src_port;
	uint16_t dst_port;
	uint16_t payload_offset;
	uint16_t payload_len; /* 0..65527 */
};

#define NET_PLAIN_IP        14 /* where the parts of a plain frame stand */
#define NET_PLAIN_UDP       34
#define NET_PLAIN_PAYLOAD   42
#define NET_PLAIN_TYPE      0x450008   /* 08 00 45: IPv4, version 4, a header of 5 words */
#define NET_PLAIN_WHOLE_UDP 0x11000000 /* 00 00 .. 11: no fragment, protocol 17 */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "words are compared and summed as they stand");

/* one's complement addition of 64-bit words; it folds to the Internet checksum (RFC 1071) whatever the size of the
 * words is */
static inline uint64_t net_sum_add(uint64_t sum, uint64_t word)
{
	sum += word;
	return sum + (sum < word);
}

static inline uint64_t net_load_word(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static inline uint64_t net_sum_32(uint64_t sum, const uint8_t *at)
{
#ifdef __x86_64__
	/* compilers make no chain of carries of the loop below */
	__asm__(
	    "addq (%1), %0\n\tadcq 8(%1), %0\n\tadcq 16(%1), %0\n\tadcq 24(%1), %0\n\tadcq $0, %0"
	    : "+&r"(sum)
	    : "r"(at), "m"(*(const uint8_t(*)[32])at)
	    : "cc");
	return sum;
#else
	for (uint32_t i = 0; i < 32; i += 8)
		sum = net_sum_add(sum, net_load_word(at + i));
	return sum;
#endif
}

static inline uint64_t net_sum_16(uint64_t sum, const uint8_t *at)
{
	return net_sum_add(net_sum_add(sum, net_load_word(at)), net_load_word(at + 8));
}

/* sum and the `len` bytes at `at`, with zeros up to a whole word; 8 readable bytes stand in front of `at` */
static inline uint64_t net_sum(uint64_t sum, const uint8_t *at, uint32_t len)
{
	const uint8_t *end = at + len, *stop = at + (len & ~31u);

	for (; at != stop; at += 32)
		sum = net_sum_32(sum, at);
	if (len & 16) {
		sum = net_sum_16(sum, at);
		at += 16;
	}
	if (len & 8)
		sum = net_sum_add(sum, net_load_word(at));
	len &= 7;
	if (len > 0)
		sum = net_sum_add(sum, net_load_word(end - 8) >> (64 - 8 * len));
	return sum;
}

/* sum: of something that is not all 0, as a header never is. Folded to 16 bits it is all ones: a multiple of them */
static inline bool net_sum_is_good(uint64_t sum)
{
	return sum % 0xffff == 0;
}

/* What nearly every frame is: untagged, IPv4 without options, whole, UDP, right; its payload stands at
 * NET_PLAIN_PAYLOAD. options: no tag was taken off. false: it is something else, or wrong; net_classify_any says
 * what */
static inline bool net_classify_plain(const uint8_t *frame, uint32_t len,
                                      struct net_classify_options options, uint32_t *payload_len)
{
	uint32_t type, last, total_len, udp_len;
	uint16_t checksum, length[2];

	if (unlikely(len < NET_PLAIN_PAYLOAD))
		return false;
	memcpy(&type, frame + 12, 4); /* EtherType, version and header length, (service) */
	memcpy(&last, frame + 20, 4); /* fragment, (time to live), protocol */
	if (unlikely((type & 0xffffff) != NET_PLAIN_TYPE ||
	             (last & 0xff00ff3f) != NET_PLAIN_WHOLE_UDP))
		return false;
	memcpy(&length[0], frame + NET_PLAIN_IP + 2, 2);
	memcpy(&length[1], frame + NET_PLAIN_UDP + 4, 2);
	/* one rotation each; rte_be_to_cpu_16 is an xchg of two bytes on x86, which takes three times as long */
	total_len = ntohs(length[0]);
	udp_len = ntohs(length[1]);
	if (unlikely(total_len > len - NET_PLAIN_IP || udp_len + 20 > total_len || udp_len < 8))
		return false;
	memcpy(&last, frame + 30, 4);
	if (options.ipv4 == NET_CHECKSUM_VERIFY &&
	    unlikely(
	        !net_sum_is_good(net_sum_add(net_sum_add(net_load_word(frame + NET_PLAIN_IP),
	                                                 net_load_word(frame + NET_PLAIN_IP + 8)),
	                                     last))))
		return false;
	memcpy(&checksum, frame + NET_PLAIN_UDP + 6, 2);
	/* the addresses stand in front of the datagram: the pseudo header is these, its length and the protocol */
	if (options.udp == NET_CHECKSUM_VERIFY && checksum != 0 &&
	    unlikely(!net_sum_is_good(
	        net_sum(length[1] + (17u << 8), frame + NET_PLAIN_UDP - 8, udp_len + 8))))
		return false;
	*payload_len = udp_len - 8;
	return true;
}

enum reason net_classify_any(const uint8_t *frame, uint32_t len,
                             const struct net_classify_options *options, struct net_packet *out);

/*
 * Classify the `len` bytes at `frame`, which may have any alignment; nothing beyond them is read.
 *
 * Returns REASON_NONE and fills *out for a whole UDP datagram whose checksums are good. Otherwise *out is undefined and
 * the reason is, in this order of inspection:
 *   TRUNCATED     the frame ends before what its headers announce
 *   NOT_IP        another EtherType, a third tag, an IEEE 802.3 length
 *   BAD_HEADER    wrong IP version, IHL < 5, a length below its own header or above its container (total length, UDP
 *                 length, extension headers), a jumbogram, hop-by-hop options not in first place, a routing header
 *                 with segments left, more than NET_IPV6_EXTENSIONS_MAX headers
 *   BAD_CHECKSUM  as asked for; UDP over IPv6 without a checksum (unless trusted). No UDP checksum is fine over IPv4
 *   FRAGMENT      IPv4 with an offset or more to come; any IPv6 fragment header, atomic ones too
 *   NOT_UDP       another protocol
 * Bytes behind the IP packet are Ethernet padding, bytes behind the datagram inside the IP packet are left out of the
 * payload: both are fine.
 *
 * Any thread; keeps no state.
 */
static inline enum reason net_classify(const uint8_t *frame, uint32_t len,
                                       const struct net_classify_options *options,
                                       struct net_packet *out)
{
	uint32_t payload_len;
	uint16_t port[2];

	if (unlikely(options->vlan != 0 || !net_classify_plain(frame, len, *options, &payload_len)))
		return net_classify_any(frame, len, options, out);
	memcpy(port, frame + NET_PLAIN_UDP, sizeof(port));
	*out = (struct net_packet){
	    .family = AF_INET,
	    .src_offset = 26,
	    .dst_offset = 30,
	    .src_port = rte_be_to_cpu_16(port[0]),
	    .dst_port = rte_be_to_cpu_16(port[1]),
	    .payload_offset = NET_PLAIN_PAYLOAD,
	    .payload_len = (uint16_t)payload_len,
	};
	return REASON_NONE;
}

#endif
