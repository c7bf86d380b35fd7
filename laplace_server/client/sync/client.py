"""Ask a server: one method per command, plain Python values in and out.

    with ClientLHC("tcp://192.168.1.20:5555") as motor:
        motor.set([1.5, 2.0])
        print(motor.get()["positions"])

It speaks to any laplace-server with protocol version 0.2.2.

How it works. A request has a connection to itself: it takes an idle one or opens one, and gives it
back when the answer is there. A connection whose answer did not come is thrown away, so a late
answer cannot be taken for that of another request. Nothing is sent twice: after a time-out nobody
knows whether a SET has run, so the caller decides.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from laplace_server.client import forked_clients
from laplace_server.client.base import Client
from laplace_server.client.describing import description_of, is_described
from laplace_server.client.moves import Arrival
from laplace_server.client.no_answer import ConnectionBroke, NoAnswer
from laplace_server.client.requests import Answer, Request, seconds_of
from laplace_server.client.starts import Start
from laplace_server.client.stream_source import StreamSource
from laplace_server.client.sync.connections import Pool
from laplace_server.description import DeviceDescription
from laplace_server.errors import NotPermitted, RequestTimeout
from laplace_server.wire import commands

if TYPE_CHECKING:
    from laplace_server.client.sync.subscription import PackSubscription, Subscription
    from laplace_server.security import ClientSecurity

__all__ = ["ClientLHC"]

_DATA = "data"


class ClientLHC(Client, StreamSource):
    """A client of one server; threads may share it and ask at the same time.

    It connects at the first request and again by itself when the server was restarted on its
    port. Of 64 requests at once each has a connection of its own, more wait for one of these, in
    order. In a forked child it opens connections of its own.

    Args:
        address: ``tcp://host:port`` of the server, as its ``address_for_client`` gives it.
        name: who is asking; servers log it, and ``stats()`` has it of subscribers. Unless told, it
            is the program's: the name of its file.
        timeout_s: how long a request waits for its answer, in seconds. Each request takes a
            ``timeout_s`` of its own as well.
        security: the client's key and the server's, of laplace_server.security. All that is said is
            encrypted then, and said to nobody but that server; subscriptions have it, too.

    Every request may raise:
        RequestTimeout: no answer in time. The command may or may not have run; it has not where
            ``reason`` says why nothing could be sent.
        RemoteError: the server answered with an error; ``str()`` is its text.
        NotPermitted: a RemoteError: the role of the client's key does not permit it.
        OutsideLimits, Busy: a RemoteError, of ``set``: the device refuses the positions.
        VersionMismatch: a RemoteError: the server wants another protocol version.
        InvalidReply: a RemoteError: the answer is no message of this protocol.
        ClientClosed: the client was closed, before the request or during it.
        TypeError, ValueError: a value that JSON cannot carry. Nothing was sent.

    What servers take as data can be sent: NaN, infinities, integers of any size, NumPy scalars and
    arrays (masked ones with None in the holes), sets (as lists), complex numbers (as [re, im]),
    dates, enums, dataclasses, decimals, UUIDs, paths.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: not a client's address, an empty name, or a time-out that is not positive.
        ImportError: with ``security``: there is no libsodium; the text says what to do.
    """

    _pool: Pool | None = None  # for __del__, where a constructor raises

    def __init__(
        self,
        address: str,
        name: str | None = None,
        timeout_s: float = 2.0,
        *,
        security: ClientSecurity | None = None,
    ) -> None:
        super().__init__(address, name, timeout_s, security)
        self._pool = Pool(self.address, self._keys)
        forked_clients.register(self)

    @property
    def closed(self) -> bool:
        """True once ``close()`` has been called."""
        return self._pool is None or self._pool.closed

    # -- requests

    def ping(self, *, timeout_s: float | None = None) -> float:
        """Return the round trip of a PING in seconds.

        A request that has to open a connection counts that in, so the first takes longer.
        """
        request = self._requests.ping
        start = time.perf_counter()
        frames = self._exchange(request, timeout_s)
        round_trip = time.perf_counter() - start
        request.read(frames)
        return round_trip

    def info(self, *, timeout_s: float | None = None) -> dict[str, Any]:
        """Return what the server says of itself.

        Keys: device, freedom (number of axes), name, capabilities, name_list, plottables_list, and
        more where there is more to say; ``describe`` has what it says of its data and methods.
        """
        return self._ask(self._requests.info, timeout_s)

    def get(self, *, arrays: bool = False, timeout_s: float | None = None) -> dict[str, Any]:
        """Return the device's present data; which keys, and in which units, the device says.

        With ``arrays``, NumPy arrays stay what they are, read-only, and cross as bytes instead of
        as text: quick for large ones. It takes NumPy here and laplace-server 1.0 there.

        Raises, with ``arrays``:
            LaplaceError: NumPy is not installed. Nothing was sent.
            RemoteError: also from a server that does not know the command.
        """
        requests = self._requests
        return self._ask(requests.get_arrays() if arrays else requests.get, timeout_s)

    def set(self, positions: Any, *, timeout_s: float | None = None) -> None:
        """Ask the device to move, in its own units.

        ``positions`` is a list in axis order or a dict from axis index to position, such as
        ``{"0": 1.5}``. The device's callback has returned when this does; it may still move.
        """
        self._ask(self._requests.of(commands.SET, positions), timeout_s)

    def move(
        self,
        positions: Any,
        *,
        tolerance: float = 1e-6,
        timeout_s: float = 60.0,
        progress: Callable[[dict[str, Any]], object] | None = None,
    ) -> dict[str, Any]:
        """Send the device somewhere, wait until it is there, and return its data then.

        ``positions`` is what ``set`` takes: a list in axis order (None: this axis stays) or a dict
        from axis to position. The device is there when its data says so: "moving" is false, and
        "positions" are within ``tolerance``, in the device's units, of those wanted; a device may
        describe other keys as these. Of one without "moving", the positions have to stay so for
        0.2 s; of one without "positions", "moving" alone counts.

        ``timeout_s`` is for the whole move. ``progress(data)`` is called with what each look (a
        GET) shows, from the answer to SET on, the last one too: at most 200 times a second at
        first, 20 times from the first second on. It is called in the thread that called ``move``,
        with AsyncClientLHC in the event loop's, and the next look waits for it: so it must be
        short, and a plain function. It may use the client (``halt``), keep the data, and raise,
        which ends the waiting.

        Where the connection breaks before SET is answered, as when the device is killed, nobody
        knows whether it moves: what looks show counts all the same.

        Where this raises, also for Ctrl-C, the device moves on: ``halt`` stops one that can be.

        Raises:
            NotArrived: ``timeout_s`` is over; or for 2 s the device has been at rest elsewhere, or
                has told neither "moving" nor "positions".
            RequestTimeout: SET could not be sent within ``timeout_s``, or a look was not answered
                within the client's time-out.
            TypeError, ValueError: an argument is wrong. Nothing was sent.
        """
        arrival = Arrival(self.address, positions, tolerance, timeout_s, progress)
        with suppress(NotPermitted):  # its keys are called as usual, then
            arrival.know(description_of(self.info(), None, self.address))
        begun = time.monotonic()
        try:
            request = self._requests.of(commands.SET, positions)
            request.read(self._exchange(request, arrival.timeout_s, until_broken=True))
        except ConnectionBroke:
            pass  # whether it moves nobody knows: looks will tell
        except RequestTimeout as error:
            if error.reason is not None:
                raise
            raise arrival.unanswered(self.get()) from error
        while True:
            data = self.get()
            pause_s = arrival.look(data, time.monotonic() - begun)
            if pause_s is None:
                return data
            time.sleep(pause_s)

    def halt(self, *, timeout_s: float | None = None) -> None:
        """Stop the device's movement, also while it carries out another request.

        Raises:
            NotSupported: the device cannot be halted. Nothing was done.
            RemoteError: also where its program failed to; it may still move.
        """
        self._ask(self._requests.halt, timeout_s)

    def save(self, path: str | os.PathLike[str], *, timeout_s: float | None = None) -> None:
        """Tell the device where to save; the path is one of the server's machine."""
        self._ask(self._requests.of(commands.SAVE, path), timeout_s)

    def opt(self, data: Any, *, timeout_s: float | None = None) -> None:
        """Send an optimiser's data."""
        self._ask(self._requests.of(commands.OPT, data), timeout_s)

    def scan(self, data: Any, *, timeout_s: float | None = None) -> None:
        """Send the state of a scan; the device's callback gets the whole message."""
        self._ask(self._requests.of(commands.SCAN, data), timeout_s)

    def set_actuators(self, actuators: Any, *, timeout_s: float | None = None) -> None:
        """Tell a scanner which actuators it may move."""
        self._ask(self._requests.of(commands.SET_ACT, actuators), timeout_s)

    def set_diagnostics(self, diagnostics: Any, *, timeout_s: float | None = None) -> None:
        """Tell a scanner which diagnostics it may read."""
        self._ask(self._requests.of(commands.SET_DIAG, diagnostics), timeout_s)

    def update_actuator_positions(self, actuators: Any, *, timeout_s: float | None = None) -> None:
        """Tell a scanner where its actuators are now."""
        self._ask(self._requests.of(commands.UPDATE_ACTUATORS_POS, actuators), timeout_s)

    def toggle_saving(self, on: bool, *, timeout_s: float | None = None) -> None:
        """Switch saving on (True) or off (False)."""
        self._ask(self._requests.of(commands.TOGGLE_SAVING, on), timeout_s)

    def stop_server(self, *, timeout_s: float | None = None) -> None:
        """Ask the server to end. A server that does not permit it answers with a RemoteError."""
        self._ask(self._requests.of(commands.STOP), timeout_s)
        # They lead to a server that is gone.
        if self._pool is not None:
            self._pool.drop_idle()

    def stats(self, *, timeout_s: float | None = None) -> dict[str, Any]:
        """Return what the server has counted: name, device, version, transport, epoch and stats().

        What ``ServerLHC.stats()`` has is there as plain values, ``running`` and ``uptime_s`` among
        them: docs/monitoring.md. It is answered while a callback hangs.

        Raises:
            RemoteError: also where the server does not know the command, such as 0.2.0.
        """
        return self._ask(self._requests.stats, timeout_s)

    def request(
        self,
        cmd: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Any:
        """Send any command, such as one the server registered, and return the reply's payload."""
        return self._ask(self._requests.any(cmd, payload), timeout_s)

    def describe(self, *, timeout_s: float | None = None) -> DeviceDescription:
        """Return what the server says of its keys, streams and methods.

        Of a server that describes nothing, such as one of laplace-server 0.2.0, the data is asked
        for as well, and ``inferred`` is True: types and shapes are those of its values, units and
        limits are not known. (A server that gives each value to one GET only gives it to this.)

        Raises:
            InvalidReply: what it says is no description.
        """
        info = self.info(timeout_s=timeout_s)
        data = None if is_described(info) else self.get(timeout_s=timeout_s)
        return description_of(info, data, self.address)

    def call(self, cmd: str, /, *, timeout_s: float | None = None, **arguments: Any) -> Any:
        """Call a method of the device: ``call("HOME", axis=0)``; return what it returns.

        ``describe().methods`` has their names, arguments and texts.

        Raises:
            RemoteError: also where an argument is missing, unknown or of the wrong type, and what
                the method raised, as type and text.
        """
        return self._ask(self._requests.call(cmd, arguments), timeout_s)

    # -- streams

    def subscribe(
        self,
        stream: str = "data",
        *,
        start: Start = "latest",
        latest_only: bool = False,
        credit_bytes: int = 16 << 20,
        timeout_s: float | None = None,
        name: str | None = None,
    ) -> Subscription:
        """Follow a stream: an iterator of its updates, with a connection of its own.

        ``start``: "latest", only what is published from now on; "newest", the newest update there
        is, at once, and all that follow; "oldest", all that the server still has; the number of
        the first update wanted; or (epoch, number), ``update.following`` of the last update that
        was handled: it goes on behind that, exactly, also when this program was started anew.
        ``latest_only``: the newest update each time, for displays. ``credit_bytes``: how much may
        be on the way, and so in memory here; one update always may. ``name``: what the subscriber
        is called in the server's ``stats()``; unless told, as the client.

        Where the server or the stream is not there yet, it returns within the client's time-out all
        the same, and ``next`` waits; a stream declared after this call is followed from its first
        update on. With a ``timeout_s`` of its own it raises RequestTimeout instead.

        Raises:
            RemoteError: the server refuses it, for a reason that does not go away: a ``start``
                beyond its next update, no streams at all, too many subscriptions.
            NotPermitted, VersionMismatch, InvalidReply: kinds of that.
            RequestTimeout: ``timeout_s`` was given, and it is not followed within that time.
            ClientClosed: the client is closed, or closed before the server has answered. Closing
                it later leaves its subscriptions alone.
            TypeError, ValueError: ``start``, ``credit_bytes`` or ``name`` is none of these.
        """
        from laplace_server.client.sync.subscription import Subscription

        how = {"start": start, "latest_only": latest_only, "credit_bytes": credit_bytes}
        return Subscription(**self._following(stream, name, timeout_s, **how))

    def subscribe_packs(
        self,
        stream: str = "data",
        *,
        start: Start = "latest",
        credit_bytes: int = 16 << 20,
        timeout_s: float | None = None,
        name: str | None = None,
    ) -> PackSubscription:
        """Follow a stream as ``subscribe`` does, but undecoded.

        The updates of a message come together, as a ``Pack`` of its frames, for programs that hand
        them on: 100,000 updates a second are some hundred packs.

        Raises:
            As ``subscribe``.
        """
        from laplace_server.client.sync.subscription import PackSubscription

        how = {"start": start, "latest_only": False, "credit_bytes": credit_bytes}
        return PackSubscription(**self._following(stream, name, timeout_s, **how))

    # -- the end

    def close(self) -> None:
        """Close all connections. Any thread may call it, also a signal handler, also twice.

        It waits for nothing: requests under way in other threads raise ClientClosed at once.
        """
        if self._pool is not None:
            self._pool.close()

    def __enter__(self) -> ClientLHC:
        self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        pool = self._pool
        if pool is not None and not pool.closed:
            # Nobody can be waiting for an answer here: a request holds a reference.
            warnings.warn(f"{self!r} was not closed.", ResourceWarning, stacklevel=2, source=self)
            pool.close()

    # -- for who follows on a program's behalf

    def _again(self) -> ClientLHC:
        return ClientLHC(self.address, self.name, self.timeout_s, security=self.security)

    def _subscribe_while(self, check: Callable[[], None], stream: str, **how: Any) -> Subscription:
        from laplace_server.client.sync.subscription import Subscription

        return Subscription(**self._following(stream, None, None, **how, check=check))

    def _stream_names(self) -> Set[str]:
        # A server without streams makes this one, of what it sets as its data.
        return set(self.info().get("streams") or {_DATA})

    def _info_of(self, epoch: int) -> dict[str, Any]:
        return self.info()  # of its present life

    def _lacks(self, stream: str, timeout_s: float) -> bool:
        try:
            streams = self.info(timeout_s=timeout_s).get("streams")
        except NotPermitted:
            return False  # to know that it is there, that will do
        return isinstance(streams, dict) and stream not in streams

    # -- inside

    def _after_fork(self) -> None:
        pool = self._pool
        if pool is not None and not pool.closed:
            pool.leave()
            self._pool = Pool(self.address, self._keys)

    def _ask(self, request: Request[Answer], timeout_s: float | None) -> Answer:
        return request.read(self._exchange(request, timeout_s))

    def _exchange(
        self, request: Request[Any], timeout_s: float | None, *, until_broken: bool = False
    ) -> list[bytes]:
        """Send a request and return its reply's frames."""
        seconds = self._timeout_s if timeout_s is None else seconds_of(timeout_s)
        pool = self._pool
        assert pool is not None
        try:
            return pool.exchange(request.body, seconds, until_broken)
        except NoAnswer as error:
            raise RequestTimeout(request.cmd, self.address, seconds, error.reason) from None
