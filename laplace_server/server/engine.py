"""What a ServerLHC works with, where nothing that derived classes define can get in its way.

Their attributes and methods have any names. So the rooms inside read through the server itself only
what 0.2.0 has and reads so (``emit``, the callbacks, what INFO shows); all else is here.
"""

from __future__ import annotations

import secrets
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from laplace_server.errors import ForkedServerError
from laplace_server.protocol import (
    CMD_GET,
    CMD_GET_ARRAYS,
    CMD_HALT,
    CMD_INFO,
    CMD_PING,
    CMD_STATS,
    CMD_SUBSCRIBE,
    LOGGER_NAME,
)
from laplace_server.security.rights import Change, Rights
from laplace_server.server import _core, methods
from laplace_server.server._core import Action
from laplace_server.server.access import NO_KEY, Access
from laplace_server.server.binding import bound_core, resolved
from laplace_server.server.callbacks import Callback, refuse_async, refuse_coroutine, text_of
from laplace_server.server.clients import Arrivals
from laplace_server.server.context import ENGINE, Server
from laplace_server.server.derived import INFO_NAMES, asks_python, has_data
from laplace_server.server.described import Described
from laplace_server.server.halting import HALTING, HaltThread
from laplace_server.server.handler_table import HandlerTable
from laplace_server.server.moving import Moving
from laplace_server.server.publisher import (
    Publisher,
    warn_of_refused,
    warn_of_subscriber,
    warn_of_unfit,
)
from laplace_server.server.reply_socket import ReplySocket
from laplace_server.server.reply_templates import reply_templates, reply_texts
from laplace_server.server.rights import ALL_ROLES
from laplace_server.server.rights_log import log_change, log_failed_change, log_mended
from laplace_server.server.transports import Transport
from laplace_server.wire.commands import callback_names
from laplace_server.wire.logs import Log

log = Log(LOGGER_NAME)

# Commands that are answered without the ServerLHC thread, and so beside callbacks, while their
# handler is the built-in one.
_ACTIONS = {
    CMD_PING: Action.PING,
    CMD_INFO: Action.INFO,
    CMD_GET: Action.GET,
    CMD_GET_ARRAYS: Action.BUILTIN,
    CMD_SUBSCRIBE: Action.BUILTIN,
    CMD_STATS: Action.BUILTIN,
    CMD_HALT: Action.BUILTIN,
}


class Stats(Protocol):
    """A snapshot of what is counted."""

    def as_json(self) -> dict[str, Any]: ...


