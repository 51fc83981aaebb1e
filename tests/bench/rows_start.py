# SPDX-License-Identifier: Apache-2.0
"""From a process's start until it is ready, how fast recovery reads, and how much memory it takes."""
import contextlib
import glob
import json
import os
import re
import subprocess
import time

import appliance
import row
import rows_latency
import sandbox

GROUP = "8. Start and memory"
GIB = 1 << 30
JOURNAL_MIB = 1024
SEAL = 64  # bytes: the empty batch that ends a segment
LOAD_RATE, LOAD_SECONDS = 500000, 3


class Bench:
    def __init__(self, context):
        context.need_cpus(2)
        context.need_huge()
        self.context = context
        self.cpus = context.cpus[:2]
        self.netns = sandbox.Netns("start")
        self.journal = os.path.join(context.folder("journal"), "journal")
        # as a kill leaves it: one segment that no seal vouches for, so that a start reads all of it
        _run([context.peer("journal_write"), self.journal, str(JOURNAL_MIB), "none", "4096", str(JOURNAL_MIB + 128), "cut"])
        self.engine(self.journal, appliance.Engine.stop)

    def close(self):
        self.netns.close()

    def engine(self, journal, use):
        """starts one; returns (seconds from its start until it is ready, what use(engine) returns)"""
        engine = appliance.Engine(self.netns, self.context.folder("engine"), {
            "eal": {"lcores": f"0@{self.cpus[0]},1@{self.cpus[1]}"},
            "dataplane": {"rx_lcores": "1", "worker_lcores": "1"},
            "port nic0": {"device": "net_null0"},
            "journal": {"memory_mb": 64, "dir": journal}}, huge=True)
        try:
            begin = time.monotonic()
            engine.launch()
            self._wait_ready(engine)
            took = time.monotonic() - begin
            return took, use(engine)
        finally:
            engine.close()

    def _wait_ready(self, engine):
        """polled every millisecond: start() of the tests polls less and less often"""
        host, port = engine.address.rsplit(":", 1)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not engine.running:
                raise RuntimeError(f"the engine ended\n{engine.log()}")
            with contextlib.suppress(OSError):
                with self.netns.connect(host, int(port), 5) as s:
                    s.sendall(b"GET /health/ready HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                    if s.recv(64).startswith(b"HTTP/1.1 200"):
                        return
            time.sleep(0.001)
        raise RuntimeError(f"not ready within 60 s\n{engine.log()}")

    def start_fresh(self):
        return self.engine(os.path.join(self.context.folder("fresh"), "journal"), appliance.Engine.stop)[0]

    def start_with_journal(self):
        self._unseal()
        seconds, _ = self.engine(self.journal, appliance.Engine.stop)
        return {"value": seconds, "journal_gb": _size(self.journal) / 1e9}

    def _unseal(self):
        """take away what the last recovery wrote: the next one has to read everything again"""
        path, = glob.glob(os.path.join(self.journal, "*.seg"))
        os.truncate(path, os.path.getsize(path) - SEAL)

    def start_testpmd(self):
        seconds, _ = self._testpmd(lambda pid: None)
        return seconds

    def _testpmd(self, use):
        begin = time.monotonic()
        process = sandbox.spawn(
            # into a pipe it says nothing before its buffer is full
            ["stdbuf", "-oL", self.context.tool("dpdk-testpmd"), "--lcores", f"0@{self.cpus[0]},1@{self.cpus[1]}", "--no-pci",
             "--in-memory", "--vdev=net_null0", "--", "--forward-mode=rxonly", "--total-num-mbufs=16384"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if "Press enter to exit" in line:
                    return time.monotonic() - begin, use(process.pid)
            raise RuntimeError(f"dpdk-testpmd did not start\n{''.join(said)}")
        finally:
            process.kill()
            process.wait(10)
            process.stdin.close()
            process.stdout.close()

    def scan(self, *options):
        out = json.loads(_run([self.context.peer("journal_scan"), *options, self.journal]))
        return {"value": out["bytes"] / out["seconds"], "s_per_gb": out["seconds"] * 1e9 / out["bytes"]}

    def memory_at_rest(self):
        return self.engine(os.path.join(self.context.folder("fresh"), "journal"), lambda e: _memory(e.pid))[1]

    def memory_of_testpmd(self):
        return self._testpmd(_memory)[1]

    def memory_under_load(self):
        latency = rows_latency.Bench(self.context)
        try:
            return latency.engine(LOAD_RATE, LOAD_SECONDS, use=_memory)["used"]
        finally:
            latency.close()


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr}")
    return done.stdout


def _size(folder):
    return sum(os.path.getsize(path) for path in glob.glob(os.path.join(folder, "*.seg")))


def _memory(pid):
    """MiB: resident, and in hugepages, which resident does not count"""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        kib = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB$", file.read(), re.MULTILINE)}
    huge = kib["Shared_Hugetlb"] + kib["Private_Hugetlb"]
    return {"value": (kib["Rss"] + huge) / 1024, "resident_mib": kib["Rss"] / 1024, "hugepages_mib": huge / 1024}


@contextlib.contextmanager
def _bench(context):
    bench = Bench(context)
    try:
        yield bench
    finally:
        bench.close()


def rows(context):
    @contextlib.contextmanager
    def setup():
        yield context.shared("start", lambda: _bench(context))

    yield row.Row("start to ready", "s", better="lower", setup=setup, a=Bench.start_fresh, b=Bench.start_testpmd,
                  a_label="new journal", b_label="dpdk-testpmd", note="64 MiB of memlog, one net_null port, two lcores.")
    yield row.Row("start to ready, 1 GiB to recover", "s", better="lower", setup=setup, a=Bench.start_with_journal,
                  b=Bench.start_fresh, a_label="1 GiB in one open segment", b_label="new journal",
                  note="From page cache. A start reads only the last segment of a shard, of 64 MiB unless configured.")
    yield row.Row("recovery scan of 1 GiB", "B/s", setup=setup, a=Bench.scan, b=lambda bench: bench.scan("--limit"),
                  a_label="recovery", b_label="pread and CRC32C", targets={"s_per_gb": 1.0},
                  note="128-byte records, every byte of every segment looked at, from page cache.")
    yield row.Row("memory at rest", "MiB", better="lower", setup=setup, a=Bench.memory_at_rest, b=Bench.memory_of_testpmd,
                  b_label="dpdk-testpmd", note="Resident and hugepages; 64 MiB of it are the memlog.")
    yield row.Row("memory after load", "MiB", better="lower", setup=setup, a=Bench.memory_under_load, b=Bench.memory_at_rest,
                  a_label=f"after {LOAD_SECONDS} s of {LOAD_RATE // 1000} k events/s", b_label="at rest")
