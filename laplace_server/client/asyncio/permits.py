"""So many at once, the others in order."""

from __future__ import annotations

from laplace_server.client.asyncio.bell import Bell


class Permits:
    """So many are given at once; who waits for one gets it in order.

    An exception out of a signal handler may come between any two steps, and keep a permit from
    being given back: then it is when it is collected.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._given: set[int] = set()  # by id
        self._waiting: dict[Permit, None] = {}

    def ask(self) -> Permit:
        """Return one that is given, or will be: then its bell rings."""
        permit = Permit(self._given)
        if self._waiting or len(self._given) >= self._most:
            self._waiting[permit] = None
            self._give()  # where an interrupted end has not
        else:
            self._given.add(id(permit))
        return permit

    def end(self, permit: Permit) -> None:
        """Give it back, or wait for it no more."""
        self._waiting.pop(permit, None)
        self._given.discard(id(permit))
        self._give()

    def _give(self) -> None:
        while self._waiting and len(self._given) < self._most:
            permit = next(iter(self._waiting))
            self._given.add(id(permit))
            permit.bell.ring()
            self._waiting.pop(permit, None)


class Permit:
    """Of one that asked."""

    def __init__(self, given: set[int]) -> None:
        self._given = given
        self.bell = Bell()

    @property
    def is_given(self) -> bool:
        return id(self) in self._given

    def __del__(self) -> None:
        self._given.discard(id(self))