def engine_of(server: Server) -> Engine:
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
        device: kind of device.
        address: where to listen.
        handlers: what answers each command.
        take_stats: makes a snapshot of what the engine counts.
        accepted_versions: protocol versions served.
        remote_stop: whether STOP is permitted.
        replies_failures: whether a callback that raises makes an error reply.
        stream_history_bytes: for streams that are not declared.
        transport: who carries the messages.
        limits: of connections.
        access: whom it serves, and who may ask for what.
        described: how the device is described.
        epoch: of its life, where it is given one; no two lives have the same.
        core_settings: further arguments of the core.

    Raises:
        zmq.ZMQError: the address cannot be bound.
    """

    def __init__(
        self,
        server: Server,
        facade: type,
        *,
        name: str,
        device: Any,
        address: str,
        handlers: HandlerTable,
        take_stats: Callable[[Engine], Stats],
        accepted_versions: tuple[str, ...],
        remote_stop: bool,
        replies_failures: bool,
        stream_history_bytes: int,
        transport: Transport,
        limits: dict[str, int],
        access: Access,
        described: Described,
        epoch: int | None = None,
        **core_settings: Any,
    ) -> None:
        self._server: weakref.ref[Any] = weakref.ref(server)
        self.facade = facade
        self.name = name
        self.device = device
        self.accepted_versions = accepted_versions
        self.remote_stop = remote_stop
        self.replies_failures = replies_failures
        self.real_time: bool = core_settings["real_time"]
        self.transport: Transport = transport
        self.limits = limits
        self.access = access
        self.described = described
        self.epoch = epoch or secrets.randbits(63) or 1
        self._take_stats = take_stats

        # Attributes and handlers are changed by several threads and read as a whole.
        self.lock = threading.RLock()
        self.handlers = handlers
        self._shows_methods = False
        self.command_names: list[Any] = [""]
        self._command_numbers: dict[Any, int] = {"": 0}
        self.callback_errors: dict[str, int] = {}
        self.on_halt: Callback | None = None
        self._replaced_halt: Callable[..., Any] | None = None

        self.running = Running(self)
        self.stopped = False
        self.begun = False
        # The identities of the ServerLHC thread and the refresher while they run.
        self.thread: int | None = None
        self.refresher: int | None = None
        # What runs in the ServerLHC thread now: a command and perhaps its callback.
        self.running_code: Any = None
        self.running_since = 0.0  # when its request came to be handled, of time.monotonic()
        self.halts = HaltThread(f"{name} halt")
        self.begun_at: float | None = None  # of time.monotonic()
        self._in_callback = False

        self.core = bound_core(
            address,
            epoch=self.epoch,
            transport=transport,
            limits=limits,
            anonymous=access.roles.admits_anonymous,
            **core_settings,
        )
        self.documents = self.core.documents
        self.arrivals = Arrivals(self.core)
        try:
            me = weakref.ref(self)  # the core must not keep its engine

            def my_name() -> str:
                return me().name  # type: ignore[union-attr]

            self.core.streams.on_given_up = lambda *what: warn_of_subscriber(my_name(), *what)
            self.documents.on_unfit = lambda *what: warn_of_unfit(my_name(), *what)
            self.documents.on_refused = lambda why: warn_of_refused(my_name(), why)
            self.socket = ReplySocket(self)
            self.streams = Publisher(self.core.streams, stream_history_bytes, my_name)
            self.moving = Moving(self.documents, described)
            self.address, self.server_ip, self.server_port = resolved(address, self.core, name)
        except BaseException:
            self.core.request_stop()  # frees the port at once, whoever keeps the exception
            raise

    # ---- what INFO shows

    def info(self, key: str) -> Any:
        """One of the values that INFO shows. What is in it may be changed from now on."""
        return self.documents.read_info()[key]

    def set_info(self, key: str, value: Any) -> None:
        """Show it.

        Raises:
            TypeError: JSON cannot say it; the old value stays.
        """
        # A new dict: one that a refresh is just copying stays as it is.
        with self.lock:
            self.documents.set_info({**self.documents.read_info(), key: value})
            if key == "device":
                self.device = value

    def _show(self, key: str, value: Any) -> None:
        """Show what JSON can say, also while something else in INFO has become what it cannot."""
        self.documents.read_info()[key] = value

    def added_info(self) -> dict[str, Any]:
        """What INFO shows beside what 0.2.0 has, where there is something to show."""
        added = {
            "callback_errors": dict(self.callback_errors),
            "description": self.described.as_json(),
            "methods": methods.shown(self.handlers),
        }
        return {key: value for key, value in added.items() if value}

    def describe(self, stream: str, key: str, fields: Any) -> None:
        """Describe a key of a stream, "data" for the data's.

        Raises:
            TypeError, ValueError: something is wrong; nothing has changed.
            ForkedServerError: in a forked child.
        """
        with self.lock:
            self.described.add(stream, key, fields)
            self._show("description", self.described.as_json())
        self.moving.follow_description()

    def change(
        self, server: threading.Thread, name: str, value: Any, store: Callable[[Any, Any], None]
    ) -> None:
        """Set an attribute with ``store``, and do as it says.

        Raises:
            TypeError: it cannot be what it is to be; nothing has changed.
        """
        if name in callback_names():
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
        self._show_methods()
        server = self._server()
        if server is not None:
            server.capabilities = list(self.handlers)

    def _show_methods(self) -> None:
        with self.lock:
            shown = methods.shown(self.handlers)
            if shown:
                self._show("methods", shown)
            elif self._shows_methods:
                self.documents.read_info().pop("methods", None)
            self._shows_methods = bool(shown)

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
                for_python |= {CMD_GET, CMD_GET_ARRAYS}
            roles = self.access.roles
            commands = []
            for cmd in self.handlers:
                names = self.command_names
                if cmd not in self._command_numbers and len(names) < _core.MAX_COMMANDS:
                    names.append(cmd)
                    self._command_numbers[cmd] = len(names) - 1
                if isinstance(cmd, str):  # anything else only Python can compare
                    builtin = self.handlers.is_builtin(cmd) and cmd not in for_python
                    action = _ACTIONS.get(cmd, Action.PYTHON) if builtin else Action.PYTHON
                    name = cmd.encode("utf-8", "surrogatepass")
                    mask = roles.mask(cmd)
                    commands.append((name, action, self.command_index(cmd), mask))
            # Who may ask for what there is not is told so, not that it may not.
            there = {cmd for cmd in self.handlers if isinstance(cmd, str)}
            for cmd in roles.named_commands() - there:
                name = cmd.encode("utf-8", "surrogatepass")
                commands.append((name, Action.PYTHON, 0, roles.mask(cmd)))
            versions = [version.encode() for version in self.accepted_versions]
            texts = reply_texts(self.limits)
            templates = reply_templates(self.name)
            self.core.set_table(commands, versions, templates, texts, roles.for_table())

    # ---- rights

    def use_security(self) -> None:
        """Follow what the server's security says, from now on."""
        with self.lock:  # what is changed after this line is told after what was before it
            rights = self.access.begin(self)
            if rights is not None:
                self._use_rights(rights)

    def security_changed(self, change: Change) -> None:
        """Permit from the next request on what it says now.

        Whose key was removed is disconnected, and who may not follow streams any more follows none.

        Raises:
            ValueError: there are too many different roles; all that can be done is done.
        """
        if self.stopped or self.core.forked:
            return
        with self.lock:
            self._use_rights(change.after)
        log_change(self.name, change)
        self.access.check()

    def security_failed(self, problem: Exception) -> None:
        """Log that something is wrong in the folder of keys."""
        log_failed_change(self.name, problem)

    def security_mended(self) -> None:
        """Log that nothing there is wrong any more."""
        log_mended(self.name)

    def _use_rights(self, rights: Rights) -> None:
        keys = self.access.take(rights)
        roles = self.access.roles
        self.publish_table()  # first, so that no connection has a role that the loop does not know
        self.core.use_keys(keys, roles.admits_anonymous)
        # Who follows a stream asks for nothing more.
        self.core.end_subscriptions(ALL_ROLES & ~roles.mask(CMD_SUBSCRIBE))

    def denials(self) -> dict[str, dict[str, int]]:
        """How often roles did not permit what was asked for, by role and command."""
        found: dict[str, dict[str, int]] = {}
        for role, command, count in self.core.denials():
            of_role = found.setdefault(self.role_name(role), {})
            name = str(self.command_names[command])
            of_role[name] = of_role.get(name, 0) + count  # two may look alike
        return found

    def permits(self, role: int, key: int, cmd: Any) -> bool:
        """Whether who asks may use a command; role and key by their numbers."""
        return self.access.permits(role, key, cmd)

    def refusal(self, role: int, key: int, cmd: Any) -> str:
        """What to tell who may not use it."""
        return self.access.refusal(role, key, cmd)

    def role_name(self, role: int) -> str:
        """What a role is called, by its number."""
        return self.access.roles.name_of(role)

    def caller(self, key: int, address: str = "") -> str:
        """Who asks, for the log: the name of a key, by its number, or else from where it does.

        Empty without security.
        """
        return self.access.caller(key, address)

    def key_name(self, key: int) -> str:
        """The name of a key, by its number; empty for none."""
        return "" if key == NO_KEY else self.access.caller(key)

    def has_own_data(self, server: Server) -> bool:
        """Whether the server's class has a ``data`` of its own, which the core does not know."""
        return has_data(server, self.facade)

    # ---- callbacks

    def halt_with(self, on_halt: Callback | None) -> None:
        """Have HALT call it; None: HALT is what it was without one, and usually no command."""
        with self.lock:
            self.on_halt = on_halt
            is_builtin = self.handlers.is_builtin(CMD_HALT)
            if on_halt is not None:
                if not is_builtin:
                    self._replaced_halt = self.handlers.get(CMD_HALT)
                self.handlers[CMD_HALT] = self.handlers.builtin[CMD_HALT]
            elif is_builtin and self._replaced_halt is not None:
                self.handlers[CMD_HALT] = self._replaced_halt
            elif is_builtin:
                del self.handlers[CMD_HALT]

    def call(
        self, name: str, callback: Callback, arguments: tuple[Any, ...]
    ) -> BaseException | None:
        """Call a callback. What it raises is logged, counted, returned, and perhaps the reply."""
        log.debug("[Server %s] Calling %s.", self.name, name)
        in_thread = threading.get_ident() == self.thread
        outer, nested = self.running_code, self._in_callback
        if in_thread:
            self.running_code, self._in_callback = f"{outer} ({name})", True
        try:
            result = callback(*arguments)
            if result is not None:
                refuse_coroutine(result, "%s", name)
        except BaseException as problem:
            # In the server's threads nothing a callback raises may end them.
            if not isinstance(problem, Exception) and not self.in_thread():
                raise
            log.exception("[Server %s] %s raised.", self.name, name)
            self.count_failure(name)
            # What a callback calls itself is its own affair.
            if self.replies_failures and in_thread and not nested:
                self.socket.fail(text_of(problem))
            return problem
        finally:
            if in_thread:
                self.running_code, self._in_callback = outer, nested
        return None

    def count_failure(self, name: str) -> None:
        """Count that a callback or a method of that name has raised, and show it in INFO."""
        with self.lock:
            self.callback_errors[name] = self.callback_errors.get(name, 0) + 1
            if not self.core.forked:
                self._show("callback_errors", dict(self.callback_errors))

    # ---- what is counted

    def uptime_s(self) -> float:
        """Seconds since the server was started; 0.0 before."""
        return 0.0 if self.begun_at is None else time.monotonic() - self.begun_at

    def at_work(self) -> tuple[str, float] | None:
        """What has run longest of the ServerLHC thread's request and HALT; for how many seconds."""
        since, what, halting_since = self.running_since, self.running_code, self.halts.busy_since
        if halting_since is not None and (what is None or halting_since < since):
            since, what = halting_since, HALTING
        return None if what is None else (str(what), time.monotonic() - since)

    def stats_as_json(self) -> dict[str, Any]:
        """What is counted, as plain values."""
        return self._take_stats(self).as_json()

    # ---- life

    def in_thread(self) -> bool:
        """Whether the calling thread is one that handles requests."""
        return threading.get_ident() in (self.thread, self.refresher, self.halts.ident)

    def check_not_forked(self) -> None:
        """Raise ForkedServerError in a forked child."""
        if self.core.forked:
            raise ForkedServerError("a server made before a fork works in the parent only")

    def request_stop(self) -> None:
        """Have the server end; waits for nothing."""
        self.stopped = True
        self.running.set_flag(False)
        self.core.request_stop()

    @property
    def address_for_client(self) -> str:
        """What a client on another machine connects to."""
        return f"tcp://{self.server_ip}:{self.server_port}"


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


def _call(method: weakref.WeakMethod[Any]) -> None:
    function = method()
    if function is not None:
        function()
