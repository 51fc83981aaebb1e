/* SPDX-License-Identifier: Apache-2.0 */
/* Whole Ethernet frames, for sinks that do not have the kernel make them. */
#ifndef FEEDSIM_FRAME_H
#define FEEDSIM_FRAME_H

#include "batch.h"

/* the most that stands before a payload: Ethernet, two tags, IPv6, UDP */
#define FRAME_HEADERS_MAX (14 + 2 * 4 + 40 + 8)
#define FRAME_SIZE        (FRAME_HEADERS_MAX + DATAGRAM_MAX)

#define FRAME_SOURCE_PORT 40000

struct frame_source {
	uint8_t mac[6];
	struct in_addr v4;
	struct in6_addr v6;
};

/* Write the frame of a datagram: tags, TTL from options, good checksums. A host's MAC address is
 * made up (02:00:00:00:00:02). Returns the frame's length. Payloads that no IP packet holds are the
 * caller's to refuse: frame_fits. */
uint32_t frame_write(const struct options *o, const struct frame_source *source,
                     const struct datagram *d, uint8_t frame[FRAME_SIZE]);
bool frame_fits(const struct datagram *d);

#endif
