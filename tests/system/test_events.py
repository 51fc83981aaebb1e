# SPDX-License-Identifier: Apache-2.0
"""The main job: multicast events from ordinary sockets through a DPDK port into the journal."""
import collections
import socket
import threading

import pytest
from scapy.all import Dot1AD, Dot1Q, Ether, IP, Raw, UDP

import checks
import senders
from appliance import SANITIZED, af_packet, wait_for


def multicast_mac(group):
    a = [int(x) for x in group.split(".")]
    return f"01:00:5e:{a[1] & 0x7f:02x}:{a[2]:02x}:{a[3]:02x}"


def frame(group, port, payload, vlan=()):
    """an Ethernet frame with these tags, outermost first"""
    tags = Ether(src="02:00:00:00:00:01", dst=multicast_mac(group))
    for i, tag in enumerate(vlan):
        tags = tags / (Dot1AD(vlan=tag) if i + 1 < len(vlan) else Dot1Q(vlan=tag))
    return bytes(tags / IP(src="10.99.0.2", dst=group, ttl=1) / UDP(sport=5000, dport=port) / Raw(payload))


DEVICES = {"af_packet": af_packet(), "af_xdp": "net_af_xdp0,iface=fp0"}
# net_af_packet takes its ring from framecnt
RX_RING = {"af_packet": 4096, "af_xdp": 16384}


def xdp_missing():
    """why net_af_xdp cannot run here, or None"""
    try:
        socket.socket(44, socket.SOCK_RAW, 0).close()  # AF_XDP
        return None
    except OSError as error:
        return f"no AF_XDP sockets here: {error}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("device", list(DEVICES))
def test_every_event_once(make_wire, make_engine, huge, soak, device):
    """feedsim, 500 keys, two workers: sent = journaled, byte for byte, in order, dense, nothing dropped"""
    wire = make_wire()
    if device == "af_xdp" and xdp_missing():
        pytest.skip(xdp_missing())
    # sanitized programs get a rate that they can keep up with
    count, rate = (1000000, 100000) if soak and not SANITIZED else (100000, 10000 if SANITIZED else 50000)
    engine = make_engine(wire, {
        "eal": {"lcores": "0@0,1@0,2@1,3@1"},
        "dataplane": {"rx_lcores": "1", "worker_lcores": "2,3", "ring_size": 16384},
        "port nic0": {"device": DEVICES[device], "rx_ring": RX_RING[device]},
        "journal": {"memory_mb": 64, "segment_mb": 64},
    }, huge=huge).start()
    summary = senders.Feedsim(wire, count=count, rate=rate).sent()
    assert summary["sent"] == count
    wait_for(lambda: engine.stats()["frames_seen_total"] >= count, 60, lambda: f"{count} frames: {engine.stats()}")
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == {}
    assert stats["fast_path_count"] == count
    engine.stop()
    records = engine.journal()
    last = checks.dense(records)
    assert sorted(last) == [0, 1] and sum(last.values()) == count
    checks.exactly(checks.events(records, "ticks"), senders.feedsim_events(count, keys=500))


