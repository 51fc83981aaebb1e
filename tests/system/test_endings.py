# SPDX-License-Identifier: Apache-2.0
"""Ends that are not calm: signals in a hurry, slow and failing disks, engines that kept nothing."""
import os
import shutil
import signal
import time

import checks
import senders
from appliance import ctl, wait_for

HTTP_ONLY = {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None}


def post_and_wait(engine, netns, key, payload):
    """a POST whose answer nobody has read yet"""
    s = netns.connect("127.0.0.1", 8080, 30)
    s.sendall(b"POST /events?key=%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (key, len(payload), payload))
    return s


def answer(s):
    """all that came until the engine closed the connection"""
    out = b""
    while True:
        part = s.recv(65536)
        if not part:
            return out
        out += part


def test_forced_end_while_a_post_waits(make_engine, netns, faults, huge):
    """two signals while the disk fails: a POST that was appended gets its 504, the next start has the event"""
    environment, fault = faults
    engine = make_engine(netns, {**HTTP_ONLY, "http": {"durable_timeout_ms": 60000}},
                         environment=environment, huge=huge).start()
    fault("fdatasync", True)
    waiting = post_and_wait(engine, netns, b"A", b"precious")
    wait_for(lambda: engine.stats()["persistence_queue_error_count"] > 0, 30, lambda: engine.stats())
    engine.process.send_signal(signal.SIGTERM)
    engine.process.send_signal(signal.SIGINT)
    engine.process.wait(timeout=30)
    assert engine.process.returncode == 1, (engine.process.returncode, engine.log())
    assert b" 504 " in answer(waiting)
    assert len(engine.memlogs()) == 1
    fault("fdatasync", False)
    engine.start()
    engine.stop()
    assert [r["payload"] for r in engine.journal()] == [b"precious"]
    assert engine.memlogs() == []


def test_second_signal_does_not_wait_for_a_slow_disk(make_wire, make_engine, faults):
    """the disk works, but takes long: the second signal ends the wait, and the memlog keeps the rest"""
    environment, fault = faults
    wire = make_wire()
    engine = make_engine(wire, {"journal": {"memory_mb": 64, "segment_mb": 1, "retain_gb": 0}},
                         environment=environment).start()
    fault("slow", True)
    sent = checks.make_events(40000, size=1000)
    senders.send_keyed(wire, sent, rate=40000)
    wait_for(lambda: engine.stats()["fast_path_count"] + engine.stats()["fast_path_drops_total"] >= len(sent), 30,
             lambda: engine.stats())
    stats = engine.stats()
    assert stats["persistence_queue_lag"] > 20000, stats
    engine.process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    engine.process.send_signal(signal.SIGINT)
    engine.process.wait(timeout=60)
    took = time.monotonic() - start
    assert engine.process.returncode == 1, engine.log()
    assert took < 1.5, took
    fault("slow", False)
    engine.start()
    engine.stop()
    records = engine.journal()
    checks.dense(records)
    assert len(records) == stats["fast_path_count"]


def test_retention_under_a_feed_that_never_pauses(make_wire, make_engine, faults):
    """the disk is never idle, and still old segments go"""
    environment, fault = faults
    wire = make_wire()
    engine = make_engine(wire, {"journal": {"segment_mb": 1, "retain_gb": 0.004}}, environment=environment).start()
    fault("slow", True)
    feed = senders.Background(wire, rate=4000, size=1000)
    try:
        wait_for(lambda: engine.stats()["fast_path_count"] > 12000, 60, lambda: engine.stats())
        # several times what may stay was written, and the feed goes on
        wait_for(lambda: engine.stats()["persistence_queue_lag"] + 8000 < engine.stats()["fast_path_count"], 60,
                 lambda: engine.stats())
        wait_for(lambda: numbers(engine)[0] > 1 and segments(engine) <= 7 << 20, 10,
                 lambda: f"{segments(engine)} bytes of segments, the first has {numbers(engine)[0]}")
    finally:
        feed.stop()
    checks.laws(engine.rest())
    engine.stop()
    checks.dense(engine.journal(), first=numbers(engine)[0])


def numbers(engine):
    """first sequence numbers of the segment files"""
    return sorted(int(name.split("-")[2].split(".")[0]) for name in os.listdir(engine.journal_dir)
                  if name.endswith(".seg"))


def segments(engine):
    """bytes of the segment files"""
    total = 0
    for name in os.listdir(engine.journal_dir):
        try:
            total += os.stat(os.path.join(engine.journal_dir, name)).st_size if name.endswith(".seg") else 0
        except FileNotFoundError:
            pass  # retention was quicker
    return total


def test_a_copied_journal_does_not_take_the_memlog(make_engine, netns, tmp_path):
    """a copy of a journal names the same memlog files: while its engine runs they are nobody else's"""
    engine = make_engine(netns, HTTP_ONLY).start()
    assert engine.post("A", b"x").status_code == 200
    copy = tmp_path / "copy"
    shutil.copytree(engine.journal_dir, copy)
    other = make_engine(netns, {**HTTP_ONLY, "journal": {"dir": str(copy)}, "http": {"listen": "127.0.0.1:8081"}})
    status, log = other.run_to_end()
    assert status == 2 and "belongs to an engine that runs" in log, log
    repair = ctl("journal", "repair", copy, check=False)
    assert repair.returncode != 0 and b"belongs to an engine that runs" in repair.stderr, repair
    assert len(engine.memlogs()) == 1
    engine.kill9()
    engine.start()
    engine.stop()
    assert [r["payload"] for r in engine.journal()] == [b"x"]


def test_store_memory_starts_again_after_kill(make_engine, netns):
    """store = memory keeps nothing, so a killed engine leaves nothing that the next start could miss"""
    engine = make_engine(netns, {**HTTP_ONLY, "journal": {"store": "memory"}}).start()
    assert engine.post("A", b"x").status_code == 200
    engine.kill9()
    assert engine.memlogs() == []
    engine.start()
    assert engine.post("A", b"y").status_code == 200
    engine.stop()


def test_probes_are_answered_during_recovery(make_engine, netns, faults):
    """recovery waits for a slow disk: alive all the time, ready afterwards"""
    environment, fault = faults
    engine = make_engine(netns, {**HTTP_ONLY, "http": {"durable_timeout_ms": 100}}, environment=environment).start()
    fault("fdatasync", True)
    assert engine.post("A", b"kept").status_code == 504
    engine.kill9()
    fault("fdatasync", False)
    fault("slow", True)
    engine.launch()
    seen = []

    def recovering():
        try:
            live, ready = engine.get("/health/live"), engine.get("/health/ready")
        except OSError:
            return False
        if not seen and not ready.json()["recovered"]:
            early = engine.post("A", b"early")
            seen.append((live.status_code, ready.status_code, early.status_code, early.json()["error"]))
        return live.status_code == 200 and ready.status_code == 200

    wait_for(recovering, 60, lambda: engine.log())
    fault("slow", False)
    assert seen == [(200, 503, 503, "STARTING")], engine.log()
    engine.stop()
    assert [r["payload"] for r in engine.journal()] == [b"kept"]


def test_a_small_memlog_is_not_let_run_full(make_wire, make_engine):
    """gathering ends when a quarter of it is taken: the disk is fast, nothing is dropped"""
    wire = make_wire()
    engine = make_engine(wire, {"journal": {"sync_ms": 1000, "memory_mb": 1}}).start()
    sent = checks.make_events(6000, size=1000)
    senders.send_keyed(wire, sent, rate=3000)
    stats = engine.rest()
    checks.laws(stats)
    assert stats["fast_path_drops_total"] == 0, stats
    engine.stop()
    assert len(engine.journal()) == len(sent)


def test_groups_gather_but_a_post_does_not_wait(make_wire, make_engine):
    """a feed is synced once in sync_ms; who posts has the answer long before that"""
    wire = make_wire()
    engine = make_engine(wire, {"journal": {"sync_ms": 1000}}).start()
    feed = senders.Background(wire, rate=4000)
    try:
        wait_for(lambda: engine.stats()["fast_path_count"] > 4000, 60, lambda: engine.stats())
        before, begin = engine.stats(), time.monotonic()
        wait_for(lambda: engine.stats()["shard_0_syncs_total"] >= before["shard_0_syncs_total"] + 3, 30, lambda: engine.stats())
        # three syncs have at least two whole windows between them
        assert time.monotonic() - begin > 1.9
        waits = []
        for i in range(5):
            sent = time.monotonic()
            assert engine.post("A", b"%d" % i).json()["durable"] is True
            waits.append(time.monotonic() - sent)
        assert min(waits) < 0.5, waits
    finally:
        feed.stop()
    checks.laws(engine.rest())
    engine.stop()
    checks.dense(engine.journal())
