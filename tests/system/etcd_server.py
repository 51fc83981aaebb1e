# SPDX-License-Identifier: Apache-2.0
"""A real etcd inside a network namespace, started and stopped by scripts/etcd.sh, its data in memory."""
import base64
import json
import os
import shutil
import signal
import subprocess

import sandbox
from appliance import ROOT, PATIENCE, http_session, wait_for

SCRIPT = os.path.join(ROOT, "scripts", "etcd.sh")
REGISTRY, ASSIGNMENTS = "/registry/engines/", "/assignments/"


def fetch():
    """Get what FASTPATH_ETCD names, and see that it runs. Returns (version, why there is none): one of them is None."""
    done = subprocess.run([SCRIPT, "fetch"], capture_output=True, text=True, check=False, timeout=900)
    if done.returncode == 3:
        return None, done.stderr.strip().splitlines()[-1]
    assert done.returncode == 0, done.stderr
    version = subprocess.run([done.stdout.strip(), "--version"], capture_output=True, text=True, check=True).stdout
    return version.split()[2], None


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def unb64(text):
    return base64.b64decode(text).decode()


def prefix_end(prefix):
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class Etcd:
    """nodes, endpoints; kill(i) and revive(i) keep a node's data."""

    def __init__(self, netns, name, nodes=1, host="127.0.0.1", port=2379, tls=None, options=()):
        self.netns = netns
        self.directory = f"/dev/shm/etcd-{name}"
        self.http = http_session(netns)
        arguments = ["start", "--nodes", nodes, "--dir", self.directory, "--host", host, "--port", port]
        if tls:
            arguments += ["--tls", tls]
        # to files: a node that inherits a pipe would keep it open
        os.makedirs(self.directory, exist_ok=True)
        # the nodes are daemons; should we be killed, this ends them
        self.guard = subprocess.Popen(
            ["sh", "-c", 'tail --pid="$1" -f /dev/null; kill -9 $(cat "$2"/n*.pid); rm -rf "$2"', "guard",
             str(os.getpid()), self.directory], start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(self.directory + ".out", "w+", encoding="utf-8") as out:
            done = netns.run(SCRIPT, *arguments, *(["--", *options] if options else []), stdout=out,
                             stderr=subprocess.STDOUT, check=False, timeout=60 * PATIENCE)
            out.seek(0)
            text = out.read()
        assert done.returncode == 0, text
        self.endpoints = text.strip().splitlines()[-1].split(",")
        self.commands = []
        for i in range(nodes):
            with open(f"/proc/{self.pid(i)}/cmdline", "rb") as file:
                self.commands.append([word.decode() for word in file.read().split(b"\0")[:-1]])

    @property
    def urls(self):
        return ",".join(self.endpoints)

    def pid(self, i):
        with open(f"{self.directory}/n{i + 1}.pid", encoding="ascii") as file:
            return int(file.read())

    def kill(self, i=0):
        pid = self.pid(i)
        os.kill(pid, signal.SIGKILL)
        # in a container nobody may reap it; a zombie's other threads may still hold its sockets
        wait_for(lambda: not sandbox.alive(pid) or state(pid) == "Z", 10, "etcd's end")
        wait_for(lambda: not self._listens(i), 10, "etcd's port free")

    def _listens(self, i):
        host, port = self.endpoints[i].rsplit("/", 1)[1].rsplit(":", 1)
        try:
            self.netns.connect(host, int(port), 1).close()
            return True
        except OSError:
            return False

    def revive(self, i=0):
        with open(f"{self.directory}/n{i + 1}.log", "ab") as log:
            process = self.netns.spawn(*self.commands[i], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        with open(f"{self.directory}/n{i + 1}.pid", "w", encoding="ascii") as file:
            file.write(str(process.pid))

    def close(self):
        self.netns.run(SCRIPT, "stop", "--dir", self.directory, check=False)
        os.killpg(self.guard.pid, signal.SIGKILL)
        self.guard.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.http.close()

    # ---- requests ----

    def ask(self, path, body, node=None, **options):
        error = None
        for endpoint in self.endpoints if node is None else [self.endpoints[node]]:
            try:
                answer = self.http.post(endpoint + path, data=json.dumps(body), timeout=10 * PATIENCE, **options)
            except OSError as exception:
                error = exception
                continue
            if answer.status_code == 200:
                return answer.json()
            error = answer.text
        raise AssertionError(f"{path}: {error}")

    def put(self, key, value):
        return int(self.ask("/v3/kv/put", {"key": b64(key), "value": b64(value)})["header"]["revision"])

    def items(self, prefix):
        """{key: kv}, key and value as text"""
        found = self.ask("/v3/kv/range", {"key": b64(prefix), "range_end": b64(prefix_end(prefix))})
        out = {}
        for kv in found.get("kvs", []):
            out[unb64(kv["key"])] = kv | {"value": unb64(kv.get("value", ""))}
        return out

    def engines(self):
        return {key[len(REGISTRY):]: json.loads(kv["value"]) for key, kv in self.items(REGISTRY).items()}

    def owners(self):
        """{key: engine}"""
        return {key[len(ASSIGNMENTS):]: kv["value"] for key, kv in self.items(ASSIGNMENTS).items()}

    def assign(self, keys, engine):
        """many puts, a hundred in a transaction"""
        keys = list(keys)
        for at in range(0, len(keys), 100):
            self.ask("/v3/kv/txn", {"success": [
                {"request_put": {"key": b64(ASSIGNMENTS + key), "value": b64(engine)}} for key in keys[at:at + 100]]})

    def revision(self):
        return int(self.ask("/v3/kv/range", {"key": b64("x")})["header"]["revision"])

    def compact(self, revision):
        self.ask("/v3/kv/compaction", {"revision": str(revision), "physical": True})

    def leader(self):
        """index of the node that leads"""
        for i in range(len(self.endpoints)):
            try:
                status = self.ask("/v3/maintenance/status", {}, node=i)
            except AssertionError:
                continue
            if status["leader"] == status["header"]["member_id"]:
                return i
        return None

    def history(self, prefix, last):
        """every change from the first revision to `last`: [(revision, key, value or None)]"""
        body = {"create_request": {"key": b64(prefix), "range_end": b64(prefix_end(prefix)), "start_revision": "1"}}
        out = []
        for endpoint in self.endpoints:
            try:
                stream = self.http.post(endpoint + "/v3/watch", data=json.dumps(body), stream=True, timeout=10 * PATIENCE)
            except OSError:
                continue
            with stream:
                for line in stream.iter_lines():
                    for event in json.loads(line)["result"].get("events", []):
                        kv = event["kv"]
                        gone = event.get("type") == "DELETE"
                        out.append((int(kv["mod_revision"]), unb64(kv["key"]), None if gone else unb64(kv["value"])))
                    if out and out[-1][0] >= last:
                        return out
        raise AssertionError(f"no history up to {last}: {out[-1:]}")


def state(pid):
    """as /proc has it; Z also when it is gone"""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"
