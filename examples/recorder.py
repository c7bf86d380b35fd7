"""Record a stream to disk, whole, or with a note of what is missing.

    pip install '.[arrays]'  # in a clone of the repository
    python recorder.py --stream images --folder run7
    python recorder.py --stream images --folder run7 --check      reads it and adds up
    python recorder.py --nats nats://broker:4222 --device camera --stream images   out of NATS

Keys are those of `laplace-server keys trust ADDRESS FILE`, if any. Where it ends without being able
to record, such as by a key that is not allowed, it says why, and its status is 1.

It begins with the oldest update that the server still has, goes on where it ended when it is
started again, and follows a server that is restarted. In the folder are

    images.jsonl   one line of JSON for each update, gap and restart, in the order of the stream
    images.raw     the arrays, one after the other

and the lines are

    {"epoch": 5, "seq": 7, "timestamp": 1.5, "data": {"shot": 7, "image": null},
     "arrays": [{"path": ["image"], "dtype": "<u2", "shape": [480, 640], "at": 0}], "raw": 614400}
    {"epoch": 5, "gap": [8, 12], "raw": 614400}         updates 8 to 12 are lost
    {"epoch": 6, "restart_after": 12, "complete": false, "raw": 614400}

where "at" is the place of an array in the raw file and "raw" the size of that file so far. After a
restart numbers begin with 1 again; "complete" tells whether the epoch before is known to have ended
with that update, or whether there may have been more, of which nobody knows.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import numpy as np

from laplace_server.client import ClientLHC
from laplace_server.errors import LaplaceError
from laplace_server.security import ClientSecurity
from laplace_server.stream import EndedEpoch, Subscription, Update

FLUSH_S = 0.5  # what was recorded in this time is asked for again after a crash


class Recording:
    """The two files. A recording that was broken off is gone on with."""

    def __init__(self, folder: Path, stream: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        log_path, raw_path = paths_of(folder, stream)
        self.epoch, self.last, self.size = 0, 0, 0
        line = last_line_of(log_path)
        if line is not None:
            self.epoch, self.size = line["epoch"], line["raw"]
            self.last = line["seq"] if "seq" in line else line.get("gap", [0, 0])[1]
        self.recorded = self.lost = 0  # since this start
        with ExitStack() as files:
            self._log = files.enter_context(open(log_path, "ab"))
            # Without a buffer: what a line tells of is in the file before the line is.
            self._raw = files.enter_context(open(raw_path, "ab", buffering=0))
            if self._raw.tell() < self.size:
                raise ValueError(f"{raw_path} is shorter than {log_path} says")
            self._raw.truncate(self.size)  # arrays whose line was never written
            self._files = files.pop_all()

    def take(self, update: Update, ended: Sequence[EndedEpoch]) -> None:
        """Write an update, and before it what is missing."""
        if update.epoch != self.epoch:
            if self.epoch:
                self._write_restart(update.epoch, ended)
            self.epoch, self.last = update.epoch, 0
        self._write_gap(update.seq)
        arrays: list[dict[str, Any]] = []
        line = {
            "epoch": update.epoch,
            "seq": update.seq,
            "timestamp": update.timestamp,
            "data": self._without_arrays(update.data, [], arrays),
            "arrays": arrays,
        }
        self._write(line)
        self.last = update.seq
        self.recorded += 1

    def _write_gap(self, following: int) -> None:
        """Write down what is missing before that number, if anything is."""
        first, last = self.last + 1, following - 1
        if last >= first:
            say(f"updates {first:,} to {last:,} are lost")
            self._write({"epoch": self.epoch, "gap": [first, last]})
            self.lost += last - first + 1
            self.last = last

    def _write_restart(self, epoch: int, ended: Sequence[EndedEpoch]) -> None:
        """Write down how the epoch before ended, as far as is known."""
        complete = False
        for account in ended:
            if account.epoch == self.epoch:
                self._write_gap(account.last + 1)
                complete = account.complete
        more = "" if complete else ", or later: what came after is not known"
        say(f"the server was restarted after update {self.last:,}{more}")
        self._write({"epoch": epoch, "restart_after": self.last, "complete": complete})

    def _without_arrays(self, value: Any, path: list[Any], arrays: list[dict[str, Any]]) -> Any:
        """Write the arrays in the value to the raw file, with null in the place of each."""
        if isinstance(value, dict):
            return {k: self._without_arrays(v, [*path, k], arrays) for k, v in value.items()}
        if isinstance(value, list):
            return [self._without_arrays(v, [*path, i], arrays) for i, v in enumerate(value)]
        if not isinstance(value, np.ndarray):
            return value
        shape, dtype = list(value.shape), value.dtype.str
        arrays.append({"path": path, "dtype": dtype, "shape": shape, "at": self.size})
        unwritten = memoryview(value.tobytes())
        self.size += len(unwritten)
        while unwritten:
            unwritten = unwritten[self._raw.write(unwritten) :]
        return None

    def _write(self, line: dict[str, Any]) -> None:
        line["raw"] = self.size
        self._log.write(json.dumps(line).encode() + b"\n")

    @property
    def start(self) -> str | tuple[int, int]:
        """Where to go on."""
        return (self.epoch, self.last) if self.epoch else "oldest"

    def flush(self) -> None:
        self._log.flush()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._files.close()


def paths_of(folder: Path, stream: str) -> tuple[Path, Path]:
    name = quote(stream, safe="")
    return folder / f"{name}.jsonl", folder / f"{name}.raw"


def last_line_of(path: Path) -> dict[str, Any] | None:
    """The last line of a log; one that was written in part is cut off."""
    if not path.exists():
        return None
    with open(path, "r+b") as log:
        size = log.seek(0, os.SEEK_END)
        block = b""
        while size and block.count(b"\n") < 2:
            step = min(size, max(len(block), 65536))
            size -= step
            log.seek(size)
            block = log.read(step) + block
        whole = block[: block.rfind(b"\n") + 1]
        log.truncate(size + len(whole))
    line: dict[str, Any] | None = json.loads(whole.splitlines()[-1]) if whole else None
    return line


def read(folder: Path, stream: str) -> Iterator[dict[str, Any]]:
    """The lines of a recording, with the arrays in their places in "data"."""
    log_path, raw_path = paths_of(folder, stream)
    with open(log_path, "rb") as log, open(raw_path, "rb") as raw:
        for text in log:
            line = json.loads(text)
            for each in line.get("arrays", ()):
                dtype, shape = np.dtype(each["dtype"]), each["shape"]
                raw.seek(each["at"])
                count = int(np.prod(shape))
                array = np.frombuffer(raw.read(count * dtype.itemsize), dtype).reshape(shape)
                *path, last = each["path"]
                container = line["data"]
                for step in path:
                    container = container[step]
                container[last] = array
            yield line


def check(folder: Path, stream: str) -> int:
    """Read a recording and say of each epoch what there is; 1 if it does not add up."""
    accounts: dict[int, list[int]] = {}
    faults = 0
    for line in read(folder, stream):
        account = accounts.setdefault(line["epoch"], [0, 0, 0])  # last, recorded, lost
        if "restart_after" in line:
            continue
        first, last = line.get("gap") or (line["seq"], line["seq"])
        faults += first != account[0] + 1
        account[0] = last
        account[2 if "gap" in line else 1] += last - first + 1
    for epoch, (last, recorded, lost) in accounts.items():
        say(f"epoch {epoch}: of {last:,} updates {recorded:,} recorded, {lost:,} lost")
    say(f"{faults} faults in the log" if faults else "adds up")
    return 1 if faults else 0


def say(text: str) -> None:
    print(f"recorder: {text}", flush=True)


def record(
    subscription: Subscription, recording: Recording, ending: threading.Event, seconds: float | None
) -> None:
    """Write updates until the end."""
    end = None if seconds is None else time.monotonic() + seconds
    due = 0.0
    while not ending.is_set():
        now = time.monotonic()
        if now >= due:
            recording.flush()
            due = now + FLUSH_S
        if end is not None and now >= end:
            return
        try:
            update = subscription.next(timeout=FLUSH_S)
        except TimeoutError:
            continue
        recording.take(update, subscription.ended)


@contextmanager
def following(options: argparse.Namespace, start: Any) -> Iterator[Subscription]:
    """Follow the stream, at its server or out of NATS.

    It waits for a server, or a stream, that is not there yet, and the log says so.
    """
    if options.nats is not None:
        from laplace_server.relay import follow  # it takes the extra "nats"

        with follow(options.nats, options.device, options.stream, start=start) as subscription:
            yield subscription
        return
    security = ClientSecurity.find(options.address)
    with (
        ClientLHC(options.address, name="recorder", security=security) as client,
        client.subscribe(options.stream, start=start) as subscription,
    ):
        yield subscription


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--address",
        type=full_address,
        default="tcp://127.0.0.1:5555",
        help="of the server: tcp://host:port, or host:port (default: %(default)s)",
    )
    parser.add_argument("--nats", help="record what a relay has brought there: nats://host:port")
    parser.add_argument("--device", default="camera", help="what it is called in NATS")
    parser.add_argument("--stream", default="images", help="which one (default: %(default)s)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("recording"),
        help="where the two files are, or will be (default: %(default)s)",
    )
    parser.add_argument("--seconds", type=float, help="end after this time (default: never)")
    parser.add_argument("--check", action="store_true", help="read what was recorded, and end")
    options = parser.parse_args()
    try:
        if options.check:
            return check(options.folder, options.stream)
        return record_until_told(options)
    except (OSError, ValueError, ImportError) as error:  # a wrong argument, folder or file
        say(str(error))
        return 1


def full_address(text: str) -> str:
    return text if "://" in text else f"tcp://{text}"


def record_until_told(options: argparse.Namespace) -> int:
    """Record until a signal, or for a time; 1 where it could not to the end."""
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    trouble: str | None = None
    with Recording(options.folder, options.stream) as recording:
        try:
            with following(options, recording.start) as subscription:
                where = options.nats or options.address
                say(f"recording {options.stream} of {where} into {options.folder}")
                record(subscription, recording, ending, options.seconds)
                if not subscription.server_ended:
                    trouble = subscription.trouble
        except LaplaceError as error:
            trouble = str(error)
        say(f"{recording.recorded:,} updates recorded, {recording.lost:,} lost")
    if trouble is not None:
        say(f"not recorded to the end: {trouble}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
