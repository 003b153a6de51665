"""The host under attack: what runs there, what it says, and whether a case left it as it was."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from protocol import Connection, Cut, Error, Refused, request_key  # noqa: E402

SERVICES = ("hardware", "vm", "storage", "alerts")
# Time in which a service must answer whatever else is going on, in seconds.
PROMPT = 1.0
# All that cases make.
MACHINES = ("bad-vm", "bad-other")
VOLUMES = ("bad-v", "bad-w", "bad-x", "bad-upload", "bad-cut.upload", "bad-guard")
IMAGES = ("bad-i", "bad-j", "bad-cut")


class Bad(Exception):
    """Something is not as promised."""


def require(condition, what, *arguments):
    if not condition:
        raise Bad(what % arguments if arguments else what)


class Host:
    """A host, by its run directory."""

    def __init__(self, run_directory, ftctl):
        self.run = run_directory
        self.ftctl = ftctl
        self.is_lab = os.path.exists(run_directory + "/lab.sock")
        self.connections = {}

    def socket(self, service):
        return "%s/%s.sock" % (self.run, service)

    def call(self, service, method, **parameters):
        """Calls a method on a connection that is kept. An error answer is raised."""
        for attempt in (1, 2):
            if service not in self.connections:
                self.connections[service] = Connection(self.socket(service), timeout=30)
            try:
                return self.connections[service].call(method, **parameters)
            except Cut:
                del self.connections[service]
                if attempt == 2:
                    raise

    def once(self, service, method, timeout=PROMPT, **parameters):
        """Calls on a connection of its own."""
        connection = Connection(self.socket(service), timeout=timeout)
        try:
            return connection.call(method, **parameters)
        finally:
            connection.close()

    def refusal(self, service, method, kinds, **parameters):
        """Calls what must be refused, and checks how that is said. Returns the error."""
        try:
            answer = self.call(service, method, **parameters)
        except Error as error:
            check_error(error.code, error.kind, error.message, kinds)
            return error
        raise Bad("%s with %.200s was answered with %.100s" % (method, json.dumps(parameters), json.dumps(answer)))

    def document(self, service):
        return self.call(service, "rpc.discover")

    # What must not change

    def life(self):
        """Process of each instance, and who is active in which epoch."""
        life = {}
        for service in SERVICES:
            ping = self.once(service, "service.ping", timeout=10)
            life[service] = (ping["module"], ping["epoch"])
        for service in self.call("hardware", "hardware.services")["services"]:
            for instance in service["instances"]:
                life["%s@%s" % (service["service"], instance["module"])] = (instance.get("processID"), instance["state"])
        if self.is_lab:
            for unit in self.call("lab", "lab.units")["units"]:
                if not unit["unit"].startswith("ftvs-guest"):
                    life[unit["unit"]] = unit.get("processID")
        return life

    def endings(self):
        """How processes of a lab ended lately, for whoever reads of a failure."""
        if not self.is_lab:
            return ""
        with open(os.path.dirname(self.run) + "/log/lab.log") as log:
            return "; the lab's log: " + " | ".join([line.strip() for line in log if "A unit ended" in line][-4:])

    def last_alert(self):
        return self.call("alerts", "alert.list", limit=1, newest=True)["lastSequence"]

    def alerts_after(self, sequence):
        found = []
        while True:
            page = self.call("alerts", "alert.list", afterSequence=sequence, limit=1000)["alerts"]
            if not page:
                return found
            found += page
            sequence = page[-1]["sequence"]

    def clean(self):
        """Removes what a case that failed may have left."""
        for name in MACHINES:
            self.call("vm", "vm.kill", name=name) if self.has_machine(name) else None
            self.call("vm", "vm.undefine", name=name)
        for name in VOLUMES:
            try:
                self.call("storage", "volume.delete", volume=name)
            except Error:
                self.call("storage", "volume.fence", volume=name)
                self.call("storage", "volume.delete", volume=name)
        for name in IMAGES:
            self.call("storage", "library.delete", image=name)

    def has_machine(self, name):
        return any(vm["name"] == name for vm in self.call("vm", "vm.list")["vms"])

    def has_volume(self, name):
        return any(volume["volume"] == name for volume in self.call("storage", "volume.list")["volumes"])

    def metric(self, service, name):
        metrics = self.call(service, "service.metrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == name)

    def wait_for(self, what, seconds, condition):
        deadline = time.monotonic() + seconds
        last = None
        while time.monotonic() < deadline:
            try:
                last = condition()
                if last:
                    return last
            except (Cut, Refused, Error, OSError) as error:
                last = error
            time.sleep(0.05)
        raise Bad("waited %d s for %s in vain; last: %s" % (seconds, what, last))

    def wait_duplex(self, seconds=60):
        def duplex():
            pairs = self.call("hardware", "hardware.modules")["pairs"]
            states = [i["state"] for s in self.call("hardware", "hardware.services")["services"] for i in s["instances"]]
            return all(p["state"] == "duplex" for p in pairs) and sorted(states) == ["active"] * 4 + ["standby"] * 4
        self.wait_for("both pairs to be duplex", seconds, duplex)


def check_error(code, kind, message, kinds):
    """An error has a stable kind that was expected and a sentence for people."""
    require(kind in kinds, "error %s (%s) instead of %s: %s", kind, code, " or ".join(kinds), message[:300])
    require(code != 0, "%s has no code", kind)
    # What is wrong with a parameter is said as "params.volume: missing", whatever else is a sentence.
    pattern = r"params\S*: .{5,}" if message.startswith("params") else r"[A-Za-z0-9\"'/].{10,}[.)?]"
    require(re.fullmatch(pattern, message, re.DOTALL), "no sentence: %r", message[:300])
    require(len(message) < 4000, "a sentence of %d characters", len(message))


class Report:
    """One line for each case, and the count."""

    def __init__(self, host, only=None):
        self.host = host
        self.only = only
        self.passed = 0
        self.failed = 0

    @contextmanager
    def case(self, name, alerts=(), restarts=False):
        """Runs one case. Afterwards every process is the one that it was, all services answer promptly, and no alert was
        raised but those that are named."""
        began = time.monotonic()
        problem = None
        before = None if restarts else self.host.life()
        sequence = self.host.last_alert() if not restarts else None
        try:
            yield
        except Exception as error:  # Whatever it is, the next case is run.
            problem = "%s: %s" % (type(error).__name__, error) if not isinstance(error, Bad) else str(error)
        if not restarts:
            problem = problem or self.harm(before, sequence, alerts)
        self.note(name, problem, time.monotonic() - began)

    def run(self, name, body, *arguments, **options):
        if self.only and not re.search(self.only, name):
            return
        try:
            self.step(name, body, *arguments, **options)
        finally:
            self.host.clean()

    def step(self, name, body, *arguments, **options):
        """A case whose result the next one builds on."""
        with self.case(name, **options):
            body(*arguments)

    def note(self, name, problem, seconds):
        if problem is None:
            self.passed += 1
            print("ok - %s (%.1f s)" % (name, seconds), flush=True)
        else:
            self.failed += 1
            print("not ok - %s (%.1f s): %s" % (name, seconds, problem), flush=True)

    def harm(self, before, sequence, allowed):
        try:
            for service in SERVICES:
                self.host.once(service, "service.ping")
            after = self.host.life()
            raised = [alert for alert in self.host.alerts_after(sequence)
                      if alert["severity"] != "info" and alert["kind"] not in allowed]
        except (Bad, Error, Cut, Refused, OSError) as error:
            return "afterwards a service does not answer: %s: %s" % (type(error).__name__, error)
        if after != before:
            return "processes changed: " + ", ".join(
                "%s was %s, is %s" % (key, before.get(key), after.get(key))
                for key in sorted(set(before) | set(after)) if before.get(key) != after.get(key)) + self.host.endings()
        if raised:
            return "alert %s: %s" % (raised[0]["kind"], raised[0]["message"])
        return None


class Lab:
    """A lab of this run's own, ended with it."""

    def __init__(self, binaries, directory):
        self.directory = directory
        self.ftctl = os.path.join(binaries, "ftctl")
        self.environment = dict(os.environ, FTVS_BINARIES=binaries)

    def up(self):
        subprocess.run(
            [self.ftctl, "lab", "up", "--directory", self.directory, "--heartbeat-bound", "2000"], check=True,
            env=self.environment, stdout=subprocess.DEVNULL)
        host = Host(self.directory + "/run", self.ftctl)
        host.wait_duplex()
        return host

    def down(self):
        subprocess.run(
            [self.ftctl, "lab", "down", "--directory", self.directory], check=True, env=self.environment,
            stdout=subprocess.DEVNULL)

    def leg(self, leg):
        return "%s/legs/%s" % (self.directory, leg)


def kill(process):
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass
