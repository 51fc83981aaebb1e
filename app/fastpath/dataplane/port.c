/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_mbuf_dyn.h>
#include <rte_mbuf_pool_ops.h>

#include "dataplane/port_loss.h"
#include "event/event.h"
#include "log.h"

#define POOL_CACHE     256
#define TX_RING        512
#define FRAME_OVERHEAD (RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN + RTE_ETHER_CRC_LEN)
#define RING_FRAME     2048 /* of net_af_packet, unless its framesz says otherwise */
#define RING_FRAME_MAX 32768
#define RING_FRAME_HEAD \
	80 /* what the kernel puts before the packet: TPACKET2_HDRLEN and the Ethernet header */
#define CLOCK_MEASURE_MS  50
#define CHECKSUM_OFFLOADS (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)

static bool is_af_packet(const struct config_port *p)
{
	return strncmp(p->device, "net_af_packet", strlen("net_af_packet")) == 0;
}

/* bytes of a frame in net_af_packet's ring, which the driver wants to fit into a buffer */
static uint32_t ring_frame(const struct config_port *p)
{
	const char *given = is_af_packet(p) ? strstr(p->device, ",framesz=") : NULL;
	unsigned long bytes =
	    given != NULL ? strtoul(given + strlen(",framesz="), NULL, 10) : RING_FRAME;

	return (uint32_t)RTE_MIN(bytes, (unsigned long)RING_FRAME_MAX);
}

static uint32_t data_room(const struct config_port *p)
{
	/* NICs want buffers of some size; a file does not, and its packets stay in memory with infinite_rx */
	bool file = strncmp(p->device, "net_pcap", strlen("net_pcap")) == 0;

	return RTE_PKTMBUF_HEADROOM + RTE_MAX(p->mtu + FRAME_OVERHEAD, file ? 0 : ring_frame(p));
}

/* the kernel cuts what does not fit, and says nothing */
static void warn_of_cut_frames(const struct config_port *p)
{
	uint32_t wanted = rte_align32pow2(p->mtu + RING_FRAME_HEAD);

	if (is_af_packet(p) && p->mtu + RING_FRAME_HEAD > ring_frame(p))
		log_warning("port %s: frames above %u bytes of IP are cut and filtered as "
		            "truncated, though mtu is %u: add framesz=%u,blocksz=%u to its device",
		            p->name, ring_frame(p) - RING_FRAME_HEAD, p->mtu, wanted, wanted);
}

uint32_t port_mbufs(const struct config *c, const struct config_port *p)
{
	if (c->mbufs != 0)
		return c->mbufs;
	/* what may be on its way at once: in the NIC's queues, in every worker's ring, in caches and hands */
	uint32_t lcores = c->worker_lcore_count + 1;
	return p->rx_queues * p->rx_ring + c->worker_lcore_count * c->ring_size +
	       lcores * (2 * POOL_CACHE + c->burst) + 4096;
}

size_t port_mbuf_bytes(const struct config_port *p)
{
	return sizeof(struct rte_mbuf) + PORT_MBUF_PRIVATE + data_room(p) + 2 * RTE_CACHE_LINE_SIZE;
}

static int fail(const struct port *p, char err[CONFIG_ERROR_MAX], int code, const char *call)
{
	snprintf(err, CONFIG_ERROR_MAX, "port %s (%.200s): %s: %s", p->config->name,
	         p->config->device, call, rte_strerror(-code));
	return code < 0 ? code : -EIO;
}

static bool is_pci(const char *device)
{
	struct rte_devargs args;
	bool pci = rte_devargs_parse(&args, device) == 0 && args.bus != NULL &&
	           strcmp(rte_bus_name(args.bus), "pci") == 0;

	rte_devargs_reset(&args);
	return pci;
}

static int probe(struct port *p, char err[CONFIG_ERROR_MAX])
{
	char name[RTE_ETH_NAME_MAX_LEN];
	int ret;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(p->config->device, ","),
	         p->config->device);
	/* PCI devices were probed by EAL, which got them on its allow list */
	if (!is_pci(p->config->device)) {
		ret = rte_dev_probe(p->config->device);
		if (ret < 0)
			return fail(p, err, ret, "rte_dev_probe");
	}
	ret = rte_eth_dev_get_port_by_name(name, &p->id);
	if (ret < 0)
		return fail(p, err, ret,
		            "no such ethdev: is the device bound to a DPDK driver? "
		            "rte_eth_dev_get_port_by_name");
	return 0;
}

/* As rte_pktmbuf_pool_create, but packed: where addresses need no translation a buffer may cross pages. Without
 * hugepages each would take a page of its own otherwise, and net_af_xdp takes the pool for packed: it
 * registers `size` times the size of a buffer with the kernel and would lose what lies behind. */
