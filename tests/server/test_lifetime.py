"""Servers that are dropped, collected or forked, in any state: nobody hangs, nothing stays."""

from __future__ import annotations

import copy
import dataclasses
import gc
import multiprocessing
import os
import pickle
import threading
import time
import weakref

import pytest
import zmq
from support import machine
from support.isolated import run_script
from support.machine import MACOS, OWN_THREADS, within
from support.peers import PATIENCE_S, Peer, ask, request
from support.serving import Gate, make, serving
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.errors import ForkedServerError
from laplace_server.server import engine, forks
from laplace_server.server.engine import engine_of

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def native_threads():
    zmq.Context.instance().socket(zmq.REQ).close()  # the clients' own are there from now on
    return machine.native_threads()


def never_started():
    return make()


def started_and_stopped():
    server = make()
    server.start()
    ask(server, "GET")
    server.stop()
    return server


def stopped_only():
    server = make()
    server.stop()
    return server


def dead_by_wire():
    server = make()
    server.start()
    ask(server, "STOP")
    server.join(PATIENCE_S)
    return server


def stopped_with_a_peer():
    server = make()
    server.start()
    with Peer(server) as peer:
        peer.ask("SET", {"positions": 1})
        server.stop()
    return server


STATES = [never_started, started_and_stopped, stopped_only, dead_by_wire, stopped_with_a_peer]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("knot", ["plain", "cycle", "own data", "callback"])
def test_collected_in_every_state(state, knot):
    gc.collect()
    before = native_threads()
    server = state()
    port = server.server_port
    if knot == "cycle":
        server.me = [server]
    elif knot == "callback":
        server.set_on_get(lambda keep=server: keep)
    elif knot == "own data":
        data = {"x": [1]}
        if server.is_alive() or not engine_of(server).stopped:
            server.set_data(data)
        data["server"] = server
        del data
    gone = weakref.ref(server)
    del server
    begun = time.monotonic()
    gc.collect()
    assert time.monotonic() - begun < within(2)
    assert gone() is None
    make(f"tcp://127.0.0.1:{port}").stop()  # the port is free
    wait_until(lambda: native_threads() <= before + OWN_THREADS, "all native threads have ended")


@pytest.mark.parametrize("knot", [False, True])
@pytest.mark.parametrize("why", ["port", "data", "name_list", "address", "version"])
def test_failed_constructor(why, knot):
    gc.collect()
    with make() as other:
        ask(other, "STATS")  # by its last thread to start
        before = native_threads()
        address = {"port": other.address, "address": "tcp://nowhere.invalid:*"}
        arguments = {
            "data": {"data": [1]},
            "name_list": {"name_list": [object()]},
            "version": {"accepted_versions": ()},
        }
        kept = []
        for _ in range(5):
            with pytest.raises((zmq.ZMQError, TypeError, ValueError)) as raised:
                make(address.get(why, "tcp://127.0.0.1:*"), **arguments.get(why, {}))
            if knot:
                kept.append(raised)  # and with it the frames and the half-made server
        wait_until(
            lambda: native_threads() <= before + OWN_THREADS, "all native threads have ended"
        )
        kept.clear()
        gc.collect()
        assert ask(other, "PING")["error_msg"] is None


def test_failed_constructor_frees_the_port_at_once():
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
    address = f"tcp://127.0.0.1:{port}"
    with pytest.raises(TypeError) as kept:
        make(address, data=[1])
    with make(address) as server:
        assert ask(server, "PING")["error_msg"] is None
    assert kept.type is TypeError


