# SPDX-License-Identifier: Apache-2.0
"""What operators rely on: quiet when idle, bounded memory, HTTP that cannot disturb, DPDK's own tools."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import psutil
import pytest

import checks
import sandbox
import senders
from appliance import BUILD, PATIENCE, SANITIZED, af_packet, program, wait_for

CALM = {"p99_degraded_us": 1e9, "p99_unhealthy_us": 1e9, "silent_feed_s": 0}


def cpu_share(pid, seconds):
    """processor time of a process over a span, as a share of one core"""
    process = psutil.Process(pid)
    before, start = process.cpu_times(), time.monotonic()
    time.sleep(seconds)  # the span that is measured
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / (time.monotonic() - start)


@pytest.mark.skipif(SANITIZED, reason="a figure of the real program, not of the sanitized one")
def test_idle_takes_little_cpu(engine):
    """idle = adaptive: below 10 % of one core for the whole process"""
    wait_for(lambda: engine.stats()["uptime_s"] >= 3, 20, "naps have grown")
    shares = [cpu_share(engine.pid, 10)]
    if shares[0] >= 0.10:
        shares.append(cpu_share(engine.pid, 10))
    print("idle:", ", ".join(f"{100 * s:.1f} % of a core" for s in shares))
    assert min(shares) < 0.10, shares


@pytest.mark.skipif(SANITIZED, reason="a figure of the real program, not of the sanitized one")
def test_memory_is_bounded(engine, wire):
    """resident memory does not grow with events, and keeps to what docs/operations.md states"""
    senders.send_keyed(wire, checks.make_events(20000), rate=20000)
    wait_for(lambda: engine.stats()["frames_seen_total"] >= 20000, 30, lambda: engine.stats())
    engine.rest()
    before = psutil.Process(engine.pid).memory_info().rss
    for i in range(3):
        senders.send_keyed(wire, checks.make_events(40000, start=20000 + 40000 * i), rate=30000)
    wait_for(lambda: engine.stats()["frames_seen_total"] >= 140000, 30, lambda: engine.stats())
    engine.rest()
    after = psutil.Process(engine.pid).memory_info().rss
    print(f"resident: {before / 1e6:.0f} MB, after 120,000 events more {after / 1e6:.0f} MB")
    # the memlog's pages (16 MiB) and the packet pool are touched little by little
    assert after - before < 48 << 20
    assert after < 400 << 20


def open_descriptors(engine):
    return len(os.listdir(f"/proc/{engine.pid}/fd"))


@pytest.mark.timeout(300)
def test_http_load_does_not_disturb_a_feed(make_wire, make_engine, soak):
    """wrk and slow clients of every kind while a feed runs: no drop, no descriptor left open"""
    wire = make_wire()
    engine = make_engine(wire, {"http": {"request_timeout_ms": 2000, "connections": 256}, "health": CALM,
                                "port nic0": {"device": af_packet(framecnt=32768)},
                                "dataplane": {"ring_size": 65536}}).start()
    descriptors = open_descriptors(engine)
    seconds = 30 if soak else 8
    feed = senders.Background(wire, rate=5000)
    wait_for(lambda: engine.stats()["fast_path_count"] > 1000, 30, lambda: engine.stats())
    load = wire.appliance.spawn("wrk", "-t1", "-c32", f"-d{seconds}s", f"http://{engine.address}/stats",
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    slow = []
    deadline = time.monotonic() + seconds
    hostile = [b"", b"G", b"GET /stats HTTP/1.1\r\n", b"GET /stats HTTP/1.1\r\nX: " + b"y" * 100,
               b"POST /events?key=A HTTP/1.1\r\nContent-Length: 8000\r\n\r\n", b"\x00\xff" * 50,
               b"POST /events?key=A HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"]
    while time.monotonic() < deadline:
        if len(slow) < 150:
            try:
                s = wire.appliance.connect("127.0.0.1", 8080, 2)
                s.sendall(hostile[len(slow) % len(hostile)])
                slow.append(s)
            except OSError:
                pass  # refused: it may
        for s in slow:
            try:
                s.send(b"x")  # one byte now and then
            except OSError:
                pass  # thrown out: as it should be
        time.sleep(0.1)  # a slow client's pace
    output, _ = load.communicate(timeout=60)
    assert engine.running, engine.log()
    for s in slow:
        s.close()
    sent = feed.stop()
    wait_for(lambda: engine.stats()["frames_seen_total"] >= len(sent), 30, lambda: engine.stats())
    stats = engine.rest()
    checks.laws(stats)
    assert stats["fast_path_drops_total"] == 0
    assert re.search(r"\b\d+ requests in", output.decode()), output.decode()
    engine.http.close()
    wait_for(lambda: open_descriptors(engine) <= descriptors, 20,
             lambda: f"descriptors: {descriptors} before, {open_descriptors(engine)} after")
    engine.stop()
    records = checks.events(engine.journal(), "ticks")
    checks.exactly(records, sent)


def test_metrics_pass_promtool(engine, wire):
    """/metrics under load is what promtool takes, and agrees with /stats"""
    if shutil.which("promtool") is None:
        pytest.skip("no promtool here")
    senders.send_keyed(wire, checks.make_events(5000))
    wait_for(lambda: engine.stats()["fast_path_count"] >= 5000, 30, lambda: engine.stats())
    engine.rest()
    text = engine.metrics()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    # the names are a contract, and say microseconds: promtool would rather have seconds, and says nothing else
    complaints = [line for line in (done.stdout + done.stderr).splitlines()
                  if not line.endswith('use base unit "seconds" instead of "microseconds"')]
    assert complaints == [] and done.returncode in (0, 3), done.stdout + done.stderr
    assert re.search(r"^fast_path_events_total(\{\})? 5000$", text, re.M), text[:2000]


def telemetry(prefix, command):
    """what DPDK's own client prints for one command"""
    done = subprocess.run(["dpdk-telemetry.py", "-f", prefix], input=command + "\n", capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in re.findall(r"\{.*\}", done.stdout)]
    return {k: v for answer in answers for k, v in answer.items()}


