"""Servers in processes that end: by Ctrl-C, or in any state."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest
from support.isolated import completed
from support.machine import APART, INTERRUPT, within
from support.peers import PATIENCE_S, ask
from support.stopping import BOUNDED_S, ended


def test_ctrl_c():
    source = """
        import signal, sys, time
        from laplace_server import ServerLHC
        if sys.platform == "win32":
            signal.signal(signal.SIGBREAK, signal.default_int_handler)
        server = ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR")
        server.start()
        try:
            print(server.address, flush=True)
            while sys.platform == "win32":  # where nothing interrupts a wait without end
                server.join(0.1)
            server.join()
        except KeyboardInterrupt:
            begun = time.monotonic()
            server.stop()
            assert time.monotonic() - begun < float(sys.argv[1])
            assert not server.is_alive()
            print("interrupted", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(source), str(BOUNDED_S)]
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **APART)) as process:
        address = process.stdout.readline().strip()
        assert ask(address, "PING")["error_msg"] is None
        process.send_signal(INTERRUPT)
        assert process.stdout.readline().strip() == "interrupted"
        assert process.wait(PATIENCE_S) == 0


EXIT = """
    import sys, threading, time
    from support.peers import Peer, request
    from laplace_server import ServerLHC
    state = sys.argv[1]
    data = {"x": [1]}
    server = ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR", data)
    server.daemon = True
    begun = threading.Event()
    def slow(_):
        begun.set()
        time.sleep(30)
    server.set_on_position_changed(slow)
    if state != "never started":
        server.start()
    if state == "callback":
        peer = Peer(server)
        peer.send(request("SET", {"positions": 1}))
        begun.wait()
    elif state == "queue":
        import zmq
        peer = Peer(server, zmq.DEALER)
        for i in range(200):
            peer.send(request("SET", {"positions": 1}))
        begun.wait()
    elif state == "load":
        def load(cmd):
            peer = Peer(server)
            while True:
                peer.ask(cmd)
        def feed():
            while True:
                server.set_data({"x": [2]})
        server.set_on_get(lambda: None)
        for target, arguments in ((load, ["GET"]), (load, ["PING"]), (feed, [])):
            threading.Thread(target=target, args=arguments, daemon=True).start()
        time.sleep(0.1)
    elif state == "stopped":
        server.stop()
    elif state == "stopping":
        threading.Thread(target=server.stop, daemon=True).start()
    print(time.monotonic(), flush=True)
"""


@pytest.mark.parametrize(
    "state", ["never started", "idle", "callback", "queue", "load", "stopped", "stopping"]
)
def test_process_with_a_daemon_server_ends(state):
    for _ in range(3 if state == "load" else 1):
        result = completed(EXIT, state)
        assert time.monotonic() - float(result.stdout) < within(3)
        assert "Fatal" not in result.stderr
        assert "terminate" not in result.stderr


def test_server_outlives_the_main_thread_until_stop():
    source = """
        from laplace_server import ServerLHC
        server = ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR", {"x": [1]})
        server.set_on_position_changed(lambda p: server.set_data({"x": p}))
        server.start()
        print(server.address, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(source)]
    pipe = subprocess.PIPE
    with ended(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)) as process:
        address = process.stdout.readline().strip()
        for i in range(20):
            assert ask(address, "SET", {"positions": [i]})["error_msg"] is None
            assert ask(address, "GET")["payload"] == {"data": {"x": [i]}}
        assert process.poll() is None
        assert ask(address, "STOP")["error_msg"] is None
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert "Traceback" not in errors
