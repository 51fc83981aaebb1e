/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether Kafka has each event of the journals exactly once, and the journals what a feed sent; kafka.py
 * runs it. Two million records take seconds here, minutes in Python.
 *
 *   exactly_once [options] ENGINE=JOURNAL...    records on standard input, as kafka.py has kcat print them
 *
 *   -n N           partitions of the topic
 *   -s FIRST:END   the feed sent the events numbered from FIRST to END - 1, senders.numbered(); repeatable
 *   -k N, -z N     keys and payload bytes of that feed
 *   -l             an engine was killed: what it had not taken yet is lost, and not ours to find
 *   -f JOURNAL     its engine was fenced: the end of this journal is not in Kafka
 *   -u             the journals' engines ran side by side: no order between them
 *
 * JOURNAL: a file with what `fastpathctl journal cat` prints, oldest journal first. Prints the counts as
 * JSON, what is wrong on standard error. Exit status: 0, 1 something is wrong, 2 cannot tell.
 */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define JOURNALS_MAX 8
#define SHARDS_MAX   64
#define RANGES_MAX   64
#define KEYS_MAX     65536 /* a power of 2 */
#define TEXT_MAX     16384
#define SHOWN        10
#define NUMBER_LEN   10
#define FEED         "ticks"

struct event {
	uint8_t *key; /* and the payload behind it; NULL: this number is no event */
	uint32_t key_len, payload_len;
	uint64_t rx_time_ns, feed_seq;
	char feed[16], session[16];
	bool seen;
};

struct shard {
	uint64_t first;
	size_t count, room;
	struct event *event;
};

struct journal {
	char *engine;
	const char *path;
	bool fenced;
	uint64_t holes; /* at the end of a fenced one */
	struct shard shard[SHARDS_MAX];
};

struct range {
	uint64_t first, end;
	uint8_t *journaled;
};

struct key {
	uint8_t name[64];
	uint32_t len;
	bool journaled, consumed;
	uint64_t number; /* of its last event in the journals */
	int journal;     /* of its last event in Kafka */
	uint64_t seq[JOURNALS_MAX];
};

/* a record as kcat prints it */
struct record {
	int32_t partition;
	int64_t timestamp;
	long key_len, value_len;
	const char *engine, *feed, *session;
	uint64_t shard, seq, feed_seq, rx_time_ns;
	uint8_t key[TEXT_MAX], value[TEXT_MAX];
};

static struct journal journals[JOURNALS_MAX];
static int journal_count;
static struct range ranges[RANGES_MAX];
static int range_count;
static struct key *keys;
static uint32_t partitions = 1;
static uint64_t feed_keys = 500, feed_size = 64;
static bool losses, side_by_side;
static struct {
	uint64_t sent, journaled, consumed, doubled, lost, strange, wrong, disordered;
	uint64_t not_journaled, not_as_sent, fenced;
} counts;
static uint64_t complaints;

static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("exactly_once: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	exit(2);
}

static void __attribute__((format(printf, 2, 3))) complain(uint64_t *count, const char *fmt, ...)
{
	va_list args;

	++*count;
	if (complaints++ >= SHOWN)
		return;
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
}

static void *need(void *p)
{
	if (p == NULL)
		give_up("no memory");
	return p;
}

static struct key *key_of(const uint8_t *name, uint32_t len)
{
	uint32_t at = 2166136261u;

	if (len > sizeof(keys[0].name))
		give_up("a key of %u bytes", len);
	for (uint32_t i = 0; i < len; i++)
		at = (at ^ name[i]) * 16777619u;
	for (uint32_t tries = 0; tries < KEYS_MAX; tries++, at++) {
		struct key *k = &keys[at & (KEYS_MAX - 1)];

		if (k->len == 0) {
			memcpy(k->name, name, len);
			k->len = len;
			return k;
		}
		if (k->len == len && memcmp(k->name, name, len) == 0)
			return k;
	}
	give_up("more than %d keys", KEYS_MAX);
}

/* ---- the feed ---- */

