"""What the core is told of keys, and what it refuses to be told."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from support.isolated import run_script
from support.keys import Pair, keys_of, new_pair
from support.peers import Peer
from support.serving import serving
from zmq.utils import z85

from laplace_server.server import _core
from laplace_server.server._core import ANONYMOUS, MAX_ROLES, ServerKeys
from laplace_server.server.engine import engine_of
from laplace_server.wire import libsodium

OWN = bytes(range(32))
ONE, OTHER = b"1" * 32, b"2" * 32


@pytest.fixture(autouse=True)
def sodium() -> None:
    libsodium.load(_core.load_sodium)


def test_keys_that_can_be() -> None:
    ServerKeys(OWN, [])
    ServerKeys(OWN, [(ONE, 0, 1), (OTHER, MAX_ROLES - 1, 2**32 - 1)])
    ServerKeys(OWN, iter([(ONE, 1, 1), (OTHER, 1, 2)]))


@pytest.mark.parametrize(
    ("own", "clients", "problem"),
    [
        (OWN[:-1], [], ValueError),
        (OWN + b"x", [], ValueError),
        (None, [], TypeError),
        ("x" * 32, [], TypeError),
        (OWN, None, TypeError),
        (OWN, [(ONE[:-1], 1, 1)], ValueError),
        (OWN, [(None, 1, 1)], TypeError),
        (OWN, [(bytearray(ONE), 1, 1)], TypeError),
        (OWN, [(ONE, -1, 1)], ValueError),
        (OWN, [(ONE, MAX_ROLES, 1)], ValueError),
        (OWN, [(ONE, "view", 1)], TypeError),
        (OWN, [(ONE, 1, 0)], ValueError),
        (OWN, [(ONE, 1, 2**32)], ValueError),
        (OWN, [(ONE, 1)], ValueError),
        (OWN, [(ONE, 1, 1), (ONE, 1, 2)], ValueError),
        (OWN, [(ONE, 1, 1), (OTHER, 1, 1)], ValueError),
    ],
)
def test_keys_that_cannot_be(own: Any, clients: Any, problem: type[Exception]) -> None:
    with pytest.raises(problem) as raised:
        ServerKeys(own, clients)
    assert "0102" not in str(raised.value)  # nothing of a secret
    assert "\\x01\\x02" not in str(raised.value)


def test_keys_tell_nothing() -> None:
    keys = ServerKeys(OWN, [(ONE, 1, 1)])
    assert repr(keys).startswith("<laplace_server.server._core.ServerKeys object at ")
    with pytest.raises(TypeError):
        pickle.dumps(keys)


def test_without_libsodium_there_are_none() -> None:
    script = (
        "from laplace_server.server._core import ServerKeys\n"
        "try:\n"
        "    ServerKeys(bytes(32), [])\n"
        "except RuntimeError as problem:\n"
        "    print(problem)\n"
    )
    assert "libsodium has not been loaded" in run_script(script)


@pytest.mark.transports("libzmq")
def test_libzmq_has_none() -> None:
    with serving() as server:
        core = engine_of(server).core
        core.use_keys(None, True)
        with pytest.raises(ValueError, match="libzmq"):
            core.use_keys(ServerKeys(OWN, []), True)


@pytest.mark.transports("tcp")
def test_keys_come_and_go_while_a_server_runs() -> None:
    own, client = new_pair(), new_pair()
    with serving() as server:
        core = engine_of(server).core
        for _ in range(3):
            core.use_keys(_keys(own, client), False)
            with Peer(server, options=keys_of(client, own.public)) as peer:
                assert peer.ask("PING")["error_msg"] is None
            core.use_keys(None, True)
            with Peer(server) as peer:
                assert peer.ask("PING")["error_msg"] is None


def _keys(own: Pair, client: Pair) -> ServerKeys:
    return ServerKeys(z85.decode(own.secret), [(z85.decode(client.public), ANONYMOUS + 1, 1)])
