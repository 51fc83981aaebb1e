/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all keys. Parsing, defaults, --help and docs/configuration.md come from it. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"
#include "etcd/endpoints.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int bad(struct config_parse *p, const struct config_key_info *k, const char *value)
{
	char allowed[256];

	config_key_allowed(k, allowed, sizeof(allowed));
	if (value[0] == '\0')
		return config_fail(p, "the value is missing; it must be %s", allowed);
	return config_fail(p, "%.80s is not %s", value, allowed);
}

static void *field(const struct config_key_info *k, void *base)
{
	return (char *)base + k->offset;
}

static bool is_plain(const char *value, const char *others)
{
	for (const char *s = value; *s != '\0'; s++)
		if (!isalnum((unsigned char)*s) && strchr(others, *s) == NULL)
			return false;
	return value[0] != '\0';
}

/* digits only: strtoull alone takes signs, blanks and hex */
static int whole(const char *value, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)value[0]))
		return -1;
	errno = 0;
	*out = strtoull(value, &end, 10);
	return errno != 0 || *end != '\0' ? -1 : 0;
}

static int parse_bool(struct config_parse *p, const struct config_key_info *k, void *base,
                      const char *value)
{
	if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
		return bad(p, k, value);
	*(bool *)field(k, base) = value[0] == '1';
	return 0;
}

static int parse_u64(struct config_parse *p, const struct config_key_info *k, void *base,
                     const char *value)
{
	uint64_t n;

	if (whole(value, &n) < 0 || (double)n < k->min || (double)n > k->max)
		return bad(p, k, value);
	if (k->size == sizeof(uint64_t))
		*(uint64_t *)field(k, base) = n;
	else if (k->size == sizeof(uint32_t))
		*(uint32_t *)field(k, base) = (uint32_t)n;
	else
		*(uint16_t *)field(k, base) = (uint16_t)n;
	return 0;
}

static int parse_power(struct config_parse *p, const struct config_key_info *k, void *base,
                       const char *value)
{
	uint64_t n;

	if (whole(value, &n) < 0 || (n & (n - 1)) != 0)
		return bad(p, k, value);
	return parse_u64(p, k, base, value);
}

/* 0: sized by the engine */
static int parse_mbufs(struct config_parse *p, const struct config_key_info *k, void *base,
                       const char *value)
{
	uint64_t n;

	if (whole(value, &n) < 0 || (n != 0 && n < 1024))
		return bad(p, k, value);
	return parse_u64(p, k, base, value);
}

static int parse_double(struct config_parse *p, const struct config_key_info *k, void *base,
                        const char *value)
{
	char *end;
	double n;

	if (strspn(value, "0123456789.") != strlen(value) || value[0] == '\0')
		return bad(p, k, value);
	n = strtod(value, &end);
	if (*end != '\0' || !isfinite(n) || n < k->min || n > k->max)
		return bad(p, k, value);
	*(double *)field(k, base) = n;
	return 0;
}

/* index of value among a|b|c, -1 when it is none of them */
static int choice(const char *choices, const char *value)
{
	size_t len = strlen(value);
	int index = 0;

	for (const char *s = choices; s != NULL; index++) {
		const char *end = strchrnul(s, '|');

		if ((size_t)(end - s) == len && memcmp(s, value, len) == 0)
			return index;
		s = *end == '|' ? end + 1 : NULL;
	}
	return -1;
}

static int parse_choice(struct config_parse *p, const struct config_key_info *k, void *base,
                        const char *value)
{
	int index = value[0] == '\0' ? -1 : choice(k->allowed, value);

	if (index < 0)
		return bad(p, k, value);
	if (k->size != 0)
		*(unsigned int *)field(k, base) = (unsigned int)index;
	return 0;
}

static int parse_framing(struct config_parse *p, const struct config_key_info *k, void *base,
                         const char *value)
{
	if (strcmp(value, "moldudp64") == 0)
		return config_fail(p, "this version has no moldudp64 framing: use raw");
	return parse_choice(p, k, base, value);
}

