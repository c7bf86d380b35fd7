"""Put the shots of several devices together: one record for each, with what is missing and why.

    python gather_shots.py

A laser fires, and three devices see it: an energy meter that misses some shots, a camera whose
images come a shot later and whose program ends early, and a spectrometer that is read at each
second shot. All are simulated here, as three servers; of real ones, only the addresses are others.
"""

from __future__ import annotations

import argparse
import threading
import time
from contextlib import ExitStack

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.gather import Record, gather

STREAMS = {"energy": "shots", "camera": "images", "spectrum": "spectra"}


class Laser(threading.Thread):
    """Fires, and has the devices publish what they see."""

    def __init__(self, servers: dict[str, ServerLHC], shots: int, rate_hz: float) -> None:
        super().__init__(name="laser")
        self._servers = servers
        self._shots = shots
        self._period_s = 1.0 / rate_hz

    def run(self) -> None:
        for shot in range(1, self._shots + 1):
            if shot % 7:
                self._publish("energy", shot, energy_J=1.2)
            if shot % 2 == 0:
                self._publish("spectrum", shot, counts=[1, 5, 2])
            if shot == 16:
                self._servers["camera"].stop()
            elif 1 < shot < 16:
                self._publish("camera", shot - 1, image=[[0, 1], [2, 3]])
            time.sleep(self._period_s)

    def _publish(self, device: str, shot: int, **data: object) -> None:
        self._servers[device].publish(STREAMS[device], {"shot": shot, **data})


def line_of(record: Record) -> str:
    missing = ", ".join(f"{name} ({why})" for name, why in record.missing.items())
    return f"shot {record.key}: {', '.join(record.updates)}; missing: {missing or 'nothing'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=int, default=20)
    parser.add_argument("--rate", type=float, default=20.0, help="shots per second")
    parser.add_argument("--wait", type=float, default=1.0, help="seconds that a record waits")
    options = parser.parse_args()
    with ExitStack() as stack:
        servers, sources = {}, {}
        for name, stream in STREAMS.items():
            server = stack.enter_context(ServerLHC(name, "tcp://127.0.0.1:*", 0, "SHOT"))
            server.declare_stream(stream)
            client = ClientLHC(f"tcp://127.0.0.1:{server.server_port}", "gather_shots")
            servers[name], sources[name] = server, (stack.enter_context(client), stream)
        records = stack.enter_context(gather(sources, "shot", wait_s=options.wait))
        laser = Laser(servers, options.shots, options.rate)
        laser.start()
        complete = 0
        for record in records:
            print(line_of(record), flush=True)
            complete += record.complete
            if record.key == options.shots:
                break
        laser.join()
        print(f"{complete} of {options.shots} shots are complete")
        for name, stats in records.stats().items():
            print(f"{name}: {stats.gathered} of {stats.received} updates gathered")


if __name__ == "__main__":
    main()
