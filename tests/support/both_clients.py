"""The two clients by one name for each thing, so that one test can try both."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from support.event_loop import new_event_loop, run
from support.peers import PATIENCE_S

from laplace_server.client import AsyncClientLHC, ClientLHC
from laplace_server.gather import Gathering, gather


class _LoopThread:
    """An event loop in a thread of its own, which ends when the last of its users has left."""

    def __init__(self) -> None:
        self._loop = new_event_loop()
        self._users = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asyncio client")
        self._thread.start()

    def enter(self) -> None:
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self._loop.close()

    def wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._loop.is_closed():
            return run(coroutine)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


class _Blocking:
    """Something of asyncio whose methods wait; any thread may call them."""

    def __init__(self, made: Any, loop: _LoopThread) -> None:
        self.made = made
        self._loop = loop
        self._open = True
        loop.enter()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.made, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *arguments, **options: self._loop.wait_for(found(*arguments, **options))

    def __repr__(self) -> str:
        return repr(self.made)

    def close(self) -> None:
        self._loop.wait_for(self.made.close())
        if self._open:
            self._open = False
            self._loop.leave()

    def __enter__(self) -> Any:
        self._loop.wait_for(self.made.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BlockingAsyncClient(_Blocking):
    """An AsyncClientLHC that is used as a ClientLHC; its event loop ends with ``close()``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(AsyncClientLHC(*arguments, **options), _LoopThread())

    def subscribe(self, *arguments: Any, **options: Any) -> BlockingSubscription:
        return self._begin(self.made.subscribe, arguments, options)

    def subscribe_packs(self, *arguments: Any, **options: Any) -> BlockingSubscription:
        return self._begin(self.made.subscribe_packs, arguments, options)

    def _begin(self, subscribe: Any, arguments: Any, options: Any) -> BlockingSubscription:
        async def begin() -> Any:
            return await subscribe(*arguments, **options)

        return BlockingSubscription(self._loop.wait_for(begin()), self._loop)


class _BlockingIterator(_Blocking):
    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        async def take() -> Any:
            return await self.made.__anext__()

        try:
            return self._loop.wait_for(take())
        except StopAsyncIteration:
            raise StopIteration from None


class BlockingSubscription(_BlockingIterator):
    """An AsyncSubscription that is used as a Subscription."""


class BlockingGathering(_BlockingIterator):
    """An AsyncGathering that is used as a Gathering, with an event loop of its own."""

    def __init__(self, gathering: Any) -> None:
        super().__init__(gathering, _LoopThread())
        try:
            self.__enter__()
        except BaseException:
            self.close()
            raise


Kind = Callable[..., Any]
KINDS: dict[str, Kind] = {"sync": ClientLHC, "asyncio": BlockingAsyncClient}


def gather_blocking(sources: Any, *arguments: Any, **options: Any) -> Any:
    """``gather`` of clients of either kind."""
    made = {
        name: (getattr(client, "made", client), stream)
        for name, (client, stream) in sources.items()
    }
    gathering = gather(made, *arguments, **options)
    return gathering if isinstance(gathering, Gathering) else BlockingGathering(gathering)
