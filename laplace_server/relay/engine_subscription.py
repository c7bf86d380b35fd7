"""Subscriptions that come out of NATS."""

from __future__ import annotations

import itertools
from typing import Any

from laplace_server.client.asyncio.subscription import AsyncSubscription
from laplace_server.client.ledger import Ledger
from laplace_server.client.names import Place
from laplace_server.client.subscription import BaseSubscription
from laplace_server.client.subscription_protocol import SubscriptionProtocol
from laplace_server.client.subscription_steps import Connect
from laplace_server.client.sync.subscription import Subscription
from laplace_server.errors import RemoteError
from laplace_server.relay.connection import SILENT
from laplace_server.relay.directory import ABSENT
from laplace_server.relay.engine_connection import AsyncEngineConnection, EngineConnection
from laplace_server.relay.engine_reader import EngineStream

_FIND_S = 60.0  # an old number, over a long path


class _EngineProtocol(SubscriptionProtocol):
    """Knows neither names to look up nor a server that is slow to answer."""

    def __init__(self, address: str, name: str, stream: str, **options: Any) -> None:
        super().__init__("tcp://0.0.0.0:0", name, stream, **options)
        self.address = address
        self.place = Place("tcp://0.0.0.0:0")  # a numeric one: nothing is looked up

    def asked(self, question: Connect, now: float) -> None:
        super().asked(question, now)
        question.session.due_at = now + _FIND_S
        question.session.useless = self._trouble or SILENT  # until this attempt has failed, too

    def _granted_life(self, epoch: int) -> Ledger | None:
        # A life that is over can still be read, and those behind it: what has come is left out.
        return self._of_life(epoch) or self._ledger

    def _is_absence(self, error: RemoteError) -> bool:
        return str(error).startswith(ABSENT)

    def _is_younger(self, age_s: float) -> bool:
        return False  # the reader sees to that


class _FromEngine(BaseSubscription):
    """What subscriptions out of NATS have in common."""

    _kind: type[EngineConnection] | type[AsyncEngineConnection]
    _connection: Any
    _numbers: itertools.count[int]

    def __init__(self, engine_stream: EngineStream, address: str, **options: Any) -> None:
        self._engine_stream = engine_stream
        super().__init__(address, stream=engine_stream.subject.stream, **options)

    def _new_protocol(self, *arguments: Any, **options: Any) -> SubscriptionProtocol:
        return _EngineProtocol(*arguments, **options)

    def _connect(self, question: Connect | None) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if question is not None:
            followed = self._protocol
            self._connection = self._kind(
                self._engine_stream, question, followed.missing, followed.incoming, self._numbers
            )


class EngineSubscription(_FromEngine, Subscription):
    """A ``Subscription`` out of NATS, as ``NatsDevice.subscribe`` makes them."""

    _kind = EngineConnection


class AsyncEngineSubscription(_FromEngine, AsyncSubscription):
    """An ``AsyncSubscription`` out of NATS, as ``AsyncNatsDevice.subscribe`` makes them."""

    _kind = AsyncEngineConnection
