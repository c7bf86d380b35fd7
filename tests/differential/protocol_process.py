"""Print, as JSON, what protocol, validations and get_ip offer and do; run once per package.

    python protocol_process.py FOLDER_TO_IMPORT_FROM

An empty argument means the installed package.
"""

from __future__ import annotations

import inspect
import json
import logging
import sys
from collections import OrderedDict
from types import ModuleType
from typing import Any

if sys.argv[1]:
    sys.path.insert(0, sys.argv[1])

from describe import describe

from laplace_server import get_ip, protocol, validations

RECORDS: list[str] = []


class Recorder(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        RECORDS.append(f"{record.name} {record.levelname} {record.getMessage()}")


class Text(str):
    pass


class Number(int):
    pass


VALUES: list[Any] = [
    *(None, True, False, 0, -1, 3, 10**400, -0.0, 2.5, float("nan"), 1j),
    *("", "é\ud800", "MOTOR", "motor", "GET", "0.2.2", "0.2.2 ", "0.2.1", "%s %d"),
    *("tcp://*:5555", "tcp://", " tcp://", "TCP://x", "udp://x", b"tcp://x", b"MOTOR"),
    *([], [0], {}, {"a": [None]}, (), (1,), {"a"}, ["MOTOR"]),
    *(Text("tcp://x"), Text("SCAN"), Text("0.2.2"), Number(2), Number(-2)),
]
FULL = {"version": "0.2.2", "cmd": "GET", "from": "me", "payload": {}}


def outcome(function: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return what a call returned or raised, and what it logged."""
    RECORDS.clear()
    try:
        result = describe(function(*args, **kwargs))
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    call = f"{function.__name__}{describe(args)} {describe(kwargs)}"
    return {"call": call, "result": result, "log": list(RECORDS)}


def constants() -> dict[str, str]:
    """Return all values that protocol's public names have."""
    return {
        name: repr(value)
        for name, value in vars(protocol).items()
        if name.isupper() and isinstance(value, str | list)
    }


def signatures(module: ModuleType) -> dict[str, list[list[str]]]:
    """Return each function's parameters as [name, kind, default]."""
    return {
        name: [
            [key, parameter.kind.name, repr(parameter.default)]
            for key, parameter in inspect.signature(function).parameters.items()
        ]
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
    }


NEW = (  # what the original does not have
    "make_get_arrays_request",
    "make_get_arrays_reply",
    "make_halt",
    "make_halt_reply",
    "make_stats_request",
    "make_stats_reply",
    "make_subscribe",
    "make_subscribe_reply",
)


def builders() -> list[dict[str, Any]]:
    """Return what every make_*() makes of every value in every place."""
    outcomes = []
    for name, function in sorted(vars(protocol).items()):
        if not name.startswith("make_") or name in NEW:
            continue
        parameters = inspect.signature(function).parameters.values()
        required = [p for p in parameters if p.default is p.empty]
        for value in VALUES:
            args = [value for p in required if p.kind is p.POSITIONAL_OR_KEYWORD]
            kwargs = {p.name: value for p in required if p.kind is p.KEYWORD_ONLY}
            outcomes.append(outcome(function, *args, **kwargs))
    for value in VALUES:
        kwargs = {"cmd": "C", "sender": "s", "target": "t", "payload": value}
        outcomes.append(outcome(protocol.make_message, **kwargs, error_msg=value, msg=value))
        outcomes.append(outcome(protocol.make_message, **kwargs, version=value))
    for names in ([], ["x"]):
        about = {"device": "MOTOR", "freedom": 1, "name": "n", "capabilities": ["GET"]}
        outcomes.append(outcome(protocol.make_info_reply, "s", "t", **about, name_list=names))
        outcomes.append(outcome(protocol.make_info_reply, "s", "t", **about, plottables_list=names))
    return outcomes


def validation_outcomes() -> list[dict[str, Any]]:
    """Return what the checks say of every value in every place."""
    outcomes = []
    for value in VALUES:
        outcomes.append(outcome(validations.validate_address, value))
        outcomes.append(outcome(validations.validate_freedom, value))
        outcomes.append(outcome(validations.validate_device, value))
        outcomes.append(outcome(validations.validate_message, value))
        for field in FULL:
            outcomes.append(outcome(validations.validate_message, {**FULL, field: value}))
            # Which fault is named when there are two.
            less = {name: given for name, given in FULL.items() if name != field}
            outcomes.append(outcome(validations.validate_message, less))
            for other in less:
                outcomes.append(outcome(validations.validate_message, {**less, other: value}))
        for payload in ({**FULL, "payload": value}, {**FULL, "payload": {"a": value}}, {}):
            for keys in (["a"], ["a", "b"], ["b", "a", "b"], [], ("a",), "ab", [1, None]):
                outcomes.append(outcome(validations.validate_payload, payload, keys))
    outcomes.append(outcome(validations.validate_message, OrderedDict(FULL)))
    outcomes.append(outcome(validations.validate_payload, {"payload": OrderedDict(a=1)}, ["a"]))
    return outcomes


def main() -> None:
    logger = logging.getLogger("laplace.server")
    logger.setLevel(1)
    logger.propagate = False
    logger.addHandler(Recorder())
    seen = {
        "file": protocol.__file__,
        "constants": constants(),
        "signatures": {**signatures(protocol), **signatures(validations), **signatures(get_ip)},
        "builders": builders(),
        "validations": validation_outcomes(),
        "ip": get_ip.get_ip("me"),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
