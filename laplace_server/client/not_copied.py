"""Things that are one of a kind."""

from __future__ import annotations

from typing import Any, NoReturn


class NotCopied:
    """Refuses ``copy``, ``deepcopy`` and ``pickle``: a copy would share sockets and threads."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} objects cannot be copied or pickled: they have connections of "
            "their own. Hand on the address and make one where it is needed."
        )
