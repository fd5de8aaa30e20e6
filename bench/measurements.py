"""What the guest measured, read from its files and made into the figures of the report.

A directory of measurements holds
    lab.json                           what `outboard lab --json` said of the machine
    guest.txt                          name=value lines: kernel, processors, memory_mib, controller, disk, rounds, fio
    round-N/PATH/WORKLOAD.json         what `fio --output-format=json` or `outboard bench --json` printed
    round-N/PATH/WORKLOAD.cpu          two snapshots of /proc/uptime, the cpu lines of /proc/stat and the idle times in
                                       /proc/timer_list, taken while it ran
    filesystem.txt                     name=value lines: bytes, files, checksums_equal, e2fsck
Nothing is guessed: what is missing or not plausible is a MeasurementError.
"""
import json
import os
import pathlib
import re
import statistics
import subprocess
from dataclasses import dataclass

PATHS = ("kernel-unprotected", "kernel-protected", "ublk", "direct")
PEERS = PATHS[:2]
OWN = PATHS[2:]
WORKLOADS = ("randread-4k-qd1", "randread-4k-qd32", "randwrite-4k-qd32", "read-128k-qd8", "write-128k-qd8")
TICKS_PER_SECOND = 100  # of /proc/stat: USER_HZ, the same on every Linux machine


class MeasurementError(Exception):
    pass


@dataclass
class Sample:
    """One run of one workload."""
    iops: float
    mib_s: float
    p50_us: float
    p99_us: float
    cpu_us_per_request: float


