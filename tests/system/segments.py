# SPDX-License-Identifier: Apache-2.0
"""A second reader of segment files, from docs/journal-format.md: where batches stand, and what they name."""
import os
import re
import struct

HEADER = 4096
BATCH = struct.Struct("<8sIIQQQQII8s")


class Batch:
    def __init__(self, offset, fields):
        (self.magic, self.crc, self.length, self.first_seq, self.last_seq, self.durable, self.offset, self.count,
         self.shard, self.uuid) = fields
        assert self.offset == offset
        self.end = offset + BATCH.size + self.length


def names(directory, shard=None):
    """segment files, oldest first"""
    out = []
    for name in os.listdir(directory):
        match = re.fullmatch(r"shard-(\d+)-(\d{20})\.seg", name)
        if match and shard in (None, int(match[1])):
            out.append(((int(match[1]), int(match[2])), os.path.join(directory, name)))
    return [path for _, path in sorted(out)]


def batches(path):
    """the whole batches of a segment file, in order"""
    with open(path, "rb") as file:
        data = file.read()
    out = []
    offset = HEADER + struct.unpack_from("<I", data, 20)[0]
    while offset + BATCH.size <= len(data) and data[offset:offset + 8] == b"FPBATCH1":
        out.append(Batch(offset, BATCH.unpack_from(data, offset)))
        offset = out[-1].end
    return out


def named_durable(directory, shard):
    """the last durable end that the shard's batches name"""
    return max((b.durable for path in names(directory, shard) for b in batches(path)), default=0)


def end_of(path, seq):
    """offset behind the batch that holds seq, or of the first batch when seq stands before this file"""
    offset = None
    for batch in batches(path):
        if offset is None:
            offset = batch.offset
        if batch.count and batch.first_seq <= seq:
            offset = batch.end
    return HEADER if offset is None else offset
