"""Files with keys, written and read, as others write and read them too."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq.auth
from support.keys import Pair, new_pair, write_file
from support.machine import WINDOWS
from support.waiting import LIMIT_S

from laplace_server.errors import KeyFileError
from laplace_server.security.certificates import read_public, read_secret, write_pair
from laplace_server.security.files import check_folder, make_folder, write_new
from laplace_server.security.keys import LENGTH, is_text_of_key

posix = pytest.mark.skipif(WINDOWS, reason="Windows has no permission bits")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_path_that_could_be_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty characters, all of which Z85 has: so may any path be, slashes and all."""
    monkeypatch.chdir(tmp_path)
    pair = new_pair()
    path = write_file(Path("k" * 18, "allowed/operate/x.key"), pair)
    assert len(str(path)) == LENGTH
    assert is_text_of_key(path.as_posix())
    assert read_public(path).public_key == pair.public


def test_pyzmq_reads_what_is_written(tmp_path: Path) -> None:
    made = write_pair(tmp_path, "anna")
    assert made.secret_key is not None
    public, secret = made.public_key.encode(), made.secret_key.text().encode()
    assert zmq.auth.load_certificate(tmp_path / "anna.key") == (public, None)
    assert zmq.auth.load_certificate(tmp_path / "anna.key_secret") == (public, secret)
    assert zmq.curve_public(secret) == public


def test_sockets_of_pyzmq_know_each_other_by_these_files(
    tmp_path: Path, context: zmq.Context[Any]
) -> None:
    write_pair(tmp_path, "stage")
    write_pair(tmp_path, "anna")
    with context.socket(zmq.REP) as server, context.socket(zmq.REQ) as client:
        for socket in (server, client):
            socket.rcvtimeo = round(LIMIT_S * 1000)
        server.curve_server = True
        server.curve_secretkey = zmq.auth.load_certificate(tmp_path / "stage.key_secret")[1]
        port = server.bind_to_random_port("tcp://127.0.0.1")
        own = zmq.auth.load_certificate(tmp_path / "anna.key_secret")
        client.curve_publickey, client.curve_secretkey = own
        client.curve_serverkey, _ = zmq.auth.load_certificate(tmp_path / "stage.key")
        client.connect(f"tcp://127.0.0.1:{port}")
        client.send(b"asked")
        assert server.recv() == b"asked"
        server.send(b"answered")
        assert client.recv() == b"answered"


def test_what_pyzmq_writes_is_read(tmp_path: Path) -> None:
    with umask(0o077):
        public_file, secret_file = zmq.auth.create_certificates(tmp_path, "anna", {"lab": "3"})
    public, secret = zmq.auth.load_certificate(secret_file)
    assert read_public(Path(public_file)).public_key.encode() == public
    certificate, key = read_secret(Path(secret_file))
    assert (certificate.public_key.encode(), key.text().encode()) == (public, secret)
    assert certificate.name == "anna"


def test_czmq_writes_a_hash_sign_and_an_equals_sign_too(tmp_path: Path, anna: Pair) -> None:
    """Both are characters of Z85, and may come first or last."""
    while not (anna.public.startswith("#") or anna.public.endswith(("=", "#"))):
        anna = new_pair()
    text = f"metadata\n    name = a=b\r\ncurve\r\n    public-key = '{anna.public}'\r\n"
    (tmp_path / "a.b.key").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = read_public(tmp_path / "a.b.key")
    assert (found.public_key, found.name) == (anna.public, "a.b")


@posix
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_permissions_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        make_folder(tmp_path / "keys" / "own")
    (tmp_path / "keys").chmod(0o700)
    (tmp_path / "keys" / "own").chmod(0o700)
    with umask(mask):
        write_pair(tmp_path / "keys" / "own", "anna")
    assert mode_of(tmp_path / "keys" / "own" / "anna.key_secret") == 0o600
    assert mode_of(tmp_path / "keys" / "own" / "anna.key") == 0o600 | (0o644 & ~mask)


