/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <ifaddrs.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* what only the whole command line tells */
struct raw_options {
	struct options *o;
	const char *group;
	const char *port;
	char *err;
};

struct option_info {
	const char *name;
	const char *argument; /* NULL: a flag */
	bool (*set)(struct raw_options *r, const char *value);
	const char *sentence;
};

static bool bad(struct raw_options *r, const char *name, const char *value, const char *allowed)
{
	snprintf(r->err, OPTIONS_ERROR_MAX, "%s: '%.100s' is wrong: %s", name, value, allowed);
	return false;
}

static bool read_integer(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' && *out >= low && *out <= high;
}

static bool read_real(const char *text, double low, double high, double *out)
{
	char *end;

	if ((*text < '0' || *text > '9') && *text != '.')
		return false;
	*out = strtod(text, &end);
	return *end == '\0' && isfinite(*out) && *out >= low && *out <= high;
}

static bool make_destination(const char *address, const char *port, struct destination *out)
{
	uint64_t number;

	memset(out, 0, sizeof(*out));
	if (!read_integer(port, 1, 65535, &number))
		return false;
	if (inet_pton(AF_INET, address, &out->v4.sin_addr) == 1) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons((uint16_t)number);
		return true;
	}
	if (inet_pton(AF_INET6, address, &out->v6.sin6_addr) == 1) {
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons((uint16_t)number);
		return true;
	}
	return false;
}

static bool set_group(struct raw_options *r, const char *value)
{
	r->group = value;
	return true;
}

static bool set_port(struct raw_options *r, const char *value)
{
	r->port = value;
	return true;
}

static bool set_line(struct raw_options *r, const char *value)
{
	static const char allowed[] = "write 239.1.1.1:9000 or [ff15::1]:9000";
	const char *colon = strrchr(value, ':');
	char address[INET6_ADDRSTRLEN + 2];
	size_t len;

	if (r->o->line_count == OPTIONS_LINES_MAX)
		return bad(r, "--line", value, "there are 256 lines already");
	if (colon == NULL || (size_t)(colon - value) >= sizeof(address))
		return bad(r, "--line", value, allowed);
	len = (size_t)(colon - value);
	memcpy(address, value, len);
	address[len] = '\0';
	if (address[0] == '[' && address[len - 1] == ']') {
		address[len - 1] = '\0';
		memmove(address, address + 1, len - 1);
	} else if (strchr(address, ':') != NULL) {
		return bad(r, "--line", value, allowed);
	}
	if (!make_destination(address, colon + 1, &r->o->line[r->o->line_count]))
		return bad(r, "--line", value, allowed);
	r->o->line_count++;
	return true;
}

static bool set_interface_address(struct raw_options *r, const char *value)
{
	if (inet_pton(AF_INET, value, &r->o->v4_source) == 1)
		r->o->has_v4_source = true;
	else if (inet_pton(AF_INET6, value, &r->o->v6_source) == 1)
		r->o->has_v6_source = true;
	else
		return bad(r, "--interface-address", value, "write an IPv4 or IPv6 address");
	return true;
}

static bool set_interface(struct raw_options *r, const char *value)
{
	r->o->interface_index = if_nametoindex(value);
	if (r->o->interface_index == 0)
		return bad(r, "--interface", value, "there is no such interface, see `ip link`");
	snprintf(r->o->interface, sizeof(r->o->interface), "%s", value);
	return true;
}

static bool set_vlan(struct raw_options *r, const char *value)
{
	uint64_t id;

	if (r->o->vlan_count == OPTIONS_VLANS_MAX)
		return bad(r, "--vlan", value, "a frame takes two tags at most");
	if (!read_integer(value, 0, 4094, &id))
		return bad(r, "--vlan", value, "allowed is 0..4094");
	r->o->vlan[r->o->vlan_count++] = (uint16_t)id;
	return true;
}

static bool set_ttl(struct raw_options *r, const char *value)
{
	uint64_t ttl;

	if (!read_integer(value, 1, 255, &ttl))
		return bad(r, "--ttl", value, "allowed is 1..255");
	r->o->ttl = (uint32_t)ttl;
	return true;
}

static bool set_rate(struct raw_options *r, const char *value)
{
	r->o->has_rate = true;
	if (read_real(value, 0, 1e8, &r->o->rate) && (r->o->rate == 0 || r->o->rate >= 1e-3))
		return true;
	return bad(r, "--rate", value, "allowed is 0.001..100000000 events a second, or 0");
}

static bool set_count(struct raw_options *r, const char *value)
{
	if (read_integer(value, 1, INT64_MAX, &r->o->count))
		return true;
	return bad(r, "--count", value, "allowed is a whole number from 1");
}

