# SPDX-License-Identifier: Apache-2.0
"""The journal writer beside fio, which writes the same bytes in the same sizes and syncs as often."""
import json
import mmap
import os
import shutil
import subprocess

import row

GROUP = "4. Journal writer"
SEGMENT_MIB = 64


def _json(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr or done.stdout}")
    return json.loads(done.stdout)


def _warm_up(mib):
    """A hypervisor takes free memory back, and page cache then pays for getting it again: who runs first, or neither"""
    with mmap.mmap(-1, mib << 20) as memory:
        for at in range(0, len(memory), mmap.PAGESIZE):
            memory[at] = 1


def _ours(context, mib, sync, group_kib):
    _warm_up(mib)
    folder = context.folder("journal")
    try:
        out = _json([context.peer("journal_write"), os.path.join(folder, "journal"), str(mib), sync, str(group_kib),
                     str(SEGMENT_MIB)])
    finally:
        shutil.rmtree(folder)
    return {"value": out["bytes"] / out["seconds"], "cpu_s_per_gb": out["cpu_seconds"] * 1e9 / out["bytes"]}


def _fio(context, mib, sync, group_kib):
    """with sync = none a segment is still synced when it is full"""
    every = 1 if sync == "group" else SEGMENT_MIB * 1024 // group_kib
    _warm_up(mib)
    folder = context.folder("fio")
    try:
        out = _json([context.tool("fio"), "--name=write", f"--directory={folder}", "--rw=write", f"--bs={group_kib}k",
                     f"--size={mib}M", "--ioengine=psync", "--fallocate=native", f"--fdatasync={every}", "--thread",
                     "--output-format=json"])
    finally:
        shutil.rmtree(folder)
    job = out["jobs"][0]
    seconds = job["write"]["runtime"] / 1000
    cpu = seconds * (job["usr_cpu"] + job["sys_cpu"]) / 100
    return {"value": job["write"]["io_bytes"] / seconds, "cpu_s_per_gb": cpu * 1e9 / job["write"]["io_bytes"]}


def _row(context, sync, group_kib, mib):
    size = f"{group_kib // 1024} MiB" if group_kib >= 1024 else f"{group_kib} KiB"
    return row.Row(
        f"sync = {sync}, {size} a write", "B/s", warmup=1,
        a=lambda: _ours(context, mib, sync, group_kib), a_label="journal writer",
        b=lambda: _fio(context, mib, sync, group_kib), b_label="fio",
        note="The writer walks 128-byte records, makes a new file every 64 MiB and syncs its directory; fio writes one "
             "file from one aligned buffer. Both: preallocated, fdatasync after each write (group) or every 64 MiB (none).")


def rows(context):
    context.tool("fio")
    context.peer("journal_write")
    mib = 1024 if context.full else 384
    yield _row(context, "none", 4096, mib)
    yield _row(context, "group", 4096, mib)
    yield _row(context, "group", 64, 64)
