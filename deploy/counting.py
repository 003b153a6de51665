"""The counting guest as seen from outside: its definition, and an observer who knows what it acknowledged."""

import os
import socket
import subprocess
import threading
import time


class Failed(Exception):
    """Something is not as promised."""


class Lost(Exception):
    """What was acknowledged is gone."""


def wait_for(what, seconds, condition):
    """Waits until the condition holds; a service that is just failing over is asked again."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            value = condition()
            if value:
                return value
        except Failed as error:
            last = error
        time.sleep(0.05)
    raise Failed("waited %d s for %s in vain%s" % (seconds, what, "; last: %s" % last if last else ""))


class Observer(threading.Thread):
    """Counts with the guest over TCP and remembers what it acknowledged, and what it said instead.

    slow: how many times longer than usual an answer may take."""

    def __init__(self, port, slow=1):
        super().__init__(daemon=True)
        self.port = port
        self.slow = slow
        self.acknowledged = 0
        self.acknowledged_at = None
        self.lost = None
        self.complaints = []
        self.gap = (0.0, None, None)
        self.stopping = threading.Event()
        self.lock = threading.Lock()

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=self.slow)
        return connection, connection.makefile("rw", newline="\n")

    def ask(self, stream, line):
        stream.write(line + "\n")
        stream.flush()
        answer = stream.readline()
        if not answer.endswith("\n"):
            raise OSError("connection ended")
        return answer.strip()

    def once(self, line, seconds=30):
        """One question on a connection of its own, asked until it is answered or the usual seconds are over."""
        def attempt():
            try:
                connection, stream = self.connect()
                with connection:
                    return self.ask(stream, line)
            except OSError as error:
                raise Failed("the guest does not answer: %s" % error)
        return wait_for("the guest's answer to '%s'" % line, seconds * self.slow, attempt)

    def run(self):
        while not self.stopping.is_set():
            try:
                connection, stream = self.connect()
                with connection:
                    self.check(int(self.ask(stream, "last")))
                    while not self.stopping.is_set():
                        answer = self.ask(stream, "next")
                        if not answer.isdigit():
                            self.complaints.append(answer)
                            raise OSError("the guest answered '%s'" % answer)
                        self.note(int(answer))
            except (OSError, ValueError):
                time.sleep(0.02)

    def check(self, on_disk):
        with self.lock:
            if on_disk < self.acknowledged and self.lost is None:
                self.lost = "acknowledged %d, but after the failure the disk says %d" % (self.acknowledged, on_disk)

    def note(self, number):
        now = time.monotonic()
        with self.lock:
            if number <= self.acknowledged and self.lost is None:
                self.lost = "acknowledged %d, then got %d again" % (self.acknowledged, number)
            if self.acknowledged_at is not None and now - self.acknowledged_at > self.gap[0]:
                self.gap = (now - self.acknowledged_at, self.acknowledged_at, now)
            self.acknowledged = number
            self.acknowledged_at = now

    def forget_gap(self):
        with self.lock:
            self.gap = (0.0, None, None)

    def after(self, number, seconds):
        """Waits until a number above this one is acknowledged."""
        def condition():
            if self.lost:
                raise Lost(self.lost)
            return self.acknowledged > number
        wait_for("a count above %d" % number, seconds, condition)

    def stop(self):
        self.stopping.set()
        self.join(timeout=5 * self.slow)


def domain_type():
    """kvm where KVM runs a processor here, else qemu: a device node alone does not tell."""
    probe = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "max", "-S", "-nodefaults", "-display", "none", "-qmp", "stdio"]
    commands = b'{"execute":"qmp_capabilities"}{"execute":"quit"}'
    try:
        done = subprocess.run(probe, input=commands, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)
        return "kvm" if done.returncode == 0 else "qemu"
    except (OSError, subprocess.TimeoutExpired):
        return "qemu"


def definition(guest, port):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest", "domain.xml")) as file:
        text = file.read()
    for name, value in (("TYPE", domain_type()), ("BOOT", guest), ("PORT", port)):
        text = text.replace("@%s@" % name, str(value))
    return text


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
