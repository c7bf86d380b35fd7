"""Threads of a server have room to recurse, also where the system's default is small."""

from __future__ import annotations

import sys
import threading

import pytest

from laplace_server import stacks


@pytest.mark.parametrize("chosen", [0, 1 << 20])
def test_a_small_default_is_enlarged_and_what_was_chosen_stays(
    monkeypatch: pytest.MonkeyPatch, chosen: int
) -> None:
    monkeypatch.setattr(stacks, "SMALL", True)
    threading.stack_size(chosen)
    try:
        with stacks.large_stacks():
            meanwhile = threading.stack_size(chosen or stacks.STACK_BYTES)
        assert meanwhile == (chosen or stacks.STACK_BYTES)
        assert threading.stack_size(0) == chosen
    finally:
        threading.stack_size(0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux's C libraries")
def test_the_c_library_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """glibc gives its version; musl knows no such name, or has no answer."""

    def unknown(name: str) -> str:
        raise ValueError(name)

    for confstr, musl in (
        (lambda name: "glibc 2.28", False),
        (lambda name: None, True),
        (unknown, True),
    ):
        monkeypatch.setattr("os.confstr", confstr)
        assert stacks._is_musl() is musl