/* bytes of event `number`: senders.numbered() in C */
static void numbered(uint64_t number, uint8_t *payload)
{
	char digits[NUMBER_LEN + 11];

	snprintf(digits, sizeof(digits), "%010" PRIu64, number);
	memcpy(payload, digits, NUMBER_LEN);
	for (uint64_t i = NUMBER_LEN; i < feed_size; i++)
		payload[i] = (uint8_t)('a' + (number + i - NUMBER_LEN) % 26);
}

/* the event's number; UINT64_MAX when the feed cannot have sent it */
static uint64_t number_of(const struct event *e)
{
	const uint8_t *payload = e->key + e->key_len;
	uint8_t expected[TEXT_MAX];
	uint64_t number = 0;
	char key[32];

	if (e->payload_len != feed_size || feed_size > TEXT_MAX)
		return UINT64_MAX;
	for (int i = 0; i < NUMBER_LEN; i++)
		number = 10 * number + (uint64_t)(payload[i] - '0');
	snprintf(key, sizeof(key), "K%03" PRIu64, number % feed_keys);
	numbered(number, expected);
	if (strlen(key) != e->key_len || memcmp(key, e->key, e->key_len) != 0)
		return UINT64_MAX;
	return memcmp(payload, expected, feed_size) == 0 ? number : UINT64_MAX;
}

static void check_sent(const struct event *e, uint32_t shard, uint64_t seq)
{
	uint64_t number = number_of(e);
	struct key *k = key_of(e->key, e->key_len);

	for (int i = 0; i < range_count; i++) {
		struct range *r = &ranges[i];

		if (number < r->first || number >= r->end)
			continue;
		if (r->journaled[number - r->first]++ > 0)
			complain(&counts.not_as_sent,
			         "journaled twice: event %" PRIu64 ", again as %u/%" PRIu64, number,
			         shard, seq);
		else if (k->journaled && number <= k->number)
			complain(&counts.not_as_sent,
			         "journaled out of order: event %" PRIu64 " behind %" PRIu64,
			         number, k->number);
		k->journaled = true;
		k->number = number;
		return;
	}
	complain(&counts.not_as_sent, "journaled, but never sent: record %u/%" PRIu64 ", key %.*s",
	         shard, seq, (int)e->key_len, e->key);
}

static void check_journaled(void)
{
	for (int i = 0; i < range_count; i++)
		for (uint64_t n = ranges[i].first; n < ranges[i].end; n++) {
			if (ranges[i].journaled[n - ranges[i].first] != 0)
				continue;
			if (losses)
				counts.not_journaled++;
			else
				complain(&counts.not_journaled,
				         "sent, but not journaled: event %" PRIu64, n);
		}
}

/* ---- the journals ---- */

static uint64_t rx_time_ns(const char *text)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S.", &tm);
	uint64_t ns;
	char *end;

	if (rest == NULL)
		give_up("a time of %s", text);
	ns = strtoull(rest, &end, 10);
	if (end - rest != 9 || strcmp(end, "Z") != 0)
		give_up("a time of %s", text);
	return (uint64_t)timegm(&tm) * 1000000000u + ns;
}

static struct event *place(struct shard *s, uint64_t seq)
{
	if (s->count == 0)
		s->first = seq;
	if (seq < s->first + s->count)
		give_up("a journal goes back to %" PRIu64, seq);
	while (s->first + s->count <= seq) {
		if (s->count == s->room) {
			s->room = s->room != 0 ? 2 * s->room : 65536;
			s->event = need(realloc(s->event, s->room * sizeof(*s->event)));
		}
		s->event[s->count++] = (struct event){0};
	}
	return &s->event[s->count - 1];
}

static const char *text_of(json_t *line, const char *name, size_t *len)
{
	json_t *value = json_object_get(line, name);

	if (!json_is_string(value))
		give_up("a journal line without %s: events here are text", name);
	*len = json_string_length(value);
	return json_string_value(value);
}

