# SPDX-License-Identifier: Apache-2.0
"""feedsim against plain UDP sockets, the kernel's VLAN interfaces and scapy: no appliance takes part."""
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import time

import pytest
from scapy.all import (ARP, IP, UDP, Dot1AD, Dot1Q, Ether, IPv6, PcapNgWriter, PcapReader, Raw, raw, rdpcap,
                       wrpcap)

import appliance
import sandbox

FEEDSIM = os.path.join(appliance.BUILD, "feedsim")
EPOCH_NS = 1735689600 * 10**9  # 2025-01-01
SO_RCVBUFFORCE = 33
IP_RECVTTL = 12
SOL_PACKET = 263
PACKET_AUXDATA = 8
TP_STATUS_VLAN_VALID = 0x10
ETH_P_ALL = 3
GROUP = ["--group", "239.1.1.1", "--port", "9000"]


class Link:
    """feed's end fs0: 10.98.0.2, fd98::2; receiver's end fs1: 10.98.0.1"""

    def __init__(self):
        self.feed = sandbox.Netns("s")
        self.receiver = sandbox.Netns("r")
        subprocess.run(["ip", "link", "add", "fs0", "netns", self.feed.name, "type", "veth",
                        "peer", "name", "fs1", "netns", self.receiver.name], check=True)
        for end, device in ((self.feed, "fs0"), (self.receiver, "fs1")):
            end.run("sysctl", "-q", "-w", f"net.ipv6.conf.{device}.accept_dad=0")
            end.run("ip", "link", "set", device, "up")
        self.feed.run("ip", "address", "add", "10.98.0.2/24", "dev", "fs0")
        self.feed.run("ip", "address", "add", "fd98::2/64", "dev", "fs0", "nodad")
        self.receiver.run("ip", "address", "add", "10.98.0.1/24", "dev", "fs1")
        self.sockets = []

    def join(self, group, port, device="fs1"):
        """A socket that receives what is sent to the group on this interface."""
        ipv6 = ":" in group
        s = self.receiver.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        self.sockets.append(s)
        index = self.receiver.call(lambda: socket.if_nametoindex(device))
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        s.bind((group, port))
        if ipv6:
            request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        else:
            request = socket.inet_aton(group) + socket.inet_aton("0.0.0.0") + struct.pack("@i", index)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        s.setblocking(False)
        return s

    def feedsim(self, *options, status=0):
        done = self.feed.run(FEEDSIM, *options, check=False)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)

    def close(self):
        for s in self.sockets:
            s.close()
        self.feed.close()
        self.receiver.close()


@pytest.fixture
def link():
    one = Link()
    yield one
    one.close()


def received(s, count, deadline=20):
    """All datagrams of the socket, once `count` have come; then none may be left."""
    datagrams = []
    end = time.monotonic() + deadline
    while len(datagrams) < count:
        try:
            datagrams.append(s.recv(65535))
        except BlockingIOError:
            left = end - time.monotonic()
            assert left > 0, f"{len(datagrams)} of {count} datagrams came"
            select.select([s], [], [], left)
    with pytest.raises(BlockingIOError):
        s.recv(65535)
    return datagrams


def text(seed, key, n, size):
    """the text of an event as feedsim --help documents it"""
    start = f"{seed}:{key}:{n}:"
    return (start + "".join(chr(97 + j % 26) for j in range(len(start), size))).encode()


def event(i, keys=100, size=64, codec="keyed", seed=1, prefix="K"):
    key, n = f"{prefix}{i % keys:04}", i // keys + 1
    if codec == "keyed":
        return bytes([len(key)]) + key.encode() + text(seed, key, n, size)
    if codec == "fixed":
        return text(seed, key, n, size)
    head = f'{{"key":"{key}","n":{n},"data":"'.encode()
    return head + text(seed, key, n, size - len(head) - 2) + b'"}'


@pytest.mark.parametrize("codec", ["keyed", "json", "fixed"])
def test_events_are_as_documented(link, codec):
    s = link.join("239.1.1.1", 9000)
    summary = link.feedsim(*GROUP, "--interface-address", "10.98.0.2", "--count", 5000, "--rate", 20000, "--keys", 7,
                           "--codec", codec, "--size", 100, "--seed", 42, "--key-prefix", "SYM-")
    want = [event(i, 7, 100, codec, 42, "SYM-") for i in range(5000)]
    assert received(s, 5000) == want
    assert summary["sent"] == 5000 and summary["keys"] == 7 and summary["lost_on_purpose"] == 0
    assert summary["bytes"] == sum(map(len, want))
    assert summary["mode"] == "sockets" and summary["interrupted"] is False and summary["skipped"] == 0
    assert summary["last_time_ns"] > summary["first_time_ns"] > 10**18
    assert 0 < summary["seconds"] < 60 and summary["rate"] == pytest.approx(5000 / summary["seconds"], 1e-3)
    if codec == "json":
        first = json.loads(want[0])
        assert first["key"] == "SYM-0000" and first["n"] == 1 and len(want[0]) == 100


