"""Clients in processes that are forked, and that end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from support.machine import MACOS
from support.peers import PATIENCE_S, address_of
from support.scripted_server import ScriptedServer, answering, echo, silence

from laplace_server import ServerLHC


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "dev", "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


FORK_SCRIPT = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from laplace_server.client import ClientLHC
with ClientLHC(sys.argv[1], timeout_s=20) as client, ClientLHC(sys.argv[1]) as closed:
    closed.close()
    client.get()
    child = os.fork()
    if not child:
        status = 1
        try:
            for _ in range(5):
                client.get()
            client.close()
            status = 0 if client.closed and closed.closed else 2
        finally:
            os._exit(status)
    for _ in range(5):
        client.get()
    _, status = os.waitpid(child, 0)
    client.get()
    print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child that opens connections")
def test_a_forked_child_has_connections_of_its_own(server: ServerLHC) -> None:
    done = run_script(FORK_SCRIPT, address_of(server))
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)


EXIT_SCRIPT = """
import sys, threading
from laplace_server.client import ClientLHC
client = ClientLHC(sys.argv[1], timeout_s=3600)
client.ping()
threading.Thread(target=client.request, args=["SILENT"], daemon=True).start()
sys.stdin.readline()
print("end")
"""


def test_a_process_ends_with_a_request_under_way() -> None:
    answer = {"PING": echo, "SILENT": silence}
    with ScriptedServer(answering(lambda message: answer[message["cmd"]](message))) as server:
        command = [sys.executable, "-c", EXIT_SCRIPT, server.address]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            while server.hear_json()["cmd"] != "SILENT":
                pass
            output, _ = process.communicate(b"\n", timeout=PATIENCE_S)
    assert output.split() == [b"end"]
    assert process.returncode == 0


FORGETFUL = """
import sys
import threading
from laplace_server.client import ClientLHC
client = ClientLHC(sys.argv[1], timeout_s=20)
client.ping()
followed = client.subscribe("s") if sys.argv[2] == "subscribed" else None
print("end", flush=True)
"""

FORGETFUL_TASKS = """
import asyncio, sys
from laplace_server.client import AsyncClientLHC

client = AsyncClientLHC(sys.argv[1], timeout_s=3600)

async def use():
    global followed, tasks
    await client.ping()
    followed = await client.subscribe("s")
    tasks = [asyncio.create_task(followed.next()), asyncio.create_task(client.request("SILENT"))]
    await asyncio.sleep(0)
    while not client._pool._lent:
        await asyncio.sleep(0)

loop = asyncio.new_event_loop()
loop.run_until_complete(use())
print("end", flush=True)
"""

FORGETFUL_RUN = """
import asyncio, sys
from laplace_server.client import AsyncClientLHC

async def main():
    global client, followed
    client = AsyncClientLHC(sys.argv[1], timeout_s=20)
    await client.ping()
    followed = await client.subscribe("s")

asyncio.run(main())
print("end", flush=True)
"""


@pytest.mark.parametrize(
    ("script", "how"),
    [
        (FORGETFUL, "asked"),
        (FORGETFUL, "subscribed"),
        (FORGETFUL_TASKS, "subscribed"),
        (FORGETFUL_RUN, "subscribed"),
    ],
)
def test_a_process_ends_whatever_it_has_not_closed(
    server: ServerLHC, script: str, how: str
) -> None:
    go_on = threading.Event()
    server.register_handler("SILENT", lambda *_: {"waited": go_on.wait(PATIENCE_S)})
    server.declare_stream("s")
    try:
        done = run_script(script, address_of(server), how)
    finally:
        go_on.set()
    assert (done.stdout, done.returncode) == ("end\n", 0)


SHORT_OF_DESCRIPTORS = """
import errno, os, resource, sys
import zmq
from laplace_server.client import ClientLHC

def get():
    with ClientLHC(sys.argv[1], timeout_s=20) as client:
        client.get()

def subscribe():
    client.subscribe("s").close()

client = ClientLHC(sys.argv[1], timeout_s=20)
client.ping()
subscribe()
free = os.dup(0)
os.close(free)
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
refused = []
for use in (get, subscribe):
    for few in range(12):
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + few, most))
        try:
            use()
        except zmq.ZMQError as problem:
            assert problem.errno == errno.EMFILE
            assert str(problem) == "Too many open files"
            refused.append(few)
resource.setrlimit(resource.RLIMIT_NOFILE, (free + 100, most))
client.ping()
get()
subscribe()
client.close()
print(refused)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_a_process_goes_on_where_descriptors_run_out(server: ServerLHC) -> None:
    """Each needs one, and no more."""
    server.declare_stream("s")
    done = run_script(SHORT_OF_DESCRIPTORS, address_of(server))
    assert (done.stdout, done.stderr, done.returncode) == ("[0, 0]\n", "", 0)
