"""What plain pyzmq servers have in common: a REP socket in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import zmq

from benchmarks.requests.peers.device import Device
from benchmarks.requests.work import Work, begin_company


def serve(work: Work, answer: Callable[[zmq.Socket[bytes], Device], Any]) -> str:
    """Let ``answer`` receive and send for ever, in a thread; return the address."""
    device = Device(work)
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")

    def run() -> None:
        while True:
            answer(socket, device)

    threading.Thread(target=run, daemon=True).start()
    begin_company(work, device.publish)
    return f"tcp://127.0.0.1:{port}"
