"""A ServerLHC that publishes over libzmq, a ClientLHC that subscribes. The address is ZeroMQ's."""

from __future__ import annotations

from benchmarks.streams.peers import laplace
from benchmarks.streams.work import StreamWork

CANNOT = laplace.CANNOT
subscribe = laplace.subscribe


def produce(work: StreamWork) -> laplace.LaplaceProducer:
    """Start a server."""
    return laplace.LaplaceProducer(work, transport="libzmq")
