"""A forked child holds neither the port nor the connections of its parent's servers."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import subprocess
import sys
import threading

import pytest
import zmq
from forked import Forked
from machine import MACOS, WINDOWS
from raw_peers import PATIENCE_S, Peer, RawPeer, ask, request, run_script, serving, wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC

if not WINDOWS:
    import fcntl

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def make(address="tcp://127.0.0.1:*", **arguments):
    return ServerLHC("device", address, 1, "MOTOR", **arguments)


def listens(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, int(port)), 5).close()
    except OSError:
        return False
    return True


def inodes(*, of=None):
    """What each descriptor of this process means."""
    numbers = os.listdir("/dev/fd") if of is None else of
    found = {}
    for number in map(int, numbers):
        with contextlib.suppress(OSError):
            status = os.fstat(number)
            found[number] = (status.st_dev, status.st_ino, status.st_rdev)
    return found


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


IPV6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")

ADDRESSES = [
    ("tcp://127.0.0.1:*", "127.0.0.1"),
    ("tcp://*:*", "127.0.0.1"),
    ("tcp://0.0.0.0:*", "127.0.0.1"),
    ("tcp://localhost:*", "127.0.0.1"),
    pytest.param("tcp://[::1]:*", "::1", marks=IPV6),
    pytest.param("tcp://[::]:*", "::1", marks=IPV6),
    pytest.param("tcp://[::]:*", "127.0.0.1", marks=IPV6),
]


@pytest.mark.parametrize(("address", "host"), ADDRESSES)
@pytest.mark.parametrize("started", [True, False])
def test_the_port_is_free_after_stop_while_a_child_lives(address, host, started):
    server = make(address)
    try:
        if started:
            server.start()
        connection = socket.create_connection((host, int(server.server_port)), PATIENCE_S)
        if started:
            wait_until(lambda: server.stats().connections == 1, "it is accepted")
        with connection, Forked():
            assert listens(server.server_port, host)
            server.stop()
            assert not listens(server.server_port, host)
            connection.settimeout(PATIENCE_S)
            with contextlib.suppress(ConnectionError):
                while connection.recv(100):  # the greeting, then the end
                    pass
            with make(server.address) as second:
                assert listens(second.server_port, host)
    finally:
        server.stop()


def test_connections_go_on_in_the_parent_and_end_with_its_server():
    with serving(data={"x": 1}) as server, RawPeer(server) as raw, Peer(server) as peer:
        assert peer.ask("GET")["payload"] == {"data": {"x": 1}}
        with Forked(), Forked():
            raw.send(request("PING"))
            assert raw.receive()["error_msg"] is None
            for cmd in ("GET", "SET"):
                assert peer.ask(cmd, {"positions": 1})["error_msg"] is None
            assert server.stats().connections == 2
            server.stop()
            with pytest.raises(ConnectionError):
                raw.read_exactly(1)


def test_a_client_reaches_the_next_server_at_the_port():
    first = make(data={"life": 1})
    first.start()
    with ClientLHC(first.address, timeout_s=PATIENCE_S) as client:
        assert client.get() == {"life": 1}
        with Forked():
            first.stop()
            with make(first.address, data={"life": 2}):
                assert client.get() == {"life": 2}
            assert not listens(first.server_port)


def test_several_servers():
    servers = [make() for _ in range(4)]
    for server in servers[::2]:
        server.start()
    servers[0].stop()
    servers[1].stop()
    try:
        with Forked():
            for server in servers[2:]:
                assert listens(server.server_port)
                server.stop()
            assert not any(listens(server.server_port) for server in servers)
    finally:
        for server in servers:
            server.stop()


def test_multiprocessing():
    context = multiprocessing.get_context("fork")
    begun, ended = context.Event(), context.Event()

    def work():
        begun.set()
        ended.wait(PATIENCE_S)

    server = make()
    server.start()
    worker = context.Process(target=work)
    worker.start()
    try:
        assert begun.wait(PATIENCE_S)
        server.stop()
        assert not listens(server.server_port)
    finally:
        ended.set()
        worker.join()
    assert worker.exitcode == 0


def test_a_fork_in_a_callback():
    children = []
    with serving() as server, Peer(server) as peer:
        server.set_on_position_changed(lambda _: children.append(Forked()))
        try:
            assert peer.ask("SET", {"positions": 1})["error_msg"] is None
            server.stop()
            assert not listens(server.server_port)
        finally:
            for child in children:
                assert child.close() == 0
        assert len(children) == 1


def test_forks_in_a_thread_while_servers_come_and_go():
    """Whatever a constructor or stop() is just doing, no child keeps a port."""
    children, made = [], []
    ended = threading.Event()

    def fork():
        while not ended.is_set():
            children.append(Forked())

    forking = threading.Thread(target=fork)
    forking.start()
    try:
        for number in range(60):
            server = make()
            made.append(server.server_port)
            if number % 2:
                server.start()
                ask(server, "PING")
            if number % 3:
                server.stop()
            else:
                server.running.clear()
                wait_until(lambda s=server: not listens(s.server_port), "the port is free")
        ended.set()
        forking.join(PATIENCE_S)
        assert children
        assert not any(map(listens, made))
    finally:
        ended.set()
        forking.join(PATIENCE_S)
        for child in children:
            child.close()


def test_the_port_is_free_while_children_of_children_live():
    grandchildren = []
    with serving() as server, Forked(lambda: grandchildren.append(Forked(lambda: Forked()))):
        server.stop()
        assert not listens(server.server_port)


@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child that opens connections")
@pytest.mark.parametrize("same_port", [True, False])
def test_a_child_has_a_server_of_its_own(same_port):
    """Also at the parent's port, once that is free; and then its own children let go of it."""
    go, tell_go = os.pipe()
    port_of, tell_port = os.pipe()
    first = make(data={"whose": "parent"})
    first.start()

    def work():
        own = make("tcp://127.0.0.1:*" if not same_port else first.address)
        own.start()
        own.set_data({"whose": "child"}, copy=True)
        return own

    def wait_and_work():
        os.read(go, 1)
        own = work()
        os.write(tell_port, own.server_port.encode())
        os.read(go, 1)
        with Forked():
            own.stop()
            assert not listens(own.server_port)

    def live():
        thread = threading.Thread(target=wait_and_work)
        thread.start()

    try:
        with Forked(live):
            if same_port:
                first.stop()
            os.write(tell_go, b"1")
            port = int(os.read(port_of, 10))
            assert (port == int(first.server_port)) == same_port
            assert ask(f"tcp://127.0.0.1:{port}", "GET")["payload"] == {"data": {"whose": "child"}}
            if not same_port:
                assert ask(first, "GET")["payload"] == {"data": {"whose": "parent"}}
            os.write(tell_go, b"1")
            wait_until(lambda: not listens(port), "the child has stopped its own")
    finally:
        first.stop()
        for pipe in (go, tell_go, port_of, tell_port):
            os.close(pipe)


