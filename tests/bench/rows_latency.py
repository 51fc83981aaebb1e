# SPDX-License-Identifier: Apache-2.0
"""From an RX burst to appended, at a steady rate below the highest load, beside a receiver that only copies."""
import contextlib
import glob
import json
import os
import subprocess

import appliance
import row
import sandbox

GROUP = "2. Latency"
SECONDS = 2
TRIAL_SECONDS = 1
STEPS = 5
LOWEST, HIGHEST = 1e6, 10e6  # more than the source can send
QUEUE_US, LOSS_MAX, BLIND_MAX = 5, 0.1, 0.2  # without a queue the median is below 1
P99_US, P999_US = 10, 50
RING = "rsize=12,bsize=256"  # descriptors as a NIC has them; buffers that hold one small frame

NOTE = ("Two processors: receiver on one, and source, stopwatch, main thread and journal thread on the other. One datagram "
        "at a time; value and percentiles are from a datagram's sending until its record is published, by the TSC in its "
        "payload; engine_*: from RX burst to appended, the engine's own histogram. waited_ms: the receiver's thread was "
        "ready, but something else had its processor; that is what p99.9 and max show. rate below offered: the source "
        "skips what it would have sent while the other threads had its own. store = memory.")


class Bench:
    """one receiver at a time, and the source that it is given"""

    def __init__(self, context):
        context.need_cpus(2)
        context.need_huge()
        self.source_program, self.sink_program = context.peer("memif_source"), context.peer("memif_sink")
        self.context = context
        self.cpus = context.cpus[:2]
        self.netns = sandbox.Netns("lat")
        self.highest = None
        self.count = 0

    def close(self):
        self.netns.close()

    def _socket(self):
        self.count += 1
        return os.path.join(self.context.folder("memif"), "s")

    def source(self, path, memlog, rate, seconds, pid, thread):
        """one trial: what memif_source prints, and how long the receiver's thread had to wait for its processor"""
        task = _task(pid, thread)
        waited, stolen = _waited(task), _stolen(self.cpus[1])
        done = subprocess.run(
            ["taskset", "-c", str(self.cpus[0]), self.source_program, "--lcores", f"0@{self.cpus[0]}", "--no-huge", "-m64",
             "--no-pci", "--no-shconf", "--log-level=3",
             f"--vdev=net_memif0,role=client,socket={path},socket-abstract=no,{RING}", "--", memlog, str(rate), str(seconds)],
            capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0 or not os.path.exists(f"/proc/{task}"):
            raise RuntimeError(f"the source or the receiver ended: {done.stderr}")
        out = json.loads(done.stdout.splitlines()[-1])
        if out["mismatched"]:
            raise RuntimeError(f"the stopwatch timed the wrong records: {out}")
        return out | {"waited_ms": _waited(task) - waited, "stolen_ms": _stolen(self.cpus[1]) - stolen}

    def engine(self, rate, seconds, idle="spin", use=None):
        """one trial of a fresh appliance; use(pid) is called after it, and what it returns is `used`"""
        path = self._socket()
        engine = appliance.Engine(self.netns, self.context.folder("engine"), {
            "eal": {"lcores": f"0@{self.cpus[0]},1@{self.cpus[1]}"},
            "dataplane": {"rx_lcores": "1", "worker_lcores": "1", "idle": idle},
            "port nic0": {"device": f"net_memif0,role=server,socket={path},socket-abstract=no"},
            "journal": {"memory_mb": 64, "store": "memory"}}, huge=True)
        try:
            engine.start()
            out = self.source(path, _memlog_of(engine.pid), rate, seconds, engine.pid, "rte-worker-1")
            if use:
                out["used"] = use(engine.pid)
            stats = engine.rest()
            # net_memif forgets what it counted when its peer goes: no law of frames here
            if stats["law_messages_balance"]:
                raise RuntimeError(f"messages went missing: {stats}")
            for name in ("p50", "p99", "p999", "max"):
                out[f"engine_{name}_us"] = stats[f"fast_path_process_total_{name}_us"]
            out["drops"] = stats["fast_path_drops_total"]
            return out
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{engine.log()}") from error
        finally:
            engine.close()

    def sink(self, rate, seconds):
        """the same for the receiver that only copies"""
        path, memlog = self._socket(), f"/dev/hugepages/bench-sink-{os.getpid()}"
        process = sandbox.spawn(
            [self.sink_program, "--lcores", f"0@{self.cpus[1]}", "--no-pci", "--no-shconf", "--in-memory", "--log-level=3",
             f"--vdev=net_memif0,role=server,socket={path},socket-abstract=no", "--", memlog, "64"],
            stdout=subprocess.PIPE, text=True)
        try:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"memif_sink ended with status {process.wait(10)}")
            return self.source(path, memlog, rate, seconds, process.pid, "memif_sink")
        finally:
            process.terminate()
            process.wait(10)
            process.stdout.close()
            if os.path.exists(memlog):
                os.unlink(memlog)

    def full_load(self):
        """The highest rate at which no queue stands before the engine, by bisection; found once. A few frames are lost at
        any rate while another process has its processor: that says nothing about the engine."""
        if self.highest is None:
            low, high = LOWEST, HIGHEST
            for _ in range(STEPS):
                rate = (low * high) ** 0.5
                got = self.engine(rate, TRIAL_SECONDS)
                lost, blind = got["refused"] + got["drops"], got["blind"] / max(got["blind"] + got["timed"], 1)
                # a source that sees little cannot keep the pace itself
                if got["p50_us"] < QUEUE_US and lost < LOSS_MAX * got["sent"] and blind < BLIND_MAX:
                    low = rate
                else:
                    high = rate
            self.highest = low
        return self.highest


