"""Keys as text and as bytes, checked. No message here shows one: it might be a secret."""

from __future__ import annotations

import hmac
import struct
from typing import Any, NoReturn

import zmq
from zmq.utils import z85

LENGTH = 40  # characters of Z85, for 32 bytes

_ALPHABET = frozenset(z85.Z85CHARS.decode())


class NotPickled:
    """Refuses ``copy`` and ``pickle``, so that no secret key gets into a file or another process
    by accident.
    """

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} objects hold a secret key and are neither copied nor pickled. "
            "Make one of the key's file where it is needed."
        )


class SecretKey(NotPickled):
    """A secret key. Its text shows nowhere: not in ``repr``, in logs, or in tracebacks."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def reveal(self) -> bytes:
        """Return its 32 bytes, for what encrypts with them."""
        return self._raw

    def text(self) -> str:
        """Return it as Z85, for the file that keeps it."""
        return z85.encode(self._raw).decode()

    def public_text(self) -> str:
        """Return the public key that belongs to it, as Z85.

        Raises:
            NotImplementedError: pyzmq's libzmq is built without CURVE.
        """
        _check_curve()
        return zmq.curve_public(self.text().encode()).decode()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretKey):
            return NotImplemented
        return hmac.compare_digest(self._raw, other._raw)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


def new_secret() -> SecretKey:
    """Make a key.

    Raises:
        NotImplementedError: pyzmq's libzmq is built without CURVE.
    """
    _check_curve()
    return SecretKey(z85.decode(zmq.curve_keypair()[1]))


def checked_secret(what: str, key: object) -> SecretKey:
    """Return a secret key that was given as Z85 text.

    Raises:
        TypeError, ValueError: it is none. ``what`` says what it was to be.
    """
    if isinstance(key, SecretKey):
        return key
    return SecretKey(_decoded(what, key)[1])


def checked_public(what: str, key: object) -> str:
    """Return a public key that was given as Z85 text; errors as of ``checked_secret``."""
    if isinstance(key, SecretKey):
        raise ValueError(f"{what} must be a public key; this is a secret one.")
    return _decoded(what, key)[0]


def raw(public_key: str) -> bytes:
    """Return the 32 bytes of a checked public key."""
    return z85.decode(public_key)


def is_text_of_key(text: str) -> bool:
    """Say whether a text could be a key, as to its length and characters."""
    return len(text) == LENGTH and _ALPHABET.issuperset(text)


def _decoded(what: str, key: object) -> tuple[str, bytes]:
    if isinstance(key, bytes):
        text = key.decode("latin-1")  # what is beyond ASCII is refused below
    elif isinstance(key, str):
        text = key
    else:
        raise TypeError(f"{what} must be text or a file, not {type(key).__name__}.")
    if len(text) != LENGTH:
        raise ValueError(
            f"{what} must be {LENGTH} characters of Z85, not {len(text)}, or a file that ends in "
            "'.key' or '.key_secret'."
        )
    for place, character in enumerate(text, 1):
        if character not in _ALPHABET:
            raise ValueError(f"{what} is not Z85: character {place} is none that Z85 uses.")
    try:
        decoded = z85.decode(text)
    except struct.error:
        decoded = b""
    if not any(decoded):
        # Five characters too large for four bytes; or zeros, which stand for "no key".
        raise ValueError(f"{what} is no key, though it has the length and characters of one.")
    return text, decoded


def _check_curve() -> None:
    if not zmq.has("curve"):
        raise NotImplementedError(
            f"The libzmq {zmq.zmq_version()} that pyzmq uses here is built without CURVE, so there "
            "are no keys. pyzmq's own wheels have it."
        )
