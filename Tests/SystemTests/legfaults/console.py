"""What a guest printed on its serial console."""

import base64
import json
import socket
import struct

from badinput.host import Bad
from protocol import Connection

HISTORY = 1 << 20
# Silence after which everything there was has come, in seconds.
QUIET = 0.3


def frame(connection):
    (length,) = struct.unpack(">I", connection.receive(4))
    return json.loads(connection.receive(length))


def read(host, name):
    """All of its log that is kept, as text."""
    connection = Connection(host.socket("vm"), timeout=10)
    request = {"jsonrpc": "2.0", "id": 1, "method": "vm.console", "params": {"name": name, "historyBytes": HISTORY}}
    body = json.dumps(request).encode()
    connection.socket.sendall(struct.pack(">I", len(body)) + body)
    answer = frame(connection)
    if "error" in answer:
        raise Bad("vm.console: %s" % answer["error"])
    connection.socket.settimeout(QUIET)
    parts = []
    try:
        while True:
            event = frame(connection)["params"].get("event")
            if event is None:
                break
            parts.append(base64.b64decode(event["data"]))
    except socket.timeout:
        pass
    finally:
        connection.close()
    return b"".join(parts).decode("utf-8", "replace")
