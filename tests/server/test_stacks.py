"""Threads have room for Python's recursion, also where the system's default is small."""

from __future__ import annotations

import ctypes
import threading

import pytest
from support.machine import LINUX
from support.peers import Connect
from support.serving import MakeServer

from laplace_server.wire import stacks
from laplace_server.wire.stacks import large_stacks


def stack_bytes() -> int:
    """Of this thread."""
    attributes = ctypes.create_string_buffer(256)  # more than any pthread_attr_t
    base, size = ctypes.c_void_p(), ctypes.c_size_t()
    libc = ctypes.CDLL(None)
    libc.pthread_self.restype = ctypes.c_void_p
    assert libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attributes) == 0
    libc.pthread_attr_getstack(attributes, ctypes.byref(base), ctypes.byref(size))
    libc.pthread_attr_destroy(attributes)
    return size.value


@pytest.mark.skipif(not LINUX, reason="asks the C library how Linux does it")
@pytest.mark.parametrize("chosen", [0, 1 << 20], ids=["default", "chosen"])
def test_threads_get_a_large_stack_where_the_default_is_small(
    make_server: MakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch, chosen: int
) -> None:
    monkeypatch.setattr(stacks, "SMALL", True)
    monkeypatch.setattr(stacks, "STACK_BYTES", 32 << 20)
    sizes: list[int] = []
    threading.stack_size(chosen)
    try:
        server = make_server()
        server.set_on_position_changed(lambda _: sizes.append(stack_bytes()))
        connect(server).ask("SET", {"positions": 1})
    finally:
        assert threading.stack_size(0) == chosen
    assert sizes == [pytest.approx(chosen or 32 << 20, rel=0.1)]


def test_stacks_are_large_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for small, chosen, meanwhile in (
        (False, 0, 0),
        (False, 1 << 20, 1 << 20),
        (True, 0, stacks.STACK_BYTES),
        (True, 1 << 20, 1 << 20),
    ):
        monkeypatch.setattr(stacks, "SMALL", small)
        threading.stack_size(chosen)
        with large_stacks():
            # To ask is to change it.
            assert threading.stack_size(meanwhile) == meanwhile
        assert threading.stack_size(0) == chosen


@pytest.mark.skipif(not LINUX, reason="of Linux's C libraries")
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
