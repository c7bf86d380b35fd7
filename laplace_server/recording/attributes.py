"""Attributes of any text: HDF5's own end at a NUL, and lone surrogates are none of theirs."""

from __future__ import annotations

import json
from typing import Any

_WHOLE = ".json"  # behind the name of an attribute: with what the other cannot say
_LARGEST, _LEAST = (1 << 64) - 1, -(1 << 63)


def tell(attributes: Any, name: str, value: Any) -> None:
    """Write a text or number, whatever it is; what HDF5 cannot say stands beside it as JSON."""
    is_number = isinstance(value, (bool, float)) or (
        isinstance(value, int) and _LEAST <= value <= _LARGEST
    )
    if not is_number:
        text = value if isinstance(value, str) else json.dumps(value)
        told = plain(text)
        if told != text:
            attributes[name + _WHOLE] = json.dumps(text)
        elif name + _WHOLE in attributes:
            del attributes[name + _WHOLE]
        value = told
    attributes[name] = value


def text_of(attributes: Any, name: str) -> str:
    """Return the text that was written."""
    whole = attributes.get(name + _WHOLE)
    return str(attributes[name] if whole is None else json.loads(whole))


def plain(text: str) -> str:
    """Return a text that HDF5 can say: with escapes in the place of what it cannot."""
    return text.encode(errors="backslashreplace").decode().replace("\0", r"\0")
