"""ServerSecurity: who a server is, and whom it serves."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from laplace_server.security import reading
from laplace_server.security.certificates import Key, as_file, read_public, read_secret
from laplace_server.security.keys import NotPickled, SecretKey, checked_public, checked_secret
from laplace_server.security.names import checked_name
from laplace_server.security.observers import Observer, Observers
from laplace_server.security.rights import AllowedKey, Change, Rights, add, shown_name
from laplace_server.security.roles import Role, checked_role
from laplace_server.security.survey import texts_of
from laplace_server.security.watch import FolderWatch

_everyone: weakref.WeakSet[ServerSecurity] = weakref.WeakSet()


class ServerSecurity(NotPickled):
    """The keys of a server and its clients.

    Any thread may change them while servers run. ``allow``, ``revoke``, ``rotate`` and
    ``allow_anonymous`` change nothing on disk, and ``reload`` makes the keys what the folder holds.
    While a server runs that has it, a folder is looked at once a second.

    Args:
        secret_key: the server's own, as Z85 text or a certificate file.
        allowed: the role of each client that is served, by its public key (text or file). A role is
            "view", "operate", "admin" or a set of command names.
        anonymous: the role of clients that have no keys; None: they are refused.

    Raises:
        TypeError, ValueError: an argument is wrong.
        KeyFileError: a file is not as it has to be.
    """

    def __init__(
        self,
        secret_key: Key,
        allowed: Mapping[Any, Any] | None = None,  # of any type: its keys are invariant
        anonymous: Any = None,
    ) -> None:
        own = _secret_of("secret_key", secret_key)
        if not isinstance(allowed, Mapping | None):
            raise TypeError(f"'allowed' maps keys to roles, and is no {type(allowed).__name__}.")
        own_texts = texts_of(own)
        keys: dict[str, AllowedKey] = {}
        for key, role in (allowed or {}).items():
            add(keys, _allowed_key(key, role, None), own_texts)
        self._begin(_rights(own, keys, _role_or_none(anonymous)), None)

    @classmethod
    def from_folder(cls, path: str | os.PathLike[str], *, anonymous: Any = None) -> ServerSecurity:
        """Read the keys of a folder, as ``laplace-server keys`` makes it (docs/security.md).

        Raises:
            TypeError, ValueError: ``anonymous`` is no role.
            KeyFileError: something in the folder is not as it has to be.
        """
        role = _role_or_none(anonymous)
        folder = Path(path).absolute()  # it is read again, wherever the program has gone
        found = reading.Reading(folder)
        survey = found.result()
        survey.check()
        assert survey.secret_key is not None
        made = cls.__new__(cls)
        made._begin(_rights(survey.secret_key, survey.keys, role), folder, found.state)
        return made

    def _begin(
        self, rights: Rights, folder: Path | None, state: tuple[object, ...] | None = None
    ) -> None:
        self._folder = folder
        self._folder_state = state
        self._folder_problem: str | None = None  # of the last reading
        # The folder is read without a lock, since that may take long: of two readings, the one
        # counts that was begun later.
        self._readings = self._newest_reading = 0
        self._told_of_wrong = False
        self._rights = rights
        self._after_fork()
        _everyone.add(self)

    def _after_fork(self) -> None:
        """In a child: nobody holds the locks there, and the servers are the parent's."""
        # Whoever tells an observer holds it, and an observer may change something again.
        self._lock = threading.RLock()
        self._observers = Observers()
        self._watch = FolderWatch(self._look)

    # ---- as it is now

    @property
    def rights(self) -> Rights:
        """All of it at one moment; a change makes another one."""
        return self._rights

    @property
    def public_key(self) -> str:
        """The server's own, which clients have to know."""
        return self._rights.public_key

    @property
    def allowed(self) -> Mapping[str, Role]:
        """The role of each public key at this moment."""
        return {key: each.role for key, each in self._rights.keys.items()}

    @property
    def anonymous(self) -> Role | None:
        """The role of clients that have no keys; None: they are refused."""
        return self._rights.anonymous

    def client(self, public_key: str) -> AllowedKey | None:
        """Return role and name of a client's key; None: it is not allowed."""
        return self._rights.keys.get(public_key)

    def __repr__(self) -> str:
        rights = self._rights
        return (
            f"<{type(self).__name__} with the public key {rights.public_key!r}, "
            f"{len(rights.keys)} allowed, anonymous={rights.anonymous!r}>"
        )

    # ---- changes

    def allow(self, public_key: Key, role: Any, name: str | None = None) -> None:
        """Serve one more client, or the same one in another role.

        Args:
            name: what the log calls it: unless given, as before, or as its file.

        Raises: as of the constructor.
        """
        key = _allowed_key(public_key, role, name)
        with self._lock:
            rights = self._rights
            before = rights.keys.get(key.public_key)
            if before is not None and name is None and as_file(public_key) is None:
                key = AllowedKey(key.public_key, key.role, before.name)
            keys = dict(rights.keys)
            keys.pop(key.public_key, None)
            add(keys, key, (rights.secret_key.text(), rights.public_key))
            self._change(_rights(rights.secret_key, keys, rights.anonymous))

    def revoke(self, key: Key) -> None:
        """Serve a client no more; what it is connected by is closed.

        Args:
            key: its public key, or the name it has in the log.

        Raises:
            LookupError: there is no such key.
        """
        with self._lock:
            rights = self._rights
            wanted = self._found(key)
            keys = {public: each for public, each in rights.keys.items() if public != wanted}
            self._change(_rights(rights.secret_key, keys, rights.anonymous))

    def rotate(self, secret_key: Key) -> None:
        """Give the server another key. Who is connected stays so; new connections need to know it.

        Raises: as of the constructor.
        """
        own = _secret_of("secret_key", secret_key)
        with self._lock:
            rights = self._rights
            keys: dict[str, AllowedKey] = {}
            for key in rights.keys.values():
                add(keys, key, texts_of(own))
            self._change(_rights(own, keys, rights.anonymous))

    def allow_anonymous(self, role: Any) -> None:
        """Give clients without keys another role; None: they are refused, and disconnected.

        Raises:
            TypeError, ValueError: it is no role.
        """
        checked = _role_or_none(role)
        with self._lock:
            rights = self._rights
            self._change(_rights(rights.secret_key, dict(rights.keys), checked))

    def reload(self) -> Change:
        """Read the folder again, now, and return what is different.

        Raises:
            KeyFileError: something in the folder is not as it has to be. That stays as it was, and
                all else counts.
            ValueError: this was not made of a folder.
        """
        if self._folder is None:
            raise ValueError("There is nothing to reload: this was not made by from_folder().")
        return self._read(self._folder)

    def reload_if_changed(self) -> Change | None:
        """Read the folder again if it was changed since it was read; None: it was not.

        It costs a look at the files, not their reading. What is wrong there is raised, as by
        ``reload``, once for each change.
        """
        if self._folder is None:
            return None
        before, problem = self._folder_state, self._folder_problem
        if problem is None and reading.state_of(self._folder) == before:
            return None
        # What kept it from being read, such as too many open files, may have gone without a trace.
        try:
            return self._read(self._folder)
        except Exception as same:
            if str(same) == problem and self._folder_state == before:
                return None
            raise

    def _read(self, folder: Path) -> Change:
        with self._lock:
            self._readings += 1
            number = self._readings
        found = reading.Reading(folder)
        with self._lock:
            before = self._rights
            if number < self._newest_reading:
                return Change(before, before)
            self._newest_reading = number
            self._folder_state = found.state
            try:
                survey = found.result()
            except Exception as unforeseen:
                self._folder_problem = str(unforeseen)
                raise
            own, keys = survey.after(before)
            problem = survey.problem()
            self._folder_problem = None if problem is None else str(problem)
            after = _rights(own, keys, before.anonymous)
            try:
                return Change(before, before) if after == before else self._change(after)
            finally:
                if problem is not None:
                    raise problem

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within it, a folder is looked at once a second, and the observers are told."""
        if self._folder is None:
            yield
            return
        self._watch.begin()
        try:
            yield
        finally:
            self._watch.end()

    def _look(self) -> None:
        try:
            self.reload_if_changed()
        except Exception as problem:
            self._told_of_wrong = True
            for observer in self._observers.present():
                observer.security_failed(problem)
        else:
            if self._told_of_wrong and self._folder_problem is None:
                self._told_of_wrong = False
                for observer in self._observers.present():
                    observer.security_mended()

    # ---- observers

    def add_observer(self, observer: Observer) -> Rights:
        """Tell somebody of each change from the returned rights on, in order.

        The observer is held weakly. When a change returns, all observers have been told of it,
        unless one of them has made it. What one raises keeps no other from being told; the first
        exception then comes out of the change, which holds all the same.
        """
        with self._lock:
            self._observers.add(observer)
            return self._rights

    def remove_observer(self, observer: Observer) -> None:
        """Tell it no more; one that is not told anyway is no error."""
        with self._lock:
            self._observers.remove(observer)

    def _change(self, after: Rights) -> Change:
        change = Change(self._rights, after)
        self._observers.note(change)  # first: Ctrl-C between the two must not keep it from anybody
        self._rights = after
        self._observers.tell()
        return change

    def _found(self, key: Key) -> str:
        keys = self._rights.keys
        for public_key, each in keys.items():
            if key in (public_key, each.name) or key == public_key.encode():
                return public_key
        file = as_file(key)
        if file is not None:
            public_key = read_public(file).public_key
            if public_key in keys:
                return public_key
        names = ", ".join(sorted(each.name for each in keys.values())) or "none"
        raise LookupError(f"There is no such key. There are: {names}.")


def _rights(own: SecretKey, keys: dict[str, AllowedKey], anonymous: Role | None) -> Rights:
    return Rights(own, own.public_text(), MappingProxyType(keys), anonymous)


def _secret_of(what: str, key: Key) -> SecretKey:
    file = as_file(key)
    return checked_secret(what, key) if file is None else read_secret(file)[1]


def _allowed_key(key: Key, role: Any, name: str | None) -> AllowedKey:
    file = as_file(key)
    if file is None:
        public_key = checked_public("A key in 'allowed'", key)
        its_name = shown_name(public_key)
    else:
        certificate = read_public(file)
        public_key, its_name = certificate.public_key, certificate.name
    return AllowedKey(
        public_key, checked_role(role), its_name if name is None else checked_name(name)
    )


def _role_or_none(role: Any) -> Role | None:
    return None if role is None else checked_role(role)


def _after_fork() -> None:
    for each in list(_everyone):
        each._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
