"""The envelope scanner against json.loads and orjson.

``expected_verdict`` works the verdict out from what json.loads and a regular expression say,
so every check is exact: the scanner may be neither bolder nor shyer than documented.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.json_cases import CASES, Case

from laplace_server.server._core import scan_envelope

OPAQUE, STRICT, CERTAIN = range(3)
ABSENT, NULL, FALSE, TRUE, NUMBER, STRING, ARRAY, OBJECT = range(8)
FALSY, TRUTHY, UNKNOWN = range(3)
MEMBERS = ("version", "cmd", "from", "payload")
MAX_DEPTH = 256
MAX_INTEGER_DIGITS = 18
SPACE = b" \t\r\n"

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]')


class _Refused(Exception):
    """json.loads takes this text, a scanner of RFC 8259 with limits does not."""


def _refuse(constant: str) -> Any:
    raise _Refused(constant)


def _limited_int(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise _Refused("integer")
    return int(digits)


def outline(text: str) -> tuple[int, bool]:
    """Depth of a valid JSON text, and whether one of its top-level keys holds an escape."""
    depth = deepest = 0
    escaped_key = False
    previous = ""
    for token in TOKEN.findall(text):
        if token in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in "]}":
            depth -= 1
        elif token == ":" and depth == 1:
            escaped_key = escaped_key or "\\" in previous
        previous = token
    return deepest, escaped_key


def expected_verdict(data: bytes) -> int:
    try:
        text = data.decode("utf8")
        loaded = json.loads(text, parse_constant=_refuse, parse_int=_limited_int)
    except (ValueError, RecursionError, _Refused):
        return OPAQUE
    depth, escaped_key = outline(text)
    if not isinstance(loaded, dict) or depth > MAX_DEPTH:
        return OPAQUE
    return STRICT if escaped_key else CERTAIN


def same(one: Any, other: Any) -> bool:
    """Equal in value and type all the way down; unlike ==, 1 is neither 1.0 nor True."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


def kind_of(value: object) -> int:
    if isinstance(value, bool):
        return TRUE if value else FALSE
    kinds = {type(None): NULL, int: NUMBER, float: NUMBER, str: STRING, list: ARRAY, dict: OBJECT}
    return kinds[type(value)]


def check_member(found: tuple[bytes, int, int, bool], value: object) -> None:
    text, kind, truth, escaped = found
    assert text == text.strip(SPACE)
    assert same(json.loads(text), value)
    assert kind == kind_of(value)
    assert escaped is (kind == STRING and b"\\" in text)
    if kind == NUMBER and (len(text) > 20 or b"e" in text.lower()):
        assert truth == UNKNOWN
    else:
        assert truth == (TRUTHY if value else FALSY)


def check(data: bytes) -> int:
    """Every promise of the scanner about this text; returns its verdict."""
    verdict, members = scan_envelope(data)
    assert verdict == expected_verdict(data)
    assert set(members) == set(MEMBERS)
    if verdict != CERTAIN:
        assert all(found is None for found in members.values())
    if verdict == OPAQUE:
        return OPAQUE

    loaded = json.loads(data.decode("utf8"))
    # orjson may refuse what json.loads takes, but not read it otherwise.
    with suppress(orjson.JSONDecodeError):
        assert same(orjson.loads(data), loaded)
    if verdict == CERTAIN:
        for name in MEMBERS:
            found = members[name]
            assert (found is not None) == (name in loaded)
            if found is not None:
                check_member(found, loaded[name])
    return int(verdict)


# --- Written cases -----------------------------------------------------------------------------


def test_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 150


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    assert check(case.text) == case.verdict


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_rule_holds_for_the_standard_library(case: Case) -> None:
    """The cases themselves are right: json.loads, told to refuse NaN, agrees with the rule."""
    try:
        json.loads(case.text.decode("utf8"), parse_constant=_refuse)
        accepted = True
    except (ValueError, RecursionError, _Refused):
        accepted = False
    assert case.rule == "either" or accepted == (case.rule == "accept")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_as_a_member(case: Case) -> None:
    verdict = check(b'{"cmd": "SET", "payload": ' + case.text + b', "version": "0.2.2"}')
    if case.rule == "accept" and not case.name.startswith("nesting_"):
        assert verdict == CERTAIN


