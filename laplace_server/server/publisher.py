"""The streams of a server: declared, and published to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from laplace_server.protocol import LOGGER_NAME
from laplace_server.server._core import Streams
from laplace_server.wire.logs import Log
from laplace_server.wire.whole_numbers import INT64_MAX, whole_number

log = Log(LOGGER_NAME)

_MOST_LOST = 2**32  # at a time, so that numbers do not come to their end
_WITHOUT_LIMIT = 2**64 - 1  # as the core knows it


class Publisher:
    """What ``declare_stream`` and ``publish`` of a ServerLHC do; see there.

    ``server_name`` gives the name of that server, for the log.
    """

    def __init__(
        self, streams: Streams, history_bytes: int, server_name: Callable[[], str]
    ) -> None:
        self._streams = streams
        self._server_name = server_name
        self._history_bytes = history_bytes
        self._was_too_late = False

    def declare(
        self,
        name: str,
        *,
        history_bytes: int | None,
        history_count: int | None,
        policy: str,
        block_timeout_s: float,
        first: int = 1,
    ) -> None:
        """Make a stream, whose first update has the number ``first``, or change it.

        Raises:
            TypeError, ValueError: an argument is wrong.
        """
        _check_name(name)
        if history_bytes is None:
            history_bytes = self._history_bytes
        if history_count is None:
            history_count = _WITHOUT_LIMIT
        history_bytes = whole_number("history_bytes", history_bytes, 0)
        history_count = whole_number("history_count", history_count, 1)
        if policy not in ("gap", "block"):
            raise ValueError(f"'policy' must be 'gap' or 'block', not {policy!r}")
        if not 0 <= block_timeout_s < math.inf:
            raise ValueError(f"'block_timeout_s' must be 0 or more, not {block_timeout_s!r}")
        patience_s = block_timeout_s if policy == "block" else None
        first = whole_number("first", first, 1, INT64_MAX)
        self._declare(name, history_bytes, history_count, patience_s, first=first)

    def publish(
        self,
        stream: str,
        data: dict[Any, Any],
        timestamp: float | None,
        copy: bool,
        lost_before: int,
    ) -> int:
        """Append an update and return its number; 0 once the server has stopped.

        Raises:
            TypeError, ValueError, ForkedServerError: nothing was published.
        """
        lost_before = whole_number("lost_before", lost_before, 0, _MOST_LOST)
        update = stream, data, timestamp, copy, lost_before
        try:
            return self._streams.publish(*update) or self._too_late(stream)
        except KeyError:
            if stream in self._streams.names():
                raise
        self.declare_unless_there(stream)
        return self._streams.publish(*update) or self._too_late(stream)

    def declare_unless_there(self, name: str) -> None:
        """Make a stream as the server has them by default; one that is there stays as it is."""
        _check_name(name)
        self._declare(name, self._history_bytes, _WITHOUT_LIMIT, None, change=False)

    def finish(self, stream: str, lost: int, says_so: bool) -> None:
        """Publish nothing more to a stream of which ``lost`` numbers behind the last are lost.

        Args:
            stream: one that is declared.
            lost: whoever follows learns of them.
            says_so: whether a server that stops tells those who follow that this was its end; not
                where one is replayed that had been killed.
        """
        self._streams.finish(stream, whole_number("lost", lost, 0, _MOST_LOST), says_so)

    def _too_late(self, stream: str) -> int:
        if not self._was_too_late:
            self._was_too_late = True
            text = "[Server %s] It has stopped: what is published to %r goes nowhere."
            log.warning(text, self._server_name(), stream)
        return 0

    def _declare(
        self,
        name: str,
        history_bytes: int,
        history_count: int,
        patience_s: float | None,
        change: bool = True,
        first: int = 1,
    ) -> None:
        # As an exact str: a StrEnum's value, not what its str() may be.
        exact = str.__str__(name)
        history_bytes, history_count = (
            min(limit, _WITHOUT_LIMIT) for limit in (history_bytes, history_count)
        )
        self._streams.declare(exact, history_bytes, history_count, patience_s, change, first)


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"a stream's name is a non-empty str, not {name!r}")


def warn_of_subscriber(server: str, stream: str, who: bytes) -> None:
    """Log that a publisher does not wait any more for a subscriber, named in JSON."""
    log.warning(
        "[Server %s] Subscriber %s held up publishing to %r for too long and is not waited for "
        "until it subscribes again.",
        server,
        who.decode("utf-8", "replace"),
        stream,
    )


def warn_of_refused(server: str, why: str) -> None:
    """Log that data was set that GET cannot send."""
    text = "[Server %s] The data cannot be sent, and GET answers so until it can: %s."
    log.error(text, server, why)


def warn_of_unfit(server: str, stream: str, why: str) -> None:
    """Log that data was set that cannot be an update."""
    text = "[Server %s] The data is set, but not published to %r: %s."
    log.error(text, server, stream, why)
