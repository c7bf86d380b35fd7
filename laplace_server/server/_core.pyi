"""The compiled core: a native server, and the JSON work that goes with it.

Only the facade and the tests import it; programs use `laplace_server.ServerLHC`. Commands,
reply texts, handlers and logging are the facade's; the core keeps the socket, the documents that
clients read, the queues and the counters. All functions may be called from any thread.
"""

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, Final, Literal, TypeAlias, TypedDict, TypeVar, final

_Publish = TypeVar("_Publish", bound=Callable[..., int])

LOG: Final = "log"
"""What ``Jobs.next`` returns when there is something to log."""

JOBS: Final = "jobs"
"""What ``Documents.wait_refresh`` returns when there is a job for ``Jobs.next_builtin``."""

MAX_COMMANDS: Final[int]
"""Commands with counters of their own; further ones are counted as number 0."""

MAX_ROLES: Final[int]
ANONYMOUS: Final[int]
"""The number of the role of clients without a key."""

MAX_SUBSCRIPTIONS: Final[int]
"""Subscriptions that a server grants; silent ones give way."""

class DocumentId(IntEnum):
    """Which of the two documents."""

    DATA = ...
    """What GET returns."""
    INFO = ...
    """The payload of INFO."""

class TransportKind(IntEnum):
    """Who carries messages: the core's own sockets, or libzmq's."""

    TCP = ...
    LIBZMQ = ...

class Action(IntEnum):
    """Who answers a command: Python, its built-in code in a thread of its own, or the loop."""

    PYTHON = ...
    PING = ...
    INFO = ...
    GET = ...
    BUILTIN = ...

class Hole(IntEnum):
    """What the loop puts behind a literal of a reply; ``NONE`` at its end."""

    TO = ...
    CMD = ...
    BODY = ...
    VERSION = ...
    ERROR = ...
    NONE = ...

class ErrorKind(IntEnum):
    """Why a request got an error, or no answer. The numbers are the core's."""

    NONE = ...
    MALFORMED = ...
    """Not a request: broken JSON or UTF-8, missing fields, several frames."""
    VERSION = ...
    """A protocol version that is not accepted."""
    UNKNOWN_COMMAND = ...
    PAYLOAD = ...
    """A payload without what its command needs, or with what the device does not take."""
    HANDLER = ...
    """A handler raised, or its reply could not be written as JSON; with ``callback_errors="reply"``
    also: a callback raised."""
    NOT_PERMITTED = ...
    DATA = ...
    """Live data had become something that JSON cannot say when a GET came."""
    BUSY = ...
    """The queue of requests for Python was full."""
    STOPPING = ...
    NO_DELIMITER = ...
    """A message without an empty frame; there is no way to answer it."""
    UNROUTABLE = ...
    """The peer had gone before its reply could be sent."""
    REPLY_OVERFLOW = ...
    """A reply had to wait and found no room, as where its peer does not read: it was dropped."""
    NO_MEMORY = ...
    LOG_DROPPED = ...
    """A debug record of a native answer was dropped; the answer itself was sent."""
    SUBSCRIPTIONS = ...
    """There were as many subscriptions as may be, of the server or of the connection."""

class Refusal(IntEnum):
    """Why a connection was refused or closed. The numbers are the core's."""

    NOT_ZMTP = ...
    """What came first was no greeting of ZMTP: a web browser's, or a port scanner's."""
    ZMTP_VERSION = ...
    """A greeting of ZMTP 1 or 2, older than 2013."""
    MECHANISM = ...
    """A security mechanism that the server has not."""
    SOCKET_TYPE = ...
    """Neither REQ nor DEALER nor ROUTER."""
    MALFORMED = ...
    """A handshake, a command or a frame against the rules of ZMTP."""
    HANDSHAKE_TIMEOUT = ...
    """No complete handshake within ``handshake_timeout_ms``."""
    MESSAGE_SIZE = ...
    """A message of more than ``max_message_bytes`` in all its frames."""
    MESSAGE_FRAMES = ...
    """A message of more than ``max_message_frames``."""
    CONNECTIONS = ...
    """``max_connections`` were there."""
    ADDRESS = ...
    """``max_connections_per_address`` were there from its address."""
    DISPLACED = ...
    """It had never asked anything and made room for another one."""
    HEARTBEAT = ...
    """It had given itself a time to live, and was silent for longer."""
    NO_MEMORY = ...
    ROUTE_SIZE = ...
    """Frames before the empty one of more than half of ``max_waiting_bytes``."""
    ANONYMOUS = ...
    """It had no key, and the server's security gives those without one no role."""
    WITHDRAWN = ...
    """What it was permitted was taken away."""
    UNKNOWN_KEY = ...
    """Its key was none that the server serves."""
    WRONG_SERVER_KEY = ...
    """It expected a server with another key."""
    NOT_AUTHENTIC = ...
    """What it sent was not made with its keys, or had been changed or repeated."""

