"""Times and sizes as people write them."""

from __future__ import annotations

import re

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def read_duration(option: str, text: str) -> float:
    """Read ``90s``, ``15m``, ``12h`` or ``7d``; return seconds.

    Raises:
        ValueError: it is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if found is None:
        raise ValueError(f"{option} is a time such as 90s, 15m, 12h or 7d, not {text!r}.")
    return float(found[1]) * _SECONDS[found[2]]


def read_size(option: str, text: str) -> int:
    """Read ``500MB``, ``20 GB`` or ``2TB``, whose units are powers of 1000; return bytes.

    Raises:
        ValueError: it is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B|)", text.strip().upper())
    if found is None:
        raise ValueError(f"{option} is a size such as 500MB, 20GB or 2TB, not {text!r}.")
    return int(float(found[1]) * _BYTES[found[2]])
