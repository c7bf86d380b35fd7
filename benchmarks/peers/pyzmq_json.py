"""Plain pyzmq: a REP socket in a thread, with recv_json and send_json.

What a lab writes in an afternoon. The address is that of the socket.
"""

from __future__ import annotations

import threading
from typing import Any

import zmq

from peers.device import Device
from peers.work import Work, begin_company

REQUIREMENT = "pyzmq==27.3.0"
CANNOT: dict[str, str] = {}


def serve(work: Work) -> str:
    """Answer in a thread; return the address."""
    device = Device(work)
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")

    def run() -> None:
        while True:
            request: Any = socket.recv_json()
            socket.send_json(device.answer(request))

    threading.Thread(target=run, daemon=True).start()
    begin_company(work, device.publish)
    return f"tcp://127.0.0.1:{port}"
