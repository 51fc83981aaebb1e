# SPDX-License-Identifier: Apache-2.0
"""The Kafka bridge against a real broker: every journaled event exactly once, whatever dies."""
import json
import os
import random
import shutil
import time
import uuid

import pytest

import checks
import kafka
import senders
from appliance import program, wait_for

PARTITIONS = 4
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def topic():
    return "t" + uuid.uuid4().hex[:10]


@pytest.fixture
def kwire(make_wire, broker):
    wire = make_wire()
    broker.attach(wire.appliance)
    return wire


# a machine that runs a broker, an appliance and its feed at once has latencies that are not the point here
PATIENT = {"health": {"p99_degraded_us": 1e9, "p99_unhealthy_us": 1e9, "silent_feed_s": 0},
           "http": {"durable_timeout_ms": 30000}}


def settings(broker, topic, **more):
    return PATIENT | {"kafka": {"enable": 1, "bootstrap_servers": broker.bootstrap, "topic": topic, "partitions": PARTITIONS} | more}


@pytest.fixture
def bridge(make_engine, kwire, broker, topic):
    """an appliance with a running bridge"""
    return running(make_engine(kwire, settings(broker, topic)).start())


def state(engine):
    return engine.stats()["kafka_bridge_state"]


def running(engine, seconds=60):
    wait_for(lambda: state(engine) == "running", seconds, lambda: f"bridge running: {engine.stats()['kafka_bridge_reason']}")
    return engine


def in_state(engine, wanted, words, seconds=60):
    """the state, its reason in /stats, and what /health makes of it"""
    wait_for(lambda: state(engine) == wanted and words in engine.stats()["kafka_bridge_reason"], seconds,
             lambda: f"{wanted}: {words}; it is {state(engine)}: {engine.stats()['kafka_bridge_reason']}")
    code, health = engine.health()
    expected = "degraded" if wanted == "away" else "unhealthy"
    assert health["parts"]["kafka"] == expected and code == (200 if wanted == "away" else 503), health
    assert any(words in reason for reason in health["reasons"]), health


def delivered(engine, seconds=120):
    """all that is durable has reached Kafka"""
    def done():
        now = engine.stats()
        return now["persistence_queue_lag"] == 0 and now["kafka_bridge_lag"] == 0 and now
    return wait_for(done, seconds, lambda: {k: v for k, v in engine.stats().items() if k.startswith("kafka")})


def check(engine, broker, topic, sent=None):
    """stop it; what a consumer sees is what its journal has"""
    engine.stop()
    events = checks.events(engine.journal())
    if sent is not None:
        checks.exactly(events, sent)
    kafka.exactly_once(broker.read(topic), events, engine.settings["engine"]["id"], PARTITIONS)
    return events


def came(engine, sent):
    """All that was sent is accounted for and has reached Kafka. A broker that starts on the same two processors may
    cost frames before the receive ring: they are counted."""
    engine.rest(60)
    stats = delivered(running(engine))
    checks.laws(stats)
    assert stats["frames_dropped_total"] == stats["fast_path_drops_total"], stats
    checks.subset_in_order(checks.events(engine.journal(), "ticks"), sent)


def test_exactly_once(bridge, kwire, broker, topic, soak):
    sent = checks.make_events(2000000 if soak else 100000, size=64)
    senders.send_keyed(kwire, sent, rate=15000)
    came(bridge, sent)
    stats = bridge.stats()
    assert stats["frames_seen_total"] == len(sent) and stats["fast_path_count"] > 0.5 * len(sent), stats
    assert stats["kafka_bridge_send_count"] == stats["fast_path_count"] and stats["kafka_bridge_send_error_count"] == 0
    assert bridge.health()[1]["parts"]["kafka"] == "healthy"
    metrics = bridge.metrics()
    assert "\nkafka_bridge_lag 0\n" in metrics
    assert f"\nkafka_bridge_events_total {stats['fast_path_count']}\n" in metrics
    assert 'kafka_bridge_broker_up{broker="' in metrics
    check(bridge, broker, topic)


