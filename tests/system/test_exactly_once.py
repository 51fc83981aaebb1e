# SPDX-License-Identifier: Apache-2.0
"""Every event exactly once in a real Kafka, whatever dies; SOAK=1: two million of them in each test.

The feed is real multicast, paced on the engine's own figures (senders.Paced), so that a loaded machine slows it down
instead of losing frames: each event that was sent has to arrive. exactly_once.c compares what a read_committed consumer
sees with the journal and with the feed.
"""
import json
import os
import random
import shutil
import subprocess
import time

import pytest

import checks
import kafka
import senders
from appliance import wait_for
from bridge import PARTITIONS, delivered, in_state, running, settings, state

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="session")
def checker(tmp_path_factory):
    return kafka.build_checker(tmp_path_factory.mktemp("checker"))


@pytest.fixture
def verify(checker, broker, topic):
    """verify(engine, feeds): see kafka.verify"""
    def run(engine, feeds, journals=None, **options):
        name = engine.settings["engine"]["id"]
        return kafka.verify(checker, broker.consumer(topic), journals or [(name, engine.journal_dir)], PARTITIONS,
                            [feed.sent for feed in feeds], **options)
    return run


# room for what the disk and the broker do on the same machine
ROOMY = {"journal": {"memory_mb": 64, "segment_mb": 64, "retain_gb": 8}}


@pytest.fixture
def big(make_engine, kwire, broker, topic):
    """an appliance with a bridge; not started"""
    return make_engine(kwire, settings(broker, topic) | ROOMY)


@pytest.fixture
def moments():
    seed = int(os.environ.get("SEED", "0")) or random.randrange(1 << 30)
    print("SEED", seed)
    return random.Random(seed)


def strict(engine, verify, *feeds, journals=None):
    """No engine died: every event that was sent is journaled, and in Kafka exactly once."""
    engine.rest(60)
    stats = delivered(running(engine), 300)
    checks.laws(stats)
    assert stats["fast_path_drops_total"] == 0 and stats["fast_path_filtered_total"] == 0, senders.lost(stats)
    assert stats["kafka_bridge_dead_letters_total"] == 0, stats
    engine.stop()
    counts = verify(engine, feeds, journals)
    seconds = sum(feed.seconds for feed in feeds)
    print(f"FEED {counts['sent']} events in {seconds:.1f} s, {counts['sent'] / seconds:.0f}/s")
    assert counts["sent"] <= counts["journaled"] == counts["consumed"], counts
    return counts


def after_kills(engine, verify, feed, kills):
    """An engine that is killed loses what it has not taken from its ring, on a feed without sequence numbers. What it has
    journaled is in Kafka exactly once; and it has journaled at least what /stats ever said, and nothing twice."""
    running(engine)
    engine.rest(60)
    delivered(engine, 300)
    engine.stop()
    counts = verify(engine, [feed], losses=True)
    print(f"FEED {counts['sent']} events in {feed.seconds:.1f} s, engine killed {kills} times, {counts['not_journaled']} "
          f"not taken from the ring or sent while it was away, {feed.confirmed} reported as journaled")
    assert counts["journaled"] == counts["consumed"] >= feed.confirmed, (counts, feed.confirmed)
    assert counts["journaled"] + counts["not_journaled"] == counts["sent"], counts
    assert feed.confirmed > counts["sent"] / 2, (counts, feed.confirmed)


def delivers(engine):
    """events reach Kafka now"""
    before = engine.stats()["kafka_bridge_send_count"]
    wait_for(lambda: engine.stats()["kafka_bridge_send_count"] > before, 60, lambda: f"events reach Kafka\n{engine.log()}")


