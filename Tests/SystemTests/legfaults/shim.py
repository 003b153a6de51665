"""Puts `leg_fault.c` under the services of a systemd host, and says which leg has which fault."""

import json
import mmap
import os
import struct
import subprocess

from badinput.host import SERVICES, Bad

# Services may read everything, but see their own /tmp.
DIRECTORY = "/run/leg-faults"
LEGS = {"io0": "/var/lib/ftvs/io0", "io1": "/var/lib/ftvs/io1"}
# Outside the legs: what was in service last, and alerts that wait.
LOCAL = "/var/lib/ftvs/local"
FAULTS = {"none": 0, "EIO": 1, "ENOSPC": 2, "hang": 3}
DROP_IN = """[Service]
Environment=LD_PRELOAD=%(directory)s/leg_fault.so LEG_FAULT_CONTROL=%(directory)s/control
Environment=LEG_FAULT_IO0=%(io0)s LEG_FAULT_IO1=%(io1)s
# What met a fault is counted there.
ReadWritePaths=%(directory)s
"""
LENGTH = 4096


def compiler():
    """The Swift toolchain's clang, which need not be on the path."""
    facts = subprocess.run(["swiftc", "-print-target-info"], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = os.path.join(json.loads(facts)["paths"]["runtimeResourcePath"], "../../bin/clang")
    return found if os.access(found, os.X_OK) else "clang"


class Shim:
    """The library below the services, and its control file."""

    def __init__(self):
        os.makedirs(DIRECTORY, exist_ok=True)
        self.compile()
        with open(DIRECTORY + "/control", "wb") as file:
            file.write(b"LEGFAULT".ljust(LENGTH, b"\0"))
            os.fchmod(file.fileno(), 0o666)
        with open(DIRECTORY + "/control", "r+b") as file:
            self.control = mmap.mmap(file.fileno(), LENGTH)

    @staticmethod
    def compile():
        here = os.path.dirname(os.path.abspath(__file__))
        subprocess.run(
            [compiler(), "-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-o", DIRECTORY + "/leg_fault.so",
             here + "/leg_fault.c"], check=True)

    @staticmethod
    def install():
        """Has the units load it from their next start on."""
        for service in SERVICES:
            directory = "/etc/systemd/system/ftvs-%s@.service.d" % service
            os.makedirs(directory, exist_ok=True)
            with open(directory + "/leg-fault.conf", "w") as file:
                file.write(DROP_IN % dict(LEGS, directory=DIRECTORY))
        subprocess.run(["systemctl", "daemon-reload"], check=True)

    @staticmethod
    def is_loaded(process):
        with open("/proc/%d/maps" % process) as maps:
            return "leg_fault.so" in maps.read()

    def place(self, leg):
        return 64 + 64 * list(LEGS).index(leg)

    def begin(self, leg, fault):
        """From now on the leg has this fault; nobody met it yet."""
        at = self.place(leg)
        self.control[at + 8:at + 48] = bytes(40)
        self.control[at:at + 4] = struct.pack("<I", FAULTS[fault])

    def end(self, leg):
        at = self.place(leg)
        self.control[at:at + 4] = bytes(4)

    def end_all(self):
        for leg in LEGS:
            self.end(leg)

    def injected(self, leg):
        """How many calls met the fault, by service."""
        at = self.place(leg)
        counts = struct.unpack("<5Q", self.control[at + 8:at + 48])
        return {name: count for name, count in zip(("hardware", "vm", "storage", "alerts", "other"), counts) if count}

    def check_injected(self, leg, fault):
        """A fault that nobody met proves nothing."""
        missing = [service for service in SERVICES if service not in self.injected(leg)]
        if missing:
            raise Bad("%s on %s never reached %s: %s" % (fault, leg, ", ".join(missing), self.injected(leg)))