def test_small_size_never_cuts_the_text(link):
    s = link.join("239.1.1.1", 9000)
    link.feedsim(*GROUP, "--interface", "fs0", "--count", 3, "--size", 0)
    assert received(s, 3) == [b"\5K%04d1:K%04d:1:" % (i, i) for i in range(3)]


def test_large_events_travel_in_fragments(link):
    s = link.join("239.1.1.1", 9000)
    link.feedsim(*GROUP, "--interface", "fs0", "--count", 3, "--size", 65000)
    assert received(s, 3) == [event(i, size=65000) for i in range(3)]


def test_as_fast_as_possible(link):
    s = link.join("239.1.1.1", 9000)
    summary = link.feedsim(*GROUP, "--interface", "fs0", "--count", 50000, "--rate", 0, "--keys", 500)
    assert summary["sent"] == 50000
    assert received(s, 50000) == [event(i, 500) for i in range(50000)]


def test_duration_ends_a_paced_feed_at_the_exact_event(link):
    s = link.join("239.1.1.1", 9000)
    summary = link.feedsim(*GROUP, "--interface", "fs0", "--rate", 2000, "--duration", 0.5)
    assert summary["sent"] == 1000
    assert len(received(s, 1000)) == 1000


def test_duration_ends_an_unpaced_feed(link):
    summary = link.feedsim(*GROUP, "--interface", "fs0", "--rate", 0, "--duration", 0.1)
    assert summary["sent"] > 0 and summary["interrupted"] is False
    assert summary["seconds"] >= 0.09


def test_lines_take_turns_over_both_families(link):
    first = link.join("239.1.1.1", 9000)
    second = link.join("239.1.1.2", 9001)
    third = link.join("ff15::1234", 9002)
    summary = link.feedsim(*GROUP, "--line", "239.1.1.2:9001", "--line", "[ff15::1234]:9002", "--interface-address",
                           "10.98.0.2", "--interface-address", "fd98::2", "--count", 3000, "--rate", 30000)
    assert summary["sent"] == 3000
    for line, s in enumerate((first, second, third)):
        assert received(s, 1000) == [event(i) for i in range(line, 3000, 3)]


def test_source_address_and_ttl(link):
    s = link.receiver.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.sockets.append(s)
    s.bind(("10.98.0.1", 9000))
    s.settimeout(20)
    s.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    link.feedsim("--group", "10.98.0.1", "--port", 9000, "--interface-address", "10.98.0.2", "--ttl", 7, "--count", 1)
    data, ancillary, _, address = s.recvmsg(2048, 64)
    assert data == event(0) and address[0] == "10.98.0.2"
    assert struct.unpack("@i", ancillary[0][2])[0] == 7


def test_loss_is_chosen_by_seed_and_counted(link):
    s = link.join("239.1.1.1", 9000)
    options = [*GROUP, "--interface", "fs0", "--count", 10000, "--rate", 100000, "--loss", 0.1]
    summary = link.feedsim(*options)
    assert summary["sent"] + summary["lost_on_purpose"] == 10000
    assert 800 < summary["lost_on_purpose"] < 1200
    first = received(s, summary["sent"])
    everything = [event(i) for i in range(10000)]
    assert set(first) < set(everything) and sorted(first, key=everything.index) == first
    assert link.feedsim(*options)["lost_on_purpose"] == summary["lost_on_purpose"]
    assert received(s, summary["sent"]) == first
    other = link.feedsim(*options, "--seed", 2)
    lost = {i for i, one in enumerate(everything) if one not in set(first)}
    kept = set(received(s, other["sent"]))
    assert {i for i in range(10000) if event(i, seed=2) not in kept} != lost


def test_all_may_be_lost(link):
    summary = link.feedsim(*GROUP, "--interface", "fs0", "--count", 1000, "--rate", 0, "--loss", 1)
    assert summary["sent"] == 0 and summary["lost_on_purpose"] == 1000


