# SPDX-License-Identifier: Apache-2.0
"""The appliance under test: its configuration, its process, its figures, its journal."""
import base64
import json
import os
import re
import signal
import subprocess
import time
import uuid

import requests
import urllib3

import sandbox

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("FASTPATH_BUILD") or os.path.join(ROOT, "build"))
SANITIZED = os.path.basename(BUILD) == "sanitize" or bool(os.environ.get("SANITIZE"))
# every deadline in the tests is generous: it ends a wait for something that should have come long ago
PATIENCE = 3.0 if SANITIZED else 1.0


def program(name):
    return os.path.join(BUILD, name)


def wait_for(condition, seconds, what):
    """Poll until condition() is true, and return what it returned. An AssertionError names what never came."""
    deadline = time.monotonic() + seconds * PATIENCE
    pause = 0.005
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds * PATIENCE:.0f} s: {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


class _Connection(urllib3.connection.HTTPConnection):
    netns = None

    def _new_conn(self):
        try:
            return self.netns.connect(self.host, self.port, 10)
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(self, f"no connection inside {self.netns.name}: {error}")


class _Adapter(requests.adapters.HTTPAdapter):
    """requests whose sockets are made inside a network namespace"""

    def __init__(self, netns):
        self._netns = netns
        super().__init__(max_retries=0)

    def get_connection(self, url, proxies=None):
        pool = super().get_connection(url, proxies)
        pool.ConnectionCls = type("Connection", (_Connection,), {"netns": self._netns})
        return pool


def http_session(netns):
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", _Adapter(netns))
    return session


FEED_TICKS = {"port": "nic0", "codec": "keyed", "line_a": "239.1.1.1:9000"}


def af_packet(index=0, **extra):
    """a net_af_packet device string for fp<index>"""
    options = {"framecnt": 16384, "qpairs": 1} | extra
    return f"net_af_packet{index},iface=fp{index}," + ",".join(f"{k}={v}" for k, v in options.items())


def ini(sections):
    """INI text of {section: {key: value}}; None leaves a key out, a list repeats it"""
    lines = []
    for section, keys in sections.items():
        if keys is None:
            continue
        lines.append(f"[{section}]")
        for key, value in keys.items():
            for one in value if isinstance(value, list) else [value]:
                if one is not None:
                    lines.append(f"{key} = {one}".rstrip())
        lines.append("")
    return "\n".join(lines)


def merged(base, changes):
    out = {section: keys and dict(keys) for section, keys in base.items()}
    for section, keys in changes.items():
        out[section] = None if keys is None else {**(out.get(section) or {}), **keys}
    return out


class Engine:
    """One appliance in one namespace. Made by the engine fixture; restart() keeps directory and settings.

    settings: {section: {key: value}} over DEFAULTS; a section or key set to None is left out.
    """

    DEFAULTS = {
        "eal": {"lcores": "0@0,1@1,2@1"},
        "engine": {"id": "t1"},
        "dataplane": {"enable": 1, "rx_lcores": "1", "worker_lcores": "2", "idle": "adaptive"},
        "port nic0": {"device": af_packet(), "address": "10.99.0.1/24"},
        "feed ticks": FEED_TICKS,
        "ownership": {"mode": "all"},
        "journal": {"memory_mb": 16, "segment_mb": 16},
        "http": {"listen": "127.0.0.1:8080", "metrics": 1},
    }

    def __init__(self, netns, directory, settings=None, huge=False, environment=None, prefix=()):
        self.netns = netns
        self.directory = str(directory)
        self.journal_dir = os.path.join(self.directory, "journal")
        self.ini_path = os.path.join(self.directory, "fastpath.ini")
        self.huge = huge
        self.environment = dict(environment or {})
        self.prefix = list(prefix)
        self.settings = merged(self.DEFAULTS, {"journal": {"dir": self.journal_dir}})
        self.settings["engine"]["id"] = "t" + uuid.uuid4().hex[:8]
        if not huge:
            self.settings["eal"]["no-huge"] = ""
        self.process = None
        self.starts = 0
        self.http = http_session(netns)
        self.configure(settings or {})

    # ---- configuration ----

    def configure(self, changes):
        """merge changes into the settings; they hold from the next start on"""
        self.settings = merged(self.settings, changes)
        os.makedirs(self.directory, exist_ok=True)
        with open(self.ini_path, "w", encoding="utf-8") as file:
            file.write(ini(self.settings))

    @property
    def address(self):
        return self.settings["http"]["listen"]

    @property
    def log_path(self):
        return os.path.join(self.directory, f"engine-{self.starts}.log")

    def log(self):
        """what this start has logged so far"""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def _environment(self):
        clean = {k: v for k, v in os.environ.items()
                 if not re.match(r"(FAST_PATH_|FASTPATH_|KAFKA_|ETCD_|ENGINE_|OWNED_KEYS|OWNERSHIP|HTTP_|JOURNAL_|LOG_)", k)}
        # 80 bytes that libxdp allocated for net_af_xdp stay behind when the port is closed
        clean["LSAN_OPTIONS"] = "suppressions=" + os.path.join(ROOT, "tests", "system", "leaks.txt") + ":print_suppressions=0"
        clean["ASAN_OPTIONS"] = "detect_leaks=1:abort_on_error=0:exitcode=99"
        clean["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1:exitcode=99"
        return clean | self.environment

    # ---- the process ----

    def command(self):
        return self.netns.command(*self.prefix, program("fastpath"), "--config", self.ini_path)

    def launch(self):
        """start it and return at once"""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        self.starts += 1
        with open(self.log_path, "wb") as log:
            self.process = sandbox.spawn(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         env=self._environment(), cwd=self.directory)
        return self

    def start(self, seconds=30):
        """start it and wait until it is ready"""
        return self.launch().wait_ready(seconds)

    def wait_ready(self, seconds=30):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"the engine ended with status {self.process.returncode}\n{self.log()}")
            try:
                return self.http.get(f"http://{self.address}/health/ready", timeout=2).status_code == 200
            except requests.RequestException:
                return False
        wait_for(ready, seconds, lambda: f"engine ready\n{self.log()}")
        return self

    def run_to_end(self, seconds=30):
        """start it and wait for its exit; returns (status, log): for starts that must fail"""
        self.launch()
        return self.process.wait(timeout=seconds * PATIENCE), self.log()

    @property
    def pid(self):
        """of the engine itself: setpriv and ip netns exec replace themselves by it"""
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds=30, sig=signal.SIGTERM, status=0):
        """signal, wait, check the exit status; returns the log"""
        assert self.running, f"the engine is not running\n{self.log()}"
        self.process.send_signal(sig)
        try:
            self.process.wait(timeout=seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no exit within {seconds} s of signal {sig}\n{self.log()}")
        assert self.process.returncode == status, f"exit status {self.process.returncode}\n{self.log()}"
        return self.log()

    def kill9(self):
        self.process.kill()
        self.process.wait(timeout=30)

    def restart(self, changes=None, seconds=60):
        """stop it if it runs, start it again"""
        if self.running:
            self.stop()
        if changes:
            self.configure(changes)
        return self.start(seconds)

    def close(self):
        if self.running:
            self.process.kill()
        if self.process is not None:
            self.process.wait(timeout=30)
            # what a killed engine left would take memory from the next test
            for path in self.memlogs() + _files(f"fastpath-{self.settings['engine']['id']}map_"):
                os.unlink(path)
        self.http.close()

    # ---- HTTP ----

    def get(self, path, **options):
        options.setdefault("timeout", 10 * PATIENCE)
        try:
            return self.http.get(f"http://{self.address}{path}", **options)
        except requests.ConnectionError:
            # it ends a connection that nobody used until its deadline: maybe just when we asked
            if not self.running:
                raise
            return self.http.get(f"http://{self.address}{path}", **options)

    def post(self, key, payload=b"", **options):
        """POST /events; returns the response"""
        options.setdefault("timeout", 10 * PATIENCE)
        return self.http.post(f"http://{self.address}/events", params={"key": key}, data=payload, **options)

    def stats(self):
        answer = self.get("/stats")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def health(self):
        """(HTTP status, JSON)"""
        answer = self.get("/health")
        return answer.status_code, answer.json()

    def metrics(self):
        """the Prometheus text"""
        answer = self.get("/metrics")
        assert answer.status_code == 200, answer.text
        return answer.text

    # ---- figures ----

    def rest(self, seconds=30, quiet=0.6):
        """Wait until nothing moves: figures stand still and all is durable. Returns the stats then."""
        seen = [None, time.monotonic()]

        def still():
            now = self.stats()
            moving = {k: v for k, v in now.items() if k in STILL}
            if moving != seen[0]:
                seen[0], seen[1] = moving, time.monotonic()
            rested = time.monotonic() - seen[1] > quiet * PATIENCE and now["persistence_queue_lag"] == 0
            return now if rested else None
        return wait_for(still, seconds, "figures at rest, journal lag 0")

    # ---- journal ----

    def journal(self, *arguments, directory=None):
        """the journal's records, as fastpathctl journal cat gives them"""
        return list(journal_cat(directory or self.journal_dir, *arguments))

    def memlogs(self):
        """the memlog files of this journal, as a killed engine leaves them"""
        try:
            with open(os.path.join(self.journal_dir, "journal.json"), encoding="utf-8") as file:
                name = "fastpath-" + json.load(file)["uuid"]
        except FileNotFoundError:
            return []
        return _files(name)


def _files(prefix):
    return [os.path.join(base, name) for base in ("/dev/shm", "/dev/hugepages") if os.path.isdir(base)
            for name in os.listdir(base) if name.startswith(prefix)]


STILL = ("fast_path_count", "fast_path_drops_total", "fast_path_filtered_total", "messages_total", "frames_seen_total")


def ctl(*arguments, check=True, timeout=120, **options):
    done = subprocess.run([program("fastpathctl"), *map(str, arguments)], capture_output=True, check=False,
                          timeout=timeout * PATIENCE, stdin=subprocess.DEVNULL, **options)
    if check:
        assert done.returncode == 0, f"fastpathctl {arguments}: status {done.returncode}\n{done.stderr.decode()}"
    return done


def journal_cat(directory, *arguments):
    """yields dicts; key and payload are bytes"""
    done = ctl("journal", "cat", *arguments, directory, timeout=600)
    for line in done.stdout.splitlines():
        record = json.loads(line)
        for field in ("key", "payload"):
            if field + "_base64" in record:
                record[field] = base64.b64decode(record[field + "_base64"])
            else:
                record[field] = record.get(field, "").encode()
        yield record
