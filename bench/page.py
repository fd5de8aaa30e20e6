"""The report as one self-contained HTML page: tables and inline SVG, light and dark, no script."""
from html import escape

from bench.measurements import PATHS, PEERS, WORKLOADS
from bench.text import PATH_NAMES, WORKLOAD_NAMES, filesystem_line, index_rows, ratio_text, summary

STYLE = """
:root { color-scheme: light dark; --page: #fbfbf9; --card: #fff; --ink: #1d2430; --soft: #667085; --line: #e4e4de;
        --kernel-unprotected: #7c8aa5; --kernel-protected: #b4bdcd; --ublk: #e2803a; --direct: #14967f; }
@media (prefers-color-scheme: dark) {
:root { --page: #14171c; --card: #1c2027; --ink: #e8eaee; --soft: #98a2b3; --line: #323843;
        --kernel-unprotected: #8c9bb8; --kernel-protected: #56627a; --ublk: #f0964f; --direct: #2fb89d; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 1060px; margin: 0 auto; padding: 40px 24px 64px }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px } h2 { font-size: 20px; margin: 44px 0 6px }
p { margin: 0 0 12px; max-width: 76ch } .soft { color: var(--soft) }
.cards { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)) }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px 10px; overflow-x: auto }
.card h3 { font-size: 15px; margin: 0 0 8px; font-weight: 600 } .card h3 span { display: block; font: 13px system-ui, sans-serif }
.legend { display: flex; flex-wrap: wrap; gap: 6px 20px; margin: 10px 0 14px; font-size: 14px }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 7px; vertical-align: -1px }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif }
svg text { fill: var(--ink) } svg .soft { fill: var(--soft) } svg .grid { stroke: var(--line) } svg .one { stroke: var(--soft); stroke-dasharray: 4 3 }
svg .dot { fill: var(--card); stroke: var(--ink); stroke-width: 1 }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums }
th, td { padding: 5px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left } th { color: var(--soft); font-weight: 500 }
tr.workload td { font-weight: 600; padding-top: 14px } td i { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 8px }
code { font: 13.5px ui-monospace, monospace }
"""


