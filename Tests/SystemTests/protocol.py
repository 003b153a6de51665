"""The wire protocol of FTVS for tests, written from its description and sharing no code with the product."""

import json
import random
import socket
import struct
import time


class Refused(Exception):
    """Nobody listens: what must never happen while the host is up."""


class Cut(Exception):
    """The connection ended before the answer: allowed in a failover, the call must be repeated."""


class Error(Exception):
    """An error answer."""

    def __init__(self, error):
        super().__init__("%s: %s" % (error.get("data", {}).get("kind"), error.get("message")))
        self.code = error["code"]
        self.kind = error.get("data", {}).get("kind")
        self.message = error.get("message", "")
        self.data = error.get("data", {})


class Connection:
    """One connection to one service."""

    def __init__(self, path, timeout=20.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.socket.connect(path)
                break
            except BlockingIOError:
                # The backlog is full: wait, as every client must.
                if time.monotonic() > deadline:
                    raise Cut("backlog full for %d s" % timeout)
                time.sleep(0.001)
            except (ConnectionRefusedError, FileNotFoundError) as error:
                raise Refused("%s: %s" % (path, error))
        self.identifier = 0

    def call(self, method, **parameters):
        self.identifier += 1
        request = {"jsonrpc": "2.0", "id": self.identifier, "method": method, "params": parameters}
        body = json.dumps(request).encode()
        try:
            self.socket.sendall(struct.pack(">I", len(body)) + body)
            while True:
                (length,) = struct.unpack(">I", self.receive(4))
                answer = json.loads(self.receive(length))
                if answer.get("id") == self.identifier:
                    break
        except (OSError, socket.timeout) as error:
            self.close()
            raise Cut(str(error) or type(error).__name__)
        if "error" in answer:
            raise Error(answer["error"])
        return answer["result"]

    def receive(self, count):
        parts = []
        while count:
            part = self.socket.recv(count)
            if not part:
                raise OSError("connection ended")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def close(self):
        self.socket.close()


def request_key():
    return "%d-%016x" % (time.time() * 1000, random.getrandbits(64))


class Client:
    """Calls one service through failovers: reconnects, repeats, and counts what it met."""

    def __init__(self, path):
        self.path = path
        self.connection = None
        self.refused = 0
        self.cuts = 0
        self.first_failure = None
        self.gaps = []

    def call(self, method, deadline=20.0, **parameters):
        end = time.monotonic() + deadline
        while True:
            try:
                if self.connection is None:
                    self.connection = Connection(self.path)
                answer = self.connection.call(method, **parameters)
                self.answered()
                return answer
            except Refused:
                self.refused += 1
                self.failed()
                time.sleep(0.005)
            except Cut:
                self.cuts += 1
                self.failed()
            except Error as error:
                if error.kind != "stopping":
                    self.answered()
                    raise
                self.failed()
            if time.monotonic() > end:
                raise TimeoutError("%s did not answer %s for %d s" % (self.path, method, deadline))

    def failed(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        if self.first_failure is None:
            self.first_failure = time.monotonic()

    def answered(self):
        if self.first_failure is not None:
            self.gaps.append(time.monotonic() - self.first_failure)
            self.first_failure = None
