/* SPDX-License-Identifier: Apache-2.0 */
/* A sink that puts whole frames on an interface: what --vlan needs. */
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

#define SEND_BUFFER (16 << 20)

struct packet_sink {
	struct sink sink;
	const struct options *o;
	struct frame_source source;
	int fd;
	uint8_t frame[BATCH_MAX][FRAME_SIZE];
};

static int packet_send(struct sink *sink, const struct batch *batch, uint32_t from,
                       char err[OPTIONS_ERROR_MAX])
{
	struct packet_sink *s = (struct packet_sink *)sink;
	struct mmsghdr message[BATCH_MAX];
	struct iovec frame[BATCH_MAX];
	uint32_t count = batch->count - from;
	int sent;

	for (uint32_t i = 0; i < count; i++) {
		const struct datagram *d = &batch->datagram[from + i];

		if (!frame_fits(d)) {
			snprintf(err, OPTIONS_ERROR_MAX,
			         "%u bytes fit in no datagram: give a smaller --size", d->len);
			return -1;
		}
		frame[i] =
		    (struct iovec){s->frame[i], frame_write(s->o, &s->source, d, s->frame[i])};
		message[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &frame[i], .msg_iovlen = 1}};
	}
	sent = sendmmsg(s->fd, message, count, 0);
	if (sent >= 0)
		return sent;
	if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
		return 0;
	snprintf(err, OPTIONS_ERROR_MAX, "sending a frame of %zu bytes on %s: %s%s",
	         frame[0].iov_len, s->o->interface, strerror(errno),
	         errno == EMSGSIZE ? ": give a smaller --size, or raise the interface's MTU" : "");
	return -1;
}

/* the first address of each family that the interface has */
static void take_address(struct packet_sink *s, const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;

	if (address->sa_family == AF_INET && s->source.v4.s_addr == 0)
		s->source.v4 = v4->sin_addr;
	else if (address->sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&s->source.v6))
		s->source.v6 = v6->sin6_addr;
}

/* the interface's own addresses, where --interface-address does not say others */
static int find_source(struct packet_sink *s)
{
	struct ifreq request = {0};
	struct ifaddrs *list;

	memcpy(request.ifr_name, s->o->interface, sizeof(request.ifr_name));
	if (ioctl(s->fd, SIOCGIFHWADDR, &request) != 0 || getifaddrs(&list) != 0)
		return -1;
	memcpy(s->source.mac, request.ifr_hwaddr.sa_data, sizeof(s->source.mac));
	if (s->o->has_v4_source)
		s->source.v4 = s->o->v4_source;
	if (s->o->has_v6_source)
		s->source.v6 = s->o->v6_source;
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
		if (i->ifa_addr != NULL && strcmp(i->ifa_name, s->o->interface) == 0)
			take_address(s, i->ifa_addr);
	}
	freeifaddrs(list);
	return 0;
}

static int packet_close(struct sink *sink, char err[OPTIONS_ERROR_MAX])
{
	struct packet_sink *s = (struct packet_sink *)sink;

	(void)err;
	if (s->fd >= 0)
		close(s->fd);
	free(s);
	return 0;
}

/* protocol 0: nothing is received; bound to the interface for sending */
static int open_packet_socket(struct packet_sink *s)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
	                              .sll_ifindex = (int)s->o->interface_index};
	int size = SEND_BUFFER;

	s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return -1;
	if (setsockopt(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
		(void)setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return find_source(s);
}

struct sink *sink_packet(const struct options *o, char err[OPTIONS_ERROR_MAX])
{
	struct packet_sink *s = calloc(1, sizeof(*s));

	if (s != NULL) {
		s->sink = (struct sink){"packet", true, packet_send, packet_close};
		s->o = o;
		s->fd = -1;
		if (open_packet_socket(s) == 0)
			return &s->sink;
	}
	snprintf(err, OPTIONS_ERROR_MAX, "cannot open a packet socket on %s: %s%s", o->interface,
	         strerror(errno), errno == EPERM ? ": it takes CAP_NET_RAW" : "");
	if (s != NULL)
		packet_close(&s->sink, (char[OPTIONS_ERROR_MAX]){0});
	return NULL;
}