def number(value):
    """Three significant digits, thousands separated."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def colour(path):
    return f"var(--{path})"


def bars(title, unit, values, runs=None):
    """A card with a bar for each path; small circles are the single runs."""
    width, label, bar, gap = 320, 52, 18, 7
    most = max([values[path] for path in PATHS] + [one for path in runs or {} for one in runs[path]]) or 1.0
    scale = (width - label - 8) / most
    parts = []
    for index, path in enumerate(PATHS):
        y = index * (bar + gap)
        parts.append(f'<rect x="{label}" y="{y}" width="{values[path] * scale:.1f}" height="{bar}" rx="3" '
                     f'fill="{colour(path)}"><title>{escape(PATH_NAMES[path])}: {number(values[path])} {unit}</title></rect>'
                     f'<text x="{label - 8}" y="{y + bar / 2 + 4}" text-anchor="end">{number(values[path])}</text>')
        for one in (runs or {}).get(path, ()):
            parts.append(f'<circle class="dot" cx="{label + one * scale:.1f}" cy="{y + bar / 2}" r="2.6"/>')
    height = len(PATHS) * (bar + gap) - gap + 2
    return (f'<div class="card"><h3>{escape(title)} <span class="soft">{escape(unit)}</span></h3>'
            f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}, {escape(unit)}">'
            f'{"".join(parts)}</svg></div>')


def latency(title, by_key, workload):
    """A card with a line from p50 to p99 for each path."""
    width, bar, gap, left, right = 320, 18, 7, 8, 100
    most = max(by_key[path, workload]["p99_us"] for path in PATHS)
    scale = (width - left - right) / most
    parts = []
    for index, path in enumerate(PATHS):
        row, y = by_key[path, workload], index * (bar + gap) + bar / 2
        begin, end = left + row["p50_us"] * scale, left + row["p99_us"] * scale
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y}" y2="{y}"/>'
                     f'<line x1="{begin:.1f}" x2="{end:.1f}" y1="{y}" y2="{y}" stroke="{colour(path)}" stroke-width="5" '
                     f'stroke-linecap="round"/><circle cx="{begin:.1f}" cy="{y}" r="5" fill="{colour(path)}"/>'
                     f'<text x="{width}" y="{y + 4}" text-anchor="end">{number(row["p50_us"])} / {number(row["p99_us"])}</text>')
    height = len(PATHS) * (bar + gap) - gap + 2
    return (f'<div class="card"><h3>{escape(title)} <span class="soft">µs, p50 / p99</span></h3><svg viewBox="0 0 {width} {height}" '
            f'role="img" aria-label="{escape(title)}, latency">{"".join(parts)}</svg></div>')


def ratios(by_key, peer):
    """A card with median and range of the speed of the Outboard paths over one in-kernel path."""
    own = [path for path in PATHS if path not in PEERS]
    width, left, line = 480, 206, 24
    values = [by_key[path, workload]["ratio"][peer] for path in own for workload in WORKLOADS]
    most = max(1.25, max(value["max"] for value in values) * 1.05)
    step = next(step for step in (0.25, 0.5, 1, 2, 5, 10, 100) if most / step <= 8)
    height = len(WORKLOADS) * (line * len(own) + 10) + 24

    def x(value):
        return left + value / most * (width - left - 40)
    parts = []
    for index in range(int(most / step) + 1):
        tick = index * step
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="0" '
                     f'y2="{height - 20}"/><text class="soft" x="{x(tick):.1f}" y="{height - 4}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<line class="one" x1="{x(1):.1f}" x2="{x(1):.1f}" y1="0" y2="{height - 20}"/>')
    for index, workload in enumerate(WORKLOADS):
        top = index * (line * len(own) + 10)
        parts.append(f'<text x="0" y="{top + line * len(own) / 2 + 4}">{escape(WORKLOAD_NAMES[workload])}</text>')
        for place, path in enumerate(own):
            value, y = by_key[path, workload]["ratio"][peer], top + line * place + line / 2
            parts.append(f'<line x1="{x(value["min"]):.1f}" x2="{x(value["max"]):.1f}" y1="{y}" y2="{y}" '
                         f'stroke="{colour(path)}" stroke-width="3" stroke-linecap="round"/>'
                         f'<circle cx="{x(value["median"]):.1f}" cy="{y}" r="5" fill="{colour(path)}"/>'
                         f'<text x="{width}" y="{y + 4}" text-anchor="end">{value["median"]:.2f}</text>')
    return (f'<div class="card"><h3>Beside {escape(PATH_NAMES[peer])}</h3><svg viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="Speed beside {escape(PATH_NAMES[peer])}">{"".join(parts)}</svg></div>')


def full_table(report, by_key):
    head = ("", "IOPS", "MiB/s", "p50 µs", "p99 µs", "CPU µs per request", "× unprotected", "× protected")
    lines = ["<table><tr>" + "".join(f"<th>{word}</th>" for word in head) + "</tr>"]
    for workload in WORKLOADS:
        lines.append(f'<tr class="workload"><td colspan="{len(head)}">{escape(WORKLOAD_NAMES[workload])}</td></tr>')
        for path in PATHS:
            row = by_key[path, workload]
            cells = [number(row[name]) for name in ("iops", "mib_s", "p50_us", "p99_us", "cpu_us_per_request")]
            cells += [ratio_text(row, peer) for peer in PEERS]
            lines.append(f'<tr><td><i style="background:{colour(path)}"></i>{escape(PATH_NAMES[path])}</td>'
                         + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return "\n".join([*lines, "</table>"])


def render(report):
    """The whole page."""
    by_key = index_rows(report["rows"])
    speed, waiting, effort = [], [], []
    for workload in WORKLOADS:
        unit = "MiB/s" if "128k" in workload else "IOPS"
        name = "mib_s" if unit == "MiB/s" else "iops"
        size = 1 / 8 if unit == "MiB/s" else 1  # a request of 128 KiB is an eighth of a MiB
        runs = {path: [one * size for one in by_key[path, workload]["runs"]] for path in PATHS}
        title = WORKLOAD_NAMES[workload]
        speed.append(bars(title, unit, {path: by_key[path, workload][name] for path in PATHS}, runs))
        waiting.append(latency(title, by_key, workload))
        effort.append(bars(title, "µs of CPU", {path: by_key[path, workload]["cpu_us_per_request"] for path in PATHS}))
    legend = "".join(f'<span><i style="background:{colour(path)}"></i>{escape(PATH_NAMES[path])}</span>' for path in PATHS)
    machine = report["machine"]
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Outboard: an IDE disk driven from user space</title><style>{STYLE}</style></head><body><main>
<h1>An IDE disk driven from user space</h1>
<p class="soft">{escape(summary(report))}</p>
<p>The same disk under the in-kernel driver and under Outboard, an ordinary process, measured in turns in one boot.
“Unprotected” is the in-kernel driver whose device may reach all memory; “protected” has the IOMMU translating, as
Outboard always has.</p>
<div class="legend">{legend}</div>
<h2>Speed</h2><p class="soft">Medians; circles are the single runs.</p><div class="cards">{"".join(speed)}</div>
<h2>Ratios</h2><p class="soft">Speed of Outboard over the in-kernel driver in the same round: median and range. Right of 1 is faster.</p>
<div class="cards">{"".join(ratios(by_key, peer) for peer in PEERS)}</div>
<h2>Latency</h2><p class="soft">From p50 (circle) to p99.</p><div class="cards">{"".join(waiting)}</div>
<h2>CPU per request</h2><p class="soft">All that was not idle on the guest's processors, interrupts, kernel threads and every
process, over the requests finished. Less is better.</p><div class="cards">{"".join(effort)}</div>
<h2>File system</h2><p>{escape(filesystem_line(report))}.</p>
<h2>All figures</h2><div class="card">{full_table(report, by_key)}</div>
<h2>How it was measured</h2><p>A QEMU machine under software emulation ({escape(machine["qemu"])}, {escape(machine["cpu"])},
{machine["processors"]} processors, {escape(machine["accelerator"])}), so absolute figures say little and ratios much. Every path: the same
range of the disk, direct I/O, the same run time, {escape(machine["fio"])}; the direct path is measured by <code>outboard bench</code>.
Repeat it with <code>./demo</code>.</p>
</main></body></html>
"""
