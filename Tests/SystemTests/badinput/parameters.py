"""Wrong parameters for every method, derived from what each service says about itself."""

import json
import re

from .frames import Raw, check_error
from .host import SERVICES, require

MISSING = object()
VALUES = (
    None, True, -1, 0, 2**63 - 1, 2**63, 1.5, "", "x" * 1_000_000, "\0\n", "../..", [], [[]], {}, {"a": {"b": [{}]}},
)
# What a request says beside the parameter that is wrong: names of nothing, so that what is accepted has no effect.
HARMLESS = {
    "volume": "no-such-volume", "image": "no-such-image", "name": "no-such-vm", "module": "cpu0", "leg": "io0",
    "job": 999999, "path": 0, "snapshot": "no-such-snapshot", "checkpoint": "no-such-checkpoint", "sizeBytes": 1 << 20,
    "incarnation": "0" * 32, "processID": 1, "sequence": 0, "subscription": 0, "clientUserID": 0, "offsetBytes": 0,
    "countBytes": 512, "data": "", "definition": "<domain/>", "autostart": False, "alerts": [], "sequences": [],
    "keys": ["ctrl"], "action": "keep",
}
# What these do to a module that exists is no bad input: they get nothing that would be accepted.
EFFECTIVE = re.compile(
    r"hardware\.(fail|insert|offline|online|remove|heartbeat|attachModuleAgent)|service\.forceLeg|alert\.acknowledge")
COMMON = ("forbidden", "limitExceeded", "requestKeyExpired", "requestKeyReused")


def fits(schema, value):
    """Whether the API says that it accepts the value. None stands for a parameter that is left out."""
    kind = schema.get("type")
    if kind == "string":
        return isinstance(value, str) and value in schema.get("enum", [value]) and bool(
            re.fullmatch(schema.get("pattern", ".*"), value, re.DOTALL))
    if kind == "integer":
        return (isinstance(value, int) and not isinstance(value, bool)
                and schema.get("minimum", -(2**63)) <= value <= schema.get("maximum", 2**63 - 1))
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "array":
        return isinstance(value, list) and all(fits(schema["items"], item) for item in value)
    return isinstance(value, dict)


def ask(raw, method, parameters, literal=None):
    """Sends one request and returns its answer. `literal` stands in the text where "@@" is."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
    raw.frame((body.replace('"@@"', literal) if literal else body).encode())
    while True:
        answer = raw.answer()
        require(answer is not None, "the connection ended")
        if "method" in answer:
            continue
        # A number that is none makes the whole message unreadable; its identifier, too.
        if answer["id"] is None or answer["id"] == 1:
            return answer


def judge(method, parameter, value, answer):
    """What may be answered to one value of one parameter."""
    what = "%s %s=%.60r" % (method["name"], parameter["name"], value)
    error = answer.get("error")
    if error is None:
        accepted = value is None and not parameter["required"] or value is not None and fits(parameter["schema"], value)
        require(accepted, "%s was accepted: %.200s", what, json.dumps(answer))
        return
    kind = error["data"]["kind"]
    declared = [known["data"]["kind"] for known in method["errors"]]
    try:
        check_error(error["code"], kind, error["message"], ["invalidParams", *declared, *COMMON])
    except Exception as problem:
        raise type(problem)("%s: %s" % (what, problem))
    if value is None or fits(parameter["schema"], value):
        return
    require(kind == "invalidParams", "%s: %s instead of invalidParams: %s", what, kind, error["message"])
    member = error["data"].get("member", "")
    require(member.startswith("params." + parameter["name"]), "%s is blamed on %r: %s", what, member, error["message"])


def wrong_parameters(host, service):
    for method in host.document(service)["methods"]:
        name = method["name"]
        harmless = {p["name"]: HARMLESS[p["name"]] for p in method["params"] if p["required"]}
        # A connection for each method: subscriptions that are accepted end with it.
        with Raw(host, service) as raw:
            answer = ask(raw, name, {**harmless, "noSuchParameter": 1})
            require(answer.get("error", {}).get("data", {}).get("kind") == "invalidParams",
                    "%s with an unknown parameter: %.200s", name, json.dumps(answer))
            for parameter in method["params"]:
                wrong_values(raw, method, parameter, harmless)


def wrong_values(raw, method, parameter, harmless):
    name, key = method["name"], parameter["name"]
    if parameter["required"]:
        answer = ask(raw, name, {k: v for k, v in harmless.items() if k != key})
        require("error" in answer, "%s without %s: %.200s", name, key, json.dumps(answer))
        judge(method, {**parameter, "required": True}, None, answer)
    for value in VALUES:
        accepted = fits(parameter["schema"], value) or value is None and not parameter["required"]
        if accepted and EFFECTIVE.match(name):
            continue
        judge(method, parameter, value, ask(raw, name, {**harmless, key: value}))
    for literal in ("1e400", "-1e400", "9" * 300, "1e18", "-0"):
        if EFFECTIVE.match(name) and parameter["schema"].get("type") == "integer":
            continue
        error = ask(raw, name, {**harmless, key: "@@"}, literal).get("error")
        require(error is None or error["data"]["kind"] != "internalError", "%s %s=%s: %s", name, key, literal, error)


def run(report, host):
    for service in SERVICES:
        # Large texts in alerts are cut or refused; none is lost silently.
        report.run("%s: wrong parameters of every method" % service, wrong_parameters, host, service)
