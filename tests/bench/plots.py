# SPDX-License-Identifier: Apache-2.0
"""SVG plots of the rows: figures against a factor, histograms, and series over time."""
import os
import re


def draw(entries, folder):
    """Returns [(file, title)] of what was drawn; nothing without matplotlib, which is said by the caller's table alone."""
    entries = [e for e in entries if e["status"] == "ok"]
    try:
        import matplotlib
    except ImportError:
        print("bench: no plots: there is no python3-matplotlib: run scripts/deps.sh bench")
        return []
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "fastpath", "figure.figsize": (7, 4), "axes.grid": True, "grid.alpha": 0.3,
                                "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
    import matplotlib.pyplot
    drawn = []
    for group in dict.fromkeys(e["group"] for e in entries):
        ours = [e for e in entries if e["group"] == group]
        for factor in dict.fromkeys(e["factor"][0] for e in ours if e["factor"]):
            drawn.append(_factor(matplotlib.pyplot, group, factor, [e for e in ours if e["factor"] and e["factor"][0] == factor],
                                 folder))
        for kind, plot in (("histogram", _histogram), ("series", _series)):
            having = [e for e in ours if any(kind in side for side in e["rounds"][0].values())]
            if having:
                drawn.append(plot(matplotlib.pyplot, group, having, folder))
    return drawn


def slug(*parts):
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")


def _finish(plt, name, title, folder):
    file = name + ".svg"
    plt.title(title, fontsize=10)
    if plt.gca().get_legend_handles_labels()[1]:
        plt.legend(fontsize=8)
    plt.tight_layout()
    plt.savefig(os.path.join(folder, file), metadata={"Date": None})
    plt.close()
    return file, title


def _factor(plt, group, factor, entries, folder):
    plt.figure()
    lines = {}
    for e in entries:
        for side, label in (("a", e["a_label"]), ("b", e["b_label"])):
            if e[side]:
                name = f"{label}, {e['curve']}" if e["curve"] else label
                spread = e[f"{side}_spread"]
                lines.setdefault(name, []).append((e["factor"][1], e[side]["value"], spread["min"], spread["max"]))
    for name, points in lines.items():
        points.sort()
        x, y, low, high = zip(*points)
        plt.errorbar(x, y, yerr=[[v - l for v, l in zip(y, low)], [h - v for v, h in zip(y, high)]],
                     marker="o", markersize=3, capsize=2, label=name)
    values = [e["factor"][1] for e in entries]
    if min(values) > 0 and max(values) / min(values) > 30:
        plt.xscale("log")
    plt.ylim(bottom=0)
    plt.xlabel(factor)
    plt.ylabel(" or ".join(dict.fromkeys(e["unit"] for e in entries)))
    return _finish(plt, slug(group, "against", factor), f"{group}: against {factor}", folder)


def _histogram(plt, group, entries, folder):
    """the share of events that took longer: tails are what matters"""
    plt.figure()
    for e in entries:
        for side, label in (("a", e["a_label"]), ("b", e["b_label"])):
            rounds = [r[side]["histogram"] for r in e["rounds"] if "histogram" in r.get(side, {})]
            if rounds:
                bounds, shares = beyond(rounds)
                plt.step(bounds, shares, where="post", label=e["name"] if side == "a" else f"{e['name']}: {label}")
    plt.xscale("log")
    plt.yscale("log")
    plt.xlabel("microseconds")
    plt.ylabel("share of events that took longer")
    return _finish(plt, slug(group, "histogram"), f"{group}: latency", folder)


def beyond(rounds):
    """Histograms [[bound, count], ...] of all rounds as (bounds, share of events above each bound), without the end at 0"""
    counts = {}
    for one in rounds:
        for bound, count in one:
            counts[bound] = counts.get(bound, 0) + count
    total, seen, bounds, shares = sum(counts.values()), 0, [], []
    for bound in sorted(counts):
        seen += counts[bound]
        if seen < total:
            bounds.append(bound)
            shares.append((total - seen) / total)
    return bounds, shares


def _series(plt, group, entries, folder):
    """over time, of the round in the middle of the ratios or values"""
    plt.figure()
    for e in entries:
        middle = sorted(e["rounds"], key=lambda r: r["a"]["value"])[len(e["rounds"]) // 2]
        for side in ("a", "b"):
            for name, points in middle.get(side, {}).get("series", {}).items():
                plt.plot(*zip(*points), label=name if len(entries) == 1 else f"{e['name']}: {name}")
        plt.ylabel(middle["a"].get("series_axis", ""))
    plt.xlabel("seconds")
    return _finish(plt, slug(group, "over time"), f"{group}: over time", folder)