def test_what_else_the_child_inherits_stays_as_it_was():
    """All but the servers' sockets, by number; what replaces those keeps the numbers taken."""
    stopped = make()
    stopped.stop()
    with contextlib.ExitStack() as opened, serving() as server:
        keep = opened.enter_context
        port = int(server.server_port)
        kept = [keep(socket.socket()) for _ in range(3)]
        kept[0].bind(("127.0.0.1", 0))
        kept[0].listen()
        kept[1].bind(("127.0.0.1", int(stopped.server_port)))  # where a server was
        kept[1].listen()
        kept.append(keep(socket.create_connection(("127.0.0.1", port))))
        kept.append(keep(socket.create_connection(kept[0].getsockname())))
        kept.append(keep(socket.socket(type=socket.SOCK_DGRAM)))
        kept[-1].bind(("127.0.0.1", port))
        if not MACOS:  # which has one loopback address
            kept.append(keep(socket.socket()))
            kept[-1].bind(("127.0.0.2", port))
            kept[-1].listen()
        if has_ipv6():
            kept.append(keep(socket.socket(socket.AF_INET6)))
            kept[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            kept[-1].bind(("::", port))
            kept[-1].listen()
        kept.extend(map(keep, socket.socketpair()))
        wait_until(lambda: server.stats().connections == 1, "it is accepted")
        before, own = inodes(), inodes(of=[each.fileno() for each in kept])
        null = os.stat(os.devnull).st_rdev

        def work():
            assert inodes(of=own) == own
            after = inodes(of=before)
            assert after.keys() == before.keys()
            replaced = [number for number in before if after[number] != before[number]]
            assert len(replaced) == 2, "the listening socket and one connection"
            for number in replaced:
                assert after[number][2] == null
                assert not os.get_inheritable(number)

        with Forked(work):
            ask(server, "PING")
        assert inodes(of=own) == own


def test_a_child_without_a_free_descriptor():
    result = run_script(
        """
        import os, resource, socket, sys, warnings
        warnings.simplefilter("ignore")
        sys.path.insert(0, os.environ["LAPLACE_TESTS"])
        from forked import Forked
        from test_forks import listens, make
        server = make()
        server.start()
        probe = socket.create_connection(("127.0.0.1", int(server.server_port)))
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        child = None
        spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]
        filling = []
        try:
            while True:
                filling.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        for each in spare:  # for the pipes
            os.close(each)
        child = Forked()
        for each in filling:
            os.close(each)
        server.stop()
        assert not listens(server.server_port)
        assert child.close() == 0
        print("free")
        """,
        environment={"LAPLACE_TESTS": os.path.dirname(__file__)},
    )
    assert result.stdout.strip() == "free"
    assert result.stderr == ""


def test_programs_that_are_started_inherit_nothing():
    """Not even one that is told to inherit all: each descriptor of libzmq ends with exec."""
    before = inodes()
    with serving() as server, RawPeer(server):
        wait_until(lambda: server.stats().connections == 1, "it is accepted")
        ours = inodes().keys() - before.keys()
        assert len(ours) >= 3
        for number in ours:
            assert fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC, number
        program = [sys.executable, "-c", "print(flush=True); input()"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        for how in ({}, {"preexec_fn": os.getpid}):
            with subprocess.Popen(program, close_fds=False, **pipes, **how) as process:
                process.stdout.readline()
                address = server.address
                server.stop()
                assert not listens(server.server_port)
                process.communicate(b"\n")
            server = make(address)
        server.stop()


def test_exceptions_of_the_constructor_leave_forks_possible():
    with serving() as server:
        for wrong in (server.address, "tcp://nowhere"):
            with pytest.raises(zmq.ZMQError):
                make(wrong)
        with Forked():
            assert ask(server, "PING")["error_msg"] is None
