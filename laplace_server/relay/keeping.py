"""What JetStream is to keep of each stream."""

from __future__ import annotations

from typing import Any, NamedTuple

from laplace_server.relay.connection import EngineError

_SECOND = 10**9  # ns
# How long JetStream remembers ids: the chain alone sees to it that nothing is stored twice. Where a
# leader of a cluster was killed with a message in its hands, JetStream refuses that for so long.
_DUPLICATES_S = 1.0


class Keeping(NamedTuple):
    """What JetStream keeps of each stream. What is None is not limited."""

    max_age_s: float | None = None
    max_bytes: int | None = None
    replicas: int = 1

    def as_config(self) -> dict[str, Any]:
        """As JetStream has it; times in ns."""
        age_s = self.max_age_s or 0.0
        return {
            "max_age": int(age_s * _SECOND),
            "max_bytes": self.max_bytes or -1,
            "num_replicas": self.replicas,
            # No longer than anything is kept.
            "duplicate_window": int(min(age_s or _DUPLICATES_S, _DUPLICATES_S) * _SECOND),
        }

    def check(self, most_bytes: int) -> None:
        """Raise EngineError where a large message would be dropped as soon as it is stored.

        Args:
            most_bytes: of a message.
        """
        if self.max_bytes is not None and self.max_bytes < most_bytes:
            raise EngineError(
                f"with a limit of {self.max_bytes:,} bytes (--keep-bytes, max_bytes) JetStream may "
                f"keep nothing: one message has up to {most_bytes:,} bytes there"
            )

    def unlike(self, config: dict[str, Any]) -> str:
        """Say what a stream keeps that is not what was asked for; "": nothing.

        Args:
            config: of the stream, as JetStream gives it.
        """
        wanted = self.as_config()
        told = []
        for key, asked, tell in (
            ("max_age", self.max_age_s is not None, _age),
            ("max_bytes", self.max_bytes is not None, _size),
            ("num_replicas", self.replicas > 1, _replicas),
        ):
            if asked and config.get(key) != wanted[key]:
                told.append(f"{tell(config.get(key))} (asked: {tell(wanted[key])})")
        return ", and ".join(told)


def _age(nanoseconds: Any) -> str:
    seconds = int(nanoseconds or 0) / _SECOND
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length and seconds % length == 0:
            return f"updates for {seconds / length:,.0f} {unit}"
    return f"updates for {seconds:,g} s" if seconds else "updates for ever"


def _size(size: Any) -> str:
    return f"{size:,} bytes" if isinstance(size, int) and size > 0 else "any number of bytes"


def _replicas(count: Any) -> str:
    return "one copy" if count == 1 else f"{count} copies"
