/* SPDX-License-Identifier: Apache-2.0 */
#include "net/classify.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

/* the IP payload from `at` on: its container has been checked against the frame */
struct cursor {
	const uint8_t *frame;
	uint32_t at;
	uint32_t end; /* of the IP packet, <= length of the frame */
};

static inline uint16_t load_be16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return rte_be_to_cpu_16(value);
}

/* rte_ipv4_udptcp_cksum_verify() would sum up to total_length; the datagram may end before that */
static inline bool udp_sum_is_good(const uint8_t *udp, uint32_t udp_len, const uint8_t *addresses,
                                   uint32_t addresses_len)
{
	uint32_t pseudo =
	    (uint32_t)rte_cpu_to_be_16((uint16_t)udp_len) + rte_cpu_to_be_16(IPPROTO_UDP);

	return net_sum_is_good(net_sum(net_sum(pseudo, addresses, addresses_len), udp, udp_len));
}

static __rte_always_inline enum reason classify_udp(const struct cursor *c,
                                                    const struct net_classify_options *options,
                                                    uint32_t addresses_len, struct net_packet *out)
{
	const uint8_t *at = c->frame + c->at;
	const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)at;
	uint32_t room = c->end - c->at;
	uint32_t udp_len;

	if (unlikely(room < sizeof(*udp)))
		return REASON_BAD_HEADER;
	udp_len = rte_be_to_cpu_16(udp->dgram_len);
	if (unlikely(udp_len < sizeof(*udp) || udp_len > room))
		return REASON_BAD_HEADER;

	if (options->udp != NET_CHECKSUM_TRUST) {
		if (udp->dgram_cksum == 0) {
			if (out->family == AF_INET6)
				return REASON_BAD_CHECKSUM;
		} else if (options->udp == NET_CHECKSUM_VERIFY &&
		           !udp_sum_is_good(at, udp_len, c->frame + out->src_offset,
		                            addresses_len)) {
			return REASON_BAD_CHECKSUM;
		}
	}
	out->src_port = rte_be_to_cpu_16(udp->src_port);
	out->dst_port = rte_be_to_cpu_16(udp->dst_port);
	out->payload_offset = (uint16_t)(c->at + sizeof(*udp));
	out->payload_len = (uint16_t)(udp_len - sizeof(*udp));
	return REASON_NONE;
}

static __rte_always_inline enum reason
classify_ipv4(struct cursor *c, const struct net_classify_options *options, struct net_packet *out)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(c->frame + c->at);
	uint32_t room = c->end - c->at;
	uint32_t header_len, total_len;

	if (unlikely(room < sizeof(*ip)))
		return REASON_TRUNCATED;
	header_len = rte_ipv4_hdr_len(ip);
	total_len = rte_be_to_cpu_16(ip->total_length);
	if (unlikely(ip->version_ihl >> 4 != 4 || header_len < sizeof(*ip) ||
	             total_len < header_len))
		return REASON_BAD_HEADER;
	if (unlikely(total_len > room))
		return REASON_TRUNCATED;
	if (options->ipv4 == NET_CHECKSUM_VERIFY &&
	    !net_sum_is_good(net_sum(0, c->frame + c->at, header_len)))
		return REASON_BAD_CHECKSUM;
	if (unlikely(ip->fragment_offset &
	             rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)))
		return REASON_FRAGMENT;
	if (ip->next_proto_id != IPPROTO_UDP)
		return REASON_NOT_UDP;

	out->family = AF_INET;
	out->src_offset = (uint16_t)(c->at + offsetof(struct rte_ipv4_hdr, src_addr));
	out->dst_offset = (uint16_t)(c->at + offsetof(struct rte_ipv4_hdr, dst_addr));
	c->end = c->at + total_len;
	c->at += header_len;
	return classify_udp(c, options, 2 * sizeof(ip->dst_addr), out);
}