static bool set_duration(struct raw_options *r, const char *value)
{
	if (read_real(value, 1e-3, 1e9, &r->o->duration))
		return true;
	return bad(r, "--duration", value, "allowed is 0.001..1000000000 seconds");
}

static bool set_keys(struct raw_options *r, const char *value)
{
	uint64_t keys;

	if (!read_integer(value, 1, OPTIONS_KEYS_MAX, &keys))
		return bad(r, "--keys", value, "allowed is 1..100000000");
	r->o->keys = (uint32_t)keys;
	return true;
}

static bool set_key_prefix(struct raw_options *r, const char *value)
{
	size_t len = strlen(value);
	bool good = len <= OPTIONS_PREFIX_MAX;

	for (size_t i = 0; i < len; i++)
		good &= value[i] >= 0x20 && value[i] <= 0x7e && strchr("\"\\:", value[i]) == NULL;
	if (!good)
		return bad(
		    r, "--key-prefix", value,
		    "allowed are 48 printable ASCII characters, but no quote, backslash or colon");
	memcpy(r->o->key_prefix, value, len + 1);
	return true;
}

static bool set_size(struct raw_options *r, const char *value)
{
	uint64_t size;

	if (!read_integer(value, 0, OPTIONS_SIZE_MAX, &size))
		return bad(r, "--size", value, "allowed is 0..65000 bytes");
	r->o->size = (uint32_t)size;
	return true;
}

static bool set_framing(struct raw_options *r, const char *value)
{
	return strcmp(value, "raw") == 0 || bad(r, "--framing", value, "allowed is raw");
}

static bool set_codec(struct raw_options *r, const char *value)
{
	static const struct {
		const char *name;
		enum feed_codec_type type;
	} codecs[] = {
	    {"keyed", FEED_CODEC_KEYED}, {"json", FEED_CODEC_JSON}, {"fixed", FEED_CODEC_FIXED}};

	for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++) {
		if (strcmp(value, codecs[i].name) == 0) {
			r->o->codec = codecs[i].type;
			return true;
		}
	}
	return bad(r, "--codec", value, "allowed are keyed, json, fixed");
}

static bool set_loss(struct raw_options *r, const char *value)
{
	return read_real(value, 0, 1, &r->o->loss) ||
	       bad(r, "--loss", value, "allowed is a fraction, 0..1");
}

static bool set_seed(struct raw_options *r, const char *value)
{
	return read_integer(value, 0, UINT64_MAX, &r->o->seed) ||
	       bad(r, "--seed", value, "allowed is a whole number from 0");
}

static bool set_pcap(struct raw_options *r, const char *value)
{
	r->o->pcap = value;
	return true;
}

static bool set_replay(struct raw_options *r, const char *value)
{
	r->o->replay = value;
	return true;
}

static bool set_speed(struct raw_options *r, const char *value)
{
	r->o->has_speed = true;
	return read_real(value, 1e-6, 1e6, &r->o->speed) ||
	       bad(r, "--speed", value, "allowed is 0.000001..1000000");
}

static bool set_loop(struct raw_options *r, const char *value)
{
	r->o->has_loop = true;
	return read_integer(value, 0, INT64_MAX, &r->o->loop) ||
	       bad(r, "--loop", value, "allowed is a whole number, 0: endless");
}

static bool set_progress(struct raw_options *r, const char *value)
{
	(void)value;
	r->o->progress = true;
	return true;
}

static const struct option_info table[] = {
    {"group", "ADDR", set_group, "where to send: an IPv4 or IPv6 group, or a host; with --port"},
    {"port", "N", set_port, "UDP port of --group"},
    {"line", "ADDR:PORT", set_line,
     "one more destination; may be repeated. Event i goes to destination i modulo their number"},
    {"interface-address", "ADDR", set_interface_address,
     "address of the interface to send from; may be given once for IPv4 and once for IPv6"},
    {"interface", "NAME", set_interface,
     "interface to send from; IPv6 groups need it or an IPv6 --interface-address"},
    {"ttl", "N", set_ttl, "hop limit, 1..255 (16)"},
    {"vlan", "ID", set_vlan,
     "tag the frames and send them by a packet socket on --interface, or write them with --pcap; "
     "given "
     "twice: outer (0x88a8), then inner (0x8100). Wants multicast destinations"},
    {"rate", "N", set_rate, "events a second (1000); 0: as fast as the sockets take them"},
    {"count", "N", set_count, "stop after N events; those that --loss keeps back count too"},
    {"duration", "SECONDS", set_duration, "stop after so long"},
    {"keys", "N", set_keys, "number of keys (100): event i carries key i modulo N"},
    {"key-prefix", "TEXT", set_key_prefix, "keys are TEXT0000, TEXT0001 ... (K)"},
    {"size", "BYTES", set_size, "bytes of payload (64); longer when the text in it needs more"},
    {"framing", "raw", set_framing, "raw: a datagram is one event"},
    {"codec", "NAME", set_codec, "keyed, json or fixed (keyed)"},
    {"loss", "FRACTION", set_loss, "keep back this share of the events, chosen by --seed (0)"},
    {"seed", "N", set_seed, "stands in each payload and chooses what --loss keeps back (1)"},
    {"pcap", "FILE", set_pcap,
     "write Ethernet frames to FILE (nanosecond pcap) instead of sending. The first stands at "
     "2025-01-01, the others follow at --rate (0: 1 us apart): same options, same file"},
    {"replay", "FILE", set_replay,
     "send the UDP payloads of a pcap or pcapng file of Ethernet frames again, to where they went, "
     "or to "
     "--group and --line; at their own pace, or at --rate"},
    {"speed", "X", set_speed, "play a replay X times as fast (1)"},
    {"loop", "N", set_loop, "play a replay N times (1), 0: without end"},
    {"progress", NULL, set_progress, "show progress on standard error when it is a terminal"},
    {"help", NULL, NULL, "print this"},
    {"version", NULL, NULL, "print the version"},
};
#define TABLE_SIZE (sizeof(table) / sizeof(table[0]))

