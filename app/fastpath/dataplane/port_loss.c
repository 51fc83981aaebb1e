/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port_loss.h"

#include <dirent.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "log.h"

#define DISCARD_BURST 64
#define BEGIN_TRIES   1000

void port_fd_set_read(struct port_fd_set *s)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;

	memset(s, 0, sizeof(*s));
	if (dir == NULL) {
		log_warning("/proc/self/fd: %s: the kernel's loss counts stay unknown",
		            strerror(errno));
		return;
	}
	while ((e = readdir(dir)) != NULL) {
		unsigned long fd = strtoul(e->d_name, NULL, 10);
		if (e->d_name[0] != '.' && fd < PORT_FDS_MAX && fd != (unsigned long)dirfd(dir))
			s->bits[fd / 64] |= UINT64_C(1) << (fd % 64);
	}
	closedir(dir);
}

static bool is_domain(int fd, int domain)
{
	int found;
	socklen_t len = sizeof(found);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &found, &len) == 0 && found == domain;
}

static void find_sockets(struct port *p, const struct port_fd_set *before, int domain)
{
	struct port_fd_set now;

	port_fd_set_read(&now);
	for (int fd = 0; fd < PORT_FDS_MAX && p->socket_count < PORT_SOCKETS_MAX; fd++) {
		uint64_t bit = UINT64_C(1) << (fd % 64);
		if ((now.bits[fd / 64] & ~before->bits[fd / 64] & bit) && is_domain(fd, domain))
			p->sockets[p->socket_count++] = fd;
	}
}

static void read_packet_sockets(struct port *p)
{
	for (uint32_t i = 0; i < p->socket_count; i++) {
		struct tpacket_stats s;
		socklen_t len = sizeof(s);

		if (getsockopt(p->sockets[i], SOL_PACKET, PACKET_STATISTICS, &s, &len) != 0)
			continue;
		p->kernel_frames += s.tp_packets;
		p->kernel_drops += s.tp_drops;
	}
}

static uint32_t discard_waiting(const struct port *p)
{
	struct rte_mbuf *mbufs[DISCARD_BURST];
	uint32_t total = 0;

	for (uint16_t q = 0; q < p->queues; q++) {
		uint16_t n = rte_eth_rx_burst(p->id, q, mbufs, DISCARD_BURST);

		rte_pktmbuf_free_bulk(mbufs, n);
		total += n;
	}
	return total;
}

/* The driver's sockets hear every interface of the namespace until they are bound, and what they heard before
 * they had a ring is counted but gone. The port begins at a moment when nothing waits and nothing is
 * counted; with traffic that never pauses, at one as near to it as tries allow. */
static void begin_counting(struct port *p)
{
	for (uint32_t tries = 0; tries < BEGIN_TRIES; tries++) {
		uint64_t before = p->kernel_frames;

		while (discard_waiting(p) > 0)
			continue;
		read_packet_sockets(p);
		if (p->kernel_frames == before && discard_waiting(p) == 0)
			break;
	}
	p->kernel_frames = p->kernel_drops = 0;
}

static enum port_loss loss_of(const struct port *p)
{
	if (strcmp(p->driver, "net_af_packet") == 0)
		return PORT_LOSS_PACKET;
	if (strcmp(p->driver, "net_af_xdp") == 0)
		return PORT_LOSS_XDP;
	if (strcmp(p->driver, "net_pcap") == 0)
		return strstr(p->config->device, "iface=") != NULL ? PORT_LOSS_UNKNOWN
		                                                   : PORT_LOSS_NONE;
	if (strcmp(p->driver, "net_ring") == 0 || strcmp(p->driver, "net_null") == 0)
		return PORT_LOSS_NONE;
	/* what is left of the virtual drivers loses on the other side, out of sight */
	if (strncmp(p->config->device, "net_", 4) == 0)
		return PORT_LOSS_UNKNOWN;
	return PORT_LOSS_DEVICE;
}

void port_loss_init(struct port *p, const struct port_fd_set *before)
{
	p->loss = loss_of(p);
	if (p->loss == PORT_LOSS_PACKET)
		find_sockets(p, before, AF_PACKET);
	else if (p->loss == PORT_LOSS_XDP)
		find_sockets(p, before, AF_XDP);
	else
		return;
	if (p->loss == PORT_LOSS_PACKET && p->socket_count > 0)
		begin_counting(p);
	if (p->socket_count == 0) {
		log_warning("port %s: the driver's socket was not found: its loss is unknown",
		            p->config->name);
		p->loss = PORT_LOSS_UNKNOWN;
	}
}

static uint64_t read_xdp_ring_full(const struct port *p)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < p->socket_count; i++) {
		struct xdp_statistics s = {0};
		socklen_t len = sizeof(s);

		if (getsockopt(p->sockets[i], SOL_XDP, XDP_STATISTICS, &s, &len) == 0)
			total += s.rx_ring_full;
	}
	return total;
}

void port_counts_read(struct port *p, struct port_counts *out)
{
	struct rte_eth_stats s = {0};
	struct rte_eth_link link = {0};

	*out = (struct port_counts){.loss_known = p->loss != PORT_LOSS_UNKNOWN};
	if (rte_eth_stats_get(p->id, &s) != 0)
		out->loss_known = false;
	if (rte_eth_link_get_nowait(p->id, &link) == 0)
		out->link_up = link.link_status == RTE_ETH_LINK_UP;
	out->received = s.ipackets;
	switch (p->loss) {
	case PORT_LOSS_PACKET:
		/* frames for which it had no mbuf stay in its ring: rx_nombuf is no loss here */
		read_packet_sockets(p);
		out->missed = p->kernel_drops;
		out->seen = p->kernel_frames;
		return;
	case PORT_LOSS_XDP:
		out->missed = s.imissed + read_xdp_ring_full(p);
		out->seen = out->received + out->missed;
		return;
	case PORT_LOSS_DEVICE:
		out->missed = s.imissed;
		out->no_mbuf = s.rx_nombuf;
		out->errors = s.ierrors;
		break;
	case PORT_LOSS_NONE:
		out->no_mbuf = s.rx_nombuf;
		break;
	case PORT_LOSS_UNKNOWN:
		break;
	}
	out->seen = out->received + out->missed + out->no_mbuf + out->errors;
}
