"""ServerLHC: the server that a device program holds."""

from __future__ import annotations

import atexit
import contextlib
import logging
import secrets
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

import zmq

from laplace_server import _core, forks, handlers, libzmq
from laplace_server.dispatcher import serve
from laplace_server.errors import ForkedServerError
from laplace_server.get_ip import host_for_clients
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
from laplace_server.publisher import (
    Publisher,
    checked_history_bytes,
    warn_of_follower,
    warn_of_refused,
    warn_of_unfit,
)
from laplace_server.real_time import real_time_permitted
from laplace_server.reply_socket import ReplySocket
from laplace_server.reply_templates import reply_templates, reply_texts
from laplace_server.stacks import large_stacks
from laplace_server.stats import ServerStats
from laplace_server.validations import validate_address, validate_device, validate_freedom

log = Log(LOGGER_NAME)

LIBZMQ_PATH = libzmq.load(_core.load_libzmq)

Callback = Callable[..., Any]
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
    CMD_TOGGLE_SAVING: handlers.handle_toggle_saving,
    CMD_GET_ARRAYS: handlers.handle_get_arrays,
    CMD_SUBSCRIBE: handlers.handle_subscribe,
}

# Commands the loop answers by itself while their handler is the built-in one. The numbers
# are the core's; 0 is "ask Python".
_NATIVE = {CMD_PING: 1, CMD_INFO: 2, CMD_GET: 3}
_POLLED = frozenset((*_NATIVE, CMD_GET_ARRAYS))

_STOP_TIMEOUT_S = 1.95
_PAUSE_S = 0.1

# Windows keeps a port taken until the connections to the server before have ended as well, and
# each of those has to be closed by its client, too.
_BIND_PATIENCE_S = 0.5 if sys.platform == "win32" else 0.0

# Servers whose loop runs, for the end of the process.
_running_cores: weakref.WeakSet[_core.Core] = weakref.WeakSet()


