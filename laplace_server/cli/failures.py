"""How commands fail: one line on stderr and a status, never a traceback.

Status 1: nobody answered, the server answered with an error, or a port is taken. Status 2: an
argument is wrong. Status 130: interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import typer

FAILED = 1
USAGE = 2
INTERRUPTED = 130

NATS_SCHEMES = ("nats://", "tls://")  # of an address there: it answers for no device

# What asks a command to end. On Windows, SIGBREAK is Ctrl-Break and a console that is closed.
ENDING_SIGNALS = [signal.SIGINT, signal.SIGTERM]
if sys.platform == "win32":
    ENDING_SIGNALS.append(signal.SIGBREAK)


def fail(text: str, status: int = FAILED) -> NoReturn:
    """Say why on stderr and exit."""
    sys.stderr.write(f"laplace-server: {text}\n")
    raise typer.Exit(status)


def give_up_output(error: OSError) -> None:
    """Say on stderr that stdout takes nothing, and see to it that the end does not fail, too."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"laplace-server: the output cannot be written: {error}\n")
        sys.stderr.flush()
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())  # what is left there is written once more at the end
        os.close(null)


@contextmanager
def failures_told() -> Iterator[None]:
    """Turn the expected exceptions of a command's body into its message and exit status."""
    import zmq

    from laplace_server.errors import LaplaceError, RemoteError, RequestTimeout

    try:
        yield
    except RequestTimeout as error:
        if isinstance(error.__cause__, RemoteError):  # there is no such stream
            if error.address.startswith(NATS_SCHEMES):
                fail(f"{error.__cause__}.")
            fail(f"{error.address} answered {error.cmd} with an error: {error.__cause__}")
        why = "" if error.reason is None else f": {error.reason}"
        fail(f"no answer from {error.address} within {error.timeout_s:g} s{why}.")
    except RemoteError as error:
        if error.address.startswith(NATS_SCHEMES):
            fail(str(error))
        fail(f"{error.address} answered {error.cmd} with an error: {error}")
    except (LaplaceError, zmq.ZMQError) as error:
        fail(str(error))
    except ValueError as error:
        fail(str(error), USAGE)
    except KeyboardInterrupt:
        fail("interrupted.", INTERRUPTED)
