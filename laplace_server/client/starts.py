"""Where a subscription begins."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from laplace_server.wire.whole_numbers import INT64_MAX, whole_number

Start: TypeAlias = str | int | tuple[int, int] | list[int]
"""A word of ``WORDS``, the number of the first update wanted, or (epoch, number) of the last one
had; a list of the two is what JSON makes of that."""

WORDS = ("latest", "newest", "oldest")

_EPOCH_MAX = 2**64 - 1


class Begin(NamedTuple):
    """A start as SUBSCRIBE has it."""

    start: str | int
    """A word, or the number of the first update wanted."""
    epoch: int | None = None
    """Which life of the server the number belongs to; None: whichever there is."""

    @property
    def is_now(self) -> bool:
        """Whether it is no older than the wish, so that all of a younger stream is wanted."""
        return self.start in ("latest", "newest")


def begin_of(start: Any) -> Begin:
    """Return where to begin.

    Whether a number is beyond the last update only the server knows.

    Raises:
        TypeError, ValueError: it is no ``Start``.
    """
    if isinstance(start, str):
        if start in WORDS:
            return Begin(str.__str__(start))
        raise ValueError(
            "'start' must be 'latest', 'newest', 'oldest', a number from 1 on or "
            f"(epoch, number), not {start!r}."
        )
    if not isinstance(start, (tuple, list)):
        return Begin(whole_number("start", start, 1, INT64_MAX))
    if len(start) != 2:
        text = "'start' must be (epoch, number), as update.following gives it, not {} items."
        raise ValueError(text.format(len(start)))
    epoch = whole_number("start[0]", start[0], 1, _EPOCH_MAX)
    number = whole_number("start[1]", start[1], 0, INT64_MAX - 1)
    return Begin(number + 1, epoch)
