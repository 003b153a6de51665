"""VHD files that were changed under a closed volume: opening refuses, says why, and other volumes work on.

What a VHD has no checksum of, data and the bitmaps of sectors, nobody can see to be wrong: these are not tried here.
"""

import os
import random
import struct

from . import volumes
from .host import Error, check_error, require

LEGS = ("io0", "io1")


def checksum(data, at):
    """Of a footer or header whose checksum is at this place (VHD 1.0, "Checksum")."""
    return ~(sum(data) - sum(data[at:at + 4])) & 0xFFFFFFFF


def sealed(data, at):
    return data[:at] + struct.pack(">I", checksum(data, at)) + data[at + 4:]


class Layers:
    """The files of a volume's topmost layer, on both legs."""

    def __init__(self, host, lab, volume):
        layer = host.call("storage", "volume.show", volume=volume)["layers"][0]["layer"]
        self.paths = [
            os.path.join(directory, file) for leg in LEGS for directory, _, files in os.walk(lab.leg(leg))
            for file in files
            if file.endswith(".vhd") and layer.replace("-", "").lower() in file.replace("-", "").lower()]
        require(len(self.paths) == 2, "the files of layer %s: %s", layer, self.paths)
        self.saved = [open(path, "rb").read() for path in self.paths]

    def change(self, body, legs=(0, 1)):
        for leg in legs:
            changed = body(bytearray(self.saved[leg]))
            os.path.isdir(self.paths[leg]) and os.rmdir(self.paths[leg])
            with open(self.paths[leg], "wb") as file:
                file.write(bytes(changed))

    def are_whole(self):
        return [open(path, "rb").read() for path in self.paths] == self.saved

    def restore(self):
        for path, saved in zip(self.paths, self.saved):
            if os.path.isdir(path):
                os.rmdir(path)
            with open(path, "wb") as file:
                file.write(saved)


def prepare(host, lab):
    """A volume with an undo layer, both with data, and another volume."""
    volumes.create(host, "bad-v", 8 << 20)
    volumes.write(host, "bad-v", b"base")
    host.call("storage", "volume.enableUndo", volume="bad-v")
    volumes.write(host, "bad-v", b"undo", 4096)
    volumes.create(host, "bad-guard", 8 << 20)
    volumes.write(host, "bad-guard", b"guard")
    return Layers(host, lab, "bad-v")


def footer_at_both_ends(data, body):
    footer = body(data[:512])
    return footer + data[512:-512] + footer


def header(data, body):
    return data[:512] + body(data[512:1536]) + data[1536:]


def table_entry(data, index, value):
    table = struct.unpack(">Q", data[512 + 16:512 + 24])[0]
    return data[:table + 4 * index] + struct.pack(">I", value) + data[table + 4 * index + 4:]


def put(data, at, what):
    return data[:at] + what + data[at + len(what):]


