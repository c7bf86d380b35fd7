"""Native threads in real time, where the system permits it."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import pytest
from support.isolated import run_script

from laplace_server import ServerLHC
from laplace_server.server import _core

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks at threads in /proc")


def threads_of(server: str, in_real_time: int = 0) -> dict[str, int]:
    """How many threads of a process run in real time and how many do not, with that server.

    They are counted when that many do: each of libzmq's threads makes itself one when it begins.
    """
    printed = run_script(f"""
        import os, threading
        from support.peers import Peer
        from support.waiting import wait_until
        from laplace_server import ServerLHC
        made = {server}
        with made, Peer(made) as peer:
            assert peer.get() == {{"x": 1}}
            made.publish("s", {{"x": 1}})
            wait_until(lambda: threading.active_count() == 3, "the refresher has begun")
            threads = lambda: [int(thread) for thread in os.listdir("/proc/self/task")]
            policies = lambda: [os.sched_getscheduler(thread) for thread in threads()]
            wait_until(
                lambda: sum(map(bool, policies())) == {in_real_time}, "the threads have begun"
            )
            for thread in threads():
                priority = os.sched_getparam(thread).sched_priority
                print(f"{{os.sched_getscheduler(thread)}}/{{priority}}")
        print("main", os.sched_getscheduler(0))
    """).split()
    assert printed[-2:] == ["main", str(os.SCHED_OTHER)], "the program's own thread is as it was"
    return {each: printed.count(each) for each in printed[:-2]}


def arguments(more: str) -> str:
    return f'ServerLHC("tested", "tcp://127.0.0.1:*", 1, "MOTOR", {{"x": 1}}, {more})'


@linux_only
@pytest.mark.skipif(not _core.may_be_real_time(), reason="the system does not permit it")
def test_the_native_threads_run_in_real_time(transport: str) -> None:
    native = 1  # the loop
    if transport == "libzmq":  # and its I/O threads, and the one that clears up after it
        native += (2 if (os.cpu_count() or 1) >= 4 else 1) + 1
    usual = threads_of(arguments(""))
    found = threads_of(arguments("real_time=True"), native)
    assert set(usual) == {"0/0"}
    assert found == {"0/0": usual["0/0"] - native, "2/1": native}


@linux_only
def test_asking_changes_nothing() -> None:
    """Whatever the caller had meanwhile."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    permitted = _core.may_be_real_time()
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before
    if not permitted:
        return
    run_script("""
        import os
        from laplace_server.server import _core
        assert _core.may_be_real_time()
        for policy, priority in ((os.SCHED_FIFO, 1), (os.SCHED_RR, 1), (os.SCHED_BATCH, 0)):
            os.sched_setscheduler(0, policy, os.sched_param(priority))
            assert _core.may_be_real_time()
            assert os.sched_getscheduler(0) == policy
    """)


@linux_only
def test_a_server_does_without_where_it_is_not_permitted() -> None:
    printed = run_script("""
        import logging, os, resource, sys
        from laplace_server import ServerLHC
        from laplace_server.client import ClientLHC
        logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
        resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
        if os.geteuid() == 0:
            os.setuid(65534)  # nobody: without the capability
        made = ServerLHC("tested", "tcp://127.0.0.1:*", 1, "MOTOR", {"x": 1}, real_time=True)
        assert made.real_time is False
        with made, ClientLHC(made.address) as client:
            assert client.get() == {"x": 1}
    """)
    assert printed.count("WARNING laplace.server [Server tested] real_time=True is without") == 1
    assert "rtprio 1" in printed


def test_it_is_asked_for_only_where_it_is_wanted(
    make_server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []
    monkeypatch.setattr(_core, "may_be_real_time", lambda: asked.append(1))
    server: ServerLHC = make_server(spin_us=50)
    assert (server.real_time, asked) == (False, [])
    with caplog.at_level(logging.WARNING, "laplace.server"):
        server = make_server(spin_us=50, real_time=True)
    assert (server.real_time, asked) == (False, [1])
    assert "without effect" in caplog.text
