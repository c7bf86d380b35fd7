"""Measures one row of a stream with one peer once; each of ``KINDS`` returns named figures."""

from __future__ import annotations

from collections.abc import Callable

from stream_programs import StreamPeer, streaming
from stream_rows import StreamRow

Figures = dict[str, float | None]


def through(peer: StreamPeer, row: StreamRow, seconds: float) -> Figures:
    """Updates that get through to one subscriber, per second, from the first call to the last."""
    count = max(20, round(row.per_s * seconds * peer.share))
    with streaming(peer, row.work) as stream:
        stream.subscribe()
        told = stream.run(count, last=True)
        (seen,) = stream.seen()
        if seen.received + seen.missing != count:
            raise RuntimeError(f"{seen.received} received, {seen.missing} missing of {count}")
        return {
            "updates_per_s": seen.received / (seen.at - told["begin"]),
            "published_per_s": count / (told["end"] - told["begin"]),
            "lost": seen.missing,
        }


KINDS: dict[str, Callable[[StreamPeer, StreamRow, float], Figures]] = {"through": through}
