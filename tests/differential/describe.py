"""Text forms by which values are compared across processes."""

from __future__ import annotations

import hashlib

LONGEST = 10_000


def describe(value: object) -> str:
    """Return ``repr(value)``, or its digest when long.

    repr tells 1, 1.0 and True apart, shows -0.0, NaN and the order of keys, and is equal for two
    NaN, which ``==`` is not.
    """
    text = repr(value)
    if len(text) <= LONGEST:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:200]}... ({len(text)} characters, sha256 {digest})"