static void take_event(struct journal *j, json_t *line)
{
	uint32_t shard = (uint32_t)json_integer_value(json_object_get(line, "shard"));
	uint64_t seq = (uint64_t)json_integer_value(json_object_get(line, "seq"));
	struct event *e = shard < SHARDS_MAX ? place(&j->shard[shard], seq) : NULL;
	size_t key_len, payload_len, len;
	const char *key = text_of(line, "key", &key_len),
	           *payload = text_of(line, "payload", &payload_len);

	if (e == NULL)
		give_up("a shard %u", shard);
	e->key = need(malloc(key_len + payload_len + 1));
	memcpy(e->key, key, key_len);
	memcpy(e->key + key_len, payload, payload_len);
	e->key_len = (uint32_t)key_len;
	e->payload_len = (uint32_t)payload_len;
	e->rx_time_ns = rx_time_ns(text_of(line, "time", &len));
	e->feed_seq = (uint64_t)json_integer_value(json_object_get(line, "feed_seq"));
	snprintf(e->feed, sizeof(e->feed), "%s", text_of(line, "feed", &len));
	snprintf(e->session, sizeof(e->session), "%s", text_of(line, "session", &len));
	counts.journaled++;
	if (strcmp(e->feed, FEED) == 0 && range_count > 0)
		check_sent(e, shard, seq);
}

static void read_journal(struct journal *j)
{
	FILE *f = fopen(j->path, "r");
	char *text = NULL;
	size_t room = 0;
	ssize_t len;

	if (f == NULL)
		give_up("%s cannot be read", j->path);
	while ((len = getline(&text, &room, f)) > 0) {
		json_error_t error;
		json_t *line = json_loadb(text, (size_t)len, JSON_ALLOW_NUL, &error);
		const char *type = json_string_value(json_object_get(line, "type"));

		if (type == NULL)
			give_up("%s: not a record: %.200s", j->path, text);
		if (strcmp(type, "event") == 0)
			take_event(j, line);
		json_decref(line);
	}
	free(text);
	fclose(f);
}

/* ---- what the consumer saw ---- */

static uint32_t murmur2(const uint8_t *data, uint32_t len)
{
	const uint32_t m = 0x5bd1e995;
	uint32_t h = 0x9747b28c ^ len, i = 0;

	for (; i + 4 <= len; i += 4) {
		uint32_t k = data[i] | (uint32_t)data[i + 1] << 8 | (uint32_t)data[i + 2] << 16 |
		             (uint32_t)data[i + 3] << 24;

		k *= m;
		k ^= k >> 24;
		h = h * m ^ k * m;
	}
	if (i < len) {
		for (uint32_t shift = 0; i < len; i++, shift += 8)
			h ^= (uint32_t)data[i] << shift;
		h *= m;
	}
	h ^= h >> 13;
	h *= m;
	return h ^ h >> 15;
}

/* the value of the next header, which must have this name */
static char *header(char **at, const char *name)
{
	char *field = strsep(at, ","), *equals = field != NULL ? strchr(field, '=') : NULL;

	if (equals == NULL)
		return NULL;
	*equals = '\0';
	return strcmp(field, name) == 0 ? equals + 1 : NULL;
}

static bool number_header(char **at, const char *name, uint64_t *out)
{
	char *text = header(at, name), *end;

	if (text == NULL || *text == '\0')
		return false;
	*out = strtoull(text, &end, 10);
	return *end == '\0';
}

static bool parse_headers(struct record *r, char *text)
{
	text[strcspn(text, "\n")] = '\0';
	return (r->engine = header(&text, "engine")) != NULL &&
	       number_header(&text, "shard", &r->shard) && number_header(&text, "seq", &r->seq) &&
	       (r->feed = header(&text, "feed")) != NULL &&
	       (r->session = header(&text, "session")) != NULL &&
	       number_header(&text, "feed_seq", &r->feed_seq) &&
	       number_header(&text, "rx_time_ns", &r->rx_time_ns) && text == NULL;
}

