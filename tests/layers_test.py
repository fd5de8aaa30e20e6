#!/usr/bin/env python3
"""Includes run downward only: the table in docs/architecture.md is the rule, and this test reads it from there.

usage: layers_test.py [-v] [TestCase.test]
"""
import pathlib
import re
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]outboard/([^">]+)[">]', re.MULTILINE)
SUFFIXES = {".cpp", ".hpp", ".h", ".cc", ".c"}


class Rules:
    """Folder -> the set of folders that it may include; None is any."""

    def __init__(self, text):
        self.allowed = {}
        above = set()
        for folder, words in re.findall(r"^\| `(\S+?)/` \| (.+?) \|$", text, re.MULTILINE):
            names = {name.strip() for name in words.split(",")}
            if words.startswith("everything"):
                exceptions = set(re.findall(r"\w+", words.partition(" but ")[2])) - {"and"}
                self.allowed[folder] = (None, exceptions)
                continue
            if "the above" in names:
                names = names - {"the above"} | above
            self.allowed[folder] = (names, set())
            above = above | names
        if "base" not in self.allowed:
            raise ValueError("docs/architecture.md has no table of layers")

    def refusal(self, includer, included):
        """Why a file may not include another (both are paths below outboard/); empty when it may."""
        folder = self.layer_of(includer)
        if folder is None:
            return f"{includer} lies in no layer of docs/architecture.md"
        target = self.layer_of(included)
        if target is None:
            return f"{includer} includes {included}, which lies in no layer of docs/architecture.md"
        names, exceptions = self.allowed[folder]
        if target in exceptions:
            return f"{includer} includes {included}: {folder} may not include {target}"
        if names is None or self.own(target, included) in {self.own(name, includer) for name in names}:
            return ""
        if any(included.startswith((name + "/", name + ".")) for name in names if "/" in name):
            return ""
        return f"{includer} includes {included}: {folder} may include {', '.join(sorted(names))} only"

    def layer_of(self, path):
        """The row for a path; where several fit, the one that says most."""
        if "/" not in path:
            return None
        fitting = [layer for layer in self.allowed if self.fits(layer, path)]
        return max(fitting, key=len, default=None)

    @staticmethod
    def fits(layer, path):
        """drivers/X fits every folder of drivers/ and what lies in drivers/ itself, backend/a all of backend/."""
        first, _, second = layer.partition("/")
        parts = path.split("/")
        if parts[0] != first:
            return False
        return len(second) < 2 or not second.endswith("X") or (len(parts) > 2 and parts[1].startswith(second[:-1]))

    @staticmethod
    def own(layer, path):
        """drivers/X means the folder that `path` itself lies in."""
        if not layer.endswith("X"):
            return layer
        parts = path.split("/")
        return "/".join(parts[:2]) if parts[0] == layer.split("/")[0] and len(parts) > 2 else layer


def refusals(rules, root):
    files = sorted(path for path in (root / "outboard").rglob("*") if path.suffix in SUFFIXES)
    found = []
    for path in files:
        includer = str(path.relative_to(root / "outboard"))
        if rules.layer_of(includer) is None:
            found.append(f"{includer} lies in no layer of docs/architecture.md")
        for included in INCLUDE.findall(path.read_text()):
            reason = rules.refusal(includer, included)
            if reason:
                found.append(reason)
    return found, len(files)


class Tree(unittest.TestCase):
    def test_includes_run_downward(self):
        rules = Rules((ROOT / "docs/architecture.md").read_text())
        found, count = refusals(rules, ROOT)
        self.assertGreater(count, 10, "too few files: the test looks in the wrong place")
        self.assertEqual(found, [], "\n".join(found))


class Planted(unittest.TestCase):
    """The check finds each sort of violation when there is one."""

    def check(self, includer, line):
        rules = Rules((ROOT / "docs/architecture.md").read_text())
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "outboard", includer)
            path.parent.mkdir(parents=True)
            path.write_text(f"// A file.\n#include <vector>\n\n{line}\n")
            return refusals(rules, pathlib.Path(directory))[0]

    def test_upward(self):
        for includer, included in [("base/a.hpp", "runtime/run_loop.hpp"), ("runtime/a.cpp", "device/device.hpp"),
                                   ("backend/vfio/a.cpp", "device/region.hpp"), ("device/a.hpp", "classes/driver.hpp"),
                                   ("classes/a.hpp", "drivers/ide/ide.hpp"), ("lab/a.cpp", "runtime/run_loop.hpp"),
                                   ("host/a.cpp", "cli/verb.hpp"), ("host/a.cpp", "lab/process.hpp"),
                                   ("drivers/ide/a.cpp", "backend/backend.hpp"),
                                   ("drivers/ide/a.cpp", "host/host.hpp"), ("export/ublk/a.cpp", "host/host.hpp"),
                                   ("sim/a.cpp", "drivers/edu/edu.hpp"), ("sim/a.cpp", "device/device.hpp"),
                                   ("sim/a.cpp", "backend/backend.hpp"),
                                   ("sim/a.cpp", "backend/vfio_user/messages.hpp")]:
            with self.subTest(includer=includer, included=included):
                self.assertEqual(len(self.check(includer, f'#include "outboard/{included}"')), 1)

    def test_sideways(self):
        for includer, included in [("drivers/ide/a.cpp", "drivers/edu/edu.hpp"),
                                   ("drivers/ide/a.cpp", "drivers/virtio/transport.hpp"),
                                   ("drivers/virtio/a.cpp", "drivers/virtio_blk/disk.hpp"),
                                   ("drivers/virtio/a.cpp", "drivers/ide/ide.hpp"),
                                   ("drivers/virtio_net/a.cpp", "drivers/virtio_blk/disk.hpp"),
                                   ("drivers/virtio_blk/a.cpp", "drivers/ide/ide.hpp"),
                                   ("drivers/ide/a.cpp", "export/ublk/server.hpp"),
                                   ("export/ublk/a.cpp", "drivers/ide/ide.hpp"),
                                   ("export/ublk/a.cpp", "backend/backend.hpp")]:
            with self.subTest(includer=includer, included=included):
                self.assertEqual(len(self.check(includer, f'#include "outboard/{included}"')), 1)

    def test_spelled_otherwise(self):
        self.assertEqual(len(self.check("base/a.hpp", "  #  include <outboard/device/device.hpp>")), 1)

    def test_unknown_layer(self):
        self.assertEqual(len(self.check("base/a.hpp", '#include "outboard/misc/a.hpp"')), 1)
        self.assertEqual(len(self.check("misc/a.hpp", "")), 1)

    def test_downward_is_allowed(self):
        for includer, included in [("base/a.hpp", "base/fd.hpp"), ("drivers/ide/a.cpp", "drivers/ide/ata.hpp"),
                                   ("drivers/virtio_blk/a.cpp", "drivers/virtio/transport.hpp"),
                                   ("drivers/virtio_blk/a.cpp", "drivers/virtio_blk/disk.hpp"),
                                   ("drivers/virtio/a.cpp", "drivers/virtio/features.hpp"),
                                   ("drivers/ide/a.cpp", "device/device.hpp"), ("export/ublk/a.cpp", "classes/driver.hpp"),
                                   ("export/ublk/a.cpp", "export/ublk/uapi.hpp"), ("cli/a.cpp", "lab/process.hpp"),
                                   ("sim/models/a.cpp", "sim/server.hpp"), ("cli/a.cpp", "sim/server.hpp"),
                                   ("sim/a.cpp", "backend/vfio_user/message.hpp"),
                                   ("host/a.cpp", "drivers/ide/ide.hpp"), ("host/a.cpp", "backend/vfio/vfio.hpp"),
                                   ("host/a.cpp", "sim/server.hpp")]:
            with self.subTest(includer=includer, included=included):
                self.assertEqual(self.check(includer, f'#include "outboard/{included}"'), [])


if __name__ == "__main__":
    unittest.main()
