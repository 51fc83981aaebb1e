# SPDX-License-Identifier: Apache-2.0
"""Hostile packets between good ones: none crashes, each is counted under its reason, no good one is lost."""
import collections
import os
import random
import re
import struct

import pytest
from scapy.all import Ether, IP, IPOption_Router_Alert, IPv6, IPv6ExtHdrFragment, Raw, TCP, UDP

import checks
import senders
from appliance import SANITIZED, af_packet, wait_for

GROUP, PORT = "239.1.1.1", 9000
ETHER = Ether(src="02:00:00:00:00:01", dst="01:00:5e:01:01:01")
ETHER6 = Ether(src="02:00:00:00:00:01", dst="33:33:00:00:00:01")


def ip(**fields):
    return IP(src="10.99.0.2", dst=GROUP, ttl=1, **fields)


def udp(**fields):
    return UDP(sport=5000, dport=PORT, **fields)


def good(key=b"K", payload=b"payload"):
    return checks.keyed(key, payload)


def changed(frame, offset, value):
    frame = bytearray(frame)
    frame[offset:offset + len(value)] = value
    return bytes(frame)


def with_ip_checksum(frame):
    """the IPv4 header's checksum made right again after a field was changed"""
    header = frame[14:14 + (frame[14] & 15) * 4]
    header = header[:10] + b"\0\0" + header[12:]
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return changed(frame, 24, struct.pack("!H", total ^ 0xffff))


# net_af_packet asks the kernel to put IPv4 fragments together before it sees them: those of a datagram that
# never becomes whole never come, and a whole one comes as one large frame
DEVICES = {"af_packet": af_packet(), "af_xdp": "net_af_xdp0,iface=fp0"}


def hostile(rng, device):
    """[(reason or None for a good one, frame)] of every kind"""
    plain = bytes(ETHER / ip() / udp() / Raw(good()))
    v6 = bytes(ETHER6 / IPv6(src="fd99::2", dst="ff15::1") / udp() / Raw(good()))
    out = [
        # cut anywhere behind the Ethernet header
        ("truncated", plain[:rng.randrange(14, len(plain))]),
        ("truncated", v6[:rng.randrange(14, len(v6))]),
        # lengths that lie
        ("truncated", with_ip_checksum(changed(plain, 16, struct.pack("!H", rng.randrange(len(plain), 65536))))),
        ("bad_header", with_ip_checksum(changed(plain, 16, struct.pack("!H", rng.randrange(0, 20))))),
        ("bad_header", changed(plain, 38, struct.pack("!H", rng.randrange(len(plain), 65536)))),
        ("bad_header", changed(plain, 38, struct.pack("!H", rng.randrange(0, 8)))),
        ("bad_header", changed(plain, 14, bytes([0x40 | rng.randrange(0, 5)]))),
        ("bad_header", changed(plain, 14, bytes([rng.choice([0x05, 0x15, 0x65, 0xf5])]))),
        # checksums
        ("bad_checksum", changed(plain, 24, struct.pack("!H", struct.unpack("!H", plain[24:26])[0] ^ rng.randrange(1, 0xffff)))),
        ("bad_checksum", changed(plain, 42, bytes([plain[42] ^ rng.randrange(1, 256)]))),
        ("bad_checksum", bytes(ETHER6 / IPv6(src="fd99::2", dst="ff15::1") / udp(chksum=0) / Raw(good()))),
        # fragments
        ("fragment", bytes(ETHER6 / IPv6(src="fd99::2", dst="ff15::1") / IPv6ExtHdrFragment(m=1) / udp() / Raw(good()))),
        # not for us
        ("not_udp", bytes(ETHER / ip() / TCP(dport=PORT) / Raw(good()))),
        ("not_ip", bytes(ETHER) [:12] + b"\x08\x06" + rng.randbytes(46)),
        ("not_ip", bytes(ETHER)[:12] + struct.pack("!H", rng.randrange(0x9000, 0xffff)) + rng.randbytes(60)),
        ("unknown_group", bytes(ETHER / ip() / UDP(sport=5000, dport=rng.randrange(9001, 65536)) / Raw(good()))),
        ("unknown_group", bytes(ETHER / IP(src="10.99.0.2", dst="239.1.1.2") / udp() / Raw(good()))),
        # the frame is well, the message is not
        ("malformed", bytes(ETHER / ip() / udp() / Raw(bytes([rng.randrange(20, 65)]) + b"short"))),
        ("malformed", bytes(ETHER / ip() / udp() / Raw(b"\0payload"))),
        ("malformed", bytes(ETHER / ip() / udp())),
        ("key_too_long", bytes(ETHER / ip() / udp() / Raw(bytes([rng.randrange(65, 256)]) + rng.randbytes(300)))),
        # unusual, and good
        (None, bytes(ETHER / ip(options=[IPOption_Router_Alert()]) / udp() / Raw(good()))),
        (None, bytes(ETHER / ip() / udp(chksum=0) / Raw(good()))),
        (None, plain + rng.randbytes(rng.randrange(1, 60))),
    ]
    if device == "af_xdp":
        out += [("fragment", bytes(ETHER / ip(flags="MF") / udp() / Raw(good()))),
                ("fragment", bytes(ETHER / ip(frag=rng.randrange(1, 1000)) / Raw(rng.randbytes(40))))]
    return out


