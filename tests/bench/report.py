# SPDX-License-Identifier: Apache-2.0
"""bench.json, the table made of it, and its place in docs/benchmarks.md."""
import glob
import json
import os

import arithmetic
import plots

BEGIN = "<!-- bench: begin -->"
END = "<!-- bench: end -->"


def read_json(out):
    with open(os.path.join(out, "bench.json"), encoding="utf-8") as file:
        return json.load(file)


def write_json(out, head, entries, merge):
    kept = []
    path = os.path.join(out, "bench.json")
    if merge and os.path.exists(path):
        measured = {(e["group"], e["name"]) for e in entries}
        kept = [e for e in read_json(out)["rows"] if (e["group"], e["name"]) not in measured]
    rows = sorted(kept + entries, key=lambda e: [int(p) if p.isdigit() else p for p in e["group"].split(".")[:1]])
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(head | {"rows": rows}, file, indent=1)
        file.write("\n")
    os.replace(path + ".new", path)


def write(out):
    """bench.md and the plots, from bench.json"""
    data = read_json(out)
    drawn = plots.draw(data["rows"], os.path.join(out, "bench"))
    with open(os.path.join(out, "bench.md"), "w", encoding="utf-8") as file:
        file.write("# Benchmarks\n\n" + markdown(data, drawn, "bench"))


def write_docs(out, root):
    """the table between the markers of docs/benchmarks.md, the plots beside it"""
    path = os.path.join(root, "docs", "benchmarks.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"bench: {path} must have the lines '{BEGIN}' and '{END}' once each")
    data = read_json(out)
    folder = os.path.join(root, "docs", "benchmarks")
    os.makedirs(folder, exist_ok=True)
    for old in glob.glob(os.path.join(folder, "*.svg")):
        os.unlink(old)
    drawn = plots.draw(data["rows"], os.path.join(out, "bench"))
    for name, _ in drawn:
        _copy_text(os.path.join(out, "bench", name), os.path.join(folder, name))
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n\n{markdown(data, drawn, 'benchmarks')}\n{END}{after}")


def _copy_text(path, to):
    """without the blanks that the plots' lines end with"""
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip() + "\n" for line in file]
    with open(to, "w", encoding="utf-8") as file:
        file.writelines(lines)


def markdown(data, drawn, folder):
    """drawn: [(file, title)]; folder: where they are, as seen from the text"""
    m = data["machine"]
    lines = [f"Measured {data['date']} at commit {data['commit']}: {m['cpu']}, {m['cpus']} processors, "
             f"{m['memory_gb']} GB, virtualisation: {m['virtual']}, {m['system']}, kernel {m['kernel']}, DPDK {m['dpdk']}, "
             f"hugepages: {m['hugepages']}, {m['compiler']}.", "",
             "Each ratio is the median of the rounds' own ratios (ours / peer), measured in turns; in brackets the smallest "
             "and the largest.", ""]
    for group in dict.fromkeys(e["group"] for e in data["rows"]):
        lines += _table(group, [e for e in data["rows"] if e["group"] == group], data["commit"])
    for name, title in drawn:
        lines += [f"![{title}]({folder}/{name})", ""]
    return "\n".join(lines)


def _table(group, entries, commit):
    lines = [f"### {group}", "", "| row | ours | peer or limit | ratio | target | further |", "| --- | --- | --- | --- | --- | --- |"]
    for e in entries:
        if e["status"] != "ok":
            lines.append(f"| {_cell(e['name'])} | {e['status']}: {_cell(e['reason'])} | | | | |")
            continue
        peer = f"{arithmetic.number(e['b']['value'], e['unit'])} ({e['b_label']})" if e["b"] else "-"
        lines.append(f"| {_cell(e['name'])} | {arithmetic.number(e['a']['value'], e['unit'])} ({_cell(e['a_label'])}) "
                     f"| {_cell(peer)} | {_ratio(e)} | {_target(e)} | {_cell(_further(e))} |")
    notes = [f"- {e['name']}: {e['note']}" for e in entries if e.get("note")]
    notes += [f"- {e['name']}: measured at commit {e['commit']}, {e['date']}" for e in entries
              if e.get("commit") not in (None, commit) and e["status"] == "ok"]
    return lines + [""] + (notes + [""] if notes else [])


def _cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def _ratio(e):
    if e["ratio"]:
        r = e["ratio"]
        return f"{r['median']:.2f} ({r['min']:.2f} .. {r['max']:.2f})"
    s = e["a_spread"]
    return f"({arithmetic.number(s['min'])} .. {arithmetic.number(s['max'])})"


def _target(e):
    sign = ">=" if e["better"] == "higher" else "<="
    wanted = [] if e["target"] is None else [f"{sign} {e['target']:g}"]
    wanted += [f"{name} <= {bound:g}" for name, bound in e["targets"].items()]
    return "" if not wanted else ", ".join(wanted) + (": met" if e["met"] else ": **missed**")


def _further(e):
    parts = []
    for label, figures in ((e["a_label"], e["a"]), (e["b_label"], e["b"])):
        more = [f"{name} {arithmetic.number(value)}" for name, value in (figures or {}).items() if name != "value"]
        if more:
            parts.append(f"{label}: " + ", ".join(more))
    return "; ".join(parts)
