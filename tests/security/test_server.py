"""ServerSecurity: keys as arguments, and changes while servers use it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.keys import Pair, new_pair, write_file

from laplace_server.security import Change, ServerSecurity
from laplace_server.security.rights import AllowedKey
from laplace_server.security.roles import checked_role


class Seen:
    """An observer."""

    def __init__(self, then: Callable[[Change], Any] = lambda change: None) -> None:
        self.changes: list[Change] = []
        self._then = then

    def security_changed(self, change: Change) -> None:
        self.changes.append(change)
        self._then(change)


def test_as_it_was_made(tmp_path: Path, anna: Pair, stage: Pair) -> None:
    bert, robot = new_pair(), new_pair()
    file = write_file(tmp_path / "bert.key", bert)
    security = ServerSecurity(
        secret_key=stage.secret,
        allowed={anna.public: "operate", file: "admin", robot.public.encode(): {"GET", "SCAN"}},
        anonymous="view",
    )
    assert security.public_key == stage.public
    assert security.rights.secret_key.text() == stage.secret
    assert security.anonymous == "view"
    assert security.allowed == {
        anna.public: "operate",
        bert.public: "admin",
        robot.public: frozenset({"GET", "SCAN"}),
    }
    assert security.client(bert.public) == AllowedKey(bert.public, "admin", "bert")
    # Without a name of its own, one by which it can be told from others.
    named = security.client(anna.public)
    assert named is not None
    assert named.name == f"key {anna.public[:8]}..."
    assert security.client(stage.public) is None
    assert stage.public in repr(security)
    assert "3 allowed" in repr(security)

    nobody = ServerSecurity(write_file(tmp_path / "stage.key_secret", stage, secret=True))
    assert (nobody.public_key, nobody.allowed, nobody.anonymous) == (stage.public, {}, None)


@pytest.mark.parametrize("allowed", [["anna.key"], "anna.key", 5, {"anna.key"}])
def test_what_says_nothing_of_roles(stage: Pair, allowed: Any) -> None:
    with pytest.raises(TypeError, match="'allowed' maps keys to roles"):
        ServerSecurity(stage.secret, allowed)


def test_the_servers_own_key_is_no_clients(stage: Pair) -> None:
    with pytest.raises(ValueError, match="is the server's own key: it is no"):
        ServerSecurity(stage.secret, {stage.public: "view"})


def test_what_was_read_does_not_change(anna: Pair, stage: Pair) -> None:
    security = ServerSecurity(stage.secret, {anna.public: "view"})
    allowed, rights = security.allowed, security.rights
    security.revoke(anna.public)
    assert allowed == {anna.public: "view"}
    assert set(rights.keys) == {anna.public}
    with pytest.raises(TypeError):
        rights.keys[anna.public] = "admin"  # type: ignore[index]
    assert set(security.rights.keys) == set()


def test_a_key_allowed_twice(tmp_path: Path, anna: Pair, stage: Pair) -> None:
    file = write_file(tmp_path / "anna.key", anna)
    with pytest.raises(
        ValueError, match=r"'anna' is the key that is allowed as 'key .*' already \(view\)"
    ):
        ServerSecurity(stage.secret, {anna.public: "view", file: "operate"})
    other = write_file(tmp_path / "other" / "anna.key", new_pair())
    with pytest.raises(ValueError, match="Two keys have the name 'anna'"):
        ServerSecurity(stage.secret, {file: "view", other: "view"})


def test_allow_and_revoke(tmp_path: Path, anna: Pair, stage: Pair) -> None:
    security = ServerSecurity(stage.secret)
    file = write_file(tmp_path / "anna.key", anna)
    security.allow(file, "view")
    assert security.client(anna.public) == AllowedKey(anna.public, "view", "anna")
    # The same key again gets another role, and keeps its name unless told another one.
    security.allow(anna.public, "operate")
    assert security.client(anna.public) == AllowedKey(anna.public, "operate", "anna")
    security.allow(anna.public, {"SCAN"}, name="Anna B.1")
    assert security.client(anna.public) == AllowedKey(anna.public, frozenset({"SCAN"}), "Anna B.1")
    with pytest.raises(ValueError, match=r"Two keys have the name 'Anna B\.1'"):
        security.allow(new_pair().public, "view", name="Anna B.1")
    with pytest.raises(ValueError, match="cannot be the name"):
        security.allow(new_pair().public, "view", name="a\nb")
    with pytest.raises(ValueError, match="calls those so who have none"):
        security.allow(new_pair().public, "view", name="anonymous")
    with pytest.raises(ValueError, match="secret key where a public one is meant"):
        security.allow(stage.secret, "view")
    with pytest.raises(LookupError, match=r"no such key\. There are: Anna B\.1\."):
        security.revoke("anna")
    assert list(security.allowed) == [anna.public]
    for key in ("Anna B.1", anna.public, anna.public.encode(), file, str(file)):
        security.allow(anna.public, "view", name="Anna B.1")
        security.revoke(key)
        assert security.client(anna.public) is None
        with pytest.raises(LookupError, match=r"There are: none\."):
            security.revoke(key)


def test_what_a_change_is(anna: Pair, stage: Pair) -> None:
    bert, carl = new_pair(), new_pair()
    seen = Seen()
    security = ServerSecurity(stage.secret, {anna.public: "view", bert.public: "view"})
    assert security.add_observer(seen) is security.rights
    security.allow(carl.public, "view")
    security.allow(bert.public, "admin")
    security.revoke(anna.public)
    new = new_pair()
    security.rotate(new.secret)
    with pytest.raises(ValueError, match="no role"):
        security.allow(anna.public, "nothing")
    added, raised, removed, rotated = seen.changes
    assert (added.removed, added.other_role, added.rotated) == (set(), set(), False)
    assert set(added.after.keys) - set(added.before.keys) == {carl.public}
    assert (raised.removed, raised.other_role, raised.rotated) == (set(), {bert.public}, False)
    assert (removed.removed, removed.other_role, removed.rotated) == ({anna.public}, set(), False)
    assert (rotated.removed, rotated.other_role, rotated.rotated) == (set(), set(), True)
    assert rotated.after is security.rights
    assert security.public_key == new.public
    assert set(security.allowed) == {bert.public, carl.public}
    for before, after in zip(seen.changes, seen.changes[1:], strict=False):
        assert before.after is after.before


def test_rotated_to_what_a_client_has(anna: Pair, stage: Pair) -> None:
    security = ServerSecurity(stage.secret, {anna.public: "view"})
    with pytest.raises(ValueError, match="of Z85"):
        security.rotate(stage.secret[:-1])
    assert security.public_key == stage.public


def test_observers_end_with_their_owners(anna: Pair, stage: Pair) -> None:
    security = ServerSecurity(stage.secret)
    first, second, third = Seen(), Seen(), Seen()
    changes = third.changes
    for observer in (first, second, third):
        security.add_observer(observer)
    del third, observer
    gc.collect()
    security.remove_observer(second)
    security.remove_observer(Seen())
    security.allow(anna.public, "view")
    assert [len(seen) for seen in (first.changes, second.changes, changes)] == [1, 0, 0]


def test_an_observer_that_raises_keeps_no_other_from_being_told(anna: Pair, stage: Pair) -> None:
    def fail(change: Change) -> None:
        raise KeyboardInterrupt

    security = ServerSecurity(stage.secret)
    observers = [Seen(), Seen(fail), Seen()]
    for observer in observers:
        security.add_observer(observer)
    with pytest.raises(KeyboardInterrupt):
        security.allow(anna.public, "view")
    assert security.allowed == {anna.public: "view"}
    assert [len(each.changes) for each in observers] == [1, 1, 1]
    security.remove_observer(observers[1])
    security.revoke(anna.public)
    assert [len(each.changes) for each in observers] == [2, 1, 2]


def test_a_change_made_by_an_observer_comes_after_the_one_it_was_told_of(
    anna: Pair, stage: Pair
) -> None:
    security = ServerSecurity(stage.secret)

    def undo(change: Change) -> None:
        if anna.public in change.after.keys:
            security.revoke(anna.public)

    observers = [Seen(undo), Seen()]
    for observer in observers:
        security.add_observer(observer)
    security.allow(anna.public, "view")
    assert security.allowed == {}
    for observer in observers:
        assert [len(change.after.keys) for change in observer.changes] == [1, 0]


def test_many_threads(stage: Pair) -> None:
    pairs = [new_pair() for _ in range(8)]
    security = ServerSecurity(stage.secret)
    seen = Seen()
    security.add_observer(seen)
    barrier = threading.Barrier(len(pairs))
    told: list[bool] = []

    def change(pair: Pair) -> None:
        barrier.wait()
        for _ in range(25):
            security.allow(pair.public, "view")
            security.revoke(pair.public)
            # When it returns, everybody has been told.
            told.append(any(pair.public in change.removed for change in seen.changes))
        security.allow(pair.public, "operate")

    threads = [threading.Thread(target=change, args=[pair]) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert security.allowed == {pair.public: "operate" for pair in pairs}
    assert len(seen.changes) == len(pairs) * 51
    assert len(told) == len(pairs) * 25
    assert all(told)
    for before, after in zip(seen.changes, seen.changes[1:], strict=False):
        assert before.after is after.before


def test_nothing_to_reload(stage: Pair) -> None:
    with pytest.raises(ValueError, match=r"not made by from_folder\(\)"):
        ServerSecurity(stage.secret).reload()
    assert ServerSecurity(stage.secret).reload_if_changed() is None


def test_clients_without_keys(anna: Pair, stage: Pair) -> None:
    security = ServerSecurity(stage.secret, {anna.public: "view"})
    seen = Seen()
    security.add_observer(seen)
    for role in ("view", {"GET"}, None):
        security.allow_anonymous(role)
        assert security.anonymous == (role if role is None else checked_role(role))
    with pytest.raises(ValueError, match="no role 'nobody'"):
        security.allow_anonymous("nobody")
    assert [change.after.anonymous for change in seen.changes] == ["view", {"GET"}, None]
    assert list(security.allowed) == [anna.public]
