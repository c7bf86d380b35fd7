"""A fleet for threads."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from laplace_server.client.not_copied import NotCopied
from laplace_server.client.requests import seconds_of
from laplace_server.errors import ClientClosed
from laplace_server.fleet.announcer import Announcer, Callback
from laplace_server.fleet.face import FleetFace, Result
from laplace_server.fleet.fleet_thread import FleetThread
from laplace_server.fleet.following import Following

if TYPE_CHECKING:
    from laplace_server.fleet.following import FindSecurity

__all__ = ["Fleet"]


class Fleet(NotCopied, FleetFace):
    """Devices followed in one thread: who is there, what each says of itself, how quick it answers.

    Any thread may use it. It follows from ``start()`` to ``close()``, or in a ``with`` block. Each
    device is sent a PING, again ``period_s`` after the answer, and an INFO each 5 s. One that does
    not answer within ``timeout_s``, or answers with an error, is lost; one that was started anew
    between two PINGs is lost and joins again, since its connection broke.

    What devices are told by ``save``, ``toggle_saving``, ``set_actuators``, ``set_diagnostics``
    and ``tell``, each is told again whenever it joins. A setting that is not confirmed is told
    again after 1 s, then 2 s and so on up to 30 s; so a device may be told the same twice. One that
    the device does not permit is told again when it joins.

    Each device has two connections, of the kind that ``AsyncClientLHC`` has.

    Args:
        addresses: of the devices; each once.
        name: who is asking, as for ClientLHC.
        period_s: from the answer to a PING to the next one, in seconds.
        timeout_s: how long an answer is waited for, in seconds.
        security: gives the keys for an address, or None; ``ClientSecurity.find`` does.

    Raises:
        ValueError: an address is none, or is there twice; a time is not positive.
        TypeError: an argument of the wrong type.
    """

    _thread: FleetThread | None = None  # for __del__, where the constructor raises

    def __init__(
        self,
        addresses: Iterable[str] = (),
        *,
        name: str | None = None,
        period_s: float = 0.5,
        timeout_s: float = 2.0,
        security: FindSecurity | None = None,
    ) -> None:
        # Neither of the threads refers to this object, so it can be collected.
        self._announcer = Announcer()
        self._following = Following(
            addresses, name, period_s, timeout_s, security, self._announcer.ring
        )
        self._thread = FleetThread(self._following)

    def set_on_joined(self, func: Callback | None) -> None:
        """Call ``func(device)``, with a DeviceState, for each that joins: at first, and again.

        Callbacks are called in a thread of their own, one after the other. One that takes long
        holds up those behind it and nothing else; of what happens to a device meanwhile, two that
        cancel each other out are not told. What they raise is written to the log.

        Raises:
            TypeError: it cannot be called.
        """
        self._announcer.callbacks.set_on_joined(func)

    def set_on_lost(self, func: Callback | None) -> None:
        """Call ``func(device)`` for each that is lost; ``device.reason`` says why.

        See ``set_on_joined``. Nothing is told of a device that was never there or is removed.
        """
        self._announcer.callbacks.set_on_lost(func)

    def wait(self, timeout_s: float) -> dict[str, str]:
        """Wait until all devices are there and have confirmed their settings.

        Return what ``missing`` does at the end: nothing where all is well, and after ``timeout_s``
        seconds who is missing, and why.

        Raises:
            TypeError, ValueError: the time is no positive number.
            ClientClosed: it was not started, or is closed.
            RuntimeError: this is the fleet's own thread, as in a handler of its log.
        """
        seconds = seconds_of(timeout_s)
        return self._running().wait(lambda: self._following.wait(seconds))

    # -- life

    def start(self) -> None:
        """Begin to follow, once only.

        Raises:
            ClientClosed: it was started before, or is closed.
            OSError: the system has no descriptors left.
        """
        try:
            self._running().start()
            self._announcer.begin(self._following.notices)
        except ClientClosed:
            raise
        except BaseException:  # Ctrl-C, or no threads left: nobody would close it
            self.close()
            raise

    def close(self) -> None:
        """End; again does nothing. Answers are not waited for, nor is a callback beyond 1 s."""
        thread = self._running()
        thread.end()
        self._announcer.end()
        thread.wait_ended()
        self._announcer.wait_ended()

    def __enter__(self) -> Fleet:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        thread = self._thread
        if thread is not None and thread.follows:
            warnings.warn("A Fleet was not closed.", ResourceWarning, stacklevel=2, source=self)
            thread.end()
            self._announcer.end()

    def _running(self) -> FleetThread:
        assert self._thread is not None
        return self._thread

    def _call(self, function: Callable[[], Result]) -> Result:
        return self._running().call(function)
