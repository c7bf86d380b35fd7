"""A motor that Prometheus watches, with a crash report in case.

    pip install '.[metrics]'  # in a clone of the repository
    python metrics.py
    python metrics.py --address "tcp://*:5555" --port 9100 --seconds 3600

Then open http://127.0.0.1:9100/metrics, or have Prometheus do so (docs/monitoring.md).
"""

from __future__ import annotations

import argparse
import contextlib
import time

from laplace_server import ServerLHC, crash_report
from laplace_server.metrics import serve_metrics
from laplace_server.protocol import DEVICE_MOTOR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="tcp://127.0.0.1:*")
    parser.add_argument("--port", type=int, default=0, help="of the metrics; 0: any free one")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()

    print(f"stage: a crash would be told in {crash_report.enable()}")
    server = ServerLHC("stage", options.address, 1, DEVICE_MOTOR, {"positions": [0.0]})
    server.set_on_position_changed(lambda positions: server.set_data({"positions": positions}))
    with server, serve_metrics(server, options.port) as endpoint:
        print(f"stage: listening on port {server.server_port}", flush=True)
        print(f"stage: metrics at http://127.0.0.1:{endpoint.port}/metrics", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(options.seconds)
    print("stage: stopped", flush=True)


if __name__ == "__main__":
    main()
