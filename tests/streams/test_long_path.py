"""Subscriptions over a long path: it is filled, nothing is lost, and it may break anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from support.both_clients import Kind
from support.machine import within
from support.peers import PATIENCE_S
from support.proxy import Proxy

from laplace_server import ServerLHC
from laplace_server.client.credit_window import FEW

DELAY_S = 0.05
MIB = 1 << 20


def publish_images(server: ServerLHC, first: int, last: int) -> None:
    for n in range(first, last + 1):
        server.publish("s", {"n": n, "image": np.full(MIB, n, "u1")}, copy=False)


def check_images(updates: Iterable[Any], first: int, last: int) -> None:
    """All of these come, each once, in order and whole."""
    expected = first
    for update in updates:
        assert (update.seq, update.data["n"], update.lost_before) == (expected, expected, 0)
        assert update.data["image"].tobytes() == bytes([expected]) * MIB
        if expected == last:
            return
        expected += 1
    raise AssertionError("it has ended")


def test_large_arrays_fill_a_long_path(kind: Kind, server: ServerLHC) -> None:
    with Proxy(server.server_port, delay_s=DELAY_S) as path:
        with kind(path.address, timeout_s=PATIENCE_S) as client:
            with client.subscribe("s") as subscription:
                publish_images(server, 1, 40)
                check_images(subscription, 1, 40)
                assert (subscription.lost, subscription.ended) == (0, ())
        assert path.most_on_the_way > 2 * MIB
        assert path.accepted == 1


def test_a_small_credit_bounds_what_is_on_its_way(kind: Kind, server: ServerLHC) -> None:
    with Proxy(server.server_port, delay_s=DELAY_S) as path:
        with kind(path.address, timeout_s=PATIENCE_S) as client:
            with client.subscribe("s", credit_bytes=MIB // 2) as subscription:
                publish_images(server, 1, 8)
                check_images(subscription, 1, 8)
                assert subscription.lost == 0
        assert path.most_on_the_way < 1.1 * MIB


def test_small_arrays_fill_a_long_path(kind: Kind, server: ServerLHC) -> None:
    """Each is a message, and the few that suffice on a short path would be few in a round trip."""
    with Proxy(server.server_port, delay_s=DELAY_S) as path:
        with kind(path.address, timeout_s=PATIENCE_S) as client:
            with client.subscribe("s") as subscription:
                for n in range(1, 3001):
                    server.publish("s", {"n": n, "a": np.full(8, n)})
                most = 0
                for n in range(1, 3001):
                    update = next(subscription)
                    assert (update.seq, int(update.data["a"][-1])) == (n, n)
                    (ledger,) = server._core.streams.ledgers()
                    most = max(most, ledger["next"] - 1 - n)
                assert subscription.lost == 0
    assert most > 4 * FEW


def test_the_latest_update_over_a_long_path_is_alone(kind: Kind, server: ServerLHC) -> None:
    with Proxy(server.server_port, delay_s=DELAY_S) as path:
        with kind(path.address, timeout_s=PATIENCE_S) as client:
            with client.subscribe("s", latest_only=True) as subscription:
                publish_images(server, 1, 40)
                seqs = [next(subscription).seq]
                while seqs[-1] < 40:
                    seqs.append(next(subscription).seq)
                assert subscription.lost == 40 - len(seqs)
        assert path.most_on_the_way < 1.1 * MIB


@pytest.mark.timeout(within(60))
def test_a_long_path_breaks_within_arrays(kind: Kind, server: ServerLHC) -> None:
    """What was on its way is lost with it, and asked for again."""
    places = [MIB // 2, 2 * MIB + 70_000, 5 * MIB + 17, 9 * MIB + 900_000]
    path = Proxy(
        server.server_port,
        delay_s=DELAY_S,
        cut_after=lambda: places.pop(0) if places else None,
    )
    with path, kind(path.address, timeout_s=PATIENCE_S) as client:
        with client.subscribe("s") as subscription:
            publish_images(server, 1, 40)
            check_images(subscription, 1, 40)
            assert (subscription.lost, subscription.ended) == (0, ())
        assert path.cuts == 4
        assert path.accepted == 5