@pytest.mark.parametrize(
    "case", [case for case in CASES if len(case.text) < 200], ids=lambda case: case.name
)
def test_case_cut_short_or_continued(case: Case) -> None:
    for end in range(len(case.text)):
        check(case.text[:end])
    assert check(b"\r\n\t " + case.text + b"\r\n\t ") == (
        OPAQUE if case.name in ("bom", "bom_only") else case.verdict
    )
    assert check(case.text + b"x") == OPAQUE


# --- Exact answers on an envelope --------------------------------------------------------------


def test_members_of_a_request() -> None:
    request = next(case for case in CASES if case.name == "request").text
    assert scan_envelope(request) == (
        CERTAIN,
        {
            "version": (b'"0.2.2"', STRING, TRUTHY, False),
            "cmd": (b'"GET"', STRING, TRUTHY, False),
            "from": (b'"me"', STRING, TRUTHY, False),
            "payload": (b"{}", OBJECT, FALSY, False),
        },
    )


def test_last_duplicate_counts_with_its_kind() -> None:
    verdict, members = scan_envelope(b'{"from": {"a": 1}, "from": "a\\n", "from": [ ] , "cmd": 0}')
    assert verdict == CERTAIN
    assert members["from"] == (b"[ ]", ARRAY, FALSY, False)
    assert members["cmd"] == (b"0", NUMBER, FALSY, False)
    assert members["version"] is None
    assert members["payload"] is None


@pytest.mark.parametrize(
    ("number", "truth"),
    [
        (b"-0", FALSY),
        (b"0.0", FALSY),
        (b"-0.00", FALSY),
        (b"-123456789012345678", TRUTHY),
        (b"0.000000000000000001", TRUTHY),
        (b"0.0000000000000000001", UNKNOWN),
        (b"1e-400", UNKNOWN),
        (b"1e0", UNKNOWN),
    ],
)
def test_truth_of_numbers(number: bytes, truth: int) -> None:
    _, members = scan_envelope(b'{"version":' + number + b"}")
    assert members["version"] == (number, NUMBER, truth, False)


def test_every_byte_at_every_offset_of_a_string() -> None:
    """All alignments of the eight-byte steps, with each of the 256 bytes in the way."""
    for offset in range(18):
        for byte in range(256):
            check(b'{"from":"' + b"a" * offset + bytes([byte]) + b'bcdefghijkl"}')


def test_every_byte_at_every_offset_of_a_number() -> None:
    for offset in range(1, 12):
        for byte in range(256):
            check(b'{"from":' + b"1" * offset + bytes([byte]) + b"23456}")


def test_every_pair_of_utf8_bytes() -> None:
    tails = (b"", b"\x80", b"\x80\x80", b"\xbf\xbf")
    for first in range(0xC0, 0x100):
        for second in range(0x70, 0xD0):
            for tail in tails:
                data = b'{"cmd":"' + bytes([first, second]) + tail + b'"}'
                try:
                    data.decode("utf8")
                    valid = True
                except UnicodeDecodeError:
                    valid = False
                assert scan_envelope(data)[0] == (CERTAIN if valid else OPAQUE)


# --- Random documents --------------------------------------------------------------------------

# Hypothesis prints the failing text and how to reproduce it.
checked = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])

spaces = st.sampled_from(["", "", "", " ", "\n", "\r\n\t", "          "])
characters = st.one_of(
    st.sampled_from([*'aZ 0/{[,:]}"\\\b\f\n\r\t\x00\x1f\x7f', *"é日\u2028\ufeff\uffff😀"]),
    st.characters(exclude_categories=["Cs"]),
)
lone_surrogates = st.sampled_from(["\\ud800", "\\uDBFF", "\\udc00", "\\uDfFf"])
short_escapes = {
    '"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r",
    "\t": "\\t",
}  # fmt: skip