class ServerLHC(Publisher, threading.Thread):
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

    Raises:
        TypeError, ValueError: an argument is wrong; data that JSON cannot say.
        zmq.ZMQError: the address cannot be bound, e.g. the port is taken (EADDRINUSE).
    """

    # How much may wait for Python, in all and for one peer; beyond it, the answer is "busy".
    # The last is for replies to a peer that does not read; beyond it, they are dropped.
    limits: Mapping[str, int] = {
        "pending": 4096,
        "pending_bytes": 256 << 20,
        "peer_pending": 1024,
        "peer_pending_bytes": 64 << 20,
        "peer_parked_bytes": 16 << 20,
    }

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
    ) -> None:
        validate_address(address)
        validate_freedom(freedom)
        validate_device(device)
        if refresh_timeout_ms < 0:
            raise ValueError(f"'refresh_timeout_ms' must be 0 or more, not {refresh_timeout_ms}.")
        if not 0 <= spin_us <= 1000:
            raise ValueError(f"'spin_us' must be from 0 to 1000, not {spin_us}.")
        super().__init__(name=name)

        self.stream_history_bytes = checked_history_bytes(stream_history_bytes)
        self.accepted_versions = _checked_versions(accepted_versions)
        self.max_message_bytes = max_message_bytes
        self.refresh_timeout_ms = refresh_timeout_ms
        self.real_time = bool(real_time) and real_time_permitted()
        """Whether the native threads run in real time: asked for, and permitted."""
        self.spin_us = spin_us
        self.remote_stop = remote_stop
        self.time_poll_ms = time_poll_ms
        self.time_sleep_ms = time_sleep_ms

        self.on_saving_path_changed: Callback | None = None
        self.on_position_changed: Callback | None = None
        self.on_opt: Callback | None = None
        self.on_scan: Callback | None = None
        self.on_set_actuators: Callback | None = None
        self.on_set_diagnostics: Callback | None = None
        self.on_update_actuator_positions: Callback | None = None
        self.on_saving_status_toggled: Callback | None = None
        self._on_get: Callback | None = None

        self._command_names: list[Any] = [""]
        self._command_numbers: dict[Any, int] = {"": 0}
        self._handlers = HandlerTable(BUILTIN_HANDLERS)
        self.socket = ReplySocket(self)
        # Attributes and handlers are changed by several threads and read as a whole.
        self._change_lock = threading.RLock()
        self._running = _Running(self)
        # What runs in the ServerLHC thread now: a command and perhaps its callback.
        self._running_code: Any = None
        self._stopped = False

        self.epoch = secrets.randbits(63) or 1
        """Tells this life of the server from others, whose streams count from 1 again."""
        self._core = self._bound_core(address)
        self._core.on_given_up = warn_of_follower
        self._core.on_unfit = warn_of_unfit
        self._core.on_refused = warn_of_refused
        try:
            self.empty_data_after_get = empty_data_after_get
            self._core.set_data({} if data is None else data)
            self._core.set_info(
                {
                    "device": device,
                    "freedom": freedom,
                    "name": name,
                    "capabilities": list(self._handlers),
                    "name_list": [] if name_list is None else name_list,
                    "plottables_list": [] if plottables_list is None else plottables_list,
                }
            )
            self._publish_table()
            # Weak: a server that nobody holds goes at once, and its port with it.
            handlers_changed = weakref.WeakMethod(self._handlers_changed)
            self._handlers.on_change = lambda: _call(handlers_changed())
            self._address, self._server_ip, self._server_port = self._resolve(address)
        except BaseException:
            self._core.request_stop()  # frees the port at once, whoever keeps the exception
            raise

    def _bound_core(self, address: str) -> _core.Core:
        deadline = time.monotonic() + _BIND_PATIENCE_S
        while True:
            try:
                return forks.bound(
                    lambda: _core.Core(
                        address=address.encode(),
                        epoch=self.epoch,
                        max_message_bytes=self.max_message_bytes,
                        refresh_timeout_ms=self.refresh_timeout_ms,
                        spin_us=self.spin_us,
                        real_time=self.real_time,
                        limits=dict(self.limits),
                    )
                )
            except zmq.ZMQError as problem:
                if problem.errno != zmq.EADDRINUSE or time.monotonic() >= deadline:
                    raise
            time.sleep(0.01)

    # ---- identity, as INFO shows it

    @property
    def name(self) -> str:
        """Name of the server and of its thread."""
        return self._name  # type: ignore[attr-defined, no-any-return]

    @name.setter
    def name(self, name: str) -> None:
        threading.Thread.name.fset(self, name)  # type: ignore[attr-defined]
        self._set_info("name", name)
        self._publish_table()

    @property
    def device(self) -> str:
        """Kind of device."""
        return str(self._core.read(_core.INFO)["device"])

    @device.setter
    def device(self, device: str) -> None:
        self._set_info("device", device)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the device."""
        freedom: int = self._core.read(_core.INFO)["freedom"]
        return freedom

    @freedom.setter
    def freedom(self, freedom: int) -> None:
        self._set_info("freedom", freedom)

    @property
    def capabilities(self) -> list[str]:
        """Commands the server knows, as INFO shows them."""
        capabilities: list[str] = self._core.read(_core.INFO)["capabilities"]
        return capabilities

    @capabilities.setter
    def capabilities(self, capabilities: list[str]) -> None:
        self._set_info("capabilities", capabilities)

    @property
    def name_list(self) -> list[Any]:
        """Names of the device's parts. Changed in place, INFO shows the change."""
        names: list[Any] = self._core.read(_core.INFO)["name_list"]
        return names

    @name_list.setter
    def name_list(self, names: list[Any]) -> None:
        self._set_info("name_list", names)

    @property
    def plottables_list(self) -> list[Any]:
        """What clients can plot. Changed in place, INFO shows the change."""
        plottables: list[Any] = self._core.read(_core.INFO)["plottables_list"]
        return plottables

    @plottables_list.setter
    def plottables_list(self, plottables: list[Any]) -> None:
        self._set_info("plottables_list", plottables)

    def set_name_list(self, new_names: list[Any]) -> None:
        """Replace the names that INFO shows."""
        self.name_list = new_names

    def _set_info(self, key: str, value: Any) -> None:
        # A new dict: one that a look is just copying stays as it is.
        with self._change_lock:
            self._core.set_info({**self._core.read(_core.INFO), key: value})

    # ---- address

    @property
    def address(self) -> str:
        """The address listened on, with the real port where ``*`` was given."""
        return self._address

    @property
    def server_ip(self) -> str:
        """The address of this machine that clients connect to."""
        return self._server_ip

    @property
    def server_port(self) -> str:
        """The port listened on."""
        return self._server_port

    @property
    def address_for_client(self) -> str:
        """What a client on another machine connects to."""
        return f"tcp://{self._server_ip}:{self._server_port}"

    def _resolve(self, address: str) -> tuple[str, str, str]:
        given_host, _, port = address.removeprefix("tcp://").rpartition(":")
        host, _, bound_port = self._core.endpoint().removeprefix("tcp://").rpartition(":")
        # "*", "0", and numbers beyond 65535, of which libzmq takes the last 16 bits.
        if not port.isdigit() or int(port) != int(bound_port):
            port = bound_port
        if host in ("0.0.0.0", "[::]"):
            host = host_for_clients(self.name, ipv6=host == "[::]")
        return f"tcp://{given_host}:{port}", host, port

    # ---- data

    @property
    def data(self) -> dict[Any, Any]:
        """What GET returns, in a new dict each time.

        What that holds is the data itself: changed in place, the next GET shows the change.
        """
        data: dict[Any, Any] = self._core.read(_core.DATA)
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
            self._core.set_data_copy(new_data)
        else:
            self._core.set_data(new_data)

    def empty_data(self) -> None:
        """Make GET return ``{}``."""
        self._core.set_data_copy({})

    @property
    def empty_data_after_get(self) -> bool:
        """Whether each value is given to one GET only."""
        return self._empty_data_after_get

    @empty_data_after_get.setter
    def empty_data_after_get(self, empty: bool) -> None:
        self._empty_data_after_get = bool(empty)
        self._core.set_take_after_get(self._empty_data_after_get)

    # ---- callbacks and handlers

    @property
    def on_get(self) -> Callback | None:
        """Called before each GET; what it sets is in that reply."""
        return self._on_get

    @on_get.setter
    def on_get(self, func: Callback | None) -> None:
        self._on_get = func
        self._publish_table()  # GET changes between the loop and Python

    def set_on_saving_path_changed(self, func: Callable[[str], None] | None) -> None:
        """SAVE calls ``func(path)``."""
        self.on_saving_path_changed = _checked_callback(func)

    def set_on_position_changed(self, func: Callable[[Any], None] | None) -> None:
        """SET calls ``func(positions)``: a list, or a dict such as ``{"0": 1.5}``."""
        self.on_position_changed = _checked_callback(func)

    def set_on_get(self, func: Callable[[], None] | None) -> None:
        """GET calls ``func()`` first. Without it, GET needs no Python and never waits."""
        self.on_get = _checked_callback(func)

    def set_on_opt(self, func: Callable[[Any], None] | None) -> None:
        """OPT calls ``func(data)``."""
        self.on_opt = _checked_callback(func)

    def set_on_scan(self, func: Callable[[dict[str, Any]], None] | None) -> None:
        """SCAN calls ``func(message)`` with the whole message."""
        self.on_scan = _checked_callback(func)

    def set_on_set_actuators(self, func: Callable[[Any], None] | None) -> None:
        """SET ACT calls ``func(actuators)``."""
        self.on_set_actuators = _checked_callback(func)

    def set_on_set_diagnostics(self, func: Callable[[Any], None] | None) -> None:
        """SET DIAG calls ``func(diagnostics)``."""
        self.on_set_diagnostics = _checked_callback(func)

    def set_on_update_actuator_positions(self, func: Callable[[Any], None] | None) -> None:
        """UPDATE ACT POS calls ``func(actuators)``."""
        self.on_update_actuator_positions = _checked_callback(func)

    def set_on_saving_status_toggled(self, func: Callable[[Any], None] | None) -> None:
        """TOGGLE SAVING calls ``func(saving_status)``."""
        self.on_saving_status_toggled = _checked_callback(func)

    def emit(self, callback_name: str, *args: Any) -> None:
        """Call the callback of that name, if one is set; what it raises is logged."""
        callback = getattr(self, callback_name, None)
        if callback is None:
            return
        log.debug("[Server %s] Calling %s.", self.name, callback_name)
        in_server_thread = threading.current_thread() is self
        outer = self._running_code
        if in_server_thread:
            self._running_code = f"{outer} ({callback_name})"
        try:
            callback(*args)
        except BaseException as problem:
            # In the ServerLHC thread nothing a callback raises may end the server.
            if not isinstance(problem, Exception) and not in_server_thread:
                raise
            log.exception("[Server %s] %s raised.", self.name, callback_name)
        finally:
            if in_server_thread:
                self._running_code = outer

    def register_handler(self, cmd: str, handler: Handler) -> None:
        """Serve a command of your own, or serve a built-in one differently.

        ``handler(server, message, target)`` runs in the ServerLHC thread and returns the reply's
        payload (a dict; None for an empty one). What it raises becomes the error reply. It may
        instead send a whole reply with ``server.socket.send_json(reply)``.

        Raises:
            TypeError: ``cmd`` is no non-empty str, or ``handler`` not callable.
        """
        if not isinstance(cmd, str) or not cmd:
            raise TypeError(f"a command is a non-empty str, not {cmd!r}")
        self._handlers[cmd] = handler

    def _handlers_changed(self) -> None:
        self._publish_table()
        self.capabilities = list(self._handlers)  # type: ignore[arg-type]

    def _command_index(self, cmd: Any) -> int:
        """Number under which a command is counted; 0 for what is no command."""
        try:
            return self._command_numbers.get(cmd, 0)
        except TypeError:  # a list or an object
            return 0

    def _publish_table(self) -> None:
        with self._change_lock:
            commands = []
            for cmd, handler in self._handlers.items():
                names = self._command_names
                if cmd not in self._command_numbers and len(names) < _core.MAX_COMMANDS:
                    names.append(cmd)
                    self._command_numbers[cmd] = len(names) - 1
                builtin = handler is BUILTIN_HANDLERS.get(cmd)  # type: ignore[call-overload]
                action = _NATIVE.get(cmd, 0) if builtin else 0  # type: ignore[call-overload]
                if cmd == CMD_GET and self._on_get is not None:
                    action = 0
                if isinstance(cmd, str):  # anything else only Python can compare
                    name = cmd.encode("utf-8", "surrogatepass")
                    commands.append((name, action, self._command_index(cmd)))
            versions = [version.encode() for version in self.accepted_versions]
            self._core.set_table(commands, versions, reply_templates(self.name), reply_texts())

    def _log_level_of(self, cmd: str) -> int:
        return logging.DEBUG if cmd in _POLLED else logging.INFO

    # ---- life

    @property
    def running(self) -> threading.Event:
        """Set until the server is stopped; clearing it stops the server."""
        return self._running

    def start(self) -> None:
        """Start answering.

        Raises:
            RuntimeError: started before, or stopped already.
            ForkedServerError: in a forked child.
        """
        if self._core.forked:
            raise ForkedServerError("a server made before a fork works in the parent only")
        if self._stopped:
            raise RuntimeError(f"server {self.name!r} was stopped; make a new one")
        with large_stacks():
            super().start()

    def run(self) -> None:
        """Serve until stopped. Called by ``start()`` in a thread of its own."""
        core = self._core
        refresher = threading.Thread(
            target=_refresh, args=(core,), name=f"{self.name} refresher", daemon=True
        )
        try:
            core.set_log_answers(log.is_enabled_for(logging.DEBUG))
            core.start()
        except OSError:
            if not self._stopped:
                log.exception("[Server %s] Could not start.", self.name)
            core.request_stop()
            return
        _running_cores.add(core)
        try:
            with large_stacks():
                refresher.start()
            with contextlib.suppress(Exception):
                log.info("[Server %s] Listening on %s.", self.name, self.address)
                log.info("[Server %s] Clients connect to %s.", self.name, self.address_for_client)
            while (job := core.next_job()) is not None:
                try:
                    if job is _core.LOG:
                        self._log_answers()
                    else:
                        serve(self, *job)
                except BaseException:
                    pass  # what a log handler raises must not end the server
        finally:
            self._stopped = True
            core.request_stop()
            while not core.wait_ended(1000):
                log.debug("[Server %s] Waiting for the loop to end.", self.name)
            if refresher.ident is not None:
                refresher.join()
            self._running.set_flag(False)
            _running_cores.discard(core)
            if core.fault():
                log.error("[Server %s] Its socket failed: errno %d.", self.name, core.fault())
            log.info("[Server %s] Stopped.", self.name)

    def _log_answers(self) -> None:
        enabled = log.is_enabled_for(logging.DEBUG)
        self._core.set_log_answers(enabled)
        for command, sender in self._core.take_log():
            if enabled:
                cmd = self._command_names[command]
                who = sender.decode("utf-8", "replace")
                log.debug("[Server %s] Answered %r from %s.", self.name, cmd, who)

    def stop(self) -> None:
        """End the server; from any thread, also from a callback, any number of times.

        Queued requests are answered "server stopping". Returns within 2 s, with the port free;
        called in a callback, it returns at once and the end comes after the callback.
        """
        if self._core.forked:
            log.warning("[Server %s] stop() in a forked child does nothing.", self.name)
            return
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        self._stopped = True
        self._running.set_flag(False)
        self._core.request_stop()
        if threading.current_thread() is self:
            return
        ended = self._core.wait_ended(int(_STOP_TIMEOUT_S * 1000))
        running = self._running_code
        if self.ident is not None and running is None:
            self.join(max(0.0, deadline - time.monotonic()))
        if not ended:
            log.error("[Server %s] The loop has not ended in time.", self.name)
        elif running is not None:
            log.warning(
                "[Server %s] Stopped while %s is still running; its thread ends with it.",
                self.name,
                running,
            )

    def __enter__(self) -> ServerLHC:
        """Start, if that has not been done."""
        if self.ident is None:
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
        return ServerStats.from_counters(
            self._core.counters(),
            self._command_names,
            self._core.ledgers(),
            self._core.data_error(),
        )


