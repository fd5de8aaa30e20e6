#!/usr/bin/env python3
"""The README tells the truth: its example is the file that is built, and what it links to is there.

usage: readme_test.py [-v]
"""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Readme(unittest.TestCase):
    def setUp(self):
        self.text = (ROOT / "README.md").read_text()

    def test_example_is_the_file_that_is_built(self):
        self.assertEqual(re.findall(r"```cpp\n(.*?)```", self.text, re.DOTALL),
                         [(ROOT / "examples/edu_hello.cpp").read_text()])

    def test_links_lead_somewhere(self):
        links = re.findall(r"\]\(([^)#:]+)\)", self.text)
        self.assertGreater(len(links), 3)
        self.assertEqual([link for link in links if not (ROOT / link).exists()], [])

    def test_every_verb_named_is_a_verb(self):
        verbs = set(re.findall(r"^outboard (\w+)", self.text, re.MULTILINE))
        self.assertIn("run", verbs)
        sources = "".join(path.read_text() for path in (ROOT / "outboard/cli").glob("verb_*.cpp"))
        known = set(re.findall(r'add_subcommand\(\s*"(\w+)"', sources))
        self.assertEqual(verbs - known, set())


if __name__ == "__main__":
    unittest.main()
