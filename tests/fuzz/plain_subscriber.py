"""A slow, plain reader of what a server of streams sends: the second of updates_fuzz.py."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from laplace_server.errors import LaplaceError
from laplace_server.wire import message_json
from laplace_server.wire.arrays import put_at_paths

HEADER = struct.Struct("<4sBBHIIQQQQQQ")
UPDATES, ALIVE, END, UNKNOWN, LOOSE = 1, 2, 3, 4, 5
GREATEST = 2**63


class Header(NamedTuple):
    kind: int
    arrays: int
    subscription: int
    count: int
    epoch: int
    first: int
    last: int


def header_of(body: bytes) -> Header | None:
    """The header of a message; None: it is no message of a stream."""
    if len(body) < HEADER.size:
        return None
    magic, version, *numbers = HEADER.unpack(body[: HEADER.size])
    header = Header(*numbers[:7])
    if magic != b"\0LHC" or version != 1 or max(header.first, header.last) > GREATEST:
        return None
    return header if len(body) - HEADER.size >= 8 * header.count else None


class PlainSubscriber:
    """One subscription, from the answer to its first SUBSCRIBE on."""

    def __init__(self) -> None:
        self.epoch, self.first, self.position, self.lost, self.last = 0, 0, 1, 0, 0
        self.over = False
        self.messages, self.size = 0, 0
        self.follows = False
        self.number = 0
        self.received: dict[int, list[int]] = {}
        """Of each epoch, the numbers of its updates as they came."""
        self.ended: list[tuple[int, int, int, int, int, bool]] = []
        """Epoch, first, received, lost, last, complete."""

    def asked(self) -> None:
        self.number, self.messages, self.size, self.follows = self.number + 1, 0, 0, False

    def granted(self, epoch: int, following: int, last: int) -> None:
        if not self.epoch:
            self._begin(epoch, following)
        elif not self._is_of_life(epoch):
            return
        self.last = max(self.last, last)
        self.follows = True

    def take(self, frames: list[bytes]) -> list[tuple[Any, ...]]:
        """The updates that a message brings, as number, epoch, time, data, lost before."""
        header = header_of(bytes(frames[1])) if len(frames) > 1 else None
        if header is None or not self.follows or header.subscription != self.number:
            return []
        if header.kind in (UPDATES, LOOSE):
            return self._take_updates(header, frames)
        if header.kind == UNKNOWN:
            self.follows = False
        elif header.kind in (ALIVE, END) and self._is_of_life(header.epoch):
            self.last = max(self.last, header.last)
            if header.kind == END:
                self._end(complete=True)
        return []

    def _take_updates(self, header: Header, frames: list[bytes]) -> list[tuple[Any, ...]]:
        self.messages += 1
        self.size += sum(map(len, frames[1:]))
        if not self._is_of_life(header.epoch):
            return []
        end = header.first + header.count
        self.last = max(self.last, header.last, end - 1)
        if end <= self.position:
            return []
        try:
            datas = self._datas(header, frames)
        except (LookupError, TypeError, ValueError, RecursionError, LaplaceError):
            return []
        body = frames[1][HEADER.size :]
        times = struct.unpack(f"<{header.count}d", body[: 8 * header.count])
        found = []
        for number, time, data in zip(range(header.first, end), times, datas, strict=True):
            if number >= self.position:
                found.append((number, self.epoch, time, data, number - self.position))
                self.lost += number - self.position
                self.position = number + 1
                self.received.setdefault(self.epoch, []).append(number)
        return found

    @staticmethod
    def _datas(header: Header, frames: list[bytes]) -> list[Any]:
        text = frames[1][HEADER.size + 8 * header.count :]
        decoded: Callable[[bytes], Any] = (
            orjson.loads if header.kind == UPDATES else message_json.decoded
        )
        datas = decoded(text)
        if header.arrays != len(frames) - 2 or (header.arrays and header.count != 1):
            raise ValueError("other arrays than the header tells of")
        if header.arrays:
            data, described = datas
            return [put_at_paths(data, described, frames[2:])]
        if len(datas) != header.count or any(type(data) is not dict for data in datas):
            raise ValueError("other updates than the header tells of")
        return list(datas)

    def _is_of_life(self, epoch: int) -> bool:
        """Whether something belongs to the present life of the server; a new one begins here."""
        if epoch == self.epoch:
            return not self.over
        if not epoch or any(epoch == each[0] for each in self.ended):
            return False
        self._begin(epoch, 1)
        return True

    def _begin(self, epoch: int, first: int) -> None:
        if self.epoch and not self.over:
            self._end(complete=False)
        self.epoch, self.first, self.position, self.over = epoch, first, first, False
        self.lost, self.last = 0, first - 1

    def _end(self, *, complete: bool) -> None:
        last = max(self.last, self.position - 1)
        self.lost += last + 1 - self.position
        self.position, self.last, self.over = last + 1, last, True
        received = len(self.received.get(self.epoch, ()))
        self.ended.append((self.epoch, self.first, received, self.lost, last, complete))
