"""What a ServerLHC works with, where nothing that derived classes define can get in its way.

Their attributes and methods have any names. So the rooms inside read through the server itself only
what 0.2.0 has and reads so (``emit``, the callbacks, what INFO shows); all else is here.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import zmq

from laplace_server import _core, forks
from laplace_server.callbacks import (
    CALLBACK_NAMES,
    Callback,
    refuse_async,
    refuse_coroutine,
    text_of,
)
from laplace_server.derived import INFO_NAMES, asks_python
from laplace_server.dispatcher import serve
from laplace_server.get_ip import host_for_clients
from laplace_server.handler_table import HandlerTable
from laplace_server.logs import Log
from laplace_server.protocol import (
    CMD_GET,
    CMD_GET_ARRAYS,
    CMD_INFO,
    CMD_PING,
    LOGGER_NAME,
)
from laplace_server.publisher import Publisher, warn_of_follower, warn_of_refused, warn_of_unfit
from laplace_server.reply_socket import ReplySocket
from laplace_server.reply_templates import reply_templates, reply_texts
from laplace_server.stacks import large_stacks

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC

log = Log(LOGGER_NAME)

# Where a ServerLHC keeps its engine: what ``self.__laplace_engine`` is called outside its class.
ENGINE = "_ServerLHC__laplace_engine"

# How much may wait for Python, in all and for one peer; beyond it, the answer is "busy".
# The last is for replies to a peer that does not read; beyond it, they are dropped.
LIMITS = {
    "pending": 4096,
    "pending_bytes": 256 << 20,
    "peer_pending": 1024,
    "peer_pending_bytes": 64 << 20,
    "peer_parked_bytes": 16 << 20,
}

# Commands the loop answers by itself while their handler is the built-in one. The numbers
# are the core's; 0 is "ask Python".
_NATIVE = {CMD_PING: 1, CMD_INFO: 2, CMD_GET: 3}
_POLLED = frozenset((*_NATIVE, CMD_GET_ARRAYS))

STOP_TIMEOUT_S = 1.95
_PAUSE_S = 0.1

# Windows keeps a port taken until the connections to the server before have ended as well, and
# each of those has to be closed by its client, too.
_BIND_PATIENCE_S = 0.5 if sys.platform == "win32" else 0.0

# Servers whose loop runs, for the end of the process.
running_cores: weakref.WeakSet[_core.Core] = weakref.WeakSet()


def engine_of(server: ServerLHC) -> Engine:
    """The engine of a server."""
    engine: Engine = vars(server)[ENGINE]
    return engine


class Engine:
    """The core of one server and what Python keeps beside it. Making one binds the address.

    Args:
        server: whose it is; held weakly, so that a server that nobody holds goes at once, and its
            port with it.
        facade: the class ServerLHC.
        name: what replies are signed with.
        address: where to listen.
        handlers: what answers each command.
        accepted_versions: protocol versions served.
        remote_stop: whether STOP is permitted.
        replies_failures: whether a callback that raises makes an error reply.
        stream_history_bytes: for streams that are not declared.
        core_settings: further arguments of the core.

    Raises:
        zmq.ZMQError: the address cannot be bound.
    """

    def __init__(
        self,
        server: ServerLHC,
        facade: type,
        *,
        name: str,
        address: str,
        handlers: HandlerTable,
        accepted_versions: tuple[str, ...],
        remote_stop: bool,
        replies_failures: bool,
        stream_history_bytes: int,
        **core_settings: Any,
    ) -> None:
        self._server = weakref.ref(server)
        self.facade = facade
        self.name = name
        self.accepted_versions = accepted_versions
        self.remote_stop = remote_stop
        self.replies_failures = replies_failures
        self.real_time: bool = core_settings["real_time"]
        self.epoch = secrets.randbits(63) or 1

        # Attributes and handlers are changed by several threads and read as a whole.
        self.lock = threading.RLock()
        self.handlers = handlers
        self.command_names: list[Any] = [""]
        self._command_numbers: dict[Any, int] = {"": 0}
        self.callback_errors: dict[str, int] = {}

        self.running = Running(self)
        self.stopped = False
        self.begun = False  # its thread
        self._thread: int | None = None
        # What runs in the ServerLHC thread now: a command and perhaps its callback.
        self.running_code: Any = None
        self._in_callback = False

        self.core = _bound_core(address, epoch=self.epoch, **core_settings)
        try:
            self.core.on_given_up = warn_of_follower
            self.core.on_unfit = warn_of_unfit
            me = weakref.ref(self)  # the core must not keep its engine
            self.core.on_refused = lambda why: warn_of_refused(
                me().name,  # type: ignore[union-attr]
                why,
            )
            self.socket = ReplySocket(self)
            self.streams = Publisher(self.core, stream_history_bytes)
            self.address, self.server_ip, self.server_port = _resolve(address, self.core, name)
        except BaseException:
            self.core.request_stop()  # frees the port at once, whoever keeps the exception
            raise

    # ---- what INFO shows

    def info(self, key: str) -> Any:
        """One of the values that INFO shows. What is in it may be changed from now on."""
        return self.core.read(_core.INFO)[key]

    def set_info(self, key: str, value: Any) -> None:
        """Show it.

        Raises:
            TypeError: JSON cannot say it; the old value stays.
        """
        # A new dict: one that a look is just copying stays as it is.
        with self.lock:
            self.core.set_info({**self.core.read(_core.INFO), key: value})

    def _show(self, key: str, value: Any) -> None:
        """Show what JSON can say, also while something else in INFO has become what it cannot."""
        self.core.read(_core.INFO)[key] = value

    def change(
        self, server: ServerLHC, name: str, value: Any, store: Callable[[ServerLHC, Any], None]
    ) -> None:
        """Set an attribute with ``store``, and do as it says.

        Raises:
            TypeError: it cannot be what it is to be; nothing has changed.
        """
        if name in CALLBACK_NAMES:
            refuse_async(value, name)
        with self.lock:  # of two threads, the attribute and what is done follow the same
            if name == "_handlers":
                value = self._use_handlers(value)
            elif name == "empty_data_after_get":
                self.core.set_take_after_get(bool(value))
            elif name != "name" and name in INFO_NAMES:
                self.set_info(name, value)
            store(server, value)
            if name == "name":
                self.name = str(server.name)
                self._show("name", self.name)
            if name in ("name", "on_get"):  # GET changes between the loop and Python
                self.publish_table()

    # ---- handlers

    def _use_handlers(self, handlers: Any) -> HandlerTable:
        """Serve these from now on; returns the live mapping that they are in."""
        if handlers is not self.handlers:
            table = HandlerTable(handlers, self.handlers.builtin)
            self.handlers.on_change = lambda: None
            self.handlers = table
            self.watch_handlers()
            self._handlers_changed()
        return self.handlers

    def watch_handlers(self) -> None:
        """Have the loop know of each change of the handlers."""
        changed = weakref.WeakMethod(self._handlers_changed)
        self.handlers.on_change = lambda: _call(changed)

    def _handlers_changed(self) -> None:
        self.publish_table()
        server = self._server()
        if server is not None:
            server.capabilities = list(self.handlers)  # type: ignore[arg-type]

    def command_index(self, cmd: Any) -> int:
        """Number under which a command is counted; 0 for what is no command."""
        try:
            return self._command_numbers.get(cmd, 0)
        except TypeError:  # a list or an object
            return 0

    def publish_table(self) -> None:
        """Tell the loop who answers what, and how replies are signed."""
        server = self._server()
        if server is None:
            return
        with self.lock:
            for_python = asks_python(server, self.facade)
            if vars(server).get("on_get"):
                for_python |= {CMD_GET}
            commands = []
            for cmd in self.handlers:
                names = self.command_names
                if cmd not in self._command_numbers and len(names) < _core.MAX_COMMANDS:
                    names.append(cmd)
                    self._command_numbers[cmd] = len(names) - 1
                if isinstance(cmd, str):  # anything else only Python can compare
                    native = self.handlers.is_builtin(cmd) and cmd not in for_python
                    action = _NATIVE.get(cmd, 0) if native else 0
                    name = cmd.encode("utf-8", "surrogatepass")
                    commands.append((name, action, self.command_index(cmd)))
            versions = [version.encode() for version in self.accepted_versions]
            self.core.set_table(commands, versions, reply_templates(self.name), reply_texts())

    def log_level_of(self, cmd: str) -> int:
        """Of the record that a request is logged with."""
        return logging.DEBUG if cmd in _POLLED else logging.INFO

    # ---- callbacks

    def call(self, name: str, callback: Callback, arguments: tuple[Any, ...]) -> None:
        """Call a callback. What it raises is logged, counted, and perhaps the reply."""
        log.debug("[Server %s] Calling %s.", self.name, name)
        in_thread = self.in_thread()
        outer, nested = self.running_code, self._in_callback
        if in_thread:
            self.running_code, self._in_callback = f"{outer} ({name})", True
        try:
            refuse_coroutine(callback(*arguments), name)
        except BaseException as problem:
            # In the ServerLHC thread nothing a callback raises may end the server.
            if not isinstance(problem, Exception) and not in_thread:
                raise
            log.exception("[Server %s] %s raised.", self.name, name)
            self._count_failure(name)
            # What a callback calls itself is its own affair.
            if self.replies_failures and in_thread and not nested:
                self.socket.fail(text_of(problem))
        finally:
            if in_thread:
                self.running_code, self._in_callback = outer, nested

    def _count_failure(self, name: str) -> None:
        with self.lock:
            self.callback_errors[name] = self.callback_errors.get(name, 0) + 1
            if not self.core.forked:
                self._show("callback_errors", dict(self.callback_errors))

    # ---- life

    def in_thread(self) -> bool:
        """Whether the calling thread is the one that handles requests."""
        return threading.get_ident() == self._thread

    def request_stop(self) -> None:
        """Have the server end; waits for nothing."""
        self.stopped = True
        self.running.set_flag(False)
        self.core.request_stop()

    def run(self, server: ServerLHC) -> None:
        """Serve until stopped."""
        core = self.core
        self._thread = threading.get_ident()
        refresher = threading.Thread(
            target=_refresh, args=(core,), name=f"{self.name} refresher", daemon=True
        )
        try:
            core.set_log_answers(log.is_enabled_for(logging.DEBUG))
            core.start()
        except OSError:
            if not self.stopped:
                log.exception("[Server %s] Could not start.", self.name)
            core.request_stop()
            self._thread = None
            return
        running_cores.add(core)
        try:
            with large_stacks():
                refresher.start()
            log.info("[Server %s] Listening on %s.", self.name, self.address)
            log.info("[Server %s] Clients connect to %s.", self.name, self.address_for_client)
            while (job := core.next_job()) is not None:
                # Whatever goes wrong with one request, the next is served.
                with contextlib.suppress(BaseException):
                    if job is _core.LOG:
                        self._log_answers()
                    else:
                        serve(server, self, *job)
        finally:
            self.stopped = True
            core.request_stop()
            while not core.wait_ended(1000):
                log.debug("[Server %s] Waiting for the loop to end.", self.name)
            if refresher.ident is not None:
                refresher.join()
            self.running.set_flag(False)
            running_cores.discard(core)
            if core.fault():
                log.error("[Server %s] Its socket failed: errno %d.", self.name, core.fault())
            log.info("[Server %s] Stopped.", self.name)
            self._thread = None

    @property
    def address_for_client(self) -> str:
        """What a client on another machine connects to."""
        return f"tcp://{self.server_ip}:{self.server_port}"

    def _log_answers(self) -> None:
        enabled = log.is_enabled_for(logging.DEBUG)
        self.core.set_log_answers(enabled)
        for command, sender in self.core.take_log():
            if enabled:
                cmd = self.command_names[command]
                who = sender.decode("utf-8", "replace")
                log.debug("[Server %s] Answered %r from %s.", self.name, cmd, who)


class Running(threading.Event):
    """The ``running`` event: cleared by anyone, it stops the server."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = weakref.ref(engine)
        self.set_flag(True)

    def set_flag(self, value: bool) -> None:
        """Set or clear it, and nothing else."""
        super().set() if value else super().clear()

    def clear(self) -> None:
        """End the server."""
        super().clear()
        engine = self._engine()
        if engine is not None and not engine.core.forked:
            engine.stopped = True
            engine.core.request_stop()


