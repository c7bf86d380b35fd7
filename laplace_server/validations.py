"""Checks of messages and of constructor arguments.

``validate_message`` and ``validate_payload`` return a sentence that goes to the client as
``error_msg``, or None when all is well; they never raise, whatever a client sent. The others raise,
since a wrong argument is the programmer's mistake. All texts are part of the wire form.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Set
from typing import Any

from laplace_server.protocol import AVAILABLE_DEVICES, LOGGER_NAME, PROTOCOL_VERSION
from laplace_server.wire.logs import Log

log = Log(LOGGER_NAME)


def validate_address(address: str) -> None:
    """Check a bind address.

    Raises:
        TypeError: it is not a str.
        ValueError: it does not start with ``tcp://``.
    """
    if not isinstance(address, str):
        raise _logged(TypeError(f"'address' must be str, not {_type_name(address)}."))
    if not address.startswith("tcp://"):
        raise _logged(ValueError(f"Address must start with 'tcp://', got '{address}'."))


def validate_port(address: str) -> None:
    """Check the port of a bind address.

    Raises:
        ValueError: there is none, or it is neither "*" nor a number from 0 to 65535, of which
            libzmq would take some digits and bind to another port.
    """
    _, colon, port = address.removeprefix("tcp://").rpartition(":")
    if not colon or not port or port.endswith("]"):
        text = (
            f"The address must be 'tcp://host:port', with '*' for any free port, got '{address}'."
        )
        raise _logged(ValueError(text))
    if port == "*":
        return
    # Short enough: Python converts no more than 4300 digits.
    digits = port.lstrip("0") or "0"
    if not (port.isascii() and port.isdigit() and len(digits) <= 5 and int(digits) <= 65535):
        text = f"The port must be from 0 to 65535, or '*' for any free one, got '{address}'."
        raise _logged(ValueError(text))


def validate_timestamp(timestamp: float) -> None:
    """Check that a time of an update is a number.

    Raises:
        TypeError: it is none.
    """
    try:
        math.isfinite(timestamp)
    except TypeError:
        text = f"'timestamp' must be a number of seconds, not {_type_name(timestamp)}."
        raise TypeError(text) from None


def validate_freedom(freedom: int) -> None:
    """Check a number of degrees of freedom.

    Raises:
        TypeError: it is not an int.
        ValueError: it is negative.
    """
    if not isinstance(freedom, int):
        raise _logged(TypeError(f"'freedom' must be int, not {_type_name(freedom)}."))
    if freedom < 0:
        raise _logged(ValueError(f"'freedom' must be positive (>=0), not {freedom}."))


def validate_device(device: str) -> None:
    """Check a kind of device.

    Raises:
        ValueError: it is not in ``AVAILABLE_DEVICES``.
    """
    if device not in AVAILABLE_DEVICES:
        raise _logged(ValueError(f"Invalid device: '{device}'. Choose among {AVAILABLE_DEVICES}."))


def validate_message(
    message: Any, *, accepted_versions: Collection[str] | None = None
) -> str | None:
    """Say what is wrong with a decoded message, or None.

    ``accepted_versions`` are the protocol versions served; None means ``PROTOCOL_VERSION`` alone.
    A field that is there but falsy counts as missing.
    """
    if not isinstance(message, dict):
        return f"Message must be dict, got {_type_name(message)}."
    version = message.get("version")
    if not (version and message.get("cmd") and message.get("from")):
        missing = next(each for each in ("version", "cmd", "from") if not message.get(each))
        return f"'message' must contain '{missing}' field."
    # The server's own are a tuple already.
    accepted = (
        accepted_versions if isinstance(accepted_versions, tuple) else _versions(accepted_versions)
    )
    if version not in accepted:
        expected = " or ".join(accepted)
        return f"Protocol version mismatch: expected {expected}, got {_shown(version)}."
    if "payload" not in message:
        return "'message' must contain a 'payload' dictionary, even if empty."
    return None


def validate_payload(message: Any, expected_keys: Iterable[str]) -> str | None:
    """Say which of ``expected_keys`` a message's payload lacks, or None."""
    payload = message.get("payload") if isinstance(message, dict) else None
    if not isinstance(payload, dict):
        error = "'payload' must be a dict."
    else:
        missing = [key for key in expected_keys if key not in payload]
        if not missing:
            return None
        error = f"Payload missing keys: {missing}."
    log.error(error)
    return error


def _versions(accepted: Collection[str] | None) -> list[str]:
    if accepted is None:
        return [PROTOCOL_VERSION]
    if isinstance(accepted, str):
        return [accepted]
    # A set has no order of its own, and an error text should not change from run to run.
    return sorted(accepted) if isinstance(accepted, Set) else list(accepted)


def _shown(value: Any) -> str:
    """Return ``str(value)``, or the type's name where Python refuses to write the value out.

    It does for integers of more than 4300 digits and for deep nesting; both can be sent.
    """
    try:
        return str(value)
    except (ValueError, RecursionError):
        return _type_name(value)


def _type_name(value: object) -> str:
    return type(value).__name__


def _logged(error: Exception) -> Exception:
    log.error(str(error))
    return error
