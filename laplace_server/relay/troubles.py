"""Why a stream is not relayed, and what of that the log has."""

from __future__ import annotations

from laplace_server.protocol import LOGGER_NAME
from laplace_server.wire.logs import Log

log = Log(LOGGER_NAME)


class Troubles:
    """Of one stream.

    Args:
        title: what it is called in the log.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.present: str | None = None
        """Why nothing is relayed at the moment; None: it is, or nothing is known yet."""
        self._told: set[str] = set()  # since something was stored
        self._limits_told = False

    def tell(self, why: str) -> None:
        """Note why nothing is relayed; the log has each reason once until something is."""
        self.present = why = why.rstrip(".")
        if why not in self._told:
            self._told.add(why)
            log.warning("%s is not relayed at the moment: %s.", self.title, why)

    def tell_fault(self, error: Exception) -> None:
        """Note one that nobody has thought of. Called where it is handled."""
        log.exception("%s: the relay begins anew.", self.title)
        self.present = repr(error)
        self._told.add(self.present)

    def are_over(self) -> None:
        """Something was stored."""
        if self._told:
            log.warning("%s is relayed again.", self.title)
        self.present = None
        self._told.clear()

    def tell_of_limits(self, name: str, unlike: str) -> None:
        """Say once that JetStream keeps something else of its stream than was asked for.

        Args:
            name: of JetStream's stream.
            unlike: what it keeps, and what was asked for.
        """
        if not self._limits_told:
            self._limits_told = True
            log.warning(
                "%s: the JetStream stream %s was there before, and keeps %s. "
                "`nats stream edit` changes it.",
                self.title,
                name,
                unlike,
            )
