"""Volumes, images and undo layers: names, sizes and orders of operations that are wrong."""

import base64
import os
import subprocess
import tempfile
import threading

from .host import Error, require, request_key

MIB = 1 << 20
UPLOAD = "bad-cut.upload"


def create(host, name, size=MIB, **parameters):
    return host.call("storage", "volume.create", volume=name, sizeBytes=size, requestKey=request_key(), **parameters)


def delete(host, *names):
    for name in names:
        host.call("storage", "volume.delete", volume=name)


def write(host, name, data, offset=0):
    return host.call("storage", "volume.write", volume=name, offsetBytes=offset, data=base64.b64encode(data).decode())


def read(host, name, count, offset=0):
    return base64.b64decode(host.call("storage", "volume.read", volume=name, offsetBytes=offset, countBytes=count)["data"])


def names(host):
    for name in ("", ".", "..", "a/b", "../../etc/passwd", "a\0b", "a\n", "-a", "y" * 64, "y" * 10_000, "ü", "a b", "%00"):
        key = request_key()
        host.refusal("storage", "volume.create", ("invalidParams",), volume=name, sizeBytes=MIB, requestKey=key)
        host.refusal("storage", "volume.create", ("invalidParams",), volume="bad-v", image=name, requestKey=key)
        host.refusal("storage", "library.promote", ("invalidParams",), volume="bad-v", image=name, requestKey=key)
        for method in ("volume.show", "volume.delete", "volume.fence", "volume.enableUndo"):
            host.refusal("storage", method, ("invalidParams",), volume=name)
    for name in ("a..b", "y" * 63, "0", "a-", "nul"):
        create(host, name)
        delete(host, name)


def sizes(host):
    for size in (0, -1, 1, 511, 513, 3 << 40, (2040 << 30) + 512, 2**63 - 1, -(2**63)):
        host.refusal("storage", "volume.create", ("sizeOutOfRange",), volume="bad-v", sizeBytes=size, requestKey=request_key())
    host.refusal("storage", "volume.create", ("sizeOutOfRange",), volume="bad-v", requestKey=request_key())
    for size in (512, 2040 << 30):
        create(host, "bad-v", size)
        write(host, "bad-v", b"end", size - 3)
        require(read(host, "bad-v", 3, size - 3) == b"end", "the end of %d bytes is not what was written", size)
        for offset, count in ((size, 1), (size - 1, 2), (-1, 1), (2**63 - 1, 1), (-(2**63), 1)):
            host.refusal("storage", "volume.read", ("outOfRange",), volume="bad-v", offsetBytes=offset, countBytes=count)
            host.refusal(
                "storage", "volume.write", ("outOfRange",), volume="bad-v", offsetBytes=offset,
                data=base64.b64encode(b"x" * count).decode())
        delete(host, "bad-v")


def twice_and_in_use(host):
    key = request_key()
    first = create(host, "bad-v")
    host.refusal("storage", "volume.create", ("volumeExists",), volume="bad-v", sizeBytes=MIB, requestKey=key)
    host.refusal("storage", "volume.create", ("noSuchImage",), volume="bad-w", image="no-such", requestKey=request_key())
    require(host.call("storage", "volume.show", volume="bad-v")["layers"][0]["layer"] == first["layers"][0]["layer"], "replaced")
    write(host, "bad-v", b"image")
    host.call("storage", "library.promote", volume="bad-v", image="bad-i", requestKey=request_key())
    create(host, "bad-w", image="bad-i")
    host.refusal("storage", "library.delete", ("imageInUse",), image="bad-i")
    host.refusal("storage", "volume.create", ("sizeOutOfRange",), volume="bad-x", image="bad-i", sizeBytes=512, requestKey=request_key())
    host.refusal("storage", "library.promote", ("basedOnImage",), volume="bad-w", image="bad-j", requestKey=request_key())
    create(host, "bad-x")
    host.refusal("storage", "library.promote", ("imageExists",), volume="bad-x", image="bad-i", requestKey=request_key())
    host.refusal(
        "storage", "library.promote", ("invalidParams",), volume="bad-x", image="bad-j", description="d" * 1001, requestKey=request_key())
    require(read(host, "bad-w", 5) == b"image", "the image's content")
    delete(host, "bad-w", "bad-x")
    require(host.call("storage", "library.delete", image="bad-i")["deleted"], "an image that nothing is based on")
    require(not host.call("storage", "library.delete", image="bad-i")["deleted"], "deleted twice")
    require(not host.call("storage", "volume.delete", volume="bad-w")["deleted"], "deleted twice")


