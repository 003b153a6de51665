#!/usr/bin/env python3
"""Kills the slice of the module that is active, again and again, while clients call all services.

Run as root where systemd runs the host. A connection may be cut; none may be refused. What was acknowledged must be
there at the end, exactly once. With --guest, a counting guest runs meanwhile: it must come back after each kill that hit
it, and its acknowledged counter must never go back.
"""

import argparse
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from protocol import Client, Error, request_key  # noqa: E402

DEPLOY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy")
SERVICES = ("hardware", "vm", "storage", "alerts")


class Caller(threading.Thread):
    """Calls every service in turn; publishes alerts whose acknowledgement it remembers."""

    def __init__(self, directory, number):
        super().__init__(daemon=True)
        self.clients = {service: Client("%s/%s.sock" % (directory, service)) for service in SERVICES}
        self.number = number
        self.acknowledged = {}
        self.volumes = set()
        self.calls = 0
        self.problem = None
        self.stopping = threading.Event()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.turn()
        except (TimeoutError, Error) as error:
            self.problem = "%s: %s" % (type(error).__name__, error)

    def turn(self):
        for service in SERVICES:
            self.clients[service].call("service.ping")
        subject = "caller-%d-%d" % (self.number, self.calls)
        alert = {
            "key": request_key(), "timeMilliseconds": int(time.time() * 1000), "severity": "info",
            "source": "alerts", "kind": "killTest", "subject": subject, "message": "test", "data": {},
        }
        answer = self.clients["alerts"].call("alert.append", alerts=[alert])
        self.acknowledged[subject] = answer["sequences"][0]
        if self.calls % 20 == 0:
            name = "kill-%d-%d" % (self.number, self.calls)
            self.clients["storage"].call("volume.create", volume=name, sizeBytes=1 << 20, requestKey=request_key())
            self.volumes.add(name)
        self.calls += 1


def wait_in_step(hardware, seconds=30):
    deadline = time.monotonic() + seconds
    answer = None
    while time.monotonic() < deadline:
        try:
            answer = hardware.call("hardware.modules")
            if all(pair["state"] == "duplex" for pair in answer["pairs"]):
                services = hardware.call("hardware.services")["services"]
                states = [sorted(i["state"] for i in s["instances"]) for s in services]
                if all(state == ["active", "standby"] for state in states):
                    return
                answer = services
        except Error as error:
            answer = str(error)
        time.sleep(0.02)
    raise TimeoutError("the modules were not in step again after %d s: %s" % (seconds, answer))


def start_guest(directory, guest):
    """Starts the counting guest of the quickstart and returns the observer of its counter."""
    loader = importlib.machinery.SourceFileLoader("scenario", os.path.join(DEPLOY, "scenario"))
    scenario = importlib.util.module_from_spec(importlib.util.spec_from_loader("scenario", loader))
    sys.dont_write_bytecode = True
    loader.exec_module(scenario)
    # Guests may not look into every directory.
    for file in ("vmlinux", "initrd"):
        shutil.copy(os.path.join(guest, file), "/var/lib/ftvs/boot/")
    host = scenario.Host("ftctl", directory)
    port = scenario.free_port()
    host.run("library", "add", "tiny", guest + "/disk.raw", show=False)
    host.run("volume", "create", "tiny-disk", "--image", "tiny", "--undo", show=False)
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
        file.write(scenario.definition("/var/lib/ftvs/boot", port))
        file.flush()
        host.run("vm", "define", file.name, "--autostart", show=False)
    host.run("vm", "start", "tiny", show=False)
    observer = scenario.Observer(port)
    observer.once("next", 120)
    observer.start()
    return observer


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run-directory", default="/run/ftvs")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--guest", help="directory that guest/build filled")
    arguments = parser.parse_args()

    hardware = Client(arguments.run_directory + "/hardware.sock")
    wait_in_step(hardware)
    observer = start_guest(arguments.run_directory, arguments.guest) if arguments.guest else None
    callers = [Caller(arguments.run_directory, number) for number in range(arguments.clients)]
    for caller in callers:
        caller.start()
    for kill in range(arguments.kills):
        active = hardware.call("service.ping")["module"]
        began = time.monotonic()
        subprocess.run(["systemctl", "kill", "--signal=KILL", "ftvs-%s.slice" % active], check=True)
        wait_in_step(hardware)
        in_step = time.monotonic()
        if observer:
            observer.after(observer.acknowledged + 1, 120)
        print("kill %2d: %s; in step again after %.0f ms" % (kill + 1, active, 1000 * (in_step - began))
              + ("; guest at %d" % observer.acknowledged if observer else ""), flush=True)
    for caller in callers:
        caller.stopping.set()
    for caller in callers:
        caller.join(timeout=30)

    problems = [caller.problem for caller in callers if caller.problem]
    if observer:
        observer.stop()
        if observer.lost:
            problems.append("guest: " + observer.lost)
    everyone = [client for caller in callers for client in caller.clients.values()] + [hardware]
    refused = sum(client.refused for client in everyone)
    if refused:
        problems.append("%d connections were refused" % refused)
    problems += missing_alerts(arguments.run_directory, callers)
    problems += missing_volumes(arguments.run_directory, callers)

    gaps = [gap for client in everyone for gap in client.gaps]
    print("%d calls by %d clients, %d cut, %d refused; gap p50 %.1f ms, p99 %.1f ms, longest %.1f ms" % (
        sum(caller.calls for caller in callers) * (len(SERVICES) + 1), len(callers),
        sum(client.cuts for client in everyone), refused,
        1000 * percentile(gaps, 0.5), 1000 * percentile(gaps, 0.99), 1000 * max(gaps, default=0.0)))
    for problem in problems:
        print("kill_modules: %s" % problem, file=sys.stderr)
    return 1 if problems else 0


def missing_alerts(directory, callers):
    alerts = Client(directory + "/alerts.sock")
    seen = {}
    after = 0
    while True:
        page = alerts.call("alert.list", afterSequence=after, limit=1000, kind="killTest")["alerts"]
        if not page:
            break
        for record in page:
            seen.setdefault(record["subject"], []).append(record["sequence"])
        after = page[-1]["sequence"]
    problems = []
    for caller in callers:
        for subject, sequence in caller.acknowledged.items():
            if seen.get(subject) != [sequence]:
                problems.append("alert %s was acknowledged as %d; the log has %s" % (subject, sequence, seen.get(subject)))
    return problems[:10]


def missing_volumes(directory, callers):
    storage = Client(directory + "/storage.sock")
    present = {volume["volume"] for volume in storage.call("volume.list")["volumes"]}
    missing = set().union(*(caller.volumes for caller in callers)) - present
    return ["acknowledged volumes are gone: %s" % ", ".join(sorted(missing))] if missing else []


if __name__ == "__main__":
    sys.exit(main())
