# SPDX-License-Identifier: Apache-2.0
"""Disks that fail, fill up and come back."""
import os

import pytest

import checks
import sandbox
import senders
from appliance import wait_for

CALM = {"p99_degraded_us": 1e9, "p99_unhealthy_us": 1e9, "silent_feed_s": 0, "disk_free_degraded_mb": 0}


@pytest.mark.parametrize("call", ["fdatasync", "pwritev"])
def test_failed_write_loses_nothing(make_wire, make_engine, faults, call):
    """While the call fails nothing is acknowledged; afterwards everything is there, though the kernel had
    dropped what it had not synced."""
    environment, fault = faults
    wire = make_wire()
    engine = make_engine(wire, {"health": CALM}, environment=environment).start()
    sent = checks.make_events(30000)
    senders.send_keyed(wire, sent[:10000])
    assert engine.post("A", b"before").status_code == 200
    fault(call, True)
    senders.send_keyed(wire, sent[10000:20000])
    wait_for(lambda: engine.stats()["persistence_queue_error_count"] > 0, 30, lambda: engine.stats())
    refused = engine.post("A", b"meanwhile")
    assert refused.status_code in (503, 504), refused.text
    if refused.status_code == 504:
        assert refused.json()["durable"] is False
    assert engine.health()[1]["status"] != "healthy"
    fault(call, False)
    senders.send_keyed(wire, sent[20000:])
    assert engine.post("A", b"after").status_code == 200
    wait_for(lambda: engine.stats()["frames_seen_total"] >= len(sent), 30, lambda: engine.stats())
    stats = engine.rest(60)
    checks.laws(stats)
    assert checks.reasons(stats).keys() <= {"journal_full"}
    lost = stats["fast_path_drops_total"]
    wait_for(lambda: engine.health()[1]["status"] == "healthy", 20, lambda: engine.health())
    engine.stop()
    records = engine.journal()
    checks.dense(records)
    posts = [r["payload"] for r in checks.events(records, "http")]
    assert posts == [b"before"] + ([b"meanwhile"] if refused.status_code == 504 else []) + [b"after"]
    if lost == 0:
        checks.exactly(checks.events(records, "ticks"), sent)
    else:
        checks.subset_in_order(checks.events(records, "ticks"), sent)
        assert len(checks.events(records, "ticks")) + lost == len(sent)


@pytest.fixture
def small_disk(tmp_path):
    """a file system of 24 MiB, and a file on it that takes the rest of its room"""
    path = str(tmp_path / "small")
    sandbox.mount("tmpfs", path, "size=24m,mode=700")
    yield path
    sandbox.umount(path)


def fill(path):
    with open(os.path.join(path, "filler"), "wb") as file:
        try:
            while True:
                file.write(bytes(65536))
                file.flush()
        except OSError:
            pass  # full, as wanted


def test_full_disk_and_room_again(make_wire, make_engine, small_disk):
    wire = make_wire()
    engine = make_engine(wire, {
        "journal": {"dir": os.path.join(small_disk, "journal"), "memory_mb": 2, "segment_mb": 4, "retain_gb": 0},
        "health": CALM,
    })
    engine.journal_dir = os.path.join(small_disk, "journal")
    engine.start()
    first = checks.make_events(5000, size=64)
    senders.send_keyed(wire, first)
    wait_for(lambda: engine.stats()["fast_path_count"] >= 5000, 30, lambda: engine.stats())
    engine.rest()
    assert engine.post("A", b"before").status_code == 200
    fill(small_disk)
    # more than segment and memlog hold
    second = checks.make_events(60000, start=5000, size=200)
    senders.send_keyed(wire, second, rate=30000)
    wait_for(lambda: engine.health()[0] == 503, 30, lambda: engine.health())
    status, health = engine.health()
    assert health["status"] == "unhealthy" and any("disk" in r or "space" in r for r in health["reasons"]), health
    refused = engine.post("A", b"no room")
    assert refused.status_code in (503, 504), refused.text
    if refused.status_code == 503:
        assert "Retry-After" in refused.headers
    os.unlink(os.path.join(small_disk, "filler"))
    wait_for(lambda: engine.post("A", b"room again").status_code == 200, 30, "a POST that is taken")
    third = checks.make_events(1000, start=100000)
    senders.send_keyed(wire, third, rate=5000)
    wait_for(lambda: engine.stats()["frames_seen_total"] >= 66000, 30, lambda: engine.stats())
    stats = engine.rest(60)
    checks.laws(stats)
    lost = checks.reasons(stats)
    assert set(lost) <= {"journal_full", "ring_full", "nic_missed"} and lost, lost
    wait_for(lambda: engine.health()[1]["status"] == "healthy", 20, lambda: engine.health())
    engine.stop()
    records = engine.journal()
    checks.dense(records)
    ticks = checks.events(records, "ticks")
    checks.subset_in_order(ticks, first + second + third)
    assert len(ticks) + len(checks.events(records, "http")) == stats["fast_path_count"]
    checks.exactly(ticks[:5000], first)


def test_full_from_the_start(make_engine, netns, small_disk):
    """no room for the first segment: it runs, unhealthy, and takes events once there is room"""
    journal = os.path.join(small_disk, "journal")
    engine = make_engine(netns, {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None,
                                 "journal": {"dir": journal, "memory_mb": 2, "segment_mb": 4}, "health": CALM})
    engine.journal_dir = journal
    engine.start()
    engine.stop()
    fill(small_disk)
    engine.launch()
    wait_for(lambda: not engine.running or _ready(engine), 30, "ready or an exit")
    if engine.running:
        refused = engine.post("A", b"no room")
        assert refused.status_code in (503, 504), refused.text
        os.unlink(os.path.join(small_disk, "filler"))
        wait_for(lambda: engine.post("A", b"room").status_code == 200, 30, "a POST that is taken")
        engine.stop()
        checks.dense(engine.journal())
    else:
        # a start that cannot record itself says so
        assert engine.process.returncode in (1, 2) and "No space left" in engine.log(), engine.log()


def _ready(engine):
    try:
        return engine.get("/health/ready", timeout=2).status_code == 200
    except OSError:
        return False
