# SPDX-License-Identifier: Apache-2.0
"""Seconds that all processors were busy, the kernel's share counted: from /proc/stat, whose idle time is exact."""
import os
import resource
import time

TICKS = os.sysconf("SC_CLK_TCK")
IDLE, IOWAIT, STEAL = 3, 4, 7


class Sample:
    """a moment; sample.since(earlier) is (busy seconds of all processors, seconds)"""

    def __init__(self):
        self.at = time.monotonic()
        with open("/proc/stat", encoding="ascii") as file:
            first = file.readline().split()[1:]
        ticks = [int(n) for n in first[:8]]
        # what the hypervisor took was nobody's here
        self.away = (ticks[IDLE] + ticks[IOWAIT] + ticks[STEAL]) / TICKS
        self.cpus = os.cpu_count()

    def since(self, earlier):
        seconds = self.at - earlier.at
        return max(0.0, seconds * self.cpus - (self.away - earlier.away)), seconds


def idle_share(seconds=2.0):
    """busy seconds a second of this machine as it is now"""
    begin = Sample()
    time.sleep(seconds)
    busy, took = Sample().since(begin)
    return busy / took


def children():
    """CPU seconds of our children that have ended"""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
