# distutils: language = c++
"""The compiled part of a client: its connections, and a stream's messages.

In C since a client does this at every message, most often after a sleep, when Python's own code is
cold. It stands alone: no libzmq, nothing of the server.
"""

include "sodium.pxi"
include "messages.pxi"
include "client_keys.pxi"
include "sealing.pxi"
include "faults.pxi"
include "conversation.pxi"
include "waiting.pxi"
include "connection.pxi"
include "stream_messages.pxi"
include "following.pxi"
