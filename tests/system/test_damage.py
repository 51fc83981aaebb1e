# SPDX-License-Identifier: Apache-2.0
"""Power loss, and damage that a disk did: what is torn is truncated, what is broken is named."""
import os
import random
import shutil

import pytest

import checks
import segments
import senders
from appliance import ctl, wait_for
from test_crash import Poster

NO_PORT = {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None}


def lose_power(engine, rng, confirmed):
    """Memlogs are gone; the newest segment of each shard is cut or holed behind what is durable.
    Returns what was done, for the report."""
    for path in engine.memlogs():
        os.unlink(path)
    done = []
    for shard in {int(os.path.basename(p)[6:8]) for p in segments.names(engine.journal_dir)}:
        path = segments.names(engine.journal_dir, shard)[-1]
        durable = max(segments.named_durable(engine.journal_dir, shard), confirmed.get(shard, 0))
        low, size = segments.end_of(path, durable), os.path.getsize(path)
        written = max([b.end for b in segments.batches(path)], default=low)
        if low >= size:
            continue
        at = rng.randrange(low, max(written, low + 1))
        kind = rng.choice(["cut", "hole", "noise"])
        with open(path, "r+b") as file:
            if kind == "cut":
                file.truncate(at)
            else:
                length = min(rng.randrange(1, 20000), size - at)
                file.seek(at)
                file.write(bytes(length) if kind == "hole" else rng.randbytes(length))
        done.append(f"{os.path.basename(path)}: {kind} at {at}, durable end {durable} at {low}, written to {written}")
    return done


@pytest.mark.timeout(1200)
def test_power_loss_rounds(make_wire, make_engine):
    wire = make_wire()
    engine = make_engine(wire, {"eal": {"lcores": "0@0,1@1,2@1,3@0"}, "dataplane": {"worker_lcores": "2,3"},
                                "journal": {"memory_mb": 8, "segment_mb": 2, "retain_gb": 0}})
    seed = int(os.environ.get("SEED", "0")) or random.randrange(1 << 30)
    print("SEED", seed)
    rng = random.Random(seed)
    posted, sent, confirmed = [], [], {}
    for round_ in range(10):
        engine.start(60)
        feed = senders.Background(wire, rate=10000, keys=50, start=round_ * 10000000)
        poster = Poster(engine, round_)
        target = engine.stats()["fast_path_count"] + rng.randrange(1000, 8000)
        wait_for(lambda: engine.stats()["fast_path_count"] > target, 30, lambda: engine.stats())
        stats = engine.stats()
        engine.kill9()
        poster.ending.set()
        poster.join(timeout=30)
        sent += feed.stop()
        posted += poster.confirmed
        for shard in range(stats["shard_count"]):
            confirmed[shard] = max(confirmed.get(shard, 0), stats[f"shard_{shard}_durable_seq"])
        for shard, seq, _, _ in poster.confirmed:
            confirmed[shard] = max(confirmed.get(shard, 0), seq)
        print(lose_power(engine, rng, confirmed))
    engine.start(60)
    engine.stop()
    records = engine.journal()
    last = checks.dense(records)
    for shard, seq in confirmed.items():
        assert last[shard] >= seq
    place = {(r["shard"], r["seq"]): (r["key"], r["payload"]) for r in records}
    for shard, seq, key, payload in posted:
        assert place.get((shard, seq)) == (key, payload)
    ticks = [(r["key"], r["payload"]) for r in checks.events(records, "ticks")]
    assert len(ticks) == len(set(ticks)) and set(ticks) <= set(sent)
    ctl("journal", "verify", engine.journal_dir)


def test_torn_tail_is_reported(make_engine, netns):
    """half a batch behind the durable end: truncated by the start, which says so"""
    engine = make_engine(netns, NO_PORT).start()
    for i in range(20):
        assert engine.post("A", b"%d" % i).status_code == 200
    engine.stop()
    path = segments.names(engine.journal_dir)[-1]
    whole = open(path, "rb").read()
    first = segments.batches(path)[0]
    with open(path, "ab") as file:
        # the start of a batch that never became whole
        torn = bytearray(whole[first.offset:first.end - 8])
        file.write(torn)
    log = engine.start().stop()
    assert "torn" in log and os.path.basename(path) in log, log
    records = engine.journal()
    checks.dense(records)
    assert [r["payload"] for r in checks.events(records)] == [b"%d" % i for i in range(20)]


