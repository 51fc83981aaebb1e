# SPDX-License-Identifier: Apache-2.0
"""A feed faster than what stands behind it: losses are counted where they happen, and health heals."""
import os
import signal

import pytest

import checks
import senders
from appliance import af_packet, wait_for


def healed(engine):
    status, health = engine.health()
    return status == 200 and health["status"] == "healthy"


# a shared machine's latency is no part of these tests
CALM = {"p99_degraded_us": 1e9, "p99_unhealthy_us": 1e9, "silent_feed_s": 0}


def overloaded(engine, wire, count, where, after=lambda: None, unseen=0):
    """send `count` events as fast as they go, the first `unseen` of them while the engine has no processor; some must be
    lost, and only for these reasons"""
    sent = 0
    if unseen:
        os.kill(engine.pid, signal.SIGSTOP)
        try:
            sent = senders.Feedsim(wire, count=unseen, rate=0).sent()["sent"]
        finally:
            os.kill(engine.pid, signal.SIGCONT)
    sent += senders.Feedsim(wire, count=count - unseen, rate=0).sent()["sent"]
    assert sent == count
    stats = engine.stats()
    status, health = engine.health()
    after()
    stats = engine.rest(60)
    checks.laws(stats)
    lost = checks.reasons(stats)
    assert lost, f"nothing was lost: {stats}"
    assert set(lost) <= set(where), lost
    assert stats["frames_seen_total"] == count
    assert stats["fast_path_count"] + sum(lost.values()) == count
    assert health["status"] == ("unhealthy" if sum(lost.values()) > 100 else "degraded"), (health, lost)
    assert status == (503 if health["status"] == "unhealthy" else 200)
    assert any("drop" in reason for reason in health["reasons"]), health
    # it looks at the last 10 s
    wait_for(lambda: healed(engine), 15, lambda: f"healthy again: {engine.health()}")
    # and goes on
    senders.send_keyed(wire, checks.make_events(1000, start=count), rate=2000)
    wait_for(lambda: engine.stats()["fast_path_count"] >= stats["fast_path_count"] + 1000, 30, lambda: engine.stats())
    engine.stop()
    records = engine.journal()
    checks.dense(records)
    assert len(checks.events(records)) == stats["fast_path_count"] + 1000
    return lost, records


def test_small_worker_ring(make_wire, make_engine, soak):
    """a ring of 64 events between RX and worker: ring_full at ingress, RX never blocks"""
    wire = make_wire()
    engine = make_engine(wire, {"eal": {"lcores": "0@0,1@1,2@1"}, "dataplane": {"ring_size": 64},
                                "port nic0": {"device": af_packet(framecnt=32768)}, "health": CALM}).start()
    lost, _ = overloaded(engine, wire, 1000000 if soak else 200000, {"ring_full", "nic_missed", "no_mbuf", "journal_full"})
    assert lost.get("ring_full", 0) > 0, lost


def test_small_memlog(make_wire, make_engine, soak, faults):
    """a memlog of 1 MiB and a disk that is slower than the feed: journal_full"""
    environment, fault = faults
    wire = make_wire()
    engine = make_engine(wire, {"journal": {"memory_mb": 1}, "dataplane": {"ring_size": 65536},
                                "port nic0": {"device": af_packet(framecnt=32768)}, "health": CALM},
                         environment=environment).start()
    fault("slow", True)
    lost, _ = overloaded(engine, wire, 1000000 if soak else 200000, {"ring_full", "nic_missed", "no_mbuf", "journal_full"},
                         after=lambda: fault("slow", False))
    assert lost.get("journal_full", 0) > 0, lost


def test_default_ring_of_af_packet(make_wire, make_engine, soak):
    """512 frames in the kernel: what overflows there is read from the driver's socket and shown"""
    wire = make_wire()
    engine = make_engine(wire, {"port nic0": {"device": "net_af_packet0,iface=fp0"}, "health": CALM}).start()
    lost, _ = overloaded(engine, wire, 1000000 if soak else 200000, {"ring_full", "nic_missed", "no_mbuf", "journal_full"},
                         unseen=5000)
    assert lost.get("nic_missed", 0) > 0, lost


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_overload_again_and_again(make_wire, make_engine):
    """ten bursts in a row leave no buffer behind"""
    wire = make_wire()
    engine = make_engine(wire, {"dataplane": {"ring_size": 64, "mbufs": 8192},
                                "port nic0": {"device": af_packet(), "rx_ring": 1024}, "health": CALM}).start()
    total = 0
    for _ in range(10):
        total += senders.Feedsim(wire, count=200000, rate=0).sent()["sent"]
        checks.laws(engine.rest(60))
    before = engine.stats()["fast_path_count"]
    senders.send_keyed(wire, checks.make_events(2000, start=5000000), rate=2000)
    wait_for(lambda: engine.stats()["fast_path_count"] >= before + 2000, 30, lambda: engine.stats())
    assert engine.rest()["frames_seen_total"] == total + 2000
