"""Record what libzmq says and hears over CURVE, for curve_recordings_test.cpp.

python tests/native/recordings/record_curve.py PROGRAM LIBSODIUM [FOLDER]

PROGRAM is curve_peer.cpp, built (see test_curve_peers.py). Its keys of connections are the same
each time, so the test can open what libzmq has sealed, and must say to the byte what libzmq took.
The keys that stand in the files are of no other use.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import zmq
from zmq.utils.z85 import decode

HERE = Path(__file__).resolve().parent
BYTES_A_LINE = 40
SIZES = [0, 1, 222, 300]
TEXT = bytes(range(256)) * 2


def hex_of(key: bytes) -> str:
    return decode(key).hex()


def told(output: str) -> Iterator[str]:
    """The lines of the conversation, cut."""
    for line in output.splitlines():
        who, _, digits = line.partition(" ")
        if who in ("we", "libzmq"):
            for at in range(0, len(digits), 2 * BYTES_A_LINE):
                yield f"{who} {digits[at : at + 2 * BYTES_A_LINE]}"


def scene_of_client(command: list[str], kind: int) -> list[str]:
    """A client of libzmq, who hears again what it says."""
    public, secret = zmq.curve_keypair()
    client_public, client_secret = zmq.curve_keypair()
    words = [*command, "serve", hex_of(secret), hex_of(client_public)]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process,
        zmq.Context() as context,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        process.stdin.write("\n")
        process.stdin.flush()
        with context.socket(kind) as its:
            its.linger = 0
            its.curve_publickey, its.curve_secretkey = client_public, client_secret
            its.curve_serverkey = public
            its.heartbeat_ivl = 100
            its.connect(address)
            delimiter = [b""] if kind == zmq.DEALER else []
            for size in SIZES:
                its.send_multipart([*delimiter, TEXT[:size], b"end"])
                its.recv_multipart()
            its.poll(250)
        output, _ = process.communicate()
    return [f"serve {hex_of(secret)} {hex_of(client_public)}", *told(output)]


def scene_of_server(command: list[str], kind: str) -> list[str]:
    """A ROUTER of libzmq that says back what it hears."""
    public, secret = zmq.curve_keypair()
    _, client_secret = zmq.curve_keypair()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as its:
        its.curve_server = 1
        its.curve_publickey, its.curve_secretkey = public, secret
        port = its.bind_to_random_port("tcp://127.0.0.1")
        keys = [hex_of(client_secret), hex_of(public), kind]
        words = [*command, "ask", str(port), *keys, *map(str, SIZES)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            for _ in [*SIZES, "several frames"]:
                its.send_multipart(its.recv_multipart())
            output, _ = process.communicate()
    return ["ask " + " ".join([*keys, *map(str, SIZES)]), *told(output)]


SCENES: dict[str, Callable[[list[str]], list[str]]] = {
    "req": lambda command: scene_of_client(command, zmq.REQ),
    "dealer": lambda command: scene_of_client(command, zmq.DEALER),
    "bound_router_req": lambda command: scene_of_server(command, "REQ"),
    "bound_router_dealer": lambda command: scene_of_server(command, "DEALER"),
}


def main() -> None:
    command = sys.argv[1:3]
    folder = Path(sys.argv[3]) if len(sys.argv) > 3 else HERE / "curve"
    os.environ["CURVE_RECORD"] = "1"
    for name, scene in SCENES.items():
        lines = [f"# libzmq {zmq.zmq_version()}", *scene(command)]
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
        print(name)


if __name__ == "__main__":
    main()
