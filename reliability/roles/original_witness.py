"""A witness as programs of 0.2.0 are: pyzmq's REQ, and messages made by its ``protocol``.

Settings: as of ``witness``; it follows nothing. ``import_from`` is the folder of 0.2.0.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from reliability.common.accounts import Account
from reliability.common.journal import ANSWERED, UNKNOWN, Outcomes
from reliability.common.program import commands, say


class Witness(threading.Thread):
    """Asks; after a time-out it takes another socket, and sends nothing twice."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(name="asking", daemon=True)
        self.account = Account()
        self.answered = threading.Event()
        self.over = threading.Event()
        self._settings = settings

    def run(self) -> None:
        """Ask until it is over."""
        import zmq

        from laplace_server import protocol

        outcomes = Outcomes(Path(self._settings["outcomes"]))
        context = zmq.Context()
        number, socket = 0, None
        while not self.over.wait(self._settings["pause_s"]):
            if socket is None:
                socket = context.socket(zmq.REQ)
                socket.linger = 0
                socket.rcvtimeo = round(self._settings["timeout_s"] * 1000)
                socket.connect(self._settings["address"])
            data = {"who": self._settings["who"], "number": number}
            socket.send_json(protocol.make_opt_update("original", "device", data=data))
            number += 1
            try:
                reply: Any = socket.recv_json()
            except zmq.Again:
                socket.close()
                socket = None
                outcomes.note(UNKNOWN)
                continue
            if reply["error_msg"] is None:
                outcomes.note(ANSWERED)
                self.answered.set()
            else:
                outcomes.note(UNKNOWN)
        outcomes.close()
        context.destroy(0)


def main(settings: dict[str, Any]) -> None:
    """Ask until told to finish."""
    sys.path.insert(0, settings["import_from"])
    witness = Witness(settings)
    witness.start()
    say(ready=witness.answered.wait(30))
    for _ in commands():
        witness.over.set()
        witness.join()
        say(**witness.account.report())
        return
