"""Is the server of a quiet stream still there?"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from laplace_server.client import ClientLHC

_QUIET_S = 1.5
_PERIOD_S = 1.0
_TIMEOUT_S = 2.0
# A server that is there has answered by then, also one far away.
_GONE_S = 3.5


class Watch(threading.Thread):
    """Pings the server, once a second, while nothing else is heard of it.

    Args:
        client: of the server; None where the stream comes out of NATS, which nobody has to ask: the
            subscription hears of it.
    """

    def __init__(self, client: ClientLHC | None) -> None:
        super().__init__(name="watch")
        self._client = client
        self._ending = threading.Event()
        self.heard = time.monotonic()
        """When there was a word from the server; whoever hears one writes it down."""

    def is_gone(self, now: float) -> bool:
        """Say whether the server does not answer; ``now`` is of ``time.monotonic()``."""
        return self._client is not None and now - self.heard > _GONE_S

    @property
    def who(self) -> str:
        """Whom the stream comes from."""
        return "NATS" if self._client is None else "the server"

    def run(self) -> None:
        """Ask until closed."""
        from laplace_server.errors import RemoteError, RequestTimeout

        while self._client is not None and not self._ending.wait(_PERIOD_S):
            if time.monotonic() - self.heard < _QUIET_S:
                continue
            try:
                self._client.ping(timeout_s=_TIMEOUT_S)
            except RequestTimeout:
                continue
            except RemoteError:
                pass  # it is there
            except Exception:
                if self._ending.is_set():
                    return  # the client was closed under way
                continue
            self.heard = time.monotonic()

    def close(self) -> None:
        """End the thread, and the client with it: a ping under way would take its time."""
        self._ending.set()
        if self._client is not None:
            self._client.close()
        self.join()