def test_an_interrupted_constructor_frees_the_port_at_once(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
    address = f"tcp://127.0.0.1:{port}"
    for name in ("ReplySocket", "Publisher", "resolved", "warn_of_refused"):
        with monkeypatch.context() as patch:
            patch.setattr(engine, name, interrupted)
            if name == "warn_of_refused":
                patch.setattr(forks._cores, "add", interrupted)
            with pytest.raises(KeyboardInterrupt) as kept:
                make(address)
        with make(address) as server:  # although the exception is kept, with its frames
            assert ask(server, "PING")["error_msg"] is None
        assert kept.type is KeyboardInterrupt


def test_running_server_is_not_collected():
    def begin():
        server = make()
        server.start()
        return server.address

    address = begin()
    gc.collect()
    assert ask(address, "PING")["error_msg"] is None
    assert ask(address, "STOP")["error_msg"] is None
    wait_until(lambda: not any(t.name == "device" for t in threading.enumerate()), "it ended")


def test_collected_while_its_callback_still_runs():
    gate = Gate()
    server = make()
    server.set_on_position_changed(gate)
    server.start()
    with Peer(server) as peer:
        peer.send(request("SET", {"positions": 1}))
        gate.wait_begun()
        server.stop()
        gone = weakref.ref(server)
        del server
        gc.collect()
        gate.open()
        wait_until(lambda: gc.collect() is not None and gone() is None, "it is collected")


def test_threads_of_a_server_end_with_it():
    gc.collect()
    before, native = threading.active_count(), native_threads()
    for _ in range(5):
        with make(data={"x": [1]}) as server:
            ask(server, "GET")
            ask(server, "SET", {"positions": 1})
    assert threading.active_count() == before
    most = native + 3 + OWN_THREADS  # pyzmq's own
    wait_until(lambda: native_threads() <= most, "native threads ended")


def test_used_after_its_end():
    with make(data={"x": 1}) as server:
        ask(server, "GET")
    server.set_data({"x": 2})
    server.set_name_list(["a"])
    server.register_handler("NEW", lambda s, m, t: None)
    server.set_on_get(print)
    assert server.data == {"x": 2}
    assert server.stats().commands["GET"].native == 1
    assert server.address_for_client


# ---- fork


def in_child(work):
    """Run `work` in a forked child, hanging up on it after a while; its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("started", [True, False])
def test_forked_child_gets_clear_errors(started):
    server = make(data={"x": [1]})
    try:
        if started:
            server.start()
            ask(server, "PING")

        def work():
            for use in (
                lambda: server.set_data({"x": 2}),
                lambda: server.set_data({"x": 2}, copy=True),
                server.empty_data,
                server.start,
                server.stats,
                lambda: server.data,
                lambda: server.set_name_list(["a"]),
                lambda: server.set_on_get(print),
                lambda: server.register_handler("X", print),
            ):
                with pytest.raises(ForkedServerError):
                    use()
            begun = time.monotonic()
            server.stop()
            server.running.clear()
            assert time.monotonic() - begun < within(1)
            assert not server.is_alive()

        assert in_child(work) == 0
        if started:
            assert ask(server, "PING")["error_msg"] is None
            server.set_data({"x": 3})
            assert ask(server, "GET")["payload"] == {"data": {"x": 3}}
    finally:
        server.stop()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("state", [make, started_and_stopped, None], ids=["new", "dead", "running"])
def test_collected_in_a_forked_child(state):
    server = state() if state else make()
    try:
        if state is None:
            server.start()
        holder = [server]
        holder.append(holder)
        kept = server if state is None else None
        del server

        def work():
            nonlocal kept
            holder.clear()
            kept = None
            gc.collect()

        assert in_child(work) == 0
        if kept is not None:
            assert ask(kept, "PING")["error_msg"] is None
    finally:
        for each in holder[:1]:
            each.stop()


@needs_fork
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child that opens connections")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_may_have_a_server_of_its_own():
    with serving(data={"x": 1}) as server:

        def work():
            own = make(data={"y": 2})
            own.start()
            context = zmq.Context()
            with context.socket(zmq.REQ) as socket:
                socket.connect(own.address)
                socket.send(request("GET"))
                assert socket.poll(int(PATIENCE_S * 500))
                assert socket.recv_json()["payload"] == {"data": {"y": 2}}
            own.stop()
            assert not own.is_alive()

        assert in_child(work) == 0
        assert ask(server, "GET")["payload"] == {"data": {"x": 1}}


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forks_under_load():
    with serving(data={"x": [1]}) as server:
        ended = threading.Event()
        failures = []

        def load():
            try:
                with Peer(server) as peer:
                    while not ended.is_set():
                        for cmd in ("GET", "SET", "PING"):
                            assert peer.ask(cmd, {"positions": 1})["error_msg"] is None
                        server.set_data({"x": [2]})
            except BaseException as problem:
                failures.append(problem)

        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                assert in_child(server.stop) == 0
        finally:
            ended.set()
            for thread in threads:
                thread.join(PATIENCE_S)
        assert not failures


@needs_fork
def test_interpreter_exit_in_a_forked_child():
    printed = run_script(
        """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from laplace_server import ServerLHC
        running = ServerLHC("a", "tcp://127.0.0.1:*", 1, "MOTOR", {"x": 1})
        daemon = ServerLHC("b", "tcp://127.0.0.1:*", 1, "MOTOR", {"x": 1})
        new = ServerLHC("c", "tcp://127.0.0.1:*", 1, "MOTOR", {"x": 1})
        daemon.daemon = True
        running.start()
        daemon.start()
        child = os.fork()
        if child == 0:
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        running.stop()
        print("parent ends")
        """
    )
    assert printed.strip() == "parent ends"


def use_in_child(server, answers):
    try:
        server.set_data({"x": 2})
    except ForkedServerError as problem:
        answers.put(str(problem))


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_multiprocessing_fork():
    context = multiprocessing.get_context("fork")
    with serving() as server:
        answers = context.Queue()
        process = context.Process(target=use_in_child, args=(server, answers))
        process.start()
        assert "spawn" in answers.get(timeout=PATIENCE_S)
        process.join(PATIENCE_S)
        assert process.exitcode == 0
        assert ask(server, "PING")["error_msg"] is None


def test_multiprocessing_spawn():
    printed = run_script(
        """
        import multiprocessing
        from support.peers import ask
        from support.serving import serving
        from support.spawned import serve
        context = multiprocessing.get_context("spawn")
        with serving() as server:
            answers, ended = context.Queue(), context.Event()
            process = context.Process(target=serve, args=(answers, ended))
            process.start()
            address = answers.get(timeout=30)
            assert ask(address, "GET")["payload"] == {"data": {"x": "spawned"}}
            ended.set()
            process.join(30)
            assert process.exitcode == 0
            assert ask(server, "PING")["error_msg"] is None
        print("done")
        """
    )
    assert printed.strip() == "done"


def held_in_a_dataclass(server):
    @dataclasses.dataclass
    class Device:
        server: ServerLHC

    return dataclasses.asdict(Device(server))


class Derived(ServerLHC):
    pass


@pytest.mark.parametrize("kind", [ServerLHC, Derived])
@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize(
    "take",
    [
        copy.copy,
        copy.deepcopy,
        pickle.dumps,
        lambda server: pickle.dumps(server, protocol=0),
        lambda server: pickle.dumps({"device": [server]}),
        lambda server: pickle.dumps(server.set_data),
        lambda server: copy.deepcopy({"device": server, "data": [1]}),
        held_in_a_dataclass,
    ],
)
def test_a_server_is_not_copied(make_server, kind, start, take):
    server = make_server(kind=kind, start=start, data={"x": 1})
    for _ in range(2):
        with pytest.raises(TypeError, match=f"a {kind.__name__} cannot be copied or pickled.*addr"):
            take(server)
    if not start:
        server.start()
    server.set_data({"x": 2})
    assert ask(server, "GET")["payload"] == {"data": {"x": 2}}


def test_a_class_may_say_how_it_is_copied(make_server):
    class Shared(ServerLHC):
        def __deepcopy__(self, memo):
            return self

    server = make_server(kind=Shared)
    assert copy.deepcopy([server]) == [server]


def test_what_is_inside_is_not_copied(make_server):
    server = make_server(data={"x": 1})
    for take in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            take(vars(server))
    gc.collect()
    assert ask(server, "GET")["payload"] == {"data": {"x": 1}}