def parse_fields(text):
    """name=value lines as a dictionary."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def parse_fio(document):
    """(iops, MiB/s, p50 µs, p99 µs) of one fio job."""
    job = document["jobs"][0]
    if job["error"] != 0:
        raise MeasurementError(f"fio reports error {job['error']}")
    side = max((job["read"], job["write"]), key=lambda one: one["total_ios"])
    if side["total_ios"] == 0:
        raise MeasurementError("fio did no request")
    percentiles = side["lat_ns"]["percentile"]
    return (side["iops"], side["bw_bytes"] / 2**20,
            percentiles["50.000000"] / 1e3, percentiles["99.000000"] / 1e3)


def parse_bench(document):
    """The same of one `outboard bench`."""
    if document["errors"] != 0:
        raise MeasurementError(f"outboard bench reports {document['errors']} errors")
    latency = document["latency_us"]
    return document["iops"], document["mib_s"], latency["p50"], latency["p99"]


def parse_cpu(text):
    """How many processors were busy on average between the two snapshots. The idle time of a tickless kernel is
    measured, not sampled, so what is not idle is busy: interrupts, kernel threads and every process."""
    snapshots = re.findall(r"^([\d.]+) [\d.]+\n((?:cpu.*\n)+)((?:(?:now at| *\.).*\n)*)", text, re.MULTILINE)
    if len(snapshots) != 2:
        raise MeasurementError(f"{len(snapshots)} snapshots of the processor time instead of 2")
    moments = []
    for uptime, lines, timers in snapshots:
        total = [int(word) for word in lines.splitlines()[0].split()[1:]]
        processors = len(re.findall(r"^cpu\d", lines, re.MULTILINE))
        now, idle = float(uptime), (total[3] + total[4]) / TICKS_PER_SECOND
        # These are exact, but leave out the pause that a processor is in: none, on the only one, which reads them.
        if processors == 1:
            clock = re.search(r"^now at (\d+)", timers)
            pauses = re.findall(r"_sleeptime *: (\d+)", timers)
            if not clock or not pauses:
                raise MeasurementError("/proc/timer_list does not say how long the processor was idle")
            now, idle = int(clock[1]) / 1e9, sum(map(int, pauses)) / 1e9
        moments.append((now, idle, processors))
    (begin, idle_begin, processors), (end, idle_end, _) = moments
    if end - begin < 0.5:
        raise MeasurementError(f"the processor time was watched for {end - begin:.2f} s only")
    return max(0.0, processors - (idle_end - idle_begin) / (end - begin))


def read_sample(directory, path, workload):
    file = directory / path / f"{workload}.json"
    try:
        # fio may print notes before the document.
        text = file.read_text()
        document = json.loads(text[text.index("{"):])
        iops, mib_s, p50_us, p99_us = (parse_bench if path == "direct" else parse_fio)(document)
        if not (iops > 0 and mib_s > 0 and 0 < p50_us <= p99_us):
            raise MeasurementError(f"no plausible figures: {iops} IOPS, {mib_s} MiB/s, {p50_us}/{p99_us} us")
        busy = parse_cpu(file.with_suffix(".cpu").read_text())
    except (OSError, ValueError, KeyError, IndexError, MeasurementError) as problem:
        raise MeasurementError(f"{file.with_suffix('')} was not measured: {problem!r}") from problem
    return Sample(iops, mib_s, p50_us, p99_us, busy / iops * 1e6)


def read_samples(raw, paths=PATHS):
    """{(path, workload): [Sample of round 1, …]}"""
    rounds = sorted(raw.glob("round-*"), key=lambda path: int(path.name.split("-")[1]))
    if not rounds:
        raise MeasurementError(f"{raw} holds no round of measurements")
    return {(path, workload): [read_sample(one, path, workload) for one in rounds]
            for workload in WORKLOADS for path in paths}


def ratio(own, peer):
    """Median and range of the ratios of paired runs: speed of `own` over speed of `peer`."""
    ratios = [a.iops / b.iops for a, b in zip(own, peer, strict=True)]
    return {"median": round(statistics.median(ratios), 4), "min": round(min(ratios), 4), "max": round(max(ratios), 4)}


def rows(samples, device):
    result = []
    for (path, workload), runs in samples.items():
        def median(name, digits, runs=runs):
            return round(statistics.median(getattr(run, name) for run in runs), digits)
        result.append({
            "device": device, "path": path, "workload": workload, "pairs": len(runs),
            "iops": median("iops", 1), "mib_s": median("mib_s", 2),
            "p50_us": median("p50_us", 1), "p99_us": median("p99_us", 1),
            "cpu_us_per_request": median("cpu_us_per_request", 2),
            "ratio": {peer: ratio(runs, samples[peer, workload]) for peer in PEERS},
            "runs": [round(run.iops, 1) for run in runs],
        })
    return result


def read_filesystem(raw):
    try:
        fields = parse_fields((raw / "filesystem.txt").read_text())
        return {"bytes": int(fields["bytes"]), "files": int(fields["files"]),
                "checksums_equal": fields["checksums_equal"] == "yes", "e2fsck": fields["e2fsck"]}
    except (OSError, KeyError, ValueError) as problem:
        raise MeasurementError(f"the file system was not checked: {problem!r}") from problem


def read_host(raw):
    """What this machine is, and the QEMU that `outboard lab --json` named in RAW/lab.json."""
    try:
        lab = json.loads((raw / "lab.json").read_text())
        version = subprocess.run([lab["qemu"], "--version"], capture_output=True, text=True, check=True).stdout
        model = re.search(r"^model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return {"cpu": model[1] if model else "unknown", "processors": os.cpu_count(),
                "qemu": "QEMU " + re.search(r"version (\S+)", version)[1], "accelerator": lab["accelerator"]}
    except (OSError, ValueError, KeyError, TypeError, subprocess.CalledProcessError) as problem:
        raise MeasurementError(f"the lab did not say what it is: {problem!r}") from problem


def build_rows(raw, device, machine):
    """(machine, kernel, rows) of one device's measurements. `machine`: what the host says of itself."""
    try:
        guest = parse_fields((raw / "guest.txt").read_text())
        guest_machine = {"processors": int(guest["processors"]), "memory_mib": int(guest["memory_mib"]),
                         "controller": guest["controller"], "disk": guest["disk"]}
        kernel, fio = guest["kernel"], guest["fio"]
    except (OSError, KeyError, ValueError) as problem:
        raise MeasurementError(f"the guest did not say what it is: {problem!r}") from problem
    return machine | {"guest": guest_machine, "fio": fio}, kernel, rows(read_samples(raw), device)


def build_report(raw, machine):
    """The report as ./demo writes it."""
    machine, kernel, all_rows = build_rows(raw, "ide", machine)
    return {"machine": machine, "kernel": kernel, "rows": all_rows, "filesystem": read_filesystem(raw)}
