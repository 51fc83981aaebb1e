/* SPDX-License-Identifier: Apache-2.0 */
#include "net/groups.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_hash_crc.h>

#define VLAN_ID_MAX 4094
#define VLAN_SHIFT  16

/* what is compared, in three words */
struct group_key {
	uint64_t address[2]; /* the bytes of the address, zeros behind an IPv4 one */
	uint64_t rest;       /* family << 32 | VLAN << 16 | UDP port; 0: no key */
};

struct group_slot {
	struct group_key key; /* rest 0: an empty slot */
	uint64_t feed;
};
static_assert(sizeof(struct group_slot) == 32, "two slots a cache line");

struct net_groups {
	uint32_t mask;
	bool has_vlans; /* a group names a VLAN */
	alignas(RTE_CACHE_LINE_SIZE) struct group_slot slot[];
};

/* in whole words: a word that is read after parts of it were written would stall */
static inline struct group_key make_key(uint8_t family, const uint8_t *address, uint16_t udp_port,
                                        uint16_t vlan)
{
	uint64_t high, low = 0;
	uint32_t v4;

	if (family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		high = v4;
	} else {
		memcpy(&high, address, sizeof(high));
		memcpy(&low, address + sizeof(high), sizeof(low));
	}
	return (struct group_key){{high, low},
	                          (uint64_t)family << 32 | (uint32_t)vlan << VLAN_SHIFT | udp_port};
}

static inline bool key_equals(const struct group_key *a, const struct group_key *b)
{
	return a->address[0] == b->address[0] && a->address[1] == b->address[1] &&
	       a->rest == b->rest;
}

/* the slot of the key, or the empty slot where it would stand: there always is one */
static inline uint32_t find_slot(const struct net_groups *groups, const struct group_key *key)
{
	uint32_t hash = rte_hash_crc_8byte(key->address[0], 0);
	uint32_t at;

	hash = rte_hash_crc_8byte(key->address[1] ^ key->rest, hash);
	/* neighbouring groups differ in few bits: spread them before the mask is taken */
	at = (hash * 0x9e3779b1u) >> 12;
	for (at &= groups->mask; groups->slot[at].key.rest != 0; at = (at + 1) & groups->mask) {
		if (key_equals(&groups->slot[at].key, key))
			break;
	}
	return at;
}

static int add_group(struct net_groups *groups, const struct net_group *group)
{
	struct group_key key;
	uint32_t at;

	if ((group->family != AF_INET && group->family != AF_INET6) || group->udp_port == 0 ||
	    group->vlan > VLAN_ID_MAX)
		return EINVAL;
	key = make_key(group->family, group->address, group->udp_port, group->vlan);
	at = find_slot(groups, &key);
	if (groups->slot[at].key.rest != 0)
		return EEXIST;
	groups->slot[at] = (struct group_slot){.key = key, .feed = group->feed};
	groups->has_vlans |= group->vlan != 0;
	return 0;
}

struct net_groups *net_groups_create(const struct net_group *groups, uint32_t count)
{
	struct net_groups *made;
	uint32_t slots = 16;
	size_t size;

	if (count > NET_GROUPS_MAX) {
		errno = EINVAL;
		return NULL;
	}
	/* a quarter full at most: nearly every search ends in its first cache line */
	while (slots < 4 * count)
		slots *= 2;
	size = sizeof(*made) + slots * sizeof(made->slot[0]);
	made = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
	if (made == NULL)
		return NULL;
	memset(made, 0, size);
	made->mask = slots - 1;
	for (uint32_t i = 0; i < count; i++) {
		int error = add_group(made, &groups[i]);

		if (error != 0) {
			free(made);
			errno = error;
			return NULL;
		}
	}
	return made;
}

void net_groups_free(struct net_groups *groups)
{
	free(groups);
}

int net_groups_find(const struct net_groups *groups, const uint8_t *frame,
                    const struct net_packet *packet)
{
	struct group_key key =
	    make_key(packet->family, frame + packet->dst_offset, packet->dst_port, packet->vlan);
	const struct group_slot *slot;

	if (packet->vlan != 0) {
		if (groups->has_vlans) {
			slot = &groups->slot[find_slot(groups, &key)];
			if (slot->key.rest != 0)
				return (int)slot->feed;
		}
		key.rest &= ~(UINT64_C(0xffff) << VLAN_SHIFT);
	}
	slot = &groups->slot[find_slot(groups, &key)];
	return slot->key.rest != 0 ? (int)slot->feed : -1;
}

int net_groups_find_plain(const struct net_groups *groups, const uint8_t *frame)
{
	struct group_key key;
	const struct group_slot *slot;
	uint16_t port;

	memcpy(&port, frame + NET_PLAIN_UDP + 2, sizeof(port));
	key = make_key(AF_INET, frame + NET_PLAIN_UDP - 4, rte_be_to_cpu_16(port), 0);
	slot = &groups->slot[find_slot(groups, &key)];
	return slot->key.rest != 0 ? (int)slot->feed : -1;
}
