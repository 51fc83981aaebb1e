# SPDX-License-Identifier: Apache-2.0
"""POST /drain and fastpathctl drain: delivered, handed over, stopped; and what they say when something is left."""
import itertools
import json
import signal
import subprocess
import threading
import time

import pytest

import bridge
from appliance import PATIENCE, program, wait_for
from etcd_server import REGISTRY
from test_etcd import etcd_version, http_only, make_etcd, owned  # noqa: F401, pylint: disable=unused-import

HTTP_ONLY = {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None}


def drain(engine, *arguments, check=True):
    """fastpathctl drain, beside the engine; returns (exit status, lines)"""
    done = engine.netns.run(program("fastpathctl"), "drain", "--url", f"http://{engine.address}", *arguments, check=False,
                            timeout=120 * PATIENCE)
    if check:
        assert done.returncode == 0 and done.stderr == "", f"{done}\n{engine.log()}"
    return done.returncode, done.stdout.splitlines(), done.stderr


def settled(leader, others, keys):
    """each has its share, and the elected engine has stopped moving keys"""
    seen = [None, 0.0]

    def still():
        moves = leader.stats()["etcd_moves_total"]
        if moves != seen[0]:
            seen[:] = [moves, time.monotonic()]
        sets = [owned(one) for one in (leader, *others)]
        return time.monotonic() - seen[1] > 1 and all(sets) and set().union(*sets) == set(keys) \
            and sum(map(len, sets)) == len(keys)
    wait_for(still, 60, lambda: [owned(one) for one in (leader, *others)])


def ended(engine, status=0):
    assert engine.process.wait(timeout=30 * PATIENCE) == status, engine.log()


def test_without_etcd(http_engine):
    for i in range(20):
        assert http_engine.post("A", b"%d" % i).status_code == 200
    _, lines, _ = drain(http_engine)
    assert lines[0] == f"{http_engine.settings['engine']['id']} is draining"
    assert lines[-1] == "everything is on the disk; there are no keys to hand over: ownership is all"
    ended(http_engine)
    assert f"drained: {lines[-1]}" in http_engine.log()
    assert len(http_engine.journal()) == 20 and http_engine.memlogs() == []


def test_a_feed_that_does_not_pause(engine, wire):
    """all that the port had taken is in the journal, and the laws hold"""
    feed = wire.feed.spawn(program("feedsim"), "--group", "239.1.1.1", "--port", "9000", "--interface-address",
                           "10.99.0.2", "--rate", "20000", "--duration", "60", stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: engine.stats()["fast_path_count"] > 20000, 60, "events")
        drain(engine)
        ended(engine)
    finally:
        feed.kill()
        feed.wait()
    totals = [line for line in engine.log().splitlines() if "stopped: " in line][-1]
    journaled = int(totals.split(" journaled")[0].rsplit(" ", 1)[1])
    assert journaled > 20000 and totals.endswith("lag 0"), totals
    assert len(engine.journal()) == journaled


@pytest.mark.timeout(300)
def test_keys_go_to_the_others(netns, broker, topic, make_etcd, make_engine):  # noqa: F811
    """two engines with ownership.assign = auto: the elected one is drained. Kafka has all of its events, the other one
    has all keys, and goes on with them"""
    broker.attach(netns)
    etcd = make_etcd(netns)
    auto = {"ownership": {"mode": "etcd", "assign": "auto"}} | bridge.settings(broker, topic)
    first = make_engine(netns, http_only(etcd, "e1", 8080) | auto | {"http": {"listen": "127.0.0.1:8080"}}).start()
    keys = [f"K{i}" for i in range(40)]
    etcd.assign(keys, "e1")
    wait_for(lambda: owned(first) == set(keys), 20, lambda: owned(first))
    second = make_engine(netns, http_only(etcd, "e2", 8081) | auto | {"http": {"listen": "127.0.0.1:8081"}}).start()
    settled(first, [second], keys)
    own = sorted(owned(first))
    for key in own:
        assert first.post(key, b"before").status_code == 200
    _, lines, _ = drain(first, "--timeout", "60")
    assert lines[-1] == f"everything is delivered to Kafka; {len(own)} keys have new owners"
    ended(first)
    assert owned(second) == set(keys)
    assert set(etcd.items(REGISTRY)) == {REGISTRY + "e2"}
    assert second.post(own[0], b"after").status_code == 200
    wait_for(lambda: len(broker.read(topic)) > len(own), 60, lambda: broker.read(topic))
    got = [(r.key, r.value) for r in broker.read(topic)]
    assert sorted(got) == sorted([(k.encode(), b"before") for k in own] + [(own[0].encode(), b"after")])
    assert [value for key, value in got if key == own[0].encode()] == [b"before", b"after"]
    # it comes back as a new one does
    first.start()
    wait_for(lambda: owned(first), 30, "keys for the one that is back")


