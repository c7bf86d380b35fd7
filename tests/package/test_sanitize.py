"""What tests/package/sanitize.py takes for a fault of ours, of what sanitizers write."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

RULE = "=" * 65
OURS = "    #1 0x7f in laplace::Documents::get() csrc/documents/documents.cpp:7\n"
CALLER = "    #2 0x7f in __pyx_pw_7get build/cython/csrc/python/_core.cpp:7\n"
PYTHON = "    #1 0x7f in PyUnicode_New Objects/unicodeobject.c:1425\n"
MALLOC = "    #0 0x7f in __interceptor_malloc ../libsanitizer/asan/asan_malloc_linux.cpp:69\n"
NEW = "    #0 0x7f in operator new(unsigned long) ../libsanitizer/asan/asan_new_delete.cpp:95\n"
STRING = "    #1 0x7f in std::string::_M_create(unsigned long&) (/lib/libstdc++.so.6+0x1)\n"
LEAKS = f"\n{RULE}\n==7==ERROR: LeakSanitizer: detected memory leaks\n\n"
LEAK = "Direct leak of 7 byte(s) in 1 object(s) allocated from:\n"
RACE = (
    f"{RULE[:18]}\nWARNING: ThreadSanitizer: data race (pid=7)\n  Write of size 8 by thread T1:\n"
)
MADE = "  Location is heap block of size 7 allocated by thread T1:\n"


@pytest.fixture(scope="module")
def sanitize() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "laplace_sanitize", Path(__file__).with_name("sanitize.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # for its dataclasses
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "own", "foreign"),
    [
        ("Timeout (0:01:40)!\nlog: ValueError: as asked\n", 0, 0),
        (f"{RULE}\n==7==ERROR: AddressSanitizer: heap-use-after-free\n{PYTHON}", 1, 0),
        ("csrc/tcp/wait.cpp:7:7: runtime error: shift exponent 40 is too large\n", 1, 0),
        (LEAKS + LEAK + NEW + OURS, 1, 0),
        (LEAKS + LEAK + NEW + STRING + OURS, 1, 0),
        (LEAKS + LEAK + MALLOC + PYTHON + CALLER, 0, 1),
        (
            LEAKS + LEAK + MALLOC + PYTHON + "\n" + LEAK.replace("Direct", "Indirect") + NEW + OURS,
            1,
            1,
        ),
        (RACE + OURS + MADE + PYTHON, 1, 0),
        (RACE + PYTHON + MADE + OURS, 0, 1),
        (RACE + OURS + MADE + (RACE + PYTHON + MADE), 1, 1),
    ],
    ids=[
        "no report",
        "address",
        "undefined",
        "leak",
        "leaked string",
        "Python's leak",
        "both leak",
        "race",
        "race elsewhere",
        "both race",
    ],
)
def test_what_counts(sanitize: ModuleType, text: str, own: int, foreign: int) -> None:
    reports = sanitize.Reports()
    reports.add(text)
    assert (len(reports.own), reports.foreign) == (own, foreign)


def test_every_suite_is_there(sanitize: ModuleType) -> None:
    missing = [each for each in sanitize.TESTS if not (sanitize.ROOT / "tests" / each).exists()]
    assert not missing
