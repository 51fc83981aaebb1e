#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the appliance side by side with its peers: `make bench`, `make bench-full`.

Every row of tests/bench/rows_*.py is a ratio to a peer or a limit, measured in turns, a b a b. Writes bench.json
(machine and all rounds), bench.md (the table) and bench/*.svg (plots) into the build directory. Needs root. Exit
status 1: a row failed. A row that this machine cannot run, or for which no time was left, is listed with the reason.
"""
import argparse
import glob
import importlib
import os
import re
import signal
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]

import appliance  # noqa: E402
import arithmetic  # noqa: E402
import hugepages  # noqa: E402
import machine  # noqa: E402
import report  # noqa: E402
import row as row_module  # noqa: E402
import sandbox  # noqa: E402

ROUNDS = 5
BUDGET = 840


def parse(arguments):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", metavar="REGEX", help="rows whose 'group: name' it is found in")
    p.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"rounds of each row ({ROUNDS})")
    p.add_argument("--full", action="store_true", help="all rows, full sizes, no limit of time")
    p.add_argument("--budget", type=float, default=BUDGET, metavar="SECONDS",
                   help=f"no row begins after that, without --full ({BUDGET})")
    p.add_argument("--list", action="store_true", help="name the rows and end")
    p.add_argument("--out", default=appliance.BUILD, metavar="DIR", help="where bench.json and the rest go (%(default)s)")
    p.add_argument("--merge", action="store_true", help="keep the rows of DIR/bench.json that do not run this time")
    p.add_argument("--write-docs", action="store_true",
                   help="measure nothing: put DIR/bench.json's table and plots into docs/")
    options = p.parse_args(arguments)
    if options.rounds < 1:
        p.error("--rounds: at least 1")
    return options


def say(text):
    print(text, file=sys.stderr, flush=True)


def groups(context):
    """[(group, rows, why there are none)] in the order of their names"""
    out = []
    for path in sorted(glob.glob(os.path.join(HERE, "rows_*.py"))):
        name = os.path.basename(path)[:-3]
        try:
            module = importlib.import_module(name)
            group = module.GROUP
        except Exception:
            out.append((name, [], "failed", traceback.format_exc()))
            continue
        try:
            out.append((group, list(module.rows(context)), "ok", ""))
        except row_module.Unavailable as why:
            out.append((group, [], "unavailable", str(why)))
        except Exception:
            out.append((group, [], "failed", traceback.format_exc()))
    return sorted(out, key=lambda g: natural(g[0]))


def natural(text):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def measure(row, rounds, label):
    """[{"a": result, "b": result}]"""
    made = row.setup() if row.setup else None
    given = [made.__enter__()] if made else []
    failure = (None, None, None)
    try:
        return _rounds(row, max(rounds, row.rounds or 0), given, label)
    except BaseException:
        failure = sys.exc_info()
        raise
    finally:
        if made:
            made.__exit__(*failure)


def _rounds(row, rounds, given, label):
    out = []
    for i in range(-row.warmup, rounds):
        both = {"a": arithmetic.as_result(row.a(*given))}
        if row.b:
            both["b"] = arithmetic.as_result(row.b(*given))
        text = "  ".join(arithmetic.number(r["value"], row.unit) for r in both.values())
        say(f"{label}  round {i + 1} of {rounds}: {text}" if i >= 0 else f"{label}  warm-up: {text}")
        if i >= 0:
            out.append(both)
    return out


def blank(group, row):
    return {"group": group, "name": row.name, "unit": row.unit, "a_label": row.a_label,
            "b_label": row.b_label if row.b else None, "better": row.better, "target": row.target, "targets": row.targets,
            "factor": list(row.factor) if row.factor else None, "curve": row.curve, "note": row.note}


def run_row(group, row, options, left):
    """the row's entry in bench.json"""
    entry = blank(group, row) | {"commit": machine.commit(ROOT), "date": machine.now()}
    label = f"{group}: {row.name}"
    if row.full_only and not options.full:
        return entry | {"status": "unavailable", "reason": "with --full only"}
    if left <= 0:
        return entry | {"status": "unavailable", "reason": f"no time left of {options.budget:.0f} s: see --full"}
    begin = time.monotonic()
    try:
        rounds = measure(row, options.rounds, label)
        entry |= result(row, rounds)
    except row_module.Unavailable as why:
        entry |= {"status": "unavailable", "reason": str(why)}
        say(f"{label}: {why}")
    except Exception as error:
        entry |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        say(f"{label}: FAILED\n{traceback.format_exc()}")
    return entry | {"seconds": round(time.monotonic() - begin, 1)}


def result(row, rounds):
    a = arithmetic.figures([r["a"] for r in rounds])
    out = {"status": "ok", "rounds": rounds, "a": a, "a_spread": arithmetic.summary([r["a"]["value"] for r in rounds]),
           "b": None, "ratio": None}
    if row.b:
        out["b"] = arithmetic.figures([r["b"] for r in rounds])
        out["b_spread"] = arithmetic.summary([r["b"]["value"] for r in rounds])
        out["ratio"] = arithmetic.ratios([(r["a"]["value"], r["b"]["value"]) for r in rounds])
    out["met"] = arithmetic.is_met(row.better, row.target, row.targets, out["ratio"], a)
    return out


def run(context, options):
    """every entry of the run; bench.json is written after each row, so an interrupted run is not lost"""
    wanted = re.compile(options.only) if options.only else None
    head = {"machine": machine.describe(ROOT, context.no_huge), "commit": machine.commit(ROOT), "date": machine.now(),
            "options": vars(options)}
    entries = []
    begin = time.monotonic()
    for group, rows, status, why in groups(context):
        if status != "ok" and (not wanted or wanted.search(group)):
            say(f"{group}: {why}")
            entries.append({"group": group, "name": "all rows", "status": status, "reason": why.strip().splitlines()[-1]})
        for row in rows:
            if wanted and not wanted.search(f"{group}: {row.name}"):
                continue
            left = float("inf") if options.full else options.budget - (time.monotonic() - begin)
            entries.append(run_row(group, row, options, left))
            report.write_json(options.out, head, entries, options.merge)
        try:
            context.close_shared()
        except Exception:
            say(f"{group}: its clean-up failed\n{traceback.format_exc()}")
            entries.append({"group": group, "name": "clean-up", "status": "failed",
                            "reason": traceback.format_exc().strip().splitlines()[-1]})
    head["seconds"] = round(time.monotonic() - begin)
    report.write_json(options.out, head, entries, options.merge)
    return entries


def list_rows(context):
    for group, rows, status, why in groups(context):
        for row in rows:
            print(f"{group}: {row.name}" + (" (--full)" if row.full_only else ""))
        if status != "ok":
            print(f"{group}: {status}: {why.strip().splitlines()[-1]}")


def bench(options):
    # what rows have started and set is undone also when we are told to end
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    os.makedirs(os.path.join(options.out, "bench"), exist_ok=True)
    refused = sandbox.enter()
    if refused:
        sys.exit(f"bench: {refused}")
    with hugepages.reserved() as no_huge, tempfile.TemporaryDirectory(dir=os.path.join(options.out, "bench"),
                                                                      prefix="scratch-") as scratch:
        context = row_module.Context(ROOT, appliance.BUILD, scratch, options.full, no_huge)
        try:
            entries = run(context, options)
        finally:
            context.close_shared()
    if not entries:
        sys.exit("bench: no row has such a name: see --list")
    report.write(options.out)
    failed = [e for e in entries if e["status"] == "failed"]
    for entry in failed:
        say(f"bench: FAILED: {entry['group']}: {entry['name']}: {entry['reason']}")
    say(f"bench: {sum(e['status'] == 'ok' for e in entries)} of {len(entries)} rows measured, {len(failed)} failed; "
        f"see {os.path.join(options.out, 'bench.md')}")
    return 1 if failed else 0


def main(arguments=None):
    options = parse(arguments)
    options.out = os.path.abspath(options.out)
    if options.list:
        list_rows(row_module.Context(ROOT, appliance.BUILD, "/nonexistent", options.full, None))
        return 0
    if options.write_docs:
        report.write_docs(options.out, ROOT)
        return 0
    return bench(options)


if __name__ == "__main__":
    sys.exit(main())
