"""What a server's folder of keys holds, also where some of it is wrong.

Each thing counts by itself, so that a key that is removed is removed whatever else is wrong. What
cannot be read, or must not be believed, stays as it was.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from laplace_server.errors import KeyFileError
from laplace_server.security.certificates import (
    PUBLIC,
    SECRET,
    Certificate,
    name_of,
    read_public,
    read_secret,
)
from laplace_server.security.files import (
    check_kept,
    entries_of,
    files_in,
    read_text,
    status_of_folder,
)
from laplace_server.security.keys import SecretKey
from laplace_server.security.names import checked_name
from laplace_server.security.rights import AllowedKey, Rights, add
from laplace_server.security.roles import NAME_OF_ANONYMOUS, ROLES, Role, checked_role

ALLOWED = "allowed"
_COMMANDS = "commands.txt"
_MOST_TOLD = 5  # of what is wrong, at once


class Survey:
    """What was found in a folder. It holds what counts, and says what does not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.own: Certificate | None = None
        """The server's own key; None: it is not as it has to be."""
        self.secret_key: SecretKey | None = None
        self.keys: dict[str, AllowedKey] = {}
        """Those that are allowed, by public key."""
        self.files: dict[str, Path] = {}
        """Where each is."""
        self.listed = False
        """Whether it could be seen which keys are there: else none is taken for removed."""
        self._own: tuple[str, str] | None = None
        self._problems: list[str] = []
        # What may be there, though it does not count as it is: by public key where that could be
        # read, else by what the file or the folder of its role is called.
        self._doubtful_keys: set[str] = set()
        self._doubtful_names: set[str] = set()
        self._doubtful_roles: set[str] = set()
        self._survey()

    def problem(self) -> KeyFileError | None:
        """Return what is not as it has to be, all in one; None: all is."""
        told = [text.rstrip(".") for text in self._problems]
        if not told:
            return None
        if len(told) == 1:
            return KeyFileError(self._problems[0])
        if len(told) > _MOST_TOLD:
            told[_MOST_TOLD:] = [f"and {len(told) - _MOST_TOLD} other things"]
        return KeyFileError("; ".join(told) + ".")

    def check(self) -> None:
        """Raise KeyFileError if something is not as it has to be."""
        problem = self.problem()
        if problem is not None:
            raise problem

    def after(self, before: Rights) -> tuple[SecretKey, dict[str, AllowedKey]]:
        """Return what holds now: the server's own key, and the allowed ones by public key."""
        own = before.secret_key if self.secret_key is None else self.secret_key
        keys = {
            public_key: key
            for public_key, key in before.keys.items()
            if public_key not in self.keys and self._may_be_there(key)
        }
        own_texts = texts_of(own)
        for key in self.keys.values():
            try:
                add(keys, key, own_texts)
            except ValueError as error:
                self._wrong(f"{self.files[key.public_key]}: {error}")
        if before.keys and not self.listed and not self._problems:
            self._wrong(f"{self.folder / ALLOWED} is away, so no key is taken for removed.")
        return own, keys

    def _may_be_there(self, key: AllowedKey) -> bool:
        return (
            not self.listed
            or key.public_key in self._doubtful_keys
            or key.name in self._doubtful_names
            or (key.role_name or key.role) in self._doubtful_roles
        )

    # ---- how it is made

    def _wrong(self, problem: object) -> None:
        self._problems.append(str(problem))

    def _survey(self) -> None:
        try:
            status = status_of_folder(self.folder)
        except KeyFileError as problem:
            self._wrong(problem)
            return
        believed = self._is_kept(self.folder, status)
        if believed:
            try:
                self.own, self.secret_key = _read_own(self.folder)
                self._own = texts_of(self.secret_key)
            except KeyFileError as problem:
                self._wrong(problem)
        self._read_allowed(believed)
        for public_key in self._doubtful_keys:
            self.keys.pop(public_key, None)

    def _is_kept(self, path: Path, status: os.stat_result) -> bool:
        """Whether what is in a folder may be believed."""
        try:
            check_kept(path, status)
        except KeyFileError as problem:
            self._wrong(problem)
            return False
        return True

    def _read_allowed(self, believed: bool) -> None:
        allowed = self.folder / ALLOWED
        try:
            if allowed not in entries_of(self.folder):
                return  # a server that knows nobody need not have it
            status = status_of_folder(allowed)
            roles = roles_in(self.folder)
            astray = files_in(allowed, PUBLIC)
        except KeyFileError as problem:
            self._wrong(problem)
            return
        self.listed = True
        believed = self._is_kept(allowed, status) and believed
        for path in astray:
            self._wrong(f"{path} has no role: put it into a folder such as {ROLES[0]!r} there.")
        for role in roles:
            self._read_role(role, believed)

    def _read_role(self, role: Path, believed: bool) -> None:
        try:
            status = status_of_folder(role)
            files, secrets = files_in(role, PUBLIC), files_in(role, SECRET)
        except KeyFileError as problem:
            self._wrong(problem)
            self._doubtful_roles.add(role.name)
            return
        believed = self._is_kept(role, status) and believed
        for path in secrets:
            self._wrong(f"{path} is a secret key; its owner alone should have it.")
        permitted = None
        if believed and files:  # a role that nobody has need not be one
            try:
                permitted = role_of(self.folder, role.name)
            except KeyFileError as problem:
                self._wrong(problem)
            except ValueError as problem:
                self._wrong(f"{role}: {problem}")
        for path in files:
            self._read_key(path, permitted)

    def _read_key(self, path: Path, permitted: Role | None) -> None:
        try:
            public_key = read_public(path, kept=True).public_key
        except KeyFileError as problem:
            self._wrong(problem)
            self._doubtful_names.add(name_of(path))
            return
        if permitted is None:
            self._doubtful_keys.add(public_key)
            return
        role_name = None if isinstance(permitted, str) else path.parent.name
        name = name_of(path)
        try:
            add(
                self.keys,
                AllowedKey(public_key, permitted, checked_name(name), role_name),
                self._own,
            )
            self.files[public_key] = path
        except ValueError as problem:
            self._wrong(f"{path}: {problem}")
            # Of two that are at odds, none counts.
            alike = (key.public_key for key in self.keys.values() if key.name == name)
            self._doubtful_keys.update([public_key, *alike])