#define HELP_COLUMN 28
#define HELP_WIDTH  98

/* the sentence from column 28 on; the cursor stands before it */
static void print_wrapped(const char *sentence)
{
	size_t column = HELP_COLUMN - 1;

	while (*sentence != '\0') {
		size_t word = strcspn(sentence, " ");

		if (column + 1 + word > HELP_WIDTH) {
			printf("\n%*s", HELP_COLUMN - 1, "");
			column = HELP_COLUMN - 1;
		}
		printf(" %.*s", (int)word, sentence);
		column += 1 + word;
		sentence += word;
		sentence += *sentence == ' ';
	}
	printf("\n");
}

void options_print_help(void)
{
	printf("usage: feedsim --group ADDR --port N [options]\n"
	       "       feedsim --replay FILE [options]\n"
	       "\n"
	       "A feed handler to try Fast Path with: sends events as UDP datagrams.\n"
	       "\n");
	for (size_t i = 0; i < TABLE_SIZE; i++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s %s", table[i].name,
		         table[i].argument != NULL ? table[i].argument : "");
		printf("  %-25s", left);
		print_wrapped(table[i].sentence);
	}
	printf("\n"
	       "Event i (from 0) carries key number k = i modulo KEYS, named PREFIX and k in four "
	       "digits\n"
	       "or more, and is this key's event n = i / KEYS + 1. Its text is\n"
	       "\n"
	       "  SEED:KEY:n:            followed by padding: byte j of the text is 'a' + j modulo "
	       "26\n"
	       "\n"
	       "keyed  one byte, the length of the key; the key; the text, SIZE bytes or more\n"
	       "json   {\"key\":\"KEY\",\"n\":n,\"data\":\"text\"}, SIZE bytes or more in all\n"
	       "fixed  the text, SIZE bytes or more; the feed's own configuration has the key\n"
	       "\n"
	       "An event that --loss keeps back is not sent, but takes its n. Without --count and\n"
	       "--duration feedsim sends until SIGINT or SIGTERM. At the end it prints one JSON "
	       "object:\n"
	       "sent, bytes (of UDP payload), lost_on_purpose, skipped (frames of a replay that "
	       "are no UDP\n"
	       "datagram), seconds, rate (sent a second), keys (null for a replay), first_time_ns "
	       "and\n"
	       "last_time_ns (since the epoch; of the frames with --pcap), retries (full socket "
	       "buffers),\n"
	       "interrupted.\n"
	       "\n"
	       "Exit status: 0 done or interrupted, 1 a failure while sending, 2 bad arguments: "
	       "nothing\n"
	       "was sent.\n");
}

static bool is_multicast(const struct destination *d)
{
	return d->any.sa_family == AF_INET ? IN_MULTICAST(ntohl(d->v4.sin_addr.s_addr))
	                                   : IN6_IS_ADDR_MULTICAST(&d->v6.sin6_addr);
}

/* the interface that has the IPv6 source address: multicast is sent by its index */
static bool find_interface(struct raw_options *r)
{
	struct ifaddrs *list;

	if (!r->o->has_v6_source || r->o->interface_index != 0 || r->o->pcap != NULL)
		return true;
	if (getifaddrs(&list) != 0) {
		snprintf(r->err, OPTIONS_ERROR_MAX, "cannot list the interfaces: %s",
		         strerror(errno));
		return false;
	}
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
		const struct sockaddr_in6 *address = (const void *)i->ifa_addr;

		if (address != NULL && address->sin6_family == AF_INET6 &&
		    IN6_ARE_ADDR_EQUAL(&address->sin6_addr, &r->o->v6_source))
			r->o->interface_index = if_nametoindex(i->ifa_name);
	}
	freeifaddrs(list);
	if (r->o->interface_index != 0)
		return true;
	snprintf(r->err, OPTIONS_ERROR_MAX,
	         "--interface-address: no interface has the IPv6 address, see `ip address`");
	return false;
}