def test_nobody_to_take_them(netns, make_etcd, make_engine):  # noqa: F811
    etcd = make_etcd(netns)
    etcd.assign(["A", "B"], "e1")
    engine = make_engine(netns, http_only(etcd, "e1", ownership={"mode": "etcd", "assign": "auto"})).start()
    wait_for(lambda: owned(engine) == {"A", "B"}, 20, lambda: owned(engine))
    status, lines, error = drain(engine, check=False)
    assert status == 1 and error == "fastpathctl: the engine has stopped, and something is left: see above\n"
    assert lines[-1] == "everything is on the disk; 2 keys stay assigned to e1: no other engine is registered"
    ended(engine)
    assert etcd.items(REGISTRY) == {}


def test_nothing_to_give(netns, make_etcd, make_engine):  # noqa: F811
    etcd = make_etcd(netns)
    engine = make_engine(netns, http_only(etcd, "e1", ownership={"mode": "etcd", "assign": "auto"})).start()
    _, lines, _ = drain(engine)
    assert lines[-1] == "everything is on the disk; it had no keys"
    ended(engine)
    assert etcd.items(REGISTRY) == {}


def test_nobody_wants_them(netns, make_etcd, make_engine):  # noqa: F811
    """the other engine does not stand for election, so the wait ends with --timeout"""
    etcd = make_etcd(netns)
    keys = [f"K{i}" for i in range(20)]
    etcd.assign(keys, "e1")
    other = make_engine(netns, http_only(etcd, "e2", 8081)).start()
    engine = make_engine(netns, http_only(etcd, "e1", ownership={"mode": "etcd", "assign": "auto"})).start()
    settled(engine, [other], keys)
    mine = len(owned(engine))
    status, lines, _ = drain(engine, "--timeout", "1", check=False)
    assert status == 1
    assert lines[-1].startswith(f"everything is on the disk; {mine} of {mine} keys are still assigned to e1: "
                                "do the others have ownership.assign = auto"), lines
    ended(engine)


def test_by_hand(netns, make_etcd, make_engine):  # noqa: F811
    etcd = make_etcd(netns)
    etcd.assign(["A"], "e1")
    engine = make_engine(netns, http_only(etcd, "e1")).start()
    wait_for(lambda: owned(engine) == {"A"}, 20, lambda: owned(engine))
    status, lines, _ = drain(engine, check=False)
    assert status == 1
    assert lines[-1] == ("everything is on the disk; 1 keys stay assigned to e1, since ownership.assign is manual: "
                         "fastpathctl assign or move gives them to others")
    ended(engine)


def test_kafka_away(make_engine, netns):
    """it waits as long as it was told, says what is left, and goes on answering meanwhile"""
    engine = make_engine(netns, HTTP_ONLY | {"kafka": {"enable": 1, "bootstrap_servers": "127.0.0.1:1"}}).start()
    for _ in range(7):
        assert engine.post("A", b"x").status_code == 200
    begun = engine.http.post(f"http://{engine.address}/drain?timeout=5", timeout=10 * PATIENCE)
    assert begun.status_code == 202 and begun.json()["engine"] == engine.settings["engine"]["id"]
    wait_for(lambda: engine.get("/drain").json()["state"] == "kafka", 5, lambda: engine.get("/drain").text)
    assert engine.get("/drain").json()["kafka_bridge_lag"] == 7
    ready = engine.get("/health/ready")
    assert ready.status_code == 503 and ready.json()["draining"] is True
    assert engine.get("/health/live").status_code == 200, "a restart would not help"
    refused = engine.post("A", b"x")
    assert refused.status_code == 503 and refused.json()["error"] == "DRAINING"
    again = engine.http.post(f"http://{engine.address}/drain", timeout=10 * PATIENCE)
    assert again.status_code == 409 and again.json()["error"] == "DRAINING"
    # whoever comes later sees the same end
    status, lines, error = drain(engine, check=False)
    assert status == 1 and "something is left" in error
    assert lines[0] == "it is draining already" and "kafka: 7 records to deliver" in lines
    assert lines[-1].startswith("Kafka did not take 7 records in time: the next start delivers them; "), lines
    ended(engine)
    assert len(engine.journal()) == 7


