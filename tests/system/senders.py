# SPDX-License-Identifier: Apache-2.0
"""Feed handlers: feedsim, and a paced sender in Python whose every byte the test knows."""
import json
import signal
import subprocess
import threading
import time

import checks
from appliance import PATIENCE, program

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
