# SPDX-License-Identifier: Apache-2.0
"""The data plane and dpdk-testpmd on the packets of one pcap file, over net_pcap's infinite_rx, on one lcore."""
import contextlib
import json
import os
import re
import shutil
import subprocess
import time

import appliance
import sandbox

GROUP, PORT = "239.1.1.1", 9000
SECONDS = 1.5
SETTLE = 0.5
BUFFER = 512  # bytes of data that a buffer holds, when many packets must fit into the hugepages


def pcap(context, keys=1000, size=64, packets=None, feeds=1):
    """a file with `packets` events, by default one of each key; made once"""
    packets = max(packets or keys, 1000)
    path = os.path.join(context.scratch, f"rx-{keys}-{size}-{packets}-{feeds}.pcap")
    if not os.path.exists(path):
        lines = [word for i in range(feeds) for word in ("--line", f"{GROUP}:{PORT + i}")][2:]
        subprocess.run([context.program("feedsim"), "--group", GROUP, "--port", str(PORT), *lines, "--keys", str(keys), "--size",
                        str(size), "--count", str(packets), "--rate", "0", "--pcap", path], check=True, capture_output=True)
    return path, packets


class Source:
    """what both sides are given"""

    def __init__(self, context, keys=1000, size=64, packets=None, feeds=1):
        context.need_huge()
        context.need_cpus(2)
        self.path, self.packets = pcap(context, keys, size, packets, feeds)
        self.keys, self.size, self.feeds = keys, size, feeds
        self.small = self.packets > 150000
        self.device = f"net_pcap0,rx_pcap={self.path},infinite_rx=1"


def settings(source, lcores="0@{0},1@{1}", rx="1", worker="1", owned=False, extra=None):
    out = {
        "eal": {"lcores": lcores, "no-pci": ""},
        "dataplane": {"rx_lcores": rx, "worker_lcores": worker, "idle": "spin", "mbufs": source.packets + 8192,
                      "key_slots": max(65536, 1 << (source.keys * 4 // 3).bit_length())},
        "port nic0": {"device": source.device, "address": None, "mtu": 128 if source.small else 9000 if source.size > 1400 else 1500},
        "feed ticks": None,
        "journal": {"store": "memory", "memory_mb": 64 if source.small else 256},
    }
    for i in range(source.feeds):
        out[f"feed f{i}"] = {"port": "nic0", "codec": "keyed", "line_a": f"{GROUP}:{PORT + i}"}
    if owned:
        names = [f"K{i:04}" for i in range(source.keys)]
        out["ownership"] = {"mode": "static", "keys": [",".join(names[i:i + 16]) for i in range(0, len(names), 16)]}
    return appliance.merged(out, extra or {})


@contextlib.contextmanager
def namespace():
    netns = sandbox.Netns("rx")
    try:
        yield netns
    finally:
        netns.close()


def lcore_seconds(pid):
    """processor time that lcore 1 has had: a busy machine takes it away from both sides, and not alike"""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as file:
            if file.read().strip() not in ("rte-worker-1", "lcore-worker-1"):
                continue
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e9
    raise RuntimeError(f"process {pid} has no lcore 1")


def engine(context, source, **options):
    """events a second of lcore 1's time, in steady state, with the latency from RX burst to appended"""
    folder = context.folder("engine")
    netns = context.shared("rx namespace", namespace)
    config = settings(source, **options)
    config["eal"]["lcores"] = config["eal"]["lcores"].format(*context.cpus)
    e = appliance.Engine(netns, folder, config, huge=True)
    try:
        e.start(120)
        time.sleep(SETTLE)
        first, begin, wall = e.stats(), lcore_seconds(e.pid), time.monotonic()
        time.sleep(SECONDS)
        last, end, wall = e.stats(), lcore_seconds(e.pid), time.monotonic() - wall
        e.stop()
    finally:
        e.close()
        shutil.rmtree(folder, ignore_errors=True)
    if last["fast_path_filtered_total"]:
        raise RuntimeError(f"events were filtered: {json.dumps(last)}")
    return {"value": (last["fast_path_count"] - first["fast_path_count"]) / (end - begin),
            "dropped": last["fast_path_drops_total"] - first["fast_path_drops_total"], "share of the processor": (end - begin) / wall,
            "p50 us": last["fast_path_process_p50_us"], "p99 us": last["fast_path_process_p99_us"]}


class Testpmd:
    """dpdk-testpmd's command line, asked over a pipe"""

    def __init__(self, context, source):
        sizes = ["--mbuf-size", str(BUFFER), "--total-num-mbufs", str(source.packets + 16384)] if source.small else []
        self.process = sandbox.spawn(
            ["stdbuf", "-oL", context.tool("dpdk-testpmd"), "--lcores", "0@{0},1@{1}".format(*context.cpus), "--no-pci",
             "--file-prefix", f"benchpeer{os.getpid()}", "--vdev", source.device, "--", "-i", "--forward-mode=rxonly",
             "--nb-cores=1", *sizes],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.seen = []

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def received(self):
        """(packets, seconds of lcore 1)"""
        self.say("show port stats 0")
        for line in self.process.stdout:
            self.seen.append(line)
            found = re.search(r"RX-packets:\s*(\d+)", line)
            if found:
                return int(found[1]), lcore_seconds(self.process.pid)
        raise RuntimeError("dpdk-testpmd ended:\n" + "".join(self.seen[-20:]))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def testpmd(context, source):
    """packets a second of lcore 1's time that dpdk-testpmd takes and throws away"""
    peer = Testpmd(context, source)
    try:
        peer.say("start")
        peer.received()
        time.sleep(SETTLE)
        first, begin = peer.received()
        time.sleep(SECONDS)
        last, end = peer.received()
    finally:
        peer.close()
    return (last - first) / (end - begin)
