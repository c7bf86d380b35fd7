"""Read a server again and again, and move it if asked to.

    python client.py                        reads until Ctrl-C
    python client.py --move 1.5 -2 --seconds 5

Start `motor_server.py` or `qt_window.py` first. The client may be started before the server and
outlives its restarts. Keys are those of `laplace-server keys trust ADDRESS FILE`, if any.
"""

from __future__ import annotations

import argparse
import sys
import time

from laplace_server.client import ClientLHC
from laplace_server.errors import LaplaceError, RequestTimeout
from laplace_server.security import ClientSecurity


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="tcp://127.0.0.1:5555")
    parser.add_argument("--move", type=float, nargs="+", metavar="MM", help="one target per axis")
    parser.add_argument("--rate", type=float, default=5.0, help="reads per second (default: 5)")
    parser.add_argument("--seconds", type=float, help="end after this time (default: never)")
    options = parser.parse_args()

    start = time.monotonic()
    answered = 0
    try:
        security = ClientSecurity.find(options.address)  # None where nobody has trusted a server
        with ClientLHC(options.address, "example client", 2.0, security=security) as client:
            if options.move:
                client.set(options.move)
            while options.seconds is None or time.monotonic() - start < options.seconds:
                try:
                    print(client.get(), flush=True)
                    answered += 1
                except RequestTimeout as error:
                    why = error.reason or "it may be busy"
                    print(f"no answer ({why}), trying again", file=sys.stderr, flush=True)
                time.sleep(1.0 / options.rate)
    except LaplaceError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0 if answered else 1


if __name__ == "__main__":
    sys.exit(main())
