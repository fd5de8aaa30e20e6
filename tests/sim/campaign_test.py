#!/usr/bin/env python3
"""A fault campaign as a program runs it: what it prints, and that no driver crashed, hung or gave wrong data.

usage: campaign_test.py OUTBOARD DEVICE COUNT
"""
import json
import os
import subprocess
import sys

KEYS = {"device", "seed", "faults", "classes", "mismatches", "hangs", "crashes", "recovery_ms", "memory_kib"}
CLASS_KEYS = {"injected", "recovered", "failed_to_caller", "corrupted", "resets", "reopened"}
# Only these may deliver, or store, wrong data and say that all is well.
CORRUPTING = {"wrong-identifier", "dma-short", "dma-misplaced", "data-stale", "data-torn", "queue-overwrite"}
GROWTH_KIB = 4096


def problems(report, device, count, seed):
    """What is wrong with a report; nothing when all is well."""
    found = [f"{key} is missing" for key in KEYS - report.keys()]
    if found:
        return found
    if (report["device"], report["seed"], report["faults"]) != (device, seed, count):
        found.append(f"it is about {report['faults']} faults of {report['device']} with the seed {report['seed']}")
    found += [f"{report[key]} {key}" for key in ("mismatches", "hangs", "crashes") if report[key] != 0]
    for name, counts in report["classes"].items():
        if counts.keys() != CLASS_KEYS:
            found.append(f"{name} has {sorted(counts)}")
        elif counts["recovered"] + counts["failed_to_caller"] != counts["injected"]:
            found.append(f"{name}: {counts['injected']} are not {counts['recovered']} and {counts['failed_to_caller']}")
        elif counts["corrupted"] and name not in CORRUPTING:
            found.append(f"{name} gave wrong data")
    if sum(counts["injected"] for counts in report["classes"].values()) != count:
        found.append("the classes do not add up")
    memory = report["memory_kib"]
    if memory["last"] > memory["first"] + GROWTH_KIB:
        found.append(f"memory grew from {memory['first']} to {memory['last']} KiB")
    return found


def main(outboard, device, count):
    seed = 20041
    jobs = 2 * (os.cpu_count() or 1)
    finished = subprocess.run(
        [outboard, "faults", "--device", device, "--count", count, "--seed", str(seed), "--jobs", str(jobs), "--json"],
        stdout=subprocess.PIPE, text=True, check=False)
    report = json.loads(finished.stdout)
    print(json.dumps(report, indent=1))
    found = problems(report, device, int(count), seed)
    if finished.returncode != 0:
        found.append(f"exit status {finished.returncode}")
    for problem in found:
        print(f"FAILED: {problem}")
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__.strip())
    sys.exit(main(*sys.argv[1:]))
