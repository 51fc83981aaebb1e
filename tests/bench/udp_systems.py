# SPDX-License-Identifier: Apache-2.0
"""What takes UDP off a veth and brings it to a file or a topic: Fast Path and its peers, started and counted alike.

start() and stop(); progress(): a number that moves while events arrive at the far end, cheap to ask for; count(): events
at the far end since the start, read back from there.
"""
import json
import os
import signal
import subprocess
import uuid

import appliance
import sandbox

PORT = 9000
GROUP = "239.1.1.1"
PARTITIONS = 4
SOCKET_BYTES = 64 << 20


class File:
    """a far end that is a file of lines"""

    def __init__(self, directory):
        self.path = os.path.join(directory, "lines")

    def start(self, wire):
        del wire

    def progress(self):
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def count(self):
        if not os.path.exists(self.path):
            return 0
        with open(self.path, "rb") as file:
            return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))

    def stop(self):
        if os.path.exists(self.path):
            os.unlink(self.path)


class Topic:
    """a far end that is a topic of its own, read by tests/bench/kafka_count.c"""

    def __init__(self, context, broker):
        self.broker = broker
        self.program = context.peer("kafka_count")
        self.name = None
        self._counter = None
        self._total = 0

    def start(self, wire):
        self.name = "u" + uuid.uuid4().hex[:10]
        self._total = 0
        self.broker.admin("create", self.name, str(PARTITIONS))
        self._counter = self.broker.netns.spawn(self.program, self.broker.bootstrap, self.name, PARTITIONS,
                                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _ask(self, word):
        self._counter.stdin.write(word + "\n")
        self._counter.stdin.flush()
        answer = self._counter.stdout.readline()
        assert answer, "kafka_count ended"
        return int(answer)

    def progress(self):
        return self._ask("end")

    def count(self):
        self._total += self._ask("count")
        return self._total

    def stop(self):
        if self._counter is not None:
            self._counter.stdin.close()
            self._counter.wait(timeout=30)
            self._counter.stdout.close()
            self._counter = None


class Journal:
    """a far end that is the appliance's own journal, read by fastpathctl journal stat"""

    def __init__(self, system):
        self.system = system

    def start(self, wire):
        pass

    def progress(self):
        stats = self.system.engine.stats()
        return stats["fast_path_count"] - stats["persistence_queue_lag"]

    def count(self):
        return records(self.system.engine.journal_dir)

    def stop(self):
        pass


def records(directory):
    """in the segment files, read and checked one by one"""
    out = appliance.ctl("journal", "stat", "--json", directory).stdout
    return sum(shard["records"] for shard in json.loads(out)["shards"])


class FastPath:
    """the appliance: one lcore that receives and journals, idle = adaptive, as one would run it on two shared processors"""

    def __init__(self, context, wire, directory, device, topic=None):
        self.label = f"Fast Path, {device}"
        self.wire, self.directory, self.huge = wire, directory, context.no_huge is None
        self.device = {"net_af_packet": appliance.af_packet(), "net_af_xdp": "net_af_xdp0,iface=fp0"}[device]
        self.ring = 16384 if device == "net_af_xdp" else 4096
        self.end = topic or Journal(self)
        self.topic = topic
        self.engine = None
        self.runs = 0

    def start(self):
        self.end.start(self.wire)
        self.runs += 1
        settings = {
            "eal": {"lcores": "0@(0-1),1@(0-1)"},
            "dataplane": {"rx_lcores": "1", "worker_lcores": "1", "idle": "adaptive"},
            "port nic0": {"device": self.device, "rx_ring": self.ring},
            "journal": {"memory_mb": 64, "segment_mb": 64, "sync": "group" if self.topic else "none"}}
        if self.topic:
            settings["kafka"] = {"enable": 1, "bootstrap_servers": self.topic.broker.bootstrap, "topic": self.topic.name,
                                 "partitions": PARTITIONS}
        self.engine = appliance.Engine(self.wire.appliance, os.path.join(self.directory, f"run{self.runs}"), settings,
                                       huge=self.huge)
        self.engine.start(60)
        if self.topic:
            appliance.wait_for(lambda: self.engine.stats()["kafka_bridge_state"] == "running", 60, "the bridge runs")

    def progress(self):
        return self.end.progress()

    def count(self):
        return self.end.count()

    def stop(self):
        self.engine.stop()
        self.engine.close()
        self.end.stop()
        subprocess.run(["rm", "-rf", self.engine.directory], check=True)


class Peer:
    """a program on a kernel socket"""

    label = "peer"

    def __init__(self, context, wire, directory, topic=None):
        self.context, self.wire, self.directory, self.topic = context, wire, directory, topic
        os.makedirs(directory, exist_ok=True)
        self.end = topic or File(directory)
        self.process = None

    def start(self):
        self.end.start(self.wire)
        with open(os.path.join(self.directory, "log"), "wb") as log:
            self.process = self.wire.appliance.spawn(*self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                     env=os.environ | self.environment())
        appliance.wait_for(self.listens, 30, lambda: f"{self.label} listens\n{self.log()}")

    def log(self):
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:]

    def listens(self):
        assert self.process.poll() is None, f"{self.label} ended with status {self.process.returncode}\n{self.log()}"
        return self.wire.appliance.run("ss", "-H", "-u", "-l", "-n", f"sport = :{PORT}").stdout.strip() != ""

    def environment(self):
        return {}

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def progress(self):
        return self.end.progress()

    def count(self):
        return self.end.count()

    def stop(self):
        sandbox.kill_and_wait(self.process, signal.SIGTERM)
        self.end.stop()