def undo(host):
    create(host, "bad-v")
    write(host, "bad-v", b"old")
    for method in ("volume.commitUndo", "volume.discardUndo"):
        host.refusal("storage", method, ("noUndoLayer",), volume="bad-v", requestKey=request_key())
        host.refusal("storage", method, ("noSuchVolume",), volume="no-such", requestKey=request_key())
    host.refusal("storage", "volume.enableUndo", ("noSuchVolume",), volume="no-such")
    host.call("storage", "volume.enableUndo", volume="bad-v")
    require(len(host.call("storage", "volume.enableUndo", volume="bad-v")["layers"]) == 2, "enabled twice: two layers")
    host.refusal("storage", "library.promote", ("undoLayerExists",), volume="bad-v", image="bad-i", requestKey=request_key())
    write(host, "bad-v", b"new")
    key = request_key()
    host.call("storage", "volume.discardUndo", volume="bad-v", requestKey=key)
    host.call("storage", "volume.discardUndo", volume="bad-v", requestKey=key)
    host.refusal("storage", "volume.commitUndo", ("noUndoLayer",), volume="bad-v", requestKey=request_key())
    require(read(host, "bad-v", 3) == b"old", "what was discarded is there")
    delete(host, "bad-v")


def exports(host):
    create(host, "bad-v")
    user = os.getuid()
    for client in (-1, 2**32, 2**32 - 1, 2**63 - 1):
        host.refusal("storage", "volume.export", ("invalidParams",), volume="bad-v", clientUserID=client)
    generation = host.call("storage", "volume.export", volume="bad-v", clientUserID=user)["generation"]
    for other in (generation - 1, generation + 1, -1, 2**63 - 1):
        host.refusal("storage", "volume.export", ("staleGeneration",), volume="bad-v", clientUserID=user, generation=other)
    host.call("storage", "volume.fence", volume="bad-v")
    host.refusal("storage", "volume.export", ("staleGeneration",), volume="bad-v", clientUserID=user, generation=generation)
    delete(host, "bad-v")


def uploads(host):
    """Uploads that stop in the middle, write elsewhere than announced, or more than announced."""
    create(host, "bad-upload", 8 * MIB)
    write(host, "bad-upload", b"a" * MIB)
    host.refusal(
        "storage", "volume.write", ("invalidParams",), volume="bad-upload", offsetBytes=0,
        data=base64.b64encode(b"a" * (4 * MIB + 1)).decode())
    for data in ("=", "a", "ab=c", "\u00e4\u00f6", "YQ", "Y Q = ="):
        host.refusal("storage", "volume.write", ("invalidParams",), volume="bad-upload", offsetBytes=0, data=data)
    require(read(host, "bad-upload", 1, MIB) == b"\0", "what was not written is there")
    delete(host, "bad-upload")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        path = directory + "/image.raw"
        with open(path, "wb") as file:
            for _ in range(64):
                file.write(os.urandom(MIB))
        command = [host.ftctl, "library", "import", "bad-cut", path, "--run-directory", host.run]
        upload = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        host.wait_for("the upload to begin", 20, lambda: host.has_volume(UPLOAD))
        upload.kill()
        upload.communicate()
        done = subprocess.run(command, capture_output=True, text=True)
        require(done.returncode == 1 and "--restart" in done.stderr, "after a cut upload: %d %s", done.returncode, done.stderr)
        shrinking = threading.Thread(target=lambda: os.truncate(path, 5 * MIB + 100))
        shrinking.start()
        done = subprocess.run(command + ["--restart"], capture_output=True, text=True)
        shrinking.join()
        # In the end the two are compared: what became shorter only after it was read makes no image.
        require(done.returncode in (0, 1, 66), "--restart: %d %s", done.returncode, done.stderr)
    deleted = host.call("storage", "library.delete", image="bad-cut")["deleted"]
    require(deleted == (done.returncode == 0), "ended with %d, and the image was there: %s", done.returncode, deleted)
    require(not host.has_volume(UPLOAD), "the upload's volume is left")


def run(report, host):
    report.run("names of volumes and images", names, host)
    report.run("sizes and ranges of volumes", sizes, host)
    report.run("creating twice, deleting what is in use", twice_and_in_use, host)
    report.run("undo operations in the wrong state", undo, host)
    report.run("exports of the wrong generation or user", exports, host)
    report.run("uploads that stop, or are not what was announced", uploads, host)
