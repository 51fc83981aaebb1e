# SPDX-License-Identifier: Apache-2.0
"""How many events one lcore takes, run to completion, beside what the driver alone gives (issue 4, row 1)."""
import rows_append
import rx_limit
from row import Row

GROUP = "1. RX limit"


def against_testpmd(context, name, source=None, options=None, **more):
    made = {}

    def source_of():
        if not made:
            made["source"] = rx_limit.Source(context, **(source or {}))
        return made["source"]

    return Row(name, "events/s", a=lambda: rx_limit.engine(context, source_of(), **(options or {})),
               b=lambda: rx_limit.testpmd(context, source_of()), b_label="dpdk-testpmd rxonly", **more)


def rows(context):
    yield against_testpmd(context, "64 bytes, 1,000 keys, one lcore", target=0.5,
                          note="both read the same pcap file by net_pcap, infinite_rx; ours verifies both checksums of each packet")
    yield against_testpmd(context, "64 bytes, 1,000 keys, one lcore, checksum = trust",
                          options={"extra": {"port nic0": {"checksum": "trust"}}},
                          note="what a NIC that verifies checksums itself leaves to do; dpdk-testpmd verifies none")
    yield against_testpmd(context, "64 bytes, 1,000 keys, one lcore, keys looked up in a static set", options={"owned": True})
    yield against_testpmd(context, "64 bytes, 1,000 keys, RX and worker on two lcores",
                          options={"lcores": "0@{0},1@{1},2@{0}", "worker": "2"},
                          note="on two processors the worker shares one with the journal and control threads")
    yield Row("64 bytes, 1,000 keys, one lcore, beside a loop without packets", "events/s",
              a=lambda: rx_limit.engine(context, rx_limit.Source(context)),
              b=lambda: rows_append.loop(context, "memlog", 64),
              b_label="append of the same records", note="no packets, nothing decoded; both with CRC32C")
    for size in (256, 1024):
        yield against_testpmd(context, f"{size} bytes, 1,000 keys, one lcore", source={"size": size}, full_only=size == 256)
    for keys in (10, 100, 10000, 100000, 1000000):
        yield against_testpmd(context, f"64 bytes, {keys:,} keys, one lcore", source={"keys": keys},
                              full_only=keys != 100000, factor=("keys", keys),
                              note="the file holds an event of each key, 1,000 at least")