# A reply as literals, each with the hole after it.
_Pieces: TypeAlias = list[tuple[bytes, Hole]]

# JSON text, kind (1 null, 2 false, 3 true, 4 number, 5 string, 6 array, 7 object), truth of the
# decoded value (0 falsy, 1 truthy, 2 unknown), whether a string holds escapes.
_Member: TypeAlias = tuple[bytes, int, int, bool]

class _Limits(TypedDict):
    pending: int  # requests that wait
    pending_bytes: int
    peer_pending: int  # the same for one peer
    peer_pending_bytes: int
    subscriber_silence_ms: int  # until who can be sent nothing and says nothing is forgotten
    refusal_log_ms: int  # from one line of the log to the next of the same reason

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
    refused: list[int]  # by stats.Refusal
    native_latency: list[int]  # by bucket, see stats.LatencyHistogram
    python_latency: list[int]
    bytes_in: int
    bytes_out: int
    pending: int
    pending_bytes: int
    pending_high_water: int
    parked_bytes: int
    waiting_bytes: int
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

def load_sodium(find: Callable[[str], int]) -> str:
    """Fill the table of libsodium's functions from what ``find`` says of their names.

    That is an address, or 0. Returns "" or why it did not work: "lacks sodium_…", "does not start".
    A table that is filled stays as it is.
    """

def encode_json(value: dict[Any, Any]) -> bytes:
    """JSON text of a dict: NaN and infinities as literals, NumPy values, integers of any size.

    Raises:
        TypeError: not a dict, or a value that JSON cannot say; the text names its place.
    """

def publishing(engine: str) -> Callable[[_Publish], _Publish]:
    """Decorate the ``publish`` of a server, whose attribute of that name has the ``core``.

    A plain call with a flat dict, for a declared stream, never enters the method, and so no frame
    of Python; all others do.
    """

def scan_envelope(data: bytes) -> tuple[int, dict[str, _Member | None]]:
    """What the loop sees of a request.

    Returns the verdict (0 only Python can tell, 1 strict JSON, 2 certain) and the members
    "version", "cmd", "from" and "payload"; those absent, and all unless certain, are None.
    """

def may_be_real_time() -> bool:
    """Whether the system permits threads that get a core before whatever computes."""

def name_this_thread(name: str) -> None:
    """Name the calling thread for debuggers and top; Linux shows 15 characters of it."""

def write_crash_notes_at_signals(descriptor: int) -> int:
    """At a fatal signal, write to a descriptor what each server was doing; -1: write nothing more.

    Then happens what would have happened without. Returns 0 or an errno: ENOSYS on Windows.
    """

def interface_addresses() -> list[tuple[str, bytes, bool, bool, bool]]:
    """The addresses of this machine's network interfaces, in the system's order.

    Each is: the interface's name, as the scope of a link-local address tells it (on Windows, its
    number); the 4 or 16 bytes of the address; whether the interface is running, is loopback, is
    internal: a bridge or tunnel of this machine's own making. Waits for no name server.

    Raises:
        OSError: the system does not tell.
    """

@final
class Documents:
    """What clients may read: the data, and the payload of INFO."""

    on_refused: Callable[[str], None] | None
    """Called with why data that was set cannot be written, once for each reason in a row."""

    on_unfit: Callable[[str, str], None] | None
    """Called with a stream, and why, where data that was set cannot be one of its updates."""

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

    def read_info(self) -> dict[str, Any]:
        """The dict behind INFO; it may be changed from now on."""

    def read_data(self) -> dict[Any, Any]:
        """A new dict of the data; what it holds may be changed from now on."""

    def data_error(self) -> str | None:
        """Why the data cannot be written, where readers are told so."""

    def refresh(self, which: int) -> None:
        """Make a document's text, where it may have changed or has none; ``which``: ``DocumentId``.

        It is frozen if nobody can change it any more.
        """

    def settle(self) -> None:
        """After a callback: the next read of live data shows what that did."""

    def wait_refresh(self) -> int | Literal["jobs"] | None:
        """Block until there is something to do, without the GIL.

        Returns the ``DocumentId`` of what wants a refresh, JOBS for ``Jobs.next_builtin``, or None
        at the end.
        """