class _Running(threading.Event):
    """The ``running`` event: cleared by anyone, it stops the server."""

    def __init__(self, server: ServerLHC) -> None:
        super().__init__()
        self._server = weakref.ref(server)
        self.set_flag(True)

    def set_flag(self, value: bool) -> None:
        super().set() if value else super().clear()

    def clear(self) -> None:
        super().clear()
        server = self._server()
        if server is not None and not server._core.forked:
            server._stopped = True
            server._core.request_stop()


def _refresh(core: _core.Core) -> None:
    """Look at live documents when the loop asks for it. A thread of its own, so that a sleeping
    callback does not hold it up."""
    while (document := core.wait_look()) is not None:
        try:
            core.look(document)
        except Exception:  # no memory, most likely; somebody still waits for it
            log.exception("The data could not be looked at, which is tried again.")
            time.sleep(_PAUSE_S)


def _call(method: Callable[[], None] | None) -> None:
    if method is not None:
        method()


def _checked_callback(func: Callback | None) -> Callback | None:
    if func is not None and not callable(func):
        raise TypeError(f"a callback must be callable or None, not {func!r}")
    return func


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
    cores = [core for core in list(_running_cores) if not core.forked]
    for core in cores:
        core.request_stop()
    for core in cores:
        core.wait_ended(int(_STOP_TIMEOUT_S * 1000))
