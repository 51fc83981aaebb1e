#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How fast the Kafka bridge catches up with a backlog, beside a bare librdkafka producer on the same broker.

    sudo tests/bench/kafka_catchup.py [EVENTS [ROUNDS]]      (400000 events, 3 rounds)

Both take turns, each with a topic of its own; the medians and their ratio are printed, exit status 1 below 0.9.
"""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))

import appliance  # noqa: E402
import kafka  # noqa: E402
import sandbox  # noqa: E402
import senders  # noqa: E402

PARTITIONS, TRANSACTION, PAYLOAD, KEYS, RATE, GOAL = 4, 10000, 64, 500, 20000, 0.9


def backlog(wire, directory, events):
    """a journal with so many events, and an engine on it"""
    # the control plane may use both processors, as the bare producer does
    engine = appliance.Engine(wire.appliance, directory, {"eal": {"lcores": "0@(0-1),1@1,2@1"},
                                                          "journal": {"memory_mb": 64, "segment_mb": 64}})
    engine.start()
    senders.Feedsim(wire, count=events, rate=RATE, keys=KEYS, size=PAYLOAD).sent()
    engine.http.close()  # its connection has been idle for longer than the engine keeps one
    count = engine.rest(60)["fast_path_count"]
    engine.stop()
    return engine, count


def bridge_seconds(engine, broker, count):
    """from the first event to the last commit"""
    topic = "b" + uuid.uuid4().hex[:10]
    engine.configure({"engine": {"id": topic}, "kafka": {
        "enable": 1, "bootstrap_servers": broker.bootstrap, "topic": topic, "partitions": PARTITIONS,
        "transaction_events": TRANSACTION}})
    # every round delivers the same journal anew
    spans = os.path.join(engine.journal_dir, "spans.json")
    if os.path.exists(spans):
        os.unlink(spans)
    identity = pathlib.Path(engine.journal_dir, "journal.json")
    identity.write_text(identity.read_text(encoding="utf-8").replace(engine.named, topic), encoding="utf-8")
    engine.named = topic
    engine.start(60)
    appliance.wait_for(lambda: engine.stats()["kafka_bridge_state"] == "running", 60, "bridge running")
    begin, done = time.monotonic(), engine.stats()["kafka_bridge_send_count"]
    while engine.stats()["kafka_bridge_send_count"] < count:
        time.sleep(0.05)
    took = (time.monotonic() - begin) * count / (count - done)
    engine.stop()
    return took


def bare_seconds(wire, broker, program, count):
    topic = "p" + uuid.uuid4().hex[:10]
    broker.admin("create", topic, str(PARTITIONS))
    done = wire.appliance.run(program, broker.bootstrap, topic, count, TRANSACTION, PAYLOAD, KEYS, timeout=600)
    return float(done.stdout)


def measure(directory, events, rounds):
    broker = kafka.Broker(os.path.join(directory, "broker"))
    wire = sandbox.Wire()
    broker.attach(wire.appliance)
    program = os.path.join(directory, "kafka_producer")
    subprocess.run(["cc", "-O3", "-o", program, os.path.join(HERE, "kafka_producer.c"), "-lrdkafka"], check=True)
    engine, count = backlog(wire, os.path.join(directory, "engine"), events)
    engine.named = engine.settings["engine"]["id"]
    ours, bare = [], []
    for _ in range(rounds + 1):
        ours.append(count / bridge_seconds(engine, broker, count))
        bare.append(count / bare_seconds(wire, broker, program, count))
    # the first round warms the broker up
    a, b = statistics.median(ours[1:]), statistics.median(bare[1:])
    print(f"{count} events of {PAYLOAD} bytes, {TRANSACTION} a transaction, {rounds} rounds")
    print(f"bridge {a:.0f} events/s, bare producer {b:.0f} events/s, ratio {a / b:.2f} (wanted: {GOAL})")
    engine.close()
    wire.close()
    broker.close()
    return 0 if a >= GOAL * b else 1


def main():
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 400000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    refused = sandbox.enter() or kafka.fetch()
    if refused:
        sys.exit(refused)
    with tempfile.TemporaryDirectory() as directory:
        return measure(directory, events, rounds)


if __name__ == "__main__":
    sys.exit(main())
