"""A user's own keys, and the servers that this user knows, in a folder of the configuration.

keys/anna.key_secret, keys/anna.key       one's own
servers/192.168.1.20_5555.key             the public key of the server at that address
servers/192.168.1.20_5555.key_secret      one's own for that server alone, where there is one
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from laplace_server.errors import KeyFileError
from laplace_server.security.certificates import (
    PUBLIC,
    SECRET,
    name_of,
    read_public,
    read_secret,
    replace_public,
    write_public,
)
from laplace_server.security.files import (
    check_file,
    check_folder,
    failed,
    files_in,
    make_folder_and_above,
)
from laplace_server.security.keys import is_text_of_key

ENVIRONMENT = "LAPLACE_KEY"
_LONGEST_PORT = 10  # digits, with zeros before it


class Found(NamedTuple):
    """Where the keys for one server are."""

    own: Path
    server: Path


class Shown(NamedTuple):
    """What a folder holds."""

    keys: dict[str, str]
    problems: list[KeyFileError]
    """What is not as it has to be."""


def user_folder() -> Path:
    """Return where this system keeps a user's configuration of this package.

    Raises:
        KeyFileError: the user has no home.
    """
    environment = os.environ.get
    try:
        if sys.platform == "win32":
            # Not APPDATA, which may be copied to other machines.
            base = Path(environment("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Application Support"
        else:
            base = Path(environment("XDG_CONFIG_HOME", ""))
            if not base.is_absolute():  # as the specification has it
                base = Path.home() / ".config"
    except RuntimeError as error:
        raise KeyFileError(f"Nobody knows where keys would be: {error}") from None
    return base / "laplace-server"


def keys_folder() -> Path:
    """Return the folder of the user's own keys."""
    return user_folder() / "keys"


def servers_folder() -> Path:
    """Return the folder of the servers that the user knows."""
    return user_folder() / "servers"


def file_of_server(address: str) -> Path:
    """Return where the public key of a server is kept.

    Raises:
        ValueError: the address is none.
    """
    host, colon, port = address.removeprefix("tcp://").rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= _LONGEST_PORT
    if not (host and colon and is_port) or "/" in host or "*" in host:
        raise ValueError(f"{address!r} is no address such as tcp://192.168.1.20:5555.")
    if not 0 < int(port) < 1 << 16:
        raise ValueError(f"{address!r} is no address: there is no port {port}.")
    host = quote(host.lower(), safe="")
    return servers_folder() / f"{host}_{int(port)}{PUBLIC}"


def address_of(file: Path) -> str:
    """Return the address that a file in the folder of servers is for."""
    host, _, port = file.name.removesuffix(PUBLIC).rpartition("_")
    return f"{unquote(host)}:{port}"


def make_folders() -> None:
    """Make what is missing of the user's folders.

    Raises:
        KeyFileError: they cannot be made, or others may change them.
    """
    for folder in (keys_folder(), servers_folder()):
        make_folder_and_above(folder)
        _check(folder)


def trust(address: str, file: Path, replace: bool = False) -> Path:
    """Keep the public key of the server at an address, and return where.

    Args:
        replace: in the place of the one that is known, in one step.

    Raises:
        ValueError: the address is none.
        KeyFileError: the file holds no public key, or the server is known by another one.
    """
    target = file_of_server(address)
    public_key = read_public(file).public_key
    make_folders()
    if not _exists(target):
        write_public(target, public_key)
    elif replace:
        replace_public(target, public_key)
    elif read_public(target, kept=True).public_key != public_key:
        raise KeyFileError(
            f"The server at {address} is known by another key. If it has a new one, and this is "
            f"certainly it: laplace-server keys trust {address} "
            f"{shlex.quote(str(file))} --replace"
        )
    return target


def own() -> Shown:
    """Return the user's own keys: public keys by name."""
    return _shown(
        keys_folder(), SECRET, name_of, lambda path: read_secret(path, kept=True)[0].public_key
    )


def servers() -> Shown:
    """Return the servers that the user knows: public keys by address."""
    return _shown(
        servers_folder(), PUBLIC, address_of, lambda path: read_public(path, kept=True).public_key
    )


def names() -> list[str]:
    """Return the names of the user's own keys, which may not all be as they have to be."""
    return [name_of(path) for path in files_in(keys_folder(), SECRET)]


def find(address: str, key: str | os.PathLike[str] | None = None) -> Found | None:
    """Find the keys for a server, as ``ClientSecurity.find`` says."""
    chosen = os.environ.get(ENVIRONMENT) if key is None else os.fspath(key)
    if key is not None and not chosen:  # such as "$KEY" of a shell that has none
        raise KeyFileError("A key is to be used, but what was given for it is empty.")
    try:
        server = file_of_server(address)
    except KeyFileError:  # a service without a home
        if chosen:
            raise
        return None
    _check(server.parent)
    if not _exists(server):
        if not chosen:
            return None
        raise KeyFileError(
            f"A key is to be used, but the key of the server at {address} is not known. Get its "
            f"file, and: laplace-server keys trust {address} FILE"
        )
    check_file(server)
    if chosen:
        return Found(_own_named(chosen), server)
    for_this_one = server.with_name(server.name.removesuffix(PUBLIC) + SECRET)
    file = for_this_one if _exists(for_this_one) else _only_own(address)
    check_file(file)
    return Found(file, server)


def _check(folder: Path) -> None:
    """Raise KeyFileError if others may change one of the user's folders, or that which it is in."""
    for each in (folder.parent, folder):
        if _exists(each):
            check_folder(each)


def _shown(
    folder: Path, ending: str, called: Callable[[Path], str], key_of: Callable[[Path], str]
) -> Shown:
    found = Shown({}, [])
    try:
        _check(folder)
        files = files_in(folder, ending)
    except KeyFileError as problem:
        found.problems.append(problem)
        return found
    for path in files:
        try:
            found.keys[called(path)] = key_of(path)
        except KeyFileError as problem:
            found.problems.append(problem)
    return found


def _own_named(key: str) -> Path:
    if not key.endswith((PUBLIC, SECRET)) and os.path.basename(key) == key:
        file = keys_folder() / f"{key}{SECRET}"
        _check(file.parent)
    else:
        file = Path(key).expanduser()
    if is_text_of_key(key) and not _exists(file):  # it might be a secret, and must not show
        raise KeyFileError(
            f"--key and {ENVIRONMENT} say the name of a key, or its file, not the key itself."
        )
    if file.parent == keys_folder():
        check_file(file)
    return file


def _only_own(address: str) -> Path:
    folder = keys_folder()
    keys = files_in(folder, SECRET)
    if not keys:
        raise KeyFileError(
            f"The server at {address} takes keys, and there is none in {folder}. To make one: "
            "laplace-server keys new NAME"
        )
    _check(folder)
    if len(keys) > 1:
        names = ", ".join(map(name_of, keys))
        raise KeyFileError(
            f"There are several keys in {folder}: {names}. Choose one by --key or "
            f"{ENVIRONMENT}, or move the two files of one that is not used any more elsewhere."
        )
    return keys[0]


def _exists(path: Path) -> bool:
    """Say whether it is there. What cannot be looked at must not pass as "no keys wanted"."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise failed("read", path, error) from None
    return True
