"""CPU per request of a disk: two boots beside each other, or one beside what was recorded.

A boot is {(path, workload): µs}.
"""
import statistics
from dataclasses import dataclass, field

from bench import measurements, text

REPEATS_WITHIN = 0.02
WORSE_BY_AT_MOST = 0.05


@dataclass
class Result:
    lines: list = field(default_factory=list)   # for people
    rows: list = field(default_factory=list)    # for programs
    faults: list = field(default_factory=list)  # what exceeds its limit


def difference(first, second):
    return max(first, second) / min(first, second) - 1


def compare(device, first, second):
    head = f"{device:28}{'boot 1 µs':>11}{'boot 2 µs':>11}{'differ by':>11}{'÷ unprotected':>15}{'÷ protected':>13}"
    result = Result(lines=[head])
    for workload in measurements.WORKLOADS:
        result.lines.append(text.WORKLOAD_NAMES[workload])
        for path in measurements.PATHS:
            pair = [boot[path, workload] for boot in (first, second)]
            ratios = [pair[0] / first[peer, workload] for peer in measurements.PEERS]
            result.lines.append(f"  {text.PATH_NAMES[path]:26}{pair[0]:>11.2f}{pair[1]:>11.2f}{difference(*pair):>10.1%} "
                                f"{ratios[0]:>14.2f}{ratios[1]:>13.2f}")
            result.rows.append({"device": device, "path": path, "workload": workload,
                                "cpu_us_per_request": round(statistics.mean(pair), 2),
                                "boots": [round(value, 2) for value in pair]})
            if difference(*pair) > REPEATS_WITHIN:
                result.faults.append(f"{device}, {path}, {workload}: the boots differ by {difference(*pair):.1%}")
    return result


def check(device, boot, recorded):
    """`recorded`: {(device, path, workload): µs}."""
    result = Result(lines=[f"{device:28}{'recorded µs':>12}{'now µs':>10}{'change':>9}"])
    for (path, workload), now in boot.items():
        if (device, path, workload) not in recorded:
            raise measurements.MeasurementError(f"nothing is recorded for {device}, {path}, {workload}: use --record")
        before = recorded[device, path, workload]
        result.lines.append(f"  {path}, {workload:20}{before:>12.2f}{now:>10.2f}{now / before - 1:>+9.1%}")
        result.rows.append({"device": device, "path": path, "workload": workload, "cpu_us_per_request": round(now, 2),
                            "recorded": before})
        if now > before * (1 + WORSE_BY_AT_MOST):
            result.faults.append(f"{device}, {path}, {workload}: {now:.2f} µs, {now / before - 1:.1%} more than {before:.2f} µs")
    return result
