# SPDX-License-Identifier: Apache-2.0
"""Runs of tests and benchmarks beside each other leave the machine's hugepages as they were, and each other theirs."""
import pytest

import hugepages


class Kernel(hugepages.Pages):
    """files in place of the kernel's"""

    def __init__(self, folder):
        super().__init__(str(folder), str(folder / "state"))
        self.folder = folder

    def count(self):
        return int((self.folder / "nr_hugepages").read_text())


@pytest.fixture(name="folder")
def _folder(tmp_path):
    (tmp_path / "nr_hugepages").write_text("100\n")
    (tmp_path / "free_hugepages").write_text("40\n")
    return tmp_path


@pytest.mark.parametrize("wanted,meanwhile", [(64, 124), (40, 100)])
def test_a_run_takes_what_is_missing_and_gives_it_back(folder, wanted, meanwhile):
    run = Kernel(folder)
    run.reserve(wanted)
    assert run.count() == meanwhile
    run.give_back()
    assert run.count() == 100


def test_the_first_to_end_leaves_the_other_its_pages(folder):
    first, second = Kernel(folder), Kernel(folder)
    first.reserve(64)
    second.reserve(64)
    assert second.count() == 124 + 64
    first.give_back()
    assert second.count() == 124 + 64
    second.give_back()
    assert second.count() == 100


def test_what_a_killed_run_left_is_given_back_by_the_next(folder):
    killed, after = Kernel(folder), Kernel(folder)
    killed.reserve(64)
    killed.users.close()
    after.reserve(64)
    after.give_back()
    assert after.count() == 100


def test_what_somebody_else_reserves_stays(folder):
    killed, after = Kernel(folder), Kernel(folder)
    killed.reserve(64)
    killed.users.close()
    (folder / "nr_hugepages").write_text("2000\n")
    (folder / "free_hugepages").write_text("1900\n")
    after.reserve(64)
    after.give_back()
    assert after.count() == 2000 - 24


def test_where_none_may_be_added_those_that_are_free_count(folder, monkeypatch):
    def refuse(_count):
        raise PermissionError("read-only")
    run, other = Kernel(folder), Kernel(folder)
    monkeypatch.setattr(run, "_set", refuse)
    assert run.reserve(64) == 40
    assert other.reserve(20) == 20  # added: what is free is the first run's
    run.give_back()
    other.give_back()
    assert other.count() == 100


def test_a_kernel_without_hugepages(folder):
    (folder / "nr_hugepages").unlink()
    run = Kernel(folder)
    with pytest.raises(OSError):
        run.reserve(64)
    run.give_back()