def tagged_frames(s, count):
    """Frames of the packet socket that carry a tag, with the outer one put back that the kernel takes off."""
    frames = []
    while len(frames) < count:
        data, ancillary, _, _ = s.recvmsg(65535, 256)
        for level, kind, value in ancillary:
            # struct tpacket_auxdata
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value[:20])
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA) and status & TP_STATUS_VLAN_VALID:
                frames.append(data[:12] + struct.pack("!HH", tpid, tci) + data[12:])
    return frames


@pytest.mark.parametrize("tags", [[5], [7, 8]], ids=["802.1Q", "802.1ad"])
@pytest.mark.parametrize("group", ["239.1.1.1", "ff15::5"])
def test_tagged_frames(link, tags, group):
    s = link.receiver.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    link.sockets.append(s)
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
    s.bind(("fs1", ETH_P_ALL))
    s.settimeout(20)
    options = [word for tag in tags for word in ("--vlan", tag)]
    summary = link.feedsim("--group", group, "--port", 9000, "--interface", "fs0", *options, "--count", 1000,
                           "--rate", 10000, "--ttl", 3)
    assert summary["mode"] == "packet" and summary["sent"] == 1000
    mac = link.feed.run("cat", "/sys/class/net/fs0/address").stdout.strip()
    for i, frame in enumerate(tagged_frames(s, 1000)):
        packet = Ether(frame)
        ip = packet[IPv6] if ":" in group else packet[IP]
        assert raw(packet[UDP].payload) == event(i) and recomputed(packet) == frame
        assert packet.src == mac and packet[UDP].dport == 9000
        assert ip.dst == group and ip.src == ("fd98::2" if ":" in group else "10.98.0.2")
        assert [packet[kind].vlan for kind in (Dot1AD, Dot1Q) if kind in packet] == tags


def frames_of(path):
    return [(time_, packet) for packet in PcapReader(str(path)) for time_ in [int(packet.time * 10**9)]]


def recomputed(packet):
    """the same frame with the checksums that scapy computes"""
    copy = packet.copy()
    for layer in (IP, UDP):
        if layer in copy:
            del copy[layer].chksum
    return raw(copy)


@pytest.mark.parametrize("size", [0, 63, 64, 1400])
@pytest.mark.parametrize("group", ["239.129.1.1", "ff15::a:b", "10.1.2.3"])
def test_pcap_frames_are_whole(link, tmp_path, group, size):
    path = tmp_path / "out.pcap"
    summary = link.feedsim("--group", group, "--port", 9000, "--pcap", path, "--count", 200, "--rate", 1000,
                           "--size", size, "--ttl", 9)
    assert summary["mode"] == "pcap" and summary["sent"] == 200
    assert path.read_bytes()[:4] == b"\x4d\x3c\xb2\xa1"  # nanoseconds
    frames = frames_of(path)
    assert len(frames) == 200
    assert summary["first_time_ns"] == EPOCH_NS and summary["last_time_ns"] == EPOCH_NS + 199 * 10**6
    mac = {"239.129.1.1": "01:00:5e:01:01:01", "ff15::a:b": "33:33:00:0a:00:0b", "10.1.2.3": "02:00:00:00:00:02"}
    for i, (time_ns, packet) in enumerate(frames):
        ip = packet[IPv6] if ":" in group else packet[IP]
        assert time_ns == EPOCH_NS + i * 10**6
        assert packet.dst == mac[group] and ip.dst == group and packet[UDP].dport == 9000
        assert ip.src == ("2001:db8::1" if ":" in group else "192.0.2.1")
        assert (ip.hlim if ":" in group else ip.ttl) == 9
        assert raw(packet[UDP].payload) == event(i, size=size)
        assert packet[UDP].chksum != 0 and recomputed(packet) == raw(packet)


def test_pcap_with_tags_and_addresses(link, tmp_path):
    path = tmp_path / "out.pcap"
    link.feedsim(*GROUP, "--line", "[ff15::1]:9001", "--vlan", 100, "--vlan", 200, "--pcap", path, "--count", 2,
                 "--rate", 0, "--interface-address", "10.5.5.5", "--interface-address", "fd00::5")
    first, second = [packet for _, packet in frames_of(path)]
    for packet in (first, second):
        assert packet[Dot1AD].vlan == 100 and packet[Dot1Q].vlan == 200
        assert recomputed(packet) == raw(packet)
    assert first[IP].src == "10.5.5.5" and second[IPv6].src == "fd00::5"
    assert float(second.time - first.time) == pytest.approx(1e-6)


