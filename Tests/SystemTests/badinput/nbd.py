"""NBD clients that do not keep to the protocol, or ask for what is not theirs."""

import os
import random
import struct
import subprocess

from . import volumes
from .frames import Raw
from .host import require

OPTION = 0x49484156454F5054
REPLY = 0x0003E889045565A9
EXPORT_NAME, ABORT, LIST, INFO, GO, STRUCTURED = 1, 2, 3, 6, 7, 8
ACK, SERVER, INFORMATION = 1, 2, 3
UNSUPPORTED, POLICY, INVALID, UNKNOWN, TOO_BIG = (0x80000000 + n for n in (1, 2, 3, 6, 9))
READ, WRITE, DISCONNECT, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)
EINVAL, ENOSPC = 22, 28
SIZE = 8 << 20


class Client(Raw):
    """Speaks NBD, well or badly."""

    def __init__(self, host, flags=3):
        super().__init__(host, "nbd")
        self.greeting = self.receive(18)
        if flags is not None:
            self.send(struct.pack(">I", flags))

    def option(self, number, data=b"", length=None, magic=OPTION):
        self.send(struct.pack(">QII", magic, number, len(data) if length is None else length) + data)

    def reply(self):
        """Type and data of the next option reply; None at the end."""
        head = self.receive(20)
        if head is None:
            return None
        magic, _, kind, length = struct.unpack(">QIII", head)
        require(magic == REPLY, "a reply without its magic number")
        return kind, self.receive(length)

    def refused(self, *kinds):
        kind, text = self.reply() or (0, "the end")
        require(kind in kinds, "option reply %#x: %s", kind, text)

    def go(self, name):
        data = name if isinstance(name, bytes) else name.encode()
        self.option(GO, struct.pack(">I", len(data)) + data + struct.pack(">H", 0))
        while True:
            kind, _ = self.reply() or (0, "the end")
            if kind != INFORMATION:
                return kind

    def request(self, command, offset=0, count=0, flags=0, data=b"", cookie=7, magic=0x25609513):
        self.send(struct.pack(">IHHQQI", magic, flags, command, cookie, offset, count) + data)

    def answered(self, error, count=0):
        head = self.receive(16)
        require(head is not None, "the connection ended")
        magic, code, cookie = struct.unpack(">IIQ", head)
        require((magic, code, cookie) == (0x67446698, error, 7), "error %d (magic %#x) instead of %d", code, magic, error)
        return self.receive(count) if error == 0 else b""

    def is_good(self):
        self.request(READ, 0, 512)
        self.answered(0, 512)

    def is_ended(self):
        while True:
            part = self.receive(1)
            if part is None:
                return


def export(host, name="bad-v"):
    volumes.create(host, name, SIZE)
    return host.call("storage", "volume.export", volume=name, clientUserID=os.getuid())["exportName"]


def handshakes(host, seed):
    chance = random.Random("%s nbd" % seed)
    for flags in (0, 2, 4, 0xFFFFFFFF):
        with Client(host, flags) as client:
            client.is_ended()
    for _ in range(100):
        with Client(host, None) as client:
            client.send(chance.randbytes(chance.randrange(1, 400)))
            client.socket.shutdown(1)
            client.is_ended()
    for _ in range(50):
        with Client(host) as client:
            client.option(chance.randrange(12), chance.randbytes(chance.randrange(64)))
            client.option(chance.choice((GO, INFO, 9, 10)), chance.randbytes(chance.randrange(64)))
            client.socket.shutdown(1)
            client.is_ended()


def options(host):
    with Client(host) as client:
        for number in (0, 4, 5, 11, 99, 0xFFFFFFFF):
            client.option(number, b"x" * 100)
            client.refused(UNSUPPORTED)
        for data in (b"", b"\0", struct.pack(">I", 0xFFFFFFFF), struct.pack(">I", 4) + b"ab", struct.pack(">IH", 0, 9),
                     struct.pack(">I", 2) + b"\xff\xfe\0\0"):
            for number in (GO, INFO):
                client.option(number, data)
                client.refused(INVALID)
        client.option(LIST, b"x")
        client.refused(INVALID)
        client.option(GO, b"x" * 100_000)
        client.refused(TOO_BIG)
        client.option(LIST)
        while client.reply()[0] == SERVER:
            pass
    for number, length in ((GO, 0xFFFFFFFF), (99, 0xFFFFFFFF), (EXPORT_NAME, 0x80000000), (GO, (16 << 20) + 1)):
        with Client(host) as client:
            client.option(number, length=length)
            client.is_ended()
    with Client(host) as client:
        client.option(GO, magic=1)
        client.is_ended()


