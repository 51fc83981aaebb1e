# SPDX-License-Identifier: Apache-2.0
"""The Kafka bridge against a real broker: what it makes of topics, journals, faults and operators."""
import json
import os
import random
import time

import pytest

import checks
import kafka
import senders
from appliance import program, wait_for
from bridge import PARTITIONS, PATIENT, delivered, in_state, post, properties, running, settings, state

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def bridge(make_engine, kwire, broker, topic):
    """an appliance with a running bridge"""
    return running(make_engine(kwire, settings(broker, topic)).start())


def check(engine, broker, topic, sent=None):
    """stop it; what a consumer sees is what its journal has"""
    engine.stop()
    events = checks.events(engine.journal())
    if sent is not None:
        checks.exactly(events, sent)
    kafka.exactly_once(broker.read(topic), events, engine.settings["engine"]["id"], PARTITIONS)
    return events


# ---- stops ----

def test_stop_delivers(bridge, kwire, broker, topic):
    """SIGTERM: what is durable goes out before the end, and the next start has nothing to do"""
    sent = checks.make_events(20000)
    senders.send_keyed(kwire, sent, rate=None)
    wait_for(lambda: bridge.stats()["frames_seen_total"] >= len(sent), 30, bridge.stats)
    log = bridge.stop()
    assert "wait for the next start" not in log, log
    events = checks.events(bridge.journal())
    kafka.exactly_once(broker.read(topic), events, bridge.settings["engine"]["id"], PARTITIONS)
    running(bridge.start())
    assert bridge.stats()["kafka_bridge_send_count"] == 0


def test_stop_while_away(make_engine, netns):
    """nobody answers: the stop takes kafka.drain_ms, not longer"""
    engine = make_engine(netns, {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None,
                                 **PATIENT, "kafka": {"enable": 1, "bootstrap_servers": "127.0.0.1:1", "drain_ms": 1000}}).start()
    engine.post("K", b"1")
    in_state(engine, "away", "no broker at 127.0.0.1:1 answers")
    start = time.monotonic()
    log = engine.stop()
    assert 0.9 < time.monotonic() - start < 8, log
    assert "1 records wait for the next start" in log


# ---- the journal directory ----

def test_cursor_beyond_the_end(quiet, broker, topic):
    running(quiet.start())
    post(quiet, 5)
    delivered(quiet)
    quiet.stop()
    with open(os.path.join(quiet.journal_dir, "journal.json"), encoding="utf-8") as file:
        journal = json.load(file)["uuid"]
    name = quiet.settings["engine"]["id"]
    broker.write(f"{topic}-cursors", f"{name}/{journal}/0",
                 json.dumps({"engine": name, "journal": journal, "shard": 0, "seq": 100}))
    quiet.start()
    in_state(quiet, "stopped", "the cursor of shard 0 is at 100, but journal")
    post(quiet, 5)
    assert state(quiet) == "stopped" and len(broker.read(topic)) == 5


def test_another_engine_and_more_workers(quiet, broker, topic):
    """what another id or another number of shards left goes out first, under its own name"""
    quiet.configure({"eal": {"lcores": "0@0,1@0,2@1,3@0"}})
    owner = {}

    def took(name):
        quiet.stop()
        for e in checks.events(quiet.journal()):
            owner.setdefault((e["shard"], e["seq"]), name)
    quiet.configure({"engine": {"id": topic + "a"}, "kafka": {"bootstrap_servers": "127.0.0.1:1", "drain_ms": 0}})
    quiet.start()
    post(quiet, 40)
    took(topic + "a")
    quiet.configure({"engine": {"id": topic + "b"}, "dataplane": {"worker_lcores": "2,3"}})
    quiet.start()
    post(quiet, 40, start=40)
    took(topic + "b")
    quiet.configure({"dataplane": {"worker_lcores": "2"}, "kafka": {"bootstrap_servers": broker.bootstrap}})
    running(quiet.start())
    post(quiet, 40, start=80)
    delivered(quiet)
    took(topic + "b")
    events = checks.events(quiet.journal())
    records = broker.read(topic)
    numbers = {}
    for r in records:
        n = int(r.value.split()[1])
        assert n > numbers.get(r.key, -1), f"out of order: {r}"
        numbers[r.key] = n
        assert r.headers["engine"] == owner[int(r.headers["shard"]), int(r.headers["seq"])], r
    assert len(records) == len(events) == 120
    running(quiet.start())
    assert quiet.stats()["kafka_bridge_send_count"] == 0