def test_several_feeds(make_wire, make_engine):
    """two groups, codecs keyed, json and fixed, one of them IPv6, one only in a VLAN"""
    wire = make_wire(ipv6=True)
    engine = make_engine(wire, {
        "feed orders": {"port": "nic0", "codec": "json", "line_a": "239.1.1.2:9001"},
        "feed news": {"port": "nic0", "codec": "fixed", "key": "NEWS", "line_a": "[ff15::1]:9002"},
        "feed tagged": {"port": "nic0", "codec": "keyed", "line_a": "239.1.1.3:9003", "vlan": 42},
    }).start()
    n = 500
    ticks = checks.make_events(n, keys=7)
    orders = [checks.json_event(f"O{i % 5}", i) for i in range(n)]
    news = [(b"NEWS", b"headline %d" % i) for i in range(n)]
    tagged = checks.make_events(n, keys=3, start=n)
    with wire.udp() as four, wire.udp(ipv6=True) as six, wire.raw() as raw:
        def send(i):
            four.sendto(checks.keyed(*ticks[i]), ("239.1.1.1", 9000))
            four.sendto(orders[i][1], ("239.1.1.2", 9001))
            six.sendto(news[i][1], ("ff15::1", 9002))
            raw.send(frame("239.1.1.3", 9003, checks.keyed(*tagged[i]), vlan=[42]))
        senders.paced(send, range(n), 2000)
        # what no feed wants: an unknown group, the right group in the wrong VLAN or none
        four.sendto(b"x", ("239.1.1.9", 9000))
        raw.send(frame("239.1.1.3", 9003, checks.keyed(b"k", b"p"), vlan=[43]))
        raw.send(frame("239.1.1.3", 9003, checks.keyed(b"k", b"p")))
    wait_for(lambda: engine.stats()["fast_path_count"] >= 4 * n, 30, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    found = checks.reasons(stats)
    found.pop("not_udp", None)  # the sender's own MLD reports
    assert found == {"unknown_group": 3}
    engine.stop()
    records = engine.journal()
    checks.dense(records)
    for feed, sent in (("ticks", ticks), ("orders", orders), ("news", news), ("tagged", tagged)):
        checks.exactly(checks.events(records, feed), sent)


def test_vlan_and_qinq_frames(make_wire, make_engine):
    """a feed without vlan takes its group untagged, tagged and doubly tagged"""
    wire = make_wire()
    engine = make_engine(wire).start()
    sent = checks.make_events(300, keys=1)
    with wire.raw() as raw:
        for i, event in enumerate(sent):
            raw.send(frame("239.1.1.1", 9000, checks.keyed(*event), vlan=[[], [7], [100, 7]][i % 3]))
    wait_for(lambda: engine.stats()["frames_seen_total"] >= len(sent), 30, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == {}
    engine.stop()
    checks.exactly(checks.events(engine.journal()), sent)


def test_several_ports_and_rx_lcores(make_wire, make_engine):
    """two ports polled by two lcores, three workers, POST beside them"""
    wire = make_wire(ports=2)
    engine = make_engine(wire, {
        "eal": {"lcores": "0@0,1@0,2@1,3@0,4@1,5@1"},
        "dataplane": {"rx_lcores": "1,2", "worker_lcores": "3,4,5"},
        "port nic1": {"device": af_packet(1), "address": "10.99.1.1/24"},
        "feed orders": {"port": "nic1", "codec": "keyed", "line_a": "239.1.1.2:9001"},
    }).start()
    ticks, orders = checks.make_events(5000, keys=40), checks.make_events(5000, keys=40, start=5000)
    with wire.udp(0) as first, wire.udp(1) as second:
        def send(i):
            first.sendto(checks.keyed(*ticks[i]), ("239.1.1.1", 9000))
            second.sendto(checks.keyed(*orders[i]), ("239.1.1.2", 9001))
        senders.paced(send, range(5000), 10000)
    posted = []
    for i in range(20):
        answer = engine.post("P%d" % (i % 4), b"posted %d" % i)
        assert answer.status_code == 200, answer.text
        posted.append((b"P%d" % (i % 4), b"posted %d" % i))
    wait_for(lambda: engine.stats()["fast_path_count"] >= 10020, 30, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == {}
    engine.stop()
    records = engine.journal()
    assert sorted(checks.dense(records)) == [0, 1, 2]
    checks.exactly(checks.events(records, "ticks"), ticks)
    checks.exactly(checks.events(records, "orders"), orders)
    checks.exactly(checks.events(records, "http"), posted)


def test_several_queues(make_wire, make_engine):
    """net_af_packet spreads flows over its queues; one flow keeps its order"""
    wire = make_wire()
    engine = make_engine(wire, {"port nic0": {"device": af_packet(qpairs=2, framecnt=4096), "rx_queues": 2}}).start()
    sockets = [wire.udp() for _ in range(8)]
    per_flow = [checks.make_events(500, keys=1, start=1000 * i) for i in range(8)]
    per_flow = [[(b"F%d" % i, payload) for _, payload in events] for i, events in enumerate(per_flow)]

    def send(i):
        for flow, s in enumerate(sockets):
            s.sendto(checks.keyed(*per_flow[flow][i]), ("239.1.1.1", 9000))
    senders.paced(send, range(500), 1500)
    for s in sockets:
        s.close()
    wait_for(lambda: engine.stats()["frames_seen_total"] >= 4000, 30, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == {}
    engine.stop()
    checks.exactly(checks.events(engine.journal()), [e for events in per_flow for e in events])


def test_run_to_completion(make_wire, make_engine):
    """one lcore carries the RX task and the worker task"""
    wire = make_wire()
    engine = make_engine(wire, {"eal": {"lcores": "0@0,1@1"}, "dataplane": {"rx_lcores": "1", "worker_lcores": "1"}})
    engine.start()
    sent = checks.make_events(20000)
    senders.send_keyed(wire, sent)
    wait_for(lambda: engine.stats()["frames_seen_total"] >= len(sent), 30, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == {}
    engine.stop()
    checks.exactly(checks.events(engine.journal()), sent)


def test_only_owned_keys(make_wire, make_engine):
    """keys that OWNED_KEYS leaves out are filtered, on the wire and over HTTP"""
    wire = make_wire()
    engine = make_engine(wire, {"ownership": None}, environment={"OWNED_KEYS": "K000,K002"}).start()
    sent = checks.make_events(1000, keys=4)
    senders.send_keyed(wire, sent)
    assert engine.post("K000", b"mine").status_code == 200
    refused = engine.post("K001", b"not mine")
    assert refused.status_code == 409 and "NOT_OWNER" in refused.text
    wait_for(lambda: engine.stats()["frames_seen_total"] >= len(sent), 30, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == {"not_owner": 501}
    engine.stop()
    records = engine.journal()
    checks.dense(records)
    checks.exactly(checks.events(records, "ticks"), [e for e in sent if e[0] in (b"K000", b"K002")])


def test_keys_and_payloads_at_their_limits(make_wire, make_engine):
    """keys of 1 and 64 bytes and of any value, payloads of 0 bytes and of a whole frame"""
    wire = make_wire()
    engine = make_engine(wire).start()
    keys = [b"k", b"k" * 64, bytes(range(192, 256)), b"\0", b"\xff\xfe", "schlüssel".encode(), b'"\\\n']
    sent = [(key, payload) for key in keys for payload in (b"", b"\0", bytes(range(256)))]
    sent.append((b"full", bytes(1500 - 28 - 5)))
    with wire.udp() as s:
        for event in sent:
            s.sendto(checks.keyed(*event), ("239.1.1.1", 9000))
        s.sendto(checks.keyed(b"k" * 65, b"payload"), ("239.1.1.1", 9000))
        s.sendto(b"\x00payload", ("239.1.1.1", 9000))
        s.sendto(b"", ("239.1.1.1", 9000))
        s.sendto(b"\x09short", ("239.1.1.1", 9000))
    total = len(sent) + 4
    wait_for(lambda: engine.stats()["frames_seen_total"] >= total, 30, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == {"key_too_long": 1, "malformed": 3}
    engine.stop()
    checks.exactly(checks.events(engine.journal()), sent)


def test_journal_is_readable_beside_the_engine(engine, wire):
    """journal cat with its filters, while the engine runs"""
    sent = checks.make_events(1000, keys=10)
    senders.send_keyed(wire, sent)
    wait_for(lambda: engine.stats()["fast_path_count"] >= 1000, 30, lambda: engine.stats())
    engine.rest()
    records = engine.journal()
    checks.exactly(checks.events(records), sent)
    assert [r["seq"] for r in engine.journal("--from-seq", 990)] == list(range(990, 1001))
    assert len(engine.journal("--limit", 5)) == 5
    one = engine.journal("--key", "K003")
    assert [r["payload"] for r in one] == [p for k, p in sent if k == b"K003"]
    assert collections.Counter(r["feed"] for r in engine.journal("--feed", "ticks")) == {"ticks": 1000}
    assert engine.journal("--feed", "http") == []


def test_clean_stop_under_load_loses_nothing(engine, wire):
    """SIGTERM while events come: what the port had taken is journaled, and the next start goes on from there"""
    feed = senders.Background(wire, rate=20000)
    wait_for(lambda: engine.stats()["fast_path_count"] > 5000, 30, lambda: engine.stats())
    confirmed = engine.stats()["fast_path_count"]
    engine.stop()
    sent = feed.stop()
    records = checks.events(engine.journal())
    last = checks.dense(records)
    assert len(records) >= confirmed
    # a prefix of what was sent: nothing in the middle is missing
    checks.exactly(records, sent[:len(records)])
    assert engine.memlogs() == []
    engine.start()
    answer = engine.post("K000", b"after the restart")
    assert answer.status_code == 200 and answer.json()["seq"] == last[0] + 1
    more = checks.make_events(100, start=len(sent) + 1000)
    senders.send_keyed(wire, more)
    wait_for(lambda: engine.stats()["fast_path_count"] >= 101, 30, lambda: engine.stats())
    engine.stop()
    again = checks.events(engine.journal())
    checks.dense(again)
    assert len(again) == len(records) + 101


def test_restart_with_other_workers(make_wire, make_engine):
    """a different number of shards: old shards are still there, new events find their place"""
    wire = make_wire()
    engine = make_engine(wire, {"eal": {"lcores": "0@0,1@0,2@1,3@0,4@1"}})
    sent = []
    for workers in ("2", "2,3,4", "3,4"):
        engine.configure({"dataplane": {"worker_lcores": workers}})
        engine.start()
        events = checks.make_events(500, keys=20, start=len(sent))
        senders.send_keyed(wire, events)
        sent += events
        wait_for(lambda: engine.stats()["fast_path_count"] >= 500, 30, lambda: engine.stats())
        engine.stop()
    records = engine.journal()
    checks.dense(records)
    assert sorted(r["payload"] for r in records) == sorted(p for _, p in sent)


def test_other_interfaces_are_not_our_port(make_wire, make_engine):
    """a feed on an interface that is no port, all through the start: not journaled, and the law of frames holds"""
    wire = make_wire(ports=2)
    engine = make_engine(wire)
    with wire.udp(port=1) as other:
        other.connect(senders.GROUPS["ticks"])
        ending = threading.Event()

        def send():
            while not ending.is_set():
                senders.paced(other.send, [checks.keyed(b"foreign", b"x")] * 100, 20000)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        try:
            for start in range(3):
                engine.start()
                senders.send_keyed(wire, checks.make_events(100, start=100 * start))
                wait_for(lambda: engine.stats()["fast_path_count"] == 100, 30, lambda: engine.stats())
                stats = engine.rest()
                checks.laws(stats)
                assert stats["frames_seen_total"] == 100, stats
                engine.stop()
        finally:
            ending.set()
            thread.join()
    assert {r["key"] for r in checks.events(engine.journal())} == {k for k, _ in checks.make_events(300)}
