"""A recording is whole after any of its writes: as after a kill at any moment."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.recordings import ORIGIN, is_same, new_part, updates_of

import laplace_server.recording as recording
from laplace_server.recording import disk
from laplace_server.recording.ordered_file import OrderedFile
from laplace_server.recording.part import Origin


@pytest.mark.any_python
def test_a_file_is_whole_after_each_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each prefix of what reaches the disk opens, and has what was committed before it."""
    writes: list[tuple[int, bytes]] = []
    commits: list[tuple[int, int]] = []  # writes by then, rows by then
    write = disk.write_at

    def noted(descriptor: int, address: int, data: memoryview) -> None:
        writes.append((address, bytes(data)))
        write(descriptor, address, data)

    monkeypatch.setattr(disk, "write_at", noted)
    datas = [
        {
            "image": np.full((60, 140), n, "u2"),
            "e": n / 2,
            "t": f"text {n}",
            **({"late": n} if n > 100 else {}),
            **({"mixed": n if n % 3 else None} if n > 150 else {}),
        }
        for n in range(300)
    ]
    updates = updates_of(datas)
    part = new_part(tmp_path / "r.h5")
    stream = part.stream(ORIGIN, {"name": "laser"})
    for begin in range(0, len(updates), 10):
        stream.take(updates[begin : begin + 10])
        if begin == 200:  # a second one, later
            other = part.stream(Origin("tcp://127.0.0.1:2", "shots"), {"name": "other"})
            other.take(updates[:5])
        part.commit()
        commits.append((len(writes), begin + 10))
    part.close()
    assert len(writes) > 500

    copy = tmp_path / "copy.h5"
    copy.touch()
    done = dict(commits)
    rows = 0
    begun = next(index for index, (address, _) in enumerate(writes) if address == 0)
    descriptor = os.open(copy, os.O_RDWR)
    for index, (address, data) in enumerate(writes, 1):
        os.pwrite(descriptor, data, address)
        rows = done.get(index, rows)
        if index <= begun:
            continue
        with recording.open(copy) as opened:
            if "laser" not in opened:
                assert rows == 0
                continue
            read = opened["laser"]["shots"]
            assert read.rows >= rows, index
            some = {0, rows // 2, *range(max(0, rows - 3), read.rows)}
            for row in sorted(some & set(range(read.rows))):
                assert is_same(datas[row], read.update(row).data), (index, row)
            told = [(row.first, row.last, row.kind) for row in read.ledger]
            assert told == ([(1, read.rows, "received")] if read.rows else []), index
    os.close(descriptor)
    assert rows == 300


def test_it_reads_what_it_was_told_to_write(tmp_path: Path) -> None:
    """Pieces of any size at any place, before and after commits: as in a plain file."""
    rng = random.Random(19)
    for seed in range(20):
        rng.seed(seed)
        file = OrderedFile(tmp_path / f"{seed}")
        plain = bytearray()
        for _ in range(300):
            at, size = rng.randrange(100_000), rng.choice([1, 7, 64, 500, 20_000])
            data = rng.randbytes(size)
            plain.extend(bytes(max(0, at + size - len(plain))))
            plain[at : at + size] = data
            file.seek(at)
            file.write(memoryview(data))
            at = rng.randrange(len(plain))
            file.seek(at)
            assert file.read(600) == plain[at : at + 600]
            if rng.random() < 0.1:
                file.commit()
                assert Path(file.path).read_bytes() == plain
        file.commit()
        assert Path(file.path).read_bytes() == plain
        assert file.failure is None
        file.close()


def test_nothing_is_written_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = new_part(tmp_path / "r.h5")
    stream = part.stream(ORIGIN, {"name": "laser"})
    stream.take(updates_of([{"a": 1}]))
    part.commit()
    before = (tmp_path / "r.h5").read_bytes()
    countdown = itertools.count()

    def full(descriptor: int, address: int, data: memoryview) -> None:
        raise OSError(28, f"No space left on device ({next(countdown)})")

    monkeypatch.setattr(disk, "write_at", full)
    stream.take(updates_of([{"a": 2, "image": np.zeros((100, 200))}], first=2))
    with pytest.raises(OSError, match=r"No space left on device \(0\)"):
        part.commit()
    part.abandon()
    assert (tmp_path / "r.h5").read_bytes() == before
    assert next(countdown) == 1
    with h5py.File(tmp_path / "r.h5") as file:
        assert file["laser/shots/a"][:].tolist() == [1]


def test_what_was_not_committed_takes_no_room(tmp_path: Path) -> None:
    part = new_part(tmp_path / "r.h5")
    stream = part.stream(ORIGIN, {"name": "laser"})
    stream.take(updates_of([{"a": 1}]))
    part.commit()
    before = (tmp_path / "r.h5").read_bytes()
    stream.take(updates_of([{"a": 2, "image": np.zeros((2000, 1000))}], first=2))
    stream.write()
    assert (tmp_path / "r.h5").stat().st_size > len(before) + 10_000_000
    part.abandon()
    assert (tmp_path / "r.h5").read_bytes() == before


def test_nobody_elses_file_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two begin at once, one has the name."""
    parts = []
    with monkeypatch.context() as patched:
        patched.setattr(Path, "exists", lambda path: False)  # as if both had looked before
        parts.append(new_part(tmp_path / "r.h5"))
        with pytest.raises(FileExistsError):
            new_part(tmp_path / "r.h5")
    parts[0].close()
    assert [path.name for path in tmp_path.iterdir()] == ["r.h5"]


def test_a_disk_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    new_part(tmp_path / "r.h5").close()
    assert [path.name for path in tmp_path.iterdir()] == ["r.h5"]


def test_a_file_that_was_removed_is_noticed(tmp_path: Path) -> None:
    part = new_part(tmp_path / "r.h5")
    (tmp_path / "r.h5").unlink()
    with pytest.raises(FileNotFoundError, match="moved or removed"):
        part.commit()
    part.abandon()
    (tmp_path / "r.h5").touch()
    with pytest.raises(FileExistsError):
        new_part(tmp_path / "r.h5")