# ---- whatever dies ----

def test_broker_killed(bridge, kwire, broker, topic):
    """killed -9 and restarted three times while the feed goes on"""
    feed = senders.Background(kwire, rate=4000)
    for _ in range(3):
        before = bridge.stats()["kafka_bridge_send_count"]
        wait_for(lambda: bridge.stats()["kafka_bridge_send_count"] > before, 60, "events reach Kafka")
        broker.kill9()
        broker.start()
    before = bridge.stats()["kafka_bridge_send_count"]
    wait_for(lambda: bridge.stats()["kafka_bridge_send_count"] > before, 60, "events reach Kafka")
    came(bridge, feed.stop())
    check(bridge, broker, topic)


def test_engine_killed(make_engine, kwire, broker, topic, soak):
    """killed -9 at random moments"""
    engine = make_engine(kwire, settings(broker, topic))
    seed = int(os.environ.get("SEED", "0")) or random.randrange(1 << 30)
    print("SEED", seed)
    moments = random.Random(seed)
    for round_ in range(10 if soak else 3):
        engine.start(60)
        feed = senders.Background(kwire, rate=8000, start=round_ * 10000000)
        running(engine)
        time.sleep(moments.uniform(0.0, 1.5))  # the moment is the point, nothing is waited for
        engine.kill9()
        feed.stop()
    engine.start(60)
    running(engine)
    delivered(engine)
    assert len(check(engine, broker, topic)) > 0


def test_both_killed(make_engine, kwire, broker, topic, soak):
    engine = make_engine(kwire, settings(broker, topic))
    for round_ in range(4 if soak else 1):
        running(engine.start(60))
        feed = senders.Background(kwire, rate=8000, start=round_ * 10000000)
        wait_for(lambda: engine.stats()["kafka_bridge_send_count"] > 1000, 60, "events reach Kafka")
        broker.kill9()
        engine.kill9()
        feed.stop()
        engine.start(60)
        in_state(engine, "away", "")
        broker.start()
        running(engine)
        delivered(engine)
        engine.stop()
    engine.start()
    running(engine)
    check(engine, broker, topic)


def test_broker_away(bridge, kwire, broker, topic, soak):
    """stopped for a while: the feed goes on, the data plane never notices, health says so"""
    feed = senders.Background(kwire, rate=4000)
    wait_for(lambda: bridge.stats()["kafka_bridge_send_count"] > 1000, 60, "events reach Kafka")
    broker.stop()
    wait_for(lambda: bridge.health()[1]["parts"]["kafka"] == "degraded", 30, bridge.health)
    code, health = bridge.health()
    assert code == 200, health
    assert bridge.get("/health/ready").status_code == 200
    away = time.monotonic() + (60 if soak else 3)
    wait_for(lambda: time.monotonic() > away and bridge.stats()["kafka_bridge_lag"] > 10000, 90, bridge.stats)
    assert bridge.stats()["kafka_bridge_lag_seconds"] > 1
    assert bridge.post("K", b"while away").json()["durable"] is True
    broker.start()
    running(bridge)
    came(bridge, feed.stop())
    wait_for(lambda: bridge.health()[1]["parts"]["kafka"] == "healthy", 30, bridge.health)
    check(bridge, broker, topic)


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

def post(engine, count, key="K%d", start=0):
    for i in range(start, start + count):
        answer = engine.post(key % (i % 7) if "%" in key else key, b"payload %d" % i)
        assert answer.status_code == 200, answer.text


@pytest.fixture
def quiet(make_engine, netns, broker, topic):
    """a bridge without ports: POST only; not started"""
    broker.attach(netns)
    return make_engine(netns, {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None}
                       | settings(broker, topic))


