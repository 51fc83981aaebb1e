# SPDX-License-Identifier: Apache-2.0
"""The built image, run as a compose file says: crun with an OCI bundle that is made as Docker makes it.

User, capabilities, no_new_privs, seccomp filter, read-only root, mounts, limits: all of it comes from the service,
and from Docker's defaults where that says nothing. The network is one of sandbox's namespaces.
"""
import json
import os
import re
import shutil
import signal
import subprocess

import yaml

import sandbox
from appliance import PATIENCE, ROOT, http_session, wait_for

SCRIPT = os.path.join(ROOT, "scripts", "image.sh")
# Debian's golang-github-containers-common
SECCOMP = "/usr/share/containers/seccomp.json"
DEFAULT_CAPABILITIES = {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
                        "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
# Docker's profile wants CAP_SYS_NICE for these, the one above does not
NUMA_CALLS = {"get_mempolicy", "mbind", "move_pages", "set_mempolicy", "set_mempolicy_home_node"}


def compose(name="docker-compose.yml"):
    """{service: its keys}, with `extends` followed"""
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        services = yaml.safe_load(file)["services"]
    for service, keys in services.items():
        if "extends" in keys:
            base = compose(keys["extends"]["file"])[keys["extends"]["service"]]
            environment = base.get("environment", {}) | keys.get("environment", {})
            services[service] = base | {k: v for k, v in keys.items() if k != "extends"} | {"environment": environment}
    return services


class Image:
    """The unpacked image: rootfs, and what it says of itself in config (Docker's names)."""

    def __init__(self):
        self.directory = os.path.join(ROOT, "build", "image")
        done = subprocess.run([SCRIPT, "--rootfs", self.directory], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL)
        self.refused = done.stderr.strip().splitlines()[-1] if done.returncode == 3 else None
        if self.refused:
            return
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        self.size = int(re.search(r", (\d+) MB, built with", done.stdout)[1]) * 10**6
        self.rootfs = os.path.join(self.directory, "rootfs")
        with open(os.path.join(self.directory, "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)


def missing():
    """why no container can be run here, or None"""
    for tool in ("crun", "unshare"):
        if shutil.which(tool) is None:
            return f"there is no {tool}: run scripts/deps.sh container"
    if not os.path.exists(SECCOMP):
        return f"there is no {SECCOMP}: run scripts/deps.sh container"
    return None


def seccomp(capabilities):
    """the OCI filter that the profile gives to a container with these capabilities"""
    with open(SECCOMP, encoding="utf-8") as file:
        profile = json.load(file)
    have = {"CAP_" + c for c in capabilities}
    calls = []
    for rule in profile["syscalls"]:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        if not set(includes.get("caps", [])) <= have or set(excludes.get("caps", [])) & have:
            continue
        if "arches" in includes and "amd64" not in includes["arches"]:
            continue
        names = [n for n in rule["names"] if n not in NUMA_CALLS or "CAP_SYS_NICE" in have]
        call = {"names": names, "action": rule["action"]}
        if rule.get("args"):
            call["args"] = rule["args"]
        if rule["action"] == "SCMP_ACT_ERRNO" and rule.get("errnoRet"):
            call["errnoRet"] = rule["errnoRet"]
        calls.append(call)
    if "CAP_SYS_NICE" not in have:
        calls.append({"names": sorted(NUMA_CALLS), "action": "SCMP_ACT_ERRNO", "errnoRet": 1})
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": profile["defaultErrnoRet"],
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": calls}


# crun refuses a machine with both kinds of cgroups, though it is told to make none
CRUN = ["unshare", "-m", "sh", "-c", 'umount /sys/fs/cgroup/unified 2>/dev/null; exec crun --cgroup-manager=disabled "$@"', "-"]

DEFAULT_MOUNTS = [
    ("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    ("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
    ("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
]
MASKED = ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


class Container:
    """One container of a service. Made by the container fixture; start() again makes a new one on the same volumes.

    hosts: {name: address}, as Docker's DNS would answer; without: capabilities to leave out; binds: {target: source}
    instead of what the service mounts there.
    """

    def __init__(self, image, service, netns, directory, hosts=None, without=(), environment=None, binds=None, user=0):
        self.image, self.service, self.netns, self.user = image, service, netns, user
        self.directory = str(directory)
        self.name = os.path.basename(self.directory) + netns.name
        self.http = http_session(netns)
        self.process = None
        self.starts = 0
        self._state = os.path.join(self.directory, "state")
        self.binds = binds or {}
        drop, add = set(service.get("cap_drop", [])), set(service.get("cap_add", []))
        kept = set() if "ALL" in drop else DEFAULT_CAPABILITIES - drop
        self.capabilities = sorted((kept | add) - set(without))
        self.environment = {k: str(v) for k, v in (service.get("environment", {}) | (environment or {})).items()}
        os.makedirs(self._state)
        with open(os.path.join(self.directory, "hosts"), "w", encoding="ascii") as file:
            file.write("127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in (hosts or {}).items()))
        with open(os.path.join(self.directory, "config.json"), "w", encoding="utf-8") as file:
            json.dump(self._bundle(), file, indent=1)

    # ---- the bundle ----

    def volume(self, target):
        """the folder on this machine behind a named volume"""
        path = os.path.join(self.directory, "volume" + target.replace("/", "-"))
        os.makedirs(path, exist_ok=True)
        return path

    def _mounts(self):
        mounts = {t: {"destination": t, "type": kind, "source": source, "options": options}
                  for t, kind, source, options in DEFAULT_MOUNTS}
        for target in self.service.get("tmpfs", []):
            mounts[target] = {"destination": target, "type": "tmpfs", "source": "tmpfs",
                              "options": ["nosuid", "nodev", "noexec"]}
        wanted = {target: None for target in self.image.config.get("Volumes") or {}}
        for text in self.service.get("volumes", []):
            source, target, *mode = text.split(":")
            wanted[target] = source if source.startswith("/") else None
            assert not mode or mode == ["ro"], text
        for target, source in (wanted | self.binds).items():
            if source is None:
                source = self.volume(target)
            os.makedirs(source, exist_ok=True)
            mounts[target] = {"destination": target, "type": "bind", "source": source, "options": ["rbind", "rprivate"]}
        mounts["/etc/hosts"] = {"destination": "/etc/hosts", "type": "bind", "options": ["rbind", "ro"],
                                "source": os.path.join(self.directory, "hosts")}
        return list(mounts.values())

    def _bundle(self):
        config, service = self.image.config, self.service
        entrypoint = service.get("entrypoint") or config.get("Entrypoint") or []
        command = service.get("command") or ([] if "entrypoint" in service else config.get("Cmd")) or []
        environment = dict(line.split("=", 1) for line in config["Env"]) | self.environment
        caps = ["CAP_" + c for c in self.capabilities]
        mine = caps if self.user == 0 else []
        options = service.get("security_opt", [])
        assert "privileged" not in service and set(options) <= {"no-new-privileges:true"}, service
        return {
            "ociVersion": "1.0.0",
            "process": {
                "user": {"uid": self.user, "gid": self.user},
                "args": entrypoint + command,
                "env": [f"{k}={v}" for k, v in environment.items()],
                "cwd": config.get("WorkingDir") or "/",
                "capabilities": {"bounding": caps, "effective": mine, "permitted": mine, "inheritable": [], "ambient": []},
                # what a Docker host without any tuning gives
                "rlimits": [{"type": "RLIMIT_MEMLOCK", "soft": 65536, "hard": 65536},
                            {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096}],
                "noNewPrivileges": "no-new-privileges:true" in options,
            },
            "root": {"path": self.image.rootfs, "readonly": bool(service.get("read_only"))},
            "hostname": "container",
            "mounts": self._mounts(),
            "linux": {
                "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                               {"type": "network", "path": f"/run/netns/{self.netns.name}"}],
                "seccomp": seccomp(self.capabilities), "maskedPaths": MASKED, "readonlyPaths": READ_ONLY,
            },
        }

    # ---- its life ----

    def _crun(self, *arguments, **options):
        return subprocess.run([*CRUN, "--root", self._state, *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=120 * PATIENCE, **options)

    def launch(self):
        """start it and return at once"""
        assert not self.running
        self.starts += 1
        with open(self.log_path, "wb") as log:
            self.process = sandbox.spawn([*CRUN, "--root", self._state, "run", "--bundle", self.directory, self.name],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def start(self, seconds=60):
        """start it and wait until its health check, run inside as Docker runs it, says that it is healthy"""
        self.launch()
        wait_for(self._probe, seconds, lambda: f"container healthy\n{self.log()}")
        return self

    def _probe(self):
        assert self.process.poll() is None, f"the container ended with status {self.process.returncode}\n{self.log()}"
        return self.healthy()

    def healthy(self):
        kind, *command = self.image.config["Healthcheck"]["Test"]
        command = ["/bin/sh", "-c", *command] if kind == "CMD-SHELL" else command
        return self.exec(*command, check=False).returncode == 0

    def exec(self, *command, check=True):
        """docker exec: the container's user and capabilities"""
        done = self._crun("exec", *(word for c in self.capabilities for word in ("--cap", "CAP_" + c)),
                          self.name, *map(str, command))
        if check:
            assert done.returncode == 0, f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def run_to_end(self, seconds=60):
        """(exit status, log), for starts that must fail"""
        self.launch()
        return self.process.wait(timeout=seconds * PATIENCE), self.log()

    def kill(self, sig=signal.SIGTERM):
        done = self._crun("kill", self.name, signal.Signals(sig).name)
        assert done.returncode == 0, done.stderr

    def stop(self, seconds=60, status=0):
        """docker stop; returns the log"""
        self.kill()
        ended = self.process.wait(timeout=seconds * PATIENCE)
        assert ended == status, f"status {ended}\n{self.log()}"
        return self.log()

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        """of its first process, as seen from here"""
        return json.loads(self._crun("state", self.name).stdout)["pid"]

    @property
    def log_path(self):
        return os.path.join(self.directory, f"log-{self.starts}")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def close(self):
        if self.running:
            self._crun("delete", "--force", self.name)
            self.process.kill()
        if self.process is not None:
            self.process.wait(timeout=30)
        self.http.close()

    # ---- HTTP ----

    def get(self, path):
        return self.http.get(f"http://127.0.0.1:8080{path}", timeout=10 * PATIENCE)

    def stats(self):
        answer = self.get("/stats")
        assert answer.status_code == 200, answer.text
        return answer.json()


class Lan:
    """A bridge, as Docker's, and namespaces on it with an eth0 each: 10.97.0.2, 10.97.0.3 ...

    Nothing is tuned: the bridge snoops IGMP, the veths leave checksums unfinished.
    """

    def __init__(self):
        self.hosts = []
        self.bridge = sandbox.Netns("b")
        self.bridge.run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "1")
        self.bridge.run("ip", "address", "add", "10.97.0.1/16", "dev", "br0")
        self.bridge.run("ip", "link", "set", "br0", "up")

    def host(self):
        """a namespace; its address is in its attribute `address`"""
        one = sandbox.Netns(f"h{len(self.hosts)}")
        self.hosts.append(one)
        one.address = f"10.97.0.{len(self.hosts) + 1}"
        port = f"veth{len(self.hosts)}"
        one.run("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        subprocess.run(["ip", "link", "add", port, "netns", self.bridge.name, "type", "veth", "peer", "name", "eth0",
                        "netns", one.name], check=True)
        self.bridge.run("ip", "link", "set", port, "master", "br0", "up")
        one.run("ip", "address", "add", f"{one.address}/16", "dev", "eth0")
        one.run("ip", "link", "set", "eth0", "up")
        one.run("ip", "route", "add", "default", "via", "10.97.0.1")
        return one

    def close(self):
        for one in self.hosts:
            one.close()
        self.bridge.close()
