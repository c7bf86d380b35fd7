"""Which device a JetStream stream is of, as its metadata say: there may be two of one name."""

from __future__ import annotations

from typing import Any, NamedTuple

from laplace_server.relay.connection import EngineError, NatsConnection

_KEY = "laplace-source"  # in the metadata of a stream


class OtherDevice(EngineError):
    """What is in JetStream is of another device that has the same name."""


class Owner(NamedTuple):
    """A device that is to be relayed."""

    source: str
    """Which it is."""
    moved: bool
    """What is there may be of another one, and is of this one from now on."""

    @property
    def metadata(self) -> dict[str, str]:
        """Of a stream that is made for it."""
        return {_KEY: self.source}

    async def claim(self, connection: NatsConnection, what: str, config: dict[str, Any]) -> None:
        """Have a stream be of this device.

        Args:
            connection: by which.
            what: it has, for people.
            config: of the stream, as JetStream gives it.

        Raises:
            OtherDevice: it is of another one.
            EngineError: JetStream does not do it.
        """
        metadata = config.get("metadata") or {}
        owner = metadata.get(_KEY)
        if owner not in (None, self.source) and not self.moved:
            raise OtherDevice(
                f"{what} of another device, {owner}. Give this one another name for the relay; "
                "or, if it is the same and has moved, say so (--moved, moved=True)"
            )
        if owner != self.source:
            changed = {**config, "metadata": {**metadata, **self.metadata}}
            await connection.ask(f"STREAM.UPDATE.{config['name']}", **changed)
