# SPDX-License-Identifier: Apache-2.0
"""A real broker in a namespace of its own, and what a read_committed consumer sees of it."""
import collections
import json
import os
import signal
import subprocess
import time

import appliance
import sandbox

SCRIPT = os.path.join(appliance.ROOT, "scripts", "kafka.sh")
ADMIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kafka_admin.py")
ADDRESS = "10.98.0.1"
FORMAT = r"%p %o %T %K %S %h\n%k%s\n"

Record = collections.namedtuple("Record", "partition offset timestamp key value headers")


def fetch():
    """Get the jars. Returns why there are none, or None."""
    for tool in ("mvn", "kcat", "openssl"):
        if subprocess.run(["which", tool], capture_output=True, check=False).returncode != 0:
            return f"there is no {tool}: run scripts/deps.sh kafka"
    done = subprocess.run([SCRIPT, "fetch"], capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or ["kafka: no word from kafka.sh"])[-1].removeprefix("kafka: ")
    return None


class Broker:
    """One node, listening at ADDRESS in its namespace; attach() makes a wire to another namespace."""

    def __init__(self, directory, settings=()):
        """settings: lines of the broker's configuration, KEY=VALUE"""
        self.directory = str(directory)
        self.netns = sandbox.Netns("k")
        self.process = None
        self._wires = 0
        try:
            self.netns.run("ip", "link", "add", "br0", "type", "bridge")
            self.netns.run("ip", "address", "add", f"{ADDRESS}/16", "dev", "br0")
            self.netns.run("ip", "link", "set", "br0", "up")
            self.netns.run(SCRIPT, "prepare", "--dir", self.directory, "--address", ADDRESS, "--tls", "--acl",
                           *(word for line in settings for word in ("--set", line)))
            self.bootstrap = self._read("address")
            self.tls_bootstrap = self._read("tls-address")
            self.ca = os.path.join(self.directory, "ca.pem")
            self.start()
        except BaseException:
            self.close()
            raise

    def _read(self, name):
        with open(os.path.join(self.directory, name), encoding="ascii") as file:
            return file.read().strip()

    # ---- the process ----

    def launch(self):
        self.process = self.netns.spawn(SCRIPT, "run", "--dir", self.directory, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers(self):
        if self.process.poll() is not None:
            with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as file:
                raise AssertionError(f"the broker ended with status {self.process.returncode}\n{file.read()[-3000:]}")
        return self.netns.run(SCRIPT, "status", "--dir", self.directory, check=False).returncode == 0

    def start(self):
        self.launch()
        appliance.wait_for(self.answers, 120, "the broker answers")

    def kill9(self):
        sandbox.kill_and_wait(self.process)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=120)

    def close(self):
        if self.process is not None:
            sandbox.kill_and_wait(self.process)
        self.netns.close()

    # ---- the network ----

    def attach(self, netns):
        """a wire from the broker to another namespace"""
        self._wires += 1
        mine, theirs = f"k{self._wires}", "kafka0"
        subprocess.run(["ip", "link", "add", mine, "netns", self.netns.name, "type", "veth", "peer", "name", theirs,
                        "netns", netns.name], check=True)
        self.netns.run("ip", "link", "set", mine, "master", "br0", "up")
        netns.run("ip", "address", "add", f"10.98.{self._wires // 200 + 1}.{self._wires % 200 + 1}/16", "dev", theirs)
        netns.run("ip", "link", "set", theirs, "up")

    # ---- topics ----

    def admin(self, *arguments):
        self.netns.run("/usr/bin/python3", ADMIN, self.bootstrap, *arguments)

    def allow(self, principal, change="--add"):
        """everything, to one user: the broker's own tool, since librdkafka knows no ACL of transactional ids"""
        jars = subprocess.run([SCRIPT, "jars"], capture_output=True, text=True, check=True).stdout.strip()
        self.netns.run("java", "-cp", jars, "kafka.admin.AclCommand", "--bootstrap-server", self.bootstrap, change,
                       *(["--force"] if change == "--remove" else []), "--allow-principal", principal, "--operation", "All", "--topic", "*", "--group", "*",
                       "--transactional-id", "*", "--cluster")

    def consumer(self, topic, isolation="read_committed"):
        """the command of one that reads all that is there now"""
        return self.netns.command("kcat", "-C", "-q", "-e", "-o", "beginning", "-b", self.bootstrap, "-t", topic,
                                  "-X", f"isolation.level={isolation}", "-X", "fetch.wait.max.ms=10", "-f", FORMAT)

    def disallow(self, principal):
        """what was allowed"""
        self.allow(principal, "--remove")

    def read(self, topic, isolation="read_committed"):
        """all records that a consumer sees now, by partition and offset"""
        done = subprocess.run(self.consumer(topic, isolation), capture_output=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr.decode()
        return sorted(parse(done.stdout), key=lambda r: (r.partition, r.offset))

    def write(self, topic, key, value):
        self.netns.run("kcat", "-P", "-b", self.bootstrap, "-t", topic, "-k", key, "-p", "0", input=value, stdin=None)


# ---- at full counts ----

def build_checker(directory):
    """exactly_once.c; returns its path"""
    path = os.path.join(str(directory), "exactly_once")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "exactly_once.c")
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-o", path, source, "-ljansson"],
                   check=True)
    return path


