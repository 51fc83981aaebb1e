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

#include <stdint.h>

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

/*
 * Classify the `len` bytes at `frame`, which may have any alignment; nothing beyond them is read.
 *
 * Returns REASON_NONE and fills *out for a whole UDP datagram whose checksums are good. Otherwise
 * *out is undefined and the reason is, in this order of inspection: TRUNCATED     the frame ends
 * before what its headers announce NOT_IP        another EtherType, a third tag, an IEEE 802.3
 * length BAD_HEADER    wrong IP version, IHL < 5, a length below its own header or above its
 * container (total length, UDP length, extension headers), a jumbogram, hop-by-hop options not in
 * first place, a routing header with segments left, more than NET_IPV6_EXTENSIONS_MAX headers
 *   BAD_CHECKSUM  as asked for; UDP over IPv6 without a checksum (unless trusted). No UDP checksum
 * is fine over IPv4 FRAGMENT      IPv4 with an offset or more to come; any IPv6 fragment header,
 * atomic ones too NOT_UDP       another protocol Bytes behind the IP packet are Ethernet padding,
 * bytes behind the datagram inside the IP packet are left out of the payload: both are fine.
 *
 * Any thread; keeps no state.
 */
enum reason net_classify(const uint8_t *frame, uint32_t len,
                         const struct net_classify_options *options, struct net_packet *out);

#endif
