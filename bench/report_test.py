#!/usr/bin/env python3
"""Tests of the report on synthetic measurements.

usage: report_test.py [-v] [TestCase.test]
"""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench import cpu_rows, measurements, page, picture, report, text  # noqa: E402

HOST = {"cpu": "A & B <processor>", "processors": 2, "qemu": "QEMU 7.2", "accelerator": "tcg"}
SPEED = {"kernel-unprotected": 1000.0, "kernel-protected": 750.0, "ublk": 900.0, "direct": 1100.0}


def fio_document(iops, block, write=False, error=0):
    side = {"total_ios": int(iops * 2), "iops": iops, "bw_bytes": int(iops * block),
            "lat_ns": {"percentile": {"50.000000": 200_000, "99.000000": 700_000}}}
    idle = {"total_ios": 0, "iops": 0.0, "bw_bytes": 0, "lat_ns": {"percentile": {}}}
    return {"jobs": [{"error": error, "read": idle if write else side, "write": side if write else idle}]}


def bench_document(iops, block, errors=0):
    return {"iops": iops, "mib_s": iops * block / 2**20, "latency_us": {"p50": 150.0, "p99": 500.0, "p999": 900.0},
            "cpu_ns_per_request": 90000, "errors": errors}


def cpu_text(uptime, idle_ticks):
    """Two snapshots `uptime` seconds apart in which two processors were idle for `idle_ticks` in all."""
    def snapshot(now, idle):
        return (f"{now:.2f} 300.00\ncpu  10 0 20 {idle} 5 0 1 0 0 0\ncpu0 5 0 10 {idle // 2} 2 0 1 0 0 0\n"
                f"cpu1 5 0 10 {idle // 2} 3 0 0 0 0 0\n")
    return snapshot(100, 4000) + snapshot(100 + uptime, 4000 + idle_ticks)


def write_measurements(raw, rounds=5):
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "guest.txt").write_text("kernel=6.12.0\nprocessors=2\nmemory_mib=970\ncontroller=PIIX3\ndisk=QEMU HARDDISK\n"
                                   "rounds=5\nfio=fio-3.33, io_uring\n")
    qemu = raw / "qemu"
    qemu.write_text("#!/bin/sh\necho QEMU emulator version 7.2.22 '(Debian 1:7.2)'\n")
    qemu.chmod(0o755)
    (raw / "lab.json").write_text(json.dumps({"qemu": str(qemu), "accelerator": "tcg"}))
    (raw / "filesystem.txt").write_text("bytes=121000000\nfiles=9000\nchecksums_equal=yes\ne2fsck=clean\n")
    for number in range(1, rounds + 1):
        for path in measurements.PATHS:
            directory = raw / f"round-{number}" / path
            directory.mkdir(parents=True)
            for workload in measurements.WORKLOADS:
                block = 131072 if "128k" in workload else 4096
                iops = SPEED[path] * (1 + number / 100 if path == "ublk" else 1)
                document = (bench_document(iops, block) if path == "direct"
                            else fio_document(iops, block, "write" in workload))
                note = "" if path == "direct" else "note: both iodepth >= 1 and synchronous I/O engine are selected\n"
                (directory / f"{workload}.json").write_text(note + json.dumps(document))
                (directory / f"{workload}.cpu").write_text(cpu_text(1.5, 150))