/* one record from standard input; false at its end */
static bool next_record(struct record *r, char **line, size_t *room, bool *parsed)
{
	ssize_t len = getline(line, room, stdin);
	int at = 0;

	if (len <= 0)
		return false;
	if (sscanf(*line, "%" SCNd32 " %*d %" SCNd64 " %ld %ld %n", &r->partition, &r->timestamp,
	           &r->key_len, &r->value_len, &at) != 4 ||
	    at == 0)
		give_up("not a record: %.200s", *line);
	if (r->key_len < 0 || r->key_len > TEXT_MAX || r->value_len < 0 || r->value_len > TEXT_MAX)
		give_up("a record with a key of %ld and a value of %ld bytes", r->key_len,
		        r->value_len);
	*parsed = parse_headers(r, *line + at);
	if (fread(r->key, 1, (size_t)r->key_len, stdin) != (size_t)r->key_len ||
	    fread(r->value, 1, (size_t)r->value_len, stdin) != (size_t)r->value_len ||
	    getchar() != '\n')
		give_up("the records end too early");
	return true;
}

static bool is_same(const struct event *e, const struct record *r)
{
	return e->key_len == (uint32_t)r->key_len && memcmp(e->key, r->key, e->key_len) == 0 &&
	       e->payload_len == (uint32_t)r->value_len &&
	       memcmp(e->key + e->key_len, r->value, e->payload_len) == 0 &&
	       e->rx_time_ns == r->rx_time_ns && e->feed_seq == r->feed_seq &&
	       strcmp(e->feed, r->feed) == 0 && strcmp(e->session, r->session) == 0;
}

static struct event *event_at(struct journal *j, uint64_t shard, uint64_t seq)
{
	struct shard *s = shard < SHARDS_MAX ? &j->shard[shard] : NULL;

	if (s == NULL || seq < s->first || seq >= s->first + s->count)
		return NULL;
	return s->event[seq - s->first].key != NULL ? &s->event[seq - s->first] : NULL;
}

/* a key keeps to one shard. Journals of one engine come one after the other, of several side by side */
static void check_order(const struct record *r, int journal)
{
	struct key *k = key_of(r->key, (uint32_t)r->key_len);
	bool back = !side_by_side && k->consumed && journal < k->journal;

	if (back || r->seq <= k->seq[journal])
		complain(&counts.disordered,
		         "out of order: key %.*s, record %" PRIu64 "/%" PRIu64 " of %s",
		         (int)r->key_len, r->key, r->shard, r->seq, r->engine);
	k->consumed = true;
	k->journal = journal;
	k->seq[journal] = r->seq;
}

static void check_record(const struct record *r)
{
	bool known = false;

	/* two journals of one engine have the same numbers, not the same events */
	for (int i = 0; i < journal_count; i++) {
		struct event *e = strcmp(journals[i].engine, r->engine) == 0
		                      ? event_at(&journals[i], r->shard, r->seq)
		                      : NULL;

		known = known || e != NULL;
		if (e == NULL || !is_same(e, r))
			continue;
		if (e->seen)
			complain(&counts.doubled, "twice: record %" PRIu64 "/%" PRIu64 " of %s",
			         r->shard, r->seq, r->engine);
		else
			check_order(r, i);
		e->seen = true;
		return;
	}
	if (known)
		complain(&counts.wrong, "not as journaled: record %" PRIu64 "/%" PRIu64 " of %s",
		         r->shard, r->seq, r->engine);
	else
		complain(&counts.strange, "never journaled: record %" PRIu64 "/%" PRIu64 " of %s",
		         r->shard, r->seq, r->engine);
}

static void read_records(void)
{
	struct record *r = need(calloc(1, sizeof(*r)));
	size_t room = 0;
	char *line = NULL;
	bool parsed;

	while (next_record(r, &line, &room, &parsed)) {
		counts.consumed++;
		if (!parsed) {
			complain(&counts.wrong,
			         "headers are not engine, shard, seq, feed, session, feed_seq, "
			         "rx_time_ns: key %.*s",
			         (int)r->key_len, r->key);
			continue;
		}
		if (r->timestamp != (int64_t)(r->rx_time_ns / 1000000))
			complain(&counts.wrong,
			         "timestamp %" PRId64 " of record %" PRIu64 "/%" PRIu64
			         ", received at %" PRIu64 " ns",
			         r->timestamp, r->shard, r->seq, r->rx_time_ns);
		if (r->partition !=
		    (int32_t)((murmur2(r->key, (uint32_t)r->key_len) & 0x7fffffff) % partitions))
			complain(&counts.wrong, "key %.*s is in partition %" PRId32,
			         (int)r->key_len, r->key, r->partition);
		check_record(r);
	}
	free(line);
	free(r);
}

