"""A stream of JetStream, as relays and their readers use it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from laplace_server.relay.connection import NOT_FOUND, EngineError, NatsConnection
from laplace_server.relay.keeping import Keeping
from laplace_server.relay.owners import Owner
from laplace_server.relay.records import RecordId, read_id
from laplace_server.relay.subjects import Subject

ID = "Nats-Msg-Id"


class Stored(NamedTuple):
    """A message as JetStream has it."""

    seq: int
    """JetStream's number of it."""
    id: RecordId


class Ends(NamedTuple):
    """The numbers that JetStream has given: of the oldest message that is left, and the last."""

    first_seq: int
    last_seq: int
    created: str
    """When the stream was made: another one of that name has other numbers."""

    @property
    def is_empty(self) -> bool:
        return self.last_seq < self.first_seq


class JetStream:
    """One stream, by way of one connection.

    All that is asked may raise EngineError.
    """

    def __init__(self, connection: NatsConnection, subject: Subject) -> None:
        self.connection = connection
        self.subject = subject
        self.name = subject.stream_name

    async def ensure(self, keeping: Keeping, owner: Owner) -> str:
        """Have the stream be there; say what of it is kept in another way than is wanted, or "".

        Args:
            keeping: of a new one. What is there stays as it is.
            owner: which device it is of.

        Raises:
            OtherDevice: it is of another one.
        """
        try:
            config = await self._config()
        except EngineError as error:
            if error.code not in NOT_FOUND:
                raise
            keeping.check(self.connection.most_bytes)
            await self._create(keeping, owner)
            config = await self._config()  # of whoever has made it
        await owner.claim(self.connection, f"{self.subject} has the updates", config)
        return keeping.unlike(config)

    async def _create(self, keeping: Keeping, owner: Owner) -> None:
        await self.connection.make_stream(
            self.name,
            subjects=[str(self.subject)],
            storage="file",
            discard="old",
            metadata=owner.metadata,
            **keeping.as_config(),
        )

    async def _config(self) -> dict[str, Any]:
        info = await self.connection.ask(f"STREAM.INFO.{self.name}")
        config: dict[str, Any] = info["config"]
        return config

    async def ends(self) -> Ends | None:
        """Return its ends; None: there is no such stream."""
        try:
            info = await self.connection.ask(f"STREAM.INFO.{self.name}")
        except EngineError as error:
            if error.code in NOT_FOUND:
                return None
            raise
        state = info["state"]
        return Ends(int(state["first_seq"]), int(state["last_seq"]), str(info["created"]))

    async def last(self) -> Stored | None:
        """Return the last message."""
        return await self._get(last_by_subj=str(self.subject))

    async def next(self, seq: int) -> Stored | None:
        """Return the first message from a number of JetStream's on."""
        return await self._get(seq=seq, next_by_subj=str(self.subject))

    async def _get(self, **which: Any) -> Stored | None:
        message = await message_of(self.connection, self.name, **which)
        return message and Stored(message.seq, identity_of(message.headers))


class Message(NamedTuple):
    """A message as JetStream gives it."""

    seq: int
    headers: dict[str, str]
    base64: str

    @property
    def body(self) -> bytes:
        return base64.b64decode(self.base64)


async def message_of(connection: NatsConnection, name: str, **which: Any) -> Message | None:
    """Return a message of a stream of JetStream; None: it is not there, nor the stream.

    Raises:
        EngineError: JetStream cannot say.
    """
    try:
        answer = await connection.ask(f"STREAM.MSG.GET.{name}", **which)
    except EngineError as error:
        if error.code in NOT_FOUND:
            return None
        raise
    message = answer["message"]
    headers = headers_of(base64.b64decode(message.get("hdrs") or ""))
    return Message(int(message["seq"]), headers, message.get("data") or "")


def identity_of(headers: Mapping[str, str] | None) -> RecordId:
    """Return what a message is.

    Raises:
        EngineError: it is none of a relay's.
    """
    try:
        return read_id((headers or {}).get(ID))
    except ValueError as error:
        raise EngineError(f"somebody else has written there: {error}") from None


def headers_of(raw: bytes) -> dict[str, str]:
    """Return the headers of a message; those that relays write are ASCII."""
    lines = raw.decode("ascii", "replace").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:] if line)
    return {name.strip(): value.strip() for name, _, value in pairs}
