"""The streams of a server: declared, and published to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from laplace_server.logs import Log
from laplace_server.protocol import LOGGER_NAME

if TYPE_CHECKING:
    from laplace_server._core import Core

log = Log(LOGGER_NAME)

_WITHOUT_LIMIT = 2**64 - 1  # as the core knows it


class Publisher:
    """What ``declare_stream`` and ``publish`` of a ServerLHC do; see there."""

    def __init__(self, core: Core, history_bytes: int) -> None:
        self._core = core
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
    ) -> None:
        """Make a stream, or change it.

        Raises:
            TypeError, ValueError: an argument is wrong.
        """
        _check_name(name)
        if history_bytes is None:
            history_bytes = self._history_bytes
        checked_history_bytes(history_bytes)
        if history_count is not None and history_count < 1:
            raise ValueError(f"'history_count' must be 1 or more, not {history_count}")
        if policy not in ("gap", "block"):
            raise ValueError(f"'policy' must be 'gap' or 'block', not {policy!r}")
        if not 0 <= block_timeout_s < math.inf:
            raise ValueError(f"'block_timeout_s' must be 0 or more, not {block_timeout_s!r}")
        count = _WITHOUT_LIMIT if history_count is None else history_count
        patience_s = block_timeout_s if policy == "block" else None
        self._declare(name, history_bytes, count, patience_s)

    def publish(
        self, stream: str, data: dict[Any, Any], timestamp: float | None, copy: bool
    ) -> int:
        """Append an update and return its number; 0 once the server has stopped.

        Raises:
            TypeError, ValueError, ForkedServerError: nothing was published.
        """
        try:
            return self._core.publish(stream, data, timestamp, copy) or self._too_late(stream)
        except KeyError:
            if stream in self._core.stream_names():
                raise
        self.declare_unless_there(stream)
        return self._core.publish(stream, data, timestamp, copy) or self._too_late(stream)

    def declare_unless_there(self, name: str) -> None:
        """Make a stream as the server has them by default; one that is there stays as it is."""
        _check_name(name)
        self._declare(name, self._history_bytes, _WITHOUT_LIMIT, None, change=False)

    def _too_late(self, stream: str) -> int:
        if not self._was_too_late:
            self._was_too_late = True
            log.warning("The server has stopped: what is published to %r goes nowhere.", stream)
        return 0

    def _declare(
        self,
        name: str,
        history_bytes: int,
        history_count: int,
        patience_s: float | None,
        change: bool = True,
    ) -> None:
        # As an exact str: a StrEnum's value, not what its str() may be.
        exact = str.__str__(name)
        history_bytes, history_count = (
            min(limit, _WITHOUT_LIMIT) for limit in (history_bytes, history_count)
        )
        self._core.declare_stream(exact, history_bytes, history_count, patience_s, change)


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"a stream's name is a non-empty str, not {name!r}")


def checked_history_bytes(history_bytes: int) -> int:
    """Return it, or raise ValueError."""
    if history_bytes < 0:
        raise ValueError(f"the bytes of a history must be 0 or more, not {history_bytes}")
    return history_bytes


def warn_of_follower(stream: str, who: bytes) -> None:
    """Log that a publisher does not wait any more for a subscriber, named in JSON."""
    log.warning(
        "Subscriber %s held up publishing to %r for too long and is not waited for any more.",
        who.decode("utf-8", "replace"),
        stream,
    )


def warn_of_refused(server: str, why: str) -> None:
    """Log that data was set that GET of the server of that name cannot send."""
    text = "[Server %s] The data cannot be sent, and GET answers so until it can: %s."
    log.error(text, server, why)


def warn_of_unfit(stream: str, why: str) -> None:
    """Log that data was set that cannot be an update."""
    log.error("The data is set, but not published to %r: %s.", stream, why)
