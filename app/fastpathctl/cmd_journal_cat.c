/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "journal/reader.h"
#include "journal/segment.h"
#include "journal_table.h"
#include "json_line.h"
#include "time_argument.h"

#define OUT_SIZE (1u << 20)
/* the longest line: every byte of key and payload escaped, and the fixed members */
#define LINE_MAX_BYTES (JSON_STRING_MAX(EVENT_KEY_MAX + EVENT_PAYLOAD_MAX) + 1024)
#define POLL_NS        20000000
#define ROUND_RECORDS  4096 /* of a shard, with --follow */

struct filter {
	uint64_t from_seq;
	uint64_t since; /* receive time in ns, inclusive */
	uint64_t until; /* exclusive */
	const char *key;
	size_t key_len;
	const char *feed;
	long shard; /* -1: all */
	uint64_t limit;
	bool follow;
};

struct cat {
	struct journal_dir dir;   /* of the readers */
	struct journal_dir names; /* read again when a record has a feed that is not known yet */
	const char *path;
	struct filter filter;
	struct journal_reader *reader[JOURNAL_SHARDS_MAX];
	uint64_t printed;
	char *out;
	size_t used;
	bool more;     /* a shard has not run dry in this round */
	bool closed;   /* whoever read our output has left */
	time_t second; /* of time_text */
	char time_text[TIME_TEXT];
};

static const char usage[] =
    "fastpathctl journal cat [options] DIR\n"
    "  --from-seq N    records with sequence number N or more\n"
    "  --since TIME    received at TIME or later; RFC 3339 or seconds since the epoch\n"
    "  --until TIME    received before TIME\n"
    "  --key KEY       of this key only\n"
    "  --feed NAME     of this feed only\n"
    "  --shard N       of this shard only\n"
    "  --limit N       stop after N records\n"
    "  --follow        go on as records come, shards mixed; without it shard after shard\n";

/* Returns 0, or the exit status: output is gone (quietly), or cannot be written */
static int flush(struct cat *c)
{
	size_t done = 0;

	while (done < c->used && !c->closed) {
		ssize_t n = write(STDOUT_FILENO, c->out + done, c->used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EPIPE)
			return usage_error(
			    "cannot write the output: %s; free space, or write elsewhere",
			    strerror(errno));
		if (n < 0)
			c->closed = true;
		else
			done += (size_t)n;
	}
	c->used = 0;
	return 0;
}

static const char *type_name(uint8_t type, char other[16])
{
	static const char *const names[] = {"event", "gap", "watermark", "handover"};

	if (type < sizeof(names) / sizeof(*names))
		return names[type];
	snprintf(other, 16, "type-%u", type);
	return other;
}

static const char *clock_name(uint8_t clock)
{
	return clock == EVENT_CLOCK_NIC ? "nic" : clock == EVENT_CLOCK_TSC ? "tsc" : "system";
}

static const char *feed_name(struct cat *c, uint16_t id, char other[16])
{
	const char *name = journal_dir_feed_name(&c->names, id);
	char err[JOURNAL_ERROR_MAX];
	struct journal_dir again;

	if (!name && journal_dir_open(&again, c->path, JOURNAL_READ, err) == 0) {
		journal_dir_close(&c->names);
		c->names = again;
		name = journal_dir_feed_name(&c->names, id);
	}
	if (name)
		return name;
	snprintf(other, 16, "feed-%u", id);
	return other;
}

static char *put_text(char *at, const char *text)
{
	size_t len = strlen(text);

	memcpy(at, text, len);
	return at + len;
}

/* the calendar only once a second of receive time */
static char *put_time(struct cat *c, char *at, uint64_t ns)
{
	uint32_t rest = (uint32_t)(ns % 1000000000u);

	if (c->second != (time_t)(ns / 1000000000u) || !c->time_text[0]) {
		c->second = (time_t)(ns / 1000000000u);
		time_format(c->time_text, ns);
	}
	memcpy(at, c->time_text, 20);
	for (int i = 28; i >= 20; i--, rest /= 10)
		at[i] = (char)('0' + rest % 10);
	at[29] = 'Z';
	return at + 30;
}