def test_same_options_same_file(link, tmp_path):
    options = [*GROUP, "--count", 1000, "--codec", "json", "--loss", 0.2, "--seed", 5]
    first = link.feedsim(*options, "--pcap", tmp_path / "1.pcap")
    assert link.feedsim(*options, "--pcap", tmp_path / "2.pcap") == first
    assert (tmp_path / "1.pcap").read_bytes() == (tmp_path / "2.pcap").read_bytes()
    assert first["lost_on_purpose"] > 0 and first["sent"] == len(rdpcap(str(tmp_path / "1.pcap")))


def test_replay_of_its_own_file(link, tmp_path):
    first, second = link.join("239.1.1.1", 9000), link.join("ff15::1", 9001)
    path = tmp_path / "out.pcap"
    link.feedsim(*GROUP, "--line", "[ff15::1]:9001", "--pcap", path, "--count", 2000, "--rate", 10000)
    summary = link.feedsim("--replay", path, "--interface", "fs0")
    assert summary["sent"] == 2000 and summary["keys"] is None and summary["skipped"] == 0
    assert summary["seconds"] >= 0.1999  # its own timing
    assert received(first, 1000) == [event(i) for i in range(0, 2000, 2)]
    assert received(second, 1000) == [event(i) for i in range(1, 2000, 2)]


def mixed_frames():
    ether = Ether(src="02:00:00:00:00:01", dst="01:00:5e:01:01:01")
    return [
        ether / IP(dst="239.1.1.1") / UDP(sport=1, dport=9000) / Raw(b"one"),
        ether / ARP(),
        ether / Dot1Q(vlan=9) / IP(dst="239.1.1.1", options=b"\x01" * 4) / UDP(sport=1, dport=9000) / Raw(b"two"),
        ether / IP(dst="239.1.1.1", flags="MF") / UDP(sport=1, dport=9000) / Raw(b"fragment"),
        # as captured on a sender whose hardware fills the checksum in
        ether / IP(dst="239.1.1.2") / UDP(sport=1, dport=9000, chksum=1) / Raw(b"three"),
        ether / IP(dst="239.1.1.1") / UDP(sport=1, dport=9000) / Raw(b""),
    ]


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_replay_of_foreign_files(link, tmp_path, form):
    path = str(tmp_path / f"in.{form}")
    frames = mixed_frames()
    for i, frame in enumerate(frames):
        frame.time = 1000 + i / 1000
    if form == "pcap":
        wrpcap(path, frames)
    else:
        with PcapNgWriter(path) as writer:
            for frame in frames:
                writer.write(frame)
    first, second = link.join("239.1.1.1", 9000), link.join("239.1.1.2", 9000)
    summary = link.feedsim("--replay", path, "--interface", "fs0")
    assert summary["sent"] == 4 and summary["skipped"] == 2
    assert received(first, 3) == [b"one", b"two", b""]
    assert received(second, 1) == [b"three"]


def test_replay_elsewhere_in_loops_at_a_rate(link, tmp_path):
    path = tmp_path / "in.pcap"
    wrpcap(str(path), mixed_frames())
    first, second = link.join("239.1.1.7", 9007), link.join("239.1.1.8", 9008)
    summary = link.feedsim("--replay", path, "--group", "239.1.1.7", "--port", 9007, "--line", "239.1.1.8:9008",
                           "--interface", "fs0", "--loop", 3, "--rate", 1000)
    assert summary["sent"] == 12 and summary["skipped"] == 6
    assert received(first, 6) == [b"one", b"three"] * 3
    assert received(second, 6) == [b"two", b""] * 3


def test_replay_speed_scales_its_own_timing(link, tmp_path):
    source, out = tmp_path / "in.pcap", tmp_path / "out.pcap"
    frames = [Ether() / IP(dst="239.1.1.1") / UDP(dport=9000) / Raw(b"%d" % i) for i in range(4)]
    for frame, seconds in zip(frames, (100.0, 101.0, 100.5, 104.0)):
        frame.time = seconds
    wrpcap(str(source), frames)
    link.feedsim("--replay", source, "--speed", 2, "--loop", 2, "--pcap", out)
    # the frame that went back in time waits for no one; the second pass begins where the first ended
    assert [time_ - EPOCH_NS for time_, _ in frames_of(out)] == [
        int(seconds * 10**9) for seconds in (0, 0.5, 0.5, 2, 2, 2.5, 2.5, 4)]


