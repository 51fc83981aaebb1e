/* SPDX-License-Identifier: Apache-2.0 */
/* What feedsim is asked to do. */
#ifndef FEEDSIM_OPTIONS_H
#define FEEDSIM_OPTIONS_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "feed/codec.h"

#define OPTIONS_LINES_MAX  256
#define OPTIONS_VLANS_MAX  2
#define OPTIONS_KEYS_MAX   100000000u
#define OPTIONS_SIZE_MAX   65000u
#define OPTIONS_PREFIX_MAX 48
#define OPTIONS_ERROR_MAX  512

/* where a datagram goes; sockaddr is in the form that sendmsg takes */
struct destination {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
};

struct options {
	struct destination line[OPTIONS_LINES_MAX];
	uint32_t line_count;
	char interface[IF_NAMESIZE];  /* "" when not given */
	unsigned int interface_index; /* 0 when not known */
	bool has_v4_source, has_v6_source;
	struct in_addr v4_source; /* --interface-address */
	struct in6_addr v6_source;
	uint32_t ttl;                     /* 1..255 */
	uint16_t vlan[OPTIONS_VLANS_MAX]; /* the outer one first */
	uint32_t vlan_count;

	double rate; /* events a second, 0: as fast as possible */
	bool has_rate;
	uint64_t count;  /* 0: no limit */
	double duration; /* seconds, 0: no limit */
	uint32_t keys;
	char key_prefix[OPTIONS_PREFIX_MAX + 1];
	uint32_t size; /* bytes of payload */
	enum feed_codec_type codec;
	double loss; /* 0..1 */
	uint64_t seed;

	const char *pcap;   /* file to write, NULL: send */
	const char *replay; /* file to read, NULL: generate */
	double speed;       /* of a replay's own timing */
	bool has_speed;
	uint64_t loop; /* passes over the replay, 0: endless */
	bool has_loop;
	bool progress;
};

enum options_result { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_BAD };

/* Read the command line. Looks up the interface, sends nothing. BAD: one line in err. */
enum options_result options_parse(struct options *o, int argc, char **argv,
                                  char err[OPTIONS_ERROR_MAX]);
void options_print_help(void);

#endif