static char *put_session(char *at, const uint8_t session[EVENT_SESSION_LEN])
{
	size_t len = EVENT_SESSION_LEN;

	while (len > 0 && session[len - 1] == 0)
		len--;
	return json_line_member(at, "session", session, len);
}

static void print_record(struct cat *c, uint32_t shard, const struct journal_record *r)
{
	char *at = c->out + c->used, other[16];
	const char *feed = feed_name(c, r->feed, other);
	char type[16];

	at = put_text(at, "{\"type\":\"");
	at = put_text(at, type_name(r->type, type));
	at = put_text(at, "\",\"shard\":");
	at = json_line_number(at, shard);
	at = put_text(at, ",\"seq\":");
	at = json_line_number(at, r->seq);
	at = put_text(at, ",\"time\":\"");
	at = put_time(c, at, r->rx_time_ns);
	at = put_text(at, "\",\"clock\":\"");
	at = put_text(at, clock_name(r->clock));
	*at++ = '"';
	at = json_line_member(at, "feed", (const uint8_t *)feed, strlen(feed));
	at = put_session(at, r->session);
	at = put_text(at, ",\"feed_seq\":");
	at = json_line_number(at, r->feed_seq);
	at = json_line_member(at, "key", journal_record_key(r), r->key_len);
	at = json_line_member(at, "payload", journal_record_payload(r), r->payload_len);
	if (r->type == JOURNAL_GAP) {
		at = put_text(at, ",\"count\":");
		at = json_line_number(at, segment_record_span(r));
	}
	*at++ = '}';
	*at++ = '\n';
	c->used = (size_t)(at - c->out);
	c->printed++;
}

static bool wanted(struct cat *c, const struct journal_record *r)
{
	const struct filter *f = &c->filter;
	char other[16];

	if (r->rx_time_ns < f->since || r->rx_time_ns >= f->until)
		return false;
	if (f->key &&
	    (r->key_len != f->key_len || memcmp(journal_record_key(r), f->key, f->key_len) != 0))
		return false;
	return !f->feed || !strcmp(feed_name(c, r->feed, other), f->feed);
}

static bool enough(const struct cat *c)
{
	return c->closed || c->printed >= c->filter.limit;
}

/* print what the shard's reader has. Returns 0 at its end, else the exit status. With --follow also 0 after a
 * round's share: a shard that never runs dry must not keep the others, or what was printed, waiting */
static int drain_shard(struct cat *c, uint32_t shard)
{
	struct journal_reader *r = c->reader[shard];
	const struct journal_record *record;
	int result = 0, status = 0;

	for (uint32_t n = 0; !enough(c) && status == 0; n++) {
		if (c->filter.follow && n == ROUND_RECORDS) {
			c->more = true;
			return 0;
		}
		result = journal_reader_next(r, &record);
		if (result != 1)
			break;
		if (wanted(c, record))
			print_record(c, shard, record);
		if (c->used > OUT_SIZE - LINE_MAX_BYTES)
			status = flush(c);
	}
	if (status == 0 && result < 0) {
		status = flush(c);
		fprintf(stderr, "fastpathctl: %s\n", journal_reader_error(r));
		return status ? status : EXIT_FOUND;
	}
	return status;
}

/* a reader for every shard that has segments now */
static int open_readers(struct cat *c)
{
	char err[JOURNAL_ERROR_MAX];
	struct segment_list l;
	int r = segment_list_read(&c->dir, &l), status = 0;

	if (r < 0)
		status =
		    usage_error("cannot list %s: %s; check permissions", c->path, strerror(-r));
	for (size_t i = 0; status == 0 && i < l.count; i++) {
		uint32_t shard = l.item[i].shard;

		if (c->reader[shard] || (c->filter.shard >= 0 && c->filter.shard != (long)shard))
			continue;
		c->reader[shard] = journal_reader_open(&c->dir, shard, c->filter.from_seq, err);
		if (!c->reader[shard])
			status = usage_error("%s", err);
	}
	segment_list_free(&l);
	return status;
}

/* one round over the shards; damage in one does not keep the others from being printed */
static int drain(struct cat *c)
{
	int status = open_readers(c);

	for (uint32_t shard = 0; shard < JOURNAL_SHARDS_MAX && status != EXIT_USAGE; shard++) {
		if (c->reader[shard] && !enough(c)) {
			int r = drain_shard(c, shard);

			status = r ? r : status;
		}
	}
	return status == EXIT_USAGE ? status : flush(c) ? EXIT_USAGE : status;
}

