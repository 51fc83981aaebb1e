# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium inside a network namespace, driven by Playwright."""
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile

import sandbox
from appliance import PATIENCE, ROOT

DRIVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "browser.js")
MODULES = os.path.join(ROOT, "build", "npm", "node_modules")


def fetch():
    """Get the driver. Returns why it cannot be had, or None."""
    for tool in ("node", "npm", "chromium"):
        if shutil.which(tool) is None:
            return f"there is no {tool}: run scripts/deps.sh console"
    os.makedirs(os.path.dirname(MODULES), exist_ok=True)
    with open(os.path.dirname(MODULES) + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([os.path.join(ROOT, "scripts", "npm.sh"), "fetch"], capture_output=True, text=True,
                              check=False, timeout=600, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        return "Playwright cannot be had from npm: " + (done.stderr.strip().splitlines() or ["?"])[-1]
    return None


class Browser:
    """call(name, **options) gives what browser.js answers; an AssertionError names what went wrong"""

    def __init__(self, netns, directory):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        # its profile is new and empty
        environment = {"PATH": os.environ["PATH"], "HOME": self.directory, "LANG": "C.UTF-8"}
        # short: there is a socket in it
        self.profiles = tempfile.mkdtemp(prefix="fpb")
        environment["TMPDIR"] = self.profiles
        self.log = open(os.path.join(self.directory, "browser.log"), "w+", encoding="utf-8")
        self.process = sandbox.spawn(netns.command("node", DRIVER, MODULES, shutil.which("chromium")), text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment)
        self.version = self._answer(120)

    def _answer(self, seconds):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds * PATIENCE)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.log.seek(0)
            raise AssertionError(f"the browser does not answer: {self.log.read()[-4000:]}")
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def call(self, name, **options):
        self.process.stdin.write(json.dumps({"name": name, **options}) + "\n")
        self.process.stdin.flush()
        return self._answer(60)

    def evaluate(self, script):
        return self.call("evaluate", script=script)

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText")

    def close(self):
        try:
            self.process.stdin.close()
            self.process.wait(timeout=30)
        except (subprocess.TimeoutExpired, OSError):
            self.process.kill()
            self.process.wait(timeout=30)
        self.log.close()
        shutil.rmtree(self.profiles, ignore_errors=True)
