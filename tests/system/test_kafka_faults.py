# SPDX-License-Identifier: Apache-2.0
"""What the Kafka bridge does when its producer loses its way: queues that are full, transactions and ids that ran out."""
import os
import signal
import subprocess
import sys
import time

import pytest

import checks
import kafka
import senders
from appliance import wait_for
from bridge import PARTITIONS, delivered, in_state, post, properties, running, settings, state

pytestmark = pytest.mark.timeout(600)


def rebuilds(engine):
    return engine.stats()["kafka_bridge_producer_rebuilds_total"]


def exactly_once(engine, broker, topic):
    """stop it; Kafka has what its journal has. Returns the events"""
    engine.stop()
    events = checks.events(engine.journal())
    kafka.exactly_once(broker.read(topic), events, engine.settings["engine"]["id"], PARTITIONS)
    return events


# ---- a full local queue ----

def test_full_local_queue(make_engine, kwire, broker, topic):
    """librdkafka takes 20 messages at a time, a transaction has thousands: the bridge waits, the journal does not"""
    engine = make_engine(kwire, settings(broker, topic))
    properties(engine, "queue.buffering.max.messages = 20", "linger.ms = 0")
    feed = senders.Paced(kwire, running(engine.start()), 12000, rate=20000).wait()
    engine.rest(60)
    stats = delivered(running(engine))
    checks.laws(stats)
    assert stats["fast_path_count"] == stats["kafka_bridge_send_count"] == feed.next, stats
    assert stats["fast_path_drops_total"] == 0 and rebuilds(engine) == 0
    events = exactly_once(engine, broker, topic)
    checks.exactly(events, [senders.numbered(i) for i in range(feed.next)])


def test_full_local_queue_while_away(make_engine, kwire, broker, topic):
    """The broker dies while the queue is full: away soon, not when the messages time out. The journal goes on, and a stop
    does not wait"""
    engine = make_engine(kwire, settings(broker, topic, bootstrap_servers="127.0.0.1:1", drain_ms=1000))
    properties(engine, "queue.buffering.max.messages = 50", "linger.ms = 0")
    feed = senders.Paced(kwire, engine.start(), 12000).wait()
    engine.rest(60)
    engine.configure({"kafka": {"bootstrap_servers": broker.bootstrap, "transaction_events": 4000}})
    running(engine.restart())
    wait_for(lambda: engine.stats()["kafka_bridge_send_count"] > 0, 60, "events reach Kafka")
    broker.kill9()
    in_state(engine, "away", "", 8)
    post(engine, 100)
    begin = time.monotonic()
    engine.stop()
    assert time.monotonic() - begin < 8
    in_state(engine.start(), "away", "")
    broker.start()
    delivered(running(engine))
    events = exactly_once(engine, broker, topic)
    checks.exactly(checks.events(events, "ticks"), [senders.numbered(i) for i in range(feed.next)])
    assert len(events) == feed.next + 100


# ---- what a broker forgets ----

@pytest.fixture(scope="module")
def forgetful(one_broker, tmp_path_factory):
    """a broker that forgets idle transactional ids and producers within seconds"""
    assert one_broker
    one = kafka.Broker(tmp_path_factory.mktemp("forgetful"), settings=(
        "transactional.id.expiration.ms=3000", "transaction.remove.expired.transaction.cleanup.interval.ms=500",
        "producer.id.expiration.ms=2000", "producer.id.expiration.check.interval.ms=500"))
    yield one
    one.close()


def test_expired_transactional_id(make_engine, netns, forgetful, topic):
    """an engine that had nothing to send for longer than the broker remembers it: a new producer, nothing lost or doubled"""
    forgetful.attach(netns)
    engine = make_engine(netns, {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None} | settings(forgetful, topic))
    running(engine.start())
    for round_ in range(3):
        post(engine, 20, start=20 * round_)
        delivered(running(engine))
        assert rebuilds(engine) == round_
        expired(forgetful, engine)
    assert state(engine) == "running"
    assert engine.log().count("kafka: connecting: a new producer is made: ") == 2, engine.log()
    assert len(exactly_once(engine, forgetful, topic)) == 60


STATES = ("Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence")


def transactional_ids(broker):
    """{id: state} as the broker's transaction log has them: of version 0, the id behind two 16-bit numbers, the state
    behind version, producer id, epoch and timeout"""
    out = {}
    for r in broker.read("__transaction_state", "read_uncommitted"):
        name = r.key[4:].decode()
        if r.value:
            out[name] = STATES[r.value[16]]
        else:
            out.pop(name, None)
    return out


def expired(broker, engine):
    name = "fast-path-" + engine.settings["engine"]["id"]
    wait_for(lambda: name not in transactional_ids(broker), 60, lambda: f"{name} forgotten: {transactional_ids(broker)}")


# ---- a transaction that timed out ----

def test_transaction_timed_out(make_engine, kwire, broker, topic):
    """The engine stands still inside a transaction for longer than the broker waits: it is aborted, and what was in it is
    sent again, once"""
    engine = make_engine(kwire, settings(broker, topic))
    feed = senders.Background(kwire, rate=1000)
    running(engine.start())
    name = "fast-path-" + engine.settings["engine"]["id"]
    wait_for(lambda: stopped_inside(engine, broker, name), 120, "stopped inside a transaction")
    try:
        wait_for(lambda: transactional_ids(broker)[name] == "CompleteAbort", 60, lambda: transactional_ids(broker))
    finally:
        os.kill(engine.pid, signal.SIGCONT)
    wait_for(lambda: rebuilds(engine) >= 1, 60, lambda: engine.log())
    before = running(engine).stats()["kafka_bridge_send_count"]
    wait_for(lambda: engine.stats()["kafka_bridge_send_count"] > before, 60, "events reach Kafka")
    feed.stop()
    engine.rest(60)
    delivered(engine)
    assert "another producer took transactional.id" in engine.log() or "a new producer is made" in engine.log()
    exactly_once(engine, broker, topic)


def stopped_inside(engine, broker, name):
    os.kill(engine.pid, signal.SIGSTOP)
    if transactional_ids(broker).get(name) == "Ongoing":
        return True
    os.kill(engine.pid, signal.SIGCONT)
    return False


# ---- where there are no jars ----

@pytest.mark.parametrize("required", ["0", "1"])
def test_no_maven_central(netns, tmp_path, required):
    """skipped by name and reason; REQUIRE_KAFKA=1: an error that says what to do"""
    here = os.path.dirname(os.path.abspath(__file__))
    environment = dict(os.environ, KAFKA_JARS=str(tmp_path / "jars"), MAVEN_OPTS=f"-Dmaven.repo.local={tmp_path}/repository",
                       REQUIRE_KAFKA=required, NO_HUGE="1")
    done = subprocess.run(netns.command(sys.executable, "-B", "-m", "pytest", "-c", os.path.join(here, "pytest.ini"),
                                        os.path.join(here, "test_kafka.py") + "::test_stop_delivers"),
                          env=environment, capture_output=True, text=True, check=False, timeout=200, stdin=subprocess.DEVNULL)
    reason = "the jars cannot be fetched from Maven Central: "
    assert reason in done.stdout and "make it reachable, or name a folder that has them with KAFKA_JARS" in done.stdout, done
    if required == "1":
        assert done.returncode == 1 and f"REQUIRE_KAFKA=1: {reason}" in done.stdout and "1 error" in done.stdout, done
    else:
        assert done.returncode == 0 and "SKIPPED [1]" in done.stdout and "1 skipped" in done.stdout, done