static int parse_codec(struct config_parse *p, const struct config_key_info *k, void *base,
                       const char *value)
{
	if (strcmp(value, "itch50") == 0)
		return config_fail(p, "this version has no itch50 codec: use keyed, json or fixed");
	return parse_choice(p, k, base, value);
}

static int refuse_line(struct config_parse *p, const struct config_key_info *k, void *base,
                       const char *value)
{
	(void)base, (void)value;
	return config_fail(p, "this version takes one line a feed: remove %s", k->key);
}

static int refuse_request(struct config_parse *p, const struct config_key_info *k, void *base,
                          const char *value)
{
	(void)base, (void)value;
	return config_fail(p, "this version has no re-request client: remove %s", k->key);
}

static int parse_level(struct config_parse *p, const struct config_key_info *k, void *base,
                       const char *value)
{
	static const enum config_log_level level[] = {CONFIG_LOG_ERROR, CONFIG_LOG_WARNING,
	                                              CONFIG_LOG_INFO, CONFIG_LOG_DEBUG};
	int index = value[0] == '\0' ? -1 : choice(k->allowed, value);

	if (index < 0)
		return bad(p, k, value);
	*(enum config_log_level *)field(k, base) = level[index];
	return 0;
}

static int parse_string(struct config_parse *p, const struct config_key_info *k, void *base,
                        const char *value)
{
	size_t len = strlen(value);

	if (len == 0 || len >= k->size)
		return bad(p, k, value);
	if ((k->flags & CONFIG_KEY_NO_FIELD) == 0)
		memcpy(field(k, base), value, len + 1);
	return 0;
}

static int parse_etcd_endpoints(struct config_parse *p, const struct config_key_info *k, void *base,
                                const char *value)
{
	char err[ETCD_MESSAGE_MAX];

	if (value[0] == '\0')
		return bad(p, k, value);
	if (etcd_endpoints_split(value, NULL, err) < 0)
		return config_fail(p, "%s", err);
	return parse_string(p, k, base, value);
}

static int parse_url(struct config_parse *p, const struct config_key_info *k, void *base,
                     const char *value)
{
	size_t len = strlen(value);
	bool scheme = strncmp(value, "http://", 7) == 0 || strncmp(value, "https://", 8) == 0;

	for (size_t i = 0; i < len; i++)
		scheme = scheme && isgraph((unsigned char)value[i]);
	return scheme && len > 8 ? parse_string(p, k, base, value) : bad(p, k, value);
}

static int parse_topic(struct config_parse *p, const struct config_key_info *k, void *base,
                       const char *value)
{
	return is_plain(value, "._-") ? parse_string(p, k, base, value) : bad(p, k, value);
}

static int parse_id(struct config_parse *p, const struct config_key_info *k, void *base,
                    const char *value)
{
	return is_plain(value, "._-") ? parse_string(p, k, base, value) : bad(p, k, value);
}

static int parse_fixed_key(struct config_parse *p, const struct config_key_info *k, void *base,
                           const char *value)
{
	struct config_feed *f = base;

	f->key_len = (uint8_t)strnlen(value, EVENT_KEY_MAX);
	return parse_string(p, k, base, value);
}

int config_parse_ids(const char *text, uint32_t *id, uint32_t max, uint32_t highest)
{
	uint32_t count = 0;

	for (const char *s = text;; s++) {
		char *end;
		unsigned long from, to;

		if (!isdigit((unsigned char)*s))
			return -1;
		from = to = strtoul(s, &end, 10);
		if (*end == '-') {
			if (!isdigit((unsigned char)end[1]))
				return -1;
			to = strtoul(end + 1, &end, 10);
		}
		if (to < from || to > highest || to - from >= max)
			return -1;
		for (; from <= to; from++) {
			for (uint32_t i = 0; i < count; i++)
				if (id[i] == from)
					return -1;
			if (count == max)
				return -1;
			id[count++] = (uint32_t)from;
		}
		if (*end == '\0')
			return (int)count;
		if (*end != ',')
			return -1;
		s = end + strspn(end + 1, " ");
	}
}

