"""The following client of ``demo``: takes a stream until an update says that it was the last.

    python -m laplace_server.cli.measure_stream tcp://127.0.0.1:5555 --stream pulses

It prints one JSON object: received, lost, first and last (the numbers of the updates between which
these are all), seconds (from the first one's acquisition to the last one's arrival), p50_ms and
p99_ms (from acquisition to here). Each update must have the number that follows and hold that
number as ``shot``; the first wrong one, or 5 s (``--timeout``) without any, ends it with a message
and status 1.

Before it leaves the stream it sends what it found to the server as the command FOUND, so that the
server can compare that with what it wrote down itself.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from typing import Any

from laplace_server.cli.measure import WrongAnswer, percentile
from laplace_server.client import ClientLHC

NAME = "subscriber"
CMD_FOUND = "FOUND"


def measure(address: str, stream: str, timeout_s: float) -> dict[str, Any]:
    """Follow the stream to its end and return what the module says it prints.

    Raises:
        WrongAnswer: an update was wrong.
        TimeoutError: none came in time.
        LaplaceError: no such stream, or nobody there.
    """
    with (
        ClientLHC(address, name=NAME, timeout_s=timeout_s) as client,
        client.subscribe(stream, timeout_s=timeout_s) as updates,
    ):
        now = time.time
        update = updates.next(timeout_s)
        first = expected = update.seq - update.lost_before
        begun = update.timestamp
        received = 0
        latencies = []
        while True:
            latencies.append(now() - update.timestamp)
            received += 1
            if update.seq != expected + update.lost_before or update.data["shot"] != update.seq:
                raise WrongAnswer(f"update {update.seq}, expected {expected}: {update.data!r:.80}")
            expected = update.seq + 1
            if update.data["end"]:
                break
            update = updates.next(timeout_s)
        seconds = now() - begun
        latencies.sort()
        found = {
            "received": received,
            "lost": updates.lost,
            "first": first,
            "last": update.seq,
            "seconds": seconds,
            "p50_ms": percentile(latencies, 50) * 1e3,
            "p99_ms": percentile(latencies, 99) * 1e3,
        }
        client.request(CMD_FOUND, found)
    return found


def main() -> int:
    """Run the command line of this module and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m laplace_server.cli.measure_stream")
    parser.add_argument("address", help="tcp://host:port of the server")
    parser.add_argument("--stream", required=True, help="the stream to follow")
    parser.add_argument("--timeout", type=float, default=5.0, help="how long to wait for one")
    arguments = parser.parse_args()
    # A collection would show up in the 99th percentile; the loop makes no cycles.
    gc.disable()
    try:
        found = measure(arguments.address, arguments.stream, arguments.timeout)
    except (WrongAnswer, KeyError, TypeError) as error:
        print(f"wrong update: {error!r}", file=sys.stderr)
        return 1
    except Exception as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