@pytest.fixture
def damaged(make_engine, netns):
    """an engine whose journal has one flipped byte before its durable end: (engine, path, offset of the
    batch, first and last sequence number of the batch, pristine copy)"""
    engine = make_engine(netns, NO_PORT).start()
    for i in range(30):
        assert engine.post("A", b"payload %d" % i).status_code == 200
    engine.stop()
    shutil.copytree(engine.journal_dir, engine.journal_dir + ".good")
    path = segments.names(engine.journal_dir)[0]
    batch = [b for b in segments.batches(path) if b.count][10]
    with open(path, "r+b") as file:
        file.seek(batch.offset + segments.BATCH.size + 70)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x40]))
    return engine, path, batch


def names_the_place(text, path, batch):
    """file and offset of the damage: in the batch, at its header or its record"""
    assert os.path.basename(path) in text, text
    offsets = [int(word.strip(".,:;()")) for word in text.split() if word.strip(".,:;()").isdigit()]
    assert any(batch.offset <= o < batch.end for o in offsets), (text, batch.offset, batch.end)


def test_verify_names_file_and_offset(damaged):
    engine, path, batch = damaged
    before = open(path, "rb").read()
    done = ctl("journal", "verify", engine.journal_dir, check=False)
    assert done.returncode == 1, done
    names_the_place((done.stdout + done.stderr).decode(), path, batch)
    assert open(path, "rb").read() == before, "verify must not write"
    ctl("journal", "verify", engine.journal_dir + ".good")


def test_start_refuses_damage(damaged):
    engine, path, batch = damaged
    engine.configure({"journal": {"on_damage": "refuse"}})
    status, log = engine.run_to_end()
    assert status == 2, log
    names_the_place(log, path, batch)
    assert "repair" in log, log


def check_repaired(engine, batch):
    records = engine.journal()
    gaps = [r for r in records if r["type"] == "gap"]
    assert len(gaps) == 1, records
    lost = range(gaps[0]["seq"], gaps[0]["seq"] + gaps[0]["count"])
    assert batch.first_seq in lost
    seqs = sorted([r["seq"] for r in records if r["type"] != "gap"] + list(lost))
    assert seqs == list(range(1, len(seqs) + 1))
    for record in checks.events(records):
        if record["seq"] <= 30:
            assert record["payload"] == b"payload %d" % (record["seq"] - 1)
    assert len(lost) <= batch.count, "more was given up than was damaged"
    assert os.listdir(os.path.join(engine.journal_dir, "quarantine"))


def test_start_quarantines_damage(damaged):
    engine, _, batch = damaged
    engine.configure({"journal": {"on_damage": "quarantine"}})
    engine.start()
    answer = engine.post("A", b"after")
    assert answer.status_code == 200 and answer.json()["seq"] == 31
    log = engine.stop()
    assert "quarantine" in log, log
    check_repaired(engine, batch)
    ctl("journal", "verify", engine.journal_dir)


def test_repair_makes_it_usable(damaged):
    engine, _, batch = damaged
    done = ctl("journal", "repair", engine.journal_dir)
    assert done.stdout + done.stderr
    ctl("journal", "verify", engine.journal_dir)
    check_repaired(engine, batch)
    engine.configure({"journal": {"on_damage": "refuse"}})
    engine.start()
    assert engine.post("A", b"after").json()["seq"] == 31
    engine.stop()
    check_repaired(engine, batch)


def test_hole_between_disk_and_memlog(make_wire, make_engine):
    """A segment that vanished while its successors are in memory: an error with both numbers, no new journal
    over it"""
    wire = make_wire()
    engine = make_engine(wire, {"journal": {"memory_mb": 8, "segment_mb": 1}}).start()
    feed = senders.Background(wire, rate=20000)
    wait_for(lambda: len(segments.names(engine.journal_dir)) >= 3, 60, lambda: engine.stats())
    engine.kill9()
    feed.stop()
    assert engine.memlogs(), "a killed engine leaves its memlog"
    paths = segments.names(engine.journal_dir)
    for path in paths[1:]:
        os.unlink(path)
    status, log = engine.run_to_end()
    assert status == 2, log
    end = max(b.last_seq for b in segments.batches(paths[0]))
    assert str(end) in log or str(end + 1) in log, (end, log)
    assert engine.memlogs(), "what is in memory is kept for a repair"