static bool add_group(struct raw_options *r)
{
	struct options *o = r->o;

	if (r->group == NULL && r->port == NULL)
		return true;
	if (r->group == NULL || r->port == NULL) {
		snprintf(r->err, OPTIONS_ERROR_MAX, "--group and --port go together: give both");
		return false;
	}
	if (o->line_count == OPTIONS_LINES_MAX)
		return bad(r, "--group", r->group, "there are 256 lines already");
	memmove(o->line + 1, o->line, o->line_count * sizeof(o->line[0]));
	if (!make_destination(r->group, "1", &o->line[0]))
		return bad(r, "--group", r->group, "write an IPv4 or IPv6 address");
	if (!make_destination(r->group, r->port, &o->line[0]))
		return bad(r, "--port", r->port, "allowed is 1..65535");
	o->line_count++;
	return true;
}

/* the one contradiction that is left in the options, or NULL */
static const char *find_contradiction(const struct options *o)
{
	bool any_v6 = false, any_unicast = false;

	for (uint32_t i = 0; i < o->line_count; i++) {
		any_v6 |= o->line[i].any.sa_family == AF_INET6 && is_multicast(&o->line[i]);
		any_unicast |= !is_multicast(&o->line[i]);
	}
	if (o->line_count == 0 && o->replay == NULL)
		return "nowhere to send to: give --group and --port, or --line";
	if (any_v6 && o->interface_index == 0 && o->pcap == NULL)
		return "IPv6 groups need an interface: give --interface or an IPv6 "
		       "--interface-address";
	if (o->vlan_count > 0 && o->interface[0] == '\0' && o->pcap == NULL)
		return "--vlan needs an interface to send from: give --interface";
	if (o->vlan_count > 0 && any_unicast)
		return "--vlan sends to multicast groups only: the destination is none";
	if (o->pcap != NULL && o->count == 0 && o->duration == 0 &&
	    (o->replay == NULL || o->loop == 0))
		return "--pcap needs an end: give --count or --duration";
	if (o->replay == NULL && o->has_speed)
		return "--speed needs --replay";
	if (o->replay == NULL && o->has_loop)
		return "--loop needs --replay";
	if (o->has_speed && o->has_rate)
		return "--speed and --rate exclude each other";
	return NULL;
}

static enum options_result check_whole(struct raw_options *r)
{
	const char *contradiction;

	if (!add_group(r) || !find_interface(r))
		return OPTIONS_BAD;
	contradiction = find_contradiction(r->o);
	if (contradiction == NULL)
		return OPTIONS_RUN;
	snprintf(r->err, OPTIONS_ERROR_MAX, "%s", contradiction);
	return OPTIONS_BAD;
}

enum options_result options_parse(struct options *o, int argc, char **argv,
                                  char err[OPTIONS_ERROR_MAX])
{
	struct raw_options r = {.o = o, .err = err};
	struct option known[TABLE_SIZE + 1] = {0};
	int chosen, index;

	*o = (struct options){.rate = 1000,
	                      .keys = 100,
	                      .key_prefix = "K",
	                      .size = 64,
	                      .ttl = 16,
	                      .seed = 1,
	                      .speed = 1,
	                      .loop = 1};
	for (size_t i = 0; i < TABLE_SIZE; i++)
		known[i] = (struct option){table[i].name, table[i].argument != NULL, NULL, 0};
	opterr = 0;
	while ((chosen = getopt_long(argc, argv, ":", known, &index)) != -1) {
		if (chosen != 0) {
			snprintf(err, OPTIONS_ERROR_MAX, "%.200s: %s, see feedsim --help",
			         argv[optind - 1],
			         chosen == ':' ? "a value is missing" : "no such option");
			return OPTIONS_BAD;
		}
		if (strcmp(table[index].name, "help") == 0)
			return OPTIONS_HELP;
		if (strcmp(table[index].name, "version") == 0)
			return OPTIONS_VERSION;
		if (!table[index].set(&r, optarg))
			return OPTIONS_BAD;
	}
	if (optind < argc) {
		snprintf(err, OPTIONS_ERROR_MAX, "'%.200s' is no option, see feedsim --help",
		         argv[optind]);
		return OPTIONS_BAD;
	}
	return check_whole(&r);
}