def test_new_journal_directory(quiet, broker, topic):
    """an empty directory has a new UUID: its records are new ones, whatever their numbers"""
    running(quiet.start())
    post(quiet, 30)
    delivered(quiet)
    quiet.stop()
    first = checks.events(quiet.journal())
    shutil.move(quiet.journal_dir, quiet.journal_dir + ".old")
    running(quiet.start())
    post(quiet, 20, start=1000)
    delivered(quiet)
    quiet.stop()
    second = checks.events(quiet.journal())
    records = broker.read(topic)
    assert len(records) == len(first) + len(second) == 50
    assert sorted(r.value for r in records) == sorted(e["payload"] for e in first + second)


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
    sent = checks.make_events(120000, size=64)
    senders.send_keyed(kwire, sent, rate=20000)
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
    checks.exactly(events, sent)
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

def test_two_engines_with_one_id(make_engine, make_wire, broker, topic):
    """no etcd: the second fences the first, which says who did; nothing is doubled"""
    engines = []
    for name in ("first", "second"):
        wire = make_wire()
        broker.attach(wire.appliance)
        # on one machine EAL would refuse the second one
        engines.append(make_engine(wire, settings(broker, topic) |
                                   {"engine": {"id": topic}, "eal": {"file-prefix": topic + name}}))
    first, second = engines
    running(first.start())
    post(first, 20)
    delivered(first)
    running(second.start())
    with open(os.path.join(second.journal_dir, "journal.json"), encoding="utf-8") as file:
        holder = json.load(file)["uuid"]
    post(first, 20, start=100)
    post(second, 20, start=1000)
    in_state(first, "fenced", f"fenced by instance {holder}")
    delivered(second)
    assert state(second) == "running"
    assert "another ENGINE_ID" in first.stats()["kafka_bridge_reason"]
    values = [int(r.value.split()[1]) for r in broker.read(topic)]
    assert sorted(values) == list(range(20)) + list(range(1000, 1020))


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


def test_missing_topic(quiet, broker, topic):
    """it cannot be made: the bridge waits, unhealthy, and goes on by itself"""
    quiet.configure({"kafka": {"replication": 3}})
    quiet.start()
    post(quiet, 10)
    in_state(quiet, "paused", f"topic {topic} is missing and cannot be made")
    for name, partitions, *more in ((topic, PARTITIONS), (topic + "-cursors", 1, "cleanup.policy=compact"),
                                    (topic + "-gaps", 1), (topic + "-dead-letter", 1)):
        broker.admin("create", name, str(partitions), *more)
    running(quiet)
    delivered(quiet)
    check(quiet, broker, topic)


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
    """TLS and SASL by KAFKA_CONFIG_FILE; what is not allowed pauses the bridge until it is"""
    properties = os.path.join(quiet.directory, "kafka.properties")
    lines = ["security.protocol = sasl_ssl", "sasl.mechanism = PLAIN", "sasl.username = fastpath",
             f"ssl.ca.location = {broker.ca}", "queue.buffering.max.messages = 50"]
    with open(properties, "w", encoding="ascii") as file:
        file.write("\n".join(["# TLS", *lines, "sasl.password = wrong", ""]))
    quiet.environment["KAFKA_CONFIG_FILE"] = properties
    quiet.configure({"kafka": {"bootstrap_servers": broker.tls_bootstrap}})
    quiet.start()
    post(quiet, 200)
    wait_for(lambda: state(quiet) in ("away", "paused") and "uthenticat" in quiet.stats()["kafka_bridge_reason"], 60,
             lambda: quiet.stats()["kafka_bridge_reason"])
    quiet.stop()
    with open(properties, "w", encoding="ascii") as file:
        file.write("\n".join([*lines, "sasl.password = fastpath-secret", ""]))
    quiet.start()
    in_state(quiet, "paused", "uthoriz")
    broker.allow("User:fastpath")
    running(quiet)
    delivered(quiet)
    check(quiet, broker, topic)


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