def test_signals_meanwhile(make_engine, netns):
    """SIGTERM, as Kubernetes sends it behind a preStop hook, changes nothing; a second one ends the wait"""
    engine = make_engine(netns, HTTP_ONLY | {"kafka": {"enable": 1, "bootstrap_servers": "127.0.0.1:1"}}).start()
    assert engine.post("A", b"x").status_code == 200
    engine.http.post(f"http://{engine.address}/drain?timeout=600", timeout=10 * PATIENCE)
    wait_for(lambda: engine.get("/drain").json()["state"] == "kafka", 5, lambda: engine.get("/drain").text)
    engine.process.send_signal(signal.SIGTERM)
    wait_for(lambda: engine.get("/drain").json()["state"] == "kafka", 5, "it goes on")
    engine.process.send_signal(signal.SIGTERM)
    ended(engine)
    assert "not waiting for Kafka any more" in engine.log()
    assert len(engine.journal()) == 1


def test_killed_meanwhile(make_engine, netns):
    engine = make_engine(netns, HTTP_ONLY | {"kafka": {"enable": 1, "bootstrap_servers": "127.0.0.1:1"}}).start()
    assert engine.post("A", b"x").status_code == 200
    command = netns.spawn(program("fastpathctl"), "drain", "--timeout", "600", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "kafka: 1 records to deliver\n" in iter(command.stdout.readline, ""), "it is shown as it goes"
    engine.kill9()
    _, err = command.communicate(timeout=30 * PATIENCE)
    assert command.returncode == 1
    assert err == "fastpathctl: the engine ended before it said how: see its log\n"


ENDED = {"engine": "e1", "state": "ended", "complete": True, "message": "all is well"}


@pytest.mark.parametrize("answers, words", [
    ([(503, {"error": "STARTING", "message": "the engine is starting"})], "http://127.0.0.1:8080/drain: the engine is starting"),
    ([(200, {})], "status 200, and the answer is not about draining: is it fastpath?"),
    ([(202, ENDED | {"state": "rings"}), (404, {"message": "no\033[2Jsuch path"})], "/drain: no?[2Jsuch path"),
    ([(202, ENDED | {"state": "rings"}), (200, ENDED)], "the engine is drained, and yet it does not stop: see its log"),
], ids=["starting", "other", "no longer", "stays"])
def test_strange_engines(netns, answers, words):
    """one after the other, the last one for ever"""
    server = netns.socket()
    server.bind(("127.0.0.1", 8080))
    server.listen()

    def serve():
        for i in itertools.count():
            try:
                client, _ = server.accept()
            except OSError:
                return  # the test is over
            status, body = answers[min(i, len(answers) - 1)]
            text = json.dumps(body).encode()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (status, len(text), text))
    threading.Thread(target=serve, daemon=True).start()
    done = netns.run(program("fastpathctl"), "drain", check=False, timeout=60 * PATIENCE)
    server.close()
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and words in done.stderr, done


def test_who_may(make_engine, wire, tmp_path):
    """without a token only this host; with one whoever has it"""
    engine = make_engine(wire, {"http": {"listen": "0.0.0.0:8080"}}).start()
    wire.appliance.run("ip", "address", "replace", "10.99.0.1/24", "dev", "fp0", check=False)
    url = "http://10.99.0.1:8080"

    def from_outside(*arguments):
        return wire.feed.run(program("fastpathctl"), "drain", "--url", url, *arguments, check=False, timeout=60 * PATIENCE)
    done = from_outside()
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (f"fastpathctl: {url}/drain: without a token only this host may drain the engine, over loopback; "
                           "set http.token_file (HTTP_TOKEN_FILE) to allow it from elsewhere\n")
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    token.chmod(0o600)
    engine.restart({"http": {"token_file": str(token)}})
    done = from_outside()
    assert done.returncode == 1 and "this request needs the header Authorization: Bearer TOKEN" in done.stderr
    assert engine.get("/health/ready").status_code == 200, "it goes on"
    done = from_outside("--token-file", str(token))
    assert done.returncode == 0, done
    ended(engine)


def test_bad_arguments(http_engine, tmp_path):
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for arguments, words in ((["--timeout", "0"], "--timeout 0: it must be 1 to 3600 seconds"),
                             (["--timeout", "1s"], "--timeout 1s: it must be 1 to 3600 seconds"),
                             (["--timeout"], "--timeout is unknown or lacks its value"),
                             (["now"], "it takes no argument: now"),
                             (["--url", "gopher://x"], "it must begin with http:// or https://"),
                             (["--token-file", "/nonexistent"], "/nonexistent: No such file or directory"),
                             (["--token-file", str(empty)], "does not hold a token of 1 to 256 bytes")):
        status, lines, error = drain(http_engine, *arguments, check=False)
        assert (status, lines) == (2, []) and words in error and len(error.splitlines()) == 1, (arguments, error)
    assert http_engine.get("/health/ready").status_code == 200
    http_engine.stop()
    status, lines, error = drain(http_engine, check=False)
    assert (status, lines) == (1, []) and "no engine answers at http://127.0.0.1:8080" in error
