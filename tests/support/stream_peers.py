"""Subscribers that speak the wire format of docs/streams.md by themselves, and a model of each.

A ``Subscriber`` knows what it may be sent: it fails at the first message that breaks a promise, and
``agree`` compares it with what the server says of it when nothing more is to come.
"""

from __future__ import annotations

import itertools
import json
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import zmq
from support.peers import PATIENCE_S, Peer, request
from support.waiting import wait_until

from laplace_server import ServerLHC

MAGIC = b"\0LHC"
UPDATES, ALIVE, END, UNKNOWN = 1, 2, 3, 4
CREDIT, LEAVE = 16, 17
MOST = 2**64 - 1  # all that a field for messages or bytes can say
PLENTY = 1 << 40  # more than any test publishes

_HEADER = struct.Struct("<4sBBHIIQQQQQQ")
_CONTROL = struct.Struct("<4sBBHIIQQQ")


class Header(NamedTuple):
    """The 64 bytes in front of whatever a server sends to a subscriber."""

    magic: bytes
    version: int
    kind: int
    arrays: int
    number: int
    updates: int
    epoch: int
    first: int
    last: int
    lost: int
    lost_in_all: int
    sent_in_all: int


def control(kind: int, number: int, messages: int = 0, size: int = 0, following: int = 0) -> bytes:
    """The 40 bytes of a subscriber."""
    return _CONTROL.pack(MAGIC, 1, kind, 0, number, 0, messages, size, following)


class Update(NamedTuple):
    """One update as it was published, or as it came."""

    time: float
    data: dict[str, Any]
    arrays: tuple[bytes, ...]


class Book:
    """All that was published, by stream and number. Any thread may publish through it."""

    def __init__(self, server: ServerLHC) -> None:
        self.server = server
        self.updates: dict[str, dict[int, Update]] = {}
        self._lock = threading.Lock()

    def publish(self, stream: str, data: dict[str, Any], array: Any = None) -> int:
        stamp = time.time()
        full = data if array is None else {**data, "array": array}
        number = self.server.publish(stream, full, timestamp=stamp)
        if number == 0:  # the server has stopped
            return number
        arrays = () if array is None else (np.ascontiguousarray(array).tobytes(),)
        with self._lock:
            entries = self.updates.setdefault(stream, {})
            assert number not in entries, f"{stream} {number} was given twice"
            entries[number] = Update(stamp, data, arrays)
        return number

    def last(self, stream: str) -> int:
        """The number of updates there were; they have no hole."""
        with self._lock:
            entries = self.updates.get(stream, {})
            assert not entries or max(entries) == len(entries), f"{stream} has a hole"
            return len(entries)


