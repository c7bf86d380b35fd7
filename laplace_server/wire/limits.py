"""What a server answers to a message over a limit of its size; behind it, the connection ends."""

from __future__ import annotations

_MARK = "(max_message_"
_MARK_BYTES = _MARK.encode()
_LONGEST = 2048  # bytes of such a reply


def too_large(max_message_bytes: int) -> str:
    """Return the text for a message of too many bytes."""
    return f"Request too large: the server takes {max_message_bytes} bytes {_MARK}bytes)."


def too_many_frames(max_message_frames: int) -> str:
    """Return the text for a message of too many frames."""
    return f"Request of too many frames: the server takes {max_message_frames} {_MARK}frames)."


def may_end_connection(reply: bytes) -> bool:
    """Say whether the server might close the connection behind this reply.

    What is sent over it then is lost.
    """
    # `in` would try first whether the mark is a number, and fail.
    return len(reply) <= _LONGEST and reply.find(_MARK_BYTES) >= 0
