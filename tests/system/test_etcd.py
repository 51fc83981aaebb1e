# SPDX-License-Identifier: Apache-2.0
"""Ownership through a real etcd: registration, assignments, moves, faults, election."""
import collections
import http.server
import itertools
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time

import pytest

import checks
import etcd_server
import kafka
import senders
from appliance import PATIENCE, ctl, http_session, program, wait_for
from bridge import PARTITIONS
from etcd_server import ASSIGNMENTS, REGISTRY, Etcd
from sandbox import Netns

HTTP_ONLY = {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None, "ownership": {"mode": "etcd"}}
LEASE_S = 15
POLL_MS = 500
_count = itertools.count()


@pytest.fixture(scope="session")
def etcd_version():
    """of the etcd under test: Debian's own, or what FASTPATH_ETCD names (scripts/etcd.sh --help)"""
    version, refused = etcd_server.fetch()
    if refused:
        pytest.skip(refused)
    return version


@pytest.fixture
def make_etcd(etcd_version):
    made = []

    def make(netns, **options):
        made.append(Etcd(netns, f"{os.getpid()}-{next(_count)}", **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def make_netns():
    made = []

    def make(role):
        made.append(Netns(role))
        return made[-1]
    yield make
    for one in made:
        one.close()


def http_only(etcd, engine_id, port=8080, **sections):
    """settings of an engine without ports"""
    settings = HTTP_ONLY | {"engine": {"id": engine_id}, "http": {"listen": f"127.0.0.1:{port}"},
                            "etcd": {"endpoints": etcd if isinstance(etcd, str) else etcd.urls, "poll_ms": 200}}
    return settings | sections


def etcd_ctl(netns, *arguments, check=True):
    """fastpathctl inside the namespace"""
    return netns.run(program("fastpathctl"), *arguments, check=check, timeout=120 * PATIENCE)


def owned(engine):
    answer = engine.get("/ownership").json()
    assert not answer["truncated"]
    return set(answer["keys"])


# ---- registration ----

def test_registration_and_lease(netns, make_etcd, make_engine, etcd_version):
    """the registry's entry, its lease kept alive; another instance is refused, the same one takes over"""
    etcd = make_etcd(netns)
    assert etcd.http.get(etcd.urls + "/version", timeout=10 * PATIENCE).json()["etcdserver"] == etcd_version
    engine = make_engine(netns, http_only(etcd, "e1")).start()
    entry = etcd.items(REGISTRY)[REGISTRY + "e1"]
    value = json.loads(entry["value"])
    assert set(value) == {"id", "ts", "http", "version", "instance"}
    assert value["id"] == "e1" and value["http"] == "http://127.0.0.1:8080"
    assert value["instance"] == engine.stats()["journal_uuid"]
    assert abs(value["ts"] / 1000 - time.time()) < 60 * PATIENCE

    def left():
        return int(etcd.ask("/v3/lease/timetolive", {"ID": entry["lease"]})["TTL"])
    granted = etcd.ask("/v3/lease/timetolive", {"ID": entry["lease"]})["grantedTTL"]
    assert int(granted) == LEASE_S
    wait_for(lambda: left() <= LEASE_S - 2, 10, "time running off the lease")
    wait_for(lambda: left() >= LEASE_S - 1, 10, "the lease renewed")
    assert engine.health()[1]["parts"]["etcd"] == "healthy"

    other = make_engine(netns, http_only(etcd, "e1", 8081))
    status, log = other.run_to_end()
    assert status == 2
    assert (f"engine id e1 is taken: instance {value['instance']} at http://127.0.0.1:8080 is registered in etcd "
            f"and alive; stop it (its lease then ends within {LEASE_S} s), or set another ENGINE_ID") in log
    assert etcd.items(REGISTRY)[REGISTRY + "e1"]["lease"] == entry["lease"]

    engine.kill9()
    assert REGISTRY + "e1" in etcd.items(REGISTRY), "the lease outlives a killed engine"
    engine.start()
    again = etcd.items(REGISTRY)[REGISTRY + "e1"]
    assert again["lease"] != entry["lease"] and json.loads(again["value"])["instance"] == value["instance"]
    engine.stop()
    assert etcd.items(REGISTRY) == {}, "a clean stop gives the lease back"


def test_registry_entry_that_is_lost(netns, make_etcd, make_engine):
    """deleted by hand, or its lease revoked: the engine registers again, keys and journal go on"""
    etcd = make_etcd(netns)
    etcd.assign(["A"], "e1")
    engine = make_engine(netns, http_only(etcd, "e1")).start()
    lease = etcd.items(REGISTRY)[REGISTRY + "e1"]["lease"]
    etcd.ask("/v3/kv/deleterange", {"key": "L3JlZ2lzdHJ5L2VuZ2luZXMvZTE="})
    wait_for(lambda: etcd.engines().get("e1"), 5, "registered again")
    etcd.ask("/v3/lease/revoke", {"ID": lease})
    wait_for(lambda: etcd.engines().get("e1"), 10, "registered again under another lease")
    assert etcd.items(REGISTRY)[REGISTRY + "e1"]["lease"] != lease
    assert engine.post("A", b"x").status_code == 200
    wait_for(lambda: engine.health()[1]["parts"]["etcd"] == "healthy", 5, "healthy")


# ---- what is owned ----

def test_static_until_the_first_answer(netns, make_etcd, make_engine):
    """OWNED_KEYS hold while etcd is away; its first answer replaces them"""
    away = "http://127.0.0.1:2379"
    blind = make_engine(netns, http_only(away, "e2", 8082)).launch()
    engine = make_engine(netns, http_only(away, "e1"), environment={"OWNED_KEYS": "A,B"}).start()
    assert owned(engine) == {"A", "B"}
    assert engine.post("A", b"x").status_code == 200
    assert engine.post("C", b"x").status_code == 409

    # a lcore that the machine has stopped for a second makes it unhealthy for as long
    def degraded():
        status, health = engine.health()
        return status == 200 and health["parts"]["etcd"] == "degraded" and health
    health = wait_for(degraded, 15, lambda: engine.health())
    assert any("etcd has not answered yet" in reason for reason in health["reasons"])

    # without OWNED_KEYS: nothing is owned, and the engine is not ready
    wait_for(lambda: _answers(blind), 30, "HTTP")
    wait_for(lambda: blind.get("/health/ready").json().get("recovered"), 30, "recovery")
    assert blind.get("/health/ready").json()["ownership_known"] is False
    refused = blind.post("A", b"x")
    assert refused.status_code == 503 and refused.json()["error"] == "NOT_READY" and refused.headers["Retry-After"]

    etcd = make_etcd(netns)
    etcd.assign(["B", "C"], "e1")
    wait_for(lambda: owned(engine) == {"B", "C"}, 10, lambda: owned(engine))
    assert engine.post("A", b"x").status_code == 409
    assert engine.post("C", b"x").status_code == 200
    blind.wait_ready()
    assert owned(blind) == set()
    wait_for(lambda: engine.health()[1]["parts"]["etcd"] == "healthy", 10, "healthy")


def _answers(engine):
    try:
        return engine.get("/health").status_code
    except OSError:
        return None


def test_409_follows_a_move(netns, make_etcd, make_engine):
    """within two polls both engines know it, and the one that lost the key names the other"""
    etcd = make_etcd(netns)
    etcd.assign(["A", "B"], "e1")
    one = make_engine(netns, http_only(etcd, "e1", 8081)).start()
    two = make_engine(netns, http_only(etcd, "e2", 8082)).start()
    wait_for(lambda: len(etcd.engines()) == 2 and one.stats()["etcd_engines"] == 2, 10, "both registered")
    assert one.post("A", b"1").status_code == 200
    assert two.get("/keys/A").json()["owner"] == "e1"
    for owner, other, name in ((two, one, "e2"), (one, two, "e1")):
        out = etcd_ctl(netns, "move", "A", name, "--endpoints", etcd.urls).stdout
        assert out.startswith(f"/assignments/A: from e{3 - int(name[1])} to {name} at revision ")
        wait_for(lambda: other.post("A", b"2").status_code == 409, 0.4, "409 within two polls")
        wait_for(lambda: owner.post("A", b"2").status_code == 200, 0.4, "taken within two polls")
        refused = other.post("A", b"3").json()
        assert refused["error"] == "NOT_OWNER" and refused["owner"] == name
        assert refused["url"] == f"http://{owner.address}"
        key = other.get("/keys/A").json()
        assert (key["owned"], key["owner"], key["url"]) == (False, name, refused["url"])
        assert owner.get("/keys/A").json()["owned"] is True
        assert "A" in owned(owner) and "A" not in owned(other)
        both = other.get("/ownership").json()["engines"]
        assert [(e["id"], e["url"]) for e in both] == [("e1", f"http://{one.address}"), ("e2", f"http://{two.address}")]
        assert [e["keys"] for e in both] == ([1, 1] if name == "e2" else [2, 0])
    # a key of nobody
    nobody = one.post("Z", b"x")
    assert nobody.status_code == 409 and nobody.json()["owner"] is None
    # what is no engine, and what is no key, is nobody's
    etcd.put(ASSIGNMENTS + "B", "not an engine")
    etcd.put(ASSIGNMENTS + "%41", "e1")
    wait_for(lambda: one.post("B", b"x").status_code == 409, 5, "B is nobody's")
    assert owned(one) == {"A"}
    assert "is not looked at" in one.log()


class Blind(socketserver.ThreadingTCPServer):
    """Stands before an etcd and hands on everything but watches, which a gateway like it may not let through."""
    daemon_threads = True

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 30

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.startswith("/v3/watch"):
                status, text = 404, b'{"error":"not found","code":5}'
                self.server.refused += 1
            else:
                answer = self.server.session().post(self.server.etcd.endpoints[0] + self.path, data=body, timeout=10)
                status, text = answer.status_code, answer.content
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    def __init__(self, netns, etcd, port=2400):
        super().__init__(("127.0.0.1", port), self.Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = netns.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.etcd, self.refused, self._netns, self._local = etcd, 0, netns, threading.local()
        self.server_bind()
        self.server_activate()
        self.url = f"http://127.0.0.1:{port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def session(self):
        """one for each thread"""
        if not hasattr(self._local, "http"):
            self._local.http = http_session(self._netns)
        return self._local.http

    def handle_error(self, *_):
        pass  # an engine that stops lets its connections go

    def close(self):
        self.shutdown()
        self.server_close()


def _soon(condition, what):
    """wait_for that looks often: what it waits for is measured"""
    end = time.monotonic() + 5 * PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def _known(engines, owners):
    """Each engine's /ownership, /keys and answers to POST say what etcd says."""
    for name, engine in engines.items():
        if owned(engine) != {key for key, owner in owners.items() if owner == name}:
            return False
        for key, owner in owners.items():
            told = engine.get(f"/keys/{key}").json()
            if (told["owner"], told["owned"]) != (owner, owner == name):
                return False
    return True


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", ["watching", "polling"])
def test_moves_are_known_within_two_polls(netns, make_etcd, make_engine, soak, way):
    """by the watch, and where watches do not come through; 409 names the owner, all pages agree with etcd"""
    etcd = make_etcd(netns)
    keys = [f"K{i}" for i in range(10)]
    etcd.assign(keys, "e1")
    blind = Blind(netns, etcd) if way == "polling" else None
    engines = {name: make_engine(netns, http_only(blind.url if blind else etcd, name, port)).start()
               for name, port in (("e1", 8081), ("e2", 8082))}
    for engine in engines.values():
        engine.configure({"etcd": {"poll_ms": POLL_MS}})
        engine.restart()
    owners = dict.fromkeys(keys, "e1")
    wait_for(lambda: _known(engines, owners), 10, "the first assignments")
    if blind:
        wait_for(lambda: blind.refused >= 4 * len(engines), 20, "watches given up")
    assert all(engine.stats()["etcd_watching"] == (0 if blind else 1) for engine in engines.values())
    took = []
    for i in range(100 if soak else 12):
        # one key, or all of them in one transaction
        changed = keys if i % 4 == 3 else [keys[i % len(keys)]]
        name = "e1" if owners[changed[0]] == "e2" else "e2"
        loser, taker = engines["e1" if name == "e2" else "e2"], engines[name]
        began = time.monotonic()
        etcd.assign(changed, name)
        owners.update(dict.fromkeys(changed, name))
        _soon(lambda: loser.post(changed[0], b"x").status_code == 409, "409")
        _soon(lambda: taker.post(changed[0], b"x").status_code == 200, "taken")
        _soon(lambda: owned(loser) | owned(taker) == set(keys) and not owned(loser) & owned(taker), "they agree")
        took.append(time.monotonic() - began)
        refused = loser.post(changed[0], b"x").json()
        assert (refused["error"], refused["owner"], refused["url"]) == ("NOT_OWNER", name, f"http://{taker.address}")
        assert _known(engines, owners)
    took.sort()
    print(f"{way}: {len(took)} moves known to both engines after {1000 * took[len(took) // 2]:.0f} ms (median), "
          f"{1000 * took[-1]:.0f} ms at most")
    assert took[-1] < 2 * POLL_MS / 1000 * PATIENCE, took
    if blind:
        assert all(engine.stats()["etcd_watching"] == 0 for engine in engines.values())
        for engine in engines.values():
            engine.stop()
        blind.close()


def test_keys_of_any_bytes(netns, make_etcd, make_engine):
    etcd = make_etcd(netns)
    engine = make_engine(netns, http_only(etcd, "e1")).start()
    keys = ["schlüssel", "a b", "50%", "A/B", "k" * 64, "\x01"]
    for key in keys:
        assert engine.post(key, b"x").status_code == 409
        etcd_ctl(netns, "move", key, "e1", "--endpoints", etcd.urls)
        wait_for(lambda: engine.post(key, b"x").status_code == 200, 5, key)
    assert owned(engine) == set(keys)
    assert f"{ASSIGNMENTS}schl%C3%BCssel" in etcd.items(ASSIGNMENTS)
    lines = etcd_ctl(netns, "assignments", "--endpoints", etcd.urls).stdout.splitlines()
    assert sorted(lines) == sorted(f"{key[len(ASSIGNMENTS):]}\te1" for key in etcd.items(ASSIGNMENTS))


def test_an_id_that_is_found_held_only_later(netns, broker, topic, make_etcd, make_engine):
    """etcd was away at its start: it journals on, unhealthy, leaves the holder alone, in Kafka too, and registers when
    that is gone. What it took meanwhile is never delivered under the id."""
    broker.attach(netns)
    etcd = make_etcd(netns)
    etcd.assign(["A"], "e1")
    kafka_on = {"kafka": {"enable": 1, "bootstrap_servers": broker.bootstrap, "topic": topic}}
    holder = make_engine(netns, http_only(etcd, "e1", 8081) | kafka_on).start()
    assert holder.post("A", b"the holder's").status_code == 200
    _running(holder)
    entry = etcd.items(REGISTRY)[REGISTRY + "e1"]
    late = make_engine(netns, http_only("http://127.0.0.1:2400", "e1", 8082, eal={"file-prefix": f"late{os.getpid()}"}) | kafka_on,
                       environment={"OWNED_KEYS": "B"}).start()
    assert late.post("B", b"x").status_code == 200
    gate = Blind(netns, etcd)
    try:
        instance = holder.stats()["journal_uuid"]
        reason = f"another instance, {instance}, is registered in etcd under this engine's id"
        wait_for(lambda: reason in late.health()[1]["reasons"], 20, lambda: late.health())
        code, health = late.health()
        assert code == 503 and health["parts"]["etcd"] == "unhealthy"
        assert f"etcd: engine id e1 is held by another instance, {instance} at http://127.0.0.1:8081" in late.log()
        # what etcd gives to the id it takes as well
        wait_for(lambda: owned(late) == {"A"}, 10, "etcd's assignments")
        assert late.post("A", b"x").status_code == 200
        assert late.get("/health/ready").status_code == 200
        # longer than a renewal
        until = time.monotonic() + 4
        wait_for(lambda: time.monotonic() > until, 10, "some polls")
        now = etcd.items(REGISTRY)[REGISTRY + "e1"]
        assert (now["lease"], now["mod_revision"]) == (entry["lease"], entry["mod_revision"]), "the holder keeps the id"
        assert late.stats()["kafka_bridge_reason"].startswith("waiting for this engine's lease in etcd")
        assert holder.post("A", b"the holder's too").status_code == 200
        _running(holder)
        assert "another producer took" not in holder.log()
        assert late.stats()["etcd_registered"] == 0 and holder.stats()["etcd_registered"] == 1
        assert holder.health()[1]["parts"]["etcd"] == "healthy"
        holder.stop()
        wait_for(lambda: late.health()[1]["parts"]["etcd"] == "healthy", 10, lambda: late.health())
        assert etcd.engines()["e1"]["instance"] == late.stats()["journal_uuid"]
        wait_for(lambda: time.time_ns() < _lease(late)["lease_end_ns"], 30, lambda: _lease(late))
        assert late.post("A", b"its own").status_code == 200
        _running(late)
        assert sorted(_values(broker, topic)) == [b"its own", b"the holder's", b"the holder's too"]
        gaps = _gaps(broker, topic)
        assert [(gap["journal"], gap["count"]) for gap in gaps] == [(late.stats()["journal_uuid"], 2)]
        late.stop()
        assert len(late.journal()) == 3
    finally:
        gate.close()


# ---- etcd's faults ----

@pytest.mark.timeout(300)
def test_etcd_stopped_in_the_middle_of_a_run(wire, make_etcd, make_engine, soak):
    """no drop, no change of ownership; degraded, then healthy"""
    etcd = make_etcd(wire.appliance)
    etcd.assign((checks.key_name(i).decode() for i in range(50)), "e1")
    engine = make_engine(wire, {"ownership": {"mode": "etcd"}, "engine": {"id": "e1"},
                                "etcd": {"endpoints": etcd.urls}}).start()
    feed = senders.Background(wire, rate=5000, keys=50)
    wait_for(lambda: engine.stats()["fast_path_count"] > 1000, 30, "events")
    etcd.kill()
    down = time.monotonic()
    wait_for(lambda: engine.health()[1]["parts"]["etcd"] == "degraded", 10, "degraded")
    assert engine.get("/health/ready").status_code == 200
    wait_for(lambda: time.monotonic() - down > (30 if soak else 5), 60, "etcd's absence")
    assert engine.stats()["ownership_keys"] == 50
    etcd.revive()
    wait_for(lambda: engine.health()[1]["parts"]["etcd"] == "healthy", 30, lambda: engine.health())
    # and moves are followed again
    feed.stop()
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == {}
    etcd.put(ASSIGNMENTS + "K000", "e2")
    wait_for(lambda: engine.post("K000", b"x").status_code == 409, 10, "the move")
    wait_for(lambda: "e1" in etcd.engines(), 10, "registered")
    engine.stop()
    checks.exactly(checks.events(engine.journal(), "ticks"), feed.sent)


@pytest.mark.timeout(300)
def test_many_assignments_load_while_a_feed_runs(wire, make_etcd, make_engine, soak):
    """the first answer comes in the middle of the feed: the set is swapped without a drop"""
    count = 1000000 if soak else 100000
    feed_keys = [checks.key_name(i).decode() for i in range(50)]
    etcd = make_etcd(wire.appliance)
    etcd.assign(feed_keys, "e1")
    etcd.assign((f"S{i:07d}" for i in range(count)), "e1")
    etcd.assign((f"T{i:07d}" for i in range(1000)), "e2")
    etcd.kill()
    engine = make_engine(wire, {"ownership": {"mode": "etcd"}, "engine": {"id": "e1"},
                                "etcd": {"endpoints": etcd.urls}},
                         environment={"OWNED_KEYS": ",".join(feed_keys)}).start()
    feed = senders.Background(wire, rate=5000, keys=50)
    wait_for(lambda: engine.stats()["fast_path_count"] > 1000, 30, "events")
    etcd.revive()
    wait_for(lambda: engine.stats()["ownership_keys"] == count + 50, 120, lambda: engine.stats())
    assert engine.stats()["etcd_assignments"] == count + 1050
    seen = engine.stats()["fast_path_count"]
    wait_for(lambda: engine.stats()["fast_path_count"] > seen + 5000, 30, "events with the new set")
    feed.stop()
    stats = engine.rest()
    checks.laws(stats)
    assert checks.reasons(stats) == {}
    assert engine.post(f"S{count - 1:07d}", b"x").status_code == 200
    assert engine.post("T0000000", b"x").status_code == 409
    answer = engine.get("/ownership").json()
    assert answer["key_count"] == count + 50 and answer["truncated"] and answer["keys"][:2] == ["K000", "K001"]


class Liar:
    """Listens where etcd was, and answers every request with the same bytes, then closes."""

    def __init__(self, netns, port=2379):
        self.answer = b""
        self.served = 0
        self._listener = netns.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(64)
        self._closing = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.settimeout(5)
                    connection.recv(65536)
                    connection.sendall(self.answer)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass
            self.served += 1

    def close(self):
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _http(body, status=b"200 OK", length=None):
    return (b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\nContent-Length: "
            + str(len(body) if length is None else length).encode() + b"\r\n\r\n" + body)


HEADER = b'{"header":{"revision":"999999"}'
LIES = {
    "no-http": b"\x00\x01\x02garbage\r\n\r\n",
    "html": _http(b"<html>It works!</html>"),
    "cut-short": _http(HEADER, length=5000),
    "empty": _http(b""),
    "no-header": _http(b"{}"),
    "bad-base64": _http(HEADER + b',"responses":[{"response_range":{"kvs":[{"key":"?","mod_revision":"1"}]}}]}'),
    "wrong-shape": _http(HEADER + b',"responses":{"a":[1,2]}}'),
    "huge-number": _http(b'{"header":{"revision":"' + b"9" * 40 + b'"}}'),
    "deep": _http(b"[" * 100000),
    "huge": _http(b'{"header":"' + b"x" * (17 << 20) + b'"}'),
    "error-page": _http(b"<html>502</html>", b"502 Bad Gateway"),
}


@pytest.mark.timeout(300)
def test_garbage_answers(netns, make_etcd, make_engine):
    """what answers instead of etcd is told in the log; ownership stays as it is"""
    etcd = make_etcd(netns)
    etcd.assign(["A"], "e1")
    engine = make_engine(netns, http_only(etcd, "e1")).start()
    assert engine.post("A", b"x").status_code == 200
    etcd.kill()
    liar = Liar(netns)
    try:
        for name, lie in LIES.items():
            before = engine.stats()["etcd_rejected_answers_total"]
            served = liar.served
            liar.answer = lie
            wait_for(lambda: liar.served >= served + 2 or not engine.running, 20, f"{name}: two more requests")
            if name not in ("no-http",):
                wait_for(lambda: engine.stats()["etcd_rejected_answers_total"] > before, 20, f"{name} thrown away")
            assert engine.running, engine.log()
            assert engine.get("/keys/A").json()["owned"] is True
            assert engine.post("B", b"x").status_code == 409
        wait_for(lambda: engine.health()[1]["parts"]["etcd"] == "degraded", 20, "degraded")
    finally:
        liar.close()
    lines = [line for line in engine.log().splitlines() if "ownership is unchanged" in line]
    assert 1 <= len(lines) <= 30 * PATIENCE, "one line now and then, not one an answer"
    assert any("the answer was thrown away" in line for line in lines)
    etcd.revive()
    wait_for(lambda: engine.health()[1]["parts"]["etcd"] == "healthy", 20, lambda: engine.health())
    assert owned(engine) == {"A"}


def test_compaction(netns, make_etcd, make_engine):
    """what the engine missed is compacted: it reads everything anew"""
    etcd = make_etcd(netns)
    etcd.assign([f"K{i}" for i in range(10)], "e1")
    engine = make_engine(netns, http_only(etcd, "e1")).start()
    wait_for(lambda: engine.stats()["etcd_watching"] == 1, 5, "watching")
    assert engine.stats()["etcd_reads_total"] == 1
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        etcd.kill()
        etcd.revive()
        wait_for(lambda: _up(etcd), 20, "etcd")
        etcd.assign([f"K{i}" for i in range(5)], "e2")
        etcd.put("/elsewhere", "x")
        etcd.compact(etcd.revision())
    finally:
        os.kill(engine.pid, signal.SIGCONT)
    wait_for(lambda: owned(engine) == {f"K{i}" for i in range(5, 10)}, 20, lambda: engine.stats())
    assert engine.stats()["etcd_reads_total"] == 2
    assert "is compacted, reading all assignments" in engine.log()
    etcd.put(ASSIGNMENTS + "K0", "e1")
    wait_for(lambda: "K0" in owned(engine), 5, "changes after it")


def _up(etcd):
    try:
        return etcd.revision()
    except AssertionError:
        return None


def test_user_and_password(netns, make_etcd, make_engine, tmp_path):
    """a token is fetched, and anew when etcd has forgotten it; a wrong password is said so"""
    etcd = make_etcd(netns)
    etcd.assign(["A"], "e1")
    for command in (("user", "add", "root:rootpw"), ("user", "grant-role", "root", "root"),
                    ("user", "add", "fastpath:secret"), ("role", "add", "fp"),
                    ("role", "grant-permission", "fp", "readwrite", "--prefix", "/"),
                    ("user", "grant-role", "fastpath", "fp"), ("auth", "enable")):
        netns.run("env", "ETCDCTL_API=3", "etcdctl", "--endpoints", etcd.urls, *command)
    password, wrong = tmp_path / "password", tmp_path / "wrong"
    for file, text in ((password, "secret\n"), (wrong, "guess\n")):
        file.write_text(text)
        file.chmod(0o600)
    settings = http_only(etcd, "e1")
    settings["etcd"] |= {"user": "fastpath", "password_file": str(password)}
    engine = make_engine(netns, settings).start()
    assert owned(engine) == {"A"}
    etcd.kill()  # simple tokens live in its memory
    etcd.revive()
    wait_for(lambda: "etcd: answers again" in engine.log() or engine.stats()["etcd_answer_age_ms"] < 200, 20, "etcd")
    options = ["--endpoints", etcd.urls, "--user", "fastpath", "--password-file", password]
    wait_for(lambda: etcd_ctl(netns, "move", "B", "e1", *options, check=False).returncode == 0, 20, "a move")
    wait_for(lambda: owned(engine) == {"A", "B"}, 20, lambda: engine.health())
    assert "secret" not in engine.log()
    engine.stop()
    engine.configure({"etcd": {"password_file": str(wrong)}})
    engine.environment["OWNED_KEYS"] = "A"
    engine.start()
    wait_for(lambda: any("authentication failed" in reason for reason in engine.health()[1]["reasons"]), 20,
             lambda: engine.health())
    assert owned(engine) == {"A"}
    refused = etcd_ctl(netns, "engines", "--endpoints", etcd.urls, check=False)
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1 and "user name is empty" in refused.stderr


def _certificates(directory):
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=directory, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj", "/CN=ca",
            "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=node", "-keyout", "key.pem",
            "-out", "node.csr")
    (directory / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "node.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", 2,
            "-extfile", "ext", "-out", "cert.pem")


def test_tls(netns, make_etcd, make_engine, tmp_path):
    """https with a certificate of our own; without the right authority nothing is believed"""
    _certificates(tmp_path)
    etcd = make_etcd(netns, tls=tmp_path)
    assert etcd.urls.startswith("https://")
    settings = http_only(etcd, "e1")
    files = {f"{name}_file": str(tmp_path / f"{file}.pem") for name, file in (("ca", "ca"), ("cert", "cert"), ("key", "key"))}
    settings["etcd"] |= files
    engine = make_engine(netns, settings).start()
    options = ["--endpoints", etcd.urls]
    for name, file in files.items():
        options += ["--" + name.replace("_", "-"), file]
    etcd_ctl(netns, "move", "A", "e1", *options)
    wait_for(lambda: owned(engine) == {"A"}, 5, "A")
    engine.stop()
    engine.configure({"etcd": {"ca_file": None}})
    engine.environment["OWNED_KEYS"] = "B"
    engine.start()
    wait_for(lambda: any("certificate" in reason for reason in engine.health()[1]["reasons"]), 20,
             lambda: engine.health())
    assert owned(engine) == {"B"}


def test_nothing_stays_when_a_test_is_killed(tmp_path):
    """etcd's nodes are daemons: they end with the process that had them started, also if that is killed"""
    said = tmp_path / "said"
    code = f"""if True:
        import os, sys
        sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
        import etcd_server, sandbox
        assert sandbox.enter() is None
        one = etcd_server.Etcd(sandbox.Netns("g"), f"guard{{os.getpid()}}")
        with open({str(said)!r}, "w") as out:
            out.write(str(one.pid(0)))
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60 * PATIENCE, stdin=subprocess.DEVNULL)
    assert done.returncode == -signal.SIGKILL
    pid = int(said.read_text())
    wait_for(lambda: etcd_server.state(pid) == "Z", 10, f"etcd {pid} has ended")


# ---- the command line ----

def test_assign(netns, make_etcd, make_engine, tmp_path):
    """symbols to engines: balanced, repeatable, minimal when an engine goes, and what it says"""
    etcd = make_etcd(netns)
    symbols = tmp_path / "symbols"
    symbols.write_text("".join(f"K{i}\n" for i in range(900)) + "\nK5\n")
    options = ["--endpoints", etcd.urls]

    def run(*arguments, status=0):
        done = etcd_ctl(netns, *arguments, *options, check=False)
        assert done.returncode == status, done.stderr
        return done
    assert run("assign", "--symbols", symbols, status=1).stderr == (
        "fastpathctl: no engine is registered in etcd: start one with ETCD_ENDPOINTS set\n")
    engines = {name: make_engine(netns, http_only(etcd, name, port)).start()
               for name, port in (("e1", 8081), ("e2", 8082), ("e3", 8083))}
    planned = run("assign", "--symbols", symbols, "--dry-run")
    assert planned.stderr == "900 keys would move, 0 are where they belong, 3 engines\n"
    assert etcd.owners() == {}
    assert run("assign", "--symbols", symbols).stderr == "900 keys moved, 0 are where they belong, 3 engines\n"
    before = etcd.owners()
    assert sorted(f"{key}\t-\t{owner}" for key, owner in before.items()) == sorted(planned.stdout.splitlines())
    assert len(before) == 900 and all(200 < list(before.values()).count(name) < 400 for name in engines)
    revision = etcd.revision()
    assert run("assign", "--symbols", symbols).stderr == "0 keys moved, 900 are where they belong, 3 engines\n"
    assert etcd.revision() == revision
    for name, engine in engines.items():
        wait_for(lambda: owned(engine) == {k for k, o in before.items() if o == name}, 5, name)
    listed = [json.loads(line) for line in run("engines", "--json").stdout.splitlines()]
    assert {row["id"]: row["keys"] for row in listed} == {n: list(before.values()).count(n) for n in engines}
    # one goes: only its keys move
    engines["e2"].stop()
    assert "2 engines" in run("assign", "--symbols", symbols).stderr
    after = etcd.owners()
    assert {k for k in after if after[k] != before[k]} == {k for k, o in before.items() if o == "e2"}
    assert run("move", "K1", "e2", status=1).stderr == (
        "fastpathctl: engine e2 is not registered in etcd; see fastpathctl engines, or use --force\n")
    run("move", "K1", "e2", "--force")
    assert etcd.owners()["K1"] == "e2"
    assert "usage: fastpathctl assign --symbols FILE" in run("assign", status=2).stderr
    nobody = ctl("engines", "--endpoints", "http://127.0.0.1:1", check=False)
    assert nobody.returncode == 1 and nobody.stderr.count(b"\n") == 1


# ---- election ----

class Fleet:
    """Three engines, each in a namespace of its own with a port on one multicast feed, and one with a cluster of
    etcd, joined by a bridge. Kafka has a wire of its own to each."""

    def __init__(self, make_netns, make_etcd, make_engine, broker, keys, settings):
        self.hub = make_netns("h")
        self._bridge("feed", "10.99.0.2/24")
        self._bridge("etcd", "10.77.0.254/24")
        self.hub.run("ip", "route", "add", "224.0.0.0/4", "dev", "feed")
        self.etcd = make_etcd(self.hub, nodes=3, host="10.77.0.254")
        self.make_netns, self.make_engine = make_netns, make_engine
        self.broker, self.keys, self.settings = broker, keys, settings
        self.engines, self.learned = {}, []

    def _bridge(self, name, address):
        self.hub.run("ip", "link", "add", name, "type", "bridge", "mcast_snooping", "0")
        self.hub.run("ip", "address", "add", address, "dev", name)
        self.hub.run("ip", "link", "set", name, "up")
        self.hub.run("sysctl", "-q", "-w", f"net.ipv6.conf.{name}.disable_ipv6=1")

    def join(self, i):
        """engine e<i>, started and ready"""
        netns = self.make_netns(f"e{i}")
        netns.run("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        for bridge, inside in (("feed", "fp0"), ("etcd", "eth0")):
            self.hub.run("ip", "link", "add", f"{bridge}{i}", "type", "veth", "peer", "name", inside, "netns", netns.name)
            self.hub.run("ip", "link", "set", f"{bridge}{i}", "master", bridge, "up")
            self.hub.run("sysctl", "-q", "-w", f"net.ipv6.conf.{bridge}{i}.disable_ipv6=1")
            netns.run("ip", "link", "set", inside, "up")
        self.hub.run("ethtool", "-K", "feed", "tx", "off", check=False)
        netns.run("ip", "address", "add", f"10.77.0.{i}/24", "dev", "eth0")
        self.broker.attach(netns)
        self.engines[f"e{i}"] = self.make_engine(netns, {
            "engine": {"id": f"e{i}"}, "ownership": {"mode": "etcd", "assign": "auto", "moves_per_s": 2000},
            "port nic0": {"address": f"10.99.0.{10 + i}/24", "checksum": "trust"},
            "http": {"advertise": f"http://10.77.0.{i}:8080"}, "etcd": {"endpoints": self.etcd.urls, "poll_ms": POLL_MS},
        } | self.settings).start(60)
        return self.engines[f"e{i}"]

    def cut(self, i, off):
        self.hub.run("ip", "link", "set", f"etcd{i}", "down" if off else "up")

    def owners(self, names):
        """{key: engine} if all keys belong to these engines, each of which has some; else None"""
        try:
            owners = self.etcd.owners()
        except (AssertionError, OSError):
            return None
        return owners if set(owners.values()) == set(names) and len(owners) == len(self.keys) else None

    def know(self, names, owners):
        """each of them knows which keys are its own"""
        return all(owned(self.engines[name]) == {key for key, owner in owners.items() if owner == name} for name in names)


def _rested(fleet, names, seconds, what):
    """No key has moved for a second, and the engines agree with etcd. They have done so within two polls."""
    seen = [None, 0, None]  # {key: engine}, since when, how long it took them

    def same():
        owners = fleet.owners(names)
        if owners is None or owners != seen[0]:
            seen[:] = [owners, time.monotonic(), None]
        if owners and seen[2] is None and fleet.know(names, owners):
            seen[2] = time.monotonic() - seen[1]
        return owners if seen[2] is not None and time.monotonic() - seen[1] > 1 else None
    owners = wait_for(same, seconds, what)
    fleet.learned.append(seen[2])
    assert seen[2] < 2 * POLL_MS / 1000 * PATIENCE, f"{what}: they agreed after {seen[2]:.2f} s"
    return owners


def _moved(before, after):
    return {key for key in before if before[key] != after[key]}


@pytest.mark.timeout(600)
def test_three_engines_elect_and_reassign(make_netns, make_etcd, make_engine, broker, topic, soak, tmp_path):
    """One joins, etcd's leader is killed, one is killed, one is cut off from etcd but not from Kafka: each key has one
    owner at every revision, and nothing that the cut-off one still tries to publish reaches a consumer."""
    keys = [checks.key_name(i).decode() for i in range(1000 if soak else 300)]
    rate = 1000 if soak else 500
    fleet = Fleet(make_netns, make_etcd, make_engine, broker, keys, {
        "eal": {"lcores": "0@0,1@1,2@1"}, "journal": {"memory_mb": 4},
        "kafka": {"enable": 1, "bootstrap_servers": broker.bootstrap, "topic": topic, "partitions": PARTITIONS}})
    etcd = fleet.etcd
    fleet.join(1)
    fleet.join(2)
    symbols = tmp_path / "symbols"
    symbols.write_text("\n".join(keys))
    etcd_ctl(fleet.hub, "assign", "--symbols", symbols, "--endpoints", etcd.urls)
    before = _rested(fleet, ["e1", "e2"], 20, "two engines agree")
    first = etcd.revision()
    wire = _HubWire(fleet.hub)
    feed = senders.Background(wire, rate=rate, keys=len(keys))
    try:
        # one joins: what it gets is all that moves
        fleet.join(3)
        after = _rested(fleet, ["e1", "e2", "e3"], 30, "three engines agree")
        joined = _moved(before, after)
        assert joined == {key for key, owner in after.items() if owner == "e3"} and len(joined) < len(keys) / 2
        quiet = len(feed.sent)

        # etcd's leader is killed: nobody's keys move
        before = after
        etcd.kill(etcd.leader())
        wait_for(lambda: _up(etcd) and etcd.leader() is not None, 30, "another leader of etcd")
        etcd.put("/elsewhere", "x")
        wait_for(lambda: all(e.health()[1]["parts"]["etcd"] == "healthy" for e in fleet.engines.values()), 30,
                 lambda: [e.health() for e in fleet.engines.values()])
        assert etcd.owners() == before

        # the engine that leads is killed: its keys, and no others, go to the living within two lease periods
        leader = wait_for(lambda: etcd.items("/fastpath/election/").get("/fastpath/election/leader"), 30, "a leader")["value"]
        fleet.engines[leader].kill9()
        began = time.monotonic()
        rest = sorted(set(fleet.engines) - {leader})
        after = _rested(fleet, rest, 2 * LEASE_S, f"the keys of {leader} taken")
        took = [time.monotonic() - began]
        assert _moved(before, after) == {key for key, owner in before.items() if owner == leader}

        # one is cut off from etcd alone: it journals on with what it knows, and its keys are taken
        before, lonely, other = after, rest[0], rest[1]
        engine = fleet.engines[lonely]
        cut = len(feed.sent)
        fleet.cut(int(lonely[1]), True)
        began = time.monotonic()
        wait_for(lambda: set(etcd.owners().values()) == {other}, 2 * LEASE_S, f"the keys of {lonely} taken")
        took.append(time.monotonic() - began)
        wait_for(lambda: owned(fleet.engines[other]) == set(keys), 2 * POLL_MS / 1000, f"{other} knows")
        taken_ns, taken = time.time_ns(), len(feed.sent)
        published = _of_engine(broker.read(topic), lonely)
        assert engine.health()[1]["parts"]["etcd"] == "degraded"
        assert owned(engine) == {key for key, owner in before.items() if owner == lonely}
        assert engine.get("/health/ready").status_code == 200
        wait_for(lambda: "lease in etcd" in engine.stats()["kafka_bridge_reason"], 60, lambda: engine.stats())
        wait_for(lambda: len(feed.sent) > taken + 4 * rate, 30, "more of the feed")
        # the way back is a plain move, which a quiet feed does not notice
        sent = feed.stop()
        engine.rest()
        assert _of_engine(broker.read(topic), lonely) == published
        back_ns = time.time_ns()
        fleet.cut(int(lonely[1]), False)
        after = _rested(fleet, rest, 2 * LEASE_S, f"{lonely} back")
        assert after == before
        wait_for(lambda: time.time_ns() < _lease(engine)["lease_end_ns"], 30, lambda: _lease(engine))
        feed = senders.Background(wire, rate=rate, keys=len(keys), start=len(sent))
        wait_for(lambda: len(feed.sent) > 4 * rate, 30, "more of the feed")
    finally:
        more = feed.stop()

    # the killed one delivers what it has, and everything comes to rest
    stats = {name: fleet.engines[name].rest() for name in rest}
    fleet.engines[leader].start(60)
    _rested(fleet, list(fleet.engines), 30, f"{leader} has keys again")
    for name, one in fleet.engines.items():
        _running(one)
        checks.laws(one.rest())
    assert all(one["fast_path_drops_total"] == 0 for one in stats.values()), stats
    _one_owner_at_every_revision(etcd, keys, set(fleet.engines), first)

    records = broker.read(topic)
    journals = {name: {(e["shard"], e["seq"]): e for e in checks.events(one.journal())} for name, one in fleet.engines.items()}
    held = {name: _held_back(records, _gaps(broker, topic), name, journal) for name, journal in journals.items()}
    assert held[lonely] and not held[other] and not held[leader], {name: len(held[name]) for name in held}
    assert not [r for r in _of_engine(records, lonely) if taken_ns <= int(r.headers["rx_time_ns"]) < back_ns]
    times = collections.Counter(_number(r.value) for r in records)
    twice = [r for r in records if times[_number(r.value)] > 1]
    # two engines may learn of a plain move at slightly different moments: only while e3 joined
    assert all(_number(r.value) < quiet and r.key.decode() in joined for r in twice), twice
    owner = {_number(r.value): r.headers["engine"] for r in records}
    elsewhere = {_number(e["payload"]) for name in (other, leader) for e in journals[name].values()}
    for i in range(cut, len(sent) + len(more)):
        # on the topic once; else held back, told, and nobody else's
        assert times[i] == 1 or (i in held[lonely] and i < taken and i not in elsewhere), f"event {i} of {cut}, {taken}, {len(sent)}"
        assert not taken <= i < len(sent) or owner[i] == other, f"event {i} is on the topic as {owner[i]}'s"
    nobodys = [i for i in held[lonely] if times[i] == 0]
    print(f"{len(keys)} keys: {len(joined)} moved to the one that joined; taken {took[0]:.1f} s after a kill, {took[1]:.1f} s after "
          f"being cut off; engines agreed {1000 * max(fleet.learned):.0f} ms after etcd at most; {len(sent) + len(more)} events, "
          f"{len(records)} on the topic, {len(twice)} of them twice while keys moved to the one that joined, none behind it; "
          f"held back: {len(held[lonely])} of the cut-off one, {len(nobodys)} of them taken by nobody else")


def _number(payload):
    return int(payload[:10])


def _of_engine(records, name):
    return [r for r in records if r.headers["engine"] == name]


def _held_back(records, gaps, name, journal):
    """What an engine has journaled is on the topic once, as it was journaled and in order per key, or a gap record counts
    it: the numbers of the latter. journal: {(shard, seq): event}"""
    seen, last = set(), {}
    for r in _of_engine(records, name):
        place = int(r.headers["shard"]), int(r.headers["seq"])
        assert place not in seen and place in journal, f"twice, or never journaled: {r}"
        kafka.same_as_journal(r, journal[place], name, PARTITIONS)
        assert place > last.get(r.key, (-1, 0)), f"out of order: {r}"
        seen.add(place)
        last[r.key] = place
    missing = set(journal) - seen
    told = set()
    for gap in gaps:
        if gap["engine"] == name:
            here = {(shard, seq) for shard, seq in missing if shard == gap["shard"] and gap["from"] <= seq <= gap["to"]}
            assert len(here) == gap["count"], gap
            told |= here
    assert told == missing, f"{name}: {len(missing - told)} of {len(missing)} are missing and not told"
    return {_number(journal[place]["payload"]) for place in missing}


class _HubWire:
    """what senders.Background needs of a wire"""

    def __init__(self, hub):
        self.hub = hub

    def udp(self):
        s = self.hub.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.99.0.2"))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        return s


def _one_owner_at_every_revision(etcd, keys, engines, first):
    """replays etcd's history: from revision `first` on every key is assigned, always, to one of the engines"""
    last = etcd.put(ASSIGNMENTS + "end", "e1")
    owner = {}
    for revision, changes in itertools.groupby(etcd.history(ASSIGNMENTS, last), key=lambda change: change[0]):
        touched = set()
        for _, path, value in changes:
            key = path[len(ASSIGNMENTS):]
            assert key not in touched, f"revision {revision}: {key} is assigned twice"
            assert value is not None, f"revision {revision}: {key} belongs to nobody"
            assert value in engines, f"revision {revision}: {key} belongs to {value}"
            assert owner.get(key) != value, f"revision {revision}: {key} moved to where it was"
            touched.add(key)
            owner[key] = value
        assert revision < first or len(owner) >= len(keys), f"revision {revision}: only {len(owner)} keys have an owner"
    assert set(owner) == set(keys) | {"end"}


# ---- cut off, with Kafka ----

def _bridged(netns, broker, etcd, make_engine, topic):
    """e1 and e2 with auto assignment and running bridges: {name: engine}"""
    kafka = {"kafka": {"enable": 1, "bootstrap_servers": broker.bootstrap, "topic": topic}}
    engines = {name: make_engine(netns, http_only(etcd, name, port, ownership={"mode": "etcd", "assign": "auto"}) | kafka)
               for name, port in (("e1", 8081), ("e2", 8082))}
    for engine in engines.values():
        engine.start()
    for engine in engines.values():
        wait_for(lambda: engine.stats()["kafka_bridge_state"] == "running", 60, lambda: engine.log())
    return engines


def _twenty_keys(netns, etcd, engines, tmp_path):
    """assigned; returns ({key: engine}, e1's keys)"""
    symbols = tmp_path / "symbols"
    symbols.write_text("\n".join(f"K{i}" for i in range(20)))
    etcd_ctl(netns, "assign", "--symbols", symbols, "--endpoints", etcd.urls)
    owners = etcd.owners()
    mine = sorted(key for key, owner in owners.items() if owner == "e1")
    assert 0 < len(mine) < 20
    wait_for(lambda: owned(engines["e1"]) == set(mine), 10, "e1's keys")
    return owners, mine


def _lease(engine):
    """lease.json of its journal directory"""
    with open(os.path.join(engine.journal_dir, "lease.json"), encoding="ascii") as file:
        return json.load(file)


def _values(broker, topic):
    return [record.value for record in broker.read(topic)]


def _gaps(broker, topic, reason="taken_over"):
    gaps = [json.loads(record.value) for record in broker.read(topic + "-gaps")]
    return [gap for gap in gaps if gap["reason"] == reason]


def _running(engine):
    wait_for(lambda: engine.stats()["kafka_bridge_state"] == "running" and engine.stats()["kafka_bridge_lag"] == 0, 60,
             lambda: engine.log())


@pytest.mark.timeout(300)
def test_a_dead_engine_is_fenced_first(netns, broker, topic, make_etcd, make_engine, tmp_path):
    """Its transactional.id is taken before its keys are. When it wakes up it finds out, and what it has taken since
    then of keys that were taken over stays off the topic: the gaps topic names it."""
    broker.attach(netns)
    etcd = make_etcd(netns)
    engines = _bridged(netns, broker, etcd, make_engine, topic)
    one, two = engines["e1"], engines["e2"]
    before, mine = _twenty_keys(netns, etcd, engines, tmp_path)
    assert one.post(mine[0], b"before").status_code == 200
    _running(one)
    os.kill(one.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: set(etcd.owners().values()) == {"e2"}, 2 * LEASE_S, "its keys taken")
        assert "etcd: engine e1 is gone and fenced; its keys get new owners" in two.log()
        wait_for(lambda: two.post(mine[0], b"elsewhere").status_code == 200, 5, "taken by e2")
        # it waits in e1's socket until it wakes up; then e1 believes for a moment that the key is its own
        late = netns.connect("127.0.0.1", 8081, 120)
        late.sendall(f"POST /events?key={mine[0]} HTTP/1.1\r\nHost: e1\r\nContent-Length: 4\r\n\r\nlate".encode())
    finally:
        os.kill(one.pid, signal.SIGCONT)
    answer = late.recv(4096)
    late.close()
    wait_for(lambda: etcd.owners() == before and owned(one) == set(mine), 30, lambda: one.log())
    wait_for(lambda: time.time_ns() < _lease(one)["lease_end_ns"], 30, lambda: _lease(one))
    assert one.post(mine[0], b"after").status_code == 200
    wait_for(lambda: "another producer took transactional.id fast-path-e1" in one.log(), 30, lambda: one.log())
    taken = b" 200 " in answer.splitlines()[0]
    print(f"what waited for the stopped engine was {'taken and held back' if taken else 'refused'}")
    wait_for(lambda: b"after" in _values(broker, topic), 30, lambda: _values(broker, topic))
    assert sorted(_values(broker, topic)) == [b"after", b"before", b"elsewhere"]
    assert one.stats()["kafka_bridge_skipped_total"] == taken
    assert sum(gap["count"] for gap in _gaps(broker, topic)) == taken
    assert two.stats()["kafka_bridge_skipped_total"] == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_started_while_cut_off(netns, broker, topic, make_etcd, make_engine, tmp_path, end):
    """e1 ends, by kill -9 or having given its lease back, and starts again without etcd but with Kafka. What it takes
    under OWNED_KEYS, before and after its keys go to e2, is held back; so also after one more kill -9."""
    broker.attach(netns)
    etcd = make_etcd(netns)
    engines = _bridged(netns, broker, etcd, make_engine, topic)
    one = engines["e1"]
    before, mine = _twenty_keys(netns, etcd, engines, tmp_path)
    assert one.post(mine[0], b"before").status_code == 200
    _running(one)
    # etcd goes away for e1 alone
    door = f"http://127.0.0.1:{_closed_door(netns)}"
    wait_for(lambda: _lease(one)["revision"] >= etcd.revision() - 2, 10, lambda: _lease(one))
    if end == "killed":
        one.kill9()
    else:
        one.stop()
    began = time.time_ns()
    one.configure({"etcd": {"endpoints": door}})
    one.environment["OWNED_KEYS"] = ",".join(mine)
    one.start()
    reason = wait_for(lambda: one.stats()["kafka_bridge_reason"], 10, "a reason")
    assert reason == "waiting for this engine's lease in etcd: until then its keys may belong to others"
    assert one.stats()["kafka_bridge_state"] == "connecting"
    status, health = one.health()
    assert status == 200, health
    # an event that nobody can vouch for: maybe the lease was given back
    assert one.post(mine[0], b"blind").status_code == 200
    wait_for(lambda: set(etcd.owners().values()) == {"e2"}, 2 * LEASE_S, "its keys taken")
    for key in mine:
        assert one.post(key, b"late" + key.encode()).status_code == 200
        wait_for(lambda: engines["e2"].post(key, b"elsewhere" + key.encode()).status_code == 200, 5, "taken by e2")
    one.kill9()
    # and back
    one.configure({"etcd": {"endpoints": etcd.urls}})
    one.start()
    _running(one)
    wait_for(lambda: etcd.owners() == before and owned(one) == set(mine), 30, lambda: one.log())
    assert one.post(mine[0], b"after").status_code == 200
    wait_for(lambda: b"after" in _values(broker, topic), 30, lambda: one.log())
    want = [b"before", b"after"] + [b"elsewhere" + key.encode() for key in mine]
    assert sorted(_values(broker, topic)) == sorted(want)
    assert one.stats()["kafka_bridge_skipped_total"] == 1 + len(mine)
    gaps = _gaps(broker, topic)
    assert sum(gap["count"] for gap in gaps) == 1 + len(mine) and {gap["engine"] for gap in gaps} == {"e1"}
    cut = wait_for(lambda: _lease(one)["cut_off"], 10, lambda: _lease(one))
    assert len(cut) == 1 and began < cut[0]["from_ns"] < cut[0]["to_ns"] <= time.time_ns(), cut
    # it is remembered until it is certain that nothing of it is left: a restart goes on with it
    one.restart()
    _running(one)
    assert sorted(_values(broker, topic)) == sorted(want)


def _closed_door(netns):
    """a port where nobody listens"""
    def free():
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]
    return netns.call(free)


@pytest.mark.timeout(300)
def test_etcd_away_and_nothing_taken(netns, broker, topic, make_etcd, make_engine):
    """leases run out, nobody takes a key: everything is delivered once, by the producers that ran, and after kill -9"""
    broker.attach(netns)
    etcd = make_etcd(netns)
    engines = _bridged(netns, broker, etcd, make_engine, topic)
    one = engines["e1"]
    etcd.assign(["A", "B"], "e1")
    wait_for(lambda: owned(one), 10, "keys")
    keys = sorted(owned(one))
    wait_for(lambda: _lease(one)["revision"] > 0, 10, "the revision noted")
    etcd.kill()
    ended = _lease(one)["lease_end_ns"]
    wait_for(lambda: time.time_ns() > ended, 2 * LEASE_S, "the lease's end")
    wait_for(lambda: "the lease of engine e1 has run out" in one.log(), 10, lambda: one.log())
    assert one.post(keys[0], b"1").status_code == 200
    wait_for(lambda: _values(broker, topic) == [b"1"], 30, "delivered without etcd")
    one.kill9()
    one.environment["OWNED_KEYS"] = ",".join(keys)
    one.start()
    assert one.post(keys[0], b"2").status_code == 200
    wait_for(lambda: one.stats()["kafka_bridge_reason"].startswith("waiting for this engine's lease"), 10, lambda: one.log())
    etcd.revive()
    _running(one)
    assert one.post(keys[0], b"3").status_code == 200
    wait_for(lambda: b"3" in _values(broker, topic), 30, lambda: one.log())
    assert _values(broker, topic) == [b"1", b"2", b"3"]
    for engine in engines.values():
        assert engine.stats()["kafka_bridge_skipped_total"] == 0
    assert _gaps(broker, topic) == [] and _lease(one)["cut_off"] == []


@pytest.mark.parametrize("text, words", [
    ("{", "is damaged: "), ("[]", "it has no version"), ('{"version":2}', "has version 2, this program knows 1: run the newer program"),
    ('{"version":1,"lease_end_ns":1,"revision":1,"cut_off":[{"from_ns":5,"to_ns":5,"revision":1}]}',
     "an interval needs from_ns < to_ns and a revision")])
def test_a_damaged_lease_file(netns, make_engine, text, words):
    engine = make_engine(netns, http_only("http://127.0.0.1:1", "e1") | {"kafka": {"enable": 1, "bootstrap_servers": "127.0.0.1:1"}})
    engine.launch()
    wait_for(lambda: os.path.exists(os.path.join(engine.journal_dir, "lease.json")), 30, lambda: engine.log())
    engine.stop()
    with open(os.path.join(engine.journal_dir, "lease.json"), "w", encoding="ascii") as file:
        file.write(text)
    status, log = engine.run_to_end()
    assert status != 0 and f"{engine.journal_dir}/lease.json" in log and words in log, log
