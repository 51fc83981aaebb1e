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
from appliance import ctl, wait_for

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


def settings(broker, topic, **more):
    return {"kafka": {"enable": 1, "bootstrap_servers": broker.bootstrap, "topic": topic, "partitions": PARTITIONS} | more}


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


def test_exactly_once(bridge, kwire, broker, topic, soak):
    sent = checks.make_events(2000000 if soak else 100000, size=64)
    senders.send_keyed(kwire, sent, rate=25000)
    wait_for(lambda: bridge.stats()["frames_seen_total"] >= len(sent), 60, bridge.stats)
    stats = bridge.rest(60)
    stats = delivered(bridge, 600)
    checks.laws(stats)
    assert stats["fast_path_drops_total"] == 0, stats
    assert stats["kafka_bridge_send_count"] == len(sent) and stats["kafka_bridge_send_error_count"] == 0
    assert bridge.health()[1]["parts"]["kafka"] == "healthy"
    metrics = bridge.metrics()
    assert "\nkafka_bridge_lag 0\n" in metrics and f"\nkafka_bridge_events_total {len(sent)}\n" in metrics
    assert 'kafka_bridge_broker_up{broker="' in metrics
    check(bridge, broker, topic, sent)