def role_of(folder: Path, name: str) -> Role:
    """Return what a folder of keys permits.

    Raises:
        KeyFileError: it is none of ROLES and has no list of commands.
        ValueError: it cannot have that name.
    """
    if name in ROLES:
        return checked_role(name)
    path = folder / ALLOWED / checked_name(name) / _COMMANDS
    if name == NAME_OF_ANONYMOUS:
        raise ValueError(f"No folder's role is called {name!r}: those are it who have no key.")
    if path not in entries_of(path.parent):
        raise KeyFileError(
            f"There is no role {name!r}: it is one of {', '.join(map(repr, ROLES))}, or its "
            f"commands stand in {path}, one a line."
        )
    lines = [line.strip() for line in read_text(path, kept=True)[0].splitlines()]
    try:
        return checked_role([line for line in lines if line and not line.startswith("#")])
    except ValueError as error:
        raise KeyFileError(f"{path}: {error}") from None


def roles_in(folder: Path) -> list[Path]:
    """Return the folders of roles; that of a server that knows nobody may have none."""
    return [path for path in entries_of(folder / ALLOWED) if _may_be_folder(path)]


def texts_of(own: SecretKey) -> tuple[str, str]:
    """Return a server's own keys as text, the secret and the public one."""
    return own.text(), own.public_text()


def _may_be_folder(path: Path) -> bool:
    # Not by is_dir(), for which in newer Pythons there is none where it cannot be looked at.
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return False
    except OSError:  # that is for who reads it
        return True


def _read_own(folder: Path) -> tuple[Certificate, SecretKey]:
    own = files_in(folder, SECRET)
    if not own:
        raise KeyFileError(
            f"{folder} holds no key of the server, a file that ends in {SECRET!r}. To make one: "
            f"laplace-server keys new NAME --folder {folder}"
        )
    if len(own) > 1:
        raise KeyFileError(
            f"{folder} holds several keys of the server: {', '.join(path.name for path in own)}. "
            "Leave the one that is to hold."
        )
    certificate, secret_key = read_secret(own[0], kept=True)
    public = folder / f"{certificate.name}{PUBLIC}"
    if (
        public in entries_of(folder)
        and read_public(public, kept=True).public_key != certificate.public_key
    ):
        raise KeyFileError(
            f"{public} is not the public half of {own[0].name}: clients that were given it refuse "
            "this server. Put the right one there, or remove it."
        )
    return certificate, secret_key
