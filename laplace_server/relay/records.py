"""What a relay writes into the engine: records, and how their bytes are cut and put together.

A record is one message of JetStream, or several where it is large. Its ``Nats-Msg-Id`` says all
there is to know of it: ``EPOCH.KIND.FIRST-LAST``, and behind that ``.PIECE-PIECES-BEGUN`` of one
in pieces. The body of one with updates is the server's own messages (docs/streams.md), one behind
the other, each frame behind its size (u64, little-endian); others have none.
"""

from __future__ import annotations

import enum
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from laplace_server.client import _frames

_SIZE = struct.Struct("<Q")
_ID = re.compile(r"(\d+)\.(updates|gap|end|cut)\.(\d+)-(\d+)(?:\.(\d+)-(\d+)-(\d+))?")


class Kind(str, enum.Enum):
    """Of a record."""

    UPDATES = "updates"
    GAP = "gap"
    """These updates are lost: the server's history did not reach so far back."""
    END = "end"
    """The server said that it stops; FIRST-LAST are lost at its end, none if LAST is before it."""
    CUT = "cut"
    """The server is no more, and did not say so; what came after LAST is not known."""


class Piece(NamedTuple):
    """Which part of a record a message is."""

    number: int
    """From 1 on."""
    pieces: int
    begun: int
    """Which attempt at this record: pieces of different attempts do not belong together."""


class RecordId(NamedTuple):
    """What a message is, as its ``Nats-Msg-Id`` says."""

    epoch: int
    kind: Kind
    first: int
    last: int
    piece: Piece | None = None

    def __str__(self) -> str:
        whole = f"{self.epoch}.{self.kind.value}.{self.first}-{self.last}"
        return whole if self.piece is None else "{}.{}-{}-{}".format(whole, *self.piece)

    @property
    def is_complete(self) -> bool:
        """Whether the record is there with this message."""
        return self.piece is None or self.piece.number == self.piece.pieces

    @property
    def is_over(self) -> bool:
        """Whether nothing follows of its epoch."""
        return self.kind in (Kind.END, Kind.CUT)

    @property
    def following(self) -> tuple[int, int]:
        """The ``start`` of a subscription that goes on behind it: epoch and number."""
        return self.epoch, self.last if self.is_complete else self.first - 1


def read_id(text: str | None) -> RecordId:
    """Return what a ``Nats-Msg-Id`` says.

    Raises:
        ValueError: no relay writes such a one.
    """
    found = _ID.fullmatch(text or "")
    if found is None:
        raise ValueError(f"{text!r} is not the Nats-Msg-Id of a relay's record")
    epoch, kind, first, last, *piece = found.groups()
    part = None if piece[0] is None else Piece(*map(int, piece))
    return RecordId(int(epoch), Kind(kind), int(first), int(last), part)


class Record(NamedTuple):
    """A record, whole."""

    id: RecordId
    parts: Sequence[bytes] = ()
    """Of its body."""

    def messages(self, most_bytes: int, begun: int) -> Iterator[tuple[RecordId, bytes]]:
        """Cut it into messages.

        Args:
            most_bytes: of a body.
            begun: which attempt this is.
        """
        size = sum(map(len, self.parts))
        if size <= most_bytes:
            yield self.id, b"".join(self.parts)
            return
        body = memoryview(b"".join(self.parts))
        pieces = -(-size // most_bytes)
        step = -(-size // pieces)
        for number in range(1, pieces + 1):
            piece = Piece(number, pieces, begun)
            yield self.id._replace(piece=piece), bytes(body[(number - 1) * step : number * step])


def parts_of(messages: Iterable[Sequence[bytes]]) -> list[bytes]:
    """Return the parts of a body with the frames of these messages."""
    parts: list[bytes] = []
    for frames in messages:
        for frame in frames:
            parts += (_SIZE.pack(len(frame)), frame)
    return parts


def messages_of(body: bytes) -> Iterator[list[bytes | memoryview]]:
    """Return the frames of each message in a body; arrays as views of it.

    Raises:
        ValueError: it is none of a relay's.
    """
    view, at = memoryview(body), 0
    while at < len(body):
        head, at = _frame(view, at)
        first = bytes(head)
        header = _frames.stream_header(first)
        if header is None:
            raise ValueError("a record without a header of a stream")
        message: list[bytes | memoryview] = [first]
        for _ in range(header[1]):
            array, at = _frame(view, at)
            message.append(array)
        yield message


def _frame(view: memoryview, at: int) -> tuple[memoryview, int]:
    end = at + _SIZE.size
    if end > len(view):
        raise ValueError("a record that is cut short")
    begin, end = end, end + _SIZE.unpack(view[at:end])[0]
    if end > len(view):
        raise ValueError("a record that is cut short")
    return view[begin:end], end


class Assembler:
    """Puts records together from messages, in the order of the engine."""

    def __init__(self) -> None:
        self._id: RecordId | None = None
        self._parts: list[bytes] = []

    @property
    def missing(self) -> int:
        """Pieces of the record that is begun."""
        piece = None if self._id is None else self._id.piece
        return 0 if piece is None else piece.pieces - len(self._parts)

    def put(self, identity: RecordId, body: bytes) -> Record | None:
        """Return the record that is complete with this message, if one is.

        What was begun and not brought to its end by the relay is left out.
        """
        piece = identity.piece
        if piece is None:
            self._id = None
            self._parts.clear()
            return Record(identity, [body])
        if piece.number == 1:
            self._id, self._parts = identity, []
        elif self._id is None or identity != self._id._replace(
            piece=piece._replace(number=len(self._parts) + 1)
        ):
            self._id = None
            self._parts.clear()
            return None
        self._parts.append(body)
        if not identity.is_complete:
            return None
        whole = Record(identity._replace(piece=None), [b"".join(self._parts)])
        self._id, self._parts = None, []
        return whole
