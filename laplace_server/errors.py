"""Every exception class of the package.

All derive from ``LaplaceError``; those for which Python has a fitting class derive from that too.
All of them pickle, so they cross process pools unharmed. Wrong arguments raise ValueError or
TypeError as usual, and a port that cannot be bound raises pyzmq's ``zmq.ZMQError``.
"""

from __future__ import annotations

from typing import Any


class LaplaceError(Exception):
    """Base class of what this package raises by itself."""


class RequestTimeout(LaplaceError, TimeoutError):
    """No answer within the time allowed.

    The server may be absent, busy or gone; whether it has run the command is not known.

    Attributes: ``cmd`` (the command), ``address`` (of the server), ``timeout_s`` (seconds waited),
    ``reason`` (text: why nothing could be sent, such as a host name that is not known, nobody who
    listens, somebody who listens and says nothing, or a server that takes no more connections; None
    where the server may have got the request, and has not answered).
    """

    def __init__(self, cmd: str, address: str, timeout_s: float, reason: str | None = None) -> None:
        why = "" if reason is None else f": {reason}"
        super().__init__(f"No answer from {address} to {cmd} within {timeout_s:g} s{why}.")
        self.cmd = cmd
        self.address = address
        self.timeout_s = timeout_s
        self.reason = reason

    # OSError, the base of TimeoutError, would pickle the text as the only argument.
    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.cmd, self.address, self.timeout_s, self.reason), self.__dict__


class RemoteError(LaplaceError):
    """The server answered with an error.

    ``str()`` of it is the server's text. Attributes: ``error_msg`` (that text), ``cmd`` (the
    command), ``address`` (of the server).
    """

    def __init__(self, error_msg: str, cmd: str, address: str) -> None:
        super().__init__(error_msg)
        self.error_msg = error_msg
        self.cmd = cmd
        self.address = address

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.error_msg, self.cmd, self.address), self.__dict__


class VersionMismatch(RemoteError):
    """The server does not accept this package's protocol version."""


class NotPermitted(RemoteError):
    """The server does not permit this to who asks, or (STOP) to anybody: another try is in vain.

    It is the role of the client's key that counts, or that of clients without keys.
    """


class OutsideLimits(RemoteError):
    """A SET goes beyond what the device allows: the text names axis, value and limits.

    The device has done nothing of it.
    """


class Busy(RemoteError):
    """A SET on an axis that moves; the device takes another one when it has arrived."""


class NotSupported(RemoteError):
    """The device cannot do this: the server does not know the command."""


class InvalidReply(RemoteError):
    """What came back is no reply of this protocol; ``error_msg`` says what is wrong with it."""


class NotArrived(LaplaceError):
    """A device was sent somewhere, and has not got there. It may still be moving.

    Attributes: ``wanted`` (positions by axis, a dict), ``positions`` (where it was at last, as its
    data says; None where it does not), ``address`` (of the server), ``reason`` (text).
    """

    def __init__(self, wanted: dict[Any, float], positions: Any, address: str, reason: str) -> None:
        where = "" if positions is None else f" It is at {positions!r}."
        super().__init__(f"{address} has not arrived at {wanted!r}: {reason}.{where}")
        self.wanted = wanted
        self.positions = positions
        self.address = address
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        wanted = self.wanted, self.positions, self.address, self.reason
        return type(self), wanted, self.__dict__


class ClientClosed(LaplaceError, RuntimeError):
    """The client is closed, or was closed while the request waited for its answer."""


class ForkedServerError(LaplaceError, RuntimeError):
    """A server was used in a forked child; it works in the process that made it only.

    Start children with ``multiprocessing.get_context("spawn")`` and make the server there.
    """


class KeyFileError(LaplaceError):
    """A file with a key is not as it has to be; the text names it and says what to do.

    It is missing or no certificate, holds the wrong kind of key, or is open to others.
    """
