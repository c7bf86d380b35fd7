"""What a callback of a device can do wrong, by the name that a request has for it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def _raise(server: Any, data: dict[str, Any]) -> None:
    raise RuntimeError("a callback that raises, on purpose")


def _hang(server: Any, data: dict[str, Any]) -> None:
    time.sleep(data["seconds"])


def _call_back(server: Any, data: dict[str, Any]) -> None:
    """Ask its own server: a read, which is answered, and what only this thread could carry out."""
    from laplace_server.client import ClientLHC
    from laplace_server.errors import RequestTimeout
    from reliability.common.setting import security_of_client

    security = security_of_client(data["keys"])
    with ClientLHC(server.address, timeout_s=5, security=security) as client:
        assert "positions" in client.get()
        with contextlib.suppress(RequestTimeout):
            client.opt({"who": data["who"], "number": data["inner"]}, timeout_s=0.2)
            raise AssertionError("carried out within a callback")


def _stop(server: Any, data: dict[str, Any]) -> None:
    server.stop()


def _fork(server: Any, data: dict[str, Any]) -> None:
    child = os.fork()
    if child == 0:
        time.sleep(data["seconds"])
        os._exit(0)


def _exit(server: Any, data: dict[str, Any]) -> None:
    sys.exit(3)


def _die(server: Any, data: dict[str, Any]) -> None:
    os._exit(3)


MISBEHAVIOUR: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "raise": _raise,
    "hang": _hang,
    "call back": _call_back,
    "stop": _stop,
    "fork": _fork,
    "exit": _exit,
    "die": _die,
}
