/* SPDX-License-Identifier: Apache-2.0 */
/* A sink of ordinary UDP sockets, one for IPv4 and one for IPv6. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "batch.h"

#define SEND_BUFFER (16 << 20)

struct socket_sink {
	struct sink sink;
	const struct options *o;
	int v4, v6; /* -1 until something is sent that way */
};

const char *destination_text(const struct destination *d, char out[DESTINATION_TEXT_MAX])
{
	char address[INET6_ADDRSTRLEN];

	if (d->any.sa_family == AF_INET)
		snprintf(out, DESTINATION_TEXT_MAX, "%s:%u",
		         inet_ntop(AF_INET, &d->v4.sin_addr, address, sizeof(address)),
		         ntohs(d->v4.sin_port));
	else
		snprintf(out, DESTINATION_TEXT_MAX, "[%s]:%u",
		         inet_ntop(AF_INET6, &d->v6.sin6_addr, address, sizeof(address)),
		         ntohs(d->v6.sin6_port));
	return out;
}

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int configure_v4(int fd, const struct options *o)
{
	struct ip_mreqn interface = {.imr_address = o->v4_source,
	                             .imr_ifindex = (int)o->interface_index};
	struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr = o->v4_source};

	if (set(fd, IPPROTO_IP, IP_TTL, (int)o->ttl) != 0 ||
	    set(fd, IPPROTO_IP, IP_MULTICAST_TTL, (int)o->ttl) != 0)
		return -1;
	if (!o->has_v4_source && o->interface_index == 0)
		return 0;
	if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof(interface)) != 0)
		return -1;
	return o->has_v4_source ? bind(fd, (struct sockaddr *)&source, sizeof(source)) : 0;
}

static int configure_v6(int fd, const struct options *o)
{
	struct sockaddr_in6 source = {.sin6_family = AF_INET6,
	                              .sin6_addr = o->v6_source,
	                              .sin6_scope_id = o->interface_index};

	if (set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, (int)o->ttl) != 0 ||
	    set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, (int)o->ttl) != 0)
		return -1;
	if (o->interface_index != 0 &&
	    set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)o->interface_index) != 0)
		return -1;
	return o->has_v6_source ? bind(fd, (struct sockaddr *)&source, sizeof(source)) : 0;
}

static int open_socket(const struct options *o, int family, char err[OPTIONS_ERROR_MAX])
{
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && (family == AF_INET ? configure_v4(fd, o) : configure_v6(fd, o)) == 0) {
		/* beyond net.core.wmem_max only with CAP_NET_ADMIN; as much as there is will do */
		if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER) != 0)
			(void)set(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
		return fd;
	}
	snprintf(err, OPTIONS_ERROR_MAX,
	         "cannot open a UDP socket for %s: %s: check --interface-address and --interface",
	         family == AF_INET ? "IPv4" : "IPv6", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static int socket_for(struct socket_sink *s, int family, char err[OPTIONS_ERROR_MAX])
{
	int *fd = family == AF_INET ? &s->v4 : &s->v6;

	if (*fd < 0)
		*fd = open_socket(s->o, family, err);
	return *fd;
}

static int explain(const struct datagram *d, char err[OPTIONS_ERROR_MAX])
{
	char to[DESTINATION_TEXT_MAX];
	const char *advice = "";

	if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
		return 0;
	if (errno == ENETUNREACH || errno == EHOSTUNREACH)
		advice = ": give --interface-address or --interface, or add a route";
	else if (errno == EMSGSIZE)
		advice = ": give a smaller --size";
	snprintf(err, OPTIONS_ERROR_MAX, "sending %u bytes to %s: %s%s", d->len,
	         destination_text(&d->to, to), strerror(errno), advice);
	return -1;
}

/* as many as go to sockets of one family */
static int socket_send(struct sink *sink, const struct batch *batch, uint32_t from,
                       char err[OPTIONS_ERROR_MAX])
{
	const struct datagram *first = &batch->datagram[from];
	int family = first->to.any.sa_family;
	int fd = socket_for((struct socket_sink *)sink, family, err);
	struct mmsghdr message[BATCH_MAX];
	struct iovec payload[BATCH_MAX];
	uint32_t count = 0;
	int sent;

	if (fd < 0)
		return -1;
	for (; from + count < batch->count; count++) {
		const struct datagram *d = first + count;

		if (d->to.any.sa_family != family)
			break;
		payload[count] = (struct iovec){d->data, d->len};
		message[count] = (struct mmsghdr){.msg_hdr = {.msg_name = (void *)(uintptr_t)&d->to,
		                                              .msg_namelen = family == AF_INET
		                                                                 ? sizeof(d->to.v4)
		                                                                 : sizeof(d->to.v6),
		                                              .msg_iov = &payload[count],
		                                              .msg_iovlen = 1}};
	}
	sent = sendmmsg(fd, message, count, 0);
	return sent >= 0 ? sent : explain(first, err);
}

static int socket_close(struct sink *sink, char err[OPTIONS_ERROR_MAX])
{
	struct socket_sink *s = (struct socket_sink *)sink;

	(void)err;
	if (s->v4 >= 0)
		close(s->v4);
	if (s->v6 >= 0)
		close(s->v6);
	free(s);
	return 0;
}

struct sink *sink_socket(const struct options *o, char err[OPTIONS_ERROR_MAX])
{
	struct socket_sink *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		snprintf(err, OPTIONS_ERROR_MAX, "the sockets: %s", strerror(errno));
		return NULL;
	}
	s->sink = (struct sink){"sockets", true, socket_send, socket_close};
	s->o = o;
	s->v4 = s->v6 = -1;
	/* what is wrong with the interface shows before anything is sent */
	for (uint32_t i = 0; i < o->line_count; i++) {
		if (socket_for(s, o->line[i].any.sa_family, err) < 0) {
			socket_close(&s->sink, err);
			return NULL;
		}
	}
	return &s->sink;
}
