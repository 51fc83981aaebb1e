/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that a receiver can do, to set its latency beside ours: takes bursts from net_memif, copies each
 * message to where a memlog would have its record, and publishes once a burst. Looks at nothing, checks nothing.
 *
 *   memif_sink [EAL options with one --vdev=net_memif0,role=server,...] -- FILE MIB
 *
 * FILE is made in the memlog's format, so that memif_source can watch it. Prints "ready"; runs until SIGTERM.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_pause.h>

#include "journal/memlog.h"

#define KEY_LEN 8
#define MESSAGE 64
#define HEADERS 42 /* Ethernet, IPv4, UDP */
#define BURST   64

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	stop = number;
}

static void die(const char *what)
{
	fprintf(stderr, "memif_sink: %s\n", what);
	exit(1);
}

static struct memlog_header *make_memlog(const char *path, size_t bytes)
{
	static const uint8_t uuid[16] = "bench";
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	void *base;

	/* all of it now: a hugepage that is missing later would be a SIGBUS */
	if (fd < 0 || posix_fallocate(fd, 0, (off_t)bytes) != 0)
		die("the file cannot be made: are enough hugepages free?");
	base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (base == MAP_FAILED || memlog_format(base, bytes, uuid, 0, 1, 1) < 0)
		die("the file cannot be mapped: at least 1 MiB");
	return base;
}

static uint16_t open_port(void)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create("sink", 16383, 256, 0, 2176, 0);
	struct rte_eth_conf conf = {0};
	uint16_t port;

	if (pool == NULL || rte_eth_dev_count_avail() != 1)
		die("give one --vdev=net_memif0,role=server,...");
	port = rte_eth_find_next(0);
	if (rte_eth_dev_configure(port, 1, 1, &conf) < 0 ||
	    rte_eth_rx_queue_setup(port, 0, 4096, 0, NULL, pool) < 0 ||
	    rte_eth_tx_queue_setup(port, 0, 512, 0, NULL) < 0 || rte_eth_dev_start(port) < 0)
		die("the port cannot be started");
	return port;
}

static void receive(uint16_t port, struct memlog_header *header)
{
	uint32_t record = journal_record_size(KEY_LEN, MESSAGE - 1 - KEY_LEN);
	uint8_t *data = (uint8_t *)header + MEMLOG_HEADER_SIZE;
	uint64_t position = 0, offset = 0;
	struct rte_mbuf *m[BURST];

	while (!stop) {
		uint16_t n = rte_eth_rx_burst(port, 0, m, BURST);

		if (n == 0) {
			rte_pause();
			continue;
		}
		for (uint16_t i = 0; i < n; i++) {
			if (offset + record > header->capacity) {
				position += header->capacity - offset;
				offset = 0;
			}
			memcpy(data + offset + sizeof(struct journal_record),
			       rte_pktmbuf_mtod_offset(m[i], const uint8_t *, HEADERS + 1),
			       MESSAGE - 1);
			position += record;
			offset += record;
		}
		atomic_store_explicit(&header->published, position, memory_order_release);
		rte_pktmbuf_free_bulk(m, n);
	}
}

int main(int argc, char **argv)
{
	struct memlog_header *header;
	int eal = rte_eal_init(argc, argv);
	uint16_t port;

	if (eal < 0)
		die("rte_eal_init failed");
	argc -= eal;
	argv += eal;
	if (argc != 3)
		die("use: memif_sink EAL-OPTIONS -- FILE MIB");
	signal(SIGTERM, on_signal);
	header = make_memlog(argv[1], (size_t)atol(argv[2]) << 20);
	port = open_port();
	puts("ready");
	fflush(stdout);
	receive(port, header);
	rte_eth_dev_stop(port);
	rte_eth_dev_close(port);
	rte_eal_cleanup();
	return 0;
}
