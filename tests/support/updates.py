"""Updates that tests publish and count."""

from __future__ import annotations

import gc

from support.peers import PATIENCE_S

from laplace_server import ServerLHC
from laplace_server.stream import Subscription, Update


def publish(server: ServerLHC, first: int, last: int, stream: str = "s") -> None:
    """Updates of a stream that tell their numbers."""
    for n in range(first, last + 1):
        assert server.publish(stream, {"n": n}) == n


def publish_all(server: ServerLHC, count: int, pad: int = 0) -> None:
    data = {"pad": "p" * pad}
    for n in range(count):
        server.publish("s", {"n": n, **data})


def adds_up(updates: list[Update], first: int, last: int) -> bool:
    """Received and left out are all there were, in order."""
    position = first
    for update in updates:
        position += update.lost_before
        if update.seq != position:
            return False
        position += 1
    return position == last + 1


def updates_in_memory() -> int:
    gc.collect()
    return sum(type(each) is Update for each in gc.get_objects())


def numbers(subscription: Subscription, upto: int) -> list[int]:
    """Those of the updates up to one; what is lost before each must fit."""
    found: list[int] = []
    position = subscription._protocol.ledger.following
    while not found or found[-1] < upto:
        update = subscription.next(PATIENCE_S)
        assert update.seq == position + update.lost_before
        position = update.seq + 1
        found.append(update.seq)
    return found
