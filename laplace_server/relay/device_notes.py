"""What JetStream has of a device beside its streams: what INFO told, and how far streams came.

It stays there when the streams' own messages grow too old. Each device has one JetStream stream for
it, PREFIX+SITE+DEVICE+@device, which keeps the last message of each subject, both JSON:

    PREFIX.SITE.DEVICE.@device.info.EPOCH      what INFO told in that life of the server
    PREFIX.SITE.DEVICE.@device.last.STREAM     which message of the stream was stored last
"""

from __future__ import annotations

import json
from typing import Any

from laplace_server.relay.connection import NOT_FOUND, EngineError, NatsConnection
from laplace_server.relay.jetstream import Stored, message_of
from laplace_server.relay.owners import Owner
from laplace_server.relay.records import read_id
from laplace_server.relay.subjects import NOTES, Subject, name_of, token

_MOST_NOTES = 10_000


class DeviceNotes:
    """Of the device of a stream, by way of one connection.

    All that is asked may raise EngineError.
    """

    def __init__(self, connection: NatsConnection, subject: Subject) -> None:
        self._connection = connection
        self._subject = f"{subject.device_subject}.{NOTES}"
        self._name = name_of(self._subject)
        self._what = f"NATS has {subject.device!r}"

    async def ensure(self, replicas: int, owner: Owner) -> None:
        """Have the place for notes be there.

        Raises:
            OtherDevice: it is of another device of the same name.
        """
        try:
            config = await self._config()
        except EngineError as error:
            if error.code not in NOT_FOUND:
                raise
            await self._connection.make_stream(
                self._name,
                subjects=[f"{self._subject}.>"],
                storage="file",
                discard="old",
                max_msgs_per_subject=1,
                max_msgs=_MOST_NOTES,
                num_replicas=replicas,
                metadata=owner.metadata,
            )
            config = await self._config()  # of whoever has made it
        await owner.claim(self._connection, self._what, config)

    async def _config(self) -> dict[str, Any]:
        answer = await self._connection.ask(f"STREAM.INFO.{self._name}")
        config: dict[str, Any] = answer["config"]
        return config

    async def info(self, epoch: int | None = None) -> dict[str, Any] | None:
        """Return what INFO told in a life of the server; None: nothing is noted.

        Args:
            epoch: which life; None: the last that is noted.
        """
        note = await self._note("info", "*" if epoch is None else str(epoch))
        return note if isinstance(note, dict) else None

    async def put_info(self, info: dict[str, Any]) -> None:
        """Note what INFO tells, but for how far its streams are."""
        told = {key: value for key, value in info.items() if key != "streams"}
        epoch = info.get("epoch")
        if isinstance(epoch, int) and await self.info(epoch) != told:
            await self._put("info", str(epoch), told)

    async def last(self, stream: str, created: str) -> Stored | None:
        """Return which message of a stream was the last, as far as that is noted.

        Args:
            stream: its name.
            created: when JetStream's stream was made; notes on one before it do not count.
        """
        note = await self._note("last", token(stream))
        try:
            last = Stored(int(note["seq"]), read_id(note["id"]))
            return last if note["created"] == created else None
        except (LookupError, TypeError, ValueError):
            return None

    async def put_last(self, stream: str, created: str, last: Stored) -> None:
        """Note which one is."""
        note = {"seq": last.seq, "id": str(last.id), "created": created}
        await self._put("last", token(stream), note)

    async def _put(self, kind: str, of: str, note: dict[str, Any]) -> None:
        await self._connection.store(f"{self._subject}.{kind}.{of}", json.dumps(note).encode())

    async def _note(self, kind: str, of: str) -> Any:
        wanted = f"{self._subject}.{kind}.{of}"
        message = await message_of(self._connection, self._name, last_by_subj=wanted)
        try:
            return None if message is None else json.loads(message.body)
        except ValueError:
            return None
