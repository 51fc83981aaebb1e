# SPDX-License-Identifier: Apache-2.0
"""fastpathctl doctor on planted trees of /proc and /sys, a bare host's and a pod's, and on this machine."""
import json
import os
import socket
import subprocess

import pytest

import etcd_server
from appliance import program

CPUS = sorted(os.sched_getaffinity(0))
NIC, VF = "0000:3b:00.0", "0000:3b:02.1"
LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max locked memory         unlimited            unlimited            bytes
Max open files            65536                65536                files
"""


def doctor(*arguments, environment=None):
    clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LSAN_OPTIONS", "ASAN_OPTIONS")}
    return subprocess.run([program("fastpathctl"), "doctor", *arguments], capture_output=True, text=True, timeout=60,
                          check=False, env=clean | (environment or {}))


class Tree:
    """/proc and /sys of a good bare host: one NIC on vfio-pci; a test spoils what it is about"""

    def __init__(self, top):
        self.top = str(top)
        everything = f"0-{max(CPUS)}"
        self.files = {
            "proc/self/limits": LIMITS,
            "proc/self/mounts": "hugetlbfs /dev/hugepages hugetlbfs rw 0 0\n",
            "proc/self/cgroup": "0::/system.slice/fastpath.service\n",
            "proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
            "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "1024\n",
            "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "1000\n",
            "sys/kernel/iommu_groups/1/type": "DMA\n",
            "sys/devices/system/cpu/isolated": everything + "\n",
            "sys/devices/system/node/node0/cpulist": everything + "\n",
            "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
            "sys/fs/cgroup/system.slice/fastpath.service/cpu.max": "max 100000\n",
            "sys/fs/cgroup/system.slice/fastpath.service/cpu.stat": "usage_usec 1\nnr_periods 0\nnr_throttled 0\n",
            f"sys/bus/pci/devices/{NIC}/class": "0x020000\n",
            f"sys/bus/pci/devices/{NIC}/numa_node": "0\n",
        }
        for cpu in CPUS:
            self.files[f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"] = "performance\n"
        self.links = {f"sys/bus/pci/devices/{NIC}/driver": "../../drivers/vfio-pci"}
        self.config = {"dataplane": {"enable": 1, "idle": "spin"}, "port nic0": {"device": NIC, "address": "10.0.0.1/24"},
                       "feed f": {"port": "nic0", "line_a": "239.1.1.1:9000"},
                       "journal": {"dir": os.path.dirname(os.path.abspath(__file__)), "retain_gb": "0.001",
                                   "segment_mb": 1}}

    def look(self, *arguments, environment=None):
        """(exit status, {check: line}) of the JSON"""
        for path, text in self.files.items():
            if text is None:
                continue
            full = os.path.join(self.top, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="ascii") as file:
                file.write(text)
        for path, target in self.links.items():
            full = os.path.join(self.top, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            os.symlink(target, full)
        ini = os.path.join(self.top, "fastpath.ini")
        with open(ini, "w", encoding="ascii") as file:
            for section, keys in self.config.items():
                file.write(f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()))
        result = doctor("--config", ini, "--json", "--proc", self.top + "/proc", "--sys", self.top + "/sys", *arguments,
                        environment=environment)
        assert result.stderr == ""
        answer = json.loads(result.stdout)
        lines = {}
        for line in answer["checks"]:
            # what is not well has a remedy, and what is well has none
            assert ("do" in line) == (line["status"] != "ok"), line
            lines[line["check"]] = line
        levels = ["ok", "warn", "fail"]
        assert answer["status"] == max((line["status"] for line in answer["checks"]), key=levels.index)
        assert result.returncode == (1 if answer["status"] == "fail" else 0)
        return result.returncode, lines

    def bad(self):
        """{check: status} of what is not ok, but for this machine's own clock and disk"""
        _, lines = self.look()
        return {name: one["status"] for name, one in lines.items()
                if one["status"] != "ok" and name not in ("clock-sync", "disk")}, lines


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_good_host(tree):
    """nothing to say about a host that has everything; all checks are there"""
    bad, lines = tree.bad()
    assert bad == {}
    assert set(lines) >= {"lcores", "isolation", "governor", "numa", "throttling", "hugepages", "memlock", "open-files",
                          "iommu", "device", "kernel", "clock-source", "clock-sync", "disk", "etcd", "kafka"}
    assert lines["device"]["found"] == f"port nic0: {NIC} is bound to vfio-pci"
    assert lines["hugepages"]["found"].startswith("1000 of 1024 pages of 2048 KiB are free; about 1")


