"""An exception out of a signal handler, such as Ctrl-C, at any line of a client's work.

The next request must work, and close() return. Each line is tried in turn, in a fresh process.
"""

from __future__ import annotations

import pytest
from isolated import run_script

SCRIPT = """
    import faulthandler, os, sys, threading
    from laplace_server import ServerLHC
    from laplace_server.client import ClientLHC

    faulthandler.dump_traceback_later(100, exit=True)
    what = sys.argv[1]

    def interrupted_at(line, work):
        # Whether there is so late a line.
        passed = [0]

        def trace(frame, event, argument):
            if f"{os.sep}laplace_server{os.sep}" not in frame.f_code.co_filename:
                return None
            if event == "line":
                passed[0] += 1
                if passed[0] == line:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            work()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        return passed[0] >= line

    def subscribe(client):
        with client.subscribe("s", start="oldest") as updates:
            updates.next(5)

    work = subscribe if what == "subscribe" else ClientLHC.get
    with ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR", {"x": 1}) as server:
        server.publish("s", {"n": 1})
        address = f"tcp://{sys.argv[2]}:{server.server_port}"
        line = 0
        more = True
        while more:
            line += 1
            client = ClientLHC(address, timeout_s=10)
            if what == "again":
                client.get()
            more = interrupted_at(line, lambda: work(client))
            assert client.get() == {"x": 1}, line
            closing = threading.Thread(target=client.close)
            closing.start()
            closing.join(10)
            assert not closing.is_alive(), line
        assert line > 20
        print(line, "lines")
    os._exit(0)  # what an interrupt left open, the system closes
"""


@pytest.mark.timeout(200)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("what", ["first", "again", "subscribe"])
def test_a_client_survives_an_interrupt_at_any_line(what: str, host: str) -> None:
    assert run_script(SCRIPT, what, host, timeout_s=180).endswith(" lines\n")
