"""What the data says of moves that the program tells of."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

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
