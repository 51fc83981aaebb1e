# SPDX-License-Identifier: Apache-2.0
"""What an append into the memlog costs beside copying its bytes (issue 4, row 3)."""
import os
import subprocess

from row import Row

GROUP = "3. Memlog append"
SECONDS = 0.5


def loop(context, mode, size, *more):
    """events/s of tests/bench/append_loop.c"""
    done = subprocess.run([context.peer("append_loop"), mode, str(size), str(SECONDS), str(context.cpus[-1]), *map(str, more)],
                          check=True, capture_output=True, text=True)
    return float(done.stdout)


def into_file(context, size):
    path = os.path.join(context.scratch, "appended")
    return loop(context, "file", size, path)


def rows(context):
    for size in (64, 256, 1024, 8192):
        def ours(size=size):
            return loop(context, "memlog", size)
        yield Row(f"{size} bytes, beside memcpy", "events/s", a=ours, b=lambda size=size: loop(context, "memcpy", size),
                  b_label="memcpy of the same bytes", factor=("payload bytes", size), note="with CRC32C over the record")
        yield Row(f"{size} bytes, beside a mapped file", "events/s", a=ours, b=lambda size=size: into_file(context, size),
                  b_label="memcpy into an mmap'ed file", note="on the disk of the scratch folder", full_only=size != 64)
