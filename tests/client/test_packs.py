"""Updates as the server sent them, undecoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from support.both_clients import Kind
from support.peers import PATIENCE_S, address_of
from support.serving import MakeServer
from support.updates import publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client._frames import stream_text
from laplace_server.client.packs import Pack
from laplace_server.errors import ClientClosed

HEADER = 64  # bytes


def numbers_in(pack: Pack) -> list[int]:
    texts = stream_text(pack.frames[0], pack.last - pack.first + 1)
    return [each["n"] for each in orjson.loads(texts)]


def taken(packs: Any, upto: int) -> list[Pack]:
    found: list[Pack] = []
    while not found or found[-1].last < upto:
        found.extend(packs.take(PATIENCE_S))
    return found


def test_packs_hold_all_updates_in_order(server: ServerLHC, client: Any) -> None:
    publish(server, 1, 1000)
    with client.subscribe_packs("s", start="oldest") as packs:
        found = taken(packs, 1000)
        publish(server, 1001, 1010)
        found += taken(packs, 1010)
        assert packs.lost == packs.lag == 0
    assert [n for pack in found for n in numbers_in(pack)] == list(range(1, 1011))
    assert len(found) < 500
    assert {pack.epoch for pack in found} == {server.epoch}
    assert all(pack.lost_before == 0 for pack in found)
    assert found[0].first == 1
    assert found[-1].following == (server.epoch, 1010)


def test_arrays_are_frames(server: ServerLHC, client: Any) -> None:
    image = np.arange(6, dtype=np.uint16)
    server.publish("images", {"image": image, "n": 1}, timestamp=12.5)
    with client.subscribe_packs("images", start="oldest") as packs:
        pack = packs.next(PATIENCE_S)
    assert (pack.first, pack.last, pack.timestamp) == (1, 1, 12.5)
    assert [bytes(frame) for frame in pack.frames[1:]] == [image.tobytes()]


def test_what_left_the_history_is_lost_before_a_pack(make_server: MakeServer, kind: Kind) -> None:
    server = make_server()
    server.declare_stream("s", history_count=5)
    publish(server, 1, 1)
    with kind(address_of(server), timeout_s=PATIENCE_S) as client:
        with client.subscribe_packs("s", start=1, timeout_s=PATIENCE_S) as packs:
            assert packs.next(PATIENCE_S).last == 1
        publish(server, 2, 10)
        with client.subscribe_packs("s", start=(server.epoch, 1)) as packs:
            pack = packs.next(PATIENCE_S)
            assert (pack.first, pack.lost_before, packs.lost) == (6, 4, 4)


def test_an_ended_epoch_is_told(make_server: MakeServer, kind: Kind) -> None:
    server = make_server()
    publish(server, 1, 3)
    with kind(address_of(server), timeout_s=PATIENCE_S) as client:
        with client.subscribe_packs("s", start="oldest") as packs:
            taken(packs, 3)
            server.stop()
            wait_until(lambda: _reads_nothing(packs) and packs.server_ended, "the end is told")
            assert [(each.received, each.complete) for each in packs.ended] == [(3, True)]


def _reads_nothing(packs: Any) -> bool:
    with pytest.raises(TimeoutError):
        packs.next(0.01)
    return True


def test_closed_it_gives_no_more(server: ServerLHC, client: Any) -> None:
    publish(server, 1, 3)
    packs = client.subscribe_packs("s", start="oldest")
    with packs as begun:
        begun.close()
        with pytest.raises(ClientClosed):
            begun.next(PATIENCE_S)
