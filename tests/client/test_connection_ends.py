"""A client's own connection in forked children, without descriptors, and what it leaves behind."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.forked import Forked
from support.isolated import run_script
from support.machine import LINUX, MACOS, descriptors, memory, native_threads, resident
from support.peers import PATIENCE_S
from support.raw_listeners import RawListener, message, opened

from laplace_server.client._frames import REQ

pytestmark = pytest.mark.transports()  # no server

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@forks
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_only_lets_go_of_its_copy() -> None:
    with RawListener() as listener:
        connection, end = opened(listener)
        assert connection.send([bytes(30 << 20)])
        end.send(message(b"unread"))

        def child() -> None:
            assert connection.broken
            assert "process" in connection.trouble
            assert not connection.send([b"from the child"])
            assert connection.receive(PATIENCE_S) is None
            connection.wait(PATIENCE_S)
            connection.interrupt()
            number = connection.fileno()
            os.fstat(number)
            connection.close(PATIENCE_S)
            assert connection.fileno() == -1
            with pytest.raises(OSError, match="descriptor"):
                os.fstat(number)

        with Forked(child):
            assert connection.receive(PATIENCE_S) == [b"unread"]
            assert not connection.broken
            assert connection.send([b"still here"])
        with ThreadPoolExecutor(1) as reader:
            reading = reader.submit(lambda: [end.read_message() for _ in range(2)])
            while connection.unsent:
                connection.wait(PATIENCE_S)
            got = reading.result(PATIENCE_S)
        assert [len(frames[0]) for frames in got] == [30 << 20, 10]
        connection.close()
        assert end.ended()


WAITING_FORK = """
    import os, sys, threading, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    from support.raw_listeners import RawListener, message, opened

    # A thread waits in it when the process is forked: the child has no such thread.
    with RawListener() as listener:
        connection, end = opened(listener)
        got = []
        waiting = threading.Thread(target=lambda: got.append(connection.receive(20.0)))
        waiting.start()
        in_use = False
        while not in_use:
            try:
                assert connection.receive(0.0) is None
            except RuntimeError:
                in_use = True
        child = os.fork()
        if child == 0:
            status = 1
            try:
                assert not connection.send([b"x"]) and connection.receive(0) is None
                connection.close()
                del connection
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        end.send(message(b"for the parent"))
        waiting.join(20)
        connection.close()
        print(got)
"""


@forks
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child")
def test_a_child_forked_while_a_thread_waits() -> None:
    assert run_script(WAITING_FORK) == "[[b'for the parent']]\n"


DESCRIPTORS = """
    import os, resource
    from support.raw_listeners import RawListener, message
    from laplace_server.client._frames import REQ, Connection

    found = []
    with RawListener() as listener:
        for free in range(4):
            held = []
            used = len(os.listdir("/proc/self/fd")) - 1
            limit = max(map(int, os.listdir("/proc/self/fd")))
            before = resource.getrlimit(resource.RLIMIT_NOFILE)
            # So many numbers below the limit are free.
            while True:
                number = os.open("/dev/null", os.O_RDONLY)
                held.append(number)
                if number > limit:
                    break
            resource.setrlimit(resource.RLIMIT_NOFILE, (number + 1 + free, before[1]))
            made = []
            try:
                for _ in range(free + 1):
                    made.append(Connection(REQ, "127.0.0.1", listener.port))
            except OSError as error:
                found.append((len(made), type(error).__name__, error.errno))
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for connection in made:
                end = listener.accept()
                connection.wait(20.0)
                end.open()
                assert connection.send([b"", b"x"])
                while connection.unsent:
                    connection.wait(20.0)
                assert end.read_message() == [b"", b"x"]
                connection.close()
            for number in held:
                os.close(number)
    print(found)
"""


@pytest.mark.skipif(not LINUX, reason="needs /proc")
def test_running_out_of_descriptors_at_any_count() -> None:
    assert run_script(DESCRIPTORS) == f"{[(free, 'OSError', 24) for free in range(4)]}\n"


def test_one_descriptor_and_no_thread() -> None:
    with RawListener() as listener:
        threads, before = native_threads(), descriptors()
        connection, end = opened(listener)
        assert native_threads() == threads
        if LINUX:
            assert descriptors() == before + 2  # and the other end
        end.send(message(b"x"))
        assert connection.receive(PATIENCE_S) == [b"x"]
        connection.close()
        if LINUX:
            assert descriptors() == before + 1


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors have other numbers there")
def test_no_program_inherits_it() -> None:
    with RawListener() as listener:
        connection, _ = opened(listener)
        assert not os.get_inheritable(connection.fileno())
        connection.close()


def test_no_memory_is_left_of_thousands() -> None:
    with RawListener() as listener:

        def one(number: int) -> None:
            connection, end = opened(listener)
            connection.send([b"", bytes(number % 5 * 30_000)])
            end.send(message(b"", bytes(number % 7 * 30_000), b"tail")[: -(number % 3) or None])
            connection.receive(0.0)
            if number % 2:
                connection.close()
            end.socket.close()

        for number in range(300):
            one(number)
        before, open_before = resident(), descriptors()
        for number in range(1500):
            one(number)
        assert resident() - before < memory(10)
        assert descriptors() <= open_before


def test_no_memory_is_left_of_messages() -> None:
    with RawListener() as listener:
        connection, end = opened(listener, REQ)

        def one(size: int) -> None:
            connection.send([b"", bytes(size)])
            end.read_message()
            end.send(message(b"", bytes(size)))
            assert connection.receive(PATIENCE_S) is not None

        for size in (0, 100, 10_000, 60_000):
            one(size)
        before = resident()
        for number in range(4000):
            one((0, 100, 10_000, 60_000)[number % 4])
        assert resident() - before < memory(5)
        connection.close()