@dataclass
class Subscriber:
    """One subscription, with what it was allowed and what it got."""

    stream: str
    who: str
    number: int
    epoch: int
    next: int
    last: int
    latest_only: bool
    messages_allowed: int  # most that it could know of
    bytes_allowed: int
    credit: tuple[int, int]  # as it said last
    answer: dict[str, Any]  # to SUBSCRIBE
    first: int = 0
    messages: int = 0
    size: int = 0
    sent: int = 0
    lost: int = 0
    ended: bool = False
    received: dict[int, Update] = field(default_factory=dict)
    gaps: list[tuple[int, int]] = field(default_factory=list)  # first and last lost

    def __post_init__(self) -> None:
        self.first = self.next

    def take(self, header: Header, body: bytes, arrays: list[bytes]) -> None:
        """A message of this subscription: all that must hold at once."""
        where = f"{self.who}: {header}"
        assert not self.ended, f"something after the end; {where}"
        assert header.epoch == self.epoch, where
        assert header.last >= self.last, f"'last' went back from {self.last}; {where}"
        self.last = header.last
        assert header.arrays == len(arrays), where
        if header.kind == UPDATES:
            self._take_updates(header, body, arrays, where)
        else:
            assert header.kind in (ALIVE, END), where
            assert (len(body), header.updates, header.lost, arrays) == (64, 0, 0, []), where
            assert header.first == self.next, where
            self.ended = header.kind == END
        assert (header.lost_in_all, header.sent_in_all) == (self.lost, self.sent), where

    def _take_updates(self, header: Header, body: bytes, arrays: list[bytes], where: str) -> None:
        count = header.updates
        assert count > 0, where
        assert self.messages < self.messages_allowed, f"message not allowed; {where}"
        assert self.size < self.bytes_allowed, f"bytes not allowed; {where}"
        assert header.first - self.next == header.lost, f"{self.next} was next; {where}"
        assert header.last >= header.first + count - 1, where
        self.messages += 1
        self.size += len(body) + sum(map(len, arrays))
        self.sent += count
        if header.lost:
            self.lost += header.lost
            self.gaps.append((self.next, header.first - 1))
        self.next = header.first + count
        times = struct.unpack_from(f"<{count}d", body, _HEADER.size)
        datas = json.loads(body[_HEADER.size + 8 * count :])
        if arrays:
            assert count == 1, where
            data, described = datas
            datas = [data]
            assert len(described) == len(arrays), where
            data.pop("array")
        assert len(datas) == count, where
        numbers = range(header.first, self.next)
        for number, stamp, data in zip(numbers, times, datas, strict=True):
            self.received[number] = Update(stamp, data, tuple(arrays))

    def verify(self, book: Book, kept_from: int) -> None:
        """Everything that came is what was published, everything else was lost with reason."""
        published = book.updates.get(self.stream, {})
        for number, update in self.received.items():
            assert update == published[number], f"{self.who}: {number}"
        if not self.latest_only:
            for gap in self.gaps:
                assert gap[1] < kept_from, f"{self.who}: {gap} lost, {kept_from} is still there"
        assert self.first + self.sent + self.lost == self.next
        assert len(self.received) == self.sent
        missing = itertools.chain.from_iterable(range(a, b + 1) for a, b in self.gaps)
        every = Counter(self.received.keys()) + Counter(missing)
        assert every == Counter(range(self.first, self.next)), self.who

    def at_rest(self, seen: Any) -> bool:
        """Whether the server has nothing that it may send."""
        return bool(seen.lag == 0 or seen.credit_messages == 0 or seen.credit_bytes == 0)

    def agree(self, seen: Any, last: int) -> None:
        """What ``stats()`` tells is what has come, when all has come."""
        found = (seen.stream, seen.first, seen.sent, seen.lost, seen.lag)
        lag = max(0, last + 1 - self.next)
        assert found == (self.stream, self.first, self.sent, self.lost, lag), self.who
        messages, size = self.credit
        assert seen.credit_messages == max(0, messages - self.messages), self.who
        assert seen.credit_bytes == max(0, size - self.size), self.who


