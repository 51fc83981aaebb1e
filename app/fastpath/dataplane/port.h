/* SPDX-License-Identifier: Apache-2.0 */
/* A port: an ethdev opened, configured and started for reception, and what it and the kernel say of loss. */
#ifndef DATAPLANE_PORT_H
#define DATAPLANE_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include "clock.h"
#include "config.h"
#include "event/event.h"
#include "net/groups.h"

/* in front of a buffer: an event's source, in whole cache lines, so that a frame begins with one and needs as few as
 * can be */
#define PORT_MBUF_PRIVATE RTE_ALIGN_CEIL(sizeof(struct event_source), RTE_CACHE_LINE_SIZE)

#define PORT_QUEUES_MAX  16
#define PORT_SOCKETS_MAX PORT_QUEUES_MAX

/* who knows how many frames were lost before rte_eth_rx_burst */
enum port_loss {
	PORT_LOSS_DEVICE,  /* the driver's statistics */
	PORT_LOSS_PACKET,  /* PACKET_STATISTICS of the driver's AF_PACKET sockets */
	PORT_LOSS_XDP,     /* XDP_STATISTICS of the driver's AF_XDP sockets, beside the driver's */
	PORT_LOSS_NONE,    /* a source that cannot lose: pcap files, rings */
	PORT_LOSS_UNKNOWN, /* nobody says */
};

struct port {
	const struct config_port *config;
	uint16_t id;
	bool started;
	enum port_loss loss;
	char driver[32];
	uint16_t queues, tx_queues;
	int socket; /* NUMA */
	struct rte_mempool *pool;
	struct net_groups *groups; /* from destination to index into config.feed */
	uint64_t offloads;         /* RTE_ETH_RX_OFFLOAD_*: what the device does for us */
	bool trust_checksums;
	bool rss; /* the device spreads flows over its queues */
	/* NIC timestamps, when the device has them and a clock to read */
	bool timestamps;
	int timestamp_offset; /* in the mbuf */
	uint64_t timestamp_flag;
	struct clock_line nic_line;
	uint64_t nic_hz;
	/* kernel sockets of the driver, for its loss */
	int sockets[PORT_SOCKETS_MAX];
	uint32_t socket_count;
	uint64_t kernel_frames, kernel_drops; /* PACKET_STATISTICS forgets what it has told */
};

/* what the port has seen and lost; both sides of the law of frames need it */
struct port_counts {
	bool loss_known;
	bool link_up;
	uint64_t received; /* frames that the driver handed over, by its own count */
	uint64_t seen;     /* frames that came to the port, losses included */
	uint64_t missed, no_mbuf, errors;
};

/* Buffers that a port needs in its pool. */
uint32_t port_mbufs(const struct config *c, const struct config_port *p);
/* Bytes of one buffer with its headers, for sizing memory before EAL. */
size_t port_mbuf_bytes(const struct config_port *p);

/* Open, configure and start. feed_groups: those of this port. Returns 0 or -errno with err set. */
int port_open(struct port *p, const struct config *c, const struct config_port *pc,
              const struct net_group *feed_groups, uint32_t group_count,
              char err[CONFIG_ERROR_MAX]);
void port_close(struct port *p);
/* port_close will need NET_ADMIN and BPF: the driver has a program to detach */
bool port_needs_capabilities(const struct port *p);

/* Control thread. */
void port_counts_read(struct port *p, struct port_counts *out);
/* Control thread, once a second: keep the NIC's clock line true. */
void port_clock_tick(struct port *p);

#endif
