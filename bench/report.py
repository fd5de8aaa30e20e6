#!/usr/bin/env python3
"""Makes the report of ./demo, and the figures of the README, from what was measured.

usage: bench/report.py RAW OUT               RAW/ as bench/measurements.py describes it -> OUT/report.json,
                                             OUT/report.html, and the table on standard output
       bench/report.py --readme REPORT.json  fills in README.md and docs/images/demo.svg
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import measurements, page, picture, text  # noqa: E402  (the path has to be set before)

BEGIN, END = "<!-- figures: written by bench/report.py -->\n", "<!-- end of figures -->\n"


def markdown(report):
    """The README's table of figures."""
    by_key = text.index_rows(report["rows"])
    lines = [f"{text.summary(report)}:", "",
             "| | " + " | ".join(text.PATH_NAMES[path] for path in measurements.PATHS) + " | ublk ÷ unprotected · protected "
             "| direct ÷ unprotected · protected |", "|---|" + "---:|" * 6]
    for workload in measurements.WORKLOADS:
        large = "128k" in workload
        cells = [f"{by_key[path, workload]['mib_s' if large else 'iops']:,.0f} {'MiB/s' if large else 'IOPS'}"
                 for path in measurements.PATHS]
        cells += [" · ".join(f"{by_key[path, workload]['ratio'][peer]['median']:.2f}" for peer in measurements.PEERS)
                  for path in ("ublk", "direct")]
        lines.append(f"| {text.WORKLOAD_NAMES[workload]} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", text.filesystem_line(report) + "."]) + "\n"


def fill_readme(readme, report):
    """The text of the README with the block between the markers replaced."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise measurements.MeasurementError("README.md lacks the markers of its figures")
    return before + begin + markdown(report) + end + after


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "--readme":
        report = json.loads(pathlib.Path(arguments[1]).read_text())
        readme = ROOT / "README.md"
        readme.write_text(fill_readme(readme.read_text(), report))
        (ROOT / "docs/images").mkdir(parents=True, exist_ok=True)
        (ROOT / "docs/images/demo.svg").write_text(picture.render(["$ ./demo", "…", *text.table(report)]))
        return
    if len(arguments) != 2:
        sys.exit(__doc__.strip())
    raw, out = pathlib.Path(arguments[0]), pathlib.Path(arguments[1])
    report = measurements.build_report(raw, measurements.read_host(raw))
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "report.html").write_text(page.render(report))
    print("\n".join(text.table(report)))
    filesystem = report["filesystem"]
    if not filesystem["checksums_equal"] or filesystem["e2fsck"] != "clean":
        raise measurements.MeasurementError("the file system written through Outboard is damaged")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except measurements.MeasurementError as problem:
        sys.exit(f"bench/report.py: {problem}")
