/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes from a source (generator, replay) to a sink (sockets, packet socket, pcap file):
 * datagrams by the batch. The engine in run.c stands between them and keeps the time.
 */
#ifndef FEEDSIM_BATCH_H
#define FEEDSIM_BATCH_H

#include "options.h"

#define BATCH_MAX    64
#define DATAGRAM_MAX 65535u

struct datagram {
	struct destination to;
	uint64_t due_ns; /* since the start */
	uint32_t len;    /* of the UDP payload, bytes */
	uint8_t *data;   /* DATAGRAM_MAX bytes of room, the batch's own */
};

struct batch {
	struct datagram datagram[BATCH_MAX];
	uint32_t count;
};

/* where datagrams come from */
struct source {
	/* When the next event is due: ns since the start. UINT64_MAX at the end; -1 with err set */
	int (*peek)(struct source *s, uint64_t *due_ns, char err[OPTIONS_ERROR_MAX]);
	/* The event that was peeked at, into *out; NULL: it is lost on purpose. */
	void (*take)(struct source *s, struct datagram *out);
	void (*close)(struct source *s);
	uint64_t skipped; /* frames of a replay that are no UDP datagram */
};

/* where they go */
struct sink {
	const char *name;
	bool real_time; /* false: nothing waits */
	/* Send batch->datagram[from ..]. Returns how many were sent, 0: none just now, try again
	 * after a pause; -1 with err set. */
	int (*send)(struct sink *s, const struct batch *batch, uint32_t from,
	            char err[OPTIONS_ERROR_MAX]);
	/* returns 0, or -1 with err set: what was sent is not complete */
	int (*close)(struct sink *s, char err[OPTIONS_ERROR_MAX]);
};

/* Each returns NULL with one line in err. */
struct source *source_generator(const struct options *o, char err[OPTIONS_ERROR_MAX]);
struct source *source_replay(const struct options *o, char err[OPTIONS_ERROR_MAX]);
struct sink *sink_socket(const struct options *o, char err[OPTIONS_ERROR_MAX]);
struct sink *sink_packet(const struct options *o, char err[OPTIONS_ERROR_MAX]);
struct sink *sink_pcap(const struct options *o, char err[OPTIONS_ERROR_MAX]);

/* "239.1.1.1:9000" for messages */
#define DESTINATION_TEXT_MAX 64
const char *destination_text(const struct destination *d, char out[DESTINATION_TEXT_MAX]);

#endif
