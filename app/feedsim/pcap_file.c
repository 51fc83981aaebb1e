/* SPDX-License-Identifier: Apache-2.0 */
/* A sink that is a pcap file with nanosecond times. */
#include <arpa/inet.h>
#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "run.h"

struct pcap_sink {
	struct sink sink;
	const struct options *o;
	struct frame_source source;
	pcap_t *pcap;
	pcap_dumper_t *dumper;
	uint8_t frame[FRAME_SIZE];
};

static int pcap_send(struct sink *sink, const struct batch *batch, uint32_t from,
                     char err[OPTIONS_ERROR_MAX])
{
	struct pcap_sink *s = (struct pcap_sink *)sink;

	for (uint32_t i = from; i < batch->count; i++) {
		const struct datagram *d = &batch->datagram[i];
		uint64_t time_ns = RUN_FILE_EPOCH_NS + d->due_ns;
		struct pcap_pkthdr header;

		if (!frame_fits(d)) {
			snprintf(err, OPTIONS_ERROR_MAX,
			         "%u bytes fit in no datagram: give a smaller --size", d->len);
			return -1;
		}
		header.len = header.caplen = frame_write(s->o, &s->source, d, s->frame);
		header.ts.tv_sec = (time_t)(time_ns / 1000000000);
		header.ts.tv_usec = (suseconds_t)(time_ns % 1000000000); /* ns in such a file */
		pcap_dump((u_char *)s->dumper, &header, s->frame);
	}
	if (!ferror(pcap_dump_file(s->dumper)))
		return (int)(batch->count - from);
	snprintf(err, OPTIONS_ERROR_MAX, "writing %s failed: is its file system full?", s->o->pcap);
	return -1;
}

static int pcap_sink_close(struct sink *sink, char err[OPTIONS_ERROR_MAX])
{
	struct pcap_sink *s = (struct pcap_sink *)sink;
	int result = 0;

	if (s->dumper != NULL) {
		if (pcap_dump_flush(s->dumper) != 0) {
			snprintf(err, OPTIONS_ERROR_MAX, "writing %s: %s", s->o->pcap,
			         strerror(errno));
			result = -1;
		}
		pcap_dump_close(s->dumper);
	}
	if (s->pcap != NULL)
		pcap_close(s->pcap);
	free(s);
	return result;
}

struct sink *sink_pcap(const struct options *o, char err[OPTIONS_ERROR_MAX])
{
	struct pcap_sink *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		snprintf(err, OPTIONS_ERROR_MAX, "%s: %s", o->pcap, strerror(errno));
		return NULL;
	}
	s->sink = (struct sink){"pcap", false, pcap_send, pcap_sink_close};
	s->o = o;
	s->source = (struct frame_source){.mac = {2, 0, 0, 0, 0, 1}};
	/* addresses for examples (RFC 5737, RFC 3849) unless told */
	inet_pton(AF_INET, "192.0.2.1", &s->source.v4);
	inet_pton(AF_INET6, "2001:db8::1", &s->source.v6);
	if (o->has_v4_source)
		s->source.v4 = o->v4_source;
	if (o->has_v6_source)
		s->source.v6 = o->v6_source;
	s->pcap = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, FRAME_SIZE,
	                                               PCAP_TSTAMP_PRECISION_NANO);
	if (s->pcap != NULL)
		s->dumper = pcap_dump_open(s->pcap, o->pcap);
	if (s->dumper != NULL)
		return &s->sink;
	snprintf(err, OPTIONS_ERROR_MAX, "--pcap: cannot write %s",
	         s->pcap != NULL ? pcap_geterr(s->pcap) : "the file: no memory");
	pcap_sink_close(&s->sink, (char[OPTIONS_ERROR_MAX]){0});
	return NULL;
}