@pytest.mark.timeout(900)
@pytest.mark.parametrize("device", list(DEVICES))
def test_hostile_packets(make_wire, make_engine, soak, device):
    # XDP programs take no interface of a larger mtu
    wire = make_wire(mtu=9000 if device == "af_packet" else 1500)
    engine = make_engine(wire, {
        "port nic0": {"device": DEVICES[device]},
        "feed six": {"port": "nic0", "codec": "keyed", "line_a": f"[ff15::1]:{PORT}"},
    }).start()
    seed = int(os.environ.get("SEED", "0")) or random.randrange(1 << 30)
    print("SEED", seed)
    rng = random.Random(seed)
    rounds = (100000 if soak else 5000) // len(hostile(rng, device))
    kinds = [hostile(rng, device) for _ in range(min(rounds, 200))]
    expected = collections.Counter()
    frames = []
    ours = checks.make_events(rounds * 2, keys=20)
    for round_ in range(rounds):
        batch = list(kinds[round_ % len(kinds)])
        rng.shuffle(batch)
        for event in ours[2 * round_:2 * round_ + 2]:
            batch.insert(rng.randrange(len(batch)), (None, bytes(ETHER / ip() / udp() / Raw(checks.keyed(*event)))))
        # larger than a buffer: jumbo frames of a sender that has another mtu
        if device == "af_packet":
            batch.append(("truncated", bytes(ETHER / ip() / udp() / Raw(rng.randbytes(rng.randrange(2100, 8900))))))
        for reason, frame in batch:
            expected[reason] += 1
            frames.append(frame)
    rate = 2000 if SANITIZED else 10000
    with wire.raw() as raw:
        senders.paced(raw.send, frames, rate)
        # noise: any bytes at all; only that they are counted can be known
        noise = [rng.randbytes(rng.randrange(14, 1500)) for _ in range(rounds)]
        senders.paced(raw.send, noise, rate)
    total = len(frames) + len(noise)
    wait_for(lambda: engine.stats()["frames_seen_total"] >= total, 60, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    assert stats["frames_seen_total"] == total
    assert stats["fast_path_drops_total"] == 0
    accepted = expected.pop(None)
    assert stats["fast_path_count"] == accepted
    found = checks.reasons(stats)
    surplus = {reason: found.get(reason, 0) - count for reason, count in expected.items()}
    # the noise is all that is counted beyond what was expected, almost all of it as not_ip
    surplus["rest"] = sum(found.values()) - sum(expected.values()) - sum(surplus.values())
    assert all(v >= 0 for v in surplus.values()) and sum(surplus.values()) == len(noise), (expected, found)
    log = engine.stop()
    assert "runtime error" not in log and "AddressSanitizer" not in log
    records = checks.events(engine.journal())
    checks.dense(records)
    checks.exactly([r for r in records if r["key"] != b"K"], ours)


@pytest.mark.parametrize("device,counted", [("af_packet", {"truncated": 1}), ("af_xdp", {"fragment": 3})])
def test_fragments_of_a_large_datagram(make_wire, make_engine, device, counted):
    """a datagram that does not fit a frame comes in fragments: each is counted, or what the kernel made of them"""
    wire = make_wire()
    engine = make_engine(wire, {"port nic0": {"device": DEVICES[device]}}).start()
    with wire.udp() as s:
        s.sendto(checks.keyed(b"big", bytes(4000)), (GROUP, PORT))
        s.sendto(checks.keyed(b"small", b"x"), (GROUP, PORT))
    wait_for(lambda: engine.stats()["fast_path_count"] == 1, 30, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == counted


def test_jumbo_frames_when_configured(make_wire, make_engine):
    """mtu = 9000: what fits a frame of the ring arrives, what is larger is counted"""
    wire = make_wire(mtu=9000)
    engine = make_engine(wire, {"port nic0": {"device": "net_af_packet0,iface=fp0,framesz=8192,blocksz=65536,framecnt=512",
                                              "mtu": 9000}}).start()
    sent = [(b"big", bytes([i]) * (8000 - i)) for i in range(20)]
    with wire.udp() as s:
        for event in sent:
            s.sendto(checks.keyed(*event), (GROUP, PORT))
        s.sendto(checks.keyed(b"big", bytes(8193)), (GROUP, PORT))
    wait_for(lambda: engine.stats()["frames_seen_total"] >= 21, 30, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == {"truncated": 1}
    engine.stop()
    checks.exactly(checks.events(engine.journal()), sent)


def test_largest_frames_need_larger_ring_frames(make_wire, make_engine):
    """framesz above mtu: everything arrives; the default one: a warning says what will be cut"""
    wire = make_wire(mtu=9000)
    sent = [(b"K", bytes(n % 251 for n in range(size))) for size in (10, 1500, 8150, 8192)]
    engine = make_engine(wire, {"port nic0": {"device": af_packet(framecnt=512, framesz=16384, blocksz=16384),
                                              "mtu": 9000}}).start()
    senders.send_keyed(wire, sent, rate=1000)
    wait_for(lambda: engine.stats()["frames_seen_total"] >= 4, 30, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == {}
    assert not re.search(r" warning .*framesz", engine.stop())
    checks.exactly(checks.events(engine.journal()), sent)
    engine.configure({"port nic0": {"device": af_packet()}})
    engine.start()
    assert "frames above 1968 bytes of IP are cut" in engine.log()
    assert "framesz=16384,blocksz=16384" in engine.log()
    engine.stop()


def test_hostile_json(make_wire, make_engine):
    """whatever is no object with a key is counted; the good one behind it is journaled"""
    bad = [b"", b"[]", b"{", b'{"key": 5}', b'{"other": "x"}', b'{"key": ""}', b"\xff" * 100, b"[" * 1000,
           b'{"key": "a"} {"key": "b"}', b'{"key": "\xff"}']
    wire = make_wire()
    engine = make_engine(wire, {"feed ticks": {"port": "nic0", "codec": "json", "line_a": f"{GROUP}:{PORT}"}}).start()
    sent = []
    with wire.udp() as s:
        for i, payload in enumerate(bad + [b'{"key": "' + b"x" * 65 + b'"}']):
            s.sendto(payload, (GROUP, PORT))
            sent.append(checks.json_event("OK", i))
            s.sendto(sent[-1][1], (GROUP, PORT))
    wait_for(lambda: engine.stats()["frames_seen_total"] >= 2 * len(sent), 30, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == {"malformed": len(bad), "key_too_long": 1}
    engine.stop()
    checks.exactly(checks.events(engine.journal()), sent)
