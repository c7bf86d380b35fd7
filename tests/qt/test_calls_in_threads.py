"""ClientBridge where several threads, or processes, have to do with it."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from support.machine import MACOS
from support.peers import PATIENCE_S
from support.qt import HAVE_PYQT6, needs_pyqt6, spin
from support.serving import MakeServer
from support.waiting import wait_until

from laplace_server.client.loop_thread import LoopThread
from laplace_server.errors import ClientClosed

if HAVE_PYQT6:
    from PyQt6 import sip
    from PyQt6.QtCore import QThread

pytestmark = needs_pyqt6


def test_moved_bridges_end_where_they_are_deleted(
    make_server: MakeServer, make_caller: Any
) -> None:
    """While the thread they were made in looks after its events."""
    server = make_server()
    thread = QThread()
    thread.start()
    try:
        for _ in range(20):
            bridge = make_caller(server)
            call = bridge.get()
            bridge.moveToThread(thread)
            bridge.deleteLater()
            spin(lambda bridge=bridge: sip.isdeleted(bridge))  # type: ignore[misc]
            wait_until(lambda call=call: call.done, "it has ended")  # type: ignore[misc]
    finally:
        thread.quit()
        assert thread.wait(int(PATIENCE_S * 1e3))


def test_close_in_another_thread_ends_streams_too(
    make_server: MakeServer, make_caller: Any
) -> None:
    bridge = make_caller(make_server(data={"x": 1}))
    stream = bridge.subscribe()
    closing = threading.Thread(target=bridge.close)
    closing.start()
    closing.join()
    spin(lambda: not stream.running)


def test_close_while_the_first_call_begins(
    make_server: MakeServer, make_caller: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = make_caller(make_server())
    enter = LoopThread.enter

    def enter_late(member: Any) -> LoopThread:
        closing = threading.Thread(target=bridge.close)
        closing.start()
        closing.join()
        return enter(member)

    monkeypatch.setattr(LoopThread, "enter", enter_late)
    assert bridge.get().cancelled
    wait_until(
        lambda: all(each.name != "client bridges" for each in threading.enumerate()),
        "its thread has ended",
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_call_in_a_forked_child_fails(make_server: MakeServer, make_caller: Any) -> None:
    bridge = make_caller(make_server())
    first = bridge.ping()
    spin(lambda: first.done)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            call = bridge.get()
            told = bridge._queue.take()
            status = 0 if told.call is call._call and isinstance(told.value, ClientClosed) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
