#!/usr/bin/env python3
"""Runs a lab machine whose script may ask for what only QEMU's monitor can do: a line "monitor: COMMAND" of its standard output goes
there, every other line goes on. "@STORE@" in an argument becomes the path of a new file of 1 GiB. Ends with the lab's exit status.

usage: with_monitor.py OUTBOARD LAB_ARGUMENT...
"""
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

PROMPT = b"(qemu) "
# How a terminal is told to redraw a line.
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Monitor:
    """QEMU's human monitor."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.answer()

    def answer(self):
        text = b""
        while not text.endswith(PROMPT):
            more = self.socket.recv(4096)
            if not more:
                sys.exit("with_monitor.py: QEMU closed its monitor")
            text += more
        return ESCAPES.sub("", text[:-len(PROMPT)].decode(errors="replace"))

    def command(self, words):
        self.socket.sendall(words.encode() + b"\n")
        # Its first line is the command.
        return [line.strip() for line in self.answer().split("\n")[1:] if line.strip()]

    def obeyed(self, words):
        """The same, once a device of that name that is on its way out has gone."""
        deadline = time.monotonic() + 30
        while True:
            answers = self.command(words)
            if not any("Duplicate device ID" in answer for answer in answers) or time.monotonic() > deadline:
                return answers
            time.sleep(0.2)


def main():
    with tempfile.NamedTemporaryFile(prefix="outboard-store-") as store:
        store.truncate(1 << 30)
        return run([word.replace("@STORE@", store.name) for word in sys.argv[1:]])


def run(words):
    lab = subprocess.Popen([words[0], "lab", *words[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    monitor = None
    for line in lab.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        if not line.startswith("monitor: "):
            continue
        monitor = monitor or Monitor(pathlib.Path(f"/dev/shm/outboard-lab-{lab.pid}/monitor"))
        for answer in monitor.obeyed(line.removeprefix("monitor: ").strip()):
            print(f"monitor answers: {answer}", flush=True)
    return lab.wait()


if __name__ == "__main__":
    sys.exit(main())
