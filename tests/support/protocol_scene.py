"""A subscription without a socket, and what it was told to do."""

from __future__ import annotations

import itertools
import json
from typing import Any

from support.stream_messages import answer, control_of

from laplace_server.client.ledger import EndedEpoch
from laplace_server.client.subscription_protocol import SubscriptionProtocol
from laplace_server.client.subscription_steps import FIRST_RETRY_S, Connect, Send, State


class Scene:
    """A subscription, a clock and the numbers that it gave out."""

    def __init__(
        self, *, granted: bool = True, address: str = "tcp://10.0.0.1:1", **arguments: Any
    ) -> None:
        given = {"start": "latest", "latest_only": False, "credit_bytes": 1 << 20, **arguments}
        self.now = 100.0
        self.numbers = itertools.count(1)
        self.protocol = SubscriptionProtocol(address, "me", "s", **given, now=self.now)
        if granted:
            self.ask()
            self.take(answer())
            assert self.state is State.FOLLOWING

    @property
    def state(self) -> State:
        return self.protocol.state

    @property
    def ended(self) -> tuple[EndedEpoch, ...]:
        return self.protocol.ledger.life.ended

    def ask(self, *, made: bool = True) -> dict[str, Any]:
        """Open the connection that is wanted now; what it asks for."""
        step = self.protocol.todo(self.now)
        assert isinstance(step, Connect), step
        assert self.protocol.todo(self.now) is step  # until it is done
        self.protocol.asked(step, self.now)
        if made:
            self.protocol.made(self.now)
            self.protocol.ready()
        message: dict[str, Any] = json.loads(step.body)
        return message["payload"]  # type: ignore[no-any-return]

    def take(self, frames: list[bytes]) -> None:
        self.protocol.incoming.append((next(self.numbers), frames))
        self.protocol.read(self.now)

    def got(self, frames: list[bytes]) -> list[tuple[int, int]]:
        """Number and lost_before of what a message brings."""
        self.take(frames)
        found = list(self.protocol.batch)
        assert all(update.data == {"n": update.seq} for update in found)
        assert all(update.timestamp == update.seq for update in found)
        return [(update.seq, update.lost_before) for update in found]

    def gone(self) -> None:
        """The connection is broken, after a while, and all that came is read."""
        if self.state is State.FOLLOWING:
            self.now += FIRST_RETRY_S
        self.protocol.broken()
        self.protocol.nothing(self.now)

    def credit(self) -> dict[str, int] | None:
        step = self.protocol.todo(self.now)
        if step is None:
            return None
        assert isinstance(step, Send), step
        assert self.protocol.todo(self.now) == step  # until it is done
        self.protocol.sent(step)
        return control_of(step.body)

    def due_in(self) -> float:
        return round(self.protocol.until - self.now, 6)
