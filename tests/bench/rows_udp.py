# SPDX-License-Identifier: Apache-2.0
"""UDP to disk and UDP to Kafka, end to end: real sockets over a veth, counted at the far end for everybody alike."""
import contextlib
import os
import socket
import time

import cpu
import kafka
import sandbox
import senders
import udp_systems
from row import Row, Unavailable
from staircase import Staircase

GROUP = "5. UDP end to end"
SIZE, KEYS = 64, 1000
LATE_S = 0.75       # the far end must have all so soon after the sender has ended: a rate that is kept up, not buffered
LOST_AFTER_S = 3.0  # nothing has moved for so long: what is missing is lost
PACKET, XDP = "net_af_packet", "net_af_xdp"
PEERS = {"rsyslog": udp_systems.Rsyslog, "syslog-ng": udp_systems.SyslogNg, "recvmmsg loop": udp_systems.Loop}


class Bed:
    """The wire, the sender and what it costs, and a broker when topics are the far end."""

    def __init__(self, context, with_broker):
        self.context, self.wire, self.broker = context, sandbox.Wire(), None
        self.seconds = 2.5
        self.idle = cpu.idle_share(3.0)
        try:
            self._join(with_broker)
        except BaseException:
            self.close()
            raise
        self._sender_us = {}

    def _join(self, with_broker):
        a, f = self.wire.appliance, self.wire.feed
        # peers have a kernel socket, and the kernel joins the group for them; Fast Path does not look at this
        a.run("ip", "address", "add", "10.99.0.1/24", "dev", "fp0")
        a.run("ip", "address", "add", f"{udp_systems.GROUP}/32", "dev", "fp0", "autojoin")
        # a veth whose other end is down drops what it is given
        f.run("ip", "link", "add", "null0", "type", "veth", "peer", "name", "null1")
        f.run("ip", "address", "add", "10.97.0.1/24", "dev", "null0")
        f.run("ip", "link", "set", "null0", "up")
        if with_broker:
            self.broker = kafka.Broker(os.path.join(self.context.folder("broker"), "data"))
            self.broker.attach(a)

    def send(self, rate, **options):
        count = int(rate * self.seconds)
        return senders.Feedsim(self.wire, **({"count": count, "rate": int(rate), "size": SIZE, "keys": KEYS} | options))

    def sender_us(self, rate):
        """CPU microseconds an event that the sender takes to send at this rate to a device that drops it"""
        rate = int(rate)
        if rate not in self._sender_us:
            before = cpu.children_ended()
            sent = self.send(rate, **{"interface-address": "10.97.0.1"}).sent()["sent"]
            self._sender_us[rate] = (cpu.children_ended() - before) / sent * 1e6
        return self._sender_us[rate]

    def close(self):
        self.wire.close()
        if self.broker:
            self.broker.close()


class Probe(dict):
    """figures of one run; true if all arrived in time and the sender kept its rate"""

    def __bool__(self):
        return self["passed"]


def probe(bed, system, before, rate):
    """Send at this rate to a system that runs; `before`: events at the far end so far. CPU seconds end with the last
    arrival."""
    begin = cpu.Sample()
    sender = bed.send(rate)
    summary = sender.sent()
    sent_at = time.monotonic()
    last, moved = cpu.Sample(), system.progress()
    arrived = 0
    while time.monotonic() - last.at < LOST_AFTER_S:
        time.sleep(0.1)
        now = cpu.Sample()
        progress = system.progress()
        if progress != moved:
            last, moved = now, progress
        elif time.monotonic() - last.at > 0.2 and arrived < summary["sent"]:
            arrived += system.count() - before - arrived
        if arrived >= summary["sent"]:
            break
    arrived = system.count() - before
    busy, seconds = last.since(begin)
    kept = summary["rate"] >= 0.95 * rate
    late = max(0.0, last.at - sent_at)
    net = busy - bed.idle * seconds - bed.sender_us(rate) * summary["sent"] / 1e6
    assert net > 0.1 * busy, (f"{busy:.2f} CPU-seconds, of which {busy - net:.2f} are the idle machine's and the sender's: "
                              "other programs must have been busy when these were measured")
    return Probe(passed=arrived == summary["sent"] and late <= LATE_S and kept, rate=rate, sent=summary["sent"],
                 arrived=arrived, late_s=late, sender_kept=kept, busy_s=busy, seconds=seconds,
                 per_cpu_s=arrived / net, sender_us=bed.sender_us(rate))


