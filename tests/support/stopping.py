"""How long stop() may take, and what it must leave."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import zmq
from support.machine import LINUX, within
from support.serving import bind

PROMPT_S = within(0.3)  # with nothing to wait for


BOUNDED_S = within(2)  # whatever there is to wait for


def timed_stop(server):
    begun = time.monotonic()
    server.stop()
    return time.monotonic() - begun


def is_used_elsewhere(port):
    """Whether a socket of somebody else has that port at another address, as far as is known.

    Whoever listens at 127.0.0.2 keeps nobody from the port of 127.0.0.1, but from that of all.
    """
    if not LINUX:
        return False
    here = {"00000000", "0100007F"}  # all of them, and 127.0.0.1
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    places = (line.split()[1].split(":") for line in lines)
    return any(int(number, 16) == port and address not in here for address, number in places)


def assert_port_is_free(server):
    port = int(server.server_port)
    # On macOS, that one can listen on all addresses says nothing of a single one.
    for host in ("*", "127.0.0.1"):
        if host == "*" and is_used_elsewhere(port):
            continue
        context = zmq.Context()
        try:
            with context.socket(zmq.REP) as socket:
                bind(socket, f"tcp://{host}:{port}")
        finally:
            context.term()


@contextlib.contextmanager
def ended(process):
    """A child process that does not outlive its test."""
    with process:
        try:
            yield process
        finally:
            process.kill()
