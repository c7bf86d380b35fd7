"""Sends what is in a window, and hears what became of it.

nats-py's own ``publish_async`` hands on no errors that JetStream answers with, so the answers come
to an inbox of its own here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import nats.errors
from nats.aio.msg import Msg

from laplace_server.relay.connection import (
    ANSWER_S,
    BROKEN,
    EngineError,
    NatsConnection,
    NoAnswer,
    error_of,
)
from laplace_server.relay.window import Link, Window

# Wrong last message: an id, a number.
_WRONG_LAST = {10070, 10071, 10164}


class Fenced(EngineError):
    """Somebody else has written into the stream, or it is not what it was."""


class Publisher:
    """Sends a window's messages by one connection. A block; ``failure`` ends it.

    Args:
        connection: by which to send.
        subject: where to.
        window: what to send.
        on_stored: told of each message that is stored, and of JetStream's number of it.
    """

    def __init__(
        self,
        connection: NatsConnection,
        subject: str,
        window: Window,
        on_stored: Callable[[Link, int], object],
    ) -> None:
        self._connection = connection
        self._subject = subject
        self._window = window
        self._on_stored = on_stored
        self._inbox = ""
        self._subscription: Any = None
        self._answered = asyncio.Event()
        self._heard_at = time.monotonic()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises EngineError where nothing more will be stored: the window has to begin anew."""

    async def __aenter__(self) -> Publisher:
        client = self._connection.client
        self._inbox = client.new_inbox()
        with _told():
            self._subscription = await client.subscribe(f"{self._inbox}.*", cb=self._hear)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.failure.cancel()
        if self.failure.done() and not self.failure.cancelled():
            self.failure.exception()  # it counts as seen
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._subscription.unsubscribe()

    async def send(self) -> None:
        """Send what is not sent; it waits while the network takes nothing.

        Raises:
            EngineError: the connection has broken.
        """
        publish, prefix = self._connection.client.publish, self._inbox
        if not len(self._window):
            return
        with _told():
            for link in self._window.unsent():
                reply = f"{prefix}.{link.number}"
                await publish(self._subject, link.body, reply=reply, headers=link.headers)

    async def wait_for_room(self, seconds: float) -> bool:
        """Wait until there is room in the window; False: not within that time.

        Raises:
            EngineError: JetStream has not answered for too long.
        """
        window = self._window
        if not len(window):
            self._heard_at = time.monotonic()
        elif time.monotonic() > self._heard_at + ANSWER_S:
            raise NoAnswer(f"JetStream has not said for {ANSWER_S:g} s that it has stored")
        if not window.has_room:
            self._answered.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._answered.wait(), seconds)
        return window.has_room

    async def _hear(self, message: Msg) -> None:
        number = int(message.subject.rpartition(".")[2])
        if self.failure.done() or not self._window.holds(number):
            return  # of a try before this one
        try:
            self._take(number, message)
        except EngineError as error:
            self.failure.set_exception(error)
        self._answered.set()

    def _take(self, number: int, message: Msg) -> None:
        if message.headers and message.headers.get("Status") == "503":
            raise NoAnswer("nobody stores it: the stream is gone, or JetStream does not run")
        answer = json.loads(message.data)
        if "error" in answer:
            error = error_of(answer["error"])
            if error.code not in _WRONG_LAST:
                raise error
            if self._window.is_first(number):
                raise Fenced(str(error), error.code)
            # As where its disk is full: it has not answered the one before this.
            raise EngineError("JetStream has not stored a message, and does not say why")
        link = self._window.stored(number)
        if link is None:
            raise EngineError("JetStream has not answered one message, but a later one")
        self._heard_at = time.monotonic()
        self._on_stored(link, int(answer["seq"]))


@contextlib.contextmanager
def _told() -> Any:
    """Turn what nats-py raises where a connection has broken into an EngineError."""
    try:
        yield
    except (nats.errors.Error, asyncio.TimeoutError, OSError) as error:
        raise EngineError(f"{BROKEN} ({str(error) or type(error).__name__})") from None
