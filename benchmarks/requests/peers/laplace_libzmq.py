"""A device program whose ServerLHC leaves its messages to libzmq. The address is ZeroMQ's."""

from __future__ import annotations

from benchmarks.requests.peers import laplace
from benchmarks.requests.work import Work

CANNOT: dict[str, str] = {}


def serve(work: Work) -> str:
    """Start a server, and what goes on beside it."""
    return laplace.serve(work, transport="libzmq")