def _bound_core(address: str, **settings: Any) -> _core.Core:
    deadline = time.monotonic() + _BIND_PATIENCE_S
    while True:
        try:
            return forks.bound(
                lambda: _core.Core(address=address.encode(), limits=dict(LIMITS), **settings)
            )
        except zmq.ZMQError as problem:
            if problem.errno != zmq.EADDRINUSE or time.monotonic() >= deadline:
                raise
        time.sleep(0.01)


def _resolve(address: str, core: _core.Core, name: str) -> tuple[str, str, str]:
    """The address with its real port, where clients connect to, and the port."""
    given_host, _, port = address.removeprefix("tcp://").rpartition(":")
    host, _, bound_port = core.endpoint().removeprefix("tcp://").rpartition(":")
    if not port.isdigit() or int(port) == 0:
        port = bound_port
    if host in ("0.0.0.0", "[::]"):
        host = host_for_clients(name, ipv6=host == "[::]")
    return f"tcp://{given_host}:{port}", host, port


def _refresh(core: _core.Core) -> None:
    """Look at live documents when the loop asks for it. A thread of its own, so that a sleeping
    callback does not hold it up."""
    while (document := core.wait_look()) is not None:
        try:
            core.look(document)
        except Exception:  # no memory, most likely; somebody still waits for it
            log.exception("The data could not be looked at, which is tried again.")
            time.sleep(_PAUSE_S)


def _call(method: weakref.WeakMethod[Any]) -> None:
    function = method()
    if function is not None:
        function()