static struct rte_mempool *create_pool(const char *name, uint32_t size, uint16_t data, int socket)
{
	uint16_t private_size = PORT_MBUF_PRIVATE;
	struct rte_pktmbuf_pool_private sizes = {.mbuf_data_room_size = data,
	                                         .mbuf_priv_size = private_size};
	unsigned int flags = rte_eal_iova_mode() == RTE_IOVA_VA ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0;
	struct rte_mempool *pool =
	    rte_mempool_create_empty(name, size, sizeof(struct rte_mbuf) + private_size + data,
	                             POOL_CACHE, sizeof(sizes), socket, flags);
	int ret;

	if (pool == NULL)
		return NULL;
	ret = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
	rte_pktmbuf_pool_init(pool, &sizes);
	if (ret == 0)
		ret = rte_mempool_populate_default(pool);
	if (ret < 0) {
		rte_mempool_free(pool);
		rte_errno = -ret;
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

static int make_pool(struct port *p, const struct config *c, char err[CONFIG_ERROR_MAX])
{
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "rx-%.20s", p->config->name);
	p->pool =
	    create_pool(name, port_mbufs(c, p->config), (uint16_t)data_room(p->config), p->socket);
	if (p->pool == NULL)
		return fail(p, err, -rte_errno, "packet buffers: rte_mempool_populate_default");
	return 0;
}

static int configure(struct port *p, const struct rte_eth_dev_info *info,
                     char err[CONFIG_ERROR_MAX])
{
	struct rte_eth_conf conf = {.rxmode.mtu = p->config->mtu};
	uint64_t wanted = RTE_ETH_RX_OFFLOAD_TIMESTAMP;
	int ret;

	if (p->config->checksum == CONFIG_CHECKSUM_VERIFY)
		wanted |= CHECKSUM_OFFLOADS;
	p->offloads = wanted & info->rx_offload_capa;
	conf.rxmode.offloads = p->offloads;
	if (p->config->rx_queues > info->max_rx_queues) {
		snprintf(err, CONFIG_ERROR_MAX,
		         "port %s (%.200s): rx_queues is %u, but the device has %u (net_af_packet: "
		         "qpairs=N; "
		         "net_af_xdp: queue_count=N)",
		         p->config->name, p->config->device, p->config->rx_queues,
		         info->max_rx_queues);
		return -EINVAL;
	}
	p->queues = (uint16_t)p->config->rx_queues;
	if (p->queues > 1 && info->flow_type_rss_offloads != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		p->rss = true;
		conf.rx_adv_conf.rss_conf.rss_hf =
		    (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP) & info->flow_type_rss_offloads;
	}
	/* a device that knows no mtu takes what its medium gives */
	if (info->max_mtu != 0 && conf.rxmode.mtu > info->max_mtu) {
		snprintf(err, CONFIG_ERROR_MAX,
		         "port %s (%.200s): mtu is %u, but the device takes %u", p->config->name,
		         p->config->device, conf.rxmode.mtu, info->max_mtu);
		return -EINVAL;
	}
	/* some drivers (net_af_xdp) have queues only in pairs */
	p->tx_queues = RTE_MIN(p->queues, info->max_tx_queues);
	/* net_af_packet names 1518 bytes as its largest frame and takes larger ones: frames are as large as buffers */
	if (info->max_rx_pktlen > FRAME_OVERHEAD)
		conf.rxmode.mtu = RTE_MIN(
		    conf.rxmode.mtu, info->max_rx_pktlen - (RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN));
	ret = rte_eth_dev_configure(p->id, p->queues, p->tx_queues, &conf);
	return ret < 0 ? fail(p, err, ret, "rte_eth_dev_configure") : 0;
}

static int set_up_queues(struct port *p, char err[CONFIG_ERROR_MAX])
{
	uint16_t depth = (uint16_t)RTE_MIN(p->config->rx_ring, (uint32_t)UINT16_MAX);
	uint16_t tx_depth = TX_RING;
	int ret = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &depth, &tx_depth);

	if (ret < 0 && ret != -ENOTSUP)
		return fail(p, err, ret, "rte_eth_dev_adjust_nb_rx_tx_desc");
	for (uint16_t q = 0; q < p->queues; q++) {
		ret =
		    rte_eth_rx_queue_setup(p->id, q, depth, (unsigned int)p->socket, NULL, p->pool);
		if (ret < 0)
			return fail(p, err, ret, "rte_eth_rx_queue_setup");
	}
	for (uint16_t q = 0; q < p->tx_queues; q++) {
		ret = rte_eth_tx_queue_setup(p->id, q, tx_depth, (unsigned int)p->socket, NULL);
		if (ret < 0)
			return fail(p, err, ret, "rte_eth_tx_queue_setup");
	}
	return 0;
}

/* RFC 1112 section 6.4 and RFC 2464 section 7 */
static void multicast_mac(const struct net_group *g, struct rte_ether_addr *mac)
{
	if (g->family == AF_INET)
		*mac =
		    (struct rte_ether_addr){.addr_bytes = {0x01, 0x00, 0x5e, g->address[1] & 0x7f,
		                                           g->address[2], g->address[3]}};
	else
		*mac = (struct rte_ether_addr){.addr_bytes = {0x33, 0x33, g->address[12],
		                                              g->address[13], g->address[14],
		                                              g->address[15]}};
}

