# SPDX-License-Identifier: Apache-2.0
"""kill -9 and power loss: what was confirmed is there, once, and numbers stay dense."""
import os
import random
import re
import threading
import time

import pytest

import checks
import senders
from appliance import PATIENCE, ctl, wait_for

WORKERS = ("2", "2,3", "2,3,4")


class Poster(threading.Thread):
    """POSTs without end and remembers what was answered"""

    def __init__(self, engine, round_):
        super().__init__(daemon=True)
        self.engine, self.round = engine, round_
        self.confirmed = []
        self.ending = threading.Event()
        self.start()

    def run(self):
        i = 0
        while not self.ending.is_set():
            key, payload = "P%d" % (i % 3), b"post %d %d" % (self.round, i)
            try:
                answer = self.engine.post(key, payload, timeout=5)
            except OSError:
                return
            if answer.status_code == 200:
                self.confirmed.append((answer.json()["shard"], answer.json()["seq"], key.encode(), payload))
            i += 1


def shard_ends(stats):
    """{shard: last sequence number} as /stats shows it"""
    out = {}
    for key, value in stats.items():
        match = re.fullmatch(r"shard_(\d+)_last_seq", key)
        if match:
            out[int(match[1])] = value
    assert out, stats
    return out


def killed_under_load(engine, wire, round_, moment):
    """run under load for `moment` seconds, kill -9. Returns (sent, posted, last confirmed seqs)"""
    feed = senders.Background(wire, rate=8000, keys=50, start=round_ * 10000000)
    poster = Poster(engine, round_)
    confirmed = {}
    deadline = time.monotonic() + moment * PATIENCE
    while time.monotonic() < deadline:
        confirmed = shard_ends(engine.stats())
    engine.kill9()
    poster.ending.set()
    poster.join(timeout=30)
    return feed.stop(), poster.confirmed, confirmed


@pytest.mark.timeout(3600)
def test_kill9_rounds(make_wire, make_engine, huge, soak):
    wire = make_wire()
    engine = make_engine(wire, {"eal": {"lcores": "0@0,1@0,2@1,3@0,4@1"}, "dataplane": {"worker_lcores": "2"},
                                "journal": {"memory_mb": 8, "segment_mb": 4, "retain_gb": 0}}, huge=huge)
    seed = int(os.environ.get("SEED", "0")) or random.randrange(1 << 30)
    print("SEED", seed)
    moments = random.Random(seed)
    sent, posted, ends = [], [], {}
    for round_ in range(50 if soak else 10):
        if round_ % 5 == 4:
            engine.configure({"dataplane": {"worker_lcores": WORKERS[round_ // 5 % 3], "mbufs": 16384 + 1024 * round_}})
        engine.start(60)
        # the start has recovered everything that the last run had confirmed
        now = shard_ends(engine.stats())
        for shard, seq in ends.items():
            assert now.get(shard, seq) >= seq, f"round {round_}: shard {shard} goes on at {now[shard]}, confirmed was {seq}"
        more, answered, confirmed = killed_under_load(engine, wire, round_, moments.uniform(0.1, 1.0))
        sent += more
        posted += answered
        ends.update(confirmed)
    engine.start(60)
    engine.stop()
    records = engine.journal()
    last = checks.dense(records)
    for shard, seq in ends.items():
        assert last[shard] >= seq
    place = {(r["shard"], r["seq"]): (r["key"], r["payload"]) for r in records}
    for shard, seq, key, payload in posted:
        assert place.get((shard, seq)) == (key, payload)
    payloads = [(r["key"], r["payload"]) for r in checks.events(records, "http")]
    assert len(payloads) == len(set(payloads))
    in_feed = checks.events(records, "ticks")
    assert len({(r["key"], r["payload"]) for r in in_feed}) == len(in_feed), "an event is there twice"
    assert {(r["key"], r["payload"]) for r in in_feed} <= set(sent)
    assert ctl("journal", "verify", engine.journal_dir).returncode == 0


def test_kill9_during_recovery(make_wire, make_engine):
    """killed at any moment of a start, the next one still has everything"""
    wire = make_wire()
    engine = make_engine(wire, {"journal": {"memory_mb": 64}}).start()
    sent = checks.make_events(50000)
    senders.send_keyed(wire, sent, rate=None)
    wait_for(lambda: engine.stats()["frames_seen_total"] >= len(sent), 30, lambda: engine.stats())
    count = wait_for(lambda: engine.stats()["fast_path_count"], 10, "a count")
    engine.kill9()
    moments = random.Random(7)
    for _ in range(10):
        engine.launch()
        time.sleep(moments.uniform(0.0, 0.3))  # the moment is the point, nothing is waited for
        engine.kill9()
    engine.start(60)
    engine.stop()
    records = engine.journal()
    checks.dense(records)
    assert len(records) >= count
    checks.subset_in_order(records, sent)
