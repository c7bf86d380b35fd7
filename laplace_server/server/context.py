"""What a handler may touch: the server as its program knows it, and what stands behind that.

The engine is what fits these; whoever works for it (worker, handlers) needs to know no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from laplace_server.protocol import Message
from laplace_server.server._core import Core
from laplace_server.server.callbacks import Callback
from laplace_server.server.described import Described
from laplace_server.server.handler_table import HandlerTable
from laplace_server.server.publisher import Publisher
from laplace_server.server.reply_socket import ReplySocket
from laplace_server.server.transports import Transport

# Where a ServerLHC keeps its engine: what ``self.__laplace_engine`` is called outside its class.
ENGINE = "_ServerLHC__laplace_engine"
# Where one finds, before its constructor runs, the epoch that it is to have instead of a new one.
EPOCH = "_ServerLHC__laplace_epoch"


class Server(Protocol):
    """What is read through the server itself, as in 0.2.0, so that a derived class's own counts."""

    @property
    def name(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def freedom(self) -> int: ...
    @property
    def capabilities(self) -> list[str]: ...
    @property
    def name_list(self) -> list[Any]: ...
    @property
    def plottables_list(self) -> list[Any]: ...
    @property
    def data(self) -> dict[Any, Any]: ...
    @property
    def empty_data_after_get(self) -> bool: ...
    @property
    def on_get(self) -> Callable[..., Any] | None: ...
    def emit(self, callback_name: str, *args: Any) -> None: ...
    def empty_data(self) -> None: ...


class Context(Protocol):
    """What a built-in handler works with."""

    name: str
    """What replies are signed with."""
    device: Any
    """Kind of device, as INFO shows it."""
    epoch: int
    """Of the server's life, see ``ServerLHC.epoch``."""
    remote_stop: bool
    """Whether STOP is permitted."""
    described: Described
    """How the device is described."""
    core: Core
    socket: ReplySocket
    streams: Publisher
    limits: dict[str, int]
    """Of connections, by the name of their arguments."""
    transport: Transport
    """Who carries the messages."""

    def added_info(self) -> dict[str, Any]:
        """What INFO shows beside what 0.2.0 has, where there is something to show."""

    def count_failure(self, name: str) -> None:
        """Count that a callback or a method of that name has raised, and show it in INFO."""

    on_halt: Callback | None
    """What HALT calls."""

    def call(
        self, name: str, callback: Callback, arguments: tuple[Any, ...]
    ) -> BaseException | None:
        """Call a callback; what it raises is logged, counted and returned."""

    def has_own_data(self, server: Server) -> bool:
        """Whether the server's class has a ``data`` of its own, which the core does not know."""

    def stats_as_json(self) -> dict[str, Any]:
        """What is counted, as plain values."""

    def request_stop(self) -> None:
        """Have the server end; waits for nothing."""


class WorkerContext(Context, Protocol):
    """What the worker works with: of all requests, before and after the handler."""

    handlers: HandlerTable
    accepted_versions: tuple[str, ...]
    running_code: Any
    """What runs in the ServerLHC thread now, for people."""
    running_since: float
    """When that began, of ``time.monotonic()``."""

    def permits(self, role: int, key: int, cmd: Any) -> bool:
        """Whether who asks may use a command; role and key by their numbers."""

    def refusal(self, role: int, key: int, cmd: Any) -> str:
        """What to tell who may not use it."""

    def caller(self, key: int, address: str = "") -> str:
        """Who asks, for the log: the name of a key, by its number, or else from where it does.

        Empty without security.
        """

    def command_index(self, cmd: Any) -> int:
        """Number under which a command is counted; 0 for what is no command."""


Handler = Callable[[Server, Message, Any], "Message | None"]
"""What answers a command: of the server, the request, and whom to answer."""


def context_of(server: Server) -> Context:
    """The context of a server's handlers."""
    context: Context = vars(server)[ENGINE]
    return context
