"""Frames and JSON-RPC messages that no client would send."""

import json
import os
import random
import socket
import struct
import time

from .host import PROMPT, SERVICES, Bad, check_error, require

LIMIT = 16 << 20
PING = b'{"jsonrpc":"2.0","id":1,"method":"service.ping"}'


class Raw:
    """A connection that sends whatever it is told."""

    def __init__(self, host, service, timeout=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        while True:
            try:
                self.socket.connect(host.socket(service))
                break
            except BlockingIOError:
                time.sleep(0.001)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def send(self, data):
        """Sends what the other side takes; it may have closed already."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def frame(self, body):
        self.send(struct.pack(">I", len(body)) + body)

    def receive(self, count):
        """That many bytes, or None at the end of the connection."""
        parts = []
        while count:
            try:
                part = self.socket.recv(min(count, 1 << 20))
            except ConnectionResetError:
                return None
            if not part:
                return None
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def answer(self):
        """The next message, or None when the connection has ended."""
        head = self.receive(4)
        body = head and self.receive(struct.unpack(">I", head)[0])
        return None if body is None else json.loads(body)

    def ends(self):
        """Reads to the end of the connection; what errors came before it must be sentences."""
        while True:
            answer = self.answer()
            if answer is None:
                return
            error_of(answer)


def error_of(answer, *kinds):
    """Checks an error answer of one of these kinds."""
    require(isinstance(answer, dict) and "error" in answer, "no error: %.200s", json.dumps(answer))
    error = answer["error"]
    kind = error.get("data", {}).get("kind")
    check_error(error["code"], kind, error["message"], kinds or (kind,))
    return error


def request(method="service.ping", identifier=1, **parameters):
    return {"jsonrpc": "2.0", "id": identifier, "method": method, "params": parameters}


def refused(host, service, body, *kinds):
    """A body that is answered with an error; the connection goes on afterwards."""
    with Raw(host, service) as raw:
        raw.frame(body if isinstance(body, bytes) else json.dumps(body).encode())
        error = error_of(raw.answer(), *kinds)
        raw.frame(PING)
        require(raw.answer().get("result", {}).get("service") == service, "the connection does not go on")
        return error


def broken_frames(host, service):
    for head in (struct.pack(">I", LIMIT + 1), b"\xff\xff\xff\xff", b"\x80\0\0\0"):
        with Raw(host, service) as raw:
            raw.send(head + b"x" * 1000)
            raw.ends()
    with Raw(host, service) as raw:
        raw.send(struct.pack(">I", 0))
        raw.frame(PING)
        error_of(raw.answer(), "parseError")
        require("result" in raw.answer(), "an empty frame broke its connection")


def garbage(host, service, seed):
    chance = random.Random("%s %s" % (seed, service))
    for _ in range(40):
        with Raw(host, service) as raw:
            raw.send(chance.randbytes(chance.randrange(1, 5000)))
            raw.socket.shutdown(socket.SHUT_WR)
            raw.ends()
    for _ in range(40):
        with Raw(host, service) as raw:
            raw.frame(chance.randbytes(chance.randrange(1, 5000)))
            error_of(raw.answer(), "parseError")
    # A message in which something is broken.
    message = json.dumps(request("rpc.unsubscribe", subscription=77)).encode()
    for _ in range(200):
        mutated = bytearray(message)
        for _ in range(chance.randrange(1, 4)):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        with Raw(host, service) as raw:
            raw.frame(bytes(mutated))
            raw.frame(PING)
            # A mutated notification is not answered.
            answers = [raw.answer()]
            if "service" not in answers[0].get("result", {}):
                answers.append(raw.answer())
            require(any("service" in answer.get("result", {}) for answer in answers), "%s: %s", bytes(mutated), answers)


def half_frames(host, service):
    with Raw(host, service) as raw:
        raw.send(b"\0\0")
    with Raw(host, service) as raw:
        raw.send(struct.pack(">I", 5000) + PING)
        raw.socket.shutdown(socket.SHUT_WR)
        raw.ends()
    # Who closes its side after a request still gets the answer.
    with Raw(host, service) as raw:
        raw.frame(PING)
        raw.socket.shutdown(socket.SHUT_WR)
        require("result" in (raw.answer() or {}), "no answer after a half-close")
        raw.ends()


def not_json(host, service):
    envelope = b'{"jsonrpc":"2.0","id":1,"method":"service.ping","params":{%s}}'
    deep = 100_000
    for body in (
        b'"\xff\xfe"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\\ud800"', b"\xef\xbb\xbf{}", b'"a\0b"', b"nul", b"{", b"]",
        b"[" * deep, b"[" * deep + b"]" * deep, b'{"a":' * deep + b"1" + b"}" * deep,
        envelope % b'"a":1,"a":2', b'{"jsonrpc":"2.0","id":1,"id":2,"method":"service.ping"}',
        envelope % b'"a":1e400', envelope % b'"a":-1e999999999', envelope % (b'"a":' + b"9" * 5000),
        envelope % (b'"a":0.' + b"0" * 300 + b"1"), envelope % b'"a":NaN', envelope % b'"a":01', envelope % b'"a":+1',
        envelope % (b'"a":[' + b"1," * 1_000_001 + b"1]"),
    ):
        try:
            refused(host, service, body, "parseError")
        except Bad as error:
            raise Bad("%.60r (%d bytes): %s" % (body, len(body), error))
    with Raw(host, service) as raw:
        raw.frame(b" " * LIMIT)
        error_of(raw.answer(), "parseError")


def not_requests(host, service):
    for body in (
        1, "x", None, True, {}, {"jsonrpc": "1.0", "id": 1, "method": "service.ping"},
        {"jsonrpc": 2.0, "id": 1, "method": "service.ping"}, {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "id": 1, "method": 5}, {"jsonrpc": "2.0", "id": 1, "method": None},
        {"jsonrpc": "2.0", "id": 1, "method": "service.ping", "params": [1]},
        {"jsonrpc": "2.0", "id": 1, "method": "service.ping", "params": "x"},
        {"jsonrpc": "2.0", "id": 1, "method": "service.ping", "params": None},
        {"jsonrpc": "2.0", "id": {}, "method": "service.ping"}, {"jsonrpc": "2.0", "id": [1], "method": "service.ping"},
        {"jsonrpc": "2.0", "id": True, "method": "service.ping"}, {"id": 1, "result": 5},
    ):
        refused(host, service, body, "invalidRequest")
    for method in ("", "nothing", "rpc.", "service.ping ", "SERVICE.PING", "x" * 1_000_000, "\0", "../etc/passwd", "服务.ping"):
        refused(host, service, request(method), "methodNotFound")


def identifiers(host, service):
    for identifier in ("", "x" * 100_000, "\0\"\\", -1, 0, 1.5, 2**63 - 1, -(2**63), 2**64, 1e300, None):
        with Raw(host, service) as raw:
            raw.frame(json.dumps(request(identifier=identifier)).encode())
            answer = raw.answer()
            require("result" in answer and answer["id"] == identifier, "id %.50r came back as %.50r", identifier, answer["id"])


def batches(host, service):
    ping = request()
    notification = {"jsonrpc": "2.0", "method": "service.ping"}
    refused(host, service, [], "invalidRequest")
    refused(host, service, [ping] * 1025, "limitExceeded")
    with Raw(host, service) as raw:
        raw.frame(json.dumps([notification] * 1024).encode())
        raw.frame(json.dumps([[ping], ping, 5, [[[]]], request("nothing", 9), notification]).encode())
        answers = raw.answer()
        require(isinstance(answers, list) and len(answers) == 5, "batch: %.300s", json.dumps(answers))
        kinds = [answer.get("error", {}).get("data", {}).get("kind", "result") for answer in answers]
        require(kinds == ["invalidRequest", "result", "invalidRequest", "invalidRequest", "methodNotFound"], "%s", kinds)
        raw.frame(json.dumps([request("rpc.discover", number) for number in range(1024)]).encode())
        answer = raw.answer()
        require(isinstance(answer, list) or error_of(answer, "limitExceeded"), "a large batch")


def pipelining(host, service):
    """10,000 requests whose answers nobody reads, while others are served; then all the answers."""
    with Raw(host, service) as raw:
        raw.socket.setblocking(False)
        data = b"".join(
            struct.pack(">I", len(body)) + body
            for body in (json.dumps(request("rpc.discover", number)).encode() for number in range(10_000)))
        sent, deadline = 0, time.monotonic() + 3
        while sent < len(data) and time.monotonic() < deadline:
            try:
                sent += raw.socket.send(data[sent:sent + 65536])
            except BlockingIOError:
                time.sleep(0.01)
                if sent > 0 and time.monotonic() > deadline - 2.5:
                    break
        host.once(service, "service.ping")
        memory = host.metric(service, "residentMemoryBytes")
        require(memory < 512 << 20, "%d MiB of memory for one client that does not read", memory / (1 << 20))
    with Raw(host, service) as raw:
        body = b"".join(
            struct.pack(">I", len(body)) + body
            for body in (json.dumps(request(identifier=number)).encode() for number in range(10_000)))
        pid = os.fork()
        if pid == 0:
            raw.send(body)
            os._exit(0)
        seen = {raw.answer()["id"] for _ in range(10_000)}
        os.waitpid(pid, 0)
        require(len(seen) == 10_000, "%d of 10000 requests were answered", len(seen))


class SilentHalves:
    """Half a frame on each service, then silence: the service ends the connection after its timeout, not before."""

    TIMEOUT = 30

    def __init__(self, host):
        self.began = time.monotonic()
        self.raws = {}
        for service in SERVICES:
            self.raws[service] = Raw(host, service)
            self.raws[service].send(struct.pack(">I", 5000) + PING)

    def check(self):
        left = self.began + self.TIMEOUT + 5 - time.monotonic()
        for service, raw in self.raws.items():
            raw.socket.settimeout(max(left, 1))
            try:
                raw.ends()
            except TimeoutError:
                raise Bad("%s keeps half a frame for longer than %d s" % (service, self.TIMEOUT))
            raw.socket.close()


def crowds(host, count=1000):
    """Many connections that say nothing to each socket, and good clients beside them."""
    before = {service: host.metric(service, "openDescriptors") for service in SERVICES}
    silent = []
    try:
        for service in SERVICES + ("nbd",):
            for _ in range(count):
                silent.append(Raw(host, service))
        for service in SERVICES:
            began = time.monotonic()
            host.once(service, "service.ping")
            host.once(service, "service.status")
            require(time.monotonic() - began < PROMPT, "%s took %.1f s", service, time.monotonic() - began)
    finally:
        for raw in silent:
            raw.socket.close()
    for service in SERVICES:
        host.wait_for(
            "%s to give its descriptors back (%d before)" % (service, before[service]), 5,
            lambda: host.metric(service, "openDescriptors") <= before[service] + 5)


def run(report, host, seed):
    for service in SERVICES:
        report.run("%s: broken frames" % service, broken_frames, host, service)
        report.run("%s: garbage, seed %s" % (service, seed), garbage, host, service, seed)
        report.run("%s: half frames and half-closed connections" % service, half_frames, host, service)
        report.run("%s: what is not JSON" % service, not_json, host, service)
        report.run("%s: what is no request" % service, not_requests, host, service)
        report.run("%s: identifiers" % service, identifiers, host, service)
        report.run("%s: batches" % service, batches, host, service)
        report.run("%s: pipelining" % service, pipelining, host, service)
    report.run("1,000 silent connections to each socket", crowds, host)
