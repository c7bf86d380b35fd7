"""Where libsodium comes from, and that nothing goes on without."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.isolated import run_script

from laplace_server.client import _frames
from laplace_server.server import _core
from laplace_server.wire import libsodium

WINDOWS = sys.platform == "win32"
needs_pyzmqs = pytest.mark.skipif(WINDOWS, reason="pyzmq's Windows wheel hides its libsodium")
NAMES = {
    "sodium_init",
    "sodium_memcmp",
    "sodium_memzero",
    "randombytes_buf",
    "crypto_scalarmult_base",
    "crypto_box_keypair",
    "crypto_box_beforenm",
    "crypto_box_easy_afternm",
    "crypto_box_open_easy_afternm",
    "crypto_core_hsalsa20",
    "crypto_stream_salsa20_xor_ic",
    "crypto_onetimeauth_poly1305_statebytes",
    "crypto_onetimeauth_poly1305_init",
    "crypto_onetimeauth_poly1305_update",
    "crypto_onetimeauth_poly1305_final",
}


class Module:
    """In the place of a compiled one: takes what has all functions."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}

    def load_sodium(self, find: Callable[[str], int]) -> str:
        self.found = {name: find(name) for name in sorted(NAMES)}
        return next((f"lacks {name}" for name, at in self.found.items() if at == 0), "")


@needs_pyzmqs
def test_pyzmqs_is_taken() -> None:
    module = Module()
    assert libsodium.load(module.load_sodium, environment={}) == dict(candidates())["pyzmq"]
    assert len(set(module.found.values())) == len(NAMES)


def candidates() -> Iterator[tuple[str, str]]:
    for kind, path in libsodium.default_candidates():
        yield kind.partition("'")[0], path


@needs_pyzmqs
@pytest.mark.parametrize("module", [_core, _frames])
def test_both_modules_take_it(module: object) -> None:
    load = module.load_sodium  # type: ignore[attr-defined]
    assert libsodium.load(load, environment={})
    assert load(lambda name: 0) == ""  # it stays as it is


@needs_pyzmqs
def test_each_function_is_needed() -> None:
    script = """
    from laplace_server.client import _frames
    from laplace_server.server import _core
    from laplace_server.wire import libsodium

    for load in (_core.load_sodium, _frames.load_sodium):
        asked = []

        def lacking(find):
            def find_but_the_last(name):
                asked.append(name)
                return 0 if name == hidden else find(name)

            return load(find_but_the_last)

        def interrupted(find):
            def find_nothing(name):
                raise KeyboardInterrupt(name)

            return load(find_nothing)

        try:
            libsodium.load(interrupted, environment={})
        except KeyboardInterrupt as problem:
            assert str(problem) == "sodium_init"
        else:
            raise AssertionError("not raised")
        hidden = "crypto_onetimeauth_poly1305_final"
        try:
            libsodium.load(lacking, environment={}, candidates=libsodium.default_candidates)
        except ImportError as problem:
            assert "lacks " + hidden in str(problem), problem
        else:
            raise AssertionError("not raised")
        print(*sorted(set(asked)))
        hidden = ""
        assert libsodium.load(lacking, environment={})
    """
    assert [set(line.split()) for line in run_script(script).splitlines()] == [NAMES, NAMES]


def test_without_one_there_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "libsodium.so"
    broken.write_text("no library")

    def two() -> Iterator[tuple[str, str]]:
        yield "the first", str(broken)
        yield "the second", str(tmp_path / "not there")

    with pytest.raises(ImportError, match="no usable libsodium, and has no security without") as e:
        libsodium.load(Module().load_sodium, environment={}, candidates=two)
    assert f"the first: {broken} (" in str(e.value)
    assert "the second:" in str(e.value)
    assert "LAPLACE_LIBSODIUM" in str(e.value)


def test_one_that_is_named_is_the_only_one_tried(tmp_path: Path) -> None:
    def none() -> Iterator[tuple[str, str]]:
        raise AssertionError("tried")

    named = {"LAPLACE_LIBSODIUM": str(tmp_path / "not there")}
    with pytest.raises(ImportError, match="that LAPLACE_LIBSODIUM names"):
        libsodium.load(Module().load_sodium, environment=named, candidates=none)


@needs_pyzmqs
def test_one_that_is_named_is_taken() -> None:
    path = next(libsodium.default_candidates())[1]
    named = {"LAPLACE_LIBSODIUM": path}
    module = Module()
    assert libsodium.load(module.load_sodium, environment=named) == path
    assert all(module.found.values())


def test_nothing_but_security_looks_for_it() -> None:
    script = """
    import sys
    import laplace_server, laplace_server.cli, laplace_server.client, laplace_server.server_lhc
    assert "laplace_server.wire.libsodium" not in sys.modules
    """
    run_script(script)