@final
class Streams:
    """The streams of a server."""

    on_given_up: Callable[[str, bytes], None] | None
    """Called with a stream and a subscriber's name (JSON) when a publisher waits no more for it."""

    def declare(
        self,
        name: str,
        history_bytes: int,
        history_updates: int,
        patience_s: float | None,
        change: bool,
        first: int,
    ) -> None:
        """Make a stream; with ``change``, one that is there already is changed.

        ``patience_s`` is how long a publisher waits, for an update, until nobody loses by it.
        ``first``, 1 or more, is the number of the first update.
        """

    def publish(
        self, name: str, data: Any, timestamp: float | None, copy: bool, lost_before: int
    ) -> int:
        """Append an update, acquired at ``timestamp`` (seconds since 1970, None: now).

        Returns its number, from 1; 0 where the server has stopped. Without ``copy``, arrays must
        not change any more. ``lost_before`` numbers right before its own are given to no update:
        whoever follows is told that they are lost.

        Raises:
            KeyError: the stream is not declared.
            TypeError: not a dict, or a value that cannot be sent; the text names its place.
            ValueError: a time that is no number, or too large an update.
        """

    def names(self) -> list[str]:
        """The declared streams."""

    def age_s(self, name: str) -> float:
        """Seconds since the stream was declared.

        Raises:
            KeyError: it was not.
        """

    def answering(self) -> int:
        """Subscribers that are not silent: those that MAX_SUBSCRIPTIONS bounds."""

    def finish(self, name: str, lost: int, says_so: bool) -> None:
        """Let the stream end, and so many numbers behind its last update be lost.

        Who follows hears of these at once. Where not ``says_so``, he is not told of the end when
        the server stops, as if it had died. Once the server has stopped this does nothing.

        Raises:
            KeyError: not declared.
        """

    def range_of(self, name: str) -> tuple[int, int]:
        """Numbers of the first and the last update there are; last is first - 1 for none."""

    def history_bytes(self, name: str) -> int:
        """Memory of a stream's history."""

    def ledgers(self) -> list[dict[str, Any]]:
        """What each subscriber was sent and was not."""

@final
class Jobs:
    """Requests that the loop leaves to Python."""

    def next(self) -> tuple[int, bytes, bool, bool, int, int, str] | Literal["log"] | None:
        """Block for work, without the GIL: (id, body, strict, one_frame, role, key, address), LOG,
        or None.

        ``strict`` tells that the body is JSON a strict decoder may take; without ``one_frame`` the
        request came in several frames and the body is empty. ``key`` is the number that ServerKeys
        gave the key of who asks, 0 for none. None is the end.
        """

    def next_builtin(self) -> tuple[int, bytes, bool, bool, int, int, str] | None:
        """The job that ``Documents.wait_refresh`` told of; None where it is gone."""

    def finish(self, job: int, reply: bytes, command: int, error: int) -> None:
        """Hand over the reply to a job; ``error`` is a ``stats.ErrorKind``."""

    def deny(self, job: int, reply: bytes, command: int) -> None:
        """Hand over the refusal of a job that its role does not permit."""

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
        refusal: bytes,
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

        ``refusal`` is the reply where its connection has as many as it may have. ``who`` is the
        client's name as JSON; ``messages`` and ``allowed_bytes`` are its credit.
        """

    def look_each(self, seconds: float) -> None:
        """From now on ``next`` returns LOG each time that these have passed; it counts once."""

    def take_log(self) -> list[tuple[int, bytes]]:
        """Native answers since the last call: (command number, start of ``from`` as JSON)."""

    def take_denials(self) -> list[tuple[int, int, str, int, int]]:
        """Requests that roles did not permit, to be logged: (role, command number, the peer's
        address, more of them, number of its key), of a peer at most one a minute."""

    def take_refusals(self) -> list[tuple[Refusal, str, int, bytes]]:
        """Connections refused or closed, to be logged: (reason, the peer's address, more of them,
        its public key where that is why).

        At most one a minute of each reason; the third is how many there were in between.
        """

@final
class ServerKeys:
    """A server's own key, and whose it serves; it does not change. Needs ``load_sodium``."""

    def __new__(cls, secret_key: bytes, clients: Iterable[tuple[bytes, int, int]]) -> ServerKeys:
        """Make it of the server's secret key and (public key, number of its role, its own number).

        A key has 32 bytes. The number is what ``Jobs`` tells of who asks: from 1 to 2^32 - 1, and
        another one for each key as long as the server lives.

        Raises:
            RuntimeError: there is no libsodium.
            ValueError: a key of another size, a role or number that cannot be, two alike.
        """