static bool is_multicast(const struct net_group *g)
{
	return g->family == AF_INET ? (g->address[0] & 0xf0) == 0xe0 : g->address[0] == 0xff;
}

static int filter_groups(struct port *p, const struct net_group *groups, uint32_t count)
{
	struct rte_ether_addr macs[CONFIG_FEEDS_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++)
		if (is_multicast(&groups[i]))
			multicast_mac(&groups[i], &macs[n++]);
	return rte_eth_dev_set_mc_addr_list(p->id, macs, n);
}

static int set_filters(struct port *p, const struct net_group *groups, uint32_t count,
                       char err[CONFIG_ERROR_MAX])
{
	int ret;

	if (p->config->multicast == CONFIG_MULTICAST_GROUPS) {
		if (filter_groups(p, groups, count) == 0)
			return 0;
		log_info(
		    "port %s: the device has no filter for single groups; all multicast is taken",
		    p->config->name);
		if (rte_eth_allmulticast_enable(p->id) == 0)
			return 0;
	}
	ret = rte_eth_promiscuous_enable(p->id);
	if (ret == -ENOTSUP) {
		log_info("port %s: %s has no promiscuous mode; it brings what it brings",
		         p->config->name, p->driver);
		return 0;
	}
	return ret < 0 ? fail(p, err, ret, "rte_eth_promiscuous_enable") : 0;
}

/* a NIC's timestamps are of use only when its clock can be read and put beside CLOCK_REALTIME */
static void set_up_timestamps(struct port *p)
{
	uint64_t first, last, first_ns, last_ns;

	if (!(p->offloads & RTE_ETH_RX_OFFLOAD_TIMESTAMP))
		return;
	if (rte_mbuf_dyn_rx_timestamp_register(&p->timestamp_offset, &p->timestamp_flag) != 0 ||
	    rte_eth_read_clock(p->id, &first) != 0) {
		log_info("port %s: its timestamps have no clock to read; the TSC is used",
		         p->config->name);
		return;
	}
	first_ns = clock_realtime_ns();
	rte_delay_us_sleep(CLOCK_MEASURE_MS * 1000);
	rte_eth_read_clock(p->id, &last);
	last_ns = clock_realtime_ns();
	if (last <= first || last_ns <= first_ns)
		return;
	p->nic_hz =
	    (uint64_t)((unsigned __int128)(last - first) * CLOCK_NS_PER_S / (last_ns - first_ns));
	clock_line_init(&p->nic_line, p->nic_hz, last, last_ns);
	p->timestamps = true;
}

void port_clock_tick(struct port *p)
{
	uint64_t ticks;

	if (p->timestamps && rte_eth_read_clock(p->id, &ticks) == 0)
		clock_line_discipline(&p->nic_line, ticks, clock_realtime_ns());
}

static int start(struct port *p, const struct net_group *groups, uint32_t count,
                 char err[CONFIG_ERROR_MAX])
{
	int ret = rte_eth_dev_start(p->id);

	if (ret < 0)
		return fail(p, err, ret, "rte_eth_dev_start");
	p->started = true;
	return set_filters(p, groups, count, err);
}

int port_open(struct port *p, const struct config *c, const struct config_port *pc,
              const struct net_group *feed_groups, uint32_t group_count, char err[CONFIG_ERROR_MAX])
{
	struct rte_eth_dev_info info;
	struct port_fd_set before;
	int ret;

	*p = (struct port){.config = pc, .id = RTE_MAX_ETHPORTS};
	p->trust_checksums = pc->checksum == CONFIG_CHECKSUM_TRUST;
	warn_of_cut_frames(pc);
	p->groups = net_groups_create(feed_groups, group_count);
	if (p->groups == NULL)
		return fail(p, err, -errno, "net_groups_create");
	port_fd_set_read(&before);
	if ((ret = probe(p, err)) < 0)
		return ret;
	if ((ret = rte_eth_dev_info_get(p->id, &info)) < 0)
		return fail(p, err, ret, "rte_eth_dev_info_get");
	snprintf(p->driver, sizeof(p->driver), "%s", info.driver_name);
	p->socket = RTE_MAX(rte_eth_dev_socket_id(p->id), 0);
	if ((ret = make_pool(p, c, err)) < 0 || (ret = configure(p, &info, err)) < 0 ||
	    (ret = set_up_queues(p, err)) < 0 ||
	    (ret = start(p, feed_groups, group_count, err)) < 0)
		return ret;
	set_up_timestamps(p);
	port_loss_init(p, &before);
	return 0;
}

void port_close(struct port *p)
{
	if (p->started)
		rte_eth_dev_stop(p->id);
	if (p->id != RTE_MAX_ETHPORTS)
		rte_eth_dev_close(p->id);
	p->started = false;
	p->id = RTE_MAX_ETHPORTS;
	rte_mempool_free(p->pool);
	p->pool = NULL;
	net_groups_free(p->groups);
	p->groups = NULL;
}

bool port_needs_capabilities(const struct port *p)
{
	return strcmp(p->driver, "net_af_xdp") == 0;
}
