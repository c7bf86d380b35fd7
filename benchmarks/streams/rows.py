"""What is measured of streams: the peers, and the rows of work they are given."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.common.bars import OURS
from benchmarks.common.suite import Row
from benchmarks.streams.streaming import NATIVE, SEALING, StreamPeer
from benchmarks.streams.work import StreamWork

OVER_LIBZMQ = "laplace-server, libzmq"
PYZMQ, P4P, GRPC = "pyzmq, orjson", "p4p", "grpcio"

PEERS = {
    peer.name: peer
    for peer in (
        StreamPeer(OURS, "laplace", "#c1440e"),
        StreamPeer(OVER_LIBZMQ, "laplace_libzmq"),
        StreamPeer(NATIVE),
        StreamPeer(SEALING, over="libsodium of pyzmq"),
        StreamPeer(PYZMQ, "pyzmq_pub"),
        StreamPeer(P4P, "pvaccess_p4p", share=0.1),
        StreamPeer(GRPC, "grpc_stream", share=0.1),
    )
}
ALL = tuple(name for name in PEERS if name != SEALING)


@dataclass(frozen=True)
class StreamRow(Row):
    """A stream, for which peers."""

    work: StreamWork
    peers: tuple[str, ...] = ALL
    per_s: float = 0.0
    """Updates per second; where they go as fast as possible, what sets their number."""
    subscribers: int = 1


ROWS = [
    StreamRow(
        "stream_small",
        "stream of small updates",
        StreamWork(waits=True),
        "through",
        per_s=500_000,
        short=True,
    ),
    StreamRow(
        "stream_copied",
        "stream of 1 MiB arrays, copied",
        StreamWork(images=True, waits=True),
        "through",
        per_s=2000,
        short=True,
    ),
    StreamRow(
        "stream_given",
        "stream of 1 MiB arrays, given away",
        StreamWork(images=True, waits=True, given=True),
        "through",
        per_s=2000,
    ),
    *(
        StreamRow(
            f"stream_curve_{kind}",
            f"stream of 1 MiB arrays over CURVE, {title}",
            StreamWork(images=True, waits=True, given=given, curve=True),
            "through",
            (OURS, NATIVE, SEALING, PYZMQ),
            per_s=1000,
        )
        for kind, title, given in (("copied", "copied", False), ("given", "given away", True))
    ),
    StreamRow(
        "stream_curve_steady",
        "stream at 1 kHz to one subscriber, over CURVE",
        StreamWork(timed=True, curve=True),
        "steady",
        (OURS, PYZMQ),
        per_s=1000,
    ),
    StreamRow(
        "stream_far",
        "stream of 1 MiB arrays over 30 ms of round trip",
        StreamWork(images=True, waits=True, round_trip_s=0.03),
        "far",
        (OURS, PYZMQ),
        per_s=500,
    ),
    StreamRow(
        "stream_steady",
        "stream at 1 kHz to one subscriber",
        StreamWork(timed=True),
        "steady",
        (OURS, OVER_LIBZMQ, PYZMQ),
        per_s=1000,
    ),
    StreamRow(
        "stream_fan_out",
        "stream at 10 kHz to 8 subscribers",
        StreamWork(timed=True),
        "fan_out",
        (OURS, OVER_LIBZMQ, PYZMQ, P4P),
        per_s=10_000,
        subscribers=8,
    ),
    *(
        StreamRow(
            f"stream_publish{rate}",
            f"publishing at {rate // 1000} kHz",
            StreamWork(timed=True),
            "publishing",
            (OURS, OVER_LIBZMQ, PYZMQ, P4P),
            per_s=rate,
            subscribers=8,
        )
        for rate in (1000, 10_000)
    ),
    StreamRow(
        "stream_busy",
        "stream at 1 kHz beside a computing thread",
        StreamWork(timed=True),
        "busy",
        (OURS, OVER_LIBZMQ, PYZMQ, P4P, GRPC),
        per_s=1000,
        short=True,
    ),
    StreamRow(
        "stream_busy_real_time",
        "stream at 1 kHz beside a computing thread, in real time",
        StreamWork(timed=True, real_time=True),
        "busy",
        (OURS, OVER_LIBZMQ, PYZMQ),
        per_s=1000,
    ),
    StreamRow(
        "stream_reads",
        "GET beside a stream of 1 MiB arrays at half its greatest rate",
        StreamWork(images=True, waits=True, spin_us=0, history_bytes=16 << 20),
        "reads",
        (OURS, OVER_LIBZMQ),
        per_s=1000,
        short=True,
    ),
]
