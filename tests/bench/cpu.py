# SPDX-License-Identifier: Apache-2.0
"""Seconds that the processors were busy for us, the kernel's share counted: all that /proc/stat saw (its idle time is
exact), less what processes took that have nothing to do with the benchmark, and less the benchmark's own bookkeeping."""
import os
import resource
import time

TICKS = os.sysconf("SC_CLK_TCK")
IDLE, IOWAIT, STEAL = 3, 4, 7
KTHREADD = 2


class Sample:
    """a moment; sample.since(earlier) is (busy seconds of all processors, seconds)"""

    def __init__(self):
        self.elsewhere = elsewhere()
        self.at = time.monotonic()
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(n) for n in file.readline().split()[1:9]]
        # what the hypervisor took was nobody's here
        self.away = (ticks[IDLE] + ticks[IOWAIT] + ticks[STEAL]) / TICKS
        self.cpus = os.cpu_count()

    def since(self, earlier):
        seconds = self.at - earlier.at
        busy = seconds * self.cpus - (self.away - earlier.away) - (self.elsewhere - earlier.elsewhere)
        return max(0.0, busy), seconds


def _processes():
    """{pid: (parent, own CPU ticks, ticks of children that have ended)}"""
    out = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended: its parent has its ticks now
        utime, stime, cutime, cstime = (int(n) for n in fields[11:15])
        out[int(name)] = (int(fields[1]), utime + stime, cutime + cstime)
    return out


def elsewhere():
    """CPU seconds of all processes that are not ours; kernel threads work for us too"""
    processes = _processes()
    me, ticks = os.getpid(), 0

    def ours(pid):
        while pid in processes and pid not in (me, KTHREADD):
            pid = processes[pid][0]
        return pid in (me, KTHREADD)
    for pid, (_, own, children) in processes.items():
        if pid == me:
            ticks += own
        elif not ours(pid):
            ticks += own + children
    return ticks / TICKS


def idle_share(seconds=2.0):
    """busy seconds a second of this machine as it is now"""
    begin = Sample()
    time.sleep(seconds)
    busy, took = Sample().since(begin)
    return busy / took


def children_ended():
    """CPU seconds of our children that have ended"""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