class WirePeer:
    """A DEALER with any number of subscriptions, and their models."""

    _names = itertools.count(1)

    def __init__(
        self,
        server: ServerLHC | str,
        *,
        route: Iterable[bytes] = (),
        routing_id: bytes | None = None,
        high_water: int = 0,
        options: Mapping[int, bytes] | None = None,
    ) -> None:
        """``high_water``: messages that libzmq reads for who does not; 0, any number."""
        self.name = f"peer{next(self._names)}"
        self.subscribers: dict[int, Subscriber] = {}
        self.unknown: Counter[int] = Counter()
        all_options = {zmq.RCVHWM: high_water, zmq.SNDHWM: 0, **(options or {})}
        self.peer = Peer(server, zmq.DEALER, routing_id=routing_id, options=all_options)
        self._envelope = [*route, b""]
        self._tokens = itertools.count(1)
        self._replies: dict[str, Any] = {}

    def close(self) -> None:
        self.peer.close()

    def __enter__(self) -> WirePeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what it says

    def send(self, body: bytes) -> None:
        self.peer.send_frames([*self._envelope, body])

    def ask(self, cmd: str, payload: Any = None) -> Any:
        """A request's reply, after all that came before it."""
        token = f"{self.name}.{next(self._tokens)}"
        self.send(request(cmd, payload, sender=token))
        deadline = time.monotonic() + PATIENCE_S
        while token not in self._replies:
            self.read(max(0.0, deadline - time.monotonic()))
        return self._replies.pop(token)

    def barrier(self) -> None:
        """Take all that the server had sent, and wait until it has read all from here."""
        assert self.ask("PING")["payload"] == {"PING": "PONG"}

    def subscribe(
        self,
        stream: str,
        *,
        number: int = 1,
        start: Any = "latest",
        messages: int = PLENTY,
        size: int = PLENTY,
        latest_only: bool = False,
        **more: Any,
    ) -> Subscriber:
        """Begin a subscription; one of the same number ends with the answer."""
        token = f"{self.name}.{next(self._tokens)}"
        payload = {
            "stream": stream,
            "subscription": number,
            "start": start,
            "messages": messages,
            "bytes": size,
            "latest_only": latest_only,
            **more,
        }
        self.send(request("SUBSCRIBE", payload, sender=token))
        deadline = time.monotonic() + PATIENCE_S
        while token not in self._replies:
            self.read(max(0.0, deadline - time.monotonic()))
            if token in self._replies:
                break
        reply = self._replies.pop(token)
        assert reply["error_msg"] is None, reply
        found = reply["payload"]
        self.subscribers[number] = subscriber = Subscriber(
            stream=stream,
            who=token,
            number=number,
            epoch=found["epoch"],
            next=found["next"],
            last=found["last"],
            latest_only=latest_only,
            messages_allowed=messages,
            bytes_allowed=size,
            credit=(messages, size),
            answer=found,
        )
        return subscriber

    def grant(self, number: int, messages: int, size: int) -> None:
        """Say how much may be sent in all; less than before holds once the server has read it."""
        subscriber = self.subscribers[number]
        most = max(subscriber.messages_allowed, messages), max(subscriber.bytes_allowed, size)
        subscriber.messages_allowed, subscriber.bytes_allowed = most
        self.send(control(CREDIT, number, messages, size, subscriber.next))
        subscriber.credit = messages, size
        if most != (messages, size):
            self.barrier()
            subscriber.messages_allowed, subscriber.bytes_allowed = messages, size

    def leave(self, number: int) -> Subscriber:
        """Leave; what comes until the server has read it still counts."""
        self.send(control(LEAVE, number))
        self.barrier()
        return self.subscribers.pop(number)

    # ---- what it hears

    def read(self, seconds: float = PATIENCE_S) -> Header | None:
        """Take one message: None if it was a reply."""
        frames = self.peer.receive_frames(seconds)
        route = len(self._envelope)
        assert frames[:route] == self._envelope, "the route comes back"
        body = frames[route]
        if body[:4] != MAGIC:
            reply = json.loads(body)
            self._replies[reply["to"]] = reply
            return None
        header = Header(*_HEADER.unpack_from(body))
        assert header.version == 1
        if header.kind == UNKNOWN:
            assert (len(body), header.updates) == (64, 0)
            self.unknown[header.number] += 1
            return header
        assert header.number in self.subscribers, f"{self.name}: of no subscription: {header}"
        self.subscribers[header.number].take(header, body, frames[route + 1 :])
        return header

    def read_until(self, done: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            left = deadline - time.monotonic()
            assert left > 0, f"{self.name}: not within {seconds:g} s: {what}"
            self.read(left)

    def read_on(self) -> None:
        """Take all that has arrived by now."""
        while self.peer.socket.poll(0):
            self.read()


def at_rest(server: ServerLHC, peers: Iterable[WirePeer]) -> dict[str, Any]:
    """Read until nothing more may be sent; what ``stats()`` then says, by ``who``."""
    peers = list(peers)
    found: dict[str, Any] = {}
    wanted = {f.who: f for peer in peers for f in peer.subscribers.values() if not f.ended}

    def resting() -> bool:
        for peer in peers:
            peer.read_on()
        found.clear()
        found.update((seen.who, seen) for seen in server.stats().subscribers)
        missing = wanted.keys() - found.keys()
        assert not missing, f"the server has forgotten {missing}"
        return all(each.at_rest(found[who]) for who, each in wanted.items())

    for peer in peers:  # its credit has been read
        peer.barrier()
    wait_until(resting, "all is sent that may be")
    for peer in peers:  # what was sent has come
        peer.barrier()
    found.update((seen.who, seen) for seen in server.stats().subscribers)
    return found