def test_dpdk_telemetry(engine, wire):
    """dpdk-telemetry.py shows the endpoints below /fastpath, with the figures of /stats"""
    senders.send_keyed(wire, checks.make_events(1000))
    wait_for(lambda: engine.stats()["fast_path_count"] >= 1000, 30, lambda: engine.stats())
    prefix = "fastpath-" + engine.settings["engine"]["id"]
    listed = telemetry(prefix, "/")
    assert any(name.startswith("/fastpath/") for name in listed["/"]), listed
    # the figures it shows are taken once a second
    shown = wait_for(lambda: [s for s in [telemetry(prefix, "/fastpath/stats")["/fastpath/stats"]] if s["journaled"]],
                     10, "telemetry's next second")[0]
    assert shown["journaled"] == 1000 and shown["messages"] == 1000, shown
    assert "/ethdev/stats" in listed["/"]
    assert telemetry(prefix, "/fastpath/kafka")["/fastpath/kafka"]["state"] == "off"


def test_dpdk_dumpcap(make_wire, make_engine, huge, tmp_path):
    """dpdk-dumpcap captures what the port takes"""
    if not huge:
        pytest.skip("DPDK's secondary processes need hugepages")
    wire = make_wire()
    engine = make_engine(wire, huge=True).start()
    prefix = "fastpath-" + engine.settings["engine"]["id"]
    out = tmp_path / "capture.pcapng"
    capture = sandbox.spawn(["dpdk-dumpcap", f"--file-prefix={prefix}", "-i", "0", "-c", "100", "-w", out],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    feed = senders.Background(wire, rate=1000)
    try:
        capture.wait(timeout=30 * PATIENCE)
    finally:
        if capture.poll() is None:
            capture.send_signal(signal.SIGKILL)
        feed.stop()
    assert capture.returncode == 0, capture.stdout.read()
    shown = subprocess.run(["tcpdump", "-n", "-r", out], capture_output=True, text=True, check=False)
    # it stops behind the burst in which the hundredth came
    assert 100 <= shown.stdout.count("239.1.1.1.9000") < 200, shown.stderr
    checks.laws(engine.rest())


def test_capabilities_and_modes(engine):
    """after the start only what is needed is left; journal files are for the owner alone"""
    status = open(f"/proc/{engine.pid}/status", encoding="ascii").read()
    effective = int(re.search(r"CapEff:\s*(\w+)", status)[1], 16)
    setuid, sys_admin = 7, 21
    assert not effective >> sys_admin & 1 and not effective >> setuid & 1, hex(effective)
    assert bin(effective).count("1") <= 6, hex(effective)
    assert engine.post("A", b"x").status_code == 200
    for name in os.listdir(engine.journal_dir):
        path = os.path.join(engine.journal_dir, name)
        mode = os.stat(path).st_mode & 0o777
        assert mode == (0o700 if os.path.isdir(path) else 0o600), (name, oct(mode))
    engine.stop()


def test_every_thread_is_without_privileges(engine):
    """no thread keeps a capability or the way back to one, not even those that are made later"""
    prefix = "fastpath-" + engine.settings["engine"]["id"]
    client = subprocess.Popen(["dpdk-telemetry.py", "-f", prefix], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    tasks = f"/proc/{engine.pid}/task"
    before = len(os.listdir(tasks))
    try:
        client.stdin.write(b"/\n")
        client.stdin.flush()
        wait_for(lambda: len(os.listdir(tasks)) > before or client.stdout.readline(), 20, "a telemetry thread")
        for tid in os.listdir(tasks):
            with open(f"{tasks}/{tid}/status", encoding="ascii") as file:
                status = file.read()
            for field in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                assert int(re.search(rf"^{field}:\s*(\w+)", status, re.M)[1], 16) == 0, status
            assert re.search(r"^NoNewPrivs:\s*1$", status, re.M), status
    finally:
        client.communicate(timeout=30)


def test_figures_of_a_disk_behind_closed_doors(make_engine, netns, tmp_path):
    """a journal below a directory that only another user may enter: its free space is known all the same"""
    door = tmp_path / "door"
    door.mkdir(mode=0o700)
    os.chown(door, 65534, 65534)
    engine = make_engine(netns, {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None,
                                 "journal": {"dir": str(door / "journal")}}).start()
    assert engine.stats()["disk_free_bytes"] > 0
    engine.stop()


def test_no_huge_on_the_command_line(make_engine, netns, huge):
    """fastpath --no-huge -- ...: memory is planned for it, though hugepages are free"""
    if not huge:
        pytest.skip("of interest only where there are hugepages")
    engine = make_engine(netns, {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None}, huge=True)
    command = [program("fastpath"), "--no-huge", "--", "--config", engine.ini_path]
    engine.command = lambda: netns.command(*command)
    engine.start()
    assert "hugepages none" in engine.log()
    assert engine.memlogs()[0].startswith("/dev/shm/")
    engine.stop()


def test_signals(http_engine):
    """SIGINT and SIGHUP stop as SIGTERM does; SIGPIPE does not kill"""
    os.kill(http_engine.pid, signal.SIGPIPE)
    assert http_engine.post("A", b"x").status_code == 200
    http_engine.stop(sig=signal.SIGINT)
    assert len(http_engine.journal()) == 1
    http_engine.start()
    assert http_engine.post("A", b"y").status_code == 200
    os.kill(http_engine.pid, signal.SIGHUP)
    http_engine.stop(sig=signal.SIGHUP)
    assert http_engine.memlogs() == []
    assert len(http_engine.journal()) == 2


def test_versions():
    for name in ("fastpath", "fastpathctl", "feedsim"):
        done = subprocess.run([program(name), "--version"], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and re.match(rf"{name} \S+", done.stdout), (BUILD, done)


def test_a_peer_that_goes(netns, make_engine, tmp_path):
    """net_memif forgets its counts with its peer: the law of frames holds on what it handed over"""
    path = tmp_path / "memif"
    engine = make_engine(netns, {"port nic0": {"device": f"net_memif0,role=server,socket={path},socket-abstract=no"},
                                 "dataplane": {"idle": "adaptive"}}).start()
    for _ in range(2):
        before = engine.stats()["frames_seen_total"]
        peer = subprocess.Popen(netns.command(
            "dpdk-testpmd", "--no-pci", "--no-huge", "-m", "128", "--no-telemetry", f"--file-prefix=peer{os.getpid()}",
            "--lcores=0,1", f"--vdev=net_memif0,role=client,socket={path},socket-abstract=no", "--",
            "--forward-mode=txonly", "--auto-start", "--total-num-mbufs=2048", "--stats-period=60"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: engine.stats()["frames_seen_total"] > before, 60, lambda: f"frames: {engine.log()}")
        finally:
            peer.kill()
            said = peer.communicate(timeout=30)[0]
        stats = engine.rest()
        checks.laws(stats)
        assert stats["frames_seen_total"] > before, said
    assert stats["port_nic0_loss_known"] == 0


def test_follow_beside_a_feed(make_engine, wire):
    """a record that the filter wants is printed soon, while the journal is busy with others"""
    engine = make_engine(wire, {"eal": {"lcores": "0@0,1@1"}, "dataplane": {"rx_lcores": "1", "worker_lcores": "1"},
                                "journal": {"memory_mb": 64, "segment_mb": 64}}).start()
    feed = wire.feed.spawn(program("feedsim"), "--group", "239.1.1.1", "--port", "9000", "--interface-address", "10.99.0.2",
                           "--rate", "20000", stdout=subprocess.DEVNULL)
    wait_for(lambda: engine.stats()["fast_path_count"] > 1000, 30, engine.stats)
    follower = sandbox.spawn([program("fastpathctl"), "journal", "cat", "--follow", "--key", "RARE", "--limit", "2",
                              engine.journal_dir], stdout=subprocess.PIPE)
    os.set_blocking(follower.stdout.fileno(), False)
    try:
        for number in range(2):
            assert engine.post("RARE", b"%d" % number).status_code == 200
            line = wait_for(follower.stdout.readline, 10, "a line of what is followed")
            assert json.loads(line)["payload"] == str(number)
        assert follower.wait(timeout=30) == 0
    finally:
        follower.kill()
        follower.wait(timeout=30)
        follower.stdout.close()
        feed.kill()
        feed.wait(timeout=30)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["doctor"], ["doctor", "--json"], ["status", "--help"]],
                         ids=" ".join)
def test_a_full_standard_output_is_an_error_and_a_reader_that_leaves_is_none(arguments):
    with open("/dev/full", "w", encoding="ascii") as full:
        said = subprocess.run([program("fastpathctl"), *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert said.returncode == 1
    assert said.stderr == "fastpathctl: standard output: No space left on device\n"
    with open(os.devnull, "w", encoding="ascii") as null:
        expected = subprocess.run([program("fastpathctl"), *arguments], stdout=null, timeout=60, check=False).returncode
    reader, writer = os.pipe()
    os.close(reader)
    said = subprocess.run([program("fastpathctl"), *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert (said.returncode, said.stderr) == (expected, "")


def test_top_into_a_full_disk_ends(engine):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(engine.netns.command(program("fastpathctl"), "top", "--url", f"http://{engine.address}"), stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "fastpathctl: standard output: not all could be written\n")


def test_top_ends_with_its_reader(engine):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(engine.netns.command(program("fastpathctl"), "top", "--url", f"http://{engine.address}"), stdout=writer,
                          stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
