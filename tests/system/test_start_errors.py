# SPDX-License-Identifier: Apache-2.0
"""Starts that must fail: exit status 2, and one line on standard error that says what, where and what to do.

The exact text of every configuration error is tested in tests/unit/test_config.c and test_lock.c; here is
what a user sees of each kind.
"""
import os
import re
import socket
import subprocess

import pytest

import appliance
import sandbox
from appliance import PATIENCE, ini, program

LCORES = "[eal]\nlcores = 0@0,1@0,2@0\nno-huge =\n"
PORT = "[port nic0]\ndevice = net_af_packet0,iface=fp0\naddress = 10.99.0.1/24\n"
FEED = "[feed ticks]\nport = nic0\nline_a = 239.1.1.1:9000\n"
ENABLE = "[dataplane]\nenable = 1\n"


class Starter:
    """Runs fastpath in a namespace with one configuration"""

    def __init__(self, netns, directory):
        self.netns = netns
        self.directory = directory
        self.path = os.path.join(directory, "x.ini")

    def run(self, text, *options, environment=None, config=True):
        """(status, standard error); {dir} in the text is the test's directory"""
        with open(self.path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.replace("{dir}", str(self.directory)).encode())
        arguments = [*options, *(["--config", self.path] if config else [])]
        clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
        clean |= {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99", "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99"}
        with sandbox.spawn(self.netns.command(program("fastpath"), *arguments), stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.directory, text=True,
                           env=clean | (environment or {})) as process:
            try:
                _, err = process.communicate(timeout=30 * PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            return process.returncode, err

    def refused(self, *arguments, **options):
        """the one line, without the program's name and with x.ini for the file"""
        status, err = self.run(*arguments, **options)
        assert status == 2, (status, err)
        assert err.endswith("\n") and err.count("\n") == 1, err
        assert err.startswith("fastpath: "), err
        return err.removeprefix("fastpath: ").rstrip("\n").replace(self.path, "x.ini")


@pytest.fixture
def starter(wire, tmp_path):
    return Starter(wire.appliance, tmp_path)


CHECKED = {
    "a line without '='": ("[log]\nlevel\n", "x.ini:2: level is not key = value"),
    "an indented line is no continuation": (
        "[port nic0]\ndevice = net_af_packet0\n  iface\n", "x.ini:3: iface is not key = value"),
    "an over-long value": (
        "[journal]\ndir = /" + "x" * 300 + "\n", "x.ini:2: the line has 307 bytes; at most 198 are taken"),
    "a zero byte": (b"[log]\nlevel = info\0\n", "x.ini:2: byte 13 is a control character (0x00)"),
    "an unknown key": ("[log]\ncolour = red\n", "x.ini:2: unknown key colour; [log] has level, format"),
    "a misplaced key": ("[log]\nring_size = 64\n", "x.ini:2: ring_size belongs in [dataplane]"),
    "a key before any section": ("level = info\n", "x.ini:1: level belongs in [log]"),
    "a duplicate key": (
        "[log]\nlevel = info\nlevel = info\n", "x.ini:3: log.level: duplicate: it stands at line 2"),
    "an unknown section": (
        "[logs]\n", "x.ini:1: unknown section [logs]; there are [engine] [eal] [dataplane] [port NAME] "
        "[feed NAME] [ownership] [journal] [http] [health] [log] [kafka] [etcd]"),
    "a duplicate section": ("[log]\n[log]\n", "x.ini:2: duplicate section [log]: it stands at line 1"),
    "a bad number": (
        "[dataplane]\nring_size = 1000\n",
        "x.ini:2: dataplane.ring_size: 1000 is not a power of two between 64 and 1048576"),
    "a bad choice": ("[dataplane]\nidle = lazy\n", "x.ini:2: dataplane.idle: lazy is not spin or adaptive"),
    "an option that EAL has not": ("[eal]\nno-hugepages =\n", "x.ini:2: eal.no-hugepages: EAL has no such option"),
    "a malformed group": (
        PORT + "[feed t]\nport = nic0\nline_a = 239.1.1:9000\n",
        "x.ini:6: feed t.line_a: 239.1.1:9000 is not group:port such as 239.1.1.1:9000 or [ff15::1]:9000"),
    "a group that is nobody's": (
        PORT + "[feed t]\nport = nic0\nline_a = 10.0.0.1:9000\n",
        "x.ini:4: [feed t] line_a is neither a multicast group nor an address of port nic0"),
    "a feed of an unknown port": (
        PORT + "[feed t]\nport = nic1\nline_a = 239.1.1.1:9000\n",
        "x.ini:4: [feed t] names port nic1, which has no section: add [port nic1]"),
    "two feeds of one group": (
        PORT + FEED + FEED.replace("ticks", "again"),
        "x.ini:7: [feed again] has the port, VLAN, group and UDP port of [feed ticks]"),
    "what this version has not": (
        PORT + FEED + "codec = itch50\n",
        "x.ini:7: feed ticks.codec: this version has no itch50 codec: use keyed, json or fixed"),
    "ports without a port": (
        ENABLE, "x.ini:2: dataplane.enable: 1 needs a port: add a [port NAME] section to the configuration file"),
    "a lcore that does not exist": (
        LCORES + "[dataplane]\nworker_lcores = 9\n",
        "dataplane.worker_lcores: lcore 9 does not exist; there are 1,2 (eal.lcores can put several on one CPU)"),
    "the main lcore": (
        LCORES + "[dataplane]\nworker_lcores = 0\n",
        "dataplane.worker_lcores: lcore 0 is the main lcore, which serves HTTP; use one of 1,2"),
    "an interface that does not exist": (
        LCORES + ENABLE + PORT.replace("iface=fp0", "iface=nosuch0") + FEED,
        "port nic0: interface nosuch0 does not exist; there are lo, fp0"),
    "a driver that does not exist": (
        LCORES + ENABLE + PORT.replace("net_af_packet0", "net_nosuch0") + FEED,
        "port nic0: device net_nosuch0,iface=fp0 is neither a PCI address nor a driver's name; drivers are "
        "net_af_packet, net_af_xdp, net_tap, net_tun, net_pcap, net_vdev_netvsc, net_ring, net_null, net_memif, "
        "net_vhost, net_virtio_user, net_bonding, net_failsafe, net_softnic, net_kni"),
    "a pcap file that does not exist": (
        LCORES + ENABLE + "[port nic0]\ndevice = net_pcap0,rx_pcap=/nonexistent.pcap\n",
        "port nic0: file /nonexistent.pcap: No such file or directory"),
    "a token that everyone can read": (
        "[http]\ntoken_file = {dir}/x.ini\n",
        "x.ini:2: http.token_file: x.ini can be read by everyone: chmod 600 it (a Kubernetes secret: "
        "defaultMode 0400)"),
}


@pytest.mark.parametrize("text,line", CHECKED.values(), ids=CHECKED.keys())
def test_check_config_and_start_say_the_same(starter, text, line):
    assert starter.refused(text, "--check-config") == line
    assert starter.refused(text) == line
    assert not os.path.exists(os.path.join(starter.directory, "var")), "a refused start made a journal"


VARIABLES = {
    "KAFKA_BRIDGE_ENABLE": ("2", "KAFKA_BRIDGE_ENABLE: 2 is not 0 or 1"),
    "ETCD_ENDPOINTS": ("localhost", "ETCD_ENDPOINTS: localhost is not an endpoint such as http://127.0.0.1:2379"),
    "FAST_PATH_ENABLE": ("2", "FAST_PATH_ENABLE: 2 is not 0 or 1"),
    "FAST_PATH_ENABLED": ("1", "FAST_PATH_ENABLED: unknown variable; there are FAST_PATH_CONFIG, FAST_PATH_ENABLE "
                          "and FAST_PATH_METRICS"),
    "HTTP_LISTEN": ("localhost", "HTTP_LISTEN: localhost is not address:port such as 127.0.0.1:8080 or [::]:8080"),
    "OWNED_KEYS": ("a,b,a", "OWNED_KEYS: key a stands there twice"),
    "LOG_LEVEL": ("loud", "LOG_LEVEL: loud is not error, warning, info or debug"),
}


@pytest.mark.parametrize("name", VARIABLES)
def test_a_bad_variable(starter, name):
    value, line = VARIABLES[name]
    assert starter.refused("", "--check-config", environment={name: value}) == line


def test_a_missing_variable_of_a_device(starter):
    text = LCORES + ENABLE + "[port nic0]\ndevice = env:PCIDEVICE_NIC[1]\n"
    assert starter.refused(text, "--check-config") == \
        "x.ini:7: port nic0.device: variable PCIDEVICE_NIC is not set"
    assert starter.refused(text, "--check-config", environment={"PCIDEVICE_NIC": "0000:03:00.0"}) == \
        "x.ini:7: port nic0.device: variable PCIDEVICE_NIC has no item 1: 0000:03:00.0"
    line = starter.refused(text, "--check-config", environment={"PCIDEVICE_NIC": "0000:03:00.0,0000:fe:1f.7"})
    assert line.startswith("port nic0: PCI device 0000:fe:1f.7 does not exist; network devices are "), line


def test_no_configuration_file(starter):
    missing = os.path.join(starter.directory, "missing.ini")
    told = f"{missing}: No such file or directory: name a readable configuration file"
    assert starter.refused("", "--check-config", "--config", missing, config=False) == told
    assert starter.refused("", "--check-config", config=False, environment={"FAST_PATH_CONFIG": missing}) == \
        "FAST_PATH_CONFIG: " + told


def test_options(starter):
    assert starter.refused("", "--nosuch") == "unknown option --nosuch; see --help (EAL options go before --)"
    assert starter.refused("", "--config", config=False) == "--config needs a value; see --help"
    assert starter.refused("", "more") == "unexpected argument more; see --help"


def test_good_configurations_pass(starter):
    for name in ("fastpath.ini", "dev.ini"):
        with open(os.path.join(appliance.ROOT, "config", name), encoding="utf-8") as file:
            assert starter.run(file.read(), "--check-config") == (0, "")
    text = LCORES + ENABLE + PORT + FEED
    assert starter.run(text, "--check-config") == (0, "")
    assert not os.path.exists(os.path.join(starter.directory, "var")), "a check made a journal"


# ---- what somebody else holds ----

def other(engine, tmp_path, **changes):
    """the configuration of a second engine beside this one"""
    settings = appliance.merged(engine.settings, {
        "engine": {"id": "other"}, "journal": {"dir": str(tmp_path / "other")}, "http": {"listen": "127.0.0.1:8081"}})
    return ini(appliance.merged(settings, changes))


def test_a_port_that_is_held(engine, starter, tmp_path):
    told = f"port nic0 (fp0) is held by another engine, pid {engine.pid}: stop it, or choose another one"
    assert starter.refused(other(engine, tmp_path)) == told
    # by another driver too
    assert starter.refused(other(engine, tmp_path, **{"port nic0": {"device": "net_af_xdp0,iface=fp0"}})) == told
    assert not os.path.exists(tmp_path / "other"), "a refused start made a journal"
    assert engine.post("A", b"x").status_code == 200


def test_a_port_of_a_dead_engine_is_free(engine, tmp_path):
    engine.kill9()
    engine.start()
    engine.stop()


def test_an_http_address_that_is_held(engine, starter, tmp_path):
    text = other(engine, tmp_path, dataplane={"enable": 0}, http={"listen": engine.address})
    assert starter.refused(text) == \
        f"HTTP address 127.0.0.1:8080 is held by another engine, pid {engine.pid}: stop it, or choose another one"


def test_an_http_address_of_another_program(starter, wire):
    listener = wire.appliance.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 8099))
        listener.listen()
        assert starter.refused(LCORES, environment={"HTTP_LISTEN": "127.0.0.1:8099"}) == \
            "http.listen: 127.0.0.1:8099 is in use by another program: stop it, or set HTTP_LISTEN"
    finally:
        listener.close()
    assert starter.refused(LCORES, environment={"HTTP_LISTEN": "203.0.113.7:8099"}) == \
        "http.listen: 203.0.113.7:8099: Cannot assign requested address: set HTTP_LISTEN to an address of this machine"


