"""The report as text for a terminal, and the words that the text, the page and the README share."""
from bench.measurements import PATHS, PEERS, WORKLOADS

PATH_NAMES = {
    "kernel-unprotected": "in-kernel, unprotected",
    "kernel-protected": "in-kernel, protected",
    "ublk": "Outboard through ublk",
    "direct": "Outboard direct",
}
WORKLOAD_NAMES = {
    "randread-4k-qd1": "4 KiB random read, depth 1",
    "randread-4k-qd32": "4 KiB random read, depth 32",
    "randwrite-4k-qd32": "4 KiB random write, depth 32",
    "read-128k-qd8": "128 KiB sequential read, depth 8",
    "write-128k-qd8": "128 KiB sequential write, depth 8",
}


def index_rows(rows):
    """{(path, workload): row} of one device."""
    return {(row["path"], row["workload"]): row for row in rows}


def ratio_text(row, peer):
    """"0.97 (0.93–1.01)"; a dash for a path beside itself."""
    if row["path"] == peer:
        return "–"
    values = row["ratio"][peer]
    return f"{values['median']:.2f} ({values['min']:.2f}–{values['max']:.2f})"


def summary(report):
    """One line saying what was measured on what."""
    guest, rounds = report["machine"]["guest"], report["rows"][0]["pairs"]
    return (f"{guest['disk']} on {guest['controller']}, Linux {report['kernel']}, "
            f"{guest['processors']} processors, {rounds} round{'s' if rounds > 1 else ''}")


def filesystem_line(report):
    filesystem = report["filesystem"]
    verdict = "checksums equal" if filesystem["checksums_equal"] else "CHECKSUMS DIFFER"
    return (f"ext4 through ublk: {filesystem['files']:,} files, {filesystem['bytes'] / 1e6:.0f} MB written and read back; "
            f"then mounted by the in-kernel driver: {verdict}, e2fsck {filesystem['e2fsck']}")


def rows_table(rows):
    """The lines of the rows of one device."""
    by_key = index_rows(rows)
    head = f"{'':28}{'IOPS':>8}{'MiB/s':>9}{'p50 µs':>9}{'p99 µs':>9}{'CPU µs':>9}{'× unprotected':>20}{'× protected':>20}"
    lines = [head]
    for workload in WORKLOADS:
        lines.append(WORKLOAD_NAMES[workload])
        for path in PATHS:
            row = by_key[path, workload]
            lines.append(f"  {PATH_NAMES[path]:26}{row['iops']:>8.0f}{row['mib_s']:>9.1f}{row['p50_us']:>9.0f}"
                         f"{row['p99_us']:>9.0f}{row['cpu_us_per_request']:>9.0f}"
                         + "".join(f"{ratio_text(row, peer):>20}" for peer in PEERS))
    return lines


def table(report):
    """The lines of the report."""
    return [summary(report), *rows_table(report["rows"]), filesystem_line(report)]
