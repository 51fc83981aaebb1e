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

/* the destination before, and its feed: feeds come in runs. Zeroed: none */
struct net_groups_last {
	uint64_t destination;
	int feed;
};

/* The same as net_groups_find, with a look at what it found before. One thread a `last`, always with the same
 * groups. */
static inline int net_groups_find_last(const struct net_groups *groups,
                                       struct net_groups_last *last, const uint8_t *frame,
                                       const struct net_packet *packet)
{
	uint64_t destination;
	uint32_t address;
	int feed;

	if (packet->family != AF_INET || packet->vlan != 0)
		return net_groups_find(groups, frame, packet);
	memcpy(&address, frame + packet->dst_offset, 4);
	destination = UINT64_C(1) << 63 | (uint64_t)address << 16 | packet->dst_port;
	if (likely(destination == last->destination))
		return last->feed;
	feed = net_groups_find(groups, frame, packet);
	if (feed >= 0)
		*last = (struct net_groups_last){destination, feed};
	return feed;
}

#endif
