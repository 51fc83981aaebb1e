# SPDX-License-Identifier: Apache-2.0
"""What must hold of figures and journals, and datagrams whose bytes are known."""
import collections
import json


# ---- figures ----

def laws(stats):
    """Both laws of accounting, exactly. stats: GET /stats at rest."""
    frames = sum(stats[f"frames_{part}_total"] for part in ("decoded", "to_host", "filtered", "dropped"))
    assert stats["frames_seen_total"] == frames, f"law of frames: {stats}"
    messages = sum(stats[f"{part}_total"] for part in ("journaled", "messages_filtered", "messages_dropped"))
    assert stats["messages_total"] == messages, f"law of messages: {stats}"
    assert stats["fast_path_drops_total"] == stats["frames_dropped_total"] + stats["messages_dropped_total"]
    assert stats["fast_path_filtered_total"] == stats["frames_filtered_total"] + stats["messages_filtered_total"]


def reasons(stats):
    """{reason: count} of the reasons that are not 0"""
    return {key[len("reason_"):]: value for key, value in stats.items() if key.startswith("reason_") and value}


# ---- the journal ----

def events(records, feed=None):
    """the events (of one feed) among the records, in the journal's order"""
    return [r for r in records if r["type"] == "event" and (feed is None or r["feed"] == feed)]


def dense(records, first=1):
    """Sequence numbers of every shard are dense from `first` on. Returns {shard: last}."""
    following = {}
    for record in records:
        expected = following.get(record["shard"], first)
        assert record["seq"] == expected, f"shard {record['shard']}: {record['seq']} follows {expected - 1}"
        following[record["shard"]] = record["seq"] + 1
    return {shard: following[shard] - 1 for shard in following}


def by_key(records):
    """{key: [payload, ...]} in the journal's order; a key must keep to one shard"""
    out = collections.defaultdict(list)
    shards = {}
    for record in records:
        key = record["key"]
        assert shards.setdefault(key, record["shard"]) == record["shard"], f"key {key} is on two shards"
        out[key].append(record["payload"])
    return dict(out)


def exactly(records, sent):
    """The events are what was sent, [(key, payload)]: once, byte for byte, in order per key."""
    expected = collections.defaultdict(list)
    for key, payload in sent:
        expected[key].append(payload)
    _same(by_key(records), dict(expected))


def _same(found, expected):
    if found == expected:
        return
    for key in set(found) | set(expected):
        have, want = found.get(key, []), expected.get(key, [])
        if have == want:
            continue
        at = next((i for i, (a, b) in enumerate(zip(have, want)) if a != b), min(len(have), len(want)))
        raise AssertionError(f"key {key}: {len(have)} of {len(want)} events, first difference at event {at}: "
                             f"{have[at:at + 1]} instead of {want[at:at + 1]}")


def subset_in_order(records, sent):
    """With losses allowed: every event was sent, none is twice, order per key is kept. Payloads are unique."""
    place = {}
    for i, (key, payload) in enumerate(sent):
        assert (key, payload) not in place, "payloads must be unique"
        place[key, payload] = i
    last = {}
    for record in records:
        at = place.get((record["key"], record["payload"]))
        assert at is not None, f"never sent: {record}"
        assert at > last.get(record["key"], -1), f"twice or out of order: {record}"
        last[record["key"]] = at


# ---- datagrams ----

def keyed(key, payload):
    return bytes([len(key)]) + key + payload


def key_name(i):
    return b"K%03d" % i


def make_events(count, keys=500, start=0, size=32):
    """[(key, payload)]: unique payloads of `size` bytes, keys in turn"""
    out = []
    for i in range(start, start + count):
        text = b"%010d" % i
        out.append((key_name(i % keys), text + bytes((i * 7 + j) & 0xff for j in range(size - len(text)))))
    return out


def json_event(key, number):
    """(key, datagram) of a json feed"""
    return key.encode(), json.dumps({"key": key, "n": number, "price": number * 0.25}).encode()
