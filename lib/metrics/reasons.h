/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a frame or a message did not become a journaled event: the one table that counters, /stats,
 * /metrics, telemetry and the documentation come from. Two laws hold exactly at rest:
 *   frames seen by the port = decoded + to_host + filtered frames + dropped frames
 *   messages = journaled + filtered messages + dropped messages
 * Filtered: chosen not to take. Dropped: wanted and lost.
 */
#ifndef METRICS_REASONS_H
#define METRICS_REASONS_H

#include <stdbool.h>
#include <stdint.h>

/* id, name, unit, kind, sentence */
#define REASON_TABLE(X)                                                                           \
	X(NOT_IP, "not_ip", FRAME, FILTERED, "neither IPv4 nor IPv6: ARP, LLDP and the like")     \
	X(NOT_UDP, "not_udp", FRAME, FILTERED, "IP, but not UDP: ICMP, IGMP, TCP and the like")   \
	X(UNKNOWN_GROUP, "unknown_group", FRAME, FILTERED,                                        \
	  "UDP to an address and port of no feed")                                                \
	X(FRAGMENT, "fragment", FRAME, FILTERED, "a fragment of an IP packet")                    \
	X(TRUNCATED, "truncated", FRAME, FILTERED,                                                \
	  "shorter than its headers say, or larger than a buffer")                                \
	X(BAD_HEADER, "bad_header", FRAME, FILTERED, "header fields that contradict each other")  \
	X(BAD_CHECKSUM, "bad_checksum", FRAME, FILTERED, "wrong IPv4 or UDP checksum")            \
	X(NIC_MISSED, "nic_missed", FRAME, DROPPED, "lost before the receive queue: it was full") \
	X(NO_MBUF, "no_mbuf", FRAME, DROPPED, "no buffer was free to receive into")               \
	X(NIC_ERROR, "nic_error", FRAME, DROPPED, "the device reported a receive error")          \
	X(MALFORMED, "malformed", MESSAGE, FILTERED, "the codec cannot read the message")         \
	X(KEY_TOO_LONG, "key_too_long", MESSAGE, FILTERED, "key longer than 64 bytes")            \
	X(PAYLOAD_TOO_LONG, "payload_too_long", MESSAGE, FILTERED,                                \
	  "payload longer than 8192 bytes")                                                       \
	X(NOT_OWNER, "not_owner", MESSAGE, FILTERED, "the key belongs to another engine")         \
	X(RING_FULL, "ring_full", MESSAGE, DROPPED, "the worker's ring had no room")              \
	X(JOURNAL_FULL, "journal_full", MESSAGE, DROPPED,                                         \
	  "the memlog had no room: the disk is slower than the feed")

enum reason {
#define X(id, name, unit, kind, sentence) REASON_##id,
	REASON_TABLE(X)
#undef X
	    REASON_COUNT
};
#define REASON_NONE REASON_COUNT

enum reason_unit { REASON_UNIT_FRAME, REASON_UNIT_MESSAGE };
enum reason_kind { REASON_KIND_FILTERED, REASON_KIND_DROPPED };

struct reason_info {
	const char *name; /* label value */
	enum reason_unit unit;
	enum reason_kind kind;
	const char *sentence;
};
extern const struct reason_info reason_table[REASON_COUNT];

#endif
