"""The compiled part of a client: its connections, and a stream's messages.

Only `laplace_server.client` and the tests import it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar, final

def load_sodium(find: Callable[[str], int]) -> str:
    """Fill the table of libsodium's functions from what ``find`` says of their names.

    That is an address, or 0. Returns "" or why it did not work: "lacks sodium_…", "does not start".
    A table that is filled stays as it is.
    """

# ---- connections

REQ: Final[int]
"""The type of a socket that asks, and gets a reply to each request."""
DEALER: Final[int]
"""That of one that sends and receives as it likes."""

NO_KEY: Final[str]
"""The ``trouble`` of a client without keys, where the server wants one."""
CLOSED_EARLY: Final[str]
"""The ``trouble`` where the other side ended the connection before the handshake was over."""
CLOSED_UNGREETED: Final[str]
"""The same with keys, where it did not say before that it has security."""
CLOSED_AT_HELLO: Final[str]
"""The same with keys, where it did."""

@final
class ClientKeys:
    """By which keys a client and one server know each other. They never change.

    Args:
        secret_key: the client's own, 32 bytes; its public key is computed.
        server_key: the server's public key, 32 bytes.

    Raises:
        RuntimeError: ``load_sodium`` has not loaded libsodium.
        ValueError: a key has not 32 bytes, or is none that anybody could have made.
    """

    def __new__(cls, secret_key: bytes, server_key: bytes) -> ClientKeys: ...

class Conversation:
    """What the client's end of a connection says and hears, without the connection.

    It speaks ZMTP 3.0 and 3.1 (ZeroMQ RFCs 23 and 37), over NULL, or with keys over CURVE (RFC
    26). ``get_buffer`` and ``buffer_updated`` are those of `asyncio.BufferedProtocol`. For one
    thread at a time. Each call is one step: Python's signal handlers run before it or after it,
    never within. With keys, what is large is sealed and opened without the GIL.

    Args:
        socket_type: REQ or DEALER.
        keys: of the client and the server.

    Raises:
        ValueError: it is another one.
    """

    on_change: Callable[[], object] | None
    """Called at the end of ``buffer_updated`` where a message, the end of the handshake, a fault or
    something to send has come. It may raise: all is in order by then."""

    def __init__(self, socket_type: int, keys: ClientKeys | None = None) -> None: ...
    def opening(self) -> bytes:
        """What to send first, without waiting for anything.

        Raises:
            RuntimeError: it has keys, and this was called before; or libsodium failed.
        """

    def get_buffer(self, sizehint: int = -1) -> memoryview:
        """Where the next bytes are to be received to; never empty.

        Of a large frame, that is the memory of the bytes object that ``take`` will give.
        """

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes were received to where ``get_buffer`` said last.

        Raises:
            ValueError: there is no room for as many.
        """

    def take(self) -> list[bytes] | None:
        """The frames of the next message; None where none has come whole."""

    def to_send(self) -> bytes:
        """Answers that are due, each told once; b"" for none.

        They go between messages, never into one, and with keys before whatever is ``sealed``
        afterwards. Of a peer that asks and does not read, not all are kept.
        """

    def sealed(self, message: bytes) -> bytes:
        """What to send of a message that was ``encoded``; without keys, the same.

        With keys it leaves in the order in which it was sealed, or nothing more does; b"" where the
        conversation is over.

        Raises:
            RuntimeError: the handshake is not over yet.
            ValueError: with keys, and it is nothing that ``encoded`` makes.
        """

    @property
    def ready(self) -> bool:
        """Whether the handshake is over. Messages may be sent from then on."""

    @property
    def fault(self) -> str:
        """Why it is over, in words for a person; "" while it is not.

        What came before may still be taken; what comes after it is ignored.
        """

    @property
    def closed_early(self) -> str:
        """What it means where the other side ends the connection before ``ready``, for a person."""

    @staticmethod
    def encoded(frames: Sequence[bytes]) -> bytes:
        """A message as it is sent without keys.

        Raises:
            TypeError: a frame is no bytes.
            ValueError: there is no frame.
        """

