# SPDX-License-Identifier: Apache-2.0
"""How fast the Kafka bridge catches up with a backlog, beside a bare librdkafka producer on the same broker."""
import contextlib
import os
import pathlib
import time
import uuid

import appliance
import kafka
import sandbox
import senders
from row import Row, Unavailable

GROUP = "6. Kafka catch-up"
PARTITIONS, TRANSACTION, PAYLOAD, KEYS, RATE = 4, 10000, 64, 500, 20000


class Bench:
    """A broker, and an engine whose journal holds a backlog."""

    def __init__(self, context, events):
        self.program = context.peer("kafka_producer")
        self.broker = self.wire = self.engine = None
        try:
            self.wire = sandbox.Wire()
            self.broker = kafka.Broker(os.path.join(context.folder("broker"), "data"))
            self.broker.attach(self.wire.appliance)
            self._fill(context, events)
        except BaseException:
            self.close()
            raise

    def _fill(self, context, events):
        # the control plane may use both processors, as the bare producer does
        self.engine = appliance.Engine(self.wire.appliance, context.folder("engine"),
                                       {"eal": {"lcores": "0@(0-1),1@1,2@1"}, "journal": {"memory_mb": 64, "segment_mb": 64}})
        self.named = self.engine.settings["engine"]["id"]
        self.engine.start()
        senders.Feedsim(self.wire, count=events, rate=RATE, keys=KEYS, size=PAYLOAD).sent()
        self.engine.http.close()  # its connection has been idle for longer than the engine keeps one
        self.count = self.engine.rest(60)["fast_path_count"]
        self.engine.stop()

    def bridge(self):
        """events a second from the first event to the last commit; every round delivers the same journal anew"""
        topic = "b" + uuid.uuid4().hex[:10]
        self.engine.configure({"engine": {"id": topic}, "kafka": {
            "enable": 1, "bootstrap_servers": self.broker.bootstrap, "topic": topic, "partitions": PARTITIONS,
            "transaction_events": TRANSACTION}})
        pathlib.Path(self.engine.journal_dir, "spans.json").unlink(missing_ok=True)
        identity = pathlib.Path(self.engine.journal_dir, "journal.json")
        identity.write_text(identity.read_text(encoding="utf-8").replace(self.named, topic), encoding="utf-8")
        self.named = topic
        self.engine.start(60)
        appliance.wait_for(lambda: self.engine.stats()["kafka_bridge_state"] == "running", 60, "the bridge runs")
        begin, first = time.monotonic(), self.engine.stats()["kafka_bridge_send_count"]
        delivered = [[0.0, first]]
        while delivered[-1][1] < self.count:
            time.sleep(0.05)
            delivered.append([round(time.monotonic() - begin, 3), self.engine.stats()["kafka_bridge_send_count"]])
            assert delivered[-1][0] < 300, f"the bridge has not caught up after 300 s: {delivered[-1]}"
        self.engine.stop()
        return {"value": (self.count - first) / delivered[-1][0], "series": {"bridge": delivered},
                "series_axis": "events on the topic"}

    def bare(self):
        topic = "p" + uuid.uuid4().hex[:10]
        self.broker.admin("create", topic, str(PARTITIONS))
        done = self.wire.appliance.run(self.program, self.broker.bootstrap, topic, self.count, TRANSACTION, PAYLOAD, KEYS,
                                       timeout=300)
        lines = [[float(field) for field in line.split()] for line in done.stdout.splitlines()]
        return {"value": self.count / lines[-1][0], "series": {"bare producer": [[0.0, 0]] + lines},
                "series_axis": "events on the topic"}

    def close(self):
        if self.engine:
            self.engine.close()
        if self.wire:
            self.wire.close()
        if self.broker:
            self.broker.close()


@contextlib.contextmanager
def bench(context, events):
    refused = kafka.fetch()
    if refused:
        raise Unavailable(refused)
    made = Bench(context, events)
    try:
        yield made
    finally:
        made.close()


def rows(context):
    events = 1000000 if context.full else 200000
    yield Row(f"catch-up over {events} events, {TRANSACTION} a transaction", "events/s", a=Bench.bridge, b=Bench.bare,
              a_label="Fast Path's bridge", b_label="bare librdkafka producer", target=0.9 if context.full else None, warmup=1,
              setup=lambda: bench(context, events),
              note="" if context.full else "too few events to say much: the bridge's first second weighs on it; see --full")
