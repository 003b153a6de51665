"""A leg is lost under the guest, in every way, and comes back; then the other one is taken away.

Real file systems without a byte left are in `badinput/space.py`: here every write fails, which those with a reserve in
place do not.
"""

import os
import subprocess
import time

from badinput.host import SERVICES, require

from .shim import LEGS
from .world import ANSWER, other

# A leg that does not answer counts as lost after this time (`legAnswerBoundMilliseconds`), in seconds.
HANG = 3.0
# For how long a service may not answer, four changes may take, and the guest may stand still. With a leg that hangs a
# wait may follow another: what was under way, then what comes to the leg next. Each service finds out by itself, the VM
# monitor by the file of a definition and then by its state.
ANSWERS = {"hang": 2 * HANG + ANSWER}
CHANGES = {"hang": 4 * HANG + ANSWER}
STILL = {"hang": 2 * HANG + ANSWER}


def require_told(world, leg, since):
    """Every service says in an alert that it lost the leg, and what to do about it."""
    def told():
        alerts = world.alerts(since, "legLost", leg)
        return alerts if len({alert["source"] for alert in alerts}) == len(SERVICES) else None
    for alert in world.host.wait_for("the four services' alerts about %s" % leg, 15, told):
        require("epair" in alert["message"] and "bring it online" in alert["message"],
                "the alert does not say what to do: %s", alert["message"])


def require_simplex(world, leg):
    pairs = world.host.call("hardware", "hardware.modules")["pairs"]
    state = next(pair["state"] for pair in pairs if pair["kind"] == "io")
    require(state == "simplex", "%s is lost, and the pair is %s", leg, state)


def loss(world, leg, name, begin):
    """The leg is lost; everything goes on with the other one, and the loss is told."""
    since = world.host.last_alert()
    world.change()
    world.observer.forget_gap()
    with world.pulse(ANSWERS.get(name, ANSWER), "%s of %s" % (name, leg)):
        began = time.monotonic()
        begin()
        world.change(CHANGES.get(name, ANSWER))
        world.host.wait_for("every service to go on without %s" % leg, 20, lambda: world.is_left_out(leg))
        took = time.monotonic() - began
        world.count_on(10)
        world.change(ANSWER)
        require_simplex(world, leg)
    world.notes.append("left out by all after %.2f s; the guest stood still for %.2f s" % (took, world.observer.gap[0]))
    require(world.observer.gap[0] <= STILL.get(name, ANSWER), "the guest stood still for %.2f s", world.observer.gap[0])
    require_told(world, leg, since)


def back(world, leg):
    """The operator does what is advised, and the guest writes meanwhile."""
    counted = world.observer.acknowledged
    began = time.monotonic()
    done = world.bring_back(leg)
    world.change()
    world.count_on(5)
    world.notes.append("back after %.1f s (%s), the guest counted from %d to %d" % (
        time.monotonic() - began, "; ".join("ftctl " + words for words in done) or "by itself", counted,
        world.observer.acknowledged))
    world.verify()


def prove(world, leg):
    """The leg that came back is complete: all is there with the other one gone, read by services that start anew."""
    gone = other(leg)
    world.take_out(gone)
    world.kill_actives()
    world.change()
    world.count_on(5)
    world.verify()
    world.bring_back(gone)


def removal(world, leg, copies):
    """Out of its slot and in again. What is on it meanwhile is kept for the stale cases."""
    loss(world, leg, "removal", lambda: world.take_out(leg))
    copies[leg] = LEGS[leg] + ".earlier"
    subprocess.run(["cp", "-a", LEGS[leg], copies[leg]], check=True)
    back(world, leg)
    prove(world, leg)


def pulled(world, leg):
    """Taken away without a word: its directory is not there any more."""
    away = LEGS[leg] + ".away"
    loss(world, leg, "removal", lambda: os.rename(LEGS[leg], away))
    os.rename(away, LEGS[leg])
    back(world, leg)
    prove(world, leg)


def faulty(world, leg, fault):
    """Its disk fails the calls of the services, and is repaired."""
    epochs = world.epochs()
    try:
        loss(world, leg, fault, lambda: world.shim.begin(leg, fault))
        world.shim.check_injected(leg, fault)
        world.notes.append("%d calls met it" % sum(world.shim.injected(leg).values()))
    finally:
        world.shim.end(leg)
    back(world, leg)
    if world.epochs() != epochs:
        # A service that hangs with its leg is killed by its watchdog, and another takes over.
        require(fault == "hang", "services were restarted: epochs were %s, are %s", epochs, world.epochs())
        world.notes.append("the watchdog killed services: epochs were %s, are %s" % (epochs, world.epochs()))
    prove(world, leg)


def paths(world):
    """Each path to each leg is cut and restored: the guest writes on, and no leg is lost."""
    since = world.host.last_alert()
    world.observer.forget_gap()

    def legs():
        return {leg["leg"]: leg for leg in world.host.call("storage", "volume.legs")["legs"]}

    def states(leg):
        return [path["state"] for path in legs()[leg]["paths"]]

    def wait(leg, path, state):
        world.host.wait_for(
            "path %d to %s to be %s" % (path, leg, state), 10, lambda: states(leg)[path] == state)

    with world.pulse(ANSWER, "loss of paths"):
        for leg in LEGS:
            for path in (0, 1):
                world.ftctl("module", "path", "fail", leg, str(path), "--reason", "a cable was pulled")
                wait(leg, path, "failed")
                world.count_on(3)
                world.change(ANSWER)
                require(states(leg)[1 - path] == "active", "%s is not reached by its other path: %s", leg, legs())
                world.ftctl("module", "path", "restore", leg, str(path))
                wait(leg, path, "standby")
    require(all(leg["state"] == "inStep" for leg in legs().values()), "a leg was lost: %s", legs())
    lost = [world.alerts(since, "legLost", leg) for leg in LEGS]
    require(not any(lost), "a leg was lost: %s", lost)
    for leg in LEGS:
        world.host.wait_for(
            "two alerts about %s" % leg, 10, lambda: len(world.alerts(since, "pathLost", leg)) == 2)
        told = world.alerts(since, "pathLost", leg)
        require("a cable was pulled" in told[0]["message"], "the alert does not say why: %s", told[0])
    require(world.observer.gap[0] <= ANSWER, "the guest stood still for %.2f s", world.observer.gap[0])
    world.notes.append("the guest stood still for %.2f s" % world.observer.gap[0])
    world.verify()


def run(report, world, copies):
    report.run("each path to each leg is cut and restored", paths, world)
    for leg in LEGS:
        report.run("%s is taken from its slot" % leg, removal, world, leg, copies)
    report.run("io1 is pulled without a word", pulled, world, "io1")
    for fault, says in (
        ("EIO", "every write to %s fails with EIO"), ("ENOSPC", "every write to %s fails with ENOSPC"),
        ("hang", "no sync of %s returns"),
    ):
        for leg in LEGS:
            report.run(says % leg, faulty, world, leg, fault)
