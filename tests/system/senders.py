# SPDX-License-Identifier: Apache-2.0
"""Feed handlers: feedsim, and a paced sender in Python whose every byte the test knows."""
import json
import re
import signal
import subprocess
import threading
import time

import checks
from appliance import PATIENCE, program, wait_for

GROUPS = {"ticks": ("239.1.1.1", 9000), "orders": ("239.1.1.2", 9001)}


class Feedsim:
    """feedsim in the feed's namespace; sent() waits for its end and returns its summary"""

    def __init__(self, wire, port=0, **options):
        group, udp_port = GROUPS["ticks"]
        options = {"group": group, "port": udp_port, "interface-address": f"10.99.{port}.2",
                   "framing": "raw", "codec": "keyed", "keys": 500, "seed": 1} | options
        arguments = []
        for name, value in options.items():
            if value is not None:
                arguments += ["--" + name.replace("_", "-"), str(value)]
        self.process = wire.feed.spawn(program("feedsim"), *arguments, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.sent()

    def sent(self, timeout=300):
        out, err = self.process.communicate(timeout=timeout * PATIENCE)
        assert self.process.returncode == 0, f"feedsim: status {self.process.returncode}\n{err.decode()}"
        return json.loads(out)


def feedsim_events(count, keys=500, seed=1, size=64, prefix="K", codec="keyed"):
    """[(key, payload)] that feedsim sends, from its --help"""
    out = []
    for i in range(count):
        key, n = f"{prefix}{i % keys:04d}", i // keys + 1
        head, tail = (f'{{"key":"{key}","n":{n},"data":"', '"}') if codec == "json" else ("", "")
        text = f"{seed}:{key}:{n}:"
        room = size - len(head) - len(tail)
        text += "".join(chr(97 + j % 26) for j in range(len(text), room))
        out.append((key.encode(), (head + text + tail).encode()))
    return out


def paced(send, items, rate):
    """send(item) for each, `rate` a second in bursts of a millisecond; None: as fast as it goes"""
    start = time.monotonic()
    for i, item in enumerate(items):
        if rate and i % max(1, rate // 1000) == 0:
            ahead = i / rate - (time.monotonic() - start)
            if ahead > 0:
                time.sleep(ahead)
        send(item)


def send_keyed(wire, events, rate=20000, feed="ticks", port=0):
    """multicast the events [(key, payload)] as a keyed feed"""
    with wire.udp(port) as s:
        s.connect(GROUPS[feed])
        paced(s.send, (checks.keyed(k, p) for k, p in events), rate)


LETTERS = bytes(range(97, 123)) * 80


def numbered(i, keys=500, size=64):
    """(key, payload) of event i of a Paced feed: printable, unique, and exactly_once.c knows its every byte"""
    return b"K%03d" % (i % keys), b"%010d" % i + LETTERS[i % 26:i % 26 + size - 10]


class Paced:
    """Sends `count` events from number `first` on, numbered(), as real packets, with no more than `window` of them on
    their way: sent, and not yet journaled by the engine's own /stats. Nothing on the way has to drop any then, however
    slow the machine is, and a frame that is lost all the same stops the feed with the engine's counters.

    It goes on after these until wait(), so that tests which kill things always have a feed.

    mortal: the engine will be killed. What is on its way then is lost, and the feed goes on, slower, while nobody is
    there: confirmed counts the events that a /stats answer has reported as journaled.
    """

    AWAY_RATE = 2000  # a second, while the engine does not answer
    BACKLOG = 100000  # not yet durable: the memlog holds more

    def __init__(self, wire, engine, count, first=0, rate=40000, window=400, mortal=False, size=64):
        self.first, self.next, self.end = first, first, first + count
        self.confirmed = 0
        self.seconds = 0.0
        self._engine, self._mortal, self._rate, self._window, self._size = engine, mortal, rate, window, size
        self._base = None  # (next, journaled) when this run of the engine was first asked
        self._known = 0  # journaled by it, as far as it said
        self._start = None
        self._ending = threading.Event()
        self._error = None
        self._http = None
        self._socket = wire.udp()
        self._socket.connect(GROUPS["ticks"])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def sent(self):
        """(first, end) of what went out"""
        return self.first, self.next

    def _run(self):
        begin = time.monotonic()
        try:
            while not self._ending.is_set() or self.next < self.end:
                ahead = (self.next - self.first) / self._rate - (time.monotonic() - begin)
                if ahead > 0:
                    time.sleep(ahead)
                self._send(self._room() if self.next >= self.end else min(self._room(), self.end - self.next))
            self._settle()
        except (OSError, AssertionError) as error:
            self._error = error
        self.seconds = time.monotonic() - begin
        if self._http is not None:
            self._http.close()

    def _send(self, count):
        for i in range(self.next, self.next + count):
            key, payload = numbered(i, size=self._size)
            self._socket.send(checks.keyed(key, payload))
        self.next += count

    # ---- what the engine says ----

    def _journaled(self):
        """how many events this run of the engine has journaled, and how many of them wait for the disk; None: it is away"""
        try:
            if self._http is None:
                self._http = self._engine.netns.connect("127.0.0.1", int(self._engine.address.rsplit(":", 1)[1]), 10)
            stats = json.loads(self._get(b"/stats"))
            if "fast_path_count" not in stats:
                raise OSError(f"not yet: {stats}")
        except (OSError, ValueError) as error:
            if self._http is not None:
                self._http.close()
            self._http = None
            assert self._mortal, f"the engine is away: {error}"
            return None
        if self._start != self._engine.starts:
            self._start, self._base, self._known = self._engine.starts, (self.next, stats["fast_path_count"]), 0
        self.confirmed += stats["fast_path_count"] - self._known
        self._known = stats["fast_path_count"]
        return stats

    def _get(self, path):
        self._http.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: engine\r\n\r\n")
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._http.recv(65536)
            if not more:
                raise OSError("it ended the connection")
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        while len(body) < length:
            more = self._http.recv(65536)
            if not more:
                raise OSError("it ended the connection")
            body += more
        return body

    def _room(self):
        """how many may go out now: waits until some may"""
        moved, before = time.monotonic(), None
        while True:
            stats = self._journaled()
            if stats is None:
                time.sleep(0.01)
                return self.AWAY_RATE // 100
            on_their_way = self.next - self._base[0] - (self._known - self._base[1])
            if on_their_way < self._window // 2 and stats["persistence_queue_lag"] < self.BACKLOG:
                return self._window - max(on_their_way, 0)
            if self._known != before:
                moved, before = time.monotonic(), self._known
            if self._mortal and time.monotonic() - moved > 0.5:
                self._base = self.next, self._known  # they came before it listened
            assert time.monotonic() - moved < 60 * PATIENCE, f"{on_their_way} events do not arrive: {lost(stats)}"
            time.sleep(0.0005)

    def _settle(self):
        """all that was sent has arrived"""
        deadline = time.monotonic() + 60 * PATIENCE
        while not self._mortal and self._base is not None:
            stats = self._journaled()
            missing = self.next - self._base[0] - (self._known - self._base[1])
            if missing <= 0:
                return
            assert time.monotonic() < deadline, f"{missing} events do not arrive: {lost(stats)}"
            time.sleep(0.01)

    # ---- the test's side ----

    def reach(self, share, seconds=600):
        """wait until this share of the events went out"""
        def there():
            assert self._error is None, self._error
            return self.next - self.first >= share * (self.end - self.first)
        wait_for(there, seconds, lambda: f"{share} of the feed; it is at {self.next}")

    def wait(self, seconds=600):
        """until all went out and arrived"""
        self._ending.set()
        self._thread.join(timeout=seconds * PATIENCE)
        assert not self._thread.is_alive(), f"the feed is at event {self.next} of {self.end}"
        self._socket.close()
        assert self._error is None, self._error
        return self


def lost(stats):
    """what may tell where frames stayed"""
    return {k: v for k, v in stats.items() if v and ("frames" in k or "drop" in k or "reason" in k or "missed" in k)}


class Background:
    """Sends a keyed feed without end until stop(); sent is what went out, [(key, payload)]."""

    def __init__(self, wire, rate=5000, keys=50, size=32, start=0):
        self.sent = []
        self.start = start
        self._ending = threading.Event()
        self._error = None
        self._socket = wire.udp()
        self._socket.connect(GROUPS["ticks"])
        self._thread = threading.Thread(target=self._run, args=(rate, keys, size), daemon=True)
        self._thread.start()

    def _run(self, rate, keys, size):
        try:
            begin = time.monotonic()
            burst = max(1, rate // 500)
            while not self._ending.is_set():
                for event in checks.make_events(burst, keys, self.start + len(self.sent), size):
                    self._socket.send(checks.keyed(*event))
                    self.sent.append(event)
                ahead = len(self.sent) / rate - (time.monotonic() - begin)
                if ahead > 0:
                    time.sleep(ahead)
        except OSError as error:
            self._error = error

    def stop(self):
        self._ending.set()
        self._thread.join(timeout=30)
        self._socket.close()
        assert self._error is None, self._error
        return self.sent
