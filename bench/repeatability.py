#!/usr/bin/env python3
"""CPU per request of two boots side by side; fails when they differ by more than 2 %.

usage: bench/repeatability.py RAW RAW     directories as bench/measurements.py describes them; medians of their rounds are compared
"""
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench import measurements, text  # noqa: E402  (the path has to be set before)

LIMIT = 0.02


def median_cpu(samples, path, workload):
    return statistics.median(sample.cpu_us_per_request for sample in samples[path, workload])


def compare(first, second):
    """Lines of a table, and the largest relative difference. Both as measurements.read_samples gives them."""
    lines = [f"{'CPU per request':28}{'boot 1 µs':>11}{'boot 2 µs':>11}{'differ by':>11}{'÷ unprotected':>15}{'÷ protected':>13}"]
    worst = 0.0
    for workload in measurements.WORKLOADS:
        lines.append(text.WORKLOAD_NAMES[workload])
        for path in measurements.PATHS:
            one, two = (median_cpu(samples, path, workload) for samples in (first, second))
            difference = abs(one - two) / min(one, two)
            worst = max(worst, difference)
            ratios = [one / median_cpu(first, peer, workload) for peer in measurements.PEERS]
            lines.append(f"  {text.PATH_NAMES[path]:26}{one:>11.2f}{two:>11.2f}{difference:>10.1%} {ratios[0]:>14.2f}{ratios[1]:>13.2f}")
    return lines, worst


def main(arguments):
    if len(arguments) != 2:
        sys.exit(__doc__.strip())
    lines, worst = compare(*(measurements.read_samples(pathlib.Path(word)) for word in arguments))
    print("\n".join(lines))
    if worst > LIMIT:
        raise measurements.MeasurementError(f"the boots differ by {worst:.1%}, more than {LIMIT:.0%}")
    print(f"repeats within {worst:.1%}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except measurements.MeasurementError as problem:
        sys.exit(f"bench/repeatability.py: {problem}")
