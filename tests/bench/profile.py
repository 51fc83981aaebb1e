#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Where the time of row 1 goes: `make bench-profile`. Prints a Markdown table of lcore 1's functions: instructions for an
event, counted by callgrind, and their share of the time, sampled by perf's clock (many machines have no counters of
cycles). Needs root, valgrind and perf."""
import argparse
import collections
import glob
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]

import appliance  # noqa: E402
import hugepages  # noqa: E402
import row  # noqa: E402
import rx_limit  # noqa: E402
import sandbox  # noqa: E402

EVENTS = 2000000
SAMPLE_SECONDS = 5
DRIVER = "net_pcap"
# what stands in queue_poll, by the file it is written in
PARTS = {"lib/net": "headers and both checksums", "lib/feed": "decode the key", "lib/event/hash": "hash the key",
         "lib/event": "hash the key", "app/fastpath/dataplane/rx": "buffers, feed, descriptor"}


def settings(context, huge):
    out = rx_limit.settings(rx_limit.Source(context))
    out["eal"]["lcores"] = out["eal"]["lcores"].format(*context.cpus)
    if not huge:
        # valgrind runs one thread at a time: what the journal thread has not read yet needs a place
        out["journal"]["memory_mb"] = 1024
    return out


def function(name, library):
    if DRIVER in library:
        return DRIVER + " (the driver)"
    if re.match(r"mem(cpy|move)|__mem", name):
        return "memcpy"
    return re.sub(r"\.(isra|constprop|part)\.\d+", "", name)


def count(context, netns):
    """{(function, part): instructions an event}"""
    folder = context.folder("callgrind")
    out = os.path.join(folder, "out")
    engine = appliance.Engine(netns, folder, settings(context, False), prefix=[
        context.tool("valgrind"), "--tool=callgrind", "--fair-sched=yes", "--separate-threads=yes",
        f"--callgrind-out-file={out}"])
    try:
        engine.launch()
        appliance.wait_for(lambda: "ready: engine" in engine.log(), 180, lambda: f"engine ready\n{engine.log()}")
        # its other threads wait long for their turns
        appliance.wait_for(lambda: engine.get("/stats", timeout=120).json()["fast_path_count"] > EVENTS, 180, "enough events")
        log = engine.stop(180)
    finally:
        engine.close()
    events, dropped = map(int, re.search(r"(\d+) journaled, \d+ filtered, (\d+) dropped", log).groups())
    if dropped:
        raise RuntimeError(f"{dropped} events were dropped: they took another way")
    for path in glob.glob(out + "-*"):
        found = annotated(path)
        if any(name == "queue_poll" for name, _ in found):
            return {key: n / events for key, n in found.items()}
    raise RuntimeError("no thread called queue_poll")


def annotated(path):
    text = subprocess.run(["callgrind_annotate", "--threshold=100", path], capture_output=True, text=True, check=True).stdout
    found = collections.Counter()
    for line in text.splitlines():
        match = re.match(r"\s*([\d,]+) \(.*?\)\s+(\S*?):(\S+?)(?:'\d+)?(?: \[(.*)\])?$", line)
        if match:
            n, file, name, library = match.groups()
            found[function(name, library or ""), file] += int(n.replace(",", ""))
    return found


def sample(context, netns):
    """{function: share of lcore 1's time}"""
    folder = context.folder("perf")
    engine = appliance.Engine(netns, folder, settings(context, True), huge=True)
    try:
        engine.start(60)
        time.sleep(rx_limit.SETTLE)
        [task] = [t for t in os.listdir(f"/proc/{engine.pid}/task") if _name(engine.pid, t) == "rte-worker-1"]
        data = os.path.join(folder, "perf.data")
        subprocess.run([context.tool("perf"), "record", "-q", "-e", "cpu-clock:u", "-F", "997", "-t", task, "-o", data, "--",
                        "sleep", str(SAMPLE_SECONDS)], check=True, capture_output=True)
        text = subprocess.run(["perf", "script", "-i", data, "-F", "ip,sym,dso"], check=True, capture_output=True, text=True).stdout
        engine.stop()
    finally:
        engine.close()
    samples = collections.Counter()
    for line in text.splitlines():
        match = re.match(r"\s*[0-9a-f]+ (\S+).*\((.*)\)$", line)
        if match:
            samples[function(*match.groups())] += 1
    return {name: n / samples.total() for name, n in samples.items()}


def _name(pid, task):
    with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as file:
        return file.read().strip()


def table(counted, sampled):
    by_function = collections.Counter()
    for (name, _), n in counted.items():
        by_function[name] += n
    total = by_function.total()
    lines = ["| function | instructions an event | of them | time |", "| --- | --- | --- | --- |"]
    shown, shown_time = 0, 0
    for name, n in by_function.most_common():
        if n < 0.005 * total:
            break
        shown, shown_time = shown + n, shown_time + sampled.get(name, 0)
        lines.append(f"| {name} | {n:.0f} | {n / total:.0%} | {sampled.get(name, 0):.0%} |")
        if name == "queue_poll":
            lines += parts(counted, total)
    lines.append(f"| all of these | {shown:.0f} of {total:.0f} | {shown / total:.0%} | {shown_time:.0%} |")
    return "\n".join(lines)


def parts(counted, total):
    found = collections.Counter()
    for (name, file), n in counted.items():
        if name == "queue_poll":
            [part] = [what for start, what in PARTS.items() if start in file][:1] or ["DPDK's inline functions"]
            found[part] += n
    return [f"| - {part} | {n:.0f} | {n / total:.0%} | |" for part, n in found.most_common()]


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    refused = sandbox.enter()
    if refused:
        sys.exit(f"profile: {refused}")
    with hugepages.reserved() as no_huge, tempfile.TemporaryDirectory() as scratch:
        context = row.Context(ROOT, appliance.BUILD, scratch, False, no_huge)
        try:
            netns = context.shared("profile", rx_limit.namespace)
            print(table(count(context, netns), sample(context, netns)))
        except row.Unavailable as why:
            sys.exit(f"profile: {why}")
        finally:
            context.close_shared()


if __name__ == "__main__":
    main()