@st.composite
def rendered_characters(draw: st.DrawFn) -> str:
    """One character of a string: as it is, as a short escape or as \\u, with pairs if needed."""
    character = draw(characters)
    how = draw(st.sampled_from(["plain", "plain", "plain", "short", "lower", "upper"]))
    if how == "short" and character in short_escapes:
        return short_escapes[character]
    if how in ("lower", "upper") or character in '"\\' or character < " ":
        units = character.encode("utf-16-be").hex()
        units = units.upper() if how == "upper" else units
        return "".join("\\u" + units[i : i + 4] for i in range(0, len(units), 4))
    return character


plain_runs = st.integers(0, 40).map(lambda size: "plain ASCII text beside other things "[:size])
strings = st.lists(st.one_of(rendered_characters(), plain_runs, lone_surrogates), max_size=5).map(
    lambda parts: '"' + "".join(parts) + '"'
)
numbers = st.one_of(
    st.integers(-20, 20).map(str),
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][-+]?[0-9]{1,4})?", fullmatch=True),
)
words = st.sampled_from(["null", "true", "false", '""', "0", "-0", "0.0", "NaN", "-Infinity"])
names = st.one_of(
    st.sampled_from([f'"{name}"' for name in MEMBERS]),
    st.sampled_from(['"to"', '"msg"', '"cm"', '"cmd "', '"c\\u006dd"', '"fr\\u006fm"', '""']),
    strings,
)


@st.composite
def arrays(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    space = draw(spaces)
    items = draw(st.lists(values, max_size=4))
    return "[" + space + f"{space},{space}".join(items) + space + "]"


@st.composite
def objects(
    draw: st.DrawFn, values: st.SearchStrategy[str], keys: st.SearchStrategy[str] = names
) -> str:
    space = draw(spaces)
    items = draw(st.lists(st.tuples(keys, values), max_size=6))
    inner = f"{space},{space}".join(f"{key}{space}:{space}{value}" for key, value in items)
    return "{" + space + inner + space + "}"


values = st.recursive(
    st.one_of(numbers, strings, words),
    lambda inner: st.one_of(arrays(inner), objects(inner)),
    max_leaves=8,
)
plain_names = st.sampled_from([f'"{name}"' for name in (*MEMBERS, "to", "msg", "")])
envelopes = st.one_of(objects(values, plain_names), objects(values))
documents = st.tuples(spaces, envelopes, spaces).map(lambda parts: "".join(parts).encode("utf8"))

edits = st.tuples(
    st.integers(0, 10_000),
    st.integers(0, 3),
    st.one_of(
        st.sampled_from(
            [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\x00", b"0", b"-", b"."]
        ),
        st.sampled_from([b"e", b"\\u12", b"null", b"NaN", b'"cmd":', b"\xc3", b"\xed\xa0\x80"]),
        st.binary(max_size=3),
    ),
)


def edited(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Puts each text in place of up to three bytes somewhere."""
    for where, removed, text in changes:
        at = where % (len(data) + 1)
        data = data[:at] + text + data[at + removed :]
    return data


@checked
@given(documents)
def test_random_documents(data: bytes) -> None:
    check(data)


@checked
@given(values)
def test_random_values_at_the_top_and_as_a_member(value: str) -> None:
    check(value.encode("utf8"))
    check(b'{"payload":' + value.encode("utf8") + b"}")


@checked
@given(documents, st.lists(edits, min_size=1, max_size=3))
def test_damaged_documents(data: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    check(edited(data, changes))


@checked
@given(st.sampled_from(CASES), st.lists(edits, min_size=1, max_size=3))
def test_damaged_cases(case: Case, changes: list[tuple[int, int, bytes]]) -> None:
    check(edited(case.text[:400], changes))


@checked
@given(st.binary(max_size=60))
def test_random_bytes(data: bytes) -> None:
    check(data)
    check(b'{"from":"' + data + b'"}')
    check(b'{"payload":' + data + b"}")
    check(b"{" + data + b"}")


@checked
@given(st.text(alphabet='{}[]:,"\\ux0d8-.e+ atruefalsn\n', max_size=40))
def test_random_json_characters(text: str) -> None:
    check(b'{"cmd":' + text.encode() + b"}")
    check(text.encode())
