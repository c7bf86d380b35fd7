"""HALT: what stops the device, called while another callback may run."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from laplace_server.protocol import make_halt_reply
from laplace_server.server._core import ErrorKind, name_this_thread
from laplace_server.server.callbacks import text_of
from laplace_server.server.context import Context
from laplace_server.server.reply_socket import ReplySocket
from laplace_server.wire.stacks import large_stacks

HALTING = "HALT (on_halt)"
"""What runs, for people."""

_LOOK_S = 0.05  # between two looks whether a callback has begun that is not waited for


def halt(context: Context, socket: ReplySocket, target: Any) -> None:
    """Call ``on_halt``, and say how it went.

    That it raised is told in any case: who halts a device must know whether it still moves.
    """
    on_halt = context.on_halt
    if on_halt is None:  # taken away since the request came
        socket.send_error("Unknown command", ErrorKind.UNKNOWN_COMMAND)
        return
    problem = context.call("on_halt", on_halt, ())
    if problem is None:
        socket.send_json(make_halt_reply(context.name, target))
    else:
        socket.send_error(text_of(problem))


class HaltThread:
    """The thread that answers HALT, from the first one on; all else goes on while that takes long.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self.ident: int | None = None
        self.busy_since: float | None = None
        """When the HALT that is being answered began, of ``time.monotonic()``."""
        self._answers: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def take(self, answer: Callable[[], None]) -> None:
        """Have a HALT answered by this, which raises nothing, after those before it."""
        self._answers.put(answer)
        if not self._thread.is_alive():
            try:
                with large_stacks():
                    self._thread.start()
            except (RuntimeError, MemoryError):  # no thread to be had; the device is to stop
                self._answers.get_nowait()
                answer()

    def end(self) -> None:
        """End it; what it is in the middle of is not waited for, and carried out nevertheless."""
        self._answers.put(None)
        while self._thread.is_alive() and self.busy_since is None:
            self._thread.join(_LOOK_S)

    def _run(self) -> None:
        name_this_thread("ls-halt")
        self.ident = threading.get_ident()
        while (answer := self._answers.get()) is not None:
            self.busy_since = time.monotonic()
            answer()
            self.busy_since = None
            del answer  # it would keep the server
        self.ident = None
