# SPDX-License-Identifier: Apache-2.0
"""The harness's arithmetic: medians, pairs, spreads, and numbers for people."""
import math
import statistics


def as_result(returned):
    """What a row's function returned, as a dict with "value"."""
    result = dict(returned) if isinstance(returned, dict) else {"value": returned}
    value = result.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"a row returned {returned!r}, not a finite number")
    return result


def summary(values):
    """median, smallest and largest"""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(pairs):
    """Of the pairwise ratios a / b: the rounds of a pair are neighbours in time, so what drifts cancels out."""
    if any(b == 0 for _, b in pairs):
        raise ValueError("the peer's figure is 0: no ratio")
    return summary([a / b for a, b in pairs])


def figures(results):
    """{name: median} of every number in the results, "value" first"""
    names = list(dict.fromkeys(["value"] + [name for r in results for name in r]))
    out = {}
    for name in names:
        numbers = [r[name] for r in results if isinstance(r.get(name), (int, float)) and not isinstance(r.get(name), bool)]
        if numbers:
            out[name] = statistics.median(numbers)
    return out


def is_met(better, target, targets, ratio, a):
    """True, False, or None where nothing was aimed at. ratio: None without a peer; a: medians of our figures"""
    met = []
    if target is not None:
        measured = a["value"] if ratio is None else ratio["median"]
        met.append(measured >= target if better == "higher" else measured <= target)
    met += [a[name] <= bound if name in a else False for name, bound in targets.items()]
    return all(met) if met else None


def number(value, unit=""):
    """12.3 M events/s; with three figures"""
    if value is None:
        return "-"
    size = abs(value)
    for limit, factor, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if size >= limit:
            return f"{_three(value / factor)} {letter} {unit}".strip() if unit else f"{_three(value / factor)} {letter}"
    return f"{_three(value)} {unit}".strip()


def _three(value):
    size = abs(value)
    if size >= 1000:
        return f"{value:.0f}"
    if size == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(size)))
    text = f"{value:.{min(decimals, 6)}f}"
    return text
