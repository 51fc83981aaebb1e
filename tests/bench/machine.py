# SPDX-License-Identifier: Apache-2.0
"""What the figures were measured on and of."""
import datetime
import os
import platform
import subprocess


def _output(root, *command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    except OSError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else "unknown"


def _field(path, name):
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == name:
                    return value.strip()
    except OSError:
        pass
    return "unknown"


def _system():
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            fields = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        return fields.get("PRETTY_NAME", "unknown").strip('"')
    except OSError:
        return "unknown"


def describe(root, no_huge):
    virtual = _output(root, "systemd-detect-virt")
    flags = _field("/proc/cpuinfo", "flags").split()
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "virtual": virtual if virtual != "unknown" else ("virtual machine" if "hypervisor" in flags else "none"),
        "kernel": platform.release(),
        "system": _system(),
        "hugepages": no_huge or "yes",
        "dpdk": _output(root, "pkg-config", "--modversion", "libdpdk"),
        "compiler": _output(root, "cc", "--version").splitlines()[0],
    }


def commit(root):
    return _output(root, "git", "-c", f"safe.directory={root}", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
