# SPDX-License-Identifier: Apache-2.0
"""A journal that another engine id left: delivered under that id first, then the own work starts."""
import json
import os
import random
import shutil
import uuid

import pytest

import checks
import kafka
from appliance import wait_for
from bridge import PARTITIONS, delivered, in_state, post, running, settings, state

pytestmark = pytest.mark.timeout(600)
HTTP_ONLY = {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None}
NOBODY = "127.0.0.1:1"


@pytest.fixture
def topic():
    return "o" + uuid.uuid4().hex[:10]


@pytest.fixture
def left(make_engine, netns, broker, topic):
    """left(count): an engine that has journaled so many events as <topic>a, and delivered none; stopped"""
    broker.attach(netns)
    engine = make_engine(netns, HTTP_ONLY | settings(broker, topic, bootstrap_servers=NOBODY, drain_ms=0, transaction_events=5)
                         | {"engine": {"id": topic + "a"}})

    def make(count):
        engine.start()
        post(engine, count)
        engine.stop()
        engine.configure({"engine": {"id": topic + "b"}, "kafka": {"bootstrap_servers": broker.bootstrap}})
        return engine
    return make


def owners(engine, topic, count):
    """{(shard, seq): engine id}: the first `count` events are the old id's"""
    return {(e["shard"], e["seq"]): topic + ("a" if i < count else "b") for i, e in enumerate(checks.events(engine.journal()))}


def check_order(broker, topic, journal):
    """In the cursor topic: the old id's cursors, its release, and only then the new id's claim and cursors."""
    seen = []
    for r in broker.read(topic + "-cursors"):
        key = r.key.decode()
        if key.startswith("@"):
            continue
        value = json.loads(r.value)
        if "/" not in key and value["instance"] != journal:
            continue  # the old id's engine, alive elsewhere
        if "/" in key and value["journal"] != journal:
            continue
        kind = "cursor" if "/" in key else "release" if value["released"] else "claim"
        seen.append((key.split("/")[0][len(topic):], kind))
    assert ("a", "release") in seen and ("b", "claim") in seen, seen
    last = max(i for i, one in enumerate(seen) if one[0] == "a")
    first = min(i for i, one in enumerate(seen) if one[0] == "b")
    assert seen[last] == ("a", "release") and seen[first] == ("b", "claim") and last < first, seen
    return seen


def check_events(engine, broker, topic, count):
    engine.stop()
    owner = owners(engine, topic, count)
    records = [r for r in broker.read(topic) if not r.value.startswith(b"elsewhere")]
    kafka.exactly_once(records, checks.events(engine.journal()), owner, PARTITIONS)
    for partition in range(PARTITIONS):
        ids = [r.headers["engine"] for r in records if r.partition == partition]
        assert ids == sorted(ids), f"partition {partition}: the new id's events before the old one's"


def journal_uuid(engine):
    with open(os.path.join(engine.journal_dir, "journal.json"), encoding="utf-8") as file:
        return json.load(file)["uuid"]


def test_own_work_after_the_release(left, broker, topic):
    engine = left(60)
    running(engine.start())
    post(engine, 40, start=60)
    delivered(engine)
    log = engine.log()
    done = log.index(f"all that engine {topic}a with 1 shards left in")
    assert done < log.index(f"kafka: running: as engine {topic}b to topic {topic}"), log
    check_order(broker, topic, journal_uuid(engine))
    check_events(engine, broker, topic, 60)
    # and never again
    running(engine.start())
    assert engine.stats()["kafka_bridge_send_count"] == 0
    assert f"as engine {topic}a" not in engine.log()


def test_killed_while_the_old_part_goes_out(left, broker, topic, soak):
    """kill -9 at random moments of the old id's delivery; new events come in meanwhile"""
    count, more = 600, 0
    engine = left(count)
    seed = int(os.environ.get("SEED", "0")) or random.randrange(1 << 30)
    print("SEED", seed)
    moments = random.Random(seed)
    middle = 0
    for _ in range(10 if soak else 3):
        engine.start()
        post(engine, 5, start=count + more)
        more += 5
        wanted = moments.randrange(1, 40)
        wait_for(lambda: engine.stats()["kafka_bridge_send_count"] >= wanted or engine.stats()["kafka_bridge_lag"] == 0, 60,
                 lambda: engine.log())
        middle += f"all that engine {topic}a" not in engine.log()
        engine.kill9()
    assert middle > 0, "never killed inside the old part"
    running(engine.start())
    delivered(engine)
    check_order(broker, topic, journal_uuid(engine))
    check_events(engine, broker, topic, count)


def test_killed_between_release_and_own_work(left, broker, topic):
    """the release is in Kafka, but the journal does not know yet that the old part is delivered"""
    engine = left(30)
    # a folder where the new spans.json is to be written
    block = os.path.join(engine.journal_dir, "spans.json.tmp")
    engine.configure({"kafka": {"bootstrap_servers": NOBODY}})
    engine.start()
    post(engine, 10, start=30)
    engine.stop()
    os.mkdir(block)
    engine.configure({"kafka": {"bootstrap_servers": broker.bootstrap}})
    engine.start()
    in_state(engine, "stopped", "spans.json cannot be written")
    seen = [r for r in broker.read(topic + "-cursors") if r.key.decode() == topic + "a"]
    assert json.loads(seen[-1].value)["released"] is True
    assert {r.headers["engine"] for r in broker.read(topic)} == {topic + "a"}
    engine.kill9()
    shutil.rmtree(block)
    running(engine.start())
    delivered(engine)
    check_order(broker, topic, journal_uuid(engine))
    check_events(engine, broker, topic, 30)


def test_the_old_id_lives_elsewhere(left, make_engine, netns, broker, topic):
    """its engine is fenced while its old journal goes out, and comes back by itself after the release, also when whoever
    fenced it was killed in between"""
    elsewhere = make_engine(netns, HTTP_ONLY | settings(broker, topic) | {
        "engine": {"id": topic + "a"}, "http": {"listen": "127.0.0.1:8081"}, "eal": {"file-prefix": topic + "x"}})
    engine = left(300)
    running(elsewhere.start())
    for i in range(20):
        assert elsewhere.post(f"E{i}", b"elsewhere %d" % i).status_code == 200
    delivered(elsewhere)
    engine.start()
    wait_for(lambda: engine.stats()["kafka_bridge_send_count"] > 20, 60, lambda: engine.log())
    engine.kill9()
    for i in range(20, 40):
        assert elsewhere.post(f"E{i}", b"elsewhere %d" % i).status_code == 200
    in_state(elsewhere, "fenced", f"fenced by instance {journal_uuid(engine)}")
    running(engine.start())
    post(engine, 20, start=300)
    delivered(engine)
    running(elsewhere)
    delivered(elsewhere)
    assert state(engine) == "running"
    mine = [r.value for r in broker.read(topic) if r.value.startswith(b"elsewhere")]
    assert sorted(mine) == sorted(b"elsewhere %d" % i for i in range(40))
    check_order(broker, topic, journal_uuid(engine))
    check_events(engine, broker, topic, 300)