def test_exactly_once(big, kwire, verify, soak):
    feed = senders.Paced(kwire, running(big.start()), 2000000 if soak else 100000).wait()
    big.rest(60)
    stats = delivered(big, 300)
    assert stats["frames_seen_total"] == stats["fast_path_count"] == feed.next, stats
    assert stats["kafka_bridge_send_count"] == feed.next and stats["kafka_bridge_send_error_count"] == 0
    assert big.health()[1]["parts"]["kafka"] == "healthy"
    metrics = big.metrics()
    assert "\nkafka_bridge_lag 0\n" in metrics
    assert f"\nkafka_bridge_events_total {feed.next}\n" in metrics
    assert 'kafka_bridge_broker_up{broker="' in metrics
    strict(big, verify, feed)


def test_broker_killed(big, kwire, broker, verify, soak):
    """killed -9 and restarted three times while the feed goes on"""
    feed = senders.Paced(kwire, running(big.start()), 2000000 if soak else 100000, rate=40000 if soak else 6000)
    for i in range(3):
        feed.reach(0.1 + 0.25 * i)
        delivers(big)
        broker.kill9()
        broker.start()
    delivers(big)
    strict(big, verify, feed.wait())


def test_engine_killed(big, kwire, verify, moments, soak):
    """killed -9 at random moments"""
    kills = 10 if soak else 3
    feed = senders.Paced(kwire, running(big.start()), 2000000 if soak else 100000, mortal=True, rate=40000 if soak else 8000)
    for i in range(kills):
        feed.reach((i + moments.random()) / (kills + 1))
        time.sleep(moments.uniform(0.0, 1.0))  # the moment is the point, nothing is waited for
        big.kill9()
        big.start(60)
    after_kills(big, verify, feed.wait(), kills)


def test_both_killed(big, kwire, broker, verify, moments, soak):
    """the engine and the broker, at random moments; the broker comes back after whatever happens next"""
    plan = ["engine"] * (9 if soak else 1) + ["broker"] * (3 if soak else 1)
    moments.shuffle(plan)
    plan.append("engine")
    feed = senders.Paced(kwire, running(big.start()), 2000000 if soak else 100000, mortal=True, rate=30000 if soak else 8000)
    for i, victim in enumerate(plan):
        feed.reach((i + moments.random()) / (len(plan) + 1))
        away = broker.process.poll() is not None
        if away and victim == "broker":
            broker.start()
        if victim == "broker":
            broker.kill9()
            continue
        big.kill9()
        big.start(60)
        if away:
            broker.start()
    after_kills(big, verify, feed.wait(), plan.count("engine"))


def test_broker_away(big, kwire, broker, verify, soak):
    """stopped for a while: the feed goes on, the data plane never notices, health says so"""
    feed = senders.Paced(kwire, running(big.start()), 2000000 if soak else 100000, rate=22000 if soak else 6000)
    wait_for(lambda: big.stats()["kafka_bridge_send_count"] > 1000, 60, "events reach Kafka")
    broker.stop()
    wait_for(lambda: big.health()[1]["parts"]["kafka"] == "degraded", 30, big.health)
    code, health = big.health()
    assert code == 200, health
    assert big.get("/health/ready").status_code == 200
    away = time.monotonic() + (60 if soak else 3)
    wait_for(lambda: time.monotonic() > away and big.stats()["kafka_bridge_lag"] > 10000, 90, big.stats)
    assert big.stats()["kafka_bridge_lag_seconds"] > 1
    assert big.post("K", b"while away").json()["durable"] is True
    broker.start()
    feed.wait()
    wait_for(lambda: big.health()[1]["parts"]["kafka"] == "healthy", 60, big.health)
    counts = strict(big, verify, feed)
    assert counts["journaled"] == counts["sent"] + 1


def test_new_journal_directory(big, kwire, verify, soak):
    """an empty directory has a new UUID: its records are new ones, whatever their numbers"""
    count = 1000000 if soak else 50000
    name, feeds = big.settings["engine"]["id"], []
    for i in range(2):
        feeds.append(senders.Paced(kwire, running(big.start()), count, first=i * 2 * count).wait())
        if i == 0:
            big.rest(60)
            delivered(big, 300)
            big.stop()
            shutil.move(big.journal_dir, big.journal_dir + ".old")
    counts = strict(big, verify, *feeds, journals=[(name, big.journal_dir + ".old"), (name, big.journal_dir)])
    assert counts["consumed"] >= 2 * count


