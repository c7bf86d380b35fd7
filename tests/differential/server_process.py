"""A process with one ServerLHC, steered by JSON lines: a line in, a line out.

    python server_process.py '{"import_from": FOLDER or null, "server": {...}}'

The first line out tells the port. `import_from` goes first in sys.path, so that the same script
serves the original and the installed package. What "server" may hold is read in `Device`.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

faulthandler.enable()
CONFIG: dict[str, Any] = json.loads(sys.argv[1])
if CONFIG["import_from"]:
    sys.path.insert(0, CONFIG["import_from"])
    # On deep nesting the original's thread is to die of Python's limit. With a small stack, as musl
    # gives, the process would: its end says nothing, and takes the other tests with it.
    threading.stack_size(8 << 20)

import data_cases  # noqa: E402
import zmq  # noqa: E402
from describe import describe  # noqa: E402

import laplace_server  # noqa: E402

CALLBACKS = [
    "on_saving_path_changed",
    "on_position_changed",
    "on_get",
    "on_opt",
    "on_scan",
    "on_set_actuators",
    "on_set_diagnostics",
    "on_update_actuator_positions",
    "on_saving_status_toggled",
]


def answer_with_target(server: Any, message: Any, target: Any) -> None:
    """Reply in the old manner of custom handlers: on the server's socket."""
    server.socket.send_json({"seen": message, "target": target, "server": server.name})


def answer_with_list(server: Any, message: Any, target: Any) -> None:
    server.socket.send_json(["not", "an", "object", float("nan"), "\ud800é"])


def answer_with_text(server: Any, message: Any, target: Any) -> None:
    server.socket.send_string("plain é")


def answer_with_bytes(server: Any, message: Any, target: Any) -> None:
    server.socket.send(b"\xff\x00")


def answer_with_builder(server: Any, message: Any, target: Any) -> None:
    reply = laplace_server.protocol.make_message(
        cmd=message["cmd"], sender=server.name, target=target, payload={"ok": True}, msg="Done."
    )
    server.socket.send_json(reply)


def answer_and_return(server: Any, message: Any, target: Any) -> dict[str, int]:
    """Reply, and return what is no reply to the original."""
    server.socket.send_json({"sent": 1})
    return {"returned": 1}


def answer_nothing(server: Any, message: Any, target: Any) -> None:
    """Return without a reply."""


def answer_with_exception(server: Any, message: Any, target: Any) -> None:
    raise RuntimeError("on purpose")


def answer_twice(server: Any, message: Any, target: Any) -> None:
    server.socket.send_json({"reply": 1})
    server.socket.send_json({"reply": 2})


def answer_with_object(server: Any, message: Any, target: Any) -> None:
    server.socket.send_json({"cannot be sent": object()})


HANDLERS: dict[Any, Callable[[Any, Any, Any], object]] = {
    "ECHO": answer_with_target,
    "é CUSTOM": answer_with_target,
    "LIST": answer_with_list,
    "TEXT": answer_with_text,
    "BYTES": answer_with_bytes,
    "BUILDER": answer_with_builder,
    "RETURN": answer_and_return,
    # Keys are looked up as in any dict: 5.0 finds it too.
    5: answer_with_target,
    "NOTHING": answer_nothing,
    "EXCEPTION": answer_with_exception,
    "TWICE": answer_twice,
    "OBJECT": answer_with_object,
    # Built-in commands can be replaced.
    "PING": answer_with_target,
    "SAVE": answer_with_target,
}


class Device:
    """The server that runs now, and what its callbacks have seen."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.events: list[tuple[str, str]] = []
        self.gets = 0
        # Kept for ever: collecting an original's server can block.
        self.servers: list[Any] = []
        self.start()

    def start(self) -> int:
        """Start a server on a free port and return the port."""
        config = self.config
        self.gets = 0
        server = self._bind()
        self.servers.append(server)
        self.server = server
        for name in CALLBACKS:
            self._set_callback(server, name)
        if config.get("handlers"):
            server._handlers.update(HANDLERS)
            del server._handlers["OPT"]
        server.start()
        return int(server.server_port)

    def _bind(self) -> Any:
        config = self.config
        for _ in range(20):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            try:
                return laplace_server.ServerLHC(
                    name=config.get("name", "device"),
                    address=f"tcp://127.0.0.1:{port}",
                    freedom=2,
                    device=config.get("device", "MOTOR"),
                    data=data_cases.ALL["initial"],
                    empty_data_after_get=config.get("empty_data_after_get", False),
                    name_list=list(config.get("name_list", [])),
                    plottables_list=list(config.get("plottables_list", [])),
                )
            except zmq.ZMQError:
                continue
        raise RuntimeError("no free port in 20 attempts")

    def _set_callback(self, server: Any, name: str) -> None:
        kind = self.config.get("callbacks", "none")
        if kind == "none":
            return

        def callback(*args: Any) -> None:
            self.events.append((name, describe(args)))
            if name == "on_get" and kind == "setting":
                self.gets += 1
                server.set_data({"gets": self.gets})
            if kind == "raising":
                raise RuntimeError(f"{name} on purpose")

        # Programs do both; the original has no setter for TOGGLE SAVING.
        if self.config.get("assign"):
            setattr(server, name, callback)
        elif hasattr(server, f"set_{name}"):
            getattr(server, f"set_{name}")(callback)

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what one line asks for."""
        what = order["do"]
        if what == "events":
            events, self.events = self.events, []
            return {"events": events}
        if what == "set_data":
            try:
                self.server.set_data(data_cases.ALL[order["case"]])
            except Exception as error:
                return {"raised": type(error).__name__}
            return {"raised": None}
        if what == "empty_data":
            self.server.empty_data()
            return {}
        if what == "lists":
            self.server.name_list.append("in place é")
            self.server.plottables_list.append("in place")
            return {}
        if what == "names":
            self.server.set_name_list(["new", "names"])
            self.server.plottables_list = ["assigned"]
            return {}
        if what == "attributes":
            self.server.freedom = 5
            self.server.device = "GAS"
            return {}
        if what == "alive":
            self.server.join(order["wait_s"])
            return {"alive": self.server.is_alive()}
        if what == "restart":
            return {"port": self.restart()}
        raise ValueError(what)

    def restart(self) -> int:
        """Start another server in the place of one whose thread has died."""
        if not self.server.is_alive():
            # The original leaves its socket open; nobody else uses it any more.
            context = getattr(self.server, "context", None)
            if CONFIG["import_from"] and context is not None:
                context.destroy(linger=0)
        self.events = []
        return self.start()


def main() -> None:
    logger = logging.getLogger("laplace.server")
    # Messages are made, but what is left on stderr are crashes and dead threads.
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    logger.setLevel(CONFIG["server"].get("log_level", "WARNING"))
    # The protocol has these lines to itself; a stray print must not break it.
    out, sys.stdout = sys.stdout, sys.stderr

    def tell(answer: dict[str, Any]) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    device = Device(CONFIG["server"])
    origin = os.path.dirname(os.path.abspath(laplace_server.__file__))
    tell(
        {
            "port": int(device.server.server_port),
            "version": laplace_server.__version__,
            "origin": origin,
        }
    )
    for line in sys.stdin:
        tell(device.obey(json.loads(line)))
    if CONFIG["import_from"]:
        # The original's stop() hangs when bound to loopback.
        sys.stderr.flush()
        os._exit(0)
    device.server.stop()


if __name__ == "__main__":
    main()
