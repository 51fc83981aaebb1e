# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' harness: its arithmetic, and that no row goes missing. Nothing here is timed."""
import contextlib
import json
import os
import sys

import pytest

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bench"))

import arithmetic  # noqa: E402
import bench  # noqa: E402
import plots  # noqa: E402
import report  # noqa: E402
from row import Context, Row, Unavailable  # noqa: E402
from staircase import Staircase  # noqa: E402


def test_ratio_is_the_median_of_pairs_not_the_ratio_of_medians():
    pairs = [(10, 10), (30, 20), (100, 50)]
    assert arithmetic.ratios(pairs) == {"median": 1.5, "min": 1.0, "max": 2.0}
    drifting = [(1, 2), (10, 20), (100, 200), (1000, 2000)]
    assert arithmetic.ratios(drifting) == {"median": 0.5, "min": 0.5, "max": 0.5}
    with pytest.raises(ValueError, match="is 0"):
        arithmetic.ratios([(1, 0)])


def test_figures_are_medians_of_numbers_and_nothing_else():
    results = [{"value": 3, "p99": 1.0, "histogram": [[1, 2]], "flag": True}, {"value": 1, "p99": 9.0}, {"value": 2}]
    assert arithmetic.figures(results) == {"value": 2, "p99": 5.0}


@pytest.mark.parametrize("returned", [None, "fast", float("nan"), float("inf"), {"p99": 1}, True])
def test_only_a_finite_number_is_a_result(returned):
    with pytest.raises(ValueError, match="not a finite number"):
        arithmetic.as_result(returned)


def test_targets():
    ratio = {"median": 0.5, "min": 0.1, "max": 0.9}
    assert arithmetic.is_met("higher", 0.5, {}, ratio, {"value": 7}) is True
    assert arithmetic.is_met("higher", 0.6, {}, ratio, {"value": 7}) is False
    assert arithmetic.is_met("lower", 0.6, {}, ratio, {"value": 7}) is True
    assert arithmetic.is_met("lower", 10, {}, None, {"value": 7}) is True
    assert arithmetic.is_met("lower", None, {"p99": 10}, None, {"value": 7, "p99": 11}) is False
    assert arithmetic.is_met("lower", None, {"p99": 10}, None, {"value": 7}) is False, "a figure that is not there"
    assert arithmetic.is_met("higher", None, {}, ratio, {"value": 7}) is None


@pytest.mark.parametrize("value,text", [(0, "0"), (0.0123, "0.0123"), (1.5, "1.50"), (123.4, "123"), (9999, "9999"),
                                        (12345, "12.3 k"), (1234567, "1.23 M"), (2.5e9, "2.50 G")])
def test_numbers(value, text):
    assert arithmetic.number(value) == text


def test_what_is_beyond_a_bound():
    assert plots.beyond([[[1, 90], [2, 9]], [[4, 1]]]) == ([1, 2], [0.1, 0.01])


def options(out, *more):
    return bench.parse(["--out", str(out), "--rounds", "2", *more])


def run(monkeypatch, tmp_path, rows, *more):
    monkeypatch.setattr(bench, "groups", lambda context: [("1. test", rows, "ok", "")])
    monkeypatch.setattr(bench, "say", lambda text: None)
    context = Context(bench.ROOT, "/nonexistent", str(tmp_path), False, None)
    entries = bench.run(context, options(tmp_path, *more))
    assert report.read_json(tmp_path)["rows"] == json.loads(json.dumps(entries))
    return entries


def test_rounds_alternate_and_warm_up_is_not_counted(monkeypatch, tmp_path):
    calls = []

    @contextlib.contextmanager
    def setup():
        calls.append("in")
        yield "made"
        calls.append("out")

    def side(name):
        def measured(made):
            calls.append(name)
            assert made == "made"
            return len(calls)
        return measured
    [entry] = run(monkeypatch, tmp_path, [Row("x", "s", a=side("a"), b=side("b"), setup=setup, warmup=1)])
    assert calls == ["in", "a", "b", "a", "b", "a", "b", "out"]
    assert [(r["a"]["value"], r["b"]["value"]) for r in entry["rounds"]] == [(4, 5), (6, 7)]
    assert entry["ratio"]["median"] == pytest.approx((4 / 5 + 6 / 7) / 2)


def test_every_row_is_listed_with_its_reason(monkeypatch, tmp_path):
    def unavailable():
        raise Unavailable("no such device")

    def broken():
        raise RuntimeError("it fell over")
    entries = run(monkeypatch, tmp_path, [Row("a", "s", a=unavailable), Row("b", "s", a=broken),
                                          Row("c", "s", a=lambda: 1, full_only=True), Row("d", "s", a=lambda: 2, target=3)])
    assert [(e["name"], e["status"]) for e in entries] == [("a", "unavailable"), ("b", "failed"), ("c", "unavailable"),
                                                           ("d", "ok")]
    assert entries[1]["reason"] == "RuntimeError: it fell over" and entries[3]["met"] is False
    text = report.markdown(report.read_json(tmp_path), [], "bench")
    for piece in ("no such device", "it fell over", "with --full only", ">= 3: **missed**"):
        assert piece in text


def test_time_that_is_used_up_is_a_reason(monkeypatch, tmp_path):
    [entry] = run(monkeypatch, tmp_path, [Row("a", "s", a=lambda: 1)], "--budget", "0")
    assert entry["status"] == "unavailable" and "no time left" in entry["reason"]


def test_merge_keeps_other_rows(monkeypatch, tmp_path):
    rows = [Row("a", "s", a=lambda: 1), Row("b", "s", a=lambda: 1)]
    run(monkeypatch, tmp_path, rows)
    monkeypatch.setattr(bench, "say", lambda text: None)
    rows[1].a = lambda: 5
    bench.run(Context(bench.ROOT, "/nonexistent", str(tmp_path), False, None), options(tmp_path, "--merge", "--only", ": b"))
    kept = {e["name"]: e["a"]["value"] for e in report.read_json(tmp_path)["rows"]}
    assert kept == {"a": 1, "b": 5}


def test_every_row_module_names_its_rows(capsys):
    assert bench.main(["--list"]) == 0
    out = capsys.readouterr().out
    assert ": failed: " not in out, out


@pytest.mark.parametrize("limit", [100, 149, 1000, 12345, 10**9])
def test_the_highest_rate_is_within_a_step_of_the_limit(limit):
    stairs, asked = Staircase(100, 50000, 1.1), []

    def probe(rate):
        asked.append(rate)
        return rate if rate <= limit else None
    found = stairs.highest(probe)
    assert found <= limit and (found * 1.1 > limit or found * 1.1 >= 50000)
    assert len(asked) <= 7
    asked.clear()
    assert stairs.highest(probe) == found, "one more is tried and does not pass"
    assert len(asked) <= 2


def test_a_rate_that_drifts_is_followed():
    stairs = Staircase(1, 100, 1.5)
    first = stairs.highest(lambda rate: rate if rate <= 10 else None)
    assert stairs.highest(lambda rate: rate if rate <= 50 else None) == first * 1.5
    assert stairs.highest(lambda rate: rate if rate <= 3 else None) <= 3
    with pytest.raises(RuntimeError, match="nothing passes any more"):
        stairs.highest(lambda rate: None)
    with pytest.raises(RuntimeError, match="nothing passed"):
        Staircase(1, 100).highest(lambda rate: None)
