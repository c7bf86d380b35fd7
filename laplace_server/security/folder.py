"""A server's folder of keys.

stage-keys/
  stage.key_secret          the server's own key, the only one of this ending
  stage.key                 its public half, for the clients
  allowed/
    view/display.key        a client's public key in the folder of its role
    operate/anna.key
    admin/bert.key
    scans/robot.key         a role of one's own: what it permits stands in
    scans/commands.txt      this file, a command a line
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from laplace_server.errors import KeyFileError
from laplace_server.security.certificates import (
    PUBLIC,
    SECRET,
    Certificate,
    name_of,
    read_public,
    write_pair,
    write_public,
)
from laplace_server.security.files import check_folder, failed, files_in, make_folder
from laplace_server.security.keys import is_text_of_key
from laplace_server.security.names import checked_name
from laplace_server.security.rights import AllowedKey, add
from laplace_server.security.roles import ROLES
from laplace_server.security.survey import ALLOWED, Survey, role_of, roles_in, texts_of


@dataclass(frozen=True)
class Allowed:
    """What allowing a key has done."""

    key: AllowedKey
    before: AllowedKey | None
    """The same key as it was allowed before, if it was."""


def make(folder: Path, name: str) -> Certificate:
    """Make a server's folder, or what is missing of it, with a new key of its own.

    Raises:
        KeyFileError: the folder has a key already, or cannot be made.
    """
    checked_name(name)
    make_folder(folder)
    there = files_in(folder, SECRET)
    if there:
        raise KeyFileError(f"{folder} has a key already: {there[0].name}.")
    check_folder(folder)
    for role in ROLES:
        _make_role(folder, role)
    return write_pair(folder, name)


def allow(folder: Path, file: Path, role: str, name: str | None = None) -> Allowed:
    """Put a public key from ``file`` into the folder of a role, under its own name or another.

    One that is allowed already gets this role, and a name only if one is given.

    Raises:
        KeyFileError, ValueError: there is no such key or role, the name is another key's, or
            something else in the folder is wrong.
    """
    certificate = read_public(file)
    found = Survey(folder)
    found.check()
    assert found.secret_key is not None
    permitted = role_of(folder, role)
    before = found.keys.pop(certificate.public_key, None)
    if name is None:
        name = certificate.name if before is None else before.name
    role_name = None if isinstance(permitted, str) else role
    key = AllowedKey(certificate.public_key, permitted, checked_name(name), role_name)
    add(found.keys, key, texts_of(found.secret_key))
    _make_role(folder, role)
    target = folder / ALLOWED / role / f"{key.name}{PUBLIC}"
    if before is None:
        write_public(target, key.public_key)
    elif before != key:
        _move(found.files[key.public_key], target)
    return Allowed(key, before)


def revoke(folder: Path, name: str) -> list[Path]:
    """Remove a key, whatever else may be wrong in the folder, and return the files it had.

    Raises:
        KeyFileError: there is none of that name.
    """
    there = [path for role in roles_in(folder) for path in files_in(role, PUBLIC)]
    wanted = [path for path in there if name_of(path) == name]
    for path in wanted:
        try:
            path.unlink()
        except OSError as error:
            raise failed("remove", path, error) from None
    if not wanted:
        names = ", ".join(sorted(map(name_of, there))) or "none"
        given = "called by the text of a key" if is_text_of_key(name) else repr(name)
        raise KeyFileError(f"There is no key {given} in {folder}. There are: {names}.")
    return wanted


def _make_role(folder: Path, role: str) -> None:
    # One by one: a folder that is made on the way to another is as open as the umask says.
    make_folder(folder / ALLOWED)
    make_folder(folder / ALLOWED / role)


def _move(path: Path, target: Path) -> None:
    """Move a key in one step: at no moment is it allowed twice, or not at all."""
    if target.exists():
        raise KeyFileError(f"{target} is there already; nothing is overwritten.")
    try:
        os.rename(path, target)
    except OSError as error:
        raise failed("move", path, error) from None
