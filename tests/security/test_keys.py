"""Keys as arguments: what is taken, what is refused, and that no secret shows."""

from __future__ import annotations

import copy
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from support.keys import Pair, new_pair, write_file
from zmq.utils import z85

from laplace_server.security import ClientSecurity, ServerSecurity
from laplace_server.security.certificates import as_file
from laplace_server.security.keys import SecretKey, checked_public, checked_secret, raw


def test_what_a_key_is(anna: Pair) -> None:
    secret = checked_secret("it", anna.secret)
    assert secret.reveal() == z85.decode(anna.secret)
    assert secret.text() == anna.secret
    assert secret.public_text() == anna.public
    assert checked_public("it", anna.public.encode()) == anna.public
    assert raw(anna.public) == z85.decode(anna.public)
    assert secret == checked_secret("it", anna.secret.encode())
    assert secret != checked_secret("it", new_pair().secret)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-1], "must be 40 characters of Z85, not 39"),
        (lambda text: text + "0", "must be 40 characters of Z85, not 41"),
        (lambda text: "", "not 0"),
        (lambda text: text[:9] + '"' + text[10:], "not Z85: character 10 "),
        (lambda text: text[:39] + "é", "not Z85: character 40 "),
        (lambda text: (text[:39] + "\xff").encode("latin-1"), "not Z85: character 40 "),
        (lambda text: "#" * 40, "is no key, though"),  # beyond 32 bits
        (lambda text: "0" * 40, "is no key, though"),  # zeros
    ],
)
def test_what_is_no_key(anna: Pair, change: Any, message: str) -> None:
    for check, text in ((checked_public, anna.public), (checked_secret, anna.secret)):
        wrong = change(text)
        with pytest.raises(ValueError, match=r"^KEY ") as raised:
            check("KEY", wrong)
        assert message in str(raised.value)
        if wrong and len(set(wrong)) > 1:
            assert text[:8] not in str(raised.value)
    with pytest.raises(TypeError, match="must be text or a file, not int"):
        checked_public("KEY", 7)
    with pytest.raises(ValueError, match="must be a public key"):
        checked_public("KEY", checked_secret("it", anna.secret))


def test_text_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anna: Pair) -> None:
    monkeypatch.chdir(tmp_path)
    assert as_file(anna.public) is None
    assert as_file(anna.public.encode()) is None
    assert as_file("anna.key") == Path("anna.key")
    assert as_file("keys/anna.key_secret") == Path("keys/anna.key_secret")
    assert as_file(Path("anna")) == Path("anna")
    # A key may end so, and a file's name may have the length and the characters of a key.
    both = "a" * 36 + ".key"
    assert as_file(both) is None
    Path(both).touch()
    assert as_file(both) == Path(both)


def test_no_secret_shows(tmp_path: Path, anna: Pair, stage: Pair) -> None:
    secret = checked_secret("it", anna.secret)
    things = [
        secret,
        ClientSecurity(anna.secret, server_key=stage.public),
        ServerSecurity(anna.secret, {stage.public: "view"}),
        ServerSecurity(anna.secret).rights,
    ]
    for thing in things:
        for shown in (repr(thing), str(thing), f"{thing}", f"{[thing]!r:>10}"):
            assert anna.secret not in shown
            assert repr(z85.decode(anna.secret)) not in shown
        for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="neither copied nor pickled"):
                duplicate(thing)
    with pytest.raises(TypeError, match="unhashable"):
        hash(secret)


@pytest.mark.parametrize("place", range(3))
def test_no_secret_shows_where_it_is_given_in_the_wrong_place(
    place: int, anna: Pair, stage: Pair
) -> None:
    wrong = anna.secret[:39] + "~"
    arguments = [anna.secret, anna.public, stage.public]
    arguments[place] = wrong
    with pytest.raises(ValueError, match="is not Z85") as raised:
        ClientSecurity(arguments[0], arguments[1], server_key=arguments[2])
    told = "".join(traceback.format_exception(raised.value))
    assert "During handling" not in told
    assert wrong[:39] not in told


def test_a_client(tmp_path: Path, anna: Pair, stage: Pair) -> None:
    own = write_file(tmp_path / "anna.key_secret", anna, secret=True)
    server = write_file(tmp_path / "stage.key", stage)
    for security in (
        ClientSecurity(anna.secret, anna.public, server_key=stage.public),
        ClientSecurity(anna.secret.encode(), server_key=stage.public.encode()),
        ClientSecurity(own, server_key=server),
        ClientSecurity(str(own), server_key=str(server)),
        ClientSecurity(SecretKey(z85.decode(anna.secret)), server_key=stage.public),
    ):
        assert security.secret_key.text() == anna.secret
        assert security.public_key == anna.public
        assert security.server_key == stage.public
        with pytest.raises(AttributeError):
            security.server_key = anna.public  # type: ignore[misc]


def test_keys_that_are_mixed_up(anna: Pair, stage: Pair) -> None:
    with pytest.raises(ValueError, match="wrong way round"):
        ClientSecurity(anna.public, anna.secret, server_key=stage.public)
    with pytest.raises(ValueError, match="do not belong together"):
        ClientSecurity(anna.secret, new_pair().public, server_key=stage.public)
    for key in anna:
        with pytest.raises(ValueError, match="of the client itself"):
            ClientSecurity(anna.secret, server_key=key)
    with pytest.raises(ValueError, match="server's secret key where a public one is meant"):
        ServerSecurity(stage.secret, {stage.secret: "view"})


def test_without_curve(anna: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmq.has", lambda what: False)
    with pytest.raises(NotImplementedError, match="built without CURVE"):
        ServerSecurity(anna.secret)
