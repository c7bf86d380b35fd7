"""Things that are one of a kind."""

from __future__ import annotations

from typing import Any, NoReturn


class NotCopied:
    """Refuses ``copy``, ``deepcopy`` and ``pickle``: a copy would share sockets and threads."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            f"A {type(self).__name__} cannot be copied or pickled: it has connections or threads of its own. "
            "Hand on the address and make one where it is needed."
        )
