"""What both kinds of witnesses share: clients that ask, follow, and keep accounts of both.

Settings: ``address``, ``keys``; ``who``, its number; ``outcomes``, a file; ``pause_s`` between two
requests; ``timeout_s`` of each; ``follow``, whether there is a stream; ``breach``, which promise
to break on purpose: "", "lost", "doubled", "order".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reliability.common.accounts import Account
from reliability.common.journal import NOT_CARRIED_OUT, UNKNOWN
from reliability.roles.device import intact

LOOK_S = 0.2
"""How long a witness waits for an update before it looks whether it is over."""
BREACH_AT = 20
"""The number of updates after which a promise is broken on purpose."""

_REFUSED = ("the request was not carried out", "Server busy")


def outcome_of(problem: Exception, account: Account) -> bytes:
    """Return how a request ended that raised; what no request may raise is a fault."""
    import zmq

    from laplace_server.errors import InvalidReply, RemoteError, RequestTimeout

    if isinstance(problem, RequestTimeout):
        return UNKNOWN if problem.reason is None else NOT_CARRIED_OUT
    if isinstance(problem, RemoteError) and not isinstance(problem, InvalidReply):
        refused = any(text in str(problem) for text in _REFUSED)
        return NOT_CARRIED_OUT if refused else UNKNOWN
    if isinstance(problem, zmq.ZMQError):
        return NOT_CARRIED_OUT  # no descriptors
    account.fault(f"a request raised {type(problem).__name__}: {problem}")
    return UNKNOWN


class Follower:
    """Takes updates into an account, until a certain one has come."""

    def __init__(self, breach: str) -> None:
        self.account = Account()
        self.lost = 0
        """As the subscription counts."""
        self._breach = breach
        self._count = 0
        self._held: Any = None
        self._wanted = (0, 0)

    def take(self, update: Any, subscription: Any) -> None:
        """Count an update that a subscription gave."""
        for each in self._spoiled(update):
            self.account.take(each, intact)
        self.account.end(subscription.ended)
        self.lost = subscription.lost

    def _spoiled(self, update: Any) -> Iterator[Any]:
        self._count += 1
        if self._breach and self._count == BREACH_AT:
            if self._breach == "doubled":
                yield update
                yield update
            elif self._breach == "order":
                self._held = update
            return  # "lost"
        yield update
        if self._held is not None:
            yield self._held
            self._held = None

    def reached(self, epoch: int, last: int) -> bool:
        """Whether all up to that update has come, or was told as lost."""
        self._wanted = epoch, last
        life = self.account.lives.get(epoch)
        return last == 0 or (life is not None and life.next > last)

    def report(self, reached: bool) -> dict[str, Any]:
        """Return the account, with what the subscription itself says."""
        if not reached:
            lives = {epoch: life.next for epoch, life in self.account.lives.items()}
            self.account.fault(f"of {self._wanted} the last has not come; next were {lives}")
        elif self.lost != self.account.told():
            self.account.fault(f"it counts {self.lost} as lost, and told of {self.account.told()}")
        return self.account.report()
