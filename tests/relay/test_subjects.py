"""Names of any kind become subjects, and are found again."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laplace_server.relay.subjects import Subject, read_subject, subject_of, token

NAMES = st.text(min_size=1, max_size=8).filter(lambda text: _is_utf8(text))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("camera-2_b", "camera-2_b"),
        ("Laser 2", "Laser%202"),
        ("a.b", "a%2Eb"),
        ("*", "%2A"),
        (">", "%3E"),
        ("50%", "50%25"),
        ("~/x\\y", "%7E%2Fx%5Cy"),
        ("Spiegel-Öffner", "Spiegel-%C3%96ffner"),
        ("$JS", "%24JS"),
        ("\r\n\t\0", "%0D%0A%09%00"),
    ],
)
def test_a_name_as_a_token(name: str, written: str) -> None:
    assert token(name) == written


@given(NAMES, NAMES, NAMES)
def test_names_are_found_again(site: str, device: str, stream: str) -> None:
    subject = Subject("lhc", site, device, stream)
    text = str(subject)
    assert re.fullmatch(r"lhc(\.[A-Za-z0-9_%-]+){3}", text)
    assert read_subject(text) == subject
    assert subject.stream_name.replace("+", ".") == text


@given(NAMES, NAMES)
def test_no_two_are_written_alike(one: str, other: str) -> None:
    assert (token(one) == token(other)) == (one == other)


def test_a_prefix_of_several_tokens() -> None:
    subject = subject_of("facility.lasers", "hall 1", "camera", "images")
    assert str(subject) == "facility.lasers.hall%201.camera.images"
    assert subject.stream_name == "facility+lasers+hall%201+camera+images"
    assert read_subject(str(subject), "facility.lasers") == subject


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("lhc", "", "camera", "s"), ValueError, "'site' must not be empty"),
        (("lhc", "lab", None, "s"), TypeError, "'device' must be str"),
        (("lhc", "lab", "camera", "\ud800"), ValueError, "'stream' must be text that UTF-8"),
        (("a..b", "lab", "camera", "s"), ValueError, "'prefix' must be words"),
        (("a.*", "lab", "camera", "s"), ValueError, "'prefix' must be words"),
        ((1, "lab", "camera", "s"), TypeError, "'prefix' must be str"),
        (("lhc", "lab", "ö" * 50, "s"), ValueError, "has 310 characters, and NATS takes 255"),
    ],
)
def test_what_cannot_be_a_subject(
    arguments: tuple[Any, ...], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        subject_of(*arguments)


@pytest.mark.parametrize(
    "text",
    ["lhc.lab.camera", "lhc.a.b.c.d", "x.a.b.c", "lhc.a.b.c%zz", "lhc.a.b.%ff", "lhc.a.b.%41"],
)
def test_what_is_no_subject_of_a_relay(text: str) -> None:
    with pytest.raises(ValueError, match=r"subject|SITE"):
        read_subject(text)