def _task(pid, name):
    """the id of a process's thread"""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as file:
            if file.read().strip() == name:
                return int(task)
    raise RuntimeError(f"process {pid} has no thread {name}")


def _waited(task):
    """ms that a thread was ready to run, and another one ran in its place"""
    with open(f"/proc/{task}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[1]) / 1e6


def _stolen(cpu):
    """ms that the hypervisor ran something else"""
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            if line.startswith(f"cpu{cpu} "):
                return int(line.split()[8]) * 1000 / os.sysconf("SC_CLK_TCK")
    raise RuntimeError(f"/proc/stat has no cpu{cpu}")


def _memlog_of(pid):
    """with store = memory the file has no name any more, but the process still holds it"""
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        if "memlog" in os.readlink(path):
            return path
    raise RuntimeError("the engine has no memlog open")


def _figures(out, offered):
    """what is shown of a trial"""
    share = {"blind_percent": 100 * out["blind"] / max(out["blind"] + out["timed"], 1)}
    return {"value": out["p99_us"], "offered": offered, "rate": out["sent"] / out["seconds"]} | share | {
        k: v for k, v in out.items() if k.endswith(("_us", "_ms")) or k in ("refused", "lost", "histogram")}


@contextlib.contextmanager
def _bench(context):
    bench = Bench(context)
    try:
        yield bench
    finally:
        bench.close()


def _row(context, percent, idle, target):
    @contextlib.contextmanager
    def setup():
        bench = context.shared("latency", lambda: _bench(context))
        yield bench, bench.full_load() * percent / 100

    return row.Row(
        f"{percent} % load, idle = {idle}", "us p99", setup=setup, better="lower", full_only=idle == "adaptive",
        a=lambda made: _figures(made[0].engine(made[1], SECONDS, idle), made[1]), a_label="Fast Path",
        b=lambda made: _figures(made[0].sink(made[1], SECONDS), made[1]), b_label="memif to memory, copied only",
        targets={"engine_p99_us": P99_US, "engine_p999_us": P999_US} if target else {}, note=NOTE)


def rows(context):
    yield _row(context, 10, "spin", False)
    yield _row(context, 50, "spin", True)
    yield _row(context, 90, "spin", False)
    yield _row(context, 50, "adaptive", False)