def foreign_names(host):
    name = export(host)
    for wrong in ("", "no-such", "bad-v", name + " ", name.upper(), name + "\0", "../" + name, "x" * 4096, name + "0"):
        with Client(host) as client:
            require(client.go(wrong) in (UNKNOWN, POLICY, INVALID), "export %.50r was opened", wrong)
            require(client.go(name) == ACK, "the right name after %.50r", wrong)
            client.is_good()
    host.call("storage", "volume.fence", volume="bad-v")
    with Client(host) as client:
        require(client.go(name) in (UNKNOWN, POLICY), "a fenced export was opened")
    host.call("storage", "volume.export", volume="bad-v", clientUserID=12345)
    current = host.call("storage", "volume.export", volume="bad-v", clientUserID=12345)["exportName"]
    if os.getuid() != 12345:
        with Client(host) as client:
            require(client.go(current) in (UNKNOWN, POLICY), "another user's export was opened")


def requests(host):
    with Client(host) as client:
        require(client.go(export(host)) == ACK, "go")
        for command, offset, count, error in (
            (READ, SIZE, 1, EINVAL), (READ, SIZE - 1, 2, EINVAL), (READ, 2**64 - 1, 1, EINVAL), (READ, 2**63, 512, EINVAL),
            (READ, 0, 0, EINVAL), (READ, 0, 0xFFFFFFFF, EINVAL), (READ, 0, (32 << 20) + 1, EINVAL),
            (TRIM, SIZE, 1, EINVAL), (TRIM, 0, 0xFFFFFFFF, EINVAL), (TRIM, 0, 0, EINVAL), (ZEROES, SIZE - 1, 2, ENOSPC),
            (ZEROES, 2**64 - 1, 2, ENOSPC), (CACHE, SIZE, 1, EINVAL), (CACHE, 0, 0, EINVAL), (FLUSH, 1, 0, EINVAL),
            (FLUSH, 0, 1, EINVAL), (STATUS, 0, 512, EINVAL), (8, 0, 512, EINVAL), (0xFFFF, 0, 512, EINVAL),
        ):
            client.request(command, offset, count)
            client.answered(error)
        for flags in (0x8000, 32, 8):
            client.request(READ, 0, 512, flags)
            client.answered(EINVAL)
        for offset, error in ((SIZE, ENOSPC), (SIZE - 511, ENOSPC), (2**64 - 512, ENOSPC)):
            client.request(WRITE, offset, 512, data=b"x" * 512)
            client.answered(error)
        client.request(WRITE, 0, (32 << 20) + 512, data=b"x" * ((32 << 20) + 512))
        client.answered(EINVAL)
        client.is_good()
    # Half a request, half a payload, no magic number: the end of that connection.
    name = host.call("storage", "volume.export", volume="bad-v", clientUserID=os.getuid())["exportName"]
    for broken in (b"\x25\x60\x95\x13\0\0", struct.pack(">IHHQQI", 0x25609513, 0, WRITE, 7, 0, 65536) + b"x" * 1000,
                   struct.pack(">IHHQQI", 0x25609513, 0, WRITE, 7, 0, 0xFFFFFFFF) + b"x" * 1000, b"\0" * 28):
        with Client(host) as good, Client(host) as client:
            require(good.go(name) == ACK and client.go(name) == ACK, "two connections")
            client.send(broken)
            client.socket.shutdown(1)
            client.is_ended()
            good.is_good()
    host.wait_for("the sessions to end", 5, lambda: host.call("storage", "volume.show", volume="bad-v")["sessions"] == 0)
    require(volumes.read(host, "bad-v", 1000) == b"\0" * 1000, "a write that was cut off was done")


def crowd(host):
    """64 connections to one export at work, a thousand that say nothing, and more than there may be."""
    name = export(host)
    before = host.metric("storage", "openDescriptors")
    clients, silent = [], []
    try:
        for number in range(64):
            clients.append(Client(host))
            require(clients[-1].go(name) == ACK, "connection %d", number)
        silent = [Raw(host, "nbd") for _ in range(1500)]
        for number, client in enumerate(clients):
            client.request(WRITE, number * 4096, 4096, data=bytes([number]) * 4096)
        for client in clients:
            client.answered(0)
        with Client(host) as late:
            require(late.go(name) == ACK, "a guest that comes back is kept out by those who say nothing")
            late.is_good()
        for client in clients[:-1]:
            client.request(DISCONNECT)
    finally:
        for client in clients + silent:
            client.socket.close()
    host.wait_for("the descriptors to be given back", 10, lambda: host.metric("storage", "openDescriptors") <= before + 2)
    for number in range(64):
        require(volumes.read(host, "bad-v", 4096, number * 4096) == bytes([number]) * 4096, "what connection %d wrote", number)


def oracle(host):
    """After all this an ordinary client finds the export as it should be."""
    name = export(host)
    uri = "nbd+unix:///%s?socket=%s" % (name, host.socket("nbd"))
    done = subprocess.run(["nbdinfo", "--size", uri], capture_output=True, text=True)
    require(done.stdout.strip() == str(SIZE), "nbdinfo: %s%s", done.stdout, done.stderr)


def run(report, host, seed):
    report.run("NBD: handshakes, seed %s" % seed, handshakes, host, seed)
    report.run("NBD: options", options, host)
    report.run("NBD: foreign export names", foreign_names, host)
    report.run("NBD: requests", requests, host)
    report.run("NBD: crowds", crowd, host)
    report.run("NBD: an ordinary client afterwards", oracle, host)
