/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include <stddef.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

bool frame_fits(const struct datagram *d)
{
	uint32_t headers = sizeof(struct rte_udp_hdr);

	if (d->to.any.sa_family == AF_INET)
		headers += sizeof(struct rte_ipv4_hdr);
	return d->len + headers <= UINT16_MAX;
}

/* the group's address where it is one (RFC 1112, RFC 2464) */
static void write_destination_mac(const struct destination *to, uint8_t mac[6])
{
	static const uint8_t host[6] = {2, 0, 0, 0, 0, 2};
	const uint8_t *v4 = (const uint8_t *)&to->v4.sin_addr;
	const uint8_t *v6 = to->v6.sin6_addr.s6_addr;

	if (to->any.sa_family == AF_INET && IN_MULTICAST(ntohl(to->v4.sin_addr.s_addr))) {
		const uint8_t group[6] = {0x01, 0x00, 0x5e, v4[1] & 0x7f, v4[2], v4[3]};

		memcpy(mac, group, sizeof(group));
	} else if (to->any.sa_family == AF_INET6 && v6[0] == 0xff) {
		const uint8_t group[6] = {0x33, 0x33, v6[12], v6[13], v6[14], v6[15]};

		memcpy(mac, group, sizeof(group));
	} else {
		memcpy(mac, host, sizeof(host));
	}
}

static uint32_t put16(uint8_t *frame, uint32_t at, uint16_t value)
{
	value = rte_cpu_to_be_16(value);
	memcpy(frame + at, &value, sizeof(value));
	return at + sizeof(value);
}

static uint32_t write_ethernet(const struct options *o, const struct frame_source *source,
                               const struct destination *to, uint8_t *frame)
{
	uint32_t at = offsetof(struct rte_ether_hdr, ether_type);

	write_destination_mac(to, frame);
	memcpy(frame + offsetof(struct rte_ether_hdr, src_addr), source->mac, RTE_ETHER_ADDR_LEN);
	for (uint32_t i = 0; i < o->vlan_count; i++) {
		at = put16(frame, at,
		           i + 1 < o->vlan_count ? RTE_ETHER_TYPE_QINQ : RTE_ETHER_TYPE_VLAN);
		at = put16(frame, at, o->vlan[i]);
	}
	return put16(frame, at,
	             to->any.sa_family == AF_INET ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6);
}

static uint32_t write_ipv4(const struct options *o, const struct frame_source *source,
                           const struct datagram *d, uint8_t *at)
{
	struct rte_ipv4_hdr ip = {
	    .version_ihl = RTE_IPV4_VHL_DEF,
	    .total_length =
	        rte_cpu_to_be_16((uint16_t)(sizeof(ip) + sizeof(struct rte_udp_hdr) + d->len)),
	    .fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG),
	    .time_to_live = (uint8_t)o->ttl,
	    .next_proto_id = IPPROTO_UDP,
	    .src_addr = source->v4.s_addr,
	    .dst_addr = d->to.v4.sin_addr.s_addr,
	};

	ip.hdr_checksum = rte_ipv4_cksum(&ip);
	memcpy(at, &ip, sizeof(ip));
	return sizeof(ip);
}

static uint32_t write_ipv6(const struct options *o, const struct frame_source *source,
                           const struct datagram *d, uint8_t *at)
{
	struct rte_ipv6_hdr ip = {
	    .vtc_flow = rte_cpu_to_be_32(6u << 28),
	    .payload_len = rte_cpu_to_be_16((uint16_t)(sizeof(struct rte_udp_hdr) + d->len)),
	    .proto = IPPROTO_UDP,
	    .hop_limits = (uint8_t)o->ttl,
	};

	memcpy(ip.src_addr, &source->v6, sizeof(ip.src_addr));
	memcpy(ip.dst_addr, &d->to.v6.sin6_addr, sizeof(ip.dst_addr));
	memcpy(at, &ip, sizeof(ip));
	return sizeof(ip);
}

static uint32_t write_udp(const struct datagram *d, const uint8_t *ip, uint8_t *at)
{
	bool is_v4 = d->to.any.sa_family == AF_INET;
	struct rte_udp_hdr udp = {
	    .src_port = rte_cpu_to_be_16(FRAME_SOURCE_PORT),
	    /* the port stands at the same place in both forms of an address */
	    .dst_port = d->to.v4.sin_port,
	    .dgram_len = rte_cpu_to_be_16((uint16_t)(sizeof(udp) + d->len)),
	};

	memcpy(at, &udp, sizeof(udp));
	memcpy(at + sizeof(udp), d->data, d->len);
	udp.dgram_cksum = is_v4 ? rte_ipv4_udptcp_cksum((const struct rte_ipv4_hdr *)ip, at)
	                        : rte_ipv6_udptcp_cksum((const struct rte_ipv6_hdr *)ip, at);
	memcpy(at + offsetof(struct rte_udp_hdr, dgram_cksum), &udp.dgram_cksum,
	       sizeof(udp.dgram_cksum));
	return sizeof(udp) + d->len;
}

uint32_t frame_write(const struct options *o, const struct frame_source *source,
                     const struct datagram *d, uint8_t frame[FRAME_SIZE])
{
	uint32_t ip = write_ethernet(o, source, &d->to, frame);
	uint32_t udp = ip;

	udp += d->to.any.sa_family == AF_INET ? write_ipv4(o, source, d, frame + ip)
	                                      : write_ipv6(o, source, d, frame + ip);
	return udp + write_udp(d, frame + ip, frame + udp);
}
