# SPDX-License-Identifier: Apache-2.0
"""What the tests of the Kafka bridge share: its settings, its states."""
import os

from appliance import wait_for

PARTITIONS = 4

# a machine that runs a broker, an appliance and its feed at once has latencies that are not the point here
PATIENT = {"health": {"p99_degraded_us": 1e9, "p99_unhealthy_us": 1e9, "silent_feed_s": 0},
           "http": {"durable_timeout_ms": 30000}}


def settings(broker, topic, **more):
    return PATIENT | {"kafka": {"enable": 1, "bootstrap_servers": broker.bootstrap, "topic": topic, "partitions": PARTITIONS} | more}


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


def post(engine, count, key="K%d", start=0):
    for i in range(start, start + count):
        answer = engine.post(key % (i % 7) if "%" in key else key, b"payload %d" % i)
        assert answer.status_code == 200, answer.text


def properties(engine, *lines):
    """KAFKA_CONFIG_FILE of its next start"""
    path = os.path.join(engine.directory, "kafka.properties")
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join([*lines, ""]))
    engine.environment["KAFKA_CONFIG_FILE"] = path
