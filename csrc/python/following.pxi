# The usual way of a stream's message: updates of the same server that follow those before. All
# else has the way that `SubscriptionReader` says; what is taken here means the same there. It is
# received and taken in one step for signal handlers.

from time import monotonic

from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact
from cpython.list cimport PyList_CheckExact, PyList_GET_SIZE
from libc.stdint cimport uint32_t

import orjson

from laplace_server.errors import LaplaceError
from laplace_server.wire.arrays import put_at_paths

from streams.stream_wire cimport StreamHeader, StreamKind

cdef object decode_json = orjson.loads


def take_updates(protocol, number, message, double due_at, following):
    """Take a message in, as `SubscriptionReader` does; False: it is to be read there."""
    return took(protocol, protocol._session, number, message, due_at, following)


def follow(
    protocol, Connection connection not None, numbers, double deadline, double silence_s, following
):
    """Say what is due, wait for the next message and take it in; False: there is more to do."""
    session = protocol._session
    if (
        session.state is not following or session.broken or protocol.incoming
        or len(<Updates?>protocol._ledger[7]) > 0
    ):
        return False
    connection.check_free()
    # What has come is taken first: a server that has ended would answer anything that is said by
    # a reset, and what it said last might be lost on its way.
    if connection.talk.is_empty() and allows_more(protocol, session):
        connection.go_on(0.0, True)
        if connection.talk.is_empty() and not give_credit(protocol, session, connection):
            return False
    if connection.talk.is_empty():
        connection.go_on(min(deadline, <double>session.due_at) - <double>monotonic(), True)
    message = connection.talk.next_message()
    if message is None:
        return False
    number = next(numbers)
    try:
        if took(protocol, session, number, message, <double>monotonic() + silence_s, following):
            protocol.batch = protocol._ledger[7]
            return True
    except BaseException:  # such as for want of memory
        protocol.incoming.append((number, message))
        raise
    protocol.incoming.append((number, message))
    return False


cdef bint allows_more(protocol, session) except -1:
    """As `SubscriptionProtocol` has it."""
    ledger, granted, window = protocol._ledger, session.granted, session.window
    return (
        2 * (granted[0] - ledger[4]) <= window[0]
        or 4 * (granted[1] - ledger[5]) <= 3 * window[1]
        or session.must_answer
    )


cdef bint give_credit(protocol, session, Connection connection) except -1:
    credit = protocol._credit(session, <double>monotonic())
    if not connection.send((b"", credit.body)):
        return False
    protocol.sent(credit)
    return True


cdef bint took(protocol, session, number, message, double due_at, following) except -1:
    cdef StreamHeader header
    cdef list datas
    if session.state is not following:
        return False
    if not PyList_CheckExact(message) or PyList_GET_SIZE(message) < 2:
        return False
    body = (<list>message)[1]
    if not PyBytes_CheckExact(body) or not read_header(<bytes>body, &header):
        return False
    if header.kind != StreamKind.updates or header.count == 0:
        return False
    if PyList_GET_SIZE(message) != 2 + header.arrays or (header.arrays != 0 and header.count != 1):
        return False
    old = protocol._ledger
    life, position = old[0], old[1]
    if (
        session.number != header.subscription or life[0] != header.epoch or life[2]
        or header.first < position
    ):
        return False
    text = stream_text(<bytes>body, header.count)
    if header.arrays == 0:
        datas = objects_of(text, header.count)
    else:
        datas = object_with_arrays(text, (<list>message)[2:])
    if datas is None:
        return False
    new = with_updates(old, number, &header, <list>message, datas)
    # What was collected meanwhile may have run a program's code, and that have closed it.
    if protocol._ledger is not old:
        return False
    session.due_at = due_at
    session.doubted = False
    protocol._ledger = new
    return True


cdef list objects_of(bytes text, uint32_t count):
    """The data of that many updates; None where it is not what it should be."""
    try:
        found = decode_json(text)
    except (ValueError, RecursionError):
        return None
    if not PyList_CheckExact(found) or PyList_GET_SIZE(found) != <Py_ssize_t>count:
        return None
    for data in <list>found:
        if not PyDict_CheckExact(data):
            return None
    return <list>found


cdef list object_with_arrays(bytes text, list buffers):
    """The data of an update with arrays; None where it is not what it should be."""
    try:
        data, described = decode_json(text)
        if PyDict_CheckExact(data):
            return [put_at_paths(data, described, buffers)]
    except (LookupError, TypeError, ValueError, RecursionError, LaplaceError):
        pass
    return None


cdef object with_updates(ledger, number, StreamHeader* header, list message, list datas):
    """The ledger that counts it in: life, position, lost, last, messages, size, read, batch."""
    cdef Updates batch = Updates.__new__(Updates)
    cdef Py_ssize_t size = -len(message[0])  # the server does not count what stands before the body
    body = <bytes>message[1]
    for frame in message:
        size += len(frame)
    lost = header.first - ledger[1]
    batch.kind = (<Updates?>ledger[7]).kind
    batch.times = body[sizeof(StreamHeader):sizeof(StreamHeader) + header.count * sizeof(double)]
    batch.datas = datas
    batch.first = header.first
    batch.epoch = header.epoch
    batch.lost = lost
    batch.at = 0
    batch.end = PyList_GET_SIZE(datas)
    end = header.first + header.count
    items = (
        ledger[0], end, ledger[2] + lost, max(ledger[3], header.last, end - 1), ledger[4] + 1,
        ledger[5] + size, number, batch,
    )
    return tuple.__new__(type(ledger), items)
