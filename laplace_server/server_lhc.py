"""ServerLHC: the server that a device program holds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, NoReturn, TypeVar

from laplace_server.description import WhenMoving
from laplace_server.handlers import builtin_handlers
from laplace_server.protocol import PROTOCOL_VERSION
from laplace_server.security.server import ServerSecurity
from laplace_server.server import _core, libzmq, life, methods
from laplace_server.server._core import publishing
from laplace_server.server.attributes import Attribute, Fixed, Known, View, engine_if_made
from laplace_server.server.callback_attributes import CallbackAttributes
from laplace_server.server.callbacks import checked_callback
from laplace_server.server.clients import ClientStats, clients_by_identity
from laplace_server.server.context import ENGINE, EPOCH
from laplace_server.server.derived import hides
from laplace_server.server.engine import Engine
from laplace_server.server.handler_table import HandlerTable
from laplace_server.server.moving import Move
from laplace_server.server.reply_socket import ReplySocket
from laplace_server.server.settings import checked_settings
from laplace_server.stats import ServerStats
from laplace_server.validations import (
    validate_address,
    validate_device,
    validate_freedom,
    validate_port,
    validate_timestamp,
)
from laplace_server.wire.commands import COMMANDS
from laplace_server.wire.stacks import large_stacks

LIBZMQ_PATH = libzmq.load(_core.load_libzmq)

Handler = Callable[["ServerLHC", dict[str, Any], Any], "dict[str, Any] | None"]

Function = TypeVar("Function", bound=Callable[..., Any])


def _host_of(server: Any, engine: Engine) -> str:
    """Where clients connect to: a derived class may know better (another network card, NAT)."""
    host: Any = server.server_ip
    return host if isinstance(host, str) else engine.server_ip


class ServerLHC(CallbackAttributes):
    """A device's server: answers requests over ZeroMQ while the program does its own work.

    PING, INFO and GET are answered by a native thread that never needs the GIL. Everything that
    runs Python of yours (callbacks, handlers) runs in this thread, one at a time, in the order
    the requests came.

    Args:
        name: name of the server, shown to clients.
        address: where to listen, e.g. ``tcp://*:5555``; port ``*`` takes any free one.
        freedom: degrees of freedom of the device, 0 or more.
        device: kind of device, one of ``protocol.AVAILABLE_DEVICES``.
        data: what GET returns, until ``set_data`` replaces it.
        empty_data_after_get: give each value to one GET only; the next gets ``{}``.
        time_poll_ms, time_sleep_ms: taken for older programs; they do nothing.
        name_list, plottables_list: shown by INFO.
        accepted_versions: protocol versions served, each answered in its own.
        transport: who carries the messages: ``"tcp"``, the server's own sockets, or ``"libzmq"``.
            None: what the environment variable LAPLACE_TRANSPORT says, else ``"tcp"``. What
            happens beyond the limits: docs/transport.md.
        max_message_bytes: of a message in all its frames; -1 for no limit. Who sends more gets an
            error reply where that can be, and is disconnected.
        max_message_frames: frames of a message (131,072). Not with libzmq.
        max_waiting_bytes: replies that wait for one connection to take them (16 MiB).
        max_connections: connections in all (16,384); where they are reached, one that has never
            asked anything gives way to a new one. Not with libzmq.
        max_connections_per_address: of one address (no limit). Not with libzmq.
        max_subscriptions_per_connection: (256) of streams; several programs behind a proxy share a
            connection.
        handshake_timeout_ms: time for a connection to say who it is (10,000). Not with libzmq.
        remote_stop: whether STOP is permitted.
        refresh_timeout_ms: how long a read of live data may wait for a refresh of it.
        spin_us: how long the native thread, once requests come this close to one another, waits
            for the next without sleeping, 0 to 1000. Answers come sooner for the idle time of one
            core; a server read less often sleeps at once. 0: always sleep.
        real_time: run the native threads in real time (SCHED_RR, priority 1; Linux only), so that
            they get a core before whatever computes. ``spin_us`` is without effect then. Where the
            system does not permit it, a warning says so and the server does without. The permission
            must last until ``start()``.
        stream_history_bytes: memory for the last updates of each stream, unless ``declare_stream``
            says otherwise for one.
        security: the server's keys, and who may ask for what (docs/security.md); None: everybody,
            for everything, in the clear. Not with libzmq.
        callback_errors: what a client is told when a callback raises: ``"log"``, the normal reply,
            and the exception is logged; ``"reply"``, an error reply with its type and text as well.
            Both are counted in ``stats().callback_errors`` and shown by INFO.
        describe: what the keys of the data are: ``{"positions": {"unit": "mm", "limits": (0, 50),
            "writable": True, "moving": "moving"}}``, by key, or by ``(stream, key)``; the fields
            are those of ``description.KeyDescription``. INFO tells it (docs/devices.md).
        check_limits: refuse a SET outside of the limits of the key that is described as writable,
            before any callback: the reply is an error that names axis, value and limits.
        when_moving: a SET on an axis that moves, as the described ``moving`` key of the data says:
            ``"follow"``, it is taken like any other; ``"busy"``, it is refused with an error.

    Raises:
        TypeError, ValueError: an argument is wrong. (Data that cannot be sent is no reason, as in
            ``set_data``.)
        zmq.ZMQError: the address cannot be bound, e.g. the port is taken (EADDRINUSE).
        ImportError: ``security`` is wanted, and there is no libsodium; the text says what to do.
    """

    device = Attribute[str]("Kind of device.")
    freedom = Attribute[int]("Degrees of freedom of the device.")
    empty_data_after_get = Attribute[bool]("Whether each value is given to one GET only.")
    time_poll_ms: float
    time_sleep_ms: float

    socket: ReplySocket
    """Where handlers send their reply."""
    _handlers = Attribute[HandlerTable](
        "The handlers by command, a live mapping.",
        lambda server, engine: engine.handlers,
    )

    name = Attribute[str](
        "Name of the server and of its thread.",
        lambda server, engine: threading.Thread.name.fget(server),  # type: ignore[attr-defined]
        lambda server, name: threading.Thread.name.fset(server, name),  # type: ignore[attr-defined]
    )
    capabilities = Attribute[list[str]](
        "Commands the server knows, as INFO shows them.",
        lambda server, engine: engine.info("capabilities"),
    )
    name_list = Attribute[list[Any]](
        "Names of the device's parts. Changed in place, INFO shows the change.",
        lambda server, engine: engine.info("name_list"),
    )
    plottables_list = Attribute[list[Any]](
        "What clients can plot. Changed in place, INFO shows the change.",
        lambda server, engine: engine.info("plottables_list"),
    )
    address = Fixed[str](
        "The address listened on, with the real port where ``*`` was given.",
        lambda server, engine: engine.address,
    )
    server_ip = Fixed[str](
        "The address of this machine that clients connect to.",
        lambda server, engine: getattr(server, "_server_ip", engine.server_ip),
    )
    server_port = Fixed[str]("The port listened on.", lambda server, engine: engine.server_port)
    address_for_client = Fixed[str](
        "What a client on another machine connects to.",
        lambda server, engine: f"tcp://{_host_of(server, engine)}:{engine.server_port}",
    )
    running = Fixed[threading.Event](
        "Set until the server is stopped; clearing it stops the server.",
        lambda server, engine: engine.running,
    )

    epoch = View[int](
        "Tells this life of the server from others, whose streams count from 1 again.",
        lambda engine: engine.epoch,
    )
    real_time = View[bool](
        "Whether the native threads run in real time: asked for, and permitted.",
        lambda engine: engine.real_time,
    )
    transport = View[Literal["tcp", "libzmq"]](
        "Who carries the messages.",
        lambda engine: engine.transport,
    )
    # For those who look inside, such as tests; nothing here reads it.
    _core = View[_core.Core]("The compiled core.", lambda engine: engine.core)

    def __init__(
        self,
        name: str,
        address: str,
        freedom: int,
        device: str,
        data: dict[Any, Any] | None = None,
        empty_data_after_get: bool = False,
        time_poll_ms: float = 100,
        time_sleep_ms: float = 10,
        name_list: list[Any] | None = None,
        plottables_list: list[Any] | None = None,
        *,
        accepted_versions: Iterable[str] = (PROTOCOL_VERSION,),
        transport: Literal["tcp", "libzmq"] | None = None,
        max_message_bytes: int = 64 << 20,
        max_message_frames: int | None = None,
        max_waiting_bytes: int | None = None,
        max_connections: int | None = None,
        max_connections_per_address: int | None = None,
        max_subscriptions_per_connection: int | None = None,
        handshake_timeout_ms: int | None = None,
        remote_stop: bool = True,
        refresh_timeout_ms: int = 100,
        spin_us: int = 200,
        real_time: bool = False,
        stream_history_bytes: int = 64 << 20,
        callback_errors: Literal["log", "reply"] = "log",
        security: ServerSecurity | None = None,
        describe: Mapping[Any, Any] | None = None,
        check_limits: bool = False,
        when_moving: WhenMoving = "follow",
    ) -> None:
        validate_address(address)
        validate_port(address)
        validate_freedom(freedom)
        validate_device(device)
        settings = checked_settings(
            str(name),
            accepted_versions=accepted_versions,
            transport=transport,
            max_message_bytes=max_message_bytes,
            max_message_frames=max_message_frames,
            max_waiting_bytes=max_waiting_bytes,
            max_connections=max_connections,
            max_connections_per_address=max_connections_per_address,
            max_subscriptions_per_connection=max_subscriptions_per_connection,
            handshake_timeout_ms=handshake_timeout_ms,
            refresh_timeout_ms=refresh_timeout_ms,
            spin_us=spin_us,
            real_time=real_time,
            remote_stop=remote_stop,
            stream_history_bytes=stream_history_bytes,
            callback_errors=callback_errors,
            security=security,
            describe=describe,
            check_limits=check_limits,
            when_moving=when_moving,
        )
        super().__init__(name=name)

        builtin = builtin_handlers()
        handlers = {cmd: each for cmd, each in builtin.items() if not COMMANDS[cmd].optional}
        # Until there is an engine these are plain attributes, whatever a derived class set before.
        vars(self).pop(ENGINE, None)
        shown = {
            "device": device,
            "freedom": freedom,
            "name": self._name,  # type: ignore[attr-defined]
            "capabilities": list(handlers),
            "name_list": [] if name_list is None else name_list,
            "plottables_list": [] if plottables_list is None else plottables_list,
        }
        for key, value in shown.items():
            setattr(self, key, value)
            shown[key] = vars(self).get(key, value)  # a derived class may change it on its way
        self._handlers = table = HandlerTable(handlers, builtin)
        self.empty_data_after_get = empty_data_after_get
        self.time_poll_ms = time_poll_ms
        self.time_sleep_ms = time_sleep_ms
        self.on_saving_path_changed = None
        self.on_position_changed = None
        self.on_get = None
        self.on_opt = None
        self.on_scan = None
        self.on_set_actuators = None
        self.on_set_diagnostics = None
        self.on_update_actuator_positions = None

        engine = Engine(
            self,
            ServerLHC,
            name=str(self.name),
            device=shown["device"],
            address=address,
            handlers=table,
            take_stats=ServerStats.of,
            epoch=vars(self).pop(EPOCH, None),
            **settings,
        )
        try:
            engine.core.set_take_after_get(bool(self.empty_data_after_get))
            engine.documents.set_info({**shown, **engine.added_info()})
            self.socket = engine.socket
            # As 0.2.0 has them; a program that sets the last one corrects what clients are told.
            self._running = engine.running
            self._address, self._server_ip = engine.address, engine.server_ip
            self.__laplace_engine = engine
            for each in _OF_THE_ENGINE:  # it has them now; the core counts references
                if isinstance(getattr(type(self), each), Known):
                    vars(self).pop(each, None)
            if getattr(self.set_data, "__func__", None) is ServerLHC.set_data:
                engine.documents.set_data({} if data is None else data)
            else:
                self.set_data({} if data is None else data)
            engine.publish_table()
            engine.watch_handlers()
            engine.use_security()
        except BaseException:
            engine.core.request_stop()  # frees the port at once, whoever keeps the exception
            raise

    # ---- data

    @property
    def data(self) -> dict[Any, Any]:
        """What GET returns, in a new dict each time.

        What that holds is the data itself: changed in place, the next GET shows the change.
        """
        data: dict[Any, Any] = self.__laplace_engine.documents.read_data()
        return data

    def set_data(self, new_data: dict[Any, Any], copy: bool = False) -> None:
        """Replace what GET returns; from any thread. When it has returned, the next GET shows it.

        Values may be what JSON knows, NumPy arrays and scalars, dates, enums, dataclasses, tuples,
        sets, paths and complex numbers (``[re, im]``). The dict stays yours, with all it holds:
        changed later, arrays too, the next GET shows the change, at the price of a refresh.
        With ``copy=True`` the server keeps a copy of the values of this moment, nothing else, and
        refreshes nothing; every producer at a high rate should use it.

        Where a value cannot be sent, that is logged and GET answers an error that names the place,
        until better data comes; with ``copy=True`` it raises.

        Raises:
            TypeError: not a dict; with ``copy=True``, a value that cannot be sent. The old data
                stays.
            ForkedServerError: in a forked child.
        """
        # Nothing here may keep a reference to new_data: the core counts them.
        engine = self.__laplace_engine
        documents, moving = engine.documents, engine.moving
        replace = documents.set_data_copy if copy else documents.set_data
        if moving.told:
            with moving.lock:
                new_data = moving.shown(new_data)
                replace(new_data)
        else:  # without the lock, which takes its time
            replace(new_data)
            if moving.told:  # the first move of all has begun meanwhile
                moving.show()

    def empty_data(self) -> None:
        """Make GET return ``{}``."""
        self.set_data({})

    def begin_move(self) -> Move:
        """Tell clients that the device moves, from any thread: "moving" of the data becomes True.

        It stays so, whatever ``set_data`` says, until each move that has begun is ended: by
        ``end()`` of what this returns, by the end of ``with server.begin_move():``, or all by
        ``end_move()``. A SET's callback that calls it before it returns lets no client see the
        device at rest before the move began. A "moving" with a value for each axis (a list, a dict,
        a NumPy array) stays so.

        From the first call on the data always has the key: False when nothing moves and the
        program does not say otherwise. A dict whose items are replaced later, not set again, shows
        that no more; use ``set_data``.

        Raises:
            RuntimeError: with ``empty_data_after_get`` the data forgets that the device moves.
            ForkedServerError: in a forked child.
        """
        self.__laplace_engine.check_not_forked()
        if self.empty_data_after_get:
            raise RuntimeError(
                "a server with 'empty_data_after_get' cannot tell of moves: each value of its data "
                "is given to one client only. Make it without."
            )
        return self.__laplace_engine.moving.begin()

    def end_move(self) -> None:
        """Tell clients that nothing moves any more, from any thread: "moving" becomes False.

        First set the data that shows where the device has arrived.

        Raises:
            ForkedServerError: in a forked child.
        """
        self.__laplace_engine.check_not_forked()
        self.__laplace_engine.moving.end_all()

    def set_name_list(self, new_names: list[Any]) -> None:
        """Replace the names that INFO shows."""
        self.name_list = new_names

    # ---- streams

    def declare_stream(
        self,
        name: str,
        *,
        history_bytes: int | None = None,
        history_count: int | None = None,
        policy: Literal["gap", "block"] = "gap",
        block_timeout_s: float = 1.0,
    ) -> None:
        """Make a stream that clients can follow, or change how much of its past is kept.

        ``history_bytes`` of memory (``stream_history_bytes`` of the server, unless told) hold its
        last updates, at most ``history_count`` of them; the last update is kept in any case. An
        update that leaves the history before a subscriber was sent it is lost for that one, who is
        told so: policy "gap". With policy "block", ``publish`` waits instead, up to
        ``block_timeout_s`` seconds in all; whoever is behind then is not waited for until it
        subscribes again.

        ``set_data`` also appends to the stream "data", once that is declared or a client has
        subscribed to it.

        Raises:
            TypeError, ValueError: an argument is wrong.
        """
        self.__laplace_engine.streams.declare(
            name,
            history_bytes=history_bytes,
            history_count=history_count,
            policy=policy,
            block_timeout_s=block_timeout_s,
        )

    @publishing(ENGINE)
    def publish(
        self,
        stream: str,
        data: dict[Any, Any],
        *,
        timestamp: float | None = None,
        copy: bool = True,
        lost_before: int = 0,
    ) -> int:
        """Append an update to a stream, from any thread, and return its sequence number.

        It never waits for a subscriber, unless the stream's policy is "block". ``timestamp`` is
        when the data was acquired, in seconds since 1970; without it, now. The data may hold NumPy
        arrays anywhere, which travel as their bytes; with ``copy=False`` they are given away, not
        copied, and must not be changed any more. A stream that was not declared is declared.

        Where so many updates are missing right before it, because the program hands on what has
        lost some, ``lost_before`` says so: their numbers are left out, and whoever follows learns
        of a loss, as of one on the way.

        A server that has been stopped publishes nothing more: the number is 0 then.

        Raises:
            TypeError: not a dict, a value that cannot be sent, or ``timestamp`` or ``lost_before``
                is no number. Nothing was published.
            ValueError: ``timestamp`` is not finite, ``lost_before`` is not from 0 to 2^32, or the
                update larger than 1 GiB of JSON.
            ForkedServerError: in a forked child.
        """
        if timestamp is not None:
            validate_timestamp(timestamp)
        return self.__laplace_engine.streams.publish(stream, data, timestamp, copy, lost_before)

    # ---- what it is

    def describe(
        self,
        key: str,
        *,
        stream: str = "data",
        dtype: Any = None,
        shape: tuple[int | None, ...] | None = None,
        unit: str | None = None,
        limits: Any = None,
        writable: bool = False,
        text: str = "",
        moving: str | None = None,
    ) -> None:
        """Say what a key of the data is, or of another stream; from any thread, also while serving.

        The fields are those of ``description.KeyDescription``; they take the place of all that was
        said of the key before. INFO shows them from now on.

        Raises:
            TypeError, ValueError: one of them is wrong, or a second key is ``writable``; what was
                said before stays.
            ForkedServerError: in a forked child.
        """
        fields = {
            "dtype": dtype,
            "shape": shape,
            "unit": unit,
            "limits": limits,
            "writable": writable,
            "text": text,
            "moving": moving,
        }
        self.__laplace_engine.describe(stream, key, fields)

    # ---- callbacks and handlers

    def __setattr__(self, name: str, value: Any) -> None:
        engine = engine_if_made(self) if name in _WATCHED else None
        if engine is not None and hides(self, ServerLHC, name):
            # A class attribute of that name keeps our own one from being asked.
            keep = super().__setattr__
            engine.change(self, name, value, lambda _, value: keep(name, value))
        else:
            super().__setattr__(name, value)
            if engine is not None and name == "emit":
                engine.publish_table()  # it is called at each GET, and the loop calls nothing

    def emit(self, callback_name: str, *args: Any) -> None:
        """Call the callback of that name, if one is set; what it raises is logged."""
        callback = getattr(self, callback_name, None)
        if not callback:
            return
        self.__laplace_engine.call(callback_name, callback, args)

    def set_on_halt(self, func: Callable[[], None] | None) -> None:
        """HALT calls ``func()``, which stops the movement; without it there is no HALT.

        It is called at once, in a thread of its own, also while another callback runs: it must be
        thread-safe. One HALT is carried out after the other. What it raises is logged, and told to
        who asked. A handler of HALT that was registered before comes back with None.

        Raises:
            TypeError: neither callable nor None, or async.
        """
        self.__laplace_engine.halt_with(checked_callback(func, "on_halt"))

    def register_handler(self, cmd: str, handler: Handler) -> None:
        """Serve a command of your own, or serve a built-in one differently.

        ``handler(server, message, target)`` runs in the ServerLHC thread and returns the reply's
        payload (a dict; None for an empty one). What it raises becomes the error reply. It may
        instead send a whole reply with ``server.socket.send_json(reply)``.

        Raises:
            TypeError: ``cmd`` is no non-empty str, or ``handler`` is not callable or async.
        """
        if not isinstance(cmd, str) or not cmd:
            raise TypeError(f"a command is a non-empty str, not {cmd!r}")
        self.__laplace_engine.handlers[cmd] = handler

    def command(self, name: str) -> Callable[[Function], Function]:
        """Decorate a function that clients call by this name: a method (docs/devices.md).

            @server.command("HOME")
            def home(axis: int, speed: float = 5.0) -> float: ...

        A client's ``call("HOME", axis=0)`` returns what the function does. The payload is checked
        against its annotations: bool, int, float, str, list, dict, of these with types in brackets,
        Any, None, unions, Literal and enums, whose values travel. It runs in the ServerLHC thread;
        what it raises is logged, counted under the method's name in ``stats().callback_errors``,
        and the error that the client gets. INFO shows names, arguments and docstrings.

        Raises:
            TypeError: ``name`` is no non-empty str; the function is async, or has an argument
                that is not annotated, or with what JSON has nothing like.
            ValueError: there is a command of this name.
        """
        engine = self.__laplace_engine
        methods.check_name(name, engine.handlers)

        def add(function: Function) -> Function:
            method = methods.Method(name, function)
            methods.check_name(name, engine.handlers)
            engine.handlers[name] = method
            return function

        return add

    # ---- life

    def start(self) -> None:
        """Start answering.

        Raises:
            RuntimeError: started before, or stopped already.
            ForkedServerError: in a forked child.
        """
        engine = self.__laplace_engine
        engine.check_not_forked()
        if engine.stopped:
            raise RuntimeError(f"server {engine.name!r} was stopped; make a new one")
        with large_stacks():
            super().start()
        engine.begun = True

    def run(self) -> None:
        """Serve until stopped. Called by ``start()`` in a thread of its own."""
        life.run(self.__laplace_engine, self)

    def stop(self) -> None:
        """End the server; from any thread, also from a callback, any number of times.

        Queued requests are answered "server stopping"; one whose callback does not return in time
        is told that its outcome is not known. Returns within 2 s, with the port free;
        called in a callback, it returns at once and the end comes after the callback.
        """
        life.stop(self.__laplace_engine, lambda seconds: threading.Thread.join(self, seconds))

    def __enter__(self) -> ServerLHC:
        """Start, if that has not been done."""
        if not self.__laplace_engine.begun:
            self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def clients(self) -> list[ClientStats]:
        """Who is there, in the order they came: all that asks from one machine under one name.

        A client is there while a connection of it is open by which it was the last to ask, and 1 s
        more. One whose connections last less than 5 s, that shares one with others (a proxy), or
        any with transport "libzmq", is there for 10 s after its last request. ``stats()`` has the
        same. At most 4096 are told apart; docs/fleet.md.

        Raises:
            ForkedServerError: in a forked child.
        """
        return list(clients_by_identity(self.__laplace_engine).values())

    def set_on_client_joined(self, func: Callable[[ClientStats], None] | None) -> None:
        """Call ``func(client)`` for each client that comes, and for those that are there already.

        It is called in the ServerLHC thread, as callbacks of commands are, within 0.5 s unless that
        is busy. A client that comes and goes meanwhile is not told of.

        Raises:
            TypeError: neither callable nor None, or async.
        """
        checked = checked_callback(func, "on_client_joined")
        self.__laplace_engine.arrivals.call_on_joined(checked)

    def set_on_client_left(self, func: Callable[[ClientStats], None] | None) -> None:
        """Call ``func(client)`` for each client that has gone, as ``clients`` says.

        See ``set_on_client_joined``. What is told of it is what was known when it was seen last.
        """
        checked = checked_callback(func, "on_client_left")
        self.__laplace_engine.arrivals.call_on_left(checked)

    def stats(self) -> ServerStats:
        """A snapshot of the counters; taking it holds up nobody.

        Raises:
            ForkedServerError: in a forked child.
        """
        return ServerStats.of(self.__laplace_engine)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be copied or pickled: it has a port and threads. "
            "Pass its 'address_for_client' and connect a client there, or make a new server."
        )


_WATCHED = {
    *(name for name in dir(ServerLHC) if isinstance(getattr(ServerLHC, name), Attribute)),
    "emit",
}
_OF_THE_ENGINE = [
    name for name, own in vars(ServerLHC).items() if isinstance(own, Known) and own.read is not None
]
