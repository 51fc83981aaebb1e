# SPDX-License-Identifier: Apache-2.0
"""How the cost of an event grows with keys, feeds and size, one lcore run to completion (issue 4, row 9)."""
import rx_limit
from row import Row

GROUP = "9. Growth"
PACKETS = 1000000  # the same for all numbers of keys: what grows is the keys alone


def ns(context, **source):
    """the cost of an event"""
    result = rx_limit.engine(context, rx_limit.Source(context, **source))
    return {"value": 1e9 / result["value"], "dropped": result["dropped"]}


def beside(context, name, many, one, **more):
    return Row(name, "ns/event", a=lambda: ns(context, **many), b=lambda: ns(context, **one), better="lower", **more)


def rows(context):
    for keys, target in ((1000, 1.2), (100000, 1.2), (1000000, 2.0), (10000, 1.2)):
        yield beside(context, f"{keys:,} keys", {"keys": keys, "packets": PACKETS}, {"keys": 10, "packets": PACKETS},
                     b_label="10 keys", factor=("keys", keys), target=target, full_only=keys == 10000,
                     note="both read 1,000,000 packets")
    for feeds in (8, 64):
        yield beside(context, f"{feeds} feeds", {"feeds": feeds}, {}, b_label="1 feed", factor=("feeds", feeds), target=1.2,
                     full_only=feeds == 8)
    for size in (10, 256, 1400, 8000):
        yield beside(context, f"{size} bytes", {"size": size}, {}, b_label="64 bytes", factor=("payload bytes", size),
                     full_only=size in (256, 1400))
