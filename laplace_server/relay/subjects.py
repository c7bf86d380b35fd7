"""Where a stream of a device is found in NATS: its subject, and the name of its JetStream stream.

A name is written as a token of a subject by percent-encoding all but ASCII letters, digits, ``_``
and ``-``: "Laser 2" is ``Laser%202``. That can be read back, and no two names are written alike.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

DEFAULT_PREFIX = "lhc"
DEFAULT_SITE = "lab"

NOTES = "@device"
"""In the place of a stream: what is noted of the device. No name is written so."""

MOST_BYTES = 255  # of a JetStream stream's name, which is a folder's, too


class Subject(NamedTuple):
    """What names a stream, of whatever characters."""

    prefix: str
    """The subject's first tokens, with dots between them."""
    site: str
    device: str
    stream: str

    def __str__(self) -> str:
        """The subject: ``lhc.lab.camera.images``."""
        return f"{self.device_subject}.{token(self.stream)}"

    @property
    def device_subject(self) -> str:
        """What the subjects of all streams of the device begin with."""
        return ".".join([self.prefix, token(self.site), token(self.device)])

    @property
    def stream_name(self) -> str:
        """The name of the JetStream stream that has this subject and no other."""
        return name_of(str(self))


def name_of(subject: str) -> str:
    """Return the name of the JetStream stream of a subject."""
    return subject.replace(".", "+")


def subject_of(prefix: str, site: str, device: str, stream: str) -> Subject:
    """Return the subject.

    Raises:
        TypeError: one of them is no str.
        ValueError: one of them cannot be part of a subject, or all together are too long.
    """
    for what, name in (("site", site), ("device", device), ("stream", stream)):
        _check(what, name)
    check_prefix(prefix)
    subject = Subject(prefix, site, device, stream)
    size = len(str(subject))
    if size > MOST_BYTES:
        raise ValueError(
            f"the subject {subject} has {size} characters, and NATS takes {MOST_BYTES}: "
            "give the device a shorter name for the relay."
        )
    return subject


def read_subject(subject: str, prefix: str = DEFAULT_PREFIX) -> Subject:
    """Return what a subject names.

    Raises:
        ValueError: it is none that ``subject_of`` makes with this prefix.
    """
    tokens = subject.removeprefix(prefix + ".").split(".")
    if not subject.startswith(prefix + ".") or len(tokens) != 3:
        raise ValueError(f"{subject!r} is not {prefix}.SITE.DEVICE.STREAM.")
    try:
        names = [unquote(each, errors="strict") for each in tokens]
        found = subject_of(prefix, *names)
    except UnicodeDecodeError as error:
        raise ValueError(f"{subject!r} is no subject of a relay: {error}") from None
    if str(found) != subject:
        raise ValueError(f"{subject!r} is no subject of a relay: it would be {found}.")
    return found


def token(name: str) -> str:
    """Return a name as a token of a subject."""
    # quote() leaves these two as they are, and a dot parts tokens.
    return quote(name, safe="").replace(".", "%2E").replace("~", "%7E")


def check_prefix(prefix: str) -> None:
    """Raise TypeError or ValueError where a subject cannot begin so."""
    if not isinstance(prefix, str):
        raise TypeError(f"'prefix' must be str, not {prefix!r}.")
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", prefix):
        raise ValueError(
            "'prefix' must be words of letters, digits, _ and -, with dots between, "
            f"not {prefix!r}."
        )


def _check(what: str, name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"'{what}' must be str, not {name!r}.")
    if not name:
        raise ValueError(f"'{what}' must not be empty.")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"'{what}' must be text that UTF-8 can write, not {name!r}.") from None
