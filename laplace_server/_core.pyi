"""The compiled core: a native server, and the JSON work that goes with it.

Only the facade and the tests import it; programs use `laplace_server.ServerLHC`. Commands,
reply texts, handlers and logging are the facade's; the core keeps the socket, the documents that
clients read, the queues and the counters. All functions may be called from any thread.
"""

from collections.abc import Callable
from typing import Any, Final, Generic, Literal, TypeAlias, TypedDict, TypeVar, final

# Which of the two documents: what GET returns, or the payload of INFO.
DATA: Final[int]
INFO: Final[int]

LOG: Final = "log"
"""What ``Core.next_job`` returns when there are native answers to log."""

ERROR_KIND_COUNT: Final[int]
"""Number of values of ``stats.ErrorKind``."""
MAX_COMMANDS: Final[int]
"""Commands with counters of their own; further ones are counted as number 0."""

# A reply as literals, each followed by the number of the hole after it (`reply_templates.Hole`).
_Pieces: TypeAlias = list[tuple[bytes, int]]

# JSON text, kind (1 null, 2 false, 3 true, 4 number, 5 string, 6 array, 7 object), truth of the
# decoded value (0 falsy, 1 truthy, 2 unknown), whether a string holds escapes.
_Member: TypeAlias = tuple[bytes, int, int, bool]

# kind, arrays, subscription, updates, epoch, first, last
_StreamHeader: TypeAlias = tuple[int, int, int, int, int, int, int]

_Update = TypeVar("_Update", bound=tuple[Any, ...])

class _Limits(TypedDict):
    pending: int  # requests that wait
    pending_bytes: int
    peer_pending: int  # the same for one peer
    peer_pending_bytes: int
    peer_parked_bytes: int  # replies kept for a peer that does not read

class _Templates(TypedDict):
    ping: _Pieces
    info: _Pieces
    get: _Pieces
    arrays: _Pieces
    error: _Pieces

class _Counters(TypedDict):
    native: list[int]  # answers by command number
    python: list[int]
    errors: list[int]  # by stats.ErrorKind
    native_latency: list[int]  # by bucket, see stats.LatencyHistogram
    python_latency: list[int]
    bytes_in: int
    bytes_out: int
    pending: int
    pending_bytes: int
    pending_high_water: int
    parked_bytes: int
    stale_gets: int
    refreshes: int
    connections: int
    connections_total: int

def load_libzmq(path: str, only_loaded: bool) -> str:
    """Fill the table of libzmq functions from the shared library at ``path``.

    With ``only_loaded``, a library that is not in this process yet is not found. Returns "" or why
    it did not work: "not found", "lacks zmq_…", "too old" (before 4.2).
    """

def libzmq_version() -> tuple[tuple[int, int, int], int]:
    """(major, minor, patch) of the libzmq in use, and the address of its ``zmq_version``.

    Raises:
        RuntimeError: no libzmq has been loaded.
    """

def encode_json(value: dict[Any, Any]) -> bytes:
    """JSON text of a dict: NaN and infinities as literals, NumPy values, integers of any size.

    Raises:
        TypeError: not a dict, or a value that JSON cannot say; the text names its place.
    """

def scan_envelope(data: bytes) -> tuple[int, dict[str, _Member | None]]:
    """What the loop sees of a request.

    Returns the verdict (0 only Python can tell, 1 strict JSON, 2 certain) and the members
    "version", "cmd", "from" and "payload"; those absent, and all unless certain, are None.
    """

def may_be_real_time() -> bool:
    """Whether the system permits threads that get a core before whatever computes."""

def interface_addresses() -> list[tuple[str, bytes, bool, bool, bool]]:
    """The addresses of this machine's network interfaces, in the system's order.

    Each is: the interface's name, as the scope of a link-local address tells it (on Windows, its
    number); the 4 or 16 bytes of the address; whether the interface is running, is loopback, is
    internal: a bridge or tunnel of this machine's own making. Waits for no name server.

    Raises:
        OSError: the system does not tell.
    """

