# A connection: a socket and a conversation.

import os

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.list cimport PyList_GET_SIZE
from libc.errno cimport (
    ECONNABORTED, ECONNREFUSED, ECONNRESET, EINPROGRESS, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM,
    EPIPE)
from libc.stdint cimport uint16_t, uint64_t

from base.clock cimport now_ns
from client.client_socket cimport Address, ClientSocket, numeric_address
from client.transfer cimport (
    IoResult, IoState, ReplySpin, Transfer, send_bytes, shut_down_receiving)
from client.unsent cimport UnsentKind

# A message that is no larger is sent from the stack.
cdef enum:
    SCRATCH = 2048

# What takes longer to send or to receive lets others have the GIL.
cdef size_t QUICK = 64 * 1024

# How often something is received in a call whose time is over, where it comes faster.
cdef int MOST_STEPS = 64

# How often this process was forked on its way here.
cdef unsigned forks = 0


def _count_fork():
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


@cython.final
@cython.auto_pickle(False)
cdef class Connection:
    """See `_frames.pyi` for the methods.

    While it waits without the GIL it is in use, and all else may be done with the GIL alone: so
    nobody closes the socket that another thread is waiting for.
    """

    cdef ClientSocket socket
    cdef Address address
    cdef Conversation talk
    cdef Outbox outbox
    cdef list early  # messages, with keys, before there is anything to seal them with
    cdef size_t early_bytes
    cdef ReplySpin spin
    cdef str why
    cdef unsigned forks
    cdef int send_error
    cdef bint is_connected, is_refused, is_over, is_interrupted, is_in_use, has_more

    def __cinit__(self, int socket_type, str host not None, int port, ClientKeys keys=None):
        cdef int error, result = 0
        self.outbox = Outbox.__new__(Outbox)
        self.why = ""
        self.forks = forks
        self.talk = Conversation(socket_type, keys)
        if not 0 < port < 65536:
            raise ValueError(f"there is no port {port}")
        error = numeric_address(host.encode(), <uint16_t>port, self.address)
        if error == ENOMEM:
            raise MemoryError
        if error != 0:
            raise ValueError(f"{host!r} is no numeric address")
        self.outbox.put(self.talk.opening(), UnsentKind.opening)
        error = self.socket.open(self.address, result)
        if error == 0 and result in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
            error = result
        if error != 0:
            raise OSError(error, os.strerror(error))
        if result != EINPROGRESS:
            self.decide(result)
        if self.is_connected:
            self.flush()

    def fileno(self):
        if not self.socket.is_open():
            return -1
        return self.socket.descriptor()

    @property
    def connected(self):
        return self.is_connected

    @property
    def ready(self):
        return self.talk.is_ready

    @property
    def broken(self):
        return self.is_broken()

    @property
    def refused(self):
        return self.is_refused

    @property
    def trouble(self):
        if not self.is_broken():
            return ""
        return self.why or "it belongs to the process that this one was forked from"

    @property
    def unsent(self):
        return self.unsent_bytes()

    def send(self, frames):
        cdef tuple message = frames_of(frames)
        cdef char[SCRATCH] scratch
        cdef size_t size = encoded_size(message)
        self.check_free()
        if self.is_at_end() or self.send_error != 0:
            return False
        if self.talk.has_keys():
            return self.seal_and_send(message, size)
        if size <= SCRATCH and self.talk.is_ready and self.outbox.unsent.empty():
            encode(message, 0, len(message), scratch)
            return self.send_small(scratch, size)
        self.outbox.put_all(pieces_of(message), UnsentKind.message)
        if self.is_connected and self.outbox.unsent.may_leave(self.talk.is_ready):
            self.flush()
        return self.send_error == 0

    def receive(self, double seconds):
        self.check_free()
        if self.talk.is_empty():
            self.go_on(seconds, True)
        return self.talk.next_message()

    # A request and its reply, in two calls: from Python, their parts would be a dozen.

    def ask(self, frames):
        self.check_free()
        if self.talk.is_empty():
            self.go_on(0.0, True)
        return self.talk.is_empty() and self.send(frames)

    def answer(self, bytes number not None, double seconds):
        cdef list message
        self.check_free()
        if self.talk.is_empty():
            self.go_on(seconds, True)
        message = self.talk.next_message()
        if (
            message is None or PyList_GET_SIZE(message) < 3
            or <bytes>message[0] != number or <bytes>message[1] != b""
        ):
            return None
        return message[2:]

    def wait(self, double seconds):
        self.check_free()
        self.go_on(seconds, False)

    def interrupt(self):
        self.is_interrupted = True
        if self.is_in_use and self.forks == forks:
            shut_down_receiving(self.socket.descriptor())

    def close(self, double linger_s=0.0):
        if not self.socket.is_open():
            return
        if self.forks == forks:
            self.check_free()
            try:
                if linger_s > 0:
                    self.linger(linger_s)
            finally:
                self.end()
        else:
            self.end()

    # ---- waiting

    cdef bint is_at_end(self) noexcept:
        """Whether nothing can come any more; what came may still be there."""
        return self.is_over or self.forks != forks

    cdef bint is_broken(self) noexcept:
        return self.is_at_end() and self.talk.is_empty()

    cdef int check_free(self) except -1:
        if self.is_in_use and self.forks == forks:
            raise RuntimeError("another thread is using this connection")
        return 0

    cdef int go_on(self, double seconds, bint for_message) except -1:
        """Move bytes until a message is there, or else something has changed; or for so long."""
        cdef uint64_t left = nanoseconds(seconds), until = now_ns() + left if left > 0 else 0
        cdef bint was_connected = self.is_connected, was_ready = self.talk.is_ready
        cdef bint had_unsent = self.unsent_bytes() != 0
        cdef int milliseconds, steps = 0
        cdef bint moved
        while self.talk.is_empty() and not (self.is_interrupted or self.is_at_end()):
            if not for_message and (
                was_connected != self.is_connected or was_ready != self.talk.is_ready
                or (had_unsent and self.unsent_bytes() == 0)
            ):
                return 0
            milliseconds = milliseconds_of(left)
            if milliseconds == 0:
                steps += 1
                if steps > MOST_STEPS:
                    return 0
            moved = self.step(milliseconds)
            if self.talk.is_empty():
                PyErr_CheckSignals()
                if milliseconds == 0 and not moved:
                    return 0
                left = left_until(until)
        return 0

    cdef int linger(self, double seconds) except -1:
        """Send what is left to send, for so long."""
        cdef uint64_t until = now_ns() + nanoseconds(seconds), left
        while self.unsent_bytes() != 0 and not self.is_over:
            left = left_until(until)
            if left == 0 or (self.is_interrupted and not self.talk.is_ready):
                break
            self.talk.drop_messages()
            self.step(milliseconds_of(left))
            PyErr_CheckSignals()
        if self.is_connected and not self.is_over:
            self.socket.take_leave()
        return 0

    cdef bint step(self, int milliseconds) except -1:
        """Move what can be moved, or wait for that; False: there was nothing."""
        cdef Transfer transfer
        self.check_free()
        transfer.socket = self.socket.descriptor()
        transfer.connecting = not self.is_connected
        if self.send_error == 0:
            transfer.milliseconds = milliseconds
            transfer.piece_count = self.outbox.unsent.next(transfer.pieces, self.talk.is_ready)
        if self.is_connected and not self.is_interrupted:
            transfer.wants_all = self.talk.is_direct()
            transfer.room = self.talk.room(&transfer.room_size)
            transfer.has_more = self.has_more
        if self.talk.own == SocketType.req:
            transfer.spin = &self.spin
        self.carry_out(&transfer)
        return self.settle(&transfer)

    cdef int flush(self) except -1:
        """Send what can be sent now."""
        cdef Transfer transfer
        transfer.socket = self.socket.descriptor()
        transfer.piece_count = self.outbox.unsent.next(transfer.pieces, self.talk.is_ready)
        self.carry_out(&transfer)
        self.note_sent(&transfer)
        return 0

    cdef int carry_out(self, Transfer* transfer) except -1:
        # Giving the GIL away may cost a switch interval, so only where it takes a while.
        if (
            transfer.milliseconds == 0 and not transfer.wants_all
            and self.outbox.unsent.message_bytes() <= QUICK
        ):
            transfer.carry_out()
            return 0
        self.is_in_use = True
        with nogil:
            transfer.carry_out()
        self.is_in_use = False
        return 0

    # ---- what has come of it

    cdef bint settle(self, Transfer* transfer) except -1:
        """Note it; False: nothing has been moved."""
        if transfer.decided:
            self.decide(transfer.connect_error)
        self.note_sent(transfer)
        self.has_more = (
            not transfer.wants_all and transfer.received > 0
            and transfer.received == transfer.room_size
        )
        if transfer.received > 0:
            self.hear(transfer.received)
        if self.is_over or self.is_interrupted:
            pass
        elif transfer.ended:
            self.finish(self.end_text(transfer.receive_error))
        elif transfer.wait_error != 0 and transfer.wait_error != EINTR:
            self.finish(os.strerror(transfer.wait_error))
        elif self.send_error != 0 and transfer.send_error == 0 and transfer.received == 0:
            # What came before it could not be sent to any more has all been received.
            self.finish(self.end_text(self.send_error))
        return (
            transfer.decided or transfer.sent > 0 or transfer.send_error != 0
            or transfer.received > 0 or transfer.ended
        )

    cdef void note_sent(self, Transfer* transfer) noexcept:
        if transfer.sent > 0:
            self.outbox.unsent.left(transfer.sent)
        if transfer.send_error != 0:
            self.lose_sending(transfer.send_error)

    cdef int decide(self, int error) except -1:
        """Somebody took the connection, or nobody did."""
        if error == 0 and self.socket.is_its_own_peer(self.address):
            error = ECONNREFUSED
        if error == 0:
            self.is_connected = True
        elif error == ECONNRESET or error == EPIPE:
            self.is_connected = True  # by somebody who has ended it since
            self.finish(self.end_text(error))
        else:
            self.is_refused = True
            self.finish("connection refused" if error == ECONNREFUSED else os.strerror(error))
        return 0

    cdef int hear(self, size_t size) except -1:
        """So many bytes have come."""
        cdef bint was_ready = self.talk.is_ready
        self.take_in(size)
        answers = self.talk.take_answers()
        if self.talk.is_over:
            if answers and not was_ready and self.outbox.unsent.empty():
                # Once, for a peer that tells its user why; the connection is over all the same.
                send_bytes(
                    self.socket.descriptor(), PyBytes_AS_STRING(answers),
                    <size_t>PyBytes_GET_SIZE(answers),
                )
            self.finish(self.talk.fault_text())
            return 0
        if answers and self.send_error == 0:
            if not self.talk.is_ready:
                self.outbox.put(answers, UnsentKind.opening)
            elif <Py_ssize_t>self.outbox.unsent.answer_bytes() < MOST_ANSWERS:
                self.outbox.put(answers, UnsentKind.answer)
        if self.early is not None and self.talk.is_ready:
            self.seal_early()
        if (answers or not was_ready) and self.outbox.unsent.may_leave(self.talk.is_ready):
            self.flush()
        return 0

    cdef int take_in(self, size_t size) except -1:
        if not self.talk.is_direct() or not self.talk.has_keys():
            return self.talk.received(size)
        self.is_in_use = True  # without the GIL, where it is large
        try:
            return self.talk.received(size)
        finally:
            self.is_in_use = False

    cdef void lose_sending(self, int error) noexcept:
        """Nothing can be sent any more. What came before that is still to be received."""
        self.send_error = error
        self.drop_unsent()

    cdef void finish(self, str why) noexcept:
        """It has broken."""
        self.is_over = True
        self.why = why
        self.drop_unsent()

    cdef str end_text(self, int error):
        """Why a connection has ended that somebody had taken."""
        cdef bint is_ready = self.talk.is_ready
        if not is_ready and error in (0, ECONNABORTED, ECONNRESET, EPIPE):
            return self.talk.text_of_early_end()
        why = "closed by the other side" if error == 0 else os.strerror(error)
        return why if is_ready else f"{why} in the handshake"

    # ---- what is to be sent

    cdef size_t unsent_bytes(self) noexcept:
        """Of messages."""
        return self.outbox.unsent.message_bytes() + self.early_bytes

    cdef void drop_unsent(self) noexcept:
        self.outbox.unsent.clear()
        self.early = None
        self.early_bytes = 0

    cdef bint seal_and_send(self, tuple message, size_t size) except -1:
        cdef char[SCRATCH] scratch
        if not self.talk.is_ready:
            if self.early is None:
                self.early = []
            self.early.append(message)
            self.early_bytes += size
            return True
        size = size_when_sealed(message)
        if size > SCRATCH or not self.outbox.unsent.empty():
            self.seal(message)
            if self.outbox.unsent.may_leave(True):
                self.flush()
            return self.send_error == 0 and not self.is_over
        if seal_message(self.talk.link.get(), message, scratch):
            return self.send_small(scratch, size)
        self.finish(self.why_unsealed())
        return False

    cdef int seal_early(self) except -1:
        early, self.early = self.early, None
        self.early_bytes = 0
        try:
            for message in early:
                self.seal(<tuple>message)
        except MemoryError:
            self.finish("there was no memory for what was to be sent")
            raise
        return 0

    cdef int seal(self, tuple message) except -1:
        self.is_in_use = True  # without the GIL, where it is large
        try:
            piece = sealed_message(self.talk.link.get(), message)
        finally:
            self.is_in_use = False
        if piece is None:
            self.finish(self.why_unsealed())
        elif not self.is_over:
            self.outbox.put(piece, UnsentKind.message)
        return 0

    cdef str why_unsealed(self):
        return self.talk.fault_text() or FAULTS[<int>PeerFault.unable]

    cdef bint send_small(self, const char* message, size_t size) except -1:
        cdef IoResult result = send_bytes(self.socket.descriptor(), message, size)
        if result.state == IoState.moved and result.bytes == size:
            return True
        if result.state == IoState.failed:
            self.lose_sending(result.error)
            return False
        try:
            self.outbox.put(
                PyBytes_FromStringAndSize(
                    message + result.bytes, <Py_ssize_t>(size - result.bytes)
                ),
                UnsentKind.message,
            )
        except MemoryError:
            if result.bytes > 0:
                self.finish("there was no memory for the rest of a message")
            raise
        return True

    # ---- its end

    cdef int end(self) except -1:
        self.socket.close()
        if not self.is_over:
            self.finish("it was closed")
        self.talk.drop_messages()
        return 0