@final
class Core:
    """A native server, its life and its configuration; constructing it binds its socket.

    Its own thread runs from ``start`` to ``request_stop`` and never takes the GIL. In a forked
    child every method but ``held_endpoint`` raises ForkedServerError.
    """

    def __new__(
        cls,
        *,
        address: bytes,
        epoch: int,
        transport: TransportKind,
        max_message_bytes: int,
        max_message_frames: int,
        max_waiting_bytes: int,
        max_connections: int,
        max_connections_per_address: int,
        max_subscriptions_per_connection: int,
        handshake_timeout_ms: int,
        anonymous: bool,
        refresh_timeout_ms: int,
        spin_us: int,
        real_time: bool,
        limits: _Limits | dict[str, int],
    ) -> Core:
        """Bind to ``address``.

        ``max_message_bytes`` -1 is no limit, and so is ``max_connections_per_address`` 0; libzmq
        keeps neither the limits of connections nor those of frames and handshakes, and asks
        nobody for a key, whatever ``anonymous`` says: whether those without one may connect, until
        ``use_keys`` says so.
        ``refresh_timeout_ms`` is how long a read of live data waits for its refresh, ``spin_us``
        how long the loop waits for a message before it sleeps. ``real_time`` is for its threads,
        and only where ``may_be_real_time()`` is True: libzmq ends the process where it is not
        permitted.

        Raises:
            zmq.ZMQError: the address cannot be bound.
        """

    documents: Final[Documents]
    streams: Final[Streams]
    jobs: Final[Jobs]

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
        commands: list[tuple[bytes, Action, int, int]],
        accepted_versions: list[bytes],
        templates: _Templates | dict[str, _Pieces],
        texts: dict[str, bytes],
        rights: dict[str, Any],
    ) -> None:
        """Replace the dispatch table.

        ``commands`` holds (name, ``Action``, number of its counters, roles that may ask for it, a
        bit for each); a command that is not there goes to Python. ``texts`` are the JSON texts that
        fill the error template. ``rights``: see ``rights.Rights.for_table``.
        """

    def set_take_after_get(self, take: bool) -> None:
        """Whether the data is given to one GET only."""

    def set_log_answers(self, log: bool) -> None:
        """Whether every native answer is put into the log queue."""

    def use_keys(self, keys: ServerKeys | None, anonymous: bool) -> None:
        """Say who may connect, from now on; None: nobody has a key, all is said in the clear.

        ``anonymous``: whether clients without a key may. Who is connected already is looked at,
        too: where its key is no longer there it is disconnected, as who has none where that may not
        be; where its key has another role, that counts from the next request on.

        Raises:
            ValueError: keys, and the server serves by libzmq.
        """

    def end_subscriptions(self, roles: int) -> None:
        """End the subscriptions that these roles have, a bit for each; who follows asks again.

        After ``use_keys``: whoever got another role by it is asked by that one.
        """

    # ---- clients

    def clients(self) -> list[tuple[int, bytes, str, int, float, float, int, int]]:
        """Who is there: (id, name as JSON, host, number of its key, seconds since it came, seconds
        since its last request, command number of that, connections)."""

    def clients_left_out(self) -> int:
        """How often somebody who asked could not be counted among them."""

    # ---- counters

    def denials(self) -> list[tuple[int, int, int]]:
        """Requests that a role did not permit: (role, command number, how many)."""

    def counters(self) -> _Counters:
        """All counters; reading them holds up nobody."""
