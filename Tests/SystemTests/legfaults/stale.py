"""A leg's directory from before some changes is put in the place of the leg: it is recognised, never started from."""

import os
import shutil

from badinput.host import require

from .losses import prove
from .shim import LEGS
from .world import other


def put_back(leg, copies):
    """The copy takes the leg's place."""
    shutil.rmtree(LEGS[leg])
    os.rename(copies.pop(leg), LEGS[leg])


def while_removed(world, leg, copies):
    """Another disk is in the slot when it is put in again."""
    world.take_out(leg)
    world.change()
    put_back(leg, copies)
    world.bring_back(leg)
    world.count_on(5)
    world.verify()
    prove(world, leg)


def while_stopped(world, leg, copies):
    """At the start of the host the old one is alone at first: refused. With the other one there it starts by itself."""
    good = other(leg)
    world.change()
    world.stop_guest()
    world.stop_host()
    put_back(leg, copies)
    os.rename(LEGS[good], LEGS[good] + ".away")
    world.start_host()
    for service, problem in world.problems().items():
        require("Leg %s alone may miss what was acknowledged" % leg in problem, "%s says %s", service, problem)
        require("Bring leg %s back" % good in problem, "%s does not say what to do: %s", service, problem)
    os.rename(LEGS[good] + ".away", LEGS[good])
    world.wait_active("by themselves, with %s there" % good)
    world.bring_back(leg)
    world.start_guest()
    world.verify()
    prove(world, leg)


def run(report, world, copies):
    report.run("a leg from before is put into the slot of io1", while_removed, world, "io1", copies)
    report.run("a leg from before is in the place of io0 when the host starts", while_stopped, world, "io0", copies)