class Pair:
    """Rounds of two systems in turns; each gives the highest rate and the events per CPU-second there, for two rows"""

    def __init__(self, bed, systems, rates):
        self.bed, self.systems = bed, systems
        self.stairs = {side: Staircase(*rates) for side in systems}
        self.done = {side: [] for side in systems}

    def round(self, side, index):
        while len(self.done[side]) <= index:
            self.done[side].append(self._measure(side))
        return self.done[side][index]

    def _measure(self, side):
        system, total = self.systems[side], [0]
        system.start()
        try:
            def one(rate):
                result = probe(self.bed, system, total[0], rate)
                total[0] += result["arrived"]
                if os.environ.get("BENCH_VERBOSE"):
                    print(f"  {system.label}: {dict(result)}", flush=True)
                return result
            return self.stairs[side].highest(one)
        finally:
            system.stop()


def xdp_missing():
    try:
        socket.socket(44, socket.SOCK_RAW, 0).close()  # AF_XDP
        return None
    except OSError as error:
        return f"no AF_XDP sockets here: {error}"


@contextlib.contextmanager
def receive_buffers():
    """let programs that do not force it have the socket buffer that they ask for"""
    name = "/proc/sys/net/core/rmem_max"
    with open(name, encoding="ascii") as file:
        before = file.read()
    try:
        with open(name, "w", encoding="ascii") as file:
            file.write(str(udp_systems.SOCKET_BYTES))
        yield
    finally:
        with open(name, "w", encoding="ascii") as file:
            file.write(before)


@contextlib.contextmanager
def bed_with(context, with_broker):
    if with_broker:
        refused = kafka.fetch()
        if refused:
            raise Unavailable(refused)
    with receive_buffers():
        bed = Bed(context, with_broker)
        try:
            yield bed
        finally:
            bed.close()


@contextlib.contextmanager
def make_pair(context, device, peer, far):
    if device == XDP and xdp_missing():
        raise Unavailable(xdp_missing())
    bed = context.shared(f"udp bed {far}", lambda: bed_with(context, far == "Kafka"))
    folder = context.folder(f"{device} {peer}")

    def end():
        return udp_systems.Topic(context, bed.broker) if bed.broker else None
    systems = {"a": udp_systems.FastPath(context, bed.wire, os.path.join(folder, "ours"), device, end()),
               "b": PEERS[peer](context, bed.wire, os.path.join(folder, "peer"), end())}
    yield Pair(bed, systems, (8000, 200000, 1.12) if far == "Kafka" else (20000, 800000, 1.12))


class Side:
    """rounds of one side of a pair, for one row: a figure of each as the row's value"""

    def __init__(self, context, key, make, side, value):
        self.context, self.key, self.make, self.side, self.value = context, key, make, side, value
        self.index = -1

    def __call__(self):
        pair = self.context.shared(self.key, self.make)
        self.index += 1
        p = pair.round(self.side, self.index)
        return {"value": p[self.value], "events/s": p["rate"], "events per CPU-s": p["per_cpu_s"],
                "busy CPUs": p["busy_s"] / p["seconds"], "late s": p["late_s"]} | {"raw": dict(p)}


def pair_rows(context, device, peer, far, full_only):
    key = f"udp {device} {peer} {far}"

    def make():
        return make_pair(context, device, peer, far)
    target = 3.0 if (device, peer, far) == (PACKET, "rsyslog", "Kafka") else None
    for name, value, unit, goal in (("events per CPU-second", "per_cpu_s", "events/CPU-s", target),
                                    ("highest rate without loss", "rate", "events/s", None)):
        yield Row(f"to {far}, {name}, {device} against {peer}", unit, a=Side(context, key, make, "a", value),
                  b=Side(context, key, make, "b", value), a_label=f"Fast Path, {device}", b_label=peer, target=goal,
                  full_only=full_only)


def rows(context):
    yield from pair_rows(context, PACKET, "rsyslog", "Kafka", False)
    yield from pair_rows(context, PACKET, "rsyslog", "disk", False)
    yield from pair_rows(context, PACKET, "recvmmsg loop", "disk", True)
    yield from pair_rows(context, PACKET, "syslog-ng", "Kafka", True)
    yield from pair_rows(context, PACKET, "syslog-ng", "disk", True)
    yield from pair_rows(context, XDP, "rsyslog", "Kafka", True)
    yield from pair_rows(context, XDP, "rsyslog", "disk", True)
    yield from pair_rows(context, XDP, "recvmmsg loop", "disk", True)