PCI = f"sys/bus/pci/devices/{NIC}/"
GROUP = "sys/fs/cgroup/system.slice/fastpath.service/"
SPOILED = [
    ("hugepages", "fail", {"sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "10\n"}, "10 of 1024 pages"),
    ("hugepages-limit", "fail", {GROUP + "hugetlb.2MB.max": "67108864\n"}, "64 MiB of 2MB pages"),
    ("hugetlbfs", "fail", {"proc/self/mounts": "proc /proc proc rw 0 0\n"}, "not mounted"),
    ("memlock", "warn", {"proc/self/limits": LIMITS.replace("unlimited ", "8388608   ")}, "8192 KiB"),
    ("open-files", "fail", {"proc/self/limits": LIMITS.replace("65536 ", "1024  ")}, "1024, http.connections wants 1280"),
    ("iommu", "fail", {"sys/kernel/iommu_groups/1/type": None}, "none"),
    ("iommu", "warn", {"sys/kernel/iommu_groups/1/type": None,
                       "sys/module/vfio/parameters/enable_unsafe_noiommu_mode": "Y\n"}, "unsafe"),
    ("device", "fail", {PCI + "class": None}, f"there is no PCI device {NIC}"),
    ("isolation", "warn", {"sys/devices/system/cpu/isolated": "\n"}, "spin on CPUs"),
    ("governor", "warn", {f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor": "powersave\n" for cpu in CPUS},
     "powersave"),
    ("numa", "warn", {PCI + "numa_node": "1\n"}, f"{NIC} is on node 1, the lcores on node 0"),
    ("throttling", "warn", {GROUP + "cpu.stat": "nr_periods 200\nnr_throttled 17\n"}, "17 of 200"),
    ("clock-source", "warn", {"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n"}, "hpet"),
    ("kernel", "fail", {"proc/sys/kernel/osrelease": "4.9.0\n"}, "4.9.0"),
    ("kernel", "warn", {"proc/sys/kernel/osrelease": "5.4.0-generic\n"}, "5.4.0"),
]


@pytest.mark.parametrize("check,status,files,found", SPOILED, ids=[f"{one[0]}-{one[1]}" for one in SPOILED])
def test_one_thing_is_wrong(tree, check, status, files, found):
    """each fault is named by its own check, and by no other"""
    tree.files.update(files)
    bad, lines = tree.bad()
    assert bad == {check: status}, lines
    assert found in lines[check]["found"]


def test_driver_of_the_kernel(tree):
    tree.links[PCI + "driver"] = "../../drivers/ixgbe"
    bad, lines = tree.bad()
    assert bad == {"device": "fail"} and "ixgbe" in lines["device"]["found"]
    assert f"dpdk-devbind.py --bind=vfio-pci {NIC}" in lines["device"]["do"]


@pytest.mark.parametrize("trust,status", [("true", None), ("false", "fail"), (None, "warn")])
def test_trust_of_a_virtual_function(tree, tmp_path, trust, status):
    """asked of ip where the physical function is seen; a pod does not see it, and is told what to do on the host"""
    device = f"sys/bus/pci/devices/{VF}/"
    tree.config["port nic0"]["device"] = VF
    tree.files.update({device + "class": "0x020000\n", device + "numa_node": "0\n"})
    tree.links.update({device + "driver": "../../drivers/vfio-pci", device + "physfn": f"../{NIC}"})
    if trust is not None:
        tree.files[PCI + "net/pf0/mtu"] = "1500\n"
        tree.links[PCI + "virtfn0"] = "../0000:3b:02.0"
        tree.links[PCI + "virtfn1"] = f"../{VF}"
        fake = tmp_path / "bin"
        fake.mkdir()
        answer = f'[{{"vfinfo_list": [{{"vf": 0, "trust": false}}, {{"vf": 1, "trust": {trust}}}]}}]'
        (fake / "ip").write_text(f"#!/bin/sh\necho '{answer}'\n")
        (fake / "ip").chmod(0o755)
        _, lines = tree.look(environment={"PATH": f"{fake}:{os.environ['PATH']}"})
    else:
        _, lines = tree.look()
    assert lines["vf-trust"]["status"] == (status or "ok"), lines["vf-trust"]
    if status:
        assert "trust on" in lines["vf-trust"]["do"]
    if status == "fail":
        assert lines["vf-trust"]["do"] == "ip link set pf0 vf 1 trust on"


def test_pod(tree):
    """a pod on net_af_packet, cgroup v1 with its own group as the root: quota and hugepage limit are found"""
    tree.config["port nic0"]["device"] = "net_af_packet0,iface=eth0"
    tree.config["dataplane"]["idle"] = "adaptive"
    tree.files.update({
        "proc/self/cgroup": "4:cpu,cpuacct:/kubepods/pod1/c1\n3:hugetlb:/kubepods/pod1/c1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
        "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 50\nnr_throttled 0\nthrottled_time 0\n",
        "sys/fs/cgroup/hugetlb/hugetlb.2MB.limit_in_bytes": "1073741824\n",
        "sys/class/net/eth0/operstate": "up\n",
        "sys/kernel/iommu_groups/1/type": None,
    })
    bad, lines = tree.bad()
    assert bad == {}
    assert lines["throttling"]["found"] == "a CPU quota, never reached"
    assert lines["hugepages-limit"]["found"] == "the cgroup may use 1024 MiB of 2MB pages"
    assert lines["device"]["found"] == "port nic0: interface eth0 is up"


def test_pod_without_hugepages(tree):
    """the engine goes on with ordinary pages there, so it is a warning"""
    tree.config["port nic0"]["device"] = "net_af_packet0,iface=eth0"
    tree.files.update({"sys/class/net/eth0/operstate": "down\n",
                       "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "0\n",
                       "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "0\n"})
    bad, lines = tree.bad()
    assert bad == {"hugepages": "warn", "device": "fail"}
    assert "nr_hugepages" in lines["hugepages"]["do"] and "eth0 is down" in lines["device"]["found"]


def test_disk(tree):
    """memory is no disk; a directory that is not there yet is judged by where it will be"""
    tree.config["journal"]["dir"] = "/dev/shm/fastpath-doctor/journal"
    code, lines = tree.look()
    assert code == 1 and lines["disk"]["status"] == "fail" and "in memory" in lines["disk"]["found"]


def closed_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_etcd_and_kafka_that_are_away(tree):
    """the endpoint and the key to look at are named, for variables too"""
    etcd, kafka = f"http://127.0.0.1:{closed_port()}", f"127.0.0.1:{closed_port()}"
    code, lines = tree.look(environment={"ETCD_ENDPOINTS": etcd, "KAFKA_BRIDGE_ENABLE": "1",
                                         "KAFKA_BOOTSTRAP_SERVERS": kafka})
    assert code == 1
    assert lines["etcd"]["status"] == "fail" and etcd in lines["etcd"]["found"]
    assert "etcd.endpoints" in lines["etcd"]["do"]
    assert lines["kafka"]["status"] == "fail" and kafka in lines["kafka"]["found"]
    assert "kafka.bootstrap_servers" in lines["kafka"]["do"]


def test_etcd_that_answers(netns, tree, request):
    """with the number of engines that are registered there"""
    _, refused = etcd_server.fetch()
    if refused:
        pytest.skip(refused)
    etcd = etcd_server.Etcd(netns, f"doctor-{os.getpid()}")
    request.addfinalizer(etcd.close)
    tree.look()  # writes the files
    result = netns.run(program("fastpathctl"), "doctor", "--config", tree.top + "/fastpath.ini", "--json", check=False,
                       env={"PATH": os.environ["PATH"], "ETCD_ENDPOINTS": etcd.urls})
    lines = {line["check"]: line for line in json.loads(result.stdout)["checks"]}
    assert lines["etcd"] == {"check": "etcd", "status": "ok",
                             "found": f"{etcd.endpoints[0]} answers, 0 engines are registered"}


def test_kafka_that_answers(tree, tmp_path):
    """librdkafka's own stand-in for brokers, by way of kafka.config_file"""
    properties = tmp_path / "kafka.properties"
    properties.write_text("test.mock.num.brokers = 3\n")
    _, lines = tree.look(environment={"KAFKA_BRIDGE_ENABLE": "1", "KAFKA_CONFIG_FILE": str(properties)})
    assert lines["kafka"]["status"] == "ok" and lines["kafka"]["found"].endswith("answers, 3 brokers")


def test_this_machine():
    """as people see it: aligned lines, a remedy under what is not well; the status says whether anything fails"""
    result = doctor()
    lines = result.stdout.splitlines()
    assert result.stderr == "" and len(lines) >= 14
    failed = [line for line in lines if line.startswith("fail")]
    assert result.returncode == (1 if failed else 0)
    for number, line in enumerate(lines):
        if line.startswith(("warn", "fail")):
            assert lines[number + 1].strip().startswith("do: "), line
        else:
            assert line.startswith("ok    ") or line.strip().startswith("do: "), line
    print(result.stdout)


@pytest.mark.parametrize("arguments,words", [
    (["--jsn"], "--jsn is unknown"), (["--config"], "lacks its value"), (["now"], "it takes no argument: now"),
    (["--config", "/nowhere.ini"], "/nowhere.ini: No such file or directory"),
])
def test_bad_arguments(arguments, words):
    result = doctor(*arguments)
    assert result.returncode == 2 and words in result.stderr and result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_bad_configuration(tmp_path):
    """the engine's own message"""
    ini = tmp_path / "bad.ini"
    ini.write_text("[dataplane]\nburst = many\n")
    result = doctor("--config", str(ini))
    assert result.returncode == 2 and "burst" in result.stderr and "bad.ini" in result.stderr