DAMAGES = {
    "a foreign parent": lambda d: header(d, lambda h: sealed(put(h, 40, b"\x11" * 16), 36)),
    "a parent of another time": lambda d: header(d, lambda h: sealed(put(h, 56, b"\0\0\0\1"), 36)),
    "a header that is damaged": lambda d: header(d, lambda h: put(h, 100, b"\xff")),
    "a header of another version": lambda d: header(d, lambda h: sealed(put(h, 24, b"\0\2\0\0"), 36)),
    "blocks of an impossible size": lambda d: header(d, lambda h: sealed(put(h, 32, b"\0\0\0\3"), 36)),
    "a table at an impossible place": lambda d: header(d, lambda h: sealed(put(h, 16, b"\x7f" + b"\xff" * 7), 36)),
    "a table of an impossible length": lambda d: header(d, lambda h: sealed(put(h, 28, b"\xff" * 4), 36)),
    "two damaged footers": lambda d: footer_at_both_ends(d, lambda f: put(f, 0, b"garbage!")),
    "footers of another disk": lambda d: footer_at_both_ends(d, lambda f: sealed(put(f, 68, b"\x22" * 16), 64)),
    "footers of another size": lambda d: footer_at_both_ends(d, lambda f: sealed(put(f, 48, b"\x7f" * 8), 64)),
    "footers of another type": lambda d: footer_at_both_ends(d, lambda f: sealed(put(f, 60, b"\0\0\0\7"), 64)),
    "a table entry beyond the file": lambda d: table_entry(d, 0, 0xFFFFFF00),
    "a table entry into the header": lambda d: table_entry(d, 0, 1),
    "two table entries at one place": lambda d: table_entry(
        d, 1, struct.unpack(">I", d[struct.unpack(">Q", d[528:536])[0]:][:4])[0]),
    "a file that was cut in half": lambda d: d[:len(d) // 2],
    "a file of 100 bytes": lambda d: d[:100],
    "an empty file": lambda d: b"",
    "garbage": lambda d: b"\xa5" * len(d),
}


def damage(host, lab, body):
    layers = prepare(host, lab)
    try:
        layers.change(body)
        error = host.refusal("storage", "volume.read", ("damagedLayer",), volume="bad-v", offsetBytes=0, countBytes=512)
        require("backup" in error.message, "what is to be done is not said: %s", error.message)
        host.refusal(
            "storage", "volume.write", ("damagedLayer",), volume="bad-v", offsetBytes=0, data="eA==")
        require(volumes.read(host, "bad-guard", 5) == b"guard", "another volume")
        changed = [open(path, "rb").read() for path in layers.paths]
        require(changed == [bytes(body(bytearray(saved))) for saved in layers.saved], "a damaged file was touched")
    finally:
        layers.restore()
    require(volumes.read(host, "bad-v", 4) == b"base" and volumes.read(host, "bad-v", 4, 4096) == b"undo", "after repair")


def gone(host, lab):
    layers = prepare(host, lab)
    try:
        for make in (None, os.mkdir, os.mkfifo):
            for path in layers.paths:
                if os.path.exists(path):
                    os.remove(path)
                if make:
                    make(path)
            host.refusal(
                "storage", "volume.read", ("damagedLayer", "legUnavailable"), volume="bad-v", offsetBytes=0, countBytes=512)
            require(volumes.read(host, "bad-guard", 5) == b"guard", "another volume")
            for path in layers.paths:
                if make:
                    os.rmdir(path) if os.path.isdir(path) else os.remove(path)
    finally:
        layers.restore()
    require(volumes.read(host, "bad-v", 4) == b"base", "after repair")


def flipped(host, lab, seed):
    """Bytes changed by chance in what describes the layer: it is refused, or read, and nobody ends."""
    chance = random.Random("%s layers" % seed)
    layers = prepare(host, lab)
    try:
        for _ in range(60):
            def flip(data):
                for _ in range(random.Random(number).randrange(1, 4)):
                    place = random.Random(number + 1).choice((random.Random(number).randrange(min(4096, len(data))), -1 - number % 512))
                    data[place] ^= 1 + number % 255
                return data
            number = chance.randrange(1 << 30)
            layers.change(flip)
            try:
                volumes.read(host, "bad-v", 512)
            except Error as error:
                check_error(error.code, error.kind, error.message, ("damagedLayer", "legUnavailable"))
            require(volumes.read(host, "bad-guard", 5) == b"guard", "another volume")
    finally:
        layers.restore()
    require(volumes.read(host, "bad-v", 4) == b"base", "after repair")


def legs_in_step(host):
    return all(leg["state"] == "inStep" for leg in host.call("storage", "volume.legs")["legs"])


def one_leg(host, lab):
    """Damage on one leg only, while the volume is closed: the other's copy is read, and the damaged one made anew."""
    layers = prepare(host, lab)
    try:
        for leg in (0, 1):
            for name in ("two damaged footers", "an empty file", "a parent of another time"):
                layers.change(DAMAGES[name], (leg,))
                data = volumes.read(host, "bad-v", 4)
                require(data == b"base", "%s on %s: %s is read", name, LEGS[leg], data)
                require(volumes.read(host, "bad-guard", 5) == b"guard", "another volume")
                host.wait_for("%s to be made anew" % LEGS[leg], 60, lambda: layers.are_whole() and legs_in_step(host))
                host.wait_duplex()
    finally:
        layers.restore()
    require(volumes.read(host, "bad-v", 4) == b"base", "after repair")


def run(report, host, lab, seed):
    alerts = ("damagedLayer",)
    for name, body in DAMAGES.items():
        report.run("a layer with %s" % name, damage, host, lab, body, alerts=alerts)
    report.run("a layer whose file is gone, or no file", gone, host, lab, alerts=alerts + ("legLost",))
    report.run("layers with bytes changed by chance, seed %s" % seed, flipped, host, lab, seed, alerts=alerts)
    # The supervisor may still be bringing one module back when the other one's leg is damaged.
    failures = ("legLost", "moduleFailed", "pairSimplex", "pairDown")
    report.run("a layer that is damaged on one leg", one_leg, host, lab, alerts=failures)
