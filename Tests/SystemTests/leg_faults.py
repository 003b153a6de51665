#!/usr/bin/env python3
"""Legs lost, faulty, hung, stale and split under a running guest: everything that was acknowledged is there.

    leg_faults.py --guest DIR BINARIES     inside a sandboxed systemd with FTVS installed; changes its units

DIR is what deploy/guest/build made. Faults are those of legfaults/leg_fault.c, which the units load.
"""

import argparse
import json
import os
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from badinput.host import SERVICES, Report, require  # noqa: E402
from legfaults import losses, split, stale  # noqa: E402
from legfaults.shim import LEGS, Shim  # noqa: E402
from legfaults.world import World  # noqa: E402


class Cases(Report):
    """Cases that build on each other's host: one that failed is cleaned up after, as far as that goes."""

    def __init__(self, world, only):
        super().__init__(world.host, only)
        self.world = world

    def run(self, name, body, *arguments):
        if self.only and not re.search(self.only, name):
            return
        before = self.failed
        self.step(name, body, *arguments, restarts=True)
        for note in self.world.notes:
            print("    " + note, flush=True)
        self.world.notes.clear()
        if self.failed > before:
            self.repair()

    def repair(self):
        """Whatever a case that failed left: the next one begins with a whole host."""
        self.world.shim.end_all()
        for leg in LEGS:
            if os.path.exists(LEGS[leg] + ".away") and not os.path.exists(LEGS[leg]):
                os.rename(LEGS[leg] + ".away", LEGS[leg])
        for what, step in (
            ("services serve", self.world.decide), ("io0 is back", lambda: self.world.bring_back("io0")),
            ("io1 is back", lambda: self.world.bring_back("io1")), ("the guest counts", self.world.forgive),
        ):
            try:
                step()
            except Exception as error:  # Said, and the next case shows it.
                print("    afterwards it is not so that %s: %s: %s" % (what, type(error).__name__, error), flush=True)
                return


def prepare(world):
    """The library is under every service, and a guest counts."""
    world.host.wait_duplex()
    os.makedirs("/etc/ftvs", exist_ok=True)
    with open("/etc/ftvs/host.json", "w") as file:
        # Other tests judge how soon a module's failure is seen; here a busy moment must not be taken for one.
        json.dump({"heartbeatBoundMilliseconds": 2000}, file)
    world.shim.install()
    world.restart_instances()
    for service in SERVICES:
        process = world.host.once(service, "service.status")["processID"]
        require(world.shim.is_loaded(process), "%s runs without the library that injects faults", service)
    world.define_guest()
    world.start_guest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries", help="directory of the programs")
    parser.add_argument("--guest", required=True, help="directory that deploy/guest/build filled")
    parser.add_argument("--run-directory", default="/run/ftvs")
    parser.add_argument("--only", help="regular expression: run the cases whose names match")
    arguments = parser.parse_args()
    began = time.monotonic()
    world = World(
        arguments.run_directory, os.path.join(os.path.abspath(arguments.binaries), "ftctl"), Shim(), arguments.guest)
    report = Cases(world, arguments.only)
    copies = {}
    try:
        report.step("the services load the library, a guest counts", prepare, world, restarts=True)
        if not report.failed:
            losses.run(report, world, copies)
            stale.run(report, world, copies)
            split.run(report, world)
    finally:
        world.shim.end_all()
    print("%.0f s in all" % (time.monotonic() - began))
    print("%d passed, %d failed" % (report.passed, report.failed))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
