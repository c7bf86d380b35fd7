"""Files with keys, in the format of ``zmq.auth.certs`` and CZMQ.

``NAME.key`` holds a public key, ``NAME.key_secret`` both.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from laplace_server.errors import KeyFileError
from laplace_server.security.files import check_private, failed, read_text, write_new
from laplace_server.security.keys import (
    SecretKey,
    checked_public,
    checked_secret,
    is_text_of_key,
    new_secret,
)
from laplace_server.security.names import checked_name

Key = str | bytes | os.PathLike[str]
"""A key as Z85 text, or a certificate file."""

PUBLIC = ".key"
SECRET = ".key_secret"


@dataclass(frozen=True)
class Certificate:
    """What a file holds."""

    path: Path
    public_key: str
    secret_key: SecretKey | None

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return name_of(self.path)


def name_of(path: Path) -> str:
    """Return the name of a key after its file."""
    return path.name.removesuffix(SECRET).removesuffix(PUBLIC)


def as_file(key: object) -> Path | None:
    """Return the file that an argument names, or None where it is a key itself, or neither."""
    if isinstance(key, os.PathLike):
        return Path(key)
    if not isinstance(key, str) or not key.endswith((PUBLIC, SECRET)):
        return None
    # One key of fifty million ends like a file's name.
    if is_text_of_key(key) and not Path(key).exists():
        return None
    return Path(key)


def read_public(path: Path, kept: bool = False) -> Certificate:
    """Read a public key.

    Args:
        kept: it is in a folder of keys, where nothing may be somebody else's.

    Raises:
        KeyFileError: there is none, the file holds a secret as well, or others may change it.
    """
    _check_ending(path)
    found, _ = _read(path, kept)
    if found.secret_key is not None:
        raise KeyFileError(
            f"{path} holds a secret key where a public one is meant. Give "
            f"{name_of(path)}{PUBLIC}, and leave this file with its owner."
        )
    return found


def read_secret(path: Path, kept: bool = False) -> tuple[Certificate, SecretKey]:
    """Read a secret key and the public one in the same file; ``kept`` as of ``read_public``.

    Raises:
        KeyFileError: there is none, or others may read the file.
    """
    _check_ending(path)
    found, status = _read(path, kept)
    if found.secret_key is None:
        raise KeyFileError(
            f"{path} holds a public key only. The secret one is in {name_of(path)}{SECRET}."
        )
    check_private(path, status)
    return found, found.secret_key


def write_pair(folder: Path, name: str) -> Certificate:
    """Make a key and its two files, overwriting nothing.

    Raises:
        KeyFileError: one of them is there already, or cannot be written.
    """
    checked_name(name)
    secret_key = new_secret()
    made = Certificate(folder / f"{name}{SECRET}", secret_key.public_text(), secret_key)
    write_new(made.path, _text(made), 0o600)
    try:
        write_public(folder / f"{name}{PUBLIC}", made.public_key)
    except BaseException:
        # Without its public half nobody could have been given this key.
        with suppress(OSError):
            made.path.unlink()
        raise
    return made


def write_public(path: Path, public_key: str) -> None:
    """Write a file with a public key; errors as of ``write_pair``."""
    write_new(path, _text(Certificate(path, public_key, None)), 0o644)


def replace_public(path: Path, public_key: str) -> None:
    """Write such a file in the place of one that is there: one of the two is there at any time."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    write_new(new, _text(Certificate(path, public_key, None)), 0o644)
    try:
        os.replace(new, path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise failed("replace", path, error) from None


def _read(path: Path, kept: bool) -> tuple[Certificate, os.stat_result]:
    fields: dict[str, str] = {}
    text, status = read_text(path, kept)
    for line in text.splitlines():
        field, equals, value = line.strip().partition("=")
        field = field.strip()
        if not equals or field not in ("public-key", "secret-key"):
            continue
        if field in fields:
            raise KeyFileError(f"{path} has two lines with a {field}.")
        fields[field] = value.strip(" \t'\"")
    if "public-key" not in fields:
        raise KeyFileError(f"{path} is no certificate: there is no line 'public-key = \"...\"'.")
    try:
        public_key = checked_public("its public-key", fields["public-key"])
        if "secret-key" not in fields:
            return Certificate(path, public_key, None), status
        secret_key = checked_secret("its secret-key", fields["secret-key"])
    except ValueError as error:
        raise KeyFileError(f"{path} holds no key: {error}") from None
    if secret_key.public_text() != public_key:
        raise KeyFileError(f"{path} holds a public and a secret key that do not belong together.")
    return Certificate(path, public_key, secret_key), status


def _text(certificate: Certificate) -> str:
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    secret = certificate.secret_key
    if secret is None:
        banner = ["ZeroMQ CURVE public certificate. Hand it on in a way that nobody can change it."]
    else:
        banner = ["ZeroMQ CURVE SECRET certificate. Give it to nobody, leave its permissions."]
    lines = [f"#   {line}" for line in [f"Made {now} by laplace-server.", *banner]]
    lines += ["", "metadata", "curve", f'    public-key = "{certificate.public_key}"']
    if secret is not None:
        lines.append(f'    secret-key = "{secret.text()}"')
    return "\n".join([*lines, ""])


def _check_ending(path: Path) -> None:
    if path.name.endswith((PUBLIC, SECRET)):  # also where the whole path could be a key's text
        return
    if is_text_of_key(str(path)):  # it might be a secret, and must not show
        raise KeyFileError(
            f"The text of a key was given where a file is expected, one that ends in {PUBLIC!r} "
            f"or {SECRET!r}."
        )
    raise KeyFileError(f"{path} must have a name that ends in {PUBLIC!r} or {SECRET!r}.")