def test_count_ends_an_endless_replay(link, tmp_path):
    path = tmp_path / "in.pcap"
    wrpcap(str(path), mixed_frames())
    s = link.join("239.1.1.7", 9007)
    summary = link.feedsim("--replay", path, "--group", "239.1.1.7", "--port", 9007, "--interface", "fs0", "--loop", 0,
                           "--rate", 0, "--count", 1001)
    assert summary["sent"] == 1001
    assert received(s, 1001) == ([b"one", b"two", b"three", b""] * 251)[:1001]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_with_a_summary(link, number):
    s = link.join("239.1.1.1", 9000)
    process = link.feed.spawn(FEEDSIM, *GROUP, "--interface", "fs0", "--rate", 500, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    try:
        assert select.select([s], [], [], 20)[0], "nothing came"
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    finally:
        sandbox.kill_and_wait(process)
    summary = json.loads(output)
    assert process.returncode == 0 and errors == ""
    assert summary["interrupted"] is True and summary["sent"] >= 1
    assert received(s, summary["sent"]) == [event(i) for i in range(summary["sent"])]


def test_progress_is_for_terminals(link):
    main, side = pty.openpty()
    options = [*GROUP, "--interface", "fs0", "--count", 10, "--progress"]
    try:
        done = link.feed.run(FEEDSIM, *options, stdout=subprocess.PIPE, stderr=side)
        shown = os.read(main, 4096).decode()
    finally:
        os.close(main)
        os.close(side)
    assert json.loads(done.stdout)["sent"] == 10
    assert "feedsim: 10 sent of 10" in shown and shown.endswith("\n")
    assert link.feed.run(FEEDSIM, *options).stderr == ""


def fails(link, options, status, *words):
    """one clear line, nothing else"""
    done = link.feed.run(FEEDSIM, *options, check=False)
    assert done.returncode == status
    assert done.stderr.startswith("feedsim: ") and done.stderr.count("\n") == 1 and done.stderr.endswith("\n")
    for word in words:
        assert word in done.stderr
    return done.stdout


@pytest.mark.parametrize("options, words", [
    ([], ["--group", "--port", "--line"]),
    (["--group", "239.1.1.1"], ["--group", "--port", "both"]),
    (["--port", "9000"], ["--group", "--port", "both"]),
    (["--group", "239.1.1", "--port", "9000"], ["--group", "239.1.1", "IPv4 or IPv6"]),
    (["--group", "239.1.1.1", "--port", "0"], ["--port", "'0'", "1..65535"]),
    (["--group", "239.1.1.1", "--port", "65536"], ["--port", "'65536'", "1..65535"]),
    (["--line", "239.1.1.1"], ["--line", "239.1.1.1:9000"]),
    (["--line", "ff15::1:9000"], ["--line", "[ff15::1]:9000"]),
    (["--line", ":9000"], ["--line"]),
    (["--line", "[]:9000"], ["--line"]),
    ([*GROUP, "--rate", "-1"], ["--rate", "'-1'"]),
    ([*GROUP, "--rate", "fast"], ["--rate", "'fast'"]),
    ([*GROUP, "--rate", "1e300"], ["--rate", "'1e300'"]),
    ([*GROUP, "--count", "0"], ["--count", "'0'"]),
    ([*GROUP, "--count", "1k"], ["--count", "'1k'"]),
    ([*GROUP, "--duration", "0"], ["--duration", "'0'"]),
    ([*GROUP, "--keys", "0"], ["--keys", "1..100000000"]),
    ([*GROUP, "--key-prefix", 'a"b'], ["--key-prefix", "quote"]),
    ([*GROUP, "--key-prefix", "k" * 49], ["--key-prefix", "48"]),
    ([*GROUP, "--size", "65001"], ["--size", "65000"]),
    ([*GROUP, "--framing", "moldudp64"], ["--framing", "moldudp64", "raw"]),
    ([*GROUP, "--codec", "xml"], ["--codec", "xml", "keyed, json, fixed"]),
    ([*GROUP, "--loss", "1.1"], ["--loss", "'1.1'", "0..1"]),
    ([*GROUP, "--loss", "nan"], ["--loss", "'nan'"]),
    ([*GROUP, "--ttl", "0"], ["--ttl", "1..255"]),
    ([*GROUP, "--seed", "x"], ["--seed", "'x'"]),
    ([*GROUP, "--interface", "nosuch0"], ["--interface", "nosuch0", "ip link"]),
    ([*GROUP, "--interface-address", "10.98.0"], ["--interface-address", "10.98.0"]),
    ([*GROUP, "--interface-address", "10.98.0.99"], ["IPv4", "assign", "--interface-address"]),
    ([*GROUP, "--interface-address", "fd98::99"], ["--interface-address", "IPv6"]),
    (["--group", "ff15::1", "--port", "9000"], ["IPv6", "--interface"]),
    ([*GROUP, "--vlan", "5"], ["--vlan", "--interface"]),
    ([*GROUP, "--vlan", "4095", "--interface", "fs0"], ["--vlan", "0..4094"]),
    ([*GROUP, *["--vlan", "5"] * 3, "--interface", "fs0"], ["--vlan", "two"]),
    (["--group", "10.98.0.1", "--port", "9", "--vlan", "5", "--interface", "fs0"], ["--vlan", "multicast"]),
    ([*GROUP, "--pcap", "/nonexistent/x.pcap", "--count", "1"], ["--pcap", "/nonexistent/x.pcap", "No such file"]),
    ([*GROUP, "--pcap", "x.pcap"], ["--pcap", "--count", "--duration"]),
    (["--replay", "/nonexistent/x.pcap"], ["--replay", "/nonexistent/x.pcap", "No such file"]),
    (["--replay", "/etc/passwd"], ["--replay", "/etc/passwd", "pcapng"]),
    ([*GROUP, "--speed", "2"], ["--speed", "--replay"]),
    ([*GROUP, "--loop", "2"], ["--loop", "--replay"]),
    (["--replay", "x", "--speed", "2", "--rate", "5"], ["--speed", "--rate"]),
    ([*GROUP, "--nosuch"], ["--nosuch", "--help"]),
    ([*GROUP, "--rate"], ["--rate", "value"]),
    ([*GROUP, "-x"], ["-x", "--help"]),
    ([*GROUP, "extra"], ["extra", "--help"]),
], ids=lambda value: " ".join(map(str, value))[-40:] or "none")
def test_bad_arguments(link, options, words):
    s = link.join("239.1.1.1", 9000)
    assert fails(link, options, 2, *words) == ""
    assert received(s, 0) == []


def test_replay_of_other_link_types(link, tmp_path):
    path = tmp_path / "in.pcap"
    wrpcap(str(path), [IP(dst="239.1.1.1") / UDP()], linktype=101)
    assert fails(link, ["--replay", path], 2, "--replay", str(path), "Ethernet") == ""


def test_replay_of_a_torn_file(link, tmp_path):
    path = tmp_path / "in.pcap"
    wrpcap(str(path), mixed_frames())
    path.write_bytes(path.read_bytes()[:-10])
    summary = json.loads(fails(link, ["--replay", path, "--interface", "fs0", "--rate", "0"], 1, str(path), "truncated"))
    assert summary["sent"] == 3 and summary["skipped"] == 2


def test_endless_replay_of_nothing(link, tmp_path):
    path = tmp_path / "in.pcap"
    wrpcap(str(path), [Ether() / ARP()])
    assert link.feedsim("--replay", path)["skipped"] == 1
    assert json.loads(fails(link, ["--replay", path, "--loop", "0"], 1, str(path), "no UDP datagram"))["sent"] == 0


def test_no_route(link):
    summary = json.loads(fails(link, ["--group", "203.0.113.1", "--port", "9000", "--count", "5"], 1,
                               "203.0.113.1:9000", "unreachable", "--interface-address"))
    assert summary["sent"] == 0


def test_frame_above_the_mtu(link):
    summary = json.loads(fails(link, [*GROUP, "--interface", "fs0", "--vlan", "5", "--count", "5", "--size", "3000"], 1,
                               "fs0", "too long", "--size"))
    assert summary["sent"] == 0


def test_file_system_full(link):
    fails(link, [*GROUP, "--pcap", "/dev/full", "--count", "100000", "--rate", "0"], 1, "/dev/full")


def test_help_and_version(link):
    usage = link.feed.run(FEEDSIM, "--help").stdout
    for option in ("group port line interface-address interface ttl vlan rate count duration keys key-prefix size "
                   "framing codec loss seed pcap replay speed loop progress").split():
        assert f"\n  --{option} " in usage
    assert "SEED:KEY:n:" in usage
    assert link.feed.run(FEEDSIM, "--version").stdout.startswith("feedsim ")
