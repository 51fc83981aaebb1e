# SPDX-License-Identifier: Apache-2.0
"""What a row module is written with: Row, Unavailable, and the context that rows() is given.

A module tests/bench/rows_NAME.py has

    GROUP = "1. RX limit"
    def rows(context):
        yield Row("64 bytes", "events/s", a=ours, b=theirs, a_label="fast path", b_label="testpmd", target=0.5)

rows() only describes: what is heavy belongs into setup, or into context.shared().
"""
import contextlib
import dataclasses
import os
import re
import subprocess
import typing


class Unavailable(Exception):
    """This machine cannot run it: its text says why, and stands in the table instead of a figure."""


@dataclasses.dataclass
class Row:
    """One line of the table.

    a, b     return a float, or a dict with "value" and further figures: numbers (percentiles, CPU seconds) are shown
             beside it; "histogram" [[upper bound in us, count], ...] and "series" {label: [[seconds, y], ...]} with
             "series_axis" are for plots.
             They run in turns, a b a b. With setup, both get what it yields. b=None: a figure without a peer.
    setup    () -> context manager, entered once around all rounds
    better   which way is better; a ratio is always a / b
    target   what the ratio must reach (without b: the value itself)
    targets  {further figure of a: bound, always "no more than"}
    factor   (name, value): the one thing that this row varies; rows of one group with the same factor make one plot,
             with a curve for each `curve`
    warmup   rounds that are run first and not counted
    rounds   at least so many, whatever the command line says (None: as it says)
    """
    name: str
    unit: str
    a: typing.Callable
    b: typing.Optional[typing.Callable] = None
    a_label: str = "Fast Path"
    b_label: str = "peer"
    better: str = "higher"
    target: typing.Optional[float] = None
    targets: dict = dataclasses.field(default_factory=dict)
    factor: typing.Optional[tuple] = None
    curve: str = ""
    full_only: bool = False
    note: str = ""
    setup: typing.Optional[typing.Callable] = None
    warmup: int = 0
    rounds: typing.Optional[int] = None

    def __post_init__(self):
        if self.better not in ("higher", "lower"):
            raise ValueError(f"{self.name}: better is 'higher' or 'lower', not {self.better!r}")


class Context:
    """What rows are given: where things are, how much to do, and what rows share."""

    def __init__(self, root, build, scratch, full, no_huge):
        self.root = root
        self.build = build
        self.scratch = scratch  # a folder on disk, removed at the end
        self.full = full
        self.no_huge = no_huge  # why there are no hugepages, or None
        self.cpus = sorted(os.sched_getaffinity(0))
        self._shared = {}
        self._stack = contextlib.ExitStack()
        self._folders = 0

    def program(self, name):
        """the path of fastpath, fastpathctl or feedsim"""
        return _there(os.path.join(self.build, name), "make")

    def peer(self, name):
        """the path of a program made from tests/bench/NAME.c"""
        return _there(os.path.join(self.build, "bench", name), "make bench-programs")

    def unpacked(self, path):
        """the path of a file in a Debian package that was unpacked as a peer, not installed"""
        return _there(os.path.join(self.build, "bench", "peers", path), "scripts/deps.sh --unpack build/bench/peers")

    @staticmethod
    def tool(name):
        """the path of an installed program"""
        done = subprocess.run(["which", name], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(f"there is no {name}: run scripts/deps.sh bench")
        return done.stdout.strip()

    def need_huge(self):
        if self.no_huge:
            raise Unavailable(f"no hugepages: {self.no_huge}")

    def need_cpus(self, count):
        if len(self.cpus) < count:
            raise Unavailable(f"needs {count} processors, there are {len(self.cpus)}")

    def folder(self, name):
        """a new folder on disk"""
        self._folders += 1
        path = os.path.join(self.scratch, f"{self._folders}-{re.sub('[^A-Za-z0-9]+', '-', name)[:40]}")
        os.makedirs(path)
        return path

    def shared(self, name, make):
        """What make() (a context manager) yields, made once and kept until this group's rows have run"""
        if name not in self._shared:
            self._shared[name] = self._stack.enter_context(make())
        return self._shared[name]

    def close_shared(self):
        self._shared = {}
        stack, self._stack = self._stack, contextlib.ExitStack()
        stack.close()


def _there(path, how):
    if not os.path.exists(path):
        raise Unavailable(f"there is no {os.path.basename(path)}: run {how}")
    return path
