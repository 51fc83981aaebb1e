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

/* what is compared, as three words: no padding that could differ */
struct group_key {
	uint64_t address[2]; /* the bytes of the address, zeros behind an IPv4 one */
	uint16_t udp_port;
	uint16_t vlan;
	uint32_t family;
};
static_assert(sizeof(struct group_key) == 24, "no padding");

struct group_slot {
	struct group_key key; /* family 0: an empty slot */
	uint64_t feed;
};
static_assert(sizeof(struct group_slot) == 32, "two slots a cache line");

struct net_groups {
	uint32_t mask;
	bool has_vlans; /* a group names a VLAN */
	alignas(RTE_CACHE_LINE_SIZE) struct group_slot slot[];
};

static inline struct group_key make_key(uint8_t family, const uint8_t *address, uint16_t udp_port,
                                        uint16_t vlan)
{
	struct group_key key = {.udp_port = udp_port, .vlan = vlan, .family = family};

	if (family == AF_INET)
		memcpy(key.address, address, 4);
	else
		memcpy(key.address, address, 16);
	return key;
}

static inline bool key_equals(const struct group_key *a, const struct group_key *b)
{
	return a->address[0] == b->address[0] && a->address[1] == b->address[1] &&
	       a->udp_port == b->udp_port && a->vlan == b->vlan && a->family == b->family;
}

/* the slot of the key, or the empty slot where it would stand: there always is one */
static inline uint32_t find_slot(const struct net_groups *groups, const struct group_key *key)
{
	uint32_t hash = rte_hash_crc_8byte(key->address[0], key->udp_port);
	uint32_t at;

	hash = rte_hash_crc_8byte(key->address[1] ^ key->vlan, hash);
	/* neighbouring groups differ in few bits: spread them before the mask is taken */
	at = (hash * 0x9e3779b1u) >> 12;
	for (at &= groups->mask; groups->slot[at].key.family != 0; at = (at + 1) & groups->mask) {
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
	if (groups->slot[at].key.family != 0)
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
			if (slot->key.family != 0)
				return (int)slot->feed;
		}
		key.vlan = 0;
	}
	slot = &groups->slot[find_slot(groups, &key)];
	return slot->key.family != 0 ? (int)slot->feed : -1;
}
