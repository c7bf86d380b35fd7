"""What comes out of a gathering."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from laplace_server.client.updates import Update

Reason: TypeAlias = Literal["not yet", "lost", "gone", "none"]
"""Why a source is missing in a record:

- "not yet": it is followed, and had not come so far when the time was over;
- "lost": it has come further, and updates before that are lost, which may have been this one;
- "gone": there was nobody to follow;
- "none": it has come further, nothing is lost, and it had no such key while it was followed.
"""


class Record(NamedTuple):
    """What all sources have published of one key."""

    key: int
    """Such as the number of the shot."""
    updates: dict[str, Update]
    """What has come, by the names of the sources and in their order."""
    missing: dict[str, Reason]
    """Why the others have not."""
    run: int
    """From 0 on; one more each time that the keys began anew. In a run they grow."""

    @property
    def complete(self) -> bool:
        """Whether all sources are there."""
        return not self.missing


class SourceStats(NamedTuple):
    """What became of a source's updates.

    ``received`` is the sum of ``gathered``, ``undecided``, ``late``, ``repeated`` and
    ``without_key``.
    """

    received: int
    """Updates that have come."""
    gathered: int
    """Those that are in records, given out or not yet."""
    undecided: int
    """Those that are behind the keys given out: late, or the first of a new run."""
    late: int
    """Those that came when the record of their key, or one behind it, had been given out."""
    repeated: int
    """Those with the key of the one before."""
    without_key: int
    """Those that have no key, or one that is no whole number."""
    lost: int
    """Updates that the subscription has lost."""
    trouble: str | None
    """Why it is not followed at the moment; None: it is, or the reason is not known yet."""