class Report(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.raw = pathlib.Path(self.directory.name, "raw")
        write_measurements(self.raw)

    def build(self):
        return measurements.build_report(self.raw, HOST)

    def refuse(self, words):
        with self.assertRaisesRegex(measurements.MeasurementError, words):
            self.build()

    def test_every_path_and_workload_has_a_row(self):
        rows = self.build()["rows"]
        self.assertEqual({(row["path"], row["workload"]) for row in rows},
                         {(path, workload) for path in measurements.PATHS for workload in measurements.WORKLOADS})
        for row in rows:
            self.assertEqual((row["device"], row["pairs"]), ("ide", 5))
            self.assertEqual(set(row["ratio"]), {"kernel-unprotected", "kernel-protected"})

    def test_figures_are_medians(self):
        row = text.index_rows(self.build()["rows"])["ublk", "read-128k-qd8"]
        self.assertEqual(row["iops"], 927.0)  # 900 × (1.01 … 1.05)
        self.assertAlmostEqual(row["mib_s"], 927 / 8, places=1)
        self.assertEqual((row["p50_us"], row["p99_us"]), (200, 700))

    def test_ratios_are_of_pairs(self):
        by_key = text.index_rows(self.build()["rows"])
        self.assertEqual(by_key["ublk", "randread-4k-qd1"]["ratio"],
                         {"kernel-unprotected": {"median": 0.927, "min": 0.909, "max": 0.945},
                          "kernel-protected": {"median": 1.236, "min": 1.212, "max": 1.26}})
        self.assertEqual(by_key["kernel-unprotected", "randread-4k-qd1"]["ratio"]["kernel-unprotected"]["median"], 1)

    def test_cpu_is_what_was_not_idle(self):
        # 2 processors for 1.5 s, idle for 1.5 s in all: one was busy on average.
        self.assertAlmostEqual(measurements.parse_cpu(cpu_text(1.5, 150)), 1.0)
        row = text.index_rows(self.build()["rows"])["direct", "randread-4k-qd1"]
        self.assertAlmostEqual(row["cpu_us_per_request"], 1e6 / 1100, places=1)

    def test_idle_time_of_one_processor_is_exact(self):
        def snapshot(now, idle, waiting):
            return (f"{now / 1e9:.2f} 0\ncpu  1 1 1 1 1\ncpu0 1 1 1 1 1\nnow at {now} nsecs\n"
                    f"  .idle_sleeptime : {idle} nsecs\n  .iowait_sleeptime: {waiting} nsecs\n")
        text = snapshot(10**9, 0, 0) + snapshot(3 * 10**9, 10**9, 500 * 10**6)
        self.assertAlmostEqual(measurements.parse_cpu(text), 0.25)

    def test_a_missing_run_is_refused(self):
        (self.raw / "round-3/ublk/read-128k-qd8.json").unlink()
        self.refuse("round-3/ublk/read-128k-qd8 was not measured")

    def test_a_torn_document_is_refused(self):
        (self.raw / "round-3/direct/read-128k-qd8.json").write_text('{"iops": 12')
        self.refuse("round-3/direct/read-128k-qd8 was not measured")

    def test_an_error_in_a_run_is_refused(self):
        (self.raw / "round-1/ublk/randread-4k-qd1.json").write_text(json.dumps(fio_document(10, 4096, error=5)))
        self.refuse("fio reports error 5")

    def test_an_error_in_bench_is_refused(self):
        (self.raw / "round-1/direct/randread-4k-qd1.json").write_text(json.dumps(bench_document(10, 4096, errors=2)))
        self.refuse("2 errors")

    def test_no_requests_is_refused(self):
        (self.raw / "round-1/ublk/randread-4k-qd1.json").write_text(json.dumps(fio_document(0, 4096)))
        self.refuse("no request")

    def test_one_snapshot_is_refused(self):
        file = self.raw / "round-2/ublk/randread-4k-qd1.cpu"
        file.write_text(cpu_text(1.5, 150)[:120])
        self.refuse("1 snapshots")

    def test_missing_file_system_is_refused(self):
        (self.raw / "filesystem.txt").unlink()
        self.refuse("file system was not checked")

    def test_missing_guest_is_refused(self):
        (self.raw / "guest.txt").write_text("kernel=6.12\n")
        self.refuse("did not say what it is")

    def test_text_names_every_figure(self):
        lines = "\n".join(text.table(self.build()))
        for words in ("Outboard through ublk", "in-kernel, protected", "0.93 (0.91–0.94)", "checksums equal", "e2fsck clean"):
            self.assertIn(words, lines)

    def test_page_is_well_formed_and_self_contained(self):
        document = page.render(self.build())
        body = document.partition("</head>")[2].removesuffix("</html>\n")
        tree = xml.etree.ElementTree.fromstring(body)
        self.assertEqual(len(tree.findall(".//svg")), 3 * len(measurements.WORKLOADS) + len(measurements.PEERS))
        self.assertNotRegex(document, r"(src|href)=")
        self.assertIn("A &amp; B &lt;processor&gt;", document)

    def test_picture_is_well_formed(self):
        tree = xml.etree.ElementTree.fromstring(picture.render(["$ ./demo", "", *text.table(self.build())]))
        self.assertTrue(tree.tag.endswith("svg"))

    def test_command_writes_both_files_and_fails_on_damage(self):
        out = self.raw.parent
        arguments = [str(self.raw), str(out)]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            report.main(arguments)
        self.assertEqual(json.loads((out / "report.json").read_text())["filesystem"],
                         {"bytes": 121000000, "files": 9000, "checksums_equal": True, "e2fsck": "clean"})
        self.assertTrue((out / "report.html").read_text().startswith("<!DOCTYPE html>"))
        self.assertEqual(json.loads((out / "report.json").read_text())["machine"]["qemu"], "QEMU 7.2.22")
        self.assertIn("IOPS", printed.getvalue())

        (self.raw / "filesystem.txt").write_text("bytes=1\nfiles=1\nchecksums_equal=no\ne2fsck=clean\n")
        with contextlib.redirect_stdout(io.StringIO()), self.assertRaisesRegex(measurements.MeasurementError, "damaged"):
            report.main(arguments)

    def test_two_boots_are_compared(self):
        boot = {(path, workload): 40.0 for workload in measurements.WORKLOADS for path in measurements.PATHS}
        self.assertEqual(cpu_rows.compare("nvme", boot, boot).faults, [])
        result = cpu_rows.compare("nvme", boot, {**boot, ("direct", "read-128k-qd8"): 42.0})
        self.assertEqual(result.faults, ["nvme, direct, read-128k-qd8: the boots differ by 5.0%"])
        self.assertIn({"device": "nvme", "path": "direct", "workload": "read-128k-qd8", "cpu_us_per_request": 41.0,
                       "boots": [40.0, 42.0]}, result.rows)
        self.assertIn("5.0%", "\n".join(result.lines))

    def test_a_path_that_has_become_dearer_is_found(self):
        recorded = {("nvme", path, "read-128k-qd8"): 40.0 for path in measurements.OWN}
        result = cpu_rows.check("nvme", {("ublk", "read-128k-qd8"): 41.9, ("direct", "read-128k-qd8"): 42.1}, recorded)
        self.assertEqual(result.faults, ["nvme, direct, read-128k-qd8: 42.10 µs, 5.2% more than 40.00 µs"])
        self.assertEqual([row["recorded"] for row in result.rows], [40.0, 40.0])
        with self.assertRaisesRegex(measurements.MeasurementError, "nothing is recorded for ahci"):
            cpu_rows.check("ahci", {("ublk", "read-128k-qd8"): 41.9}, recorded)

    def test_readme_block_is_replaced(self):
        before = f"# Title\n{report.BEGIN}old\n{report.END}rest\n"
        after = report.fill_readme(before, self.build())
        self.assertTrue(after.startswith(f"# Title\n{report.BEGIN}") and after.endswith(f"{report.END}rest\n"))
        self.assertNotIn("old", after)
        self.assertIn("0.93 · 1.24", after)
        self.assertEqual(report.fill_readme(after, self.build()), after)
        with self.assertRaises(measurements.MeasurementError):
            report.fill_readme("# Title\n", self.build())


if __name__ == "__main__":
    unittest.main()
