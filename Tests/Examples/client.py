#!/usr/bin/env python3
"""client.py SOCKET METHOD [PARAMS]: calls a method of an FTVS service, and follows it where it is a subscription."""
import json, socket, struct, sys


def send(connection, message):
    text = json.dumps(message).encode()
    connection.sendall(struct.pack(">I", len(text)) + text)


def receive(stream):
    header = stream.read(4)
    if len(header) < 4:
        sys.exit("the service closed the connection")
    return json.loads(stream.read(struct.unpack(">I", header)[0]))


def main(path, method, params="{}"):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    stream = connection.makefile("rb")
    send(connection, {"jsonrpc": "2.0", "id": 1, "method": method, "params": json.loads(params)})
    answer = receive(stream)
    if "error" in answer:
        sys.exit(f"{answer['error']['data']['kind']}: {answer['error']['message']}")
    print(json.dumps(answer["result"]), flush=True)
    while "subscription" in answer["result"]:
        notification = receive(stream)["params"]
        if "event" not in notification:
            sys.exit(notification["end"] and notification["end"]["message"])
        print(json.dumps(notification["event"]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
