# SPDX-License-Identifier: Apache-2.0
"""The image: what is in it, and that it works with exactly the privileges that docker-compose.yml gives to it."""
import os
import re
import shutil
import signal
import stat
import subprocess

import pytest

import container
from appliance import ROOT, ctl, wait_for

# the first one builds it
pytestmark = pytest.mark.timeout(1800)

LIMIT = 250 * 10**6
PREFIX = "fastpath-e1"
CAP_ADDED = {"NET_RAW", "NET_ADMIN", "IPC_LOCK", "SYS_NICE"}


@pytest.fixture(scope="module")
def image():
    """built by scripts/image.sh; skipped by its reason where that cannot be"""
    refused = container.missing()
    if refused:
        pytest.skip(refused)
    one = container.Image()
    if one.refused:
        pytest.skip(one.refused)
    return one


@pytest.fixture
def lan():
    one = container.Lan()
    yield one
    one.close()


@pytest.fixture
def run(image, lan, tmp_path):
    """run(service="hft-app", file="docker-compose.yml", ...): a container of its own host on the lan, not started"""
    made = []

    def make(service="hft-app", file="docker-compose.yml", host=None, changes=None, huge=False, **options):
        directory = tmp_path / f"container{len(made)}"
        binds = options.pop("binds", {})
        if service == "hft-app":
            # on a machine's own: what other tests leave there is none of its business
            binds = {"/dev/shm": f"/dev/shm/{tmp_path.name}-{directory.name}"} | binds
            if not huge:
                # as on a machine that has mounted none
                binds = {"/dev/hugepages": str(tmp_path / "no-hugepages")} | binds
        keys = container.compose(file)[service] | (changes or {})
        made.append(container.Container(image, keys, host or lan.host(), directory, binds=binds, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()
        # what a killed engine left would take memory from the next test
        if "/dev/shm" in one.binds:
            shutil.rmtree(one.binds["/dev/shm"], ignore_errors=True)


def feed(run, count, rate=5000, keys=100):
    """the service feedsim of the monitoring stack, with an end; returns what it sent"""
    sender = run("feedsim", "docker-compose.monitoring.yml",
                 changes={"command": ["--group", "239.1.1.1", "--port", "9000", "--rate", str(rate), "--keys", str(keys),
                                      "--count", str(count)]})
    status, log = sender.run_to_end()
    assert status == 0, log
    assert re.search(rf'"sent": *{count}\b', log), log


def journal_of(app):
    return os.path.join(app.volume("/var/lib/fastpath"), "journal")


def journaled(app):
    """what is in its journal: the number of events"""
    assert ctl("journal", "verify", journal_of(app)).returncode == 0
    return sum(1 for line in ctl("journal", "cat", journal_of(app)).stdout.splitlines() if b'"type":"event"' in line.replace(b" ", b""))


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


# ---- what is in it ----

def test_size_and_configuration(image):
    """under 250 MB; says what it is, how to probe it, where its data is"""
    assert image.size < LIMIT
    environment = dict(line.split("=", 1) for line in image.config["Env"])
    assert environment["HTTP_LISTEN"] == "0.0.0.0:8080" and environment["JOURNAL_DIR"].startswith("/var/lib/fastpath/")
    assert "FAST_PATH_ENABLE" not in environment, "off by default, as everywhere"
    assert image.config["Entrypoint"] == ["fastpath"] and list(image.config["Volumes"]) == ["/var/lib/fastpath"]
    assert list(image.config["ExposedPorts"]) == ["8080/tcp"]
    assert "/health/ready" in " ".join(image.config["Healthcheck"]["Test"])
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.title"] == "hft-fast-path"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert re.search(rf"\b{re.escape(labels['org.opencontainers.image.version'])}\b",
                     subprocess.run(["chroot", image.rootfs, "fastpath", "--version"], capture_output=True, text=True,
                                    check=True).stdout)


def test_any_docker_builds_it():
    """nothing in the Dockerfile needs BuildKit, so Docker 20.10 takes it as it comes"""
    with open(os.path.join(ROOT, "Dockerfile"), encoding="utf-8") as file:
        text = file.read()
    assert not re.search(r"--mount|--chmod|--link|<<|^# *syntax|--security|--network", text, re.M)
    assert re.findall(r"^FROM (\S+)", text, re.M) == ["debian:bookworm-slim"] * 2


def test_nothing_else_is_in_it(image):
    """no compiler, no Python, no sources; no program that gives privileges but those of the base"""
    for name in ("cc", "gcc", "make", "python3", "git"):
        assert not os.path.lexists(os.path.join(image.rootfs, "usr/bin", name)), name
    assert not os.path.exists(os.path.join(image.rootfs, "src"))
    assert not os.listdir(os.path.join(image.rootfs, "var/lib/apt/lists"))
    privileged = []
    for base, _, names in os.walk(image.rootfs):
        for name in names:
            mode = os.lstat(os.path.join(base, name)).st_mode
            if stat.S_ISREG(mode) and mode & stat.S_ISUID:
                privileged.append(name)
    assert set(privileged) <= {"chfn", "chsh", "gpasswd", "mount", "newgrp", "passwd", "su", "umount"}, privileged


def test_drivers(image):
    """DPDK's drivers are those that docs/container.md lists, and EAL can load each of them"""
    directory = "usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0"
    present = {m[1] for m in (re.fullmatch(r"librte_(\w+)\.so\.23", name)
                              for name in os.listdir(os.path.join(image.rootfs, directory))) if m}
    with open(os.path.join(ROOT, "docs", "container.md"), encoding="utf-8") as file:
        listed = set(re.findall(r"`((?:net|bus|mempool|common)_\w+)`", file.read()))
    assert present == listed
    shown = subprocess.run(["chroot", image.rootfs, "sh", "-c", f"ldd /{directory}/*.so.23"], capture_output=True, text=True,
                           check=True).stdout
    assert "not found" not in shown


def test_programs_that_the_guide_runs(run, image):
    """curl, fastpathctl, feedsim, dpdk-dumpcap; a bad variable is one line and status 2"""
    for command in (["curl", "--version"], ["fastpathctl", "--version"], ["feedsim", "--version"], ["sh", "-c", "true"],
                    ["dpdk-dumpcap", "--help"]):
        done = subprocess.run(["chroot", image.rootfs, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    status, log = run(changes={"command": ["--check-config"]}).run_to_end()
    assert status == 0, log
    status, log = run(environment={"FAST_PATH_METRICS": "maybe"}).run_to_end()
    assert status == 2 and log.count("\n") == 1 and "FAST_PATH_METRICS" in log, log


# ---- as shipped ----

def test_as_shipped(run, huge):
    """docker-compose.yml's privileges, and no more: packets journaled, tools exec'ed, a clean end"""
    app = run(huge=huge).start()
    assert set(app.capabilities) == CAP_ADDED
    feed(run, 5000)
    wait_for(lambda: app.stats()["fast_path_count"] == 5000, 20, lambda: f"5000 events: {app.stats()}")
    answer = app.get("/health")
    assert answer.status_code == 200, answer.text
    shown = app.exec("curl", "-f", "http://localhost:8080/health").stdout
    assert '"status"' in shown
    assert "5000" in app.exec("fastpathctl", "status").stdout
    assert app.exec("fastpathctl", "journal", "verify", "/var/lib/fastpath/journal").returncode == 0
    assert ("hugepages 2M" in app.log()) == huge, app.log()
    # what the engine has left of it, and what nobody in there can get back
    process = status_of(app.pid)
    assert int(process["CapEff"], 16) == 0 and int(process["CapPrm"], 16) == 0, process
    assert process["NoNewPrivs"] == "1" and process["Seccomp"] == "2", process
    for path in ("/usr/bin/x", "/etc/x", "/x"):
        assert app.exec("touch", path, check=False).returncode != 0, path
    log = app.stop()
    # ARP and such is filtered
    assert re.search(r"stopped: 5000 messages, 5000 journaled, \d+ filtered, 0 dropped", log), log
    assert journaled(app) == 5000


def test_dumpcap(run, huge):
    """dpdk-dumpcap, exec'ed inside, captures what the port takes"""
    if not huge:
        pytest.skip("DPDK's secondary processes need hugepages")
    app = run(huge=True).start()
    sender = run("feedsim", "docker-compose.monitoring.yml").launch()
    app.exec("dpdk-dumpcap", f"--file-prefix={PREFIX}", "-i", "0", "-c", "100", "-w", "/var/lib/fastpath/capture.pcapng")
    sender.stop()
    shown = subprocess.run(["tcpdump", "-n", "-r", os.path.join(app.volume("/var/lib/fastpath"), "capture.pcapng")],
                           capture_output=True, text=True, check=False)
    # among them may be ARP
    assert shown.stdout.count("\n") >= 100 and shown.stdout.count("239.1.1.1.9000") >= 90, shown.stderr
    app.stop()


def test_killed_container(run, huge):
    """kill -9: the next container on the same volumes has everything, from the memory that the first one left"""
    app = run(huge=huge).start()
    feed(run, 3000)
    wait_for(lambda: app.stats()["fast_path_count"] == 3000, 20, "3000 events")
    app.kill(signal.SIGKILL)
    assert app.process.wait(timeout=30) == 128 + signal.SIGKILL
    app.start()
    assert app.stats()["shard_0_last_seq"] == 3000, app.log()
    feed(run, 1000)
    wait_for(lambda: app.stats()["shard_0_last_seq"] == 4000, 20, lambda: app.stats())
    app.stop()
    assert journaled(app) == 4000


@pytest.mark.parametrize("capability, what", [("NET_RAW", "port nic0"), ("NET_ADMIN", "port nic0"), ("IPC_LOCK", "port nic0"),
                                              ("SYS_NICE", "rte_eal_init")])
def test_each_capability_is_needed(run, huge, capability, what):
    """without one of them the start is refused, and says what failed"""
    if capability == "SYS_NICE" and not huge:
        pytest.skip("only hugepages are bound to NUMA nodes")
    status, log = run(huge=huge, without=[capability]).run_to_end()
    assert status == 2 and what in log.splitlines()[-1], log


def test_without_any_privilege(run):
    """HTTP only: any user, no capability at all"""
    app = run(user=65534, without=CAP_ADDED, environment={"FAST_PATH_ENABLE": "0"})
    for source in (app.volume("/var/lib/fastpath"), app.binds["/dev/shm"]):
        os.chown(source, 65534, 65534)
    app.start()
    done = app.exec("curl", "-sf", "-d", "x", "http://localhost:8080/events?key=BTC")
    assert '"durable":true' in done.stdout.replace(" ", ""), done.stdout
    app.stop()
    assert journaled(app) == 1
