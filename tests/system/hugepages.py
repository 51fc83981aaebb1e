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
    """The kernel's pages of 2 MiB. Each run holds a lock on STATE.users, which tells how many pages the runs have added. The
    runs share a /run."""

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

    def _added(self):
        self.users.seek(0)
        return int(self.users.read() or 0)

    def _note_added(self, count):
        self.users.truncate(0)  # it appends
        self.users.write(str(count))
        self.users.flush()

    def reserve(self, wanted):
        """Returns how many this run may use. OSError: this kernel has none."""
        with self._turn():
            before, free = self.read("nr_hugepages"), self.read("free_hugepages")
            # pylint: disable-next=consider-using-with
            self.users = open(self.state + ".users", "a+", encoding="ascii")
            if not self._alone():
                free = 0  # what is free beside another run is the other's
            fcntl.flock(self.users, fcntl.LOCK_SH)
            if free >= wanted:
                return free
            with contextlib.suppress(OSError):  # /sys may be read-only: what is free may do
                self._set(before + wanted - free)
            got = max(self.read("nr_hugepages") - before, 0)
            self._note_added(self._added() + got)
            return free + got

    def give_back(self):
        """The last run: what all of them have added, also one that was killed."""
        if self.users is None:
            return
        with self._turn(), self.users:
            added = self._added() if self._alone() else 0
            if added > 0:
                self._set(max(self.read("nr_hugepages") - added, 0))
                self._note_added(0)
        self.users = None


def _too_few(count):
    return f"only {count} hugepages of 2 MiB free, and no more could be reserved" if count < WANTED // 2 else None


def available():
    """for a process of a run that has reserved them, as reserved() does: why there are none, or None"""
    if os.environ.get("NO_HUGE") == "1":
        return "NO_HUGE=1"
    try:
        why = _too_few(Pages().read("free_hugepages"))
        if why is None:
            sandbox.mount("hugetlbfs", "/dev/hugepages")
        return why
    except OSError as error:
        return f"hugepages cannot be used: {error}"


@contextlib.contextmanager
def reserved():
    """Yields why there are none, or None; after sandbox.enter(), in whose mount namespace /dev/hugepages stands then."""
    pages, why = Pages(), "NO_HUGE=1"
    try:
        if os.environ.get("NO_HUGE") != "1":
            why = _too_few(pages.reserve(WANTED))
            if why is None:
                sandbox.mount("hugetlbfs", "/dev/hugepages")
    except OSError as error:
        why = f"hugepages cannot be reserved: {error}"
    try:
        yield why
    finally:
        with contextlib.ExitStack() as ends:
            ends.callback(pages.give_back)
            if why is None:
                sandbox.umount("/dev/hugepages")