def test_two_engines_with_one_id(make_engine, make_wire, broker, topic, verify, soak):
    """No etcd: the second fences the first, which says who did; nothing is doubled. Given an id of its own, the first
    delivers what it still had."""
    count = 300000 if soak else 30000
    engines, wires = [], []
    for name in ("first", "second"):
        wires.append(make_wire())
        broker.attach(wires[-1].appliance)
        # on one machine EAL would refuse the second one
        engines.append(make_engine(wires[-1], settings(broker, topic) | ROOMY |
                                   {"engine": {"id": topic}, "eal": {"file-prefix": topic + name}}))
    first, second = engines
    feeds = [senders.Paced(wires[0], running(first.start()), count, rate=20000 if soak else 2000)]
    feeds[0].reach(0.3)
    running(second.start())
    feeds.append(senders.Paced(wires[1], second, count, first=10 * count, rate=20000 if soak else 2000))
    with open(os.path.join(second.journal_dir, "journal.json"), encoding="utf-8") as file:
        holder = json.load(file)["uuid"]
    in_state(first, "fenced", f"fenced by instance {holder}")
    assert "another ENGINE_ID" in first.stats()["kafka_bridge_reason"]
    for feed, engine in zip(feeds, engines):
        feed.wait()
        engine.rest(60)
    delivered(second, 300)
    assert state(first) == "fenced" and state(second) == "running"
    first.stop()
    journals = [(topic, first.journal_dir), (topic, second.journal_dir)]
    counts = verify(first, feeds, journals, fenced=first.journal_dir)
    assert counts["fenced"] > 0 and counts["consumed"] == counts["journaled"] - counts["fenced"] >= count, counts
    first.configure({"engine": {"id": topic + "b"}})
    delivered(running(first.start()), 300)
    delivered(running(second), 300)
    first.stop()
    second.stop()
    counts = verify(first, feeds, journals, side_by_side=True)
    assert counts["consumed"] == counts["journaled"] >= 2 * count, counts


# ---- the check itself ----

ROWS = [(f"K{i % 3:03d}", senders.numbered(i, 3)[1].decode(), i) for i in range(12)]


def journal_lines(rows):
    """what fastpathctl journal cat prints"""
    return "".join(json.dumps({
        "type": "event", "shard": 0, "seq": 1 + i, "time": f"2026-01-02T03:04:05.{n:09d}Z", "feed": "ticks",
        "session": "", "feed_seq": 0, "key": key, "payload": payload}) + "\n" for i, (key, payload, n) in enumerate(rows))


def seen(seq, row, **change):
    """what kcat prints"""
    key, payload, n = row
    rx = 1767323045 * 10**9 + n
    f = {"partition": kafka.partition_of(key.encode(), 4), "timestamp": rx // 10**6, "engine": "e1", "seq": seq,
         "feed": "ticks", "value": payload, "more": ""} | change
    return (f"{f['partition']} 0 {f['timestamp']} {len(key)} {len(f['value'])} engine={f['engine']},shard=0,"
            f"seq={f['seq']},feed={f['feed']},session=,feed_seq=0,rx_time_ns={rx}{f['more']}\n{key}{f['value']}\n")


def consumer_of(rows):
    return [seen(i + 1, row) for i, row in enumerate(rows)]


@pytest.fixture
def judge(checker, tmp_path):
    """judge(records, journals, options...): (exit status, counts, what it says)"""
    def run(records, journals, *options):
        names = []
        for i, rows in enumerate(journals):
            (tmp_path / f"j{i}").write_text(journal_lines(rows), encoding="utf-8")
            names.append(f"e1={tmp_path}/j{i}")
        done = subprocess.run([checker, "-n", "4", "-k", "3", *options, *names], input="".join(records),
                              capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout), done.stderr
    return run


