/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was lost before rte_eth_rx_burst, from whoever knows. net_af_packet never fills imissed, and
 * net_af_xdp leaves out frames that found its receive ring full: for both, the driver's own sockets are
 * found among this process's descriptors and asked (packet(7) PACKET_STATISTICS, Linux AF_XDP
 * XDP_STATISTICS).
 */
#ifndef DATAPLANE_PORT_LOSS_H
#define DATAPLANE_PORT_LOSS_H

#include "dataplane/port.h"

#define PORT_FDS_MAX 4096

/* which descriptors are open */
struct port_fd_set {
	uint64_t bits[PORT_FDS_MAX / 64];
};

void port_fd_set_read(struct port_fd_set *s);
/* Once, after the port has started: `before` was read before it was probed. */
void port_loss_init(struct port *p, const struct port_fd_set *before);

#endif