class Loop(Peer):
    label = "recvmmsg loop"

    def command(self):
        return [self.context.peer("recvmmsg_file"), str(PORT), self.end.path]


class Rsyslog(Peer):
    """as its documentation advises for high rates: imudp with two threads and recvmmsg batches, one parser, a big queue in
    memory, large batches; the message goes out as it came"""

    label = "rsyslog"

    def command(self):
        modules = self.context.unpacked("usr/lib/x86_64-linux-gnu/rsyslog")
        return [self.context.unpacked("usr/sbin/rsyslogd"), "-n", "-i", os.path.join(self.directory, "pid"), "-M", modules,
                "-f", self.write("rsyslog.conf", RSYSLOG.format(port=PORT, bytes=SOCKET_BYTES, action=self.action(),
                                                                directory=self.directory))]

    def action(self):
        if self.topic is None:
            return f'action(type="omfile" file="{self.end.path}" template="asis" asyncWriting="on" ioBufferSize="256k")'
        return RSYSLOG_KAFKA.format(bootstrap=self.topic.broker.bootstrap, topic=self.topic.name)


RSYSLOG = """\
global(workDirectory="{directory}" processInternalMessages="off" parser.escapeControlCharactersOnReceive="off")
module(load="imudp" threads="2" batchSize="256" timeRequery="8")
module(load="omkafka")
template(name="asis" type="string" string="%rawmsg%\\n")
template(name="value" type="string" string="%rawmsg%")
ruleset(name="all" parser="rsyslog.rfc3164" queue.type="FixedArray" queue.size="500000" queue.dequeueBatchSize="4096"
        queue.workerThreads="1") {{
    {action}
}}
input(type="imudp" port="{port}" rcvbufSize="{bytes}" ruleset="all")
"""

RSYSLOG_KAFKA = """\
action(type="omkafka" broker=["{bootstrap}"] topic="{topic}" template="value" partitions.auto="on"
           resubmitOnFailure="on" keepFailedMessages="off"
           confParam=["compression.codec=lz4", "queue.buffering.max.messages=1000000", "queue.buffering.max.ms=5",
                      "batch.num.messages=100000"]
           topicConfParam=["request.required.acks=-1"])"""


class SyslogNg(Peer):
    """as its documentation advises for high rates: sockets that share the port, large fetches, no parsing, a large output
    queue, threads"""

    label = "syslog-ng"

    def environment(self):
        return {"LD_LIBRARY_PATH": self.context.unpacked("usr/lib/syslog-ng")}

    def command(self):
        modules = self.context.unpacked("usr/lib/syslog-ng/3.38")
        d = self.directory
        text = SYSLOG_NG.format(port=PORT, bytes=SOCKET_BYTES, destination=self.destination())
        return [self.context.unpacked("usr/sbin/syslog-ng"), "-F", "--no-caps", "--module-path", modules, "-f",
                self.write("syslog-ng.conf", text), "-R", f"{d}/persist", "-c", f"{d}/control", "-p", f"{d}/pid"]

    def destination(self):
        if self.topic is None:
            return f'file("{self.end.path}" template("$MSG\\n") log-fifo-size(500000) flush-lines(1000));'
        return SYSLOG_NG_KAFKA.format(bootstrap=self.topic.broker.bootstrap, topic=self.topic.name)


SYSLOG_NG = """\
@version: 3.38
@module afsocket
@module affile
@module kafka
@module syslogformat
options {{ threaded(yes); keep-hostname(yes); use-dns(no); stats-freq(0); time-reopen(1); log-msg-size(2048); }};
source s {{
    network(transport("udp") port({port}) flags(no-parse) so-rcvbuf({bytes}) so-reuseport(1) log-fetch-limit(1000)
            log-iw-size(500000) persist-name("a"));
}};
destination d {{ {destination} }};
log {{ source(s); destination(d); }};
"""

SYSLOG_NG_KAFKA = """\
kafka-c(bootstrap-servers("{bootstrap}") topic("{topic}") message("$MSG") workers(1) log-fifo-size(500000)
            config(compression.codec("lz4") queue.buffering.max.messages("1000000") queue.buffering.max.ms("5")
                   batch.num.messages("100000") acks("all")));"""
