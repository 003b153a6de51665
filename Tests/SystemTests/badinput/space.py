"""Legs without space: on one, on both, and a start in that state. In a lab of its own, each leg a small file system."""

import os
import subprocess
import time

from . import volumes
from .host import SERVICES, Bad, Error, Lab, check_error, kill, request_key, require

LEGS = ("io0", "io1")
ALERTS = ("legLost", "outOfSpace", "moduleFailed", "pairSimplex", "pairDown")
FULL = ("outOfSpace", "stateUnavailable")


class SmallLab(Lab):
    """A lab whose legs are file systems of that many MiB."""

    def __init__(self, binaries, directory, mebibytes=160):
        super().__init__(binaries, directory)
        for leg in LEGS:
            os.makedirs(self.leg(leg))
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % mebibytes, "tmpfs", self.leg(leg)], check=True)

    def close(self):
        for leg in LEGS:
            subprocess.run(["umount", "--lazy", self.leg(leg)], check=True)

    def fill(self, *legs):
        """Takes every byte there is, and what services give back afterwards, too."""
        for leg in legs or LEGS:
            with open(self.leg(leg) + "/filler", "ab", buffering=0) as file:
                for size in (1 << 20, 4096, 1):
                    try:
                        while True:
                            file.write(b"x" * size)
                    except OSError:
                        pass

    def free(self):
        for leg in LEGS:
            try:
                os.remove(self.leg(leg) + "/filler")
            except FileNotFoundError:
                pass


def in_step(host):
    return all(leg["state"] == "inStep" for leg in host.call("storage", "volume.legs")["legs"])


def all_in_step(host):
    return in_step(host) and all(
        leg["state"] == "inStep" for service in SERVICES for leg in host.call(service, "service.status")["legs"])


def alert(text):
    return {"key": request_key(), "timeMilliseconds": int(time.time() * 1000), "severity": "info", "source": "alerts",
            "kind": "spaceTest", "subject": "space", "message": text, "data": {}}


def change(host, number):
    """A change of each service that has something to change. Returns what was acknowledged, and what was refused."""
    name = "bad-%d" % number
    done, errors = [], []
    for what, call in (
        ("volume", lambda: volumes.create(host, name)),
        ("data", lambda: volumes.write(host, "bad-guard", b"%07d" % number, number << 21)),
        ("alert", lambda: host.call("alerts", "alert.append", alerts=[alert(name)])),
        ("vm", lambda: host.call("vm", "vm.define", requestKey=request_key(), definition=(
            "<domain type='qemu'><name>%s</name><memory unit='MiB'>64</memory><os><type arch='x86_64'>hvm</type></os>"
            "<description>%s</description></domain>" % (name, "x" * 100_000)))),
    ):
        try:
            call()
            done.append(what)
        except Error as error:
            check_error(error.code, error.kind, error.message, FULL + ("legUnavailable",))
            errors.append((what, error))
    return done, errors


def verify(host, acknowledged):
    """Everything that was acknowledged is there."""
    names = {volume["volume"] for volume in host.call("storage", "volume.list")["volumes"]}
    machines = {vm["name"] for vm in host.call("vm", "vm.list")["vms"]}
    alerts = {record["message"] for record in host.alerts_after(0) if record["kind"] == "spaceTest"}
    data = {}
    for number, done in acknowledged:
        name = "bad-%d" % number
        require("volume" not in done or name in names, "volume %s was acknowledged and is gone", name)
        require("vm" not in done or name in machines, "machine %s was acknowledged and is gone", name)
        require("alert" not in done or name in alerts, "alert %s was acknowledged and is gone", name)
        if "data" in done:
            data[number] = number
    for place, number in data.items():
        require(volumes.read(host, "bad-guard", 7, place << 21) == b"%07d" % number, "the data of change %d is gone", number)


def one_full(host, lab, acknowledged):
    for number in range(100, 108):
        acknowledged.append((number, change(host, number)[0]))
    lab.fill("io1")
    for number in range(200, 208):
        done, errors = change(host, number)
        require(not errors, "with one leg full: %s", errors[0] if errors else "")
        acknowledged.append((number, done))
    verify(host, acknowledged)
    lab.free()
    host.wait_for("both legs to be in step again", 90, lambda: all_in_step(host))
    verify(host, acknowledged)


def both_full(host, lab, acknowledged):
    lab.fill()
    refused = set()
    for number in range(300, 400):
        done, errors = change(host, number)
        acknowledged.append((number, done))
        refused |= {what for what, _ in errors}
        lab.fill()
        if len(refused) == 4:
            break
    require(refused == {"volume", "data", "alert", "vm"}, "with not a byte left, only %s were refused", refused)
    for service in SERVICES:
        host.once(service, "service.ping")
        host.call(service, "service.status")
    verify(host, acknowledged)


def restarted(host, lab, acknowledged):
    """Every process of every service is killed, again and again, with not a byte left."""
    for turn in range(4):
        before = {service: host.call(service, "service.ping")["epoch"] for service in SERVICES}
        for unit in host.call("lab", "lab.units")["units"]:
            if unit.get("processID") and any(unit["unit"].startswith("ftvs-%s@" % service) for service in SERVICES):
                kill(unit["processID"])
        lab.fill()
        for service in SERVICES:
            host.wait_for(
                "%s to serve after kill %d" % (service, turn + 1), 20,
                lambda: host.once(service, "service.ping")["epoch"] > before[service]
                and host.once(service, "service.status")["role"] == "active")
        lab.fill()
        verify(host, acknowledged)
        done, errors = change(host, 400 + turn)
        acknowledged.append((400 + turn, done))
        lab.fill()
    done, errors = change(host, 450)
    acknowledged.append((450, done))
    require(errors, "with not a byte left everything was accepted")
    text = " ".join(error.message for _, error in errors)
    require("space" in text, "nobody is told to free space: %s", text)


def freed(host, lab, acknowledged):
    """A volume can be deleted with not a byte left; afterwards, and with space, everything goes on."""
    require(host.call("storage", "volume.delete", volume="bad-100")["deleted"], "a volume was not deleted")
    acknowledged[:] = [(number, [w for w in done if number != 100 or w != "volume"]) for number, done in acknowledged]
    lab.free()
    host.wait_for("both legs to be in step again", 90, lambda: all_in_step(host))
    for number in range(500, 508):
        done, errors = change(host, number)
        require(not errors, "with space again: %s", errors[0] if errors else "")
        acknowledged.append((number, done))
    verify(host, acknowledged)
    for number, done in acknowledged:
        if "volume" in done:
            host.call("storage", "volume.delete", volume="bad-%d" % number)
        if "vm" in done:
            host.call("vm", "vm.undefine", name="bad-%d" % number)


def run(report, binaries, directory):
    if report.only and not any(word in report.only for word in ("space", "full", "leg")):
        return
    lab = SmallLab(binaries, directory)
    try:
        host = lab.up()
        report.host, before = host, report.host
        try:
            volumes.create(host, "bad-guard", 2 << 30)
            acknowledged = []
            report.step("one leg full", one_full, host, lab, acknowledged, alerts=ALERTS)
            report.step("both legs full", both_full, host, lab, acknowledged, alerts=ALERTS)
            report.step("services killed with both legs full", restarted, host, lab, acknowledged, restarts=True)
            report.step("space on both legs again", freed, host, lab, acknowledged, restarts=True)
        finally:
            report.host = before
            lab.free()
            lab.down()
    finally:
        lab.close()
