"""Plain pyzmq: a REP socket in a thread, with orjson for the JSON.

The same as ``pyzmq_json`` by someone who wants it fast. The address is that of the socket.
"""

from __future__ import annotations

import threading

import orjson
import zmq

from peers.device import Device
from peers.work import Work, begin_company

REQUIREMENT = "pyzmq==27.3.0 orjson==3.13.0"
CANNOT: dict[str, str] = {}


def serve(work: Work) -> str:
    """Answer in a thread; return the address."""
    device = Device(work)
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")

    def run() -> None:
        while True:
            socket.send(orjson.dumps(device.answer(orjson.loads(socket.recv()))))

    threading.Thread(target=run, daemon=True).start()
    begin_company(work, device.publish)
    return f"tcp://127.0.0.1:{port}"