@final
class Connection:
    """A TCP connection to a numeric address that speaks so; it has one descriptor and no thread.

    Nothing but ``receive``, ``wait`` and a ``close`` that lingers waits, without the GIL; a signal
    ends the waiting, its handlers run, and an exception out of one leaves everything in order: no
    message is sent by half, and nothing that came is lost. For one thread at a time, but for
    ``interrupt`` and the properties. In a forked child it counts as broken, and ``close`` lets go
    of the child's copy without a word to the peer.

    Args:
        socket_type: REQ or DEALER.
        host: an address of IPv4, or of IPv6 with or without %SCOPE and without brackets.
        port: from 1 to 65535.
        keys: of the client and the server, who then talk over CURVE.

    Raises:
        OSError: the system gives no socket (EMFILE, ENFILE, ENOBUFS, EACCES, ...).
        ValueError: there is no such type, address or port.
    """

    def __new__(
        cls, socket_type: int, host: str, port: int, keys: ClientKeys | None = None
    ) -> Connection: ...
    def fileno(self) -> int:
        """Its descriptor; -1 once it is closed."""

    @property
    def connected(self) -> bool:
        """Whether somebody took it."""

    @property
    def ready(self) -> bool:
        """Whether the handshake is over."""

    @property
    def broken(self) -> bool:
        """Whether no more will come, and all that came was taken by ``receive``."""

    @property
    def refused(self) -> bool:
        """Whether it broke before anybody took it."""

    @property
    def trouble(self) -> str:
        """Why it is broken, in words for a person; "" while it is not."""

    def send(self, frames: Sequence[bytes]) -> bool:
        """Send a message, without waiting; False: it has broken, and the message has not left.

        What the network does not take at once, or what has to wait for ``ready``, leaves in
        ``receive`` and ``wait``.

        Raises:
            TypeError: a frame is no bytes.
            ValueError: there is no frame.
            RuntimeError: another thread is using the connection.
        """

    @property
    def unsent(self) -> int:
        """Bytes of messages that the network has not taken yet."""

    def receive(self, seconds: float) -> list[bytes] | None:
        """The frames of the next message; None: none came in time, or broken, or interrupted.

        An exception out of a signal handler may come right behind the call and lose what it
        returned, unless it is C code that calls it and keeps that, as in
        ``messages.extend(map(connection.receive, (seconds,)))``.

        Raises:
            RuntimeError: another thread is using the connection.
        """

    def ask(self, frames: Sequence[bytes]) -> bool:
        """As ``send``; False also where something has come that nobody has asked for."""

    def answer(self, number: bytes, seconds: float) -> list[bytes] | None:
        """As ``receive``, but only what stands behind the number and an empty frame.

        None: also where the message was another one.
        """

    def wait(self, seconds: float) -> None:
        """Wait until there is a message to take, or else until `connected`, `ready` or `broken` has
        changed or `unsent` become 0.

        It returns at once where nothing can come any more.

        Raises:
            RuntimeError: another thread is using the connection.
        """

    def interrupt(self) -> None:
        """Have whoever waits return at once, and nobody wait any more.

        From any thread and from signal handlers. What is to be sent may still leave in ``close``.
        """

    def close(self, linger_s: float = 0.0) -> None:
        """Let go of it; what was not sent has so long to leave. Again it does nothing.

        Raises:
            RuntimeError: another thread is using the connection.
        """

# ---- messages of a stream

# kind, arrays, subscription, updates, epoch, first, last
_StreamHeader: TypeAlias = tuple[int, int, int, int, int, int, int]

_Update = TypeVar("_Update", bound=tuple[Any, ...])

# Kinds of messages of the server
UPDATES: Final[int]
LOOSE: Final[int]
"""Updates whose text is not strict JSON."""
ALIVE: Final[int]
"""Nothing new for a while."""
END: Final[int]
"""Nothing will follow."""
UNKNOWN: Final[int]
"""No such subscription."""
# and of the client.
CREDIT: Final[int]
LEAVE: Final[int]

def stream_header(body: bytes) -> _StreamHeader | None:
    """The header of what a server sends to a subscriber; None: it is no such message, or cut short.

    docs/streams.md has it to the byte.
    """

def stream_control(
    kind: int, subscription: int, messages: int, allowed_bytes: int, following: int
) -> bytes:
    """What a subscriber sends: its credit, counted from the begin, and what it waits for.

    Args:
        kind: CREDIT or LEAVE.
        subscription: the client's number for it, 32 bits.
        messages: how many may be sent in all.
        allowed_bytes: beyond which nothing more is begun.
        following: number of the update that is to come next.

    Raises:
        OverflowError: a number is too large, or negative.
        ValueError: another kind.
    """

def stream_text(body: bytes, updates: int) -> bytes:
    """The JSON array of a message whose header tells of that many updates."""

def take_updates(
    protocol: Any, number: int, message: Sequence[Any], due_at: float, following: object
) -> bool:
    """Take a message in as ``SubscriptionReader`` does, where it is of the usual kind.

    That is updates in strict JSON, of the present life of the server, none of which
    was taken before. False: it is to be read there, and nothing has changed.

    Args:
        protocol: the SubscriptionReader.
        number: of the message.
        due_at: when the next must have come.
        following: the state in which a subscription is granted.
    """

def follow(
    protocol: Any,
    connection: Connection,
    numbers: Iterator[int],
    deadline: float,
    silence_s: float,
    following: object,
) -> bool:
    """Send the credit that is due, wait for the next message, and take it in if it is of the usual
    kind: then there is a batch.

    False: it is in ``incoming``; or there was something else to do or to read already, or none has
    come in time, or ever will. Python's signal handlers run while it waits, not between receiving
    and taking in.

    Args:
        protocol: a SubscriptionProtocol.
        numbers: of the messages.
        deadline: until when to wait, on the clock of ``time.monotonic``.
        silence_s: how long nothing may come.
        following: the state in which a subscription is granted.
    """

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
    def put_back(self, update: _Update) -> None:
        """Take back the one that was taken last; after ``drop`` it does nothing."""

    def drop(self) -> None:
        """Come to the end: what is left is not taken any more."""
