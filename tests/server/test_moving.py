"""What the data says of moves that the program tells of."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from typing import Any

import numpy as np
import pytest
from support.isolated import run_script
from support.peers import PATIENCE_S, Connect
from support.serving import MakeServer, client_of

from laplace_server import ServerLHC


@pytest.fixture
def server(make_server: MakeServer) -> ServerLHC:
    server: ServerLHC = make_server(data={"positions": [0.0]})
    return server


def test_moving_says_so_until_the_end(server: ServerLHC, connect: Connect) -> None:
    client = connect(server)
    assert client.get() == {"positions": [0.0]}
    server.begin_move()
    assert client.get() == {"positions": [0.0], "moving": True} == server.data
    for copy in (False, True):
        server.set_data({"positions": [1.0], "moving": False}, copy=copy)
        assert client.get() == {"positions": [1.0], "moving": True}
        server.set_data({"positions": [2.0]}, copy=copy)
        assert client.get() == {"positions": [2.0], "moving": True}
    server.end_move()
    assert client.get() == {"positions": [2.0], "moving": False}


def test_the_key_stays_and_the_program_s_word_counts(server: ServerLHC, connect: Connect) -> None:
    client = connect(server)
    server.end_move()
    assert client.get() == {"positions": [0.0]}
    server.begin_move()
    server.end_move()
    server.end_move()
    server.set_data({"positions": [1.0]})
    assert client.get() == {"positions": [1.0], "moving": False}
    server.set_data({"moving": "by hand"})
    assert client.get() == {"moving": "by hand"}
    server.empty_data()
    assert client.get() == {"moving": False}


def test_a_list_stays_one(server: ServerLHC, connect: Connect) -> None:
    client = connect(server)
    server.set_data({"moving": [False, False]})
    server.begin_move()
    assert client.get() == {"moving": [True, True]}
    server.set_data({"moving": [False, False, False]})
    assert client.get() == {"moving": [True, True, True]}
    server.end_move()
    assert client.get() == {"moving": [False, False, False]}


@dataclasses.dataclass
class ByName:
    x: bool
    y: list[bool]


SHAPES: list[tuple[Any, Any]] = [
    ((False, False), [1, 1]),
    ([[False], [False, 0]], [[1], [1, 1]]),
    ({0: False, "x": [False]}, {"0": 1, "x": [1]}),
    (ByName(x=False, y=[False]), {"x": 1, "y": [1]}),
    ({False}, [1]),
    ({}, {}),
    (np.zeros(2, bool), [1, 1]),
    (np.zeros((2, 3), np.uint8), [[1, 1, 1]] * 2),
    (np.ma.masked_array([0, 1], [True, False]), [1, 1]),
    ([np.zeros(1, bool), False], [[1], 1]),
    (np.zeros((0, 2)), []),
    (np.array(False), 1),
    (np.bool_(False), 1),
    (0.0, 1),
    (None, 1),
    ("no", 1),
]


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize(("own", "ones"), SHAPES, ids=str)
def test_it_is_said_for_each_axis_where_the_program_does(
    server: ServerLHC, connect: Connect, own: Any, ones: Any, copy: bool
) -> None:
    def with_bools(value: Any, moving: bool) -> Any:
        if isinstance(value, dict):
            return {key: with_bools(each, moving) for key, each in value.items()}
        if isinstance(value, list):
            return [with_bools(each, moving) for each in value]
        return moving

    client = connect(server)
    server.set_data({"moving": own}, copy=copy)
    for begun_before in (False, True):
        with server.begin_move():
            if begun_before:
                server.set_data({"moving": own}, copy=copy)
            assert client.get() == {"moving": with_bools(ones, True)}
        assert client.get() == {"moving": with_bools(ones, False)}


def test_who_follows_the_data_gets_an_array_still(server: ServerLHC) -> None:
    with client_of(server) as client, client.subscribe("data") as updates:
        server.set_data({"moving": np.zeros((2, 2), np.uint8)})
        with server.begin_move():
            pass
        seen = [updates.next(PATIENCE_S).data["moving"] for _ in range(3)]
    assert [each.shape for each in seen] == [(2, 2)] * 3
    assert [(each.any(), each.all()) for each in seen] == [(False,) * 2, (True,) * 2, (False,) * 2]


def test_circular_data_during_a_move_is_an_error_as_ever(
    server: ServerLHC, connect: Connect
) -> None:
    circular: list[Any] = []
    circular += [circular, circular]
    with server.begin_move():
        server.set_data({"moving": circular, "too": circular})
        assert connect(server).ask("GET")["error_msg"]
        server.set_data({"moving": circular})
        assert connect(server).get() == {"moving": True}


# ---- another key is described


def test_another_key_is_described_during_a_move(server: ServerLHC, connect: Connect) -> None:
    client = connect(server)
    server.begin_move()
    server.describe("positions", writable=True, moving="busy")
    assert client.get() == {"positions": [0.0], "busy": True}
    server.set_data({"positions": [1.0], "moving": "mine", "busy": [False, False]})
    assert client.get() == {"positions": [1.0], "moving": "mine", "busy": [True, True]}
    server.describe("positions", writable=True)
    assert client.get() == {"positions": [1.0], "moving": True, "busy": [False, False]}
    server.describe("positions", writable=True, moving="busy")
    assert client.get() == {"positions": [1.0], "moving": "mine", "busy": [True, True]}
    server.end_move()
    assert client.get() == {"positions": [1.0], "moving": "mine", "busy": [False, False]}


def test_the_program_s_word_of_before_the_move_comes_back(
    server: ServerLHC, connect: Connect
) -> None:
    client = connect(server)
    server.set_data({"moving": [False, True], "busy": "idle"})
    first = server.begin_move()
    server.begin_move()
    server.describe("positions", writable=True, moving="busy")
    assert client.get() == {"moving": [False, True], "busy": True}
    first.end()
    assert client.get() == {"moving": [False, True], "busy": True}
    server.end_move()
    assert client.get() == {"moving": [False, True], "busy": False}


def test_another_key_is_described_at_rest(server: ServerLHC, connect: Connect) -> None:
    client = connect(server)
    server.describe("positions", writable=True, moving="busy")
    assert client.get() == {"positions": [0.0]}
    with server.begin_move():
        assert client.get() == {"positions": [0.0], "busy": True}
    server.describe("positions", writable=True, moving="in_motion")
    assert client.get() == {"positions": [0.0], "busy": False, "in_motion": False}
    server.set_data({"busy": "by hand", "in_motion": [True]})
    server.describe("positions", writable=True, moving="busy")
    assert client.get() == {"busy": "by hand", "in_motion": [True]}


def test_what_else_is_described_changes_no_data(server: ServerLHC) -> None:
    with server.begin_move(), client_of(server) as client, client.subscribe("data") as updates:
        server.describe("positions", writable=True, unit="mm", moving="moving")
        server.describe("image", stream="images", moving="shutter")
        with pytest.raises(ValueError, match="another key"):
            server.describe("positions", writable=True, moving="positions")
        server.set_data({"positions": [1.0]})
        assert updates.next(PATIENCE_S).data == {"positions": [1.0], "moving": True}


def test_keys_are_described_while_data_is_set(server: ServerLHC, connect: Connect) -> None:
    """Whichever key it is, what clients see says that the device moves under one at least."""
    ended = threading.Event()

    def update() -> None:
        while not ended.is_set():
            server.set_data({"positions": [0.0]}, copy=True)

    client = connect(server)
    server.begin_move()
    updating = threading.Thread(target=update)
    updating.start()
    try:
        for n in range(100):
            server.describe("positions", writable=True, moving=("busy", "moving")[n % 2])
            data = client.get()
            del data["positions"]
            assert data == {("busy", "moving")[n % 2]: True}
    finally:
        ended.set()
        updating.join()


def test_each_move_ends_by_itself(server: ServerLHC, connect: Connect) -> None:
    client = connect(server)
    first, second = server.begin_move(), server.begin_move()
    first.end()
    first.end()
    assert client.get()["moving"] is True
    second.end()
    assert client.get()["moving"] is False
    first = server.begin_move()
    server.end_move()
    server.begin_move()
    first.end()  # ended before; not the one that goes on
    assert client.get()["moving"] is True
    server.end_move()


def test_a_block_is_a_move(server: ServerLHC, connect: Connect) -> None:
    client = connect(server)
    with pytest.raises(OSError, match="stuck"), server.begin_move():
        assert client.get()["moving"] is True
        raise OSError("stuck")
    assert client.get()["moving"] is False


def test_what_is_in_the_data_is_followed_as_ever(server: ServerLHC, connect: Connect) -> None:
    client = connect(server)
    positions = [0.0]
    server.set_data({"positions": positions})
    with server.begin_move():
        positions[0] = 1.0
        assert client.get() == {"positions": [1.0], "moving": True}
        server.set_data({"positions": positions})
        positions[0] = 2.0
        assert client.get() == {"positions": [2.0], "moving": True}


def test_who_follows_the_data_sees_it(server: ServerLHC) -> None:
    server.declare_stream("data")
    with client_of(server) as client, client.subscribe("data", start="oldest") as updates:
        with server.begin_move():
            server.set_data({"positions": [1.0]})
        seen = [updates.next(PATIENCE_S).data for _ in range(3)]
    assert seen == [
        {"positions": [0.0], "moving": True},
        {"positions": [1.0], "moving": True},
        {"positions": [1.0], "moving": False},
    ]


def test_wrong_data_is_refused_as_ever(server: ServerLHC, connect: Connect) -> None:
    with server.begin_move():
        wrong: Any = [1]
        with pytest.raises(TypeError, match="dict"):
            server.set_data(wrong)
        with pytest.raises(TypeError):
            server.set_data({"a": object()}, copy=True)
        assert connect(server).get() == {"positions": [0.0], "moving": True}


def test_not_where_data_is_given_away(make_server: MakeServer) -> None:
    server = make_server(empty_data_after_get=True)
    with pytest.raises(RuntimeError, match="empty_data_after_get"):
        server.begin_move()


def test_data_set_while_the_first_move_begins(server: ServerLHC, connect: Connect) -> None:
    """It was on its way already, and says nothing of the move."""
    client = connect(server)

    class Late(dict[str, Any]):
        """Data whose copying lets a move begin."""

        def items(self) -> Any:
            server.begin_move()
            return super().items()

    server.set_data(Late(positions=[1.0], moving=False), copy=True)
    assert client.get()["moving"] is True


def test_many_threads(server: ServerLHC, connect: Connect) -> None:
    """Whatever they set, the data says that the device moves while any move goes on."""
    ended = threading.Event()

    def update() -> None:
        while not ended.is_set():
            server.set_data({"positions": [0.0], "moving": False})

    threads = [threading.Thread(target=update) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        client = connect(server)
        for _ in range(100):
            with server.begin_move():
                assert all(client.get()["moving"] for _ in range(3))
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_forked_child_is_told_and_does_not_hang() -> None:
    printed = run_script(
        """
        import os, threading, warnings
        from laplace_server import ServerLHC
        from laplace_server.errors import ForkedServerError
        warnings.simplefilter("ignore")
        server = ServerLHC("forked", "tcp://127.0.0.1:*", 1, "MOTOR", data={"x": 1})
        server.begin_move()
        held, done = threading.Event(), threading.Event()

        def hold():
            with server._ServerLHC__laplace_engine.moving.lock:
                held.set()
                done.wait()

        threading.Thread(target=hold).start()
        held.wait()
        child = os.fork()
        if child == 0:
            for call in (server.begin_move, server.end_move, lambda: server.set_data({})):
                try:
                    call()
                except ForkedServerError:
                    print("told", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        done.set()
        server.stop()
        """
    )
    assert printed.split() == ["told"] * 3


def test_nothing_is_kept_of_a_server_that_has_gone(make_server: MakeServer) -> None:
    server = make_server(start=False)
    before = sys.getrefcount(server)
    server.begin_move()
    server.end_move()
    assert sys.getrefcount(server) == before
