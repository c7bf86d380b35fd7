"""Record a stream and, when started again, go on exactly where it stopped.

    python goes_on.py --address tcp://127.0.0.1:5555 --stream shots --file shots.jsonl

Each update becomes a line of JSON:

    {"seq": 7, "epoch": 5, "timestamp": 1.5, "data": {"shot": 7, "energy_J": 1.2}, "lost_before": 0}

Epoch and number of the last line are the position: with them it subscribes again. They are in one
line with the data, so no crash comes between the two: each update is recorded once, or told as lost
where the server does not have it any more. A server that was restarted has another epoch, and is
recorded from its first update on. (recorder.py also keeps images, and checks what it has.)
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from pathlib import Path

from laplace_server.client import ClientLHC
from laplace_server.errors import LaplaceError
from laplace_server.security import ClientSecurity
from laplace_server.stream import Subscription, Update

WAIT_S = 0.5  # until it looks whether it is to end


def position_of(path: Path) -> tuple[int, int] | None:
    """Epoch and number of the last whole line; what a crash has left behind it is cut off."""
    position, size = None, 0
    with open(path, "a+b") as file:
        file.seek(0)
        for line in file:
            if line.endswith(b"\n"):
                record = json.loads(line)
                position, size = (record["epoch"], record["seq"]), size + len(line)
        file.truncate(size)
    return position


def line_of(update: Update) -> bytes:
    # Arrays become lists; for large ones, see recorder.py.
    text = json.dumps(update._asdict(), default=lambda array: array.tolist())
    return text.encode() + b"\n"


def record(
    updates: Subscription, path: Path, ending: threading.Event, seconds: float | None
) -> tuple[int, int]:
    """Write updates until the end; how many, and how many were lost before them."""
    end = None if seconds is None else time.monotonic() + seconds
    recorded = lost = 0
    with open(path, "ab") as file:
        while not ending.is_set() and (end is None or time.monotonic() < end):
            try:
                taken = updates.take(timeout=WAIT_S)
            except TimeoutError:
                continue
            file.writelines(map(line_of, taken))
            file.flush()  # from now on also a crash of this program loses none of them
            recorded += len(taken)
            lost += sum(update.lost_before for update in taken)
    return recorded, lost


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="tcp://127.0.0.1:5555")
    parser.add_argument("--stream", default="shots")
    parser.add_argument("--file", type=Path, default=Path("shots.jsonl"))
    parser.add_argument("--seconds", type=float, help="end after this time (default: never)")
    options = parser.parse_args()

    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    position = position_of(options.file)
    print("from the oldest update on" if position is None else f"after {position}", flush=True)
    try:
        security = ClientSecurity.find(options.address)
        with (
            ClientLHC(options.address, security=security) as client,
            client.subscribe(options.stream, start=position or "oldest") as updates,
        ):
            recorded, lost = record(updates, options.file, ending, options.seconds)
    except LaplaceError as error:
        print(f"not recorded: {error}")
        return 1
    print(f"{recorded:,} updates recorded, {lost:,} lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