/* step over one extension header of type `*next`; *next becomes the type of what follows */
static enum reason skip_extension(struct cursor *c, uint8_t *next)
{
	const uint8_t *at = c->frame + c->at;
	uint32_t room = c->end - c->at;
	uint32_t extension_len;

	if (room < 8)
		return REASON_BAD_HEADER;
	extension_len = 8 + 8 * (uint32_t)at[1];
	if (extension_len > room)
		return REASON_BAD_HEADER;
	/* with segments left, the destination is a router on the way, not the receiver */
	if (*next == IPPROTO_ROUTING && at[3] != 0)
		return REASON_BAD_HEADER;
	*next = at[0];
	c->at += extension_len;
	return REASON_NONE;
}

static enum reason walk_extensions(struct cursor *c, uint8_t next)
{
	for (uint32_t walked = 0; walked <= NET_IPV6_EXTENSIONS_MAX; walked++) {
		enum reason reason;

		switch (next) {
		case IPPROTO_UDP:
			return REASON_NONE;
		case IPPROTO_FRAGMENT:
			return REASON_FRAGMENT;
		case IPPROTO_HOPOPTS:
			if (walked != 0)
				return REASON_BAD_HEADER;
			break;
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			break;
		default:
			return REASON_NOT_UDP;
		}
		reason = skip_extension(c, &next);
		if (reason != REASON_NONE)
			return reason;
	}
	return REASON_BAD_HEADER;
}

static enum reason classify_ipv6(struct cursor *c, const struct net_classify_options *options,
                                 struct net_packet *out)
{
	const uint8_t *at = c->frame + c->at;
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)at;
	uint32_t room = c->end - c->at;
	uint32_t payload_len;
	enum reason reason;

	if (unlikely(room < sizeof(*ip)))
		return REASON_TRUNCATED;
	if (unlikely(at[0] >> 4 != 6))
		return REASON_BAD_HEADER;
	payload_len = rte_be_to_cpu_16(ip->payload_len);
	if (unlikely(payload_len > room - sizeof(*ip)))
		return REASON_TRUNCATED;

	out->family = AF_INET6;
	out->src_offset = (uint16_t)(c->at + offsetof(struct rte_ipv6_hdr, src_addr));
	out->dst_offset = (uint16_t)(c->at + offsetof(struct rte_ipv6_hdr, dst_addr));
	c->at += sizeof(*ip);
	c->end = c->at + payload_len;
	reason = walk_extensions(c, ip->proto);
	if (unlikely(reason != REASON_NONE))
		return reason;
	return classify_udp(c, options, 2 * sizeof(ip->dst_addr), out);
}

enum reason net_classify_any(const uint8_t *frame, uint32_t len,
                             const struct net_classify_options *options, struct net_packet *out)
{
	struct cursor c = {.frame = frame, .at = RTE_ETHER_HDR_LEN, .end = len};
	uint16_t ether_type;

	if (unlikely(len < RTE_ETHER_HDR_LEN))
		return REASON_TRUNCATED;
	ether_type = load_be16(frame + offsetof(struct rte_ether_hdr, ether_type));
	out->vlan = options->vlan;
	for (int tags = 0; tags < 2; tags++) {
		uint16_t id;

		if (likely(ether_type != RTE_ETHER_TYPE_VLAN && ether_type != RTE_ETHER_TYPE_QINQ))
			break;
		if (unlikely(len - c.at < sizeof(struct rte_vlan_hdr)))
			return REASON_TRUNCATED;
		id = load_be16(frame + c.at) & 0x0fff;
		if (id != 0)
			out->vlan = id;
		ether_type = load_be16(frame + c.at + offsetof(struct rte_vlan_hdr, eth_proto));
		c.at += sizeof(struct rte_vlan_hdr);
	}
	if (ether_type == RTE_ETHER_TYPE_IPV4)
		return classify_ipv4(&c, options, out);
	if (ether_type == RTE_ETHER_TYPE_IPV6)
		return classify_ipv6(&c, options, out);
	return REASON_NOT_IP;
}
