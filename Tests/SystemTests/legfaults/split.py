"""The host ran on io0 alone, then, by an administrator's force, on io1 alone: what comes of it with both there."""

import glob
import hashlib
import os

from badinput import space, volumes
from badinput.host import SERVICES, Bad, Error, require

from .losses import prove
from .shim import LEGS, LOCAL

# What is asked of each service that waits for a decision.
QUESTIONS = {"hardware": "hardware.modules", "vm": "vm.list", "storage": "volume.list", "alerts": "alert.list"}


def content(leg, suffix=""):
    """What is on a leg for good: databases, definitions and layers. Reserves and SQLite's log are working space."""
    found = {}
    top = LEGS[leg] + suffix
    for directory, _, names in os.walk(top):
        for name in names:
            if not name.endswith(("-wal", "-shm", "-journal")) and "reserve" not in name:
                path = os.path.join(directory, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, top)] = hashlib.sha256(file.read()).hexdigest()
    return found


def require_same(before, leg):
    after = content(leg)
    changed = [path for path in sorted(before) if after.get(path) != before[path]]
    require(not changed, "%s was changed while it waited for a decision: %s", leg, changed)


def away(leg):
    os.rename(LEGS[leg], LEGS[leg] + ".away")


def here(leg):
    os.rename(LEGS[leg] + ".away", LEGS[leg])


def forget_legs():
    """The disk of the system is a new one: nothing outside the legs says which was in service last."""
    for witness in glob.glob(LOCAL + "/*/witness*"):
        os.remove(witness)


def force(world, leg):
    """An administrator decides, service by service, and waits until each serves."""
    for service in SERVICES:
        world.ftctl("service", "force-leg", service, leg)
    world.wait_active("after io%s was forced" % leg[-1])


def names_command(problem, service, leg):
    """Whether it names the command that forces a leg, in one of its two spellings."""
    return "ftctl call %s service.forceLeg '{\"leg\":\"%s\"}'" % (service, leg) in problem or (
        "ftctl service force-leg %s %s" % (service, leg) in problem)


def on_io0_alone(world):
    """A change and counts that only io0 holds; then the host is stopped."""
    world.take_out("io1")
    world.change()
    world.count_on(5)
    world.stop_guest()
    world.stop_host()
    away("io0")


def on_io1_by_force(world, number):
    """The host does not start from io1 by itself. Forced to, it acknowledges a change that io0 does not hold."""
    world.start_host()
    for service, problem in world.problems().items():
        require("Leg io1 alone may miss what was acknowledged" in problem, "%s says %s", service, problem)
        require(names_command(problem, service, "io1"), "%s names no way to force io1: %s", service, problem)
    force(world, "io1")
    done, errors = space.change(world.host, number)
    require(not errors, "on io1 alone: %s", errors[0] if errors else "")

    def told():
        forced = [alert for alert in world.host.alerts_after(0) if alert["kind"] == "legForced"]
        return {alert["data"].get("service") for alert in forced} >= set(SERVICES)
    world.host.wait_for("the four services' alerts that io1 was forced", 15, told)
    return done


def require_given_up(world, number):
    """Nothing is left of a change but what is kept aside."""
    name = "bad-%d" % number
    require(not world.host.has_volume(name) and not world.host.has_machine(name), "%s was given up, and is there", name)
    require(volumes.read(world.host, "bad-guard", 7, number << 21) == bytes(7), "data that was given up is in a volume")
    said = [alert for alert in world.host.alerts_after(0) if alert["message"] == name]
    require(not said, "an alert that was given up is there")


def require_kept_aside(leg):
    for service in SERVICES:
        kept = glob.glob("%s/%s/state.sqlite.discarded-*" % (LEGS[leg], service))
        require(kept, "the database of %s that was given up is not kept aside on %s", service, leg)


def forced(world):
    """What is known of io0 when io1 is forced is given up by that: io0 follows when it is there again."""
    counted = world.observer.acknowledged
    on_io0_alone(world)
    number, _ = world.acknowledged.pop()
    world.observer.acknowledged = counted
    world.acknowledged.append((900, on_io1_by_force(world, 900)))
    here("io0")
    world.bring_back("io0")
    world.start_guest()
    world.verify()
    require_given_up(world, number)
    require_kept_aside("io0")
    prove(world, "io0")


def refused_while_running(world):
    """io0 is put back under the host that runs on io1: it is left alone, and every service says why and what to do."""
    before = content("io0", ".away")
    here("io0")
    for service in SERVICES:
        reason = world.host.wait_for(
            "%s to say that io0 went on separately" % service, 15,
            lambda: "went on separately" in (world.leg(service, "io0").get("reason") or "")
            and world.leg(service, "io0")["reason"])
        require("move its database away" in reason, "%s does not say what to do: %s", service, reason)
    require_same(before, "io0")


def require_refusal(world, service):
    try:
        answer = world.host.call(service, QUESTIONS[service])
    except Error as error:
        require(error.kind == "stateUnavailable" and "went on separately" in error.message,
                "%s refuses without saying why: %s", service, error)
    else:
        raise Bad("%s answered with %.100s instead of waiting for a decision" % (service, answer))


def refused_at_start(world):
    """Every service says what is the matter and how to decide, and nothing is overwritten meanwhile."""
    before = {leg: content(leg) for leg in LEGS}
    world.start_host()
    for service, problem in world.problems().items():
        require("The legs went on separately" in problem, "%s says %s", service, problem)
        for leg in LEGS:
            require(names_command(problem, service, leg), "%s names no way to decide for %s: %s", service, leg, problem)
        require_refusal(world, service)
    told = world.ftctl("service", "status", "storage")
    require("went on separately" in told, "ftctl service status says %s", told)
    for leg in LEGS:
        require_same(before[leg], leg)


def split(world):
    """Nothing tells of io0 when io1 is forced: then it is for an administrator to decide, here for io0."""
    on_io0_alone(world)
    forget_legs()
    on_io1_by_force(world, 901)
    refused_while_running(world)
    world.stop_host()
    refused_at_start(world)
    force(world, "io0")
    world.bring_back("io1")
    world.start_guest()
    world.verify()
    require_given_up(world, 901)
    require_kept_aside("io1")
    prove(world, "io1")


def run(report, world):
    report.run("io1 is forced though io0 went on: io0 is given up", forced, world)
    report.run("the legs went on separately: an administrator decides", split, world)
