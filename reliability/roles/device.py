"""A device: carries out requests, publishes updates, and writes down what it did.

Settings: ``server``, arguments of ServerLHC; ``keys``; ``journal``, the beginning of the names of
its files; ``updates_per_s``, 0 for none; ``data_values``, floats in its data.
"""

from __future__ import annotations

import ctypes
import resource
import threading
import time
from pathlib import Path
from typing import Any

from reliability.common.journal import Applied, Published
from reliability.common.program import commands, say
from reliability.common.setting import security_of_server
from reliability.roles.misbehaviour import MISBEHAVIOUR

ARRAY_EACH = 10  # updates


def main(settings: dict[str, Any]) -> None:
    """Serve until told to stop."""
    from laplace_server import ServerLHC

    arguments = dict(settings["server"])
    if settings["keys"] is not None:
        arguments["security"] = security_of_server(settings["keys"])
    server = ServerLHC("device", settings["address"], 1, "MOTOR", {}, **arguments)
    applied = Applied(Path(settings["journal"] + ".applied"))

    def carry_out(data: dict[str, Any]) -> None:
        applied.note(data["who"], data["number"])
        if "do" in data:
            MISBEHAVIOUR[data["do"]](server, data)

    server.set_on_opt(carry_out)
    server.set_data({"positions": [0.0] * settings["data_values"]})
    publishing = None
    server.start()
    if settings["updates_per_s"]:
        published = Published(Path(settings["journal"] + ".published"))
        publishing = Publishing(server, published, settings["updates_per_s"])
        published.note(server.epoch, 0)
    say(address=server.address)
    if publishing is not None:
        publishing.start()
    for command in commands():
        if command["do"] == "stop":
            break
        say(**answer(server, publishing, command))
    if publishing is not None:
        publishing.end()
    server.stop()
    server.join(10)
    say(alive=server.is_alive())


def answer(server: Any, publishing: Publishing | None, command: dict[str, Any]) -> dict[str, Any]:
    """Do what a line says."""
    if command["do"] == "quiet":
        assert publishing is not None
        publishing.end()
        return {"epoch": server.epoch, "last": publishing.number}
    if command["do"] == "trim":
        trim()
        return {}
    if command["do"] == "refused":
        return {kind.name: count for kind, count in server.stats().refused.items()}
    if command["do"] == "connections":
        return {"count": server.stats().connections}
    if command["do"] == "time":
        return {"time": time.time()}
    if command["do"] == "limit":  # the soft one; None: what there was
        name = getattr(resource, command["name"])
        hard = resource.getrlimit(name)[1]
        resource.setrlimit(name, (hard if command["value"] is None else command["value"], hard))
        return {}
    raise ValueError(f"no such command: {command}")


def trim() -> None:
    """Give back to the system what the C library keeps for later."""
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)


class Publishing(threading.Thread):
    """Publishes on the stream "s" at a rate; every tenth update has an array."""

    def __init__(self, server: Any, published: Published, per_s: float) -> None:
        super().__init__(name="publishing", daemon=True)
        self.number = 0
        self._server = server
        self._published = published
        self._pause_s = 1 / per_s
        self._over = threading.Event()

    def run(self) -> None:
        """Publish until it is over, or the server is."""
        import numpy as np

        while not self._over.wait(self._pause_s):
            number = self.number + 1
            data: dict[str, Any] = {"n": number}
            try:
                if number % ARRAY_EACH == 0:
                    data["array"] = np.full(1000, number % 251, "u1")
                given = self._server.publish("s", data)
            except MemoryError:
                continue  # nothing was published
            if given == 0:
                return
            self.number = given
            self._published.note(self._server.epoch, given)

    def end(self) -> None:
        """Publish no more; ``number`` is that of the last update."""
        self._over.set()
        self.join()


def intact(update: Any) -> bool:
    """Return whether an update holds what a device publishes."""
    if update.data["n"] != update.seq:
        return False
    if update.seq % ARRAY_EACH:
        return "array" not in update.data
    array = update.data["array"]
    return array.shape == (1000,) and bool((array == update.seq % 251).all())