GOOD = consumer_of(ROWS)


def test_checker_agrees(judge):
    status, counts, said = judge(GOOD, [ROWS], "-s", "0:12")
    assert status == 0 and (counts["sent"], counts["journaled"], counts["consumed"]) == (12, 12, 12) and said == ""
    assert judge(GOOD, [ROWS], "-l", "-s", "0:13")[1]["not_journaled"] == 1
    halves = consumer_of(ROWS[:6]) + consumer_of(ROWS[6:])
    assert judge(halves, [ROWS[:6], ROWS[6:]], "-s", "0:12")[0] == 0
    assert judge(halves[6:] + halves[:6], [ROWS[:6], ROWS[6:]], "-u")[0] == 0


@pytest.mark.parametrize("records, count, words", [
    (GOOD + GOOD[3:4], "doubled", "twice: record 0/4 of e1"),
    (GOOD[:5] + GOOD[6:], "lost", "missing: record 0/6 of e1"),
    ([GOOD[3], *GOOD[:3], *GOOD[4:]], "out_of_order", "out of order: key K000, record 0/1"),
    (GOOD + [seen(77, ROWS[0])], "never_journaled", "never journaled: record 0/77"),
    (GOOD[1:] + [seen(1, ROWS[0], engine="e2")], "never_journaled", "never journaled: record 0/1 of e2"),
    (GOOD[1:] + [seen(1, ROWS[0], partition=9)], "wrong", "key K000 is in partition 9"),
    (GOOD[1:] + [seen(1, ROWS[0], timestamp=1)], "wrong", "timestamp 1 of record 0/1"),
    (GOOD[1:] + [seen(1, ROWS[0], value="x")], "wrong", "not as journaled: record 0/1"),
    (GOOD[1:] + [seen(1, ROWS[0], feed="x")], "wrong", "not as journaled: record 0/1"),
    (GOOD[1:] + [seen(1, ROWS[0], more=",x=y")], "wrong", "headers are not engine, shard"),
], ids=["twice", "missing", "disordered", "strange", "engine", "partition", "timestamp", "value", "feed", "headers"])
def test_checker_sees_a_bad_consumer(judge, records, count, words):
    status, counts, said = judge(records, [ROWS], "-s", "0:12")
    assert status == 1 and counts[count] > 0 and words in said, (counts, said)


@pytest.mark.parametrize("rows, options, words", [
    (ROWS, ["-s", "0:13"], "sent, but not journaled: event 12"),
    (ROWS, ["-s", "0:11"], "journaled, but never sent: record 0/12"),
    (ROWS[:3] + ROWS[:1], ["-l", "-s", "0:12"], "journaled twice: event 0, again as 0/4"),
    ([ROWS[3], *ROWS[:3]], ["-l", "-s", "0:12"], "journaled out of order: event 0 behind 3"),
], ids=["lost", "strange", "twice", "disordered"])
def test_checker_sees_a_bad_journal(judge, rows, options, words):
    status, counts, said = judge(consumer_of(rows), [rows], *options)
    assert status == 1 and words in said, (counts, said)


def test_checker_of_two_journals(judge, tmp_path):
    """of a fenced engine's journal only the end may be missing; a later journal's events come later"""
    status, counts, said = judge(GOOD[:5], [ROWS], "-f", f"{tmp_path}/j0")
    assert status == 0 and counts["fenced"] == 7, said
    status, counts, said = judge(GOOD[:5] + GOOD[6:], [ROWS], "-f", f"{tmp_path}/j0")
    assert status == 1 and "missing: records before 0/7" in said
    turned = consumer_of(ROWS[6:]) + consumer_of(ROWS[:6])
    status, counts, said = judge(turned, [ROWS[:6], ROWS[6:]])
    assert status == 1 and counts["out_of_order"] > 0, said