def test_retention_waits_for_kafka(make_engine, kwire, broker, topic):
    engine = make_engine(kwire, settings(broker, topic, bootstrap_servers="127.0.0.1:1")
                         | {"journal": {"segment_mb": 1, "retain_gb": 0.004}}).start()
    feed = senders.Paced(kwire, engine, 120000).wait()
    engine.rest(60)
    in_state(engine, "away", "no broker")
    stats = engine.stats()
    assert stats["shard_0_first_seq"] == 1 and stats["shard_0_bytes"] > 8e6, stats
    assert any("kept beyond retain_gb" in reason for reason in engine.health()[1]["reasons"]), engine.health()
    events = checks.events(engine.journal())
    engine.configure({"kafka": {"bootstrap_servers": broker.bootstrap}})
    running(engine.restart())
    delivered(engine)
    wait_for(lambda: engine.stats()["shard_0_bytes"] < 6e6, 30, engine.stats)
    engine.stop()
    checks.exactly(events, [senders.numbered(i) for i in range(feed.next)])
    kafka.exactly_once(broker.read(topic), events, engine.settings["engine"]["id"], PARTITIONS)


def test_records_that_are_gone(quiet, broker, topic):
    """somebody removed what Kafka had not: a gap record says so"""
    quiet.configure({"journal": {"segment_mb": 1}})
    running(quiet.start())
    post(quiet, 5)
    delivered(quiet)
    quiet.configure({"kafka": {"bootstrap_servers": "127.0.0.1:1", "drain_ms": 0}})
    quiet.restart()
    for i in range(300):
        assert quiet.post("K", b"x" * 8000).status_code == 200
    quiet.stop()
    segments = sorted(name for name in os.listdir(quiet.journal_dir) if name.endswith(".seg"))
    assert len(segments) > 2
    for name in segments[:2]:
        os.unlink(os.path.join(quiet.journal_dir, name))
    first = int(segments[2][-24:-4])
    quiet.configure({"kafka": {"bootstrap_servers": broker.bootstrap}})
    running(quiet.start())
    delivered(quiet)
    log = quiet.stop()
    assert f"records 6 to {first - 1} of shard 0 are gone before Kafka had them" in log
    gaps = [json.loads(r.value) for r in broker.read(topic + "-gaps")]
    assert [(g["shard"], g["from"], g["to"], g["reason"]) for g in gaps] == [(0, 6, first - 1, "not_retained")]
    seqs = sorted(int(r.headers["seq"]) for r in broker.read(topic))
    assert seqs == list(range(1, 6)) + list(range(first, 306))


# ---- what an operator has to look at ----

def test_dead_letters(quiet, broker, topic):
    """only the record that Kafka does not take goes there, the others around it go their way"""
    broker.admin("create", topic, str(PARTITIONS), "max.message.bytes=3000")
    broker.admin("create", topic + "-dead-letter", "1", "max.message.bytes=4000")
    quiet.configure({"kafka": {"bootstrap_servers": "127.0.0.1:1", "drain_ms": 0}})
    quiet.start()
    rng = random.Random(1)
    large = []
    for i in range(60):
        if i in (0, 31, 32, 59):
            large.append(bytes(rng.randrange(256) for _ in range(6000)))
            assert quiet.post("K%d" % (i % 7), large[-1]).status_code == 200
        post(quiet, 1, start=i)
    quiet.configure({"kafka": {"bootstrap_servers": broker.bootstrap}})
    running(quiet.restart())
    stats = delivered(quiet)
    assert stats["kafka_bridge_dead_letters_total"] == 4 and stats["kafka_bridge_send_count"] == 60, stats
    quiet.stop()
    events = checks.events(quiet.journal())
    kafka.exactly_once(broker.read(topic), [e for e in events if len(e["payload"]) < 6000],
                       quiet.settings["engine"]["id"], PARTITIONS)
    dead = broker.read(topic + "-dead-letter")
    assert len(dead) == 4
    for r in dead:
        event = next(e for e in events if e["seq"] == int(r.headers["seq"]))
        assert r.key == event["key"] and event["payload"] in large
        assert 1000 < len(r.value) < 4000 and event["payload"].startswith(r.value)
        assert r.headers["error"] == "MSG_SIZE_TOO_LARGE" and r.headers["payload_length"] == "6000"


def make_topics(broker, topic):
    for name, partitions, *more in ((topic, PARTITIONS), (topic + "-cursors", 1, "cleanup.policy=compact"),
                                    (topic + "-gaps", 1), (topic + "-dead-letter", 1)):
        broker.admin("create", name, str(partitions), *more)


def test_missing_topic(quiet, broker, topic):
    """it cannot be made: the bridge waits, unhealthy, and goes on by itself"""
    quiet.configure({"kafka": {"replication": 3}})
    quiet.start()
    post(quiet, 10)
    in_state(quiet, "paused", f"topic {topic} is missing and cannot be made")
    make_topics(broker, topic)
    running(quiet)
    delivered(quiet)
    check(quiet, broker, topic)


