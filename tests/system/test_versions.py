# SPDX-License-Identifier: Apache-2.0
"""Rollout and rollback: an earlier version of the program, built from this repository's history, and today's, in turns on
one journal. Takes minutes and the history: SOAK=1 only, skipped by name where the history is not there."""
import os
import shutil
import subprocess

import pytest

import checks
from appliance import ROOT, SANITIZED, program

# the earliest that has all of the journal and the Kafka bridge
EARLIER = os.environ.get("FASTPATH_EARLIER", "f3be1c2")

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """the program fastpath of then"""
    if SANITIZED:
        pytest.skip("a sanitized build: the earlier version would be built once more for the same")
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", ROOT]
    if shutil.which("git") is None or subprocess.run([*git, "cat-file", "-e", EARLIER + "^{commit}"], check=False,
                                                     capture_output=True).returncode != 0:
        pytest.skip(f"the commit {EARLIER} is not in this clone's history: git fetch --unshallow")
    source = tmp_path_factory.mktemp("earlier")
    archive = source / "earlier.tar"
    subprocess.run([*git, "archive", "-o", archive, EARLIER], check=True)
    subprocess.run(["tar", "-x", "-C", source, "-f", archive], check=True)
    environment = {k: v for k, v in os.environ.items() if k not in ("FASTPATH_BUILD", "MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "-C", source, "-j2", "build/fastpath", "VERSION=earlier"], check=False, env=environment,
                          capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return str(source / "build" / "fastpath")


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_old_new_old(earlier, make_engine, netns, monkeypatch, end):
    """what one version wrote, or left in its memlog, the other goes on with: nothing missing, nothing double"""
    engine = make_engine(netns, {"dataplane": {"enable": 0}, "port nic0": None, "feed ticks": None})
    sent = []
    for version, path in enumerate([earlier, program("fastpath"), earlier, program("fastpath")]):
        monkeypatch.setattr("appliance.program", lambda name, path=path: path if name == "fastpath" else program(name))
        engine.start()
        assert (engine.get("/stats").json()["version"] == "earlier") is (version in (0, 2))
        for i in range(50):
            key, payload = f"K{i % 7}", b"version %d event %d" % (version, i)
            assert engine.post(key, payload).status_code == 200
            sent.append((key.encode(), payload))
        if end == "stopped":
            engine.stop()
        else:
            engine.kill9()
    monkeypatch.undo()
    engine.start()
    engine.stop()
    records = engine.journal()
    assert checks.dense(records) == {0: len(sent)}
    assert [(e["key"], e["payload"]) for e in checks.events(records)] == sent