static int run(struct cat *c)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	int status;

	for (;;) {
		c->more = false;
		status = drain(c);
		if (status != 0 || !c->filter.follow || enough(c))
			return status;
		if (!c->more)
			nanosleep(&pause, NULL);
	}
}

static int parse_number(const char *name, const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || *out > max)
		return usage_error("journal cat: --%s wants a number from 0 to %llu, not '%s'",
		                   name, (unsigned long long)max, text);
	return 0;
}

static int parse_time(const char *name, const char *text, uint64_t *out)
{
	if (!time_argument(text, out))
		return usage_error("journal cat: --%s wants a time such as 2026-01-31T09:00:00Z or "
		                   "seconds since the epoch, not '%s'",
		                   name, text);
	return 0;
}

static const struct option options[] = {
    {"from-seq", required_argument, NULL, 'q'}, {"since", required_argument, NULL, 's'},
    {"until", required_argument, NULL, 'u'},    {"key", required_argument, NULL, 'k'},
    {"feed", required_argument, NULL, 'f'},     {"shard", required_argument, NULL, 'n'},
    {"limit", required_argument, NULL, 'l'},    {"follow", no_argument, NULL, 'F'},
    {"help", no_argument, NULL, 'h'},           {0},
};

static int take_option(struct filter *f, int option, const char *name)
{
	uint64_t number;
	int r = 0;

	switch (option) {
	case 'q':
		return parse_number(name, optarg, UINT64_MAX - 1, &f->from_seq);
	case 's':
		return parse_time(name, optarg, &f->since);
	case 'u':
		return parse_time(name, optarg, &f->until);
	case 'k':
		f->key = optarg;
		f->key_len = strlen(optarg);
		return 0;
	case 'f':
		f->feed = optarg;
		return 0;
	case 'n':
		r = parse_number(name, optarg, JOURNAL_SHARDS_MAX - 1, &number);
		f->shard = (long)number;
		return r;
	case 'l':
		return parse_number(name, optarg, UINT64_MAX - 1, &f->limit);
	default:
		f->follow = true;
		return 0;
	}
}

/* Returns 0, the exit status, or -1 when help was printed */
static int parse(struct cat *c, int argc, char **argv)
{
	int option, index = 0, status = 0;

	opterr = 0;
	optind = 1;
	while (status == 0 && (option = getopt_long(argc, argv, ":", options, &index)) >= 0) {
		if (option == 'h') {
			fputs(usage, stdout);
			return -1;
		}
		if (option == '?' || option == ':')
			return usage_error("journal cat: %s '%s'; see journal cat --help",
			                   option == ':' ? "no value for" : "unknown option",
			                   argv[optind - 1]);
		status = take_option(&c->filter, option, options[index].name);
	}
	if (status == 0 && argc - optind != 1)
		return usage_error("journal cat: give one directory; see journal cat --help");
	c->path = argv[optind];
	return status;
}

int cmd_journal_cat(int argc, char **argv)
{
	static struct cat c; /* two directories' tables are too much for a stack */
	char err[JOURNAL_ERROR_MAX];
	int status;

	memset(&c, 0, sizeof(c));
	c.filter = (struct filter){.until = UINT64_MAX, .shard = -1, .limit = UINT64_MAX};
	status = parse(&c, argc, argv);
	if (status != 0)
		return status < 0 ? 0 : status;
	if (journal_dir_open(&c.dir, c.path, JOURNAL_READ, err) < 0)
		return usage_error("%s", err);
	if (journal_dir_open(&c.names, c.path, JOURNAL_READ, err) < 0) {
		journal_dir_close(&c.dir);
		return usage_error("%s", err);
	}
	c.out = malloc(OUT_SIZE);
	status = c.out ? run(&c) : usage_error("no memory for the output; free some");
	for (int i = 0; i < JOURNAL_SHARDS_MAX; i++) {
		if (c.reader[i])
			journal_reader_close(c.reader[i]);
	}
	free(c.out);
	journal_dir_close(&c.names);
	journal_dir_close(&c.dir);
	return status;
}
