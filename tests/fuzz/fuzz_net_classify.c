/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a frame, behind three bytes that choose the options. What is found must lie inside
 * the frame, and looking for its feed must not read elsewhere.
 */
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/classify.h"
#include "net/groups.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct net_groups *known_groups(void)
{
	static const struct net_group list[] = {
	    {.family = AF_INET, .address = {239, 1, 1, 1}, .udp_port = 9000, .feed = 1},
	    {.family = AF_INET6, .address = {0xff, 0x15}, .udp_port = 9000, .vlan = 5, .feed = 2},
	};
	static struct net_groups *groups;

	if (groups == NULL)
		groups = net_groups_create(list, 2);
	if (groups == NULL)
		abort();
	return groups;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_classify_options options;
	struct net_packet packet;
	uint32_t len, address_len;

	if (size < 3)
		return 0;
	options.ipv4 = data[0] % 3;
	options.udp = data[1] % 3;
	options.vlan = data[2];
	len = (uint32_t)size - 3;
	if (net_classify(data + 3, len, &options, &packet) != REASON_NONE)
		return 0;
	address_len = packet.family == AF_INET ? 4 : 16;
	if (packet.payload_offset + packet.payload_len > len ||
	    packet.dst_offset + address_len > packet.payload_offset ||
	    packet.src_offset + address_len != packet.dst_offset)
		abort();
	if (net_groups_find(known_groups(), data + 3, &packet) > 2)
		abort();
	return 0;
}