def stream_header(body: bytes) -> _StreamHeader | None:
    """The header of what a server sends to a subscriber; None: it is no such message, or cut short.

    docs/streams.md has it to the byte.
    """

def stream_text(body: bytes, updates: int) -> bytes:
    """The JSON array of a message whose header tells of that many updates."""

@final
class Updates(Generic[_Update]):
    """The updates of a message, each made when it is taken; ``len`` tells how many are left.

    Args:
        kind: the named tuple to make, of number, epoch, timestamp (s), data, lost before.
        body: the message, with the times.
        datas: what its text says; each becomes None when it is taken.
        first: number of the first of them.
        epoch: of the server.
        lost: updates right before the first one to take.
        known: how many at the beginning are left out.

    Raises:
        TypeError: ``kind`` is no tuple.
        ValueError: ``body`` is too short for them, or ``known`` is too many.
    """

    def __init__(
        self,
        kind: type[_Update],
        body: bytes,
        datas: list[Any],
        first: int,
        epoch: int,
        lost: int,
        known: int,
    ) -> None: ...
    def __iter__(self) -> Updates[_Update]: ...
    def __len__(self) -> int: ...
    def __next__(self) -> _Update: ...
    def drop(self) -> None:
        """Come to the end: what is left is not taken any more."""

@final
class Core:
    """A native server; constructing it binds its socket.

    Its own thread runs from ``start`` to ``request_stop`` and never takes the GIL. In a forked
    child every method but ``held_endpoint`` raises ForkedServerError.
    """

    def __new__(
        cls,
        *,
        address: bytes,
        epoch: int,
        max_message_bytes: int,
        refresh_timeout_ms: int,
        spin_us: int,
        real_time: bool,
        limits: _Limits | dict[str, int],
    ) -> Core:
        """Bind to ``address``.

        ``max_message_bytes`` -1 is no limit; ``refresh_timeout_ms`` is how long a read of live data
        waits for a look at it, ``spin_us`` how long the loop waits for a message before it sleeps.
        ``real_time`` is for its threads, and only where ``may_be_real_time()`` is True: libzmq ends
        the process where it is not permitted.

        Raises:
            zmq.ZMQError: the address cannot be bound.
        """

    # ---- life

    @property
    def forked(self) -> bool:
        """Whether this is a child of the process that made the server."""

    def endpoint(self) -> str:
        """The bound address, with the port the system chose."""

    def held_endpoint(self) -> str:
        """The bound address while the sockets are open, "" afterwards.

        In a forked child, what the parent would have been told at the fork.
        """

    def start(self) -> None:
        """Start the loop thread.

        Raises:
            OSError: started or stopped before (EINVAL), or the system has no thread left.
        """

    def started(self) -> bool:
        """Whether the loop runs."""

    def request_stop(self) -> None:
        """Ask the loop to end; a server never started is closed before this returns."""

    def wait_ended(self, milliseconds: int) -> bool:
        """Wait for the end; True when the port is free and all native threads are gone."""

    def fault(self) -> int:
        """errno of a socket that failed for good, else 0."""

    # ---- configuration

    def set_table(
        self,
        commands: list[tuple[bytes, int, int]],
        accepted_versions: list[bytes],
        templates: _Templates | dict[str, _Pieces],
        texts: dict[str, bytes],
    ) -> None:
        """Replace the dispatch table.

        ``commands`` holds (name, action, number of its counters), the action being 0 for Python,
        1 PING, 2 INFO, 3 GET; a command that is not there goes to Python. ``texts`` are the JSON
        texts "version", "unknown", "busy" and "stopping".
        """

    def set_take_after_get(self, take: bool) -> None:
        """Whether the data is given to one GET only."""

    def set_log_answers(self, log: bool) -> None:
        """Whether every native answer is put into the log queue."""

    # ---- documents

    def set_data(self, source: dict[Any, Any], /) -> None:
        """Replace the data. It is live while anybody else refers to it, its containers or arrays.

        Where a value cannot be written, readers get an error that names it.

        Raises:
            TypeError: not a dict; the old data stays.
        """

    def set_data_copy(self, source: dict[Any, Any], /) -> None:
        """Replace the data by a copy; nothing of ``source`` is kept.

        Raises:
            TypeError: not a dict, or a value that cannot be written; the old data stays.
        """

    def set_info(self, source: dict[str, Any]) -> None:
        """Replace the payload of INFO.

        Raises:
            TypeError: a value that JSON cannot say; the old payload stays.
        """

    def read(self, which: int) -> Any:
        """The dict behind INFO, or a new one of the data; what it holds may be changed then."""

    def data_error(self) -> str | None:
        """Why the data cannot be written, where readers are told so."""

    def look(self, which: int) -> None:
        """Make a document's text, where it may have changed or has none yet.

        It is frozen if nobody can change it any more.
        """

    def settle(self) -> None:
        """After a callback: the next read of live data shows what that did."""

    def wait_look(self) -> int | None:
        """Block until a document wants a look, without the GIL: which, or None at the end."""

    on_refused: Callable[[str], None] | None
    """Called with why data that was set cannot be written, once for each reason in a row."""

    # ---- streams

    on_given_up: Callable[[str, bytes], None] | None
    """Called with a stream and a subscriber's name (JSON) when a publisher waits no more for it."""

    on_unfit: Callable[[str, str], None] | None
    """Called with a stream, and why, where data that was set cannot be one of its updates."""

    def declare_stream(
        self,
        name: str,
        history_bytes: int,
        history_updates: int,
        patience_s: float | None,
        change: bool,
    ) -> None:
        """Make a stream; with ``change``, one that is there already is changed.

        ``patience_s`` is how long a publisher waits, for an update, until nobody loses by it.
        """

    def publish(self, name: str, data: Any, timestamp: float | None, copy: bool) -> int:
        """Append an update, acquired at ``timestamp`` (seconds since 1970, None: now).

        Returns its number, from 1; 0 where the server has stopped. Without ``copy``, arrays must
        not change any more.

        Raises:
            KeyError: the stream is not declared.
            TypeError: not a dict, or a value that cannot be sent; the text names its place.
            ValueError: a time that is no number, or too large an update.
        """

    def stream_names(self) -> list[str]:
        """The declared streams."""

    def stream_range(self, name: str) -> tuple[int, int]:
        """Numbers of the first and the last update there are; last is first - 1 for none."""

    def stream_bytes(self, name: str) -> int:
        """Memory of a stream's history."""

    def ledgers(self) -> list[dict[str, Any]]:
        """What each subscriber was sent and was not."""

    # ---- requests for Python

    def next_job(self) -> tuple[int, bytes, bool, bool] | Literal["log"] | None:
        """Block for work, without the GIL: (id, body, strict, one_frame), LOG, or None at the end.

        ``strict`` tells that the body is JSON a strict decoder may take; without ``one_frame`` the
        request came in several frames and the body is empty.
        """

    def finish(self, job: int, reply: bytes, command: int, error: int) -> None:
        """Hand over the reply to a job; ``error`` is a ``stats.ErrorKind``."""

    def finish_get(self, job: int, to: bytes, version: bytes, command: int) -> None:
        """Let the loop answer a GET with the data of the moment; ``to``, ``version``: JSON."""

    def finish_get_arrays(self, job: int, to: bytes, version: bytes, command: int) -> None:
        """Answer with the data as it is now, its arrays in frames beside the JSON text.

        Raises:
            TypeError, ValueError: it cannot be sent any more, or is too large; nothing was handed
                over.
        """

    def finish_subscribe(
        self,
        job: int,
        reply: bytes,
        command: int,
        name: str,
        who: bytes,
        subscription: int,
        next: int,
        messages: int,
        allowed_bytes: int,
        latest_only: bool,
    ) -> None:
        """Hand over the reply to a SUBSCRIBE; the subscription begins with it, at ``next``.

        ``who`` is the client's name as JSON; ``messages`` and ``allowed_bytes`` are its credit.
        """

    def take_log(self) -> list[tuple[int, bytes]]:
        """Native answers since the last call: (command number, start of ``from`` as JSON)."""

    # ---- counters

    def counters(self) -> _Counters:
        """All counters; reading them holds up nobody."""