@posix
def test_a_new_file_is_at_no_moment_open_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at right when it is there, before anything is in it."""
    modes = []
    really_open = os.open

    def look(path: Path, *arguments: int) -> int:
        descriptor = really_open(path, *arguments)
        modes.append((Path(path).name, mode_of(Path(path))))
        return descriptor

    monkeypatch.setattr("os.open", look)
    with umask(0o000):
        write_pair(tmp_path, "anna")
    assert modes == [("anna.key_secret", 0o600), ("anna.key", 0o644)]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    for ending in (".key_secret", ".key"):
        file = tmp_path / f"anna{ending}"
        file.write_text("precious")
        with pytest.raises(KeyFileError, match=r"anna\.key(_secret)? is there already"):
            write_pair(tmp_path, "anna")
        # Nor is half a pair left.
        assert [path.name for path in tmp_path.iterdir()] == [file.name]
        assert file.read_text() == "precious"
        file.unlink()


@posix
def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "anna.key_secret").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="is there already"):
        write_pair(tmp_path, "anna")
    assert not (tmp_path / "elsewhere").exists()


def test_one_of_many_at_once_writes_it(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)
    done: list[str] = []

    def write() -> None:
        barrier.wait()
        try:
            made = write_pair(tmp_path, "anna")
        except KeyFileError:
            return
        done.append(made.public_key)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [read_secret(tmp_path / "anna.key_secret")[0].public_key] == done
    assert [read_public(tmp_path / "anna.key").public_key] == done


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602, 0o601, 0o777])
def test_a_secret_key_that_is_open_to_others(tmp_path: Path, anna: Pair, mode: int) -> None:
    # Under either ending.
    for name in ("anna 1.key_secret", "anna 1.key"):
        file = write_file(tmp_path / name, anna, secret=True, mode=mode)
        with pytest.raises(KeyFileError) as raised:
            read_secret(file)
        told = str(raised.value)
        if mode & 0o002:
            assert f"can be changed by everybody (mode {mode:04o})" in told
        else:
            assert f"open to others than its owner (mode {mode:04o})" in told
            assert f"chmod 600 '{file}'" in told
        file.chmod(0o400)
        assert read_secret(file)[1].text() == anna.secret


@posix
def test_what_everybody_may_change(tmp_path: Path, anna: Pair) -> None:
    file = write_file(tmp_path / "anna.key", anna, mode=0o666)
    with pytest.raises(KeyFileError, match=r"changed by everybody \(mode 0666\).* chmod o-w "):
        read_public(file)
    file.chmod(0o664)
    assert read_public(file).public_key == anna.public
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(0o1777)
    with pytest.raises(KeyFileError, match=r"changed by everybody \(mode 1777\)"):
        check_folder(tmp_path / "keys")


def test_the_wrong_file(tmp_path: Path, anna: Pair) -> None:
    secret = write_file(tmp_path / "anna.key_secret", anna, secret=True)
    public = write_file(tmp_path / "anna.key", anna)
    with pytest.raises(KeyFileError, match=r"holds a secret key where .* Give anna\.key,"):
        read_public(secret)
    renamed = write_file(tmp_path / "bert.key", anna, secret=True)
    with pytest.raises(KeyFileError, match="holds a secret key where"):
        read_public(renamed)
    with pytest.raises(KeyFileError, match=r"public key only\. .* in anna\.key_secret"):
        read_secret(public)
    with pytest.raises(KeyFileError, match=r"must have a name that ends in '\.key' or"):
        read_public(write_file(tmp_path / "anna.txt", anna))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no certificate"),
        (b"metadata\ncurve\n", "no certificate"),
        (b'# public-key = "%s"\n', "no certificate"),
        (b'public-key = "%s"\npublic-key = "%s"\n', "two lines with a public-key"),
        (b'public-key = "%.39s"\n', "holds no key: its public-key must be 40 .* not 39"),
        (b"public-key = \n", "holds no key: .* not 0"),
        (b"\xff\xfe" + "public-key".encode("utf-16-le"), "is no text"),
        (b"#" * (70 << 10), "larger than any certificate"),
    ],
)
def test_what_is_no_certificate(tmp_path: Path, anna: Pair, content: bytes, message: str) -> None:
    file = tmp_path / "anna.key"
    public = anna.public.encode()
    file.write_bytes(content % ((public,) * content.count(b"%")))
    with pytest.raises(KeyFileError, match=message) as raised:
        read_public(file)
    assert str(file) in str(raised.value)


def test_keys_of_two_pairs(tmp_path: Path, anna: Pair, stage: Pair) -> None:
    mixed = Pair(anna.public, stage.secret)
    file = write_file(tmp_path / "anna.key_secret", mixed, secret=True)
    with pytest.raises(KeyFileError, match="do not belong together") as raised:
        read_secret(file)
    assert stage.secret not in str(raised.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"Cannot read .*anna\.key: "):
        read_public(tmp_path / "anna.key")
    (tmp_path / "folder.key").mkdir()
    with pytest.raises(KeyFileError, match=r"folder\.key"):
        read_public(tmp_path / "folder.key")
    with pytest.raises(KeyFileError, match=r"Cannot write .*anna\.key_secret: "):
        write_pair(tmp_path / "missing", "anna")
    with pytest.raises(KeyFileError, match="Cannot make "):
        (tmp_path / "file").touch()
        make_folder(tmp_path / "file" / "below")
    with pytest.raises(KeyFileError, match="is no folder"):
        check_folder(tmp_path / "file")


@posix
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "anna.key")
    with pytest.raises(KeyFileError, match="is no file"):
        read_public(tmp_path / "anna.key")


def test_what_cannot_be_written_to_its_end_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_new(tmp_path / "anna.key", "\ud800", 0o644)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["anna", "Ännä", "a", "a.b", "anna@lab 3", "7", "a" * 64, "console", "nul-3"]
)
def test_names(tmp_path: Path, name: str) -> None:
    assert write_pair(tmp_path, name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".anna",
        "../anna",
        "a/b",
        "a\\b",
        "a:b",
        "-a",
        "a ",
        "a.",
        "a\nb",
        "*",
        "a" * 65,
        "NUL",
        "con.a",
        "Com1",
    ],
)
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a key"):
        write_pair(tmp_path, name)
    assert list(tmp_path.iterdir()) == []
