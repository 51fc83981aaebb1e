# SPDX-License-Identifier: Apache-2.0
"""Hugepages for a run of tests or benchmarks. Several runs may stand beside each other: each adds what it needs, and the
last to end gives back what all of them have reserved, also that of one that was killed."""
import contextlib
import fcntl
import os

import sandbox

BASE = "/sys/kernel/mm/hugepages/hugepages-2048kB/"
STATE = "/run/fastpath-hugepages"
WANTED = 512


class Pages:
    """The kernel's pages of 2 MiB; STATE.users holds how many there were before the first run, and each run a lock on it."""

    def __init__(self, base=BASE, state=STATE):
        self.base, self.state = base, state
        self.users = None

    def read(self, name):
        with open(os.path.join(self.base, name), encoding="ascii") as file:
            return int(file.read())

    def _set(self, count):
        with open(os.path.join(self.base, "nr_hugepages"), "w", encoding="ascii") as file:
            file.write(str(count))

    @contextlib.contextmanager
    def _turn(self):
        with open(self.state + ".turn", "w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _alone(self):
        try:
            fcntl.flock(self.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False

    def reserve(self, wanted):
        """As many as can be had; OSError: not even asked for."""
        with self._turn():
            # pylint: disable-next=consider-using-with
            self.users = open(self.state + ".users", "a+", encoding="ascii")
            alone, count = self._alone(), self.read("nr_hugepages")
            fcntl.flock(self.users, fcntl.LOCK_SH)
            if alone:
                self.users.seek(0)
                if not self.users.read():  # else of a run that was killed
                    self.users.write(str(count))
                    self.users.flush()
            # what is free beside another run is the other's
            missing = wanted - (self.read("free_hugepages") if alone else 0)
            if missing > 0:
                self._set(count + missing)

    def give_back(self):
        if self.users is None:
            return
        with self._turn():
            if self._alone():
                self.users.seek(0)
                self._set(int(self.users.read()))
                self.users.truncate(0)
            self.users.close()
            self.users = None


def available():
    """why a run has none, or None"""
    if os.environ.get("NO_HUGE") == "1":
        return "NO_HUGE=1"
    try:
        free = Pages().read("free_hugepages")
        if free < WANTED // 2:
            return f"only {free} hugepages of 2 MiB free, and no more could be reserved"
        sandbox.mount("hugetlbfs", "/dev/hugepages")
    except OSError as error:
        return f"hugepages cannot be used: {error}"
    return None


@contextlib.contextmanager
def reserved():
    """Yields why there are none, or None; after sandbox.enter()."""
    pages = Pages()
    why = None
    try:
        if os.environ.get("NO_HUGE") != "1":
            pages.reserve(WANTED)
    except OSError as error:
        why = f"hugepages cannot be reserved: {error}"
    why = why or available()
    try:
        yield why
    finally:
        if why is None:
            sandbox.umount("/dev/hugepages")
        pages.give_back()