def test_topic_deleted(quiet, broker, topic):
    """in the middle of a run, when it cannot be made again: what was not sent yet waits for it"""
    make_topics(broker, topic)
    quiet.configure({"kafka": {"replication": 3}})
    running(quiet.start())
    post(quiet, 10)
    delivered(quiet)
    broker.admin("delete", topic)
    post(quiet, 10, start=10)
    in_state(quiet, "paused", f"topic {topic} is missing and cannot be made")
    assert quiet.stats()["kafka_bridge_lag"] == 10
    broker.admin("create", topic, str(PARTITIONS))
    running(quiet)
    delivered(quiet)
    quiet.stop()
    kafka.exactly_once(broker.read(topic), checks.events(quiet.journal())[10:], quiet.settings["engine"]["id"], PARTITIONS)


def test_cursor_topic_without_compaction(quiet, broker, topic):
    broker.admin("create", topic + "-cursors", "1")
    quiet.start()
    in_state(quiet, "stopped", f"topic {topic}-cursors has cleanup.policy delete")
    broker.admin("configure", topic + "-cursors", "cleanup.policy=compact")
    running(quiet)


def test_changed_partitions(quiet, broker, topic):
    running(quiet.start())
    post(quiet, 10)
    delivered(quiet)
    quiet.stop()
    broker.admin("partitions", topic, "6")
    quiet.start()
    post(quiet, 10, start=10)
    in_state(quiet, "stopped", f"topic {topic} has 6 partitions, not 4 as before")
    assert len(broker.read(topic)) == 10
    quiet.configure({"kafka": {"accept_partitions": 6}})
    running(quiet.restart())
    delivered(quiet)
    quiet.configure({"kafka": {"accept_partitions": 0}})
    running(quiet.restart())
    assert len(broker.read(topic)) == 20


def test_tls_and_authorisation(quiet, broker, topic):
    """TLS and SASL by KAFKA_CONFIG_FILE; what is not allowed pauses the bridge until it is, also in the middle of a run"""
    lines = ["# TLS", "security.protocol = sasl_ssl", "sasl.mechanism = PLAIN", "sasl.username = fastpath",
             f"ssl.ca.location = {broker.ca}", "queue.buffering.max.messages = 50"]
    properties(quiet, *lines, "sasl.password = wrong")
    quiet.configure({"kafka": {"bootstrap_servers": broker.tls_bootstrap}})
    quiet.start()
    post(quiet, 200)
    wait_for(lambda: state(quiet) in ("away", "paused") and "uthenticat" in quiet.stats()["kafka_bridge_reason"], 60,
             lambda: quiet.stats()["kafka_bridge_reason"])
    quiet.stop()
    properties(quiet, *lines, "sasl.password = fastpath-secret")
    quiet.start()
    in_state(quiet, "paused", "uthoriz")
    broker.allow("User:fastpath")
    running(quiet)
    delivered(quiet)
    broker.disallow("User:fastpath")
    post(quiet, 200, start=200)
    in_state(quiet, "paused", "uthoriz")
    # the broker may take some before it knows
    assert 0 < quiet.stats()["kafka_bridge_lag"] <= 200
    try:
        broker.allow("User:fastpath")
        running(quiet)
        delivered(quiet)
    finally:
        broker.disallow("User:fastpath")
    assert len(check(quiet, broker, topic)) == 400


# ---- replay ----

def test_replay(quiet, broker, topic):
    """ranges of the journal go to another topic, as the bridge would send them; cursors stay"""
    running(quiet.start())
    post(quiet, 100)
    delivered(quiet)
    other = topic + "-again"
    broker.admin("create", other, "3")
    cursors = broker.read(topic + "-cursors")

    def replay(*arguments, check=True):
        return broker.netns.run(program("fastpathctl"), "replay", quiet.journal_dir, "--topic", other, "--bootstrap",
                                broker.bootstrap, *arguments, check=check)
    assert replay("--from-seq", 11, "--to-seq", 40).stdout == f"30 events sent to {other}\n"
    quiet.stop()
    events = checks.events(quiet.journal())
    name = quiet.settings["engine"]["id"]
    kafka.exactly_once(broker.read(other), [e for e in events if 11 <= e["seq"] <= 40], name, 3)
    since = events[90]["time"]
    assert replay("--since", since).stdout == f"10 events sent to {other}\n"
    assert replay("--until", since, "--key", "K3").stdout == f"13 events sent to {other}\n"
    assert broker.read(topic + "-cursors") == cursors and len(broker.read(topic)) == 100
    done = replay("--shard", "x", check=False)
    assert done.returncode == 2 and "--shard wants a number from 0 to 63, not 'x'" in done.stderr
    done = broker.netns.run(program("fastpathctl"), "replay", quiet.journal_dir, check=False)
    assert done.returncode == 2 and "--topic is missing" in done.stderr
