# Numbers that Python and the C++ have in common. They are the C++'s.

from enum import IntEnum

from base.counters cimport (
    ErrorKind as NativeErrorKind, Refusal as NativeRefusal, error_kind_count, max_commands,
    refusal_count)
from base.roles cimport anonymous_role, max_roles
from documents.documents cimport DocumentId as NativeDocumentId
from requests.dispatch cimport Action as NativeAction
from requests.reply_template cimport Hole as NativeHole
from server.config cimport TransportKind as NativeTransportKind
from streams.subscribers cimport max_subscriptions

MAX_COMMANDS = max_commands
MAX_ROLES = max_roles
ANONYMOUS = anonymous_role
MAX_SUBSCRIPTIONS = max_subscriptions

DocumentId = IntEnum("DocumentId", {
    "DATA": <int>NativeDocumentId.data,
    "INFO": <int>NativeDocumentId.info,
}, module=__name__)

TransportKind = IntEnum("TransportKind", {
    "TCP": <int>NativeTransportKind.tcp,
    "LIBZMQ": <int>NativeTransportKind.libzmq,
}, module=__name__)

Action = IntEnum("Action", {
    "PYTHON": <int>NativeAction.python,
    "PING": <int>NativeAction.ping,
    "INFO": <int>NativeAction.info,
    "GET": <int>NativeAction.get,
    "BUILTIN": <int>NativeAction.builtin,
}, module=__name__)

Hole = IntEnum("Hole", {
    "TO": <int>NativeHole.to,
    "CMD": <int>NativeHole.cmd,
    "BODY": <int>NativeHole.body,
    "VERSION": <int>NativeHole.version,
    "ERROR": <int>NativeHole.error,
    "NONE": <int>NativeHole.none,
}, module=__name__)

# Public as `laplace_server.stats.ErrorKind`.
ErrorKind = IntEnum("ErrorKind", {
    "NONE": <int>NativeErrorKind.none,
    "MALFORMED": <int>NativeErrorKind.malformed,
    "VERSION": <int>NativeErrorKind.version,
    "UNKNOWN_COMMAND": <int>NativeErrorKind.unknown_command,
    "PAYLOAD": <int>NativeErrorKind.payload,
    "HANDLER": <int>NativeErrorKind.handler,
    "NOT_PERMITTED": <int>NativeErrorKind.not_permitted,
    "DATA": <int>NativeErrorKind.data,
    "BUSY": <int>NativeErrorKind.busy,
    "STOPPING": <int>NativeErrorKind.stopping,
    "NO_DELIMITER": <int>NativeErrorKind.no_delimiter,
    "UNROUTABLE": <int>NativeErrorKind.unroutable,
    "REPLY_OVERFLOW": <int>NativeErrorKind.reply_overflow,
    "NO_MEMORY": <int>NativeErrorKind.no_memory,
    "LOG_DROPPED": <int>NativeErrorKind.log_dropped,
    "SUBSCRIPTIONS": <int>NativeErrorKind.subscriptions,
}, module="laplace_server.stats")
ErrorKind.__doc__ = "Why a request got an error, or no answer. The numbers are the core's."

if len(ErrorKind) != <Py_ssize_t>error_kind_count:
    raise ImportError("laplace_server.server._core: not all kinds of errors have a name")

# Public as `laplace_server.stats.Refusal`.
Refusal = IntEnum("Refusal", {
    "NOT_ZMTP": <int>NativeRefusal.not_zmtp,
    "ZMTP_VERSION": <int>NativeRefusal.zmtp_version,
    "MECHANISM": <int>NativeRefusal.mechanism,
    "SOCKET_TYPE": <int>NativeRefusal.socket_type,
    "MALFORMED": <int>NativeRefusal.malformed,
    "HANDSHAKE_TIMEOUT": <int>NativeRefusal.handshake_timeout,
    "MESSAGE_SIZE": <int>NativeRefusal.message_size,
    "MESSAGE_FRAMES": <int>NativeRefusal.message_frames,
    "CONNECTIONS": <int>NativeRefusal.connections,
    "ADDRESS": <int>NativeRefusal.address,
    "DISPLACED": <int>NativeRefusal.displaced,
    "HEARTBEAT": <int>NativeRefusal.heartbeat,
    "NO_MEMORY": <int>NativeRefusal.no_memory,
    "ROUTE_SIZE": <int>NativeRefusal.route_size,
    "ANONYMOUS": <int>NativeRefusal.anonymous,
    "WITHDRAWN": <int>NativeRefusal.withdrawn,
    "UNKNOWN_KEY": <int>NativeRefusal.unknown_key,
    "WRONG_SERVER_KEY": <int>NativeRefusal.wrong_server_key,
    "NOT_AUTHENTIC": <int>NativeRefusal.not_authentic,
}, module="laplace_server.stats")
Refusal.__doc__ = "Why a connection was refused or closed. The numbers are the core's."

if len(Refusal) != <Py_ssize_t>refusal_count:
    raise ImportError("laplace_server.server._core: not all refusals have a name")
