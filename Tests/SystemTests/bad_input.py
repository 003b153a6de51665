#!/usr/bin/env python3
"""Bad input against a whole host: each case is refused with a clear error, and nothing else happens.

    bad_input.py BINARIES              starts labs of its own with these programs
    bad_input.py --run-directory DIR BINARIES   against a host that runs, such as /run/ftvs; what needs a lab is left out

FTVS_SEED=N replays what is drawn by chance.
"""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from badinput import command, definitions, frames, layers, nbd, parameters, space, volumes  # noqa: E402
from badinput.host import Host, Lab, Report  # noqa: E402

# Descriptors: a thousand connections to each of five sockets.
DESCRIPTORS = 8192


def attack(report, host, seed):
    """What can be done to any host."""
    halves = frames.SilentHalves(host)
    frames.run(report, host, seed)
    parameters.run(report, host)
    definitions.run(report, host)
    volumes.run(report, host)
    nbd.run(report, host, seed)
    command.run(report, host)
    report.run("half a frame, then silence", halves.check)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries", help="directory of the programs")
    parser.add_argument("--run-directory", help="a host that runs; without it labs are started")
    parser.add_argument("--only", help="regular expression: run the cases whose names match")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, max(DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    seed = os.environ.get("FTVS_SEED") or str(int(time.time()))
    print("seed %s" % seed, flush=True)
    binaries = os.path.abspath(arguments.binaries)

    if arguments.run_directory:
        host = Host(arguments.run_directory, os.path.join(binaries, "ftctl"))
        # A standby that becomes ready during a case would look like one that the case changed.
        host.wait_duplex()
        report = Report(host, arguments.only)
        attack(report, host, seed)
    else:
        directory = tempfile.mkdtemp(prefix="ftvs-bad.", dir="/var/tmp")
        lab = Lab(binaries, directory + "/lab")
        try:
            host = lab.up()
            report = Report(host, arguments.only)
            attack(report, host, seed)
            layers.run(report, host, lab, seed)
        finally:
            lab.down()
        if os.getuid() == 0:
            space.run(report, binaries, directory + "/small")
        else:
            print("SKIPPED - legs without space: mounting small file systems needs root", file=sys.stderr)
        if not report.failed:
            shutil.rmtree(directory)
    print("%d passed, %d failed" % (report.passed, report.failed))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
