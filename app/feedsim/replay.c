/* SPDX-License-Identifier: Apache-2.0 */
/* A source that reads pcap and pcapng files of Ethernet frames through libpcap. */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "net/classify.h"

struct replay {
	struct source source;
	const struct options *o;
	pcap_t *pcap;
	uint64_t pass;        /* from 0 */
	uint64_t event;       /* datagrams taken, over all passes */
	uint64_t pass_events; /* datagrams found in this pass */
	uint64_t first_ns;    /* time of the pass's first datagram in the file */
	uint64_t last_due_ns; /* of the last datagram found */
	uint64_t pass_due_ns; /* when this pass began */
	/* the datagram that was peeked at */
	bool has_next;
	uint64_t due_ns;
	const uint8_t *frame;
	struct net_packet packet;
};

static bool open_file(struct replay *r, char err[OPTIONS_ERROR_MAX])
{
	char reason[PCAP_ERRBUF_SIZE];
	FILE *file = fopen(r->o->replay, "rb");

	if (file == NULL) {
		snprintf(err, OPTIONS_ERROR_MAX, "--replay: cannot open %s: %s", r->o->replay,
		         strerror(errno));
		return false;
	}
	r->pcap =
	    pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, reason);
	if (r->pcap == NULL) {
		fclose(file);
		snprintf(err, OPTIONS_ERROR_MAX, "--replay: %s is no pcap or pcapng file: %s",
		         r->o->replay, reason);
		return false;
	}
	if (pcap_datalink(r->pcap) == DLT_EN10MB)
		return true;
	snprintf(err, OPTIONS_ERROR_MAX, "--replay: %s has no Ethernet frames, but %s",
	         r->o->replay, pcap_datalink_val_to_description_or_dlt(pcap_datalink(r->pcap)));
	return false;
}

static void close_file(struct replay *r)
{
	if (r->pcap != NULL)
		pcap_close(r->pcap);
	r->pcap = NULL;
}

/* begin the file again, or leave it closed when that was the last pass; false with err set */
static bool next_pass(struct replay *r, char err[OPTIONS_ERROR_MAX])
{
	close_file(r);
	r->pass++;
	if (r->o->loop > 0 && r->pass >= r->o->loop)
		return true;
	if (r->pass_events == 0) {
		snprintf(err, OPTIONS_ERROR_MAX, "--replay: %s has no UDP datagram", r->o->replay);
		return false;
	}
	r->pass_events = 0;
	r->pass_due_ns = r->last_due_ns;
	return open_file(r, err);
}

static uint64_t due_of(const struct replay *r, uint64_t time_ns)
{
	uint64_t since_ns = time_ns > r->first_ns ? time_ns - r->first_ns : 0;
	uint64_t due_ns = r->pass_due_ns + (uint64_t)((double)since_ns / r->o->speed);

	if (r->o->has_rate)
		return r->o->rate > 0 ? (uint64_t)((double)r->event * 1e9 / r->o->rate) : 0;
	/* frames that stand in the wrong order keep their order */
	return due_ns > r->last_due_ns ? due_ns : r->last_due_ns;
}

static void found(struct replay *r, const struct pcap_pkthdr *header, const uint8_t *frame)
{
	uint64_t time_ns = (uint64_t)header->ts.tv_sec * 1000000000 + (uint64_t)header->ts.tv_usec;

	if (r->pass_events++ == 0)
		r->first_ns = time_ns;
	r->due_ns = due_of(r, time_ns);
	r->last_due_ns = r->due_ns;
	r->frame = frame;
	r->has_next = true;
}

/* look at the next frame of the file; false with err set */
static bool read_frame(struct replay *r, char err[OPTIONS_ERROR_MAX])
{
	/* captures of a sender have checksums that its hardware would have filled in */
	static const struct net_classify_options trust = {NET_CHECKSUM_TRUST, NET_CHECKSUM_TRUST,
	                                                  0};
	struct pcap_pkthdr *header;
	const u_char *frame;

	switch (pcap_next_ex(r->pcap, &header, &frame)) {
	case 1:
		if (net_classify(frame, header->caplen, &trust, &r->packet) == REASON_NONE)
			found(r, header, frame);
		else
			r->source.skipped++;
		return true;
	case PCAP_ERROR_BREAK: /* the end of the file */
		return next_pass(r, err);
	default:
		snprintf(err, OPTIONS_ERROR_MAX, "--replay: %s: %s", r->o->replay,
		         pcap_geterr(r->pcap));
		return false;
	}
}

static int replay_peek(struct source *s, uint64_t *due_ns, char err[OPTIONS_ERROR_MAX])
{
	struct replay *r = (struct replay *)s;

	while (!r->has_next && r->pcap != NULL) {
		if (!read_frame(r, err))
			return -1;
	}
	*due_ns = r->has_next ? r->due_ns : UINT64_MAX;
	return 0;
}

static void read_destination(const struct replay *r, struct destination *to)
{
	const uint8_t *address = r->frame + r->packet.dst_offset;

	memset(to, 0, sizeof(*to));
	to->any.sa_family = r->packet.family;
	if (r->packet.family == AF_INET) {
		to->v4.sin_port = htons(r->packet.dst_port);
		memcpy(&to->v4.sin_addr, address, sizeof(to->v4.sin_addr));
	} else {
		to->v6.sin6_port = htons(r->packet.dst_port);
		memcpy(&to->v6.sin6_addr, address, sizeof(to->v6.sin6_addr));
	}
}

static void replay_take(struct source *s, struct datagram *out)
{
	struct replay *r = (struct replay *)s;
	uint64_t event = r->event++;

	r->has_next = false;
	if (out == NULL)
		return;
	if (r->o->line_count > 0)
		out->to = r->o->line[event % r->o->line_count];
	else
		read_destination(r, &out->to);
	out->due_ns = r->due_ns;
	out->len = r->packet.payload_len;
	memcpy(out->data, r->frame + r->packet.payload_offset, out->len);
}

static void replay_close(struct source *s)
{
	close_file((struct replay *)s);
	free(s);
}

struct source *source_replay(const struct options *o, char err[OPTIONS_ERROR_MAX])
{
	struct replay *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		snprintf(err, OPTIONS_ERROR_MAX, "--replay: %s", strerror(errno));
		return NULL;
	}
	r->source = (struct source){replay_peek, replay_take, replay_close, 0};
	r->o = o;
	if (open_file(r, err))
		return &r->source;
	replay_close(&r->source);
	return NULL;
}
