/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which feed a datagram belongs to: from VLAN, destination address and UDP port to the feed's
 * index. Built once at start, one table a port; read-only afterwards, so any number of lcores may
 * share it.
 */
#ifndef NET_GROUPS_H
#define NET_GROUPS_H

#include <stdint.h>

#include "net/classify.h"

#define NET_GROUPS_MAX 65536

struct net_group {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t
	    address[16]; /* network order; the first 4 bytes for AF_INET, the others are ignored */
	uint16_t udp_port; /* 1..65535, host order */
	uint16_t vlan;     /* 1..4094: only this VLAN; 0: any VLAN, or none */
	uint16_t feed;     /* what net_groups_find returns */
};

struct net_groups;

/* Copies what it needs of `count` (0..NET_GROUPS_MAX) groups. Start-up only: it allocates.
 * Returns NULL with errno: EEXIST (two groups with the same VLAN, address and port), EINVAL
 * (family, port, VLAN or count out of range), ENOMEM. The caller frees the table when no lcore
 * reads it any more. */
struct net_groups *net_groups_create(const struct net_group *groups, uint32_t count);
void net_groups_free(struct net_groups *groups);

/* The feed of a packet that net_classify has found in `frame`, or -1. A group of the packet's own
 * VLAN goes before one that takes any. Data plane: one cache line, a second one only for tagged
 * packets when a group names a VLAN. */
int net_groups_find(const struct net_groups *groups, const uint8_t *frame,
                    const struct net_packet *packet);

/* The same for a frame that net_classify_plain has found plain. */
int net_groups_find_plain(const struct net_groups *groups, const uint8_t *frame);

/* What is looked at before the tables: destinations of plain frames that came lately, each in the one place where it may
 * stand. An RX lcore's own, for the tables of all its ports. Zeroed: empty, since no destination is 0. */
#define NET_GROUPS_RECENT_BITS 8
struct net_groups_recent {
	struct net_groups_found {
		uint64_t destination; /* net_groups_destination() */
		uint32_t feed;
	} found[1 << NET_GROUPS_RECENT_BITS];
};

/* of a plain frame, as one word: address and port in the order of the frame, and where the source port stood the table
 * that is asked: 1..65535, as the caller numbers them */
static inline uint64_t net_groups_destination(const uint8_t *frame, uint16_t table)
{
	uint64_t word;

	memcpy(&word, frame + NET_PLAIN_UDP - 4, sizeof(word)); /* address, (source port), port */
	return (word & rte_cpu_to_be_64(UINT64_C(0xffffffff0000ffff))) | (uint64_t)table << 32;
}

/* Where a destination stands, if it is there. Neighbouring addresses, and neighbouring ports, have places of their own. */
static inline struct net_groups_found *net_groups_recent(struct net_groups_recent *recent,
                                                         uint64_t destination)
{
	/* the high bits of a product depend on all bits below; the constant's last byte is odd: the port's last one, which
	 * is the word's highest, takes all 256 values */
	return &recent->found[destination * UINT64_C(0x9e3779b97f4a7c15) >>
	                      (64 - NET_GROUPS_RECENT_BITS)];
}

#endif