/* what Kafka has not. A fenced engine's journal ends there: nothing behind it may be in Kafka */
static void check_missing(struct journal *j, uint32_t shard)
{
	struct shard *s = &j->shard[shard];
	bool ended = false;

	for (size_t i = 0; i < s->count; i++) {
		const struct event *e = &s->event[i];

		if (e->key == NULL || (e->seen && !ended))
			continue;
		if (!j->fenced)
			complain(&counts.lost, "missing: record %u/%" PRIu64 " of %s", shard,
			         s->first + i, j->engine);
		else if (e->seen)
			complain(&counts.lost, "missing: records before %u/%" PRIu64 " of %s",
			         shard, s->first + i, j->engine);
		else
			counts.fenced++;
		ended = true;
	}
}

static void add_range(const char *text)
{
	struct range *r = &ranges[range_count++];

	if (range_count > RANGES_MAX ||
	    sscanf(text, "%" SCNu64 ":%" SCNu64, &r->first, &r->end) != 2 || r->end < r->first)
		give_up("-s %s", text);
	r->journaled = need(calloc(r->end - r->first + 1, 1));
	counts.sent += r->end - r->first;
}

static void add_journal(char *text)
{
	char *equals = strchr(text, '=');

	if (equals == NULL || journal_count == JOURNALS_MAX)
		give_up("journal %s", text);
	*equals = '\0';
	journals[journal_count].engine = text;
	journals[journal_count++].path = equals + 1;
}

static void options(int argc, char **argv)
{
	const char *fenced = NULL;

	for (int o; (o = getopt(argc, argv, "n:s:k:z:luf:")) != -1;)
		switch (o) {
		case 'n':
			partitions = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 's':
			add_range(optarg);
			break;
		case 'k':
			feed_keys = strtoull(optarg, NULL, 10);
			break;
		case 'z':
			feed_size = strtoull(optarg, NULL, 10);
			break;
		case 'l':
			losses = true;
			break;
		case 'u':
			side_by_side = true;
			break;
		case 'f':
			fenced = optarg;
			break;
		default:
			give_up("see the head of exactly_once.c");
		}
	for (; optind < argc; optind++)
		add_journal(argv[optind]);
	for (int i = 0; fenced != NULL && i < journal_count; i++)
		journals[i].fenced = strcmp(journals[i].path, fenced) == 0;
	if (partitions == 0 || feed_keys == 0 || journal_count == 0)
		give_up("see the head of exactly_once.c");
}

int main(int argc, char **argv)
{
	keys = need(calloc(KEYS_MAX, sizeof(*keys)));
	options(argc, argv);
	for (int i = 0; i < journal_count; i++)
		read_journal(&journals[i]);
	check_journaled();
	read_records();
	for (int i = 0; i < journal_count; i++)
		for (uint32_t shard = 0; shard < SHARDS_MAX; shard++)
			check_missing(&journals[i], shard);
	if (complaints > SHOWN)
		fprintf(stderr, "... and %" PRIu64 " more\n", complaints - SHOWN);
	printf("{\"sent\": %" PRIu64 ", \"not_journaled\": %" PRIu64 ", \"journaled\": %" PRIu64
	       ", \"consumed\": %" PRIu64 ", \"doubled\": %" PRIu64 ", \"lost\": %" PRIu64
	       ", \"out_of_order\": %" PRIu64 ", \"wrong\": %" PRIu64
	       ", \"never_journaled\": %" PRIu64 ", \"not_as_sent\": %" PRIu64
	       ", \"fenced\": %" PRIu64 "}\n",
	       counts.sent, counts.not_journaled, counts.journaled, counts.consumed, counts.doubled,
	       counts.lost, counts.disordered, counts.wrong, counts.strange, counts.not_as_sent,
	       counts.fenced);
	return complaints == 0 ? 0 : 1;
}