def test_a_journal_that_is_held(engine, starter, tmp_path):
    text = other(engine, tmp_path, dataplane={"enable": 0}, journal={"dir": engine.journal_dir})
    line = starter.refused(text)
    assert engine.journal_dir in line and re.search(rf"\b{engine.pid}\b", line), line
    assert engine.post("A", b"x").status_code == 200


def test_journal_directories_that_cannot_be(starter, tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    readonly = tmp_path / "readonly"
    sandbox.mount("tmpfs", str(readonly), "mode=755")
    subprocess.run(["mount", "-o", "remount,ro", str(readonly)], check=True)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("x")
    try:
        for directory in (file, file / "journal", readonly / "journal", readonly, "/proc/journal", foreign):
            line = starter.refused(LCORES, environment={"JOURNAL_DIR": str(directory)})
            assert str(directory) in line, line
    finally:
        sandbox.umount(str(readonly))
    assert (foreign / "letter.txt").read_text() == "x"


def test_no_room_for_the_memlog(starter):
    sandbox.mount("tmpfs", "/dev/shm", "size=16m,mode=1777")
    try:
        status, err = starter.run(LCORES + "[journal]\ndir = {dir}/journal\nmemory_mb = 64\n[http]\nlisten = 127.0.0.1:0\n")
        left = os.listdir("/dev/shm")
    finally:
        sandbox.umount("/dev/shm")
    assert status == 2 and left == [], (status, err, left)
    assert re.search(r"^fastpath: memlog /dev/shm/\S+: no room for its 64 MB: No space left on device; "
                     r"lower journal\.memory_mb, or make room in /dev/shm$", err, re.M), err
