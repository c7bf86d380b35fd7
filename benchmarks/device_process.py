"""A device program for the benchmarks: one server, maybe beside a thread that computes.

    python device_process.py FOLDER '{"data": "frozen", "busy": true}'

FOLDER, when not empty, is put first on the import path, so that the same program runs with any
package of this name. It prints its port, and ends when its standard input closes.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from typing import Any

DATA = {"x": 1.25, "y": -3.5}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def compute() -> None:
    number = 1
    while True:
        number = (number * 5 + 3) % 1000003


def main() -> None:
    folder, settings = sys.argv[1], json.loads(sys.argv[2])
    if folder:
        sys.path.insert(0, folder)
    from laplace_server import ServerLHC

    port = free_port()
    values: dict[str, Any] = dict(DATA)
    if settings.get("floats"):
        values = {"spectrum": [number / 7 for number in range(settings["floats"])]}
    server = ServerLHC("device", f"tcp://127.0.0.1:{port}", 2, "MOTOR", dict(values))
    server.daemon = True
    aliased = values
    server.set_data(aliased if settings.get("data") == "live" else json.loads(json.dumps(values)))
    if settings.get("callback_s"):
        server.set_on_position_changed(lambda positions: time.sleep(settings["callback_s"]))
    elif settings.get("callback"):
        server.set_on_position_changed(lambda positions: None)
    server.start()
    if settings.get("busy"):
        threading.Thread(target=compute, daemon=True).start()
    print(port, flush=True)
    sys.stdin.read()
    sys.stdout.flush()
    # The original's stop() hangs on a loopback bind.
    import os

    os._exit(0)


if __name__ == "__main__":
    main()
