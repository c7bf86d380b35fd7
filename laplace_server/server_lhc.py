"""ServerLHC: the server that a device program holds."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, NoReturn

from laplace_server import _core, handlers, libzmq
from laplace_server.attributes import Attribute, Fixed, Known, View, engine_if_made
from laplace_server.callbacks import Callback, checked_callback
from laplace_server.derived import hides
from laplace_server.engine import ENGINE, STOP_TIMEOUT_S, Engine, running_cores
from laplace_server.errors import ForkedServerError
from laplace_server.handler_table import HandlerTable
from laplace_server.logs import Log
from laplace_server.protocol import (
    CMD_GET,
    CMD_GET_ARRAYS,
    CMD_INFO,
    CMD_OPT,
    CMD_PING,
    CMD_SAVE,
    CMD_SCAN,
    CMD_SET,
    CMD_SET_ACT,
    CMD_SET_DIAG,
    CMD_STOP,
    CMD_SUBSCRIBE,
    CMD_TOGGLE_SAVING,
    CMD_UPDATE_ACTUATORS_POS,
    LOGGER_NAME,
    PROTOCOL_VERSION,
)
from laplace_server.publisher import checked_history_bytes
from laplace_server.real_time import real_time_permitted
from laplace_server.reply_socket import ReplySocket
from laplace_server.stacks import large_stacks
from laplace_server.stats import ServerStats
from laplace_server.validations import (
    validate_address,
    validate_device,
    validate_freedom,
    validate_port,
)

log = Log(LOGGER_NAME)

LIBZMQ_PATH = libzmq.load(_core.load_libzmq)

Handler = Callable[["ServerLHC", dict[str, Any], Any], "dict[str, Any] | None"]

BUILTIN_HANDLERS: dict[str, Handler] = {
    CMD_INFO: handlers.handle_info,
    CMD_PING: handlers.handle_ping,
    CMD_GET: handlers.handle_get,
    CMD_SET: handlers.handle_set,
    CMD_SAVE: handlers.handle_save,
    CMD_STOP: handlers.handle_stop,
    CMD_OPT: handlers.handle_opt,
    CMD_SCAN: handlers.handle_scan,
    CMD_SET_ACT: handlers.handle_set_actuators,
    CMD_UPDATE_ACTUATORS_POS: handlers.handle_update_actuator_positions,
    CMD_SET_DIAG: handlers.handle_set_diagnostics,
    CMD_TOGGLE_SAVING: handlers.handle_toggle_saving_status,
    CMD_GET_ARRAYS: handlers.handle_get_arrays,
    CMD_SUBSCRIBE: handlers.handle_subscribe,
}


def _host_of(server: ServerLHC, engine: Engine) -> str:
    """Where clients connect to: a derived class may know better (another network card, NAT)."""
    host: Any = server.server_ip
    return host if isinstance(host, str) else engine.server_ip


class ServerLHC(threading.Thread):
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
        max_message_bytes: a peer that sends a larger message is disconnected; -1 for no limit.
        remote_stop: whether STOP is permitted.
        refresh_timeout_ms: how long a read of live data may wait for a look at it.
        spin_us: how long the native thread, once requests come this close to one another, waits
            for the next without sleeping, 0 to 1000. Answers come sooner for the idle time of one
            core; a server read less often sleeps at once. 0: always sleep.
        real_time: run the native threads in real time (SCHED_RR, priority 1; Linux only), so that
            they get a core before whatever computes. ``spin_us`` is without effect then. Where the
            system does not permit it, a warning says so and the server does without. The permission
            must last until ``start()``.
        stream_history_bytes: memory for the last updates of each stream, unless ``declare_stream``
            says otherwise for one.
        callback_errors: what a client is told when a callback raises: ``"log"``, the normal reply,
            and the exception is logged; ``"reply"``, an error reply with its type and text as well.
            Both are counted in ``stats().callback_errors`` and shown by INFO.

    Raises:
        TypeError, ValueError: an argument is wrong. (Data that cannot be sent is no reason, as in
            ``set_data``.)
        zmq.ZMQError: the address cannot be bound, e.g. the port is taken (EADDRINUSE).
    """

    device = Attribute[str]("Kind of device.")
    freedom = Attribute[int]("Degrees of freedom of the device.")
    empty_data_after_get = Attribute[bool]("Whether each value is given to one GET only.")
    time_poll_ms: float
    time_sleep_ms: float

    on_saving_path_changed = Attribute[Callback | None]("SAVE calls it.")
    on_position_changed = Attribute[Callback | None]("SET calls it.")
    on_get = Attribute[Callback | None]("Called before each GET; what it sets is in that reply.")
    on_opt = Attribute[Callback | None]("OPT calls it.")
    on_scan = Attribute[Callback | None]("SCAN calls it.")
    on_set_actuators = Attribute[Callback | None]("SET ACT calls it.")
    on_set_diagnostics = Attribute[Callback | None]("SET DIAG calls it.")
    on_update_actuator_positions = Attribute[Callback | None]("UPDATE ACT POS calls it.")
    # Not of 0.2.0: a derived class may have a method of this name, and then that is called.
    on_saving_status_toggled = Attribute[Callback | None]("TOGGLE SAVING calls it.", default=None)

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
        max_message_bytes: int = 64 << 20,
        remote_stop: bool = True,
        refresh_timeout_ms: int = 100,
        spin_us: int = 200,
        real_time: bool = False,
        stream_history_bytes: int = 64 << 20,
        callback_errors: Literal["log", "reply"] = "log",
    ) -> None:
        validate_address(address)
        validate_port(address)
        validate_freedom(freedom)
        validate_device(device)
        if refresh_timeout_ms < 0:
            raise ValueError(f"'refresh_timeout_ms' must be 0 or more, not {refresh_timeout_ms}.")
        if not 0 <= spin_us <= 1000:
            raise ValueError(f"'spin_us' must be from 0 to 1000, not {spin_us}.")
        if callback_errors not in ("log", "reply"):
            raise ValueError(
                f"'callback_errors' must be 'log' or 'reply', not {callback_errors!r}."
            )
        settings: dict[str, Any] = {
            "accepted_versions": _checked_versions(accepted_versions),
            "max_message_bytes": max_message_bytes,
            "refresh_timeout_ms": refresh_timeout_ms,
            "spin_us": spin_us,
            "real_time": bool(real_time) and real_time_permitted(),
            "remote_stop": remote_stop,
            "stream_history_bytes": checked_history_bytes(stream_history_bytes),
            "replies_failures": callback_errors == "reply",
        }
        super().__init__(name=name)

        # Until there is an engine these are plain attributes, whatever a derived class set before.
        vars(self).pop(ENGINE, None)
        shown = {
            "device": device,
            "freedom": freedom,
            "name": self._name,  # type: ignore[attr-defined]
            "capabilities": list(BUILTIN_HANDLERS),
            "name_list": [] if name_list is None else name_list,
            "plottables_list": [] if plottables_list is None else plottables_list,
        }
        for key, value in shown.items():
            setattr(self, key, value)
            shown[key] = vars(self).get(key, value)  # a derived class may change it on its way
        self._handlers = table = HandlerTable(BUILTIN_HANDLERS, BUILTIN_HANDLERS)
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
            address=address,
            handlers=table,
            **settings,
        )
        try:
            engine.core.set_take_after_get(bool(self.empty_data_after_get))
            engine.core.set_info(shown)
            self.socket = engine.socket
            # As 0.2.0 has them; a program that sets the last one corrects what clients are told.
            self._running = engine.running
            self._address, self._server_ip = engine.address, engine.server_ip
            self.__laplace_engine = engine
            for each in _OF_THE_ENGINE:  # it has them now; the core counts references
                if isinstance(getattr(type(self), each), Known):
                    vars(self).pop(each, None)
            if getattr(self.set_data, "__func__", None) is ServerLHC.set_data:
                engine.core.set_data({} if data is None else data)
            else:
                self.set_data({} if data is None else data)
            engine.publish_table()
            engine.watch_handlers()
        except BaseException:
            engine.core.request_stop()  # frees the port at once, whoever keeps the exception
            raise

    # ---- data

    @property
    def data(self) -> dict[Any, Any]:
        """What GET returns, in a new dict each time.

        What that holds is the data itself: changed in place, the next GET shows the change.
        """
        data: dict[Any, Any] = self.__laplace_engine.core.read(_core.DATA)
        return data

    def set_data(self, new_data: dict[Any, Any], copy: bool = False) -> None:
        """Replace what GET returns; from any thread. When it has returned, the next GET shows it.

        Values may be what JSON knows, NumPy arrays and scalars, dates, enums, dataclasses, tuples,
        sets, paths and complex numbers (``[re, im]``). The dict stays yours, with all it holds:
        changed later, arrays too, the next GET shows the change, at the price of a look at it.
        With ``copy=True`` the server keeps a copy of the values of this moment, nothing else, and
        looks no more; every producer at a high rate should use it.

        Where a value cannot be sent, that is logged and GET answers an error that names the place,
        until better data comes; with ``copy=True`` it raises.

        Raises:
            TypeError: not a dict; with ``copy=True``, a value that cannot be sent. The old data
                stays.
            ForkedServerError: in a forked child.
        """
        # Nothing here may keep a reference to new_data: the core counts them.
        if copy:
            self.__laplace_engine.core.set_data_copy(new_data)
        else:
            self.__laplace_engine.core.set_data(new_data)

    def empty_data(self) -> None:
        """Make GET return ``{}``."""
        self.set_data({})

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
        ``block_timeout_s`` seconds in all; whoever is behind then is not waited for any more.

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

    def publish(
        self,
        stream: str,
        data: dict[Any, Any],
        *,
        timestamp: float | None = None,
        copy: bool = True,
    ) -> int:
        """Append an update to a stream, from any thread, and return its sequence number.

        It never waits for a subscriber, unless the stream's policy is "block". ``timestamp`` is
        when the data was acquired, in seconds since 1970; without it, now. The data may hold NumPy
        arrays anywhere, which travel as their bytes; with ``copy=False`` they are given away, not
        copied, and must not be changed any more. A stream that was not declared is declared.

        A server that has been stopped publishes nothing more: the number is 0 then.

        Raises:
            TypeError: not a dict, or a value that cannot be sent. Nothing was published.
            ValueError: ``timestamp`` is not finite, or the update larger than 1 GiB of JSON.
            ForkedServerError: in a forked child.
        """
        return self.__laplace_engine.streams.publish(stream, data, timestamp, copy)

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

    def set_on_saving_path_changed(self, func: Callable[[str], None] | None) -> None:
        """SAVE calls ``func(path)``."""
        self.on_saving_path_changed = checked_callback(func, "on_saving_path_changed")

    def set_on_position_changed(self, func: Callable[[Any], None] | None) -> None:
        """SET calls ``func(positions)``: a list, or a dict such as ``{"0": 1.5}``."""
        self.on_position_changed = checked_callback(func, "on_position_changed")

    def set_on_get(self, func: Callable[[], None] | None) -> None:
        """GET calls ``func()`` first. Without it, GET needs no Python and never waits."""
        self.on_get = checked_callback(func, "on_get")

    def set_on_opt(self, func: Callable[[Any], None] | None) -> None:
        """OPT calls ``func(data)``."""
        self.on_opt = checked_callback(func, "on_opt")

    def set_on_scan(self, func: Callable[[dict[str, Any]], None] | None) -> None:
        """SCAN calls ``func(message)`` with the whole message."""
        self.on_scan = checked_callback(func, "on_scan")

    def set_on_set_actuators(self, func: Callable[[Any], None] | None) -> None:
        """SET ACT calls ``func(actuators)``."""
        self.on_set_actuators = checked_callback(func, "on_set_actuators")

    def set_on_set_diagnostics(self, func: Callable[[Any], None] | None) -> None:
        """SET DIAG calls ``func(diagnostics)``."""
        self.on_set_diagnostics = checked_callback(func, "on_set_diagnostics")

    def set_on_update_actuator_positions(self, func: Callable[[Any], None] | None) -> None:
        """UPDATE ACT POS calls ``func(actuators)``."""
        self.on_update_actuator_positions = checked_callback(func, "on_update_actuator_positions")

    def set_on_saving_status_toggled(self, func: Callable[[Any], None] | None) -> None:
        """TOGGLE SAVING calls ``func(saving_status)``."""
        self.on_saving_status_toggled = checked_callback(func, "on_saving_status_toggled")

    def emit(self, callback_name: str, *args: Any) -> None:
        """Call the callback of that name, if one is set; what it raises is logged."""
        callback = getattr(self, callback_name, None)
        if not callback:
            return
        self.__laplace_engine.call(callback_name, callback, args)

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

    # ---- life

    def start(self) -> None:
        """Start answering.

        Raises:
            RuntimeError: started before, or stopped already.
            ForkedServerError: in a forked child.
        """
        engine = self.__laplace_engine
        if engine.core.forked:
            raise ForkedServerError("a server made before a fork works in the parent only")
        if engine.stopped:
            raise RuntimeError(f"server {engine.name!r} was stopped; make a new one")
        with large_stacks():
            super().start()
        engine.begun = True

    def run(self) -> None:
        """Serve until stopped. Called by ``start()`` in a thread of its own."""
        self.__laplace_engine.run(self)

    def stop(self) -> None:
        """End the server; from any thread, also from a callback, any number of times.

        Queued requests are answered "server stopping". Returns within 2 s, with the port free;
        called in a callback, it returns at once and the end comes after the callback.
        """
        engine = self.__laplace_engine
        if engine.core.forked:
            log.warning("[Server %s] stop() in a forked child does nothing.", engine.name)
            return
        deadline = time.monotonic() + STOP_TIMEOUT_S
        engine.request_stop()
        if engine.in_thread():
            return
        ended = engine.core.wait_ended(int(STOP_TIMEOUT_S * 1000))
        running = engine.running_code
        if engine.begun and running is None:
            threading.Thread.join(self, max(0.0, deadline - time.monotonic()))
        if not ended:
            log.error("[Server %s] The loop has not ended in time.", engine.name)
        elif running is not None:
            log.warning(
                "[Server %s] Stopped while %s is still running; its thread ends with it.",
                engine.name,
                running,
            )

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

    def stats(self) -> ServerStats:
        """A snapshot of the counters; taking it holds up nobody.

        Raises:
            ForkedServerError: in a forked child.
        """
        engine = self.__laplace_engine
        return ServerStats.from_counters(
            engine.core.counters(),
            engine.command_names,
            engine.core.ledgers(),
            engine.core.data_error(),
            engine.callback_errors,
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be copied or pickled: it has a port and threads. "
            "Pass its 'address_for_client' and connect a client there, or make a new server."
        )


_WATCHED = {name for name, own in vars(ServerLHC).items() if isinstance(own, Attribute)} | {"emit"}
_OF_THE_ENGINE = [
    name for name, own in vars(ServerLHC).items() if isinstance(own, Known) and own.read is not None
]


def _checked_versions(versions: Iterable[str]) -> tuple[str, ...]:
    if isinstance(versions, str):
        versions = (versions,)
    checked = tuple(versions)
    if not checked or not all(isinstance(version, str) and version for version in checked):
        raise ValueError(f"'accepted_versions' must be non-empty strings, got {checked!r}.")
    return checked


@atexit.register
def _end_with_the_process() -> None:
    """Daemon servers outlive the main thread; their native threads must not outlive Python."""
    cores = [core for core in list(running_cores) if not core.forked]
    for core in cores:
        core.request_stop()
    for core in cores:
        core.wait_ended(int(STOP_TIMEOUT_S * 1000))
