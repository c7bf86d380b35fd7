"""Keys as pyzmq makes them, and files with them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import zmq


class Pair(NamedTuple):
    public: str
    secret: str


def new_pair() -> Pair:
    public, secret = zmq.curve_keypair()
    return Pair(public.decode(), secret.decode())


def keys_of(client: Pair, server_key: str) -> dict[int, bytes]:
    """Options of a pyzmq socket that talks to a server with keys."""
    return {
        zmq.CURVE_PUBLICKEY: client.public.encode(),
        zmq.CURVE_SECRETKEY: client.secret.encode(),
        zmq.CURVE_SERVERKEY: server_key.encode(),
    }


def write_file(path: Path, pair: Pair, secret: bool = False, mode: int | None = None) -> Path:
    """Write a certificate, line by line as pyzmq does."""
    lines = ["#   a certificate", "", "metadata", "curve", f'    public-key = "{pair.public}"']
    if secret:
        lines.append(f'    secret-key = "{pair.secret}"')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    path.chmod((0o600 if secret else 0o644) if mode is None else mode)
    return path


def server_folder(path: Path) -> Path:
    """A server's folder of keys that serves nobody yet."""
    write_file(path / "stage.key_secret", new_pair(), secret=True)
    return path


def put_key(folder: Path, role: str, name: str, pair: Pair | None = None) -> Pair:
    """Allow a key in such a folder."""
    pair = pair or new_pair()
    write_file(folder / "allowed" / role / f"{name}.key", pair)
    return pair


def at_home(folder: Path) -> dict[str, str]:
    """The environment of a user whose home is that folder, on every system."""
    return {
        "HOME": str(folder),
        "USERPROFILE": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "LOCALAPPDATA": str(folder / "local"),
    }