def verify(checker, records, journals, partitions, sent=(), losses=False, fenced=None, side_by_side=False):
    """All that a consumer sees is what the journals have, [(engine id, directory)], each exactly once, in order per key;
    and these have what Paced feeds sent, [(first, end)]. records: a consumer's command. losses: an engine was killed.
    fenced: the directory of an engine that was; the end of its journal is missing. side_by_side: no order between the
    journals. Returns the counts."""
    options = ["-n", str(partitions)] + [word for first, end in sent for word in ("-s", f"{first}:{end}")]
    options += (["-l"] if losses else []) + (["-u"] if side_by_side else [])
    began, cats, arguments = time.monotonic(), [], []
    consumer = subprocess.Popen(records, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        for engine, directory in journals:
            cats.append(subprocess.Popen([appliance.program("fastpathctl"), "journal", "cat", directory],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE))
            path = f"/dev/fd/{cats[-1].stdout.fileno()}"
            arguments.append(f"{engine}={path}")
            options += ["-f", path] if directory == fenced else []
        done = subprocess.run([checker, *options, *arguments], stdin=consumer.stdout, capture_output=True, text=True,
                              pass_fds=[cat.stdout.fileno() for cat in cats], timeout=600, check=False)
    finally:
        for process in [consumer, *cats]:
            process.stdout.close()
            ended = process.wait(timeout=60)
            assert ended == 0, f"{process.args}: status {ended}"
    assert done.returncode == 0, f"status {done.returncode}: {done.stdout}\n{done.stderr}"
    counts = json.loads(done.stdout)
    print("EXACTLY-ONCE", done.stdout.strip(), f"checked in {time.monotonic() - began:.1f} s")
    return counts


def parse(data):
    records, at = [], 0
    while at < len(data):
        end = data.index(b"\n", at)
        partition, offset, timestamp, key_len, value_len, headers = data[at:end].split(b" ", 5)
        start = end + 1
        middle = start + max(int(key_len), 0)
        at = middle + max(int(value_len), 0)
        fields = dict(h.split("=", 1) for h in headers.decode().split(",") if h)
        records.append(Record(int(partition), int(offset), int(timestamp), data[start:middle], data[middle:at], fields))
        assert data[at:at + 1] == b"\n"
        at += 1
    return records


def murmur2(data):
    """of org.apache.kafka.common.utils.Utils"""
    mask, m = 0xffffffff, 0x5bd1e995
    h = (0x9747b28c ^ len(data)) & mask
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i:i + 4], "little") * m & mask
        k ^= k >> 24
        h = (h * m & mask) ^ (k * m & mask)
    tail = data[whole:]
    if tail:
        h ^= int.from_bytes(tail, "little")
        h = h * m & mask
    h ^= h >> 13
    h = h * m & mask
    return h ^ h >> 15


def partition_of(key, partitions):
    return (murmur2(key) & 0x7fffffff) % partitions


def exactly_once(records, events, engine, partitions):
    """Each event of the journal once, byte for byte, in order per key. engine: id, or {(shard, seq): id}"""
    expected = {(e["shard"], e["seq"]): e for e in events}
    seen, last = set(), {}
    for r in records:
        place = int(r.headers["shard"]), int(r.headers["seq"])
        assert place not in seen, f"twice: {r}"
        seen.add(place)
        assert place in expected, f"never journaled: {r}"
        same_as_journal(r, expected[place], engine if isinstance(engine, str) else engine[place], partitions)
        assert place > last.get(r.key, (-1, 0)), f"out of order: {r}"
        last[r.key] = place
    missing = sorted(set(expected) - seen)
    assert not missing, f"{len(missing)} of {len(expected)} are missing: {missing[:5]} .. {missing[-5:]}"


def same_as_journal(r, event, engine, partitions):
    assert (r.key, r.value) == (event["key"], event["payload"]), (r, event)
    assert r.partition == partition_of(r.key, partitions), r
    assert list(r.headers) == ["engine", "shard", "seq", "feed", "session", "feed_seq", "rx_time_ns"], r
    assert r.headers["engine"] == engine and r.headers["feed"] == event["feed"], (r, event)
    assert r.headers["session"] == event["session"] and int(r.headers["feed_seq"]) == event["feed_seq"], (r, event)
    rx = int(r.headers["rx_time_ns"])
    assert event["time"].endswith(f"{rx % 10**9:09d}Z") and r.timestamp == rx // 10**6, (r, event)