static int parse_lcores(struct config_parse *p, const struct config_key_info *k, void *base,
                        const char *value)
{
	bool worker = k->offset == offsetof(struct config, worker_lcore);
	struct config *c = base;
	int count =
	    config_parse_ids(value, field(k, base), CONFIG_LCORES_MAX, CONFIG_LCORES_MAX * 4 - 1);

	if (count < 0)
		return bad(p, k, value);
	if (worker)
		c->worker_lcore_count = (uint32_t)count;
	else
		c->rx_lcore_count = (uint32_t)count;
	return 0;
}

bool config_address_is_multicast(const struct config_address *a)
{
	return a->family == AF_INET6 ? a->bytes[0] == 0xff : (a->bytes[0] & 0xf0) == 0xe0;
}

bool config_address_equal(const struct config_address *a, const struct config_address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static int parse_address(struct config_address *a, const char *text)
{
	memset(a, 0, sizeof(*a));
	a->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	return inet_pton(a->family, text, a->bytes) == 1 ? 0 : -1;
}

int config_parse_interface_address(struct config_address *a, const char *text)
{
	char copy[64];
	char *slash;
	uint64_t prefix;

	if (strlen(text) >= sizeof(copy))
		return -1;
	strcpy(copy, text);
	slash = strchr(copy, '/');
	if (slash == NULL || whole(slash + 1, &prefix) < 0)
		return -1;
	*slash = '\0';
	if (parse_address(a, copy) < 0 || config_address_is_multicast(a))
		return -1;
	if (prefix < 1 || prefix > (a->family == AF_INET6 ? 128 : 32))
		return -1;
	a->prefix = (uint8_t)prefix;
	return 0;
}

/* 10.0.0.1:80 or [::1]:80 */
static int parse_endpoint(const char *text, struct config_address *a, uint64_t *port)
{
	char copy[64];
	char *colon;
	size_t len;

	if (strlen(text) >= sizeof(copy))
		return -1;
	strcpy(copy, text);
	colon = strrchr(copy, ':');
	if (colon == NULL || whole(colon + 1, port) < 0 || *port > UINT16_MAX)
		return -1;
	*colon = '\0';
	len = strlen(copy);
	if (copy[0] == '[' && len > 2 && copy[len - 1] == ']') {
		copy[len - 1] = '\0';
		return strchr(copy, ':') != NULL ? parse_address(a, copy + 1) : -1;
	}
	return strchr(copy, ':') == NULL ? parse_address(a, copy) : -1;
}

static int parse_listen(struct config_parse *p, const struct config_key_info *k, void *base,
                        const char *value)
{
	struct config *c = base;
	uint64_t port;

	if (parse_endpoint(value, &c->http_address, &port) < 0)
		return bad(p, k, value);
	c->http_port = (uint16_t)port;
	return parse_string(p, k, base, value);
}

static int refer(struct config_parse *p, const struct config_key_info *k, const char *value)
{
	struct config_reference *r = &p->reference[p->reference_count];

	if (strlen(value) >= sizeof(r->text) || p->reference_count == CONFIG_ENV_REFERENCES)
		return bad(p, k, value);
	r->key = k;
	r->port = p->c->port_count - 1;
	r->line = p->line;
	strcpy(r->text, value);
	p->reference_count++;
	return 0;
}

static int parse_device(struct config_parse *p, const struct config_key_info *k, void *base,
                        const char *value)
{
	if (strncmp(value, "env:", 4) == 0)
		return refer(p, k, value);
	return parse_string(p, k, base, value);
}

static int parse_addresses(struct config_parse *p, const struct config_key_info *k, void *base,
                           const char *value)
{
	struct config_port *port = base;
	char copy[512];
	char *save = NULL;

	if (strlen(value) >= sizeof(copy) || value[0] == '\0')
		return bad(p, k, value);
	strcpy(copy, value);
	for (char *s = strtok_r(copy, ", \t", &save); s; s = strtok_r(NULL, ", \t", &save)) {
		int rc = 0;

		if (strncmp(s, "env:", 4) == 0 || strncmp(s, "file:", 5) == 0)
			rc = refer(p, k, s);
		else if (port->address_count == CONFIG_ADDRESSES_MAX)
			rc =
			    config_fail(p, "a port has at most %d addresses", CONFIG_ADDRESSES_MAX);
		else if (config_parse_interface_address(&port->address[port->address_count], s) < 0)
			rc = bad(p, k, s);
		else
			port->address_count++;
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int parse_feed_port(struct config_parse *p, const struct config_key_info *k, void *base,
                           const char *value)
{
	char *name = p->feed_port[p->c->feed_count - 1];

	(void)base;
	if (strlen(value) > CONFIG_NAME_MAX || !is_plain(value, "._-"))
		return bad(p, k, value);
	/* the port that line_a names goes first */
	if (name[0] == '\0')
		strcpy(name, value);
	return 0;
}

/* group:port, with the port's name before it when it is not the feed's */
static int parse_line(struct config_parse *p, const struct config_key_info *k, void *base,
                      const char *value)
{
	struct config_feed *f = base;
	size_t name_len = strcspn(value, " \t");
	const char *endpoint = value;
	uint64_t port;

	if (value[name_len] != '\0') {
		if (name_len > CONFIG_NAME_MAX)
			return bad(p, k, value);
		memcpy(p->feed_port[p->c->feed_count - 1], value, name_len);
		p->feed_port[p->c->feed_count - 1][name_len] = '\0';
		endpoint = value + name_len + strspn(value + name_len, " \t");
	}
	if (parse_endpoint(endpoint, &f->group, &port) < 0 || port == 0)
		return bad(p, k, value);
	f->udp_port = (uint16_t)port;
	return 0;
}

/* room for one more key */
static int grow_keys(struct config *c)
{
	char(*keys)[EVENT_KEY_MAX + 1];

	if (c->owned_key_count % 1024 != 0)
		return 0;
	keys = reallocarray(c->owned_keys, c->owned_key_count + 1024, sizeof(*keys));
	if (keys == NULL)
		return -1;
	c->owned_keys = keys;
	return 0;
}

static int parse_owned_keys(struct config_parse *p, const struct config_key_info *k, void *base,
                            const char *value)
{
	struct config *c = base;
	const char *s = value;

	/* a variable replaces what the file says */
	if (p->variable != NULL)
		c->owned_key_count = 0;
	for (;;) {
		const char *end = strchrnul(s, ',');
		const char *next = *end == ',' ? end + 1 : NULL;
		size_t len;

		while (s < end && isspace((unsigned char)*s))
			s++;
		while (end > s && isspace((unsigned char)end[-1]))
			end--;
		len = (size_t)(end - s);
		if (len == 0 || len > EVENT_KEY_MAX)
			return bad(p, k, value);
		if (c->owned_key_count == CONFIG_KEYS_MAX)
			return config_fail(p, "there are more than %d keys", CONFIG_KEYS_MAX);
		if (grow_keys(c) < 0)
			return config_fail(p, "no memory for %u keys", c->owned_key_count);
		memcpy(c->owned_keys[c->owned_key_count], s, len);
		c->owned_keys[c->owned_key_count++][len] = '\0';
		if (next == NULL)
			return 0;
		s = next;
	}
}

/* where a value goes: a field of struct config, config_port or config_feed */
#define IN(type, member) \
	.offset = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)
#define NUMBER(type, member, parse_, min_, max_) \
	.parse = parse_, IN(type, member), .min = min_, .max = max_
#define CHOICE(type, member, choices) .parse = parse_choice, IN(type, member), .allowed = choices
#define BOOL(member)                  .parse = parse_bool, IN(config, member), .allowed = "0|1"
#define STRING(type, member, words)   .parse = parse_string, IN(type, member), .allowed = words

#define ID_WORDS   "1 to 64 letters, digits, '.', '_' or '-'"
#define PATH_WORDS "a path shorter than 4096 bytes"
#define KEY_WORDS  "1 to 64 bytes"

/* clang-format off */
const struct config_key_info config_keys[] = {
	{"engine", "id", "ENGINE_ID", "e1", "This engine's id.",
	 .parse = parse_id, IN(config, engine_id), .allowed = ID_WORDS},

	{"eal", "lcores", "", "auto",
	 "auto numbers the usable CPUs 0..n in NUMA order; or lcores with their CPUs, such as 0@0,1@1,2@1.",
	 STRING(config, lcores, "auto or a list such as 0@0,1@1,2@1")},
	{"eal", "ANY", "", "", "Any other long EAL option: key = value becomes --key=value, key = becomes --key.",
	 .parse = config_parse_eal, .allowed = "a value for EAL, or nothing", .example = "", .flags = CONFIG_KEY_ANY},

	{"dataplane", "enable", "FAST_PATH_ENABLE", "0",
	 "1 opens the ports and runs the RX lcores; 0 takes events over HTTP only.", BOOL(enable)},
	{"dataplane", "rx_lcores", "", "1", "Lcores that poll the ports.",
	 .parse = parse_lcores, IN(config, rx_lcore), .allowed = "a list of lcores such as 1 or 1,2 or 1-3"},
	{"dataplane", "worker_lcores", "", "1",
	 "Lcores that sequence and journal, one shard each; may be RX lcores too.",
	 .parse = parse_lcores, IN(config, worker_lcore), .allowed = "a list of lcores such as 1 or 1,2 or 1-3"},
	{"dataplane", "idle", "", "adaptive",
	 "spin polls without rest; adaptive naps while there is no traffic.",
	 CHOICE(config, idle, "spin|adaptive")},
	{"dataplane", "ring_size", "", "4096", "Events between one producer and one worker.",
	 NUMBER(config, ring_size, parse_power, 64, 1048576)},
	{"dataplane", "burst", "", "64", "Most frames taken from a port at once.",
	 NUMBER(config, burst, parse_u64, 1, 256)},
	{"dataplane", "mbufs", "", "0", "Packet buffers of each port; 0 sizes them from rings and queues.",
	 .allowed = "0 or a whole number between 1024 and 4194304",
	 NUMBER(config, mbufs, parse_mbufs, 0, 4194304)},
	{"dataplane", "key_slots", "", "65536", "Keys that one worker remembers.",
	 NUMBER(config, key_slots, parse_power, 1024, 16777216)},

	{"port", "device", "", "",
	 "A vdev string, a PCI address, or env:NAME or env:NAME[i] for the i-th of a comma list in a variable.",
	 .parse = parse_device, IN(config_port, device), .flags = CONFIG_KEY_REQUIRED,
	 .allowed = "a vdev, a PCI address, env:NAME or env:NAME[i]", .example = "net_af_packet0,iface=eth1,framecnt=16384"},
	{"port", "address", "", "",
	 "The port's IPv4 and IPv6 addresses, comma-separated or one a line, or where they stand: env:NAME or file:PATH, see above.",
	 .parse = parse_addresses, IN(config_port, address), .flags = CONFIG_KEY_REPEATED,
	 .allowed = "a unicast address/prefix such as 10.99.0.1/24 or fd00::1/64", .example = "10.99.0.1/24"},
	{"port", "mtu", "", "1500", "Buffers are one segment of this size; larger frames are filtered.",
	 NUMBER(config_port, mtu, parse_u64, 68, 9000)},
	{"port", "rx_queues", "", "1", "RX queues.", NUMBER(config_port, rx_queues, parse_u64, 1, 16)},
	{"port", "rx_ring", "", "4096", "RX descriptors of each queue, less where the device has less.",
	 NUMBER(config_port, rx_ring, parse_u64, 64, 32768)},
	{"port", "checksum", "", "verify",
	 "trust skips UDP and IP checksums: local veth senders leave them unfinished.",
	 CHOICE(config_port, checksum, "verify|trust")},
	{"port", "multicast", "", "promiscuous",
	 "groups lets only the feeds' groups through where the device can filter.",
	 CHOICE(config_port, multicast, "promiscuous|groups")},

	{"feed", "port", "", "", "The port that the feed arrives on.",
	 .parse = parse_feed_port, .allowed = "the name of a port", .example = "nic0"},
	{"feed", "framing", "", "raw", "raw: a datagram is one message.",
	 .parse = parse_framing, .allowed = "raw"},
	{"feed", "codec", "", "keyed",
	 "keyed: a length byte, the key, the payload; json: an object with key_field; fixed: the feed's key.",
	 .parse = parse_codec, IN(config_feed, codec), .allowed = "keyed|json|fixed"},
	{"feed", "line_a", "", "", "The group and UDP port, after the port's name when it is another one.",
	 .parse = parse_line, .flags = CONFIG_KEY_REQUIRED,
	 .allowed = "group:port such as 239.1.1.1:9000 or [ff15::1]:9000", .example = "239.1.1.1:9000"},
	{"feed", "line_b", "", "", "Not in this version.", .parse = refuse_line, .allowed = "taken"},
	{"feed", "request", "", "", "Not in this version.", .parse = refuse_request, .allowed = "taken"},
	{"feed", "vlan", "", "0", "Only frames whose innermost VLAN tag this is; 0: any or none.",
	 NUMBER(config_feed, vlan, parse_u64, 0, 4094)},
	{"feed", "key", "", "", "The key of every event, with codec = fixed.",
	 .parse = parse_fixed_key, IN(config_feed, key), .allowed = KEY_WORDS, .example = "BTC"},
	{"feed", "key_field", "", "key", "The member that holds the key, with codec = json.",
	 STRING(config_feed, key_field, KEY_WORDS)},

	{"ownership", "mode", "OWNERSHIP", "",
	 "Which keys this engine takes: all; static: those in keys; etcd: those assigned to it there."
	 " Default: etcd when etcd.endpoints is set, else static when keys is set.",
	 .parse = parse_choice, IN(config, ownership), .allowed = "all|static|etcd", .example = "all"},
	{"ownership", "keys", "OWNED_KEYS", "", "This engine's keys, comma-separated; may stand on several lines. With etcd: until it first answers.",
	 .parse = parse_owned_keys, .flags = CONFIG_KEY_REPEATED,
	 .allowed = "a comma-separated list of keys of 1 to 64 bytes", .example = "BTC,ETH"},
	{"ownership", "assign", "OWNERSHIP_ASSIGN", "manual",
	 "Who assigns keys in etcd: manual, you, with fastpathctl; auto, one of the engines, elected.",
	 CHOICE(config, assign, "manual|auto")},
	{"ownership", "moves_per_s", "", "1000", "With auto: most keys a second that move to a new engine.",
	 NUMBER(config, moves_per_s, parse_u64, 1, 1000000)},

	{"journal", "dir", "JOURNAL_DIR", "./var/journal", "Directory of the segment files.",
	 STRING(config, journal_dir, PATH_WORDS)},
	{"journal", "memory_mb", "", "64", "Memlog of each worker, MiB.",
	 NUMBER(config, memory_mb, parse_u64, 1, 65536)},
	{"journal", "segment_mb", "", "64", "Size of a segment file, MiB.",
	 NUMBER(config, segment_mb, parse_u64, 1, 65536)},
	{"journal", "sync", "", "group",
	 "group makes each group durable before it is acknowledged; none leaves that to the kernel.",
	 CHOICE(config, sync, "group|none")},
	{"journal", "sync_ms", "", "5",
	 "How long a group may gather events of feeds before it is made durable, ms; 0: not at all. What was posted is not kept waiting.",
	 NUMBER(config, sync_ms, parse_u64, 0, 1000)},
	{"journal", "retain_gb", "", "8", "GiB of segments to keep; 0 keeps everything.",
	 NUMBER(config, retain_gb, parse_double, 0, 1048576)},
	{"journal", "on_damage", "", "refuse",
	 "Damaged segments at start: refuse stops; quarantine moves them away and leaves a gap record.",
	 CHOICE(config, damage, "refuse|quarantine")},
	{"journal", "store", "", "disk", "memory throws the memlog away instead of writing it: benchmarks only.",
	 CHOICE(config, store, "disk|memory")},

	{"http", "listen", "HTTP_LISTEN", "127.0.0.1:8080", "Address and TCP port; port 0 lets the kernel pick one.",
	 .parse = parse_listen, IN(config, http_listen),
	 .allowed = "address:port such as 127.0.0.1:8080 or [::]:8080"},
	{"http", "advertise", "HTTP_ADVERTISE", "",
	 "The URL by which others reach this engine, for etcd's registry. Default: made from listen.",
	 .parse = parse_url, IN(config, http_advertise), .allowed = "a URL such as http://engine1:8080",
	 .example = "http://engine1:8080"},
	{"http", "metrics", "FAST_PATH_METRICS", "0", "1 serves /metrics.", BOOL(metrics)},
	{"http", "token_file", "HTTP_TOKEN_FILE", "",
	 "File with the bearer token that every request needs that changes something.",
	 STRING(config, http_token_file, PATH_WORDS), .example = "/etc/fastpath/token"},
	{"http", "connections", "", "1024", "Most open connections.",
	 NUMBER(config, http_connections, parse_u64, 1, 65536)},
	{"http", "connections_per_ip", "", "256", "Most open connections of one client; 0: no limit.",
	 NUMBER(config, http_connections_per_ip, parse_u64, 0, 65536)},
	{"http", "request_timeout_ms", "", "10000", "Time for a whole request, however slowly it comes.",
	 NUMBER(config, http_request_timeout_ms, parse_u64, 100, 3600000)},
	{"http", "durable_timeout_ms", "", "2000", "How long a POST waits to be durable before it answers 504.",
	 NUMBER(config, http_durable_timeout_ms, parse_u64, 1, 3600000)},
	{"http", "body_max", "", "8192", "Longest body of a POST, bytes.",
	 NUMBER(config, http_body_max, parse_u64, 1, EVENT_PAYLOAD_MAX)},

	{"health", "p99_degraded_us", "", "100", "Degraded above this p99 of the process latency, microseconds.",
	 NUMBER(config, p99_degraded_us, parse_double, 0, 1e9)},
	{"health", "p99_unhealthy_us", "", "200", "Unhealthy above this p99, microseconds.",
	 NUMBER(config, p99_unhealthy_us, parse_double, 0, 1e9)},
	{"health", "drops_degraded", "", "0", "Degraded above so many drops in 10 s.",
	 NUMBER(config, drops_degraded, parse_u64, 0, 1e15)},
	{"health", "drops_unhealthy", "", "100", "Unhealthy above so many drops in 10 s.",
	 NUMBER(config, drops_unhealthy, parse_u64, 0, 1e15)},
	{"health", "errors_degraded", "", "0", "Degraded above so many write errors in 10 s.",
	 NUMBER(config, errors_degraded, parse_u64, 0, 1e15)},
	{"health", "errors_unhealthy", "", "10", "Unhealthy above so many write errors in 10 s.",
	 NUMBER(config, errors_unhealthy, parse_u64, 0, 1e15)},
	{"health", "silent_feed_s", "", "10", "Degraded when a feed is silent this long, seconds; 0: never.",
	 NUMBER(config, silent_feed_s, parse_u64, 0, 86400)},
	{"health", "disk_free_degraded_mb", "", "256", "Degraded below this free space for the journal, MiB.",
	 NUMBER(config, disk_free_degraded_mb, parse_double, 0, 1e9)},

	{"log", "level", "LOG_LEVEL", "info", "The least that is logged.",
	 .parse = parse_level, IN(config, log_level), .allowed = "error|warning|info|debug"},
	{"log", "format", "LOG_FORMAT", "text", "Text, or a JSON object a line; on standard error.",
	 CHOICE(config, log_format, "text|json")},

	{"kafka", "enable", "KAFKA_BRIDGE_ENABLE", "0", "1 delivers the journal to Kafka, exactly once.", BOOL(kafka)},
	{"kafka", "bootstrap_servers", "KAFKA_BOOTSTRAP_SERVERS", "localhost:9092", "Brokers to begin with.",
	 STRING(config, kafka_bootstrap, "a comma-separated list of host:port")},
	{"kafka", "topic", "KAFKA_BRIDGE_TOPIC", "fast-path-events",
	 "Topic of the events; <topic>-cursors, <topic>-gaps and <topic>-dead-letter stand beside it.",
	 .parse = parse_topic, IN(config, kafka_topic), .allowed = "1 to 237 letters, digits, '.', '_' or '-'"},
	{"kafka", "config_file", "KAFKA_CONFIG_FILE", "", "librdkafka properties: TLS, SASL, tuning.",
	 STRING(config, kafka_config_file, PATH_WORDS), .example = "/etc/fastpath/kafka.properties"},
	{"kafka", "partitions", "", "8", "Partitions of the event topic when the bridge makes it.",
	 NUMBER(config, kafka_partitions, parse_u64, 1, 100000)},
	{"kafka", "replication", "", "0", "Replication factor of topics that the bridge makes; 0: the broker's default.",
	 NUMBER(config, kafka_replication, parse_u64, 0, 1000)},
	{"kafka", "transaction_events", "", "10000", "Most events of one transaction.",
	 NUMBER(config, kafka_transaction_events, parse_u64, 1, 1000000)},
	{"kafka", "transaction_ms", "", "100", "Age at which a transaction that is not full is committed, ms.",
	 NUMBER(config, kafka_transaction_ms, parse_u64, 1, 5000)},
	{"kafka", "drain_ms", "", "5000", "How long a stop waits for Kafka to take what is durable, ms.",
	 NUMBER(config, kafka_drain_ms, parse_u64, 0, 25000)},
	{"kafka", "accept_partitions", "", "0",
	 "The event topic's new number of partitions, once it was changed on purpose; 0: none was.",
	 NUMBER(config, kafka_accept_partitions, parse_u64, 0, 100000)},
	{"etcd", "endpoints", "ETCD_ENDPOINTS", "http://127.0.0.1:2379",
	 "etcd's client URLs, comma-separated; setting them makes ownership.mode etcd.",
	 .parse = parse_etcd_endpoints, IN(config, etcd_endpoints),
	 .allowed = "a comma-separated list of URLs such as http://127.0.0.1:2379"},
	{"etcd", "poll_ms", "ENGINE_POLL_MS", "300", "How often etcd is asked whether it is there, and for changes if watching fails.",
	 NUMBER(config, etcd_poll_ms, parse_u64, 10, 3600000)},
	{"etcd", "ca_file", "", "", "PEM file of the authorities that etcd's certificate is checked against; default: the system's.",
	 STRING(config, etcd_ca_file, PATH_WORDS), .example = "/etc/fastpath/etcd-ca.pem"},
	{"etcd", "cert_file", "", "", "PEM file of this engine's certificate for etcd.",
	 STRING(config, etcd_cert_file, PATH_WORDS), .example = "/etc/fastpath/etcd.pem"},
	{"etcd", "key_file", "", "", "PEM file of its private key.",
	 STRING(config, etcd_key_file, PATH_WORDS), .example = "/etc/fastpath/etcd.key"},
	{"etcd", "user", "", "", "etcd's user, when it has authentication on.",
	 STRING(config, etcd_user, "1 to 64 bytes"), .example = "fastpath"},
	{"etcd", "password_file", "", "", "File with that user's password.",
	 STRING(config, etcd_password_file, PATH_WORDS), .example = "/etc/fastpath/etcd-password"},
};
/* clang-format on */
const uint32_t config_key_count = COUNT(config_keys);
static_assert(COUNT(config_keys) <= COUNT(((struct config_parse *)0)->seen), "one each");

void config_key_allowed(const struct config_key_info *k, char *out, size_t out_len)
{
	const char *last = k->allowed == NULL ? NULL : strrchr(k->allowed, '|');
	size_t n = 0;

	if (k->allowed == NULL) {
		const char *what = k->parse == parse_power    ? "a power of two"
		                   : k->parse == parse_double ? "a number"
		                                              : "a whole number";

		snprintf(out, out_len, "%s between %.0f and %.0f", what, k->min, k->max);
		return;
	}
	for (const char *s = k->allowed; *s != '\0' && n + 5 < out_len; s++) {
		if (*s != '|')
			out[n++] = *s;
		else
			n += (size_t)snprintf(out + n, out_len - n, s == last ? " or " : ", ");
	}
	out[n] = '\0';
}
