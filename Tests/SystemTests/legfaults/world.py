"""The host under the faults: a guest that counts, services that are changed and asked, an operator with ftctl."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, TOP + "/deploy")
from badinput import space, volumes  # noqa: E402
from badinput.host import SERVICES, Bad, Host, require  # noqa: E402
from counting import Failed, Lost, Observer, definition, free_port  # noqa: E402
from protocol import Cut, Error, Refused  # noqa: E402

from . import console  # noqa: E402

BOOT = "/var/lib/ftvs/boot"
GUEST = "tiny"
# Time in which a service answers while a leg is being lost, in seconds: two processors, one of them emulates the guest.
ANSWER = 2.0
# Time in which a service that lost its process is there again.
TAKEOVER = 20
# What each service is asked all the time. Alerts are read from the leg.
QUESTIONS = {"hardware": "hardware.modules", "vm": "vm.list", "storage": "volume.legs", "alerts": "alert.list"}


def other(leg):
    return "io1" if leg == "io0" else "io0"


class Pulse:
    """Asks every service again and again, and notes the longest time for which one did not answer."""

    def __init__(self, host):
        self.host = host
        self.longest = dict.fromkeys(SERVICES, 0.0)
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(service,), daemon=True) for service in SERVICES]
        for thread in self.threads:
            thread.start()

    def ask(self, service):
        parameters = {"limit": 1} if service == "alerts" else {}
        began = time.monotonic()
        while not self.ending.is_set():
            try:
                self.host.once(service, QUESTIONS[service], timeout=1.0, **parameters)
                self.note(service, began)
                time.sleep(0.02)
                began = time.monotonic()
            except (Cut, Refused, Error, OSError):
                # Still the same silence.
                self.note(service, began)
                time.sleep(0.01)

    def note(self, service, began):
        self.longest[service] = max(self.longest[service], time.monotonic() - began)

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(timeout=5)

    def check(self, bound):
        late = {service: silence for service, silence in self.longest.items() if silence > bound}
        require(not late, "services did not answer for longer than %.1f s: %s", bound, words(late))


def words(silences):
    return ", ".join("%s %.2f s" % pair for pair in sorted(silences.items()))


class World:
    """Host, guest, and all that was acknowledged."""

    def __init__(self, run_directory, ftctl, shim, guest):
        self.host = Host(run_directory, ftctl)
        self.shim = shim
        self.guest = guest
        self.observer = None
        self.acknowledged = []
        self.failures = {}
        self.number = 0
        self.notes = []

    # An operator

    def ftctl(self, *arguments, seconds=90):
        """Runs ftctl; what it says is returned."""
        done = subprocess.run(
            [self.host.ftctl, *arguments], env=dict(os.environ, FTVS_RUN_DIRECTORY=self.host.run), timeout=seconds,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        require(done.returncode == 0, "ftctl %s ended with %d: %s", " ".join(arguments), done.returncode, done.stdout)
        return done.stdout

    def module(self, name):
        modules = self.host.call("hardware", "hardware.modules")["modules"]
        return next(module for module in modules if module["module"] == name)

    def take_out(self, leg):
        """Out of service and out of its slot."""
        self.ftctl("module", "offline", leg)
        self.ftctl("module", "remove", leg)

    def bring_back(self, leg, seconds=60):
        """Does what the module's own advice says, until it is in service and every service has its leg in step."""
        done = []

        def step():
            module = self.module(leg)
            advice = re.search(r"'ftctl (module (?:insert|online) %s)'" % leg, module.get("nextStep") or "")
            if module["state"] != "online" and advice and advice.group(1) not in done:
                done.append(advice.group(1))
                self.ftctl(*advice.group(1).split())
                return False
            return module["state"] == "online" and self.is_in_step(leg)
        self.host.wait_for("%s to be in service and in step" % leg, seconds, step)
        self.host.wait_duplex()
        return done

    def leg(self, service, leg):
        legs = self.host.once(service, "service.status", timeout=10)["legs"]
        return next(status for status in legs if status["leg"] == leg)

    def is_in_step(self, leg):
        return all(self.leg(service, leg)["state"] == "inStep" for service in SERVICES)

    def is_left_out(self, leg):
        return not any(self.leg(service, leg)["state"] == "inStep" for service in SERVICES)

    # What is acknowledged

    def change(self, bound=None):
        """A change of each service. All of them must be acknowledged, each within the bound."""
        self.number += 1
        began = time.monotonic()
        done, errors = space.change(self.host, self.number)
        took = time.monotonic() - began
        self.acknowledged.append((self.number, done))
        require(not errors, "a change was refused: %s", errors[0] if errors else "")
        require(bound is None or took <= bound, "four changes took %.2f s", took)
        return took

    def verify(self):
        """Everything that was acknowledged is there, and the guest met no error."""
        space.verify(self.host, self.acknowledged)
        for module in self.host.call("hardware", "hardware.modules")["modules"]:
            before = self.failures.get(module["module"], 0)
            require(module["failures"] >= before, "%s forgot failures: %s after %d", module["module"], module, before)
            self.failures[module["module"]] = module["failures"]
        if self.observer:
            self.check_guest()

    def alerts(self, sequence, kind, subject):
        return [a for a in self.host.alerts_after(sequence) if (a["kind"], a["subject"]) == (kind, subject)]

    # The guest

    def define_guest(self):
        os.makedirs(BOOT, exist_ok=True)
        for name in ("vmlinux", "initrd", "disk.raw"):
            subprocess.run(["cp", "-u", os.path.join(self.guest, name), BOOT + "/" + name], check=True)
        self.ftctl("library", "import", "tiny", BOOT + "/disk.raw", "--description", "Empty disk of the counting guest")
        self.ftctl("volume", "create", "tiny-disk", "--image", "tiny")
        self.port = free_port()
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(definition(BOOT, self.port))
            file.flush()
            self.ftctl("vm", "define", file.name)
        volumes.create(self.host, "bad-guard", 2 << 30)

    def start_guest(self):
        """Starts it and its observer; what was acknowledged before must be on its disk."""
        before = self.observer.acknowledged if self.observer else 0
        self.ftctl("vm", "start", GUEST)
        self.observer = Observer(self.port)
        self.observer.acknowledged = before
        self.observer.once("last", 60)
        self.observer.start()
        self.count_on(5, 60)
        self.life = self.guest_life()

    def stop_guest(self):
        self.check_guest()
        self.observer.stop()
        require(self.observer.lost is None, "%s", self.observer.lost)
        self.ftctl("vm", "shutdown", GUEST, "--timeout", "20")
        self.host.wait_for("the guest to be off", 30, lambda: self.show()["state"] == "defined")

    def show(self):
        return self.host.call("vm", "vm.show", name=GUEST)

    def guest_life(self):
        """What is other when it was restarted."""
        shown = self.show()
        return {key: shown.get(key) for key in ("processID", "failovers", "lastRecovery")}

    def forgive(self):
        """What a case that failed did to the guest is not held against the next one."""
        self.observer.complaints.clear()
        self.observer.lost = None
        self.count_on(1, 60)
        self.life = self.guest_life()

    def count_on(self, counts=10, seconds=30):
        """Waits until the guest acknowledged that many more."""
        try:
            self.observer.after(self.observer.acknowledged + counts - 1, seconds)
        except (Failed, Lost) as error:
            raise Bad("%s%s" % (error, "; it says %s" % self.observer.complaints if self.observer.complaints else ""))

    def check_guest(self):
        """The same process runs, no count is gone, and neither its programs nor its kernel met an error."""
        observer = self.observer
        require(observer.lost is None, "%s", observer.lost)
        require(not observer.complaints, "the guest answered %s", observer.complaints)
        require(self.guest_life() == self.life, "the guest was restarted: %s", self.guest_life())
        last = observer.acknowledged
        try:
            for number in {1, max(1, last // 2), last}:
                require(observer.once("has %d" % number) == "yes", "count %d was acknowledged and is gone", number)
        except Failed as error:
            raise Bad(str(error))
        said = console.read(self.host, GUEST)
        wrong = re.search(r".*(I/O error|end_request|Buffer I/O|hung task|blocked for more).*", said)
        require(wrong is None, "the guest's kernel says: %s", wrong.group(0) if wrong else "")

    # Processes

    def epochs(self):
        return {service: self.host.once(service, "service.ping", timeout=10)["epoch"] for service in SERVICES}

    def kill_actives(self):
        """The instance of every service that serves is killed; another opens the state from the legs."""
        before = self.epochs()
        for service in SERVICES:
            os.kill(self.host.once(service, "service.status", timeout=10)["processID"], signal.SIGKILL)
        for service in SERVICES:
            self.host.wait_for(
                "%s to serve after its active instance was killed" % service, TAKEOVER,
                lambda: self.host.once(service, "service.ping")["epoch"] > before[service]
                and self.host.once(service, "service.status")["role"] == "active")

    def stop_host(self):
        """The whole host, as a shutdown would. Marks of isolation do not survive that: /run is empty after it."""
        self.host.connections.clear()
        units = ["ftvs-%s@%s.service" % (s, m) for s in SERVICES + ("module",) for m in ("cpu0", "cpu1")]
        subprocess.run(["systemctl", "stop", "ftvs.target", *units], check=True, timeout=60)
        for unit in units:
            state = subprocess.run(["systemctl", "is-active", unit], stdout=subprocess.PIPE, text=True).stdout.strip()
            require(state in ("inactive", "failed"), "%s is %s after the host was stopped", unit, state)
        for mark in os.listdir(self.host.run + "/shot"):
            os.remove(self.host.run + "/shot/" + mark)

    def start_host(self):
        subprocess.run(["systemctl", "start", "ftvs.target"], check=True, timeout=60)

    def recovery(self, service):
        """Why a service does not serve; None when it does, or does not answer yet."""
        status = self.host.once(service, "service.status", timeout=5)
        return status.get("problem") if status["role"] == "recovery" else None

    def wait_active(self, when, seconds=30):
        self.host.wait_for("all services to serve %s" % when, seconds, lambda: all(
            self.host.once(service, "service.status")["role"] == "active" for service in SERVICES))

    def problems(self):
        """What each service that waits for a decision says."""
        return {
            service: self.host.wait_for("%s to be in recovery" % service, 30, lambda: self.recovery(service))
            for service in SERVICES}

    def decide(self):
        """For io0, where a case that failed left that open."""
        for service in SERVICES:
            if self.recovery(service):
                self.ftctl("service", "force-leg", service, "io0")
        self.wait_active("after a case that failed")

    def restart_instances(self):
        """Both instances of every service anew, one module after the other, as an upgrade does."""
        for module in ("cpu1", "cpu0"):
            subprocess.run(
                ["systemctl", "restart", *("ftvs-%s@%s.service" % (service, module) for service in SERVICES)],
                check=True, timeout=60)
            self.host.connections.clear()
            self.host.wait_duplex()

    @contextmanager
    def pulse(self, bound, name):
        """Every service answers within the bound while the block runs."""
        pulse = Pulse(self.host)
        try:
            yield pulse
        finally:
            pulse.end()
            self.notes.append("%s: longest silence %s" % (name, words(pulse.longest)))
        pulse.check(bound)
