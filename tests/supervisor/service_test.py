#!/usr/bin/env python3
"""outboardd as a service: what it says to a service manager, and what of it the manager's descriptor store lets the next one go on
with. The manager is this test, and so are the server of the device and the hosts that drive it, which say what hosts say: no rights,
no device and no sandbox are needed.

usage: service_test.py OUTBOARDD [-v] [TestCase.test]
"""
import array
import ctypes
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import unittest

OUTBOARDD = pathlib.Path()
PATIENCE = 30
PROTOCOL_VERSION = 2
SYS_KCMP = 312  # x86-64
KCMP_FILE = 0


def same_file(one, other):
    return ctypes.CDLL(None).syscall(SYS_KCMP, os.getpid(), os.getpid(), KCMP_FILE, one, other) == 0


class Manager:
    """What systemd does for a service of Type=notify."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.said = []
        self.store = []  # names and descriptors

    def close(self):
        for _, descriptor in self.store:
            os.close(descriptor)
        self.socket.close()

    def listen(self, seconds):
        """Takes one message; False when none came."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return False
        size = array.array("i").itemsize
        text, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(64 * size))
        descriptors = array.array("i")
        for _, kind, data in ancillary:
            if kind == socket.SCM_RIGHTS:
                descriptors.frombytes(data[:len(data) - len(data) % size])
        self.take(text.decode().split("\n"), list(descriptors))
        return True

    def take(self, lines, descriptors):
        self.said.append(lines)
        name = next((line.removeprefix("FDNAME=") for line in lines if line.startswith("FDNAME=")), "")
        if "FDSTORE=1" in lines:
            assert ":" not in name and "FDPOLL=0" in lines
            for descriptor in descriptors:
                if any(same_file(descriptor, kept) for _, kept in self.store):
                    os.close(descriptor)
                else:
                    self.store.append((name, descriptor))
            return
        for descriptor in descriptors:  # a barrier: closing it is the answer
            os.close(descriptor)
        if "FDSTOREREMOVE=1" in lines:
            for _, descriptor in [one for one in self.store if one[0] == name]:
                os.close(descriptor)
            self.store = [one for one in self.store if one[0] != name]

    def heard(self, line):
        return sum(line in lines for lines in self.said)

    def serve_until(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come; it said {self.said[:5]} … {self.said[-5:]}")
            self.listen(0.1)


class Service(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.manager = Manager(self.folder / "notify")
        self.addCleanup(self.manager.close)
        # outboardd takes the host that lies beside it.
        shutil.copy(OUTBOARDD, self.folder / "outboardd")
        host = self.folder / "outboard-host"
        host.write_text(f"#!/bin/sh\nexec {sys.executable} -B {pathlib.Path(__file__).resolve()} --host\n")
        host.chmod(0o755)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.folder / "disk"))
        self.server.listen(16)
        self.addCleanup(self.server.close)
        (self.folder / "device.toml").write_text(f'[[device]]\nname = "vfio-user:{self.folder}/disk"\ndisks = []\n')
        self.pid = None
        self.addCleanup(self.clean)

    def clean(self):
        host = self.kill()
        if host:
            os.kill(host, signal.SIGKILL)

    def start(self, handed=(), **environment):
        """outboardd, with these names and descriptors handed to it."""
        self.pid = os.fork()
        if self.pid:
            return
        high = [os.dup(descriptor) for _, descriptor in handed]
        high = [os.dup2(descriptor, 200 + i) for i, descriptor in enumerate(high)]
        for i, descriptor in enumerate(high):
            os.dup2(descriptor, 3 + i)
        os.closerange(3 + len(high), 400)
        log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 2)
        words = dict(os.environ, NOTIFY_SOCKET=self.manager.path, FDSTORE="64", **environment)
        if handed:
            words |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(handed)),
                      "LISTEN_FDNAMES": ":".join(name for name, _ in handed)}
        program = str(self.folder / "outboardd")
        os.execve(program, [program, "--config", str(self.folder), "--socket", str(self.folder / "control")], words)

    def kill(self):
        if self.pid:
            host = self.status().get("host_pid") if (self.folder / "control").exists() else None
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = None
            return host
        return None

    def end(self):
        """Its exit status after SIGTERM; the manager serves it meanwhile."""
        os.kill(self.pid, signal.SIGTERM)
        ended = []

        def gone():
            if not ended:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                ended.extend([status] if pid else [])
            return ended
        self.manager.serve_until(gone, "its end")
        self.pid = None
        return os.waitstatus_to_exitcode(ended[0])

    def status(self):
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(str(self.folder / "control"))
            client.sendall(b'{"command":"status"}\n')
            return json.loads(client.makefile().readline())["result"][0]
        except (OSError, IndexError, ValueError):
            return {}
        finally:
            client.close()

    def names(self):
        return sorted(name for name, _ in self.manager.store)

    def test_tells_that_it_is_ready_and_well(self):
        self.start(WATCHDOG_USEC="300000")
        self.manager.serve_until(lambda: self.manager.heard("READY=1"), "READY=1")
        self.assertEqual(self.status()["state"], "running", (self.folder / "log").read_text())
        self.assertTrue(self.manager.heard("STATUS=1 devices: 1 running"), self.manager.said)
        before = self.manager.heard("WATCHDOG=1")
        begin = time.monotonic()
        self.manager.serve_until(lambda: self.manager.heard("WATCHDOG=1") >= before + 10, "WATCHDOG=1")
        self.assertLess(time.monotonic() - begin, 3)
        self.assertEqual(self.end(), 0)
        self.assertTrue(self.manager.heard("STOPPING=1"))

    def test_keeps_its_descriptors_with_the_manager(self):
        self.start()
        self.manager.serve_until(lambda: self.manager.heard("READY=1"), "READY=1")
        # The memory of the device, the socket to its host, that process, and what has to be known of them.
        self.assertEqual(len(self.names()), 4, self.names())
        self.assertEqual(len([name for name in self.names() if name.startswith("outboard-state-")]), 1)
        self.assertFalse((self.folder / "control.keep").exists(), "there is a keeper besides")
        # The next host: its socket and its process take the place of those before, the memory stays.
        first = self.names()
        os.kill(self.status()["host_pid"], signal.SIGKILL)
        self.manager.serve_until(lambda: len(self.names()) == 4 and len(set(self.names()) & set(first)) == 1,
                                 "another store")
        self.assertEqual(self.end(), 0)
        self.assertEqual(self.names(), [])

    def test_the_next_one_goes_on_with_the_host(self):
        self.start()
        self.manager.serve_until(lambda: self.manager.heard("READY=1"), "READY=1")
        host = self.kill()
        while self.manager.listen(0.2):
            pass
        self.assertTrue(pathlib.Path(f"/proc/{host}").exists(), "the host went with its supervisor")
        self.manager.said.clear()
        self.start(handed=[("somebody-elses", 0), *self.manager.store])
        self.manager.serve_until(lambda: self.manager.heard("READY=1"), "READY=1")
        self.assertEqual(self.status()["host_pid"], host, (self.folder / "log").read_text())
        self.assertEqual(self.status()["state"], "running", (self.folder / "log").read_text())
        self.assertTrue(self.manager.heard("FDNAME=somebody-elses"))
        self.assertEqual(self.end(), 0)
        self.assertEqual(self.names(), [])
        self.assertFalse(pathlib.Path(f"/proc/{host}/exe").exists(), "the host is there still")


def host():
    """A host at work, whose driver needs nothing but a little memory."""
    supervisor = socket.socket(fileno=3)

    def say(message, **words):
        supervisor.send(json.dumps({"message": message} | words).encode())

    say("hello", version=PROTOCOL_VERSION)
    while True:
        text, descriptors, _, _ = socket.recv_fds(supervisor, 65536, 8)
        if not text:
            return
        for descriptor in descriptors:
            os.close(descriptor)
        order = json.loads(text)
        if order["message"] == "take":
            say("needs", driver="none", bytes=65536, address_bits=64)
        elif order["message"] == "arena":
            say("disks", disks=[], start_us=1)
        elif order["message"] == "ping":
            say("pong", number=order["number"])
        elif order["message"] == "cease":
            say("ceasing")
        elif order["message"] == "finish":
            say("finished")
            return


if __name__ == "__main__":
    if sys.argv[1] == "--host":
        host()
    else:
        OUTBOARDD = pathlib.Path(sys.argv.pop(1)).resolve()
        unittest.main()
