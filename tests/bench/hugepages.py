# SPDX-License-Identifier: Apache-2.0
"""Hugepages for a benchmark run, in a hugetlbfs mount of its own; call after sandbox.enter()."""
import contextlib
import os

import sandbox

BASE = "/sys/kernel/mm/hugepages/hugepages-2048kB/"
WANTED = 512


def _read(name):
    with open(BASE + name, encoding="ascii") as file:
        return int(file.read())


def _set(count):
    with open(BASE + "nr_hugepages", "w", encoding="ascii") as file:
        file.write(str(count))


@contextlib.contextmanager
def reserved():
    """Yields why there are none, or None. What was reserved for us is given back."""
    before = None
    if os.environ.get("NO_HUGE") == "1":
        yield "NO_HUGE=1"
        return
    try:
        if _read("free_hugepages") < WANTED:
            before = _read("nr_hugepages")
            _set(before + WANTED - _read("free_hugepages"))
        free = _read("free_hugepages")
        why = None if free >= WANTED // 2 else f"only {free} of 2 MiB are free, and no more could be reserved"
        if why is None:
            sandbox.mount("hugetlbfs", "/dev/hugepages")
    except OSError as error:
        why = str(error)
    try:
        yield why
    finally:
        if why is None:
            sandbox.umount("/dev/hugepages")
        if before is not None:
            _set(before)
