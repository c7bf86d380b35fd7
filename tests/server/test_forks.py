"""A forked child holds neither the port nor the connections of its parent's servers."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import socket
import subprocess
import sys
import threading

import pytest
import zmq
from support.forked import Forked
from support.isolated import Child, completed
from support.machine import MACOS, WINDOWS, have_ipv6
from support.peers import PATIENCE_S, Peer, ask, request
from support.raw_peers import RawPeer, listens
from support.serving import make, serving
from support.waiting import wait_until

from laplace_server.client import ClientLHC

if not WINDOWS:
    import fcntl

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def inodes(*, of=None):
    """What each descriptor of this process means."""
    numbers = os.listdir("/dev/fd") if of is None else of
    found = {}
    for number in map(int, numbers):
        with contextlib.suppress(OSError):
            status = os.fstat(number)
            found[number] = (status.st_dev, status.st_ino, status.st_rdev)
    return found


IPV6 = pytest.mark.skipif(not have_ipv6(), reason="this machine has no IPv6")

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
    ended, more = threading.Event(), threading.Event()

    def fork():
        # So many for each server: one that forks on and on leaves the others little of the GIL.
        while not ended.is_set():
            if len(children) < 4 * (len(made) + 1):
                children.append(Forked())
            else:
                more.wait(PATIENCE_S)
                more.clear()

    forking = threading.Thread(target=fork)
    forking.start()
    try:
        for number in range(60):
            server = make()
            made.append(server.server_port)
            more.set()
            if number % 2:
                server.start()
                ask(server, "PING")
            if number % 3:
                server.stop()
            else:
                server.running.clear()
                wait_until(lambda s=server: not listens(s.server_port), "the port is free")
        ended.set()
        more.set()
        forking.join(PATIENCE_S)
        assert children
        assert not forking.is_alive()
        # Others on this machine may have been given one of the ports: they outlive the children.
        taken = list(filter(listens, made))
        while children:
            children.pop().close()
        assert list(filter(listens, taken)) == taken, "a child held a port"
    finally:
        ended.set()
        more.set()
        forking.join(PATIENCE_S)
        while children:
            children.pop().close()


def test_the_port_is_free_while_children_of_children_live():
    grandchildren = []
    with serving() as server, Forked(lambda: grandchildren.append(Forked(lambda: Forked()))):
        server.stop()
        assert not listens(server.server_port)


def test_whatever_a_child_does_to_its_copy_the_parent_serves_on():
    """Connections that were there, new ones, and ends: nothing they share is touched."""
    with serving(data={"x": 1}) as server, Peer(server) as peer, RawPeer(server) as raw:
        assert peer.ask("GET")["error_msg"] is None
        raw.socket.close()  # so that its end may come while the child works
        copies = [server]

        def work():
            for _ in range(2):
                with contextlib.suppress(RuntimeError):
                    copies[0].stop()
            copies[0].running.clear()
            with contextlib.suppress(RuntimeError):
                copies[0].set_data({"x": 2})
            copies.clear()
            gc.collect()

        with Forked(work):
            for _ in range(3):
                assert peer.ask("GET")["payload"] == {"data": {"x": 1}}
                assert ask(server, "GET")["payload"] == {"data": {"x": 1}}
            wait_until(lambda: server.stats().connections == 1, "only one is still there")
        assert peer.ask("GET")["error_msg"] is None


def test_peers_see_the_end_of_a_parent_that_is_killed():
    """Its children, and programs that it has started, hold none of its connections."""
    parent = Child("""
        import os, subprocess, sys, warnings
        warnings.simplefilter("ignore")
        from laplace_server import ServerLHC
        server = ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR")
        server.start()
        print(server.server_port, flush=True)
        sys.stdin.readline()
        wait = "import sys; print(flush=True); sys.stdin.readline()"
        command = [sys.executable, "-c", wait]
        started = subprocess.Popen(command, close_fds=False, stdout=subprocess.PIPE)
        started.stdout.readline()
        forked, begun = os.pipe()
        if os.fork() == 0:
            os.write(begun, b"1")
            sys.stdin.readline()
            os._exit(0)
        os.read(forked, 1)
        print("forked", flush=True)
        sys.stdin.readline()
    """)
    try:
        port = int(parent.hear())
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            connection.settimeout(PATIENCE_S)
            assert connection.recv(1), "the greeting begins"
            parent.tell("")
            assert parent.hear() == "forked"
            parent.process.kill()
            parent.process.wait()
            with contextlib.suppress(ConnectionError):
                while connection.recv(100):
                    pass
            assert not listens(port)
    finally:
        parent.close()


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
    # macOS has one loopback address. Elsewhere no client of another test asks at this one, as one
    # does at 127.0.0.1 that looks for its stopped server, whose port is free for us.
    pid = os.getpid()
    host = "127.0.0.1" if MACOS else f"127.9.{pid >> 8 & 255}.{pid & 255 | 4}"
    stopped = make(f"tcp://{host}:*")
    stopped.stop()
    with contextlib.ExitStack() as opened, serving(f"tcp://{host}:*") as server:
        keep = opened.enter_context
        port = int(server.server_port)
        kept = [keep(socket.socket()) for _ in range(3)]
        kept[0].bind((host, 0))
        kept[0].listen()
        kept[1].bind((host, int(stopped.server_port)))  # where a server was
        kept[1].listen()
        kept.append(keep(socket.create_connection((host, port))))
        kept.append(keep(socket.create_connection(kept[0].getsockname())))
        kept.append(keep(socket.socket(type=socket.SOCK_DGRAM)))
        kept[-1].bind((host, port))
        if not MACOS:
            kept.append(keep(socket.socket()))
            kept[-1].bind(("127.0.0.2", port))
            kept[-1].listen()
        if have_ipv6():
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
            found = {number: (before[number], after[number]) for number in replaced}
            assert len(replaced) == 2, f"the listening socket and one connection, not {found}"
            for number in replaced:
                assert after[number][2] == null
                assert not os.get_inheritable(number)

        with Forked(work):
            ask(server, "PING")
        assert inodes(of=own) == own


def test_sockets_of_the_program_stay_blocking():
    """Also where it has set a time-out for new ones, or has a class of its own for them."""
    result = completed(
        """
        import os, socket, warnings
        warnings.simplefilter("ignore")
        from laplace_server import ServerLHC
        from support.raw_peers import listens

        class Own:
            def __init__(self, *arguments, **options):
                raise RuntimeError("the program's own")

        one, other = socket.socketpair()
        with ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR") as server:
            socket.setdefaulttimeout(10)
            kept, socket.socket = socket.socket, Own
            child = os.fork()
            if child == 0:
                os._exit(socket.getdefaulttimeout() != 10 or not os.get_blocking(one.fileno()))
            assert os.waitpid(child, 0)[1] == 0
            socket.socket = kept
            assert os.get_blocking(one.fileno()) and os.get_blocking(other.fileno())
        print("blocking")
        """
    )
    assert result.stdout.strip() == "blocking"
    assert result.stderr == ""


def test_a_child_without_a_free_descriptor():
    result = completed(
        """
        import os, resource, socket, sys, warnings
        warnings.simplefilter("ignore")
        from support.forked import Forked
        from support.raw_peers import listens
        from laplace_server import ServerLHC
        server = ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR")
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
        """
    )
    assert result.stdout.strip() == "free"
    assert result.stderr == ""


def test_programs_that_are_started_inherit_nothing():
    """Not even one that is told to inherit all: each descriptor of a server ends with exec."""
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
        for wrong in (server.address, "tcp://nowhere:*"):
            with pytest.raises(zmq.ZMQError):
                make(wrong)
        with Forked():
            assert ask(server, "PING")["error_msg"] is None
