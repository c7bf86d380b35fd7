"""Recorders of real servers: all that is published is in the file, or said to be missing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.peers import PATIENCE_S, address_of
from support.serving import MakeServer
from support.waiting import wait_until

import laplace_server.recording as recording
from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.recording import LedgerRow, Recorder
from laplace_server.recording import writing as writing_module


def publish(server: ServerLHC, *numbers: int, stream: str = "shots", **data: Any) -> None:
    for number in numbers:
        server.publish(stream, {"shot": number, **data}, timestamp=1000.0 + number)


def has(recorder: Recorder, updates: int) -> None:
    wait_until(
        lambda: sum(each.updates for each in recorder.stats().streams) == updates,
        f"{updates} updates in {recorder.stats()}",
    )


def spans(ledger: list[LedgerRow]) -> list[tuple[int, int, str]]:
    return [(row.first, row.last, row.kind) for row in ledger]


def shots_of(path: Path, server: str = "tested", stream: str = "shots") -> list[int]:
    with recording.open(path) as opened:
        return [update.data["shot"] for update in opened[server][stream].updates()]


def test_what_was_and_what_comes(make_server: MakeServer, record: Any, tmp_path: Path) -> None:
    server = make_server(describe={("shots", "shot"): {"text": "number of the shot"}})
    publish(server, 1, 2, image=np.arange(6).reshape(2, 3))
    recorder = record(server, "shots")
    publish(server, 3, 4, image=np.arange(6).reshape(2, 3))
    has(recorder, 4)
    recorder.close()
    recorder.close()
    with recording.open(tmp_path / "run.h5") as opened:
        stream = opened["tested"]["shots"]
        assert stream["shot"][:].tolist() == [1, 2, 3, 4]
        assert stream["shot"].attributes["long_name"] == "number of the shot"
        assert np.asarray(stream["image"]).shape == (4, 2, 3)
        assert stream.timestamps.tolist() == [1001.0, 1002.0, 1003.0, 1004.0]
        assert str(stream.times[0]) == "1970-01-01T00:16:41.000000"
        assert stream.seq.tolist() == [1, 2, 3, 4]
        assert set(stream.epoch.tolist()) == {server.epoch}
        assert spans(stream.ledger) == [(1, 4, "received")]
        assert opened["tested"].info["device"] == "MOTOR"
        assert opened["tested"].address == address_of(server)


def test_all_streams_of_several_servers(
    make_server: MakeServer, record: Any, tmp_path: Path
) -> None:
    """Also those that come later, and of servers of the same name."""
    first, second = make_server(name="camera"), make_server(name="camera")
    publish(first, 1, stream="info")
    publish(second, 2)
    recorder = record(first, second)
    has(recorder, 2)
    publish(first, 3, 4, stream="later")
    has(recorder, 4)
    recorder.close()
    with recording.open(tmp_path / "run.h5") as opened:
        by_address = {server.address: server for server in opened.values()}
        assert len(opened) == 2
        assert {server.name for server in opened.values()} == {"camera"}
        one, other = by_address[address_of(first)], by_address[address_of(second)]
        assert one["info"]["shot"][:].tolist() == [1]
        assert one["later"]["shot"][:].tolist() == [3, 4]
        assert other["shots"]["shot"][:].tolist() == [2]


def test_a_server_that_goes_and_comes(make_server: MakeServer, record: Any, tmp_path: Path) -> None:
    server = make_server()
    address = server.address
    server.declare_stream("shots", history_count=3)
    publish(server, *range(1, 6))
    recorder = record(server, "shots")
    has(recorder, 3)
    server.stop()
    wait_until(lambda: recorder.stats().streams[0].trouble is not None, "it is missed")
    again = make_server(address=address)
    publish(again, 11, 12)
    has(recorder, 5)
    wait_until(lambda: recorder.stats().streams[0].trouble is None, "it is back")
    recorder.close()
    assert shots_of(tmp_path / "run.h5") == [3, 4, 5, 11, 12]
    with recording.open(tmp_path / "run.h5") as opened:
        ledger = opened["tested"]["shots"].ledger
    assert spans(ledger) == [(3, 5, "received"), (5, 5, "ended"), (1, 2, "received")]
    assert [row.epoch == again.epoch for row in ledger] == [False, False, True]


def test_a_recorder_may_be_first(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(start=False)
    address = server.address
    server.stop()
    with ClientLHC(address, timeout_s=0.2) as client:
        with Recorder(tmp_path / "run.h5", [client, (client, "shots")]) as recorder:
            wait_until(lambda: recorder.stats().troubles, "nobody is there")
            publish(make_server(address=address), 1, 2)
            has(recorder, 2)
    assert shots_of(tmp_path / "run.h5") == [1, 2]


def test_what_is_lost_is_told(make_server: MakeServer, record: Any, tmp_path: Path) -> None:
    """A recorder that has no room takes nothing; what leaves the history is in the ledger."""
    server = make_server()
    server.declare_stream("shots", history_count=10)
    image = np.zeros((300, 300))
    recorder = record(server, "shots", max_held_bytes=1)
    assert recorder.wait_followed(PATIENCE_S)
    for number in range(1, 400):
        publish(server, number, image=image + number)
    wait_until(lambda: recorder.stats().streams[0].updates > 0, "some came")
    wait_until(
        lambda: (each := recorder.stats().streams[0]).updates + each.lost == 399,
        "all are accounted for",
    )
    recorder.close()
    with recording.open(tmp_path / "run.h5") as opened:
        stream = opened["tested"]["shots"]
        seq, ledger = stream.seq.tolist(), stream.ledger
        accounted = [number for row in ledger for number in range(row.first, row.last + 1)]
        assert accounted == list(range(1, 400))
        received = [
            number
            for row in ledger
            if row.kind == "received"
            for number in range(row.first, row.last + 1)
        ]
        assert received == seq
        assert stream.lost == 399 - len(seq)
        assert stream["image"][-1][0, 0] == 399


def test_files_by_size(make_server: MakeServer, record: Any, tmp_path: Path) -> None:
    server = make_server()
    recorder = record(server, "shots", part_bytes=300_000, compression="none")
    for number in range(1, 41):
        publish(server, number, image=np.full((100, 200), number, "u2"))
        if number % 8 == 0:
            has(recorder, number)
            wait_until(
                lambda number=number: recorder.stats().files > number // 8,  # type: ignore[misc]
                "another file",
            )
    recorder.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[:2] == ["run-0002.h5", "run-0003.h5"]
    assert names[-1] == "run.h5"
    assert len(names) >= 5
    for path in (tmp_path / "run.h5", tmp_path / "run-0003.h5"):
        assert shots_of(path) == list(range(1, 41))
    with recording.open(tmp_path / "run.h5") as opened:
        stream = opened["tested"]["shots"]
        assert spans(stream.ledger) == [(1, 40, "received")]
        image = stream["image"]
        assert image.shape == (40, 100, 200)
        assert image[6:20:2, 5, 7].tolist() == list(range(7, 21, 2))
        assert image[-1, 0].tolist() == [40] * 200
        assert image[np.array([3, 39]), 0, 0].tolist() == [4, 40]
        assert stream.update(25).data["shot"] == 26
        assert [each.seq for each in stream.updates(5, 30)] == list(range(6, 31))
        assert opened.missing_parts == []
    (tmp_path / "run-0002.h5").unlink()
    with recording.open(tmp_path / "run.h5") as opened:
        assert opened.missing_parts == [2]
        assert opened["tested"]["shots"].rows < 40


def test_files_by_time(make_server: MakeServer, record: Any) -> None:
    server = make_server()
    recorder = record(server, "shots", part_s=0.3)
    publish(server, 1)
    wait_until(lambda: recorder.stats().files == 2, "another file")
    publish(server, 2)
    wait_until(lambda: recorder.stats().files == 3, "and another")


def test_it_can_be_read_while_it_is_written(
    make_server: MakeServer, record: Any, tmp_path: Path
) -> None:
    server = make_server()
    record(server, "shots")
    for number in range(1, 4):
        publish(server, number)
        wait_until(lambda number=number: _rows(tmp_path / "run.h5") == number, "it is there")  # type: ignore[misc]


def _rows(path: Path) -> int:
    with recording.open(path) as opened:
        return sum(stream.rows for server in opened.values() for stream in server.values())


def test_going_on_with_a_recording(make_server: MakeServer, record: Any, tmp_path: Path) -> None:
    server = make_server()
    publish(server, 1, 2, 3)
    recorder = record(server, resume=True)
    has(recorder, 3)
    recorder.close()
    publish(server, 4, 5)
    with pytest.raises(FileExistsError):
        record(server)
    recorder = record(server, resume=True)
    has(recorder, 2)
    recorder.close()
    assert shots_of(tmp_path / "run.h5") == [1, 2, 3, 4, 5]
    with recording.open(tmp_path / "run.h5") as opened:
        assert spans(opened["tested"]["shots"].ledger) == [(1, 5, "received")]
    (tmp_path / "run-0002.h5").rename(tmp_path / "away")
    (tmp_path / "run-0002.h5").write_bytes(b"broken")
    assert shots_of(tmp_path / "run.h5") == [1, 2, 3]
    with pytest.raises(OSError, match=r"run-0002\.h5 is no HDF5 file .*signature not found"):
        record(server, path=tmp_path / "run-0002.h5", resume=True)
    with h5py.File(tmp_path / "strange.h5", "w"):
        pass
    with pytest.raises(ValueError, match="not written by laplace-server"):
        record(server, path=tmp_path / "strange.h5", resume=True)


def test_a_folder_that_vanishes(
    make_server: MakeServer, record: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server()
    folder = tmp_path / "disk"
    folder.mkdir()
    recorder = record(server, "shots", path=folder / "run.h5")
    publish(server, 1)
    has(recorder, 1)
    wait_until(lambda: _rows(folder / "run.h5") == 1, "it is written")
    shutil.move(folder, tmp_path / "away")
    wait_until(lambda: recorder.stats().paused, "it is noticed")
    publish(server, 2, 3)
    folder.mkdir()
    has(recorder, 3)
    wait_until(lambda: recorder.stats().paused is None, "it goes on")
    recorder.close()
    assert "is not written: " in caplog.text
    assert "is written again" in caplog.text
    assert shots_of(tmp_path / "away" / "run.h5") == [1]
    assert shots_of(folder / "run-0002.h5") == [2, 3]


def disk_of(monkeypatch: pytest.MonkeyPatch, free: list[int]) -> None:
    usage = shutil._ntuple_diskusage
    monkeypatch.setattr(
        writing_module.shutil, "disk_usage", lambda path: usage(1 << 40, 0, free[0])
    )


def test_a_full_disk_is_waited_for(
    make_server: MakeServer, record: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [1 << 30]
    disk_of(monkeypatch, free)
    server = make_server()
    recorder = record(server, "shots")
    publish(server, 1)
    has(recorder, 1)
    free[0] = 1 << 20
    wait_until(lambda: recorder.stats().paused is not None, "it pauses")
    told = "only 1.05 MB are free on the disk, of which 67.1 MB are to be left (free_bytes, "
    assert recorder.stats().paused.startswith(told)
    publish(server, 2, 3)
    free[0] = 1 << 30
    has(recorder, 3)
    recorder.close()
    assert shots_of(tmp_path / "run.h5") == [1, 2, 3]


def test_old_files_go_where_the_disk_is_full(
    make_server: MakeServer, record: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = lambda: sorted(path.name for path in tmp_path.iterdir())  # noqa: E731
    usage = shutil._ntuple_diskusage
    monkeypatch.setattr(
        writing_module.shutil,
        "disk_usage",
        lambda path: usage(1 << 40, 0, 0 if len(files()) > 3 else 1 << 30),
    )
    server = make_server()
    recorder = record(server, "shots", part_bytes=1, when_full="remove oldest")
    for number in range(1, 8):
        path = recorder.stats().path
        publish(server, number)
        wait_until(lambda path=path: recorder.stats().path != path, "another file")  # type: ignore[misc]
    recorder.close()
    assert len(files()) <= 3
    assert shots_of(tmp_path / files()[-1])[-1] == 7
    with recording.open(tmp_path / files()[-1]) as opened:
        assert 1 in opened.missing_parts


def test_what_could_not_be_written_is_told_at_the_end(
    make_server: MakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server()
    publish(server, 1, 2)
    folder = tmp_path / "disk"
    folder.mkdir()
    with ClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        recorder = Recorder(folder / "run.h5", [(client, "shots")])
        recorder.start()
        has(recorder, 2)
        shutil.rmtree(folder)
        wait_until(lambda: recorder.stats().paused, "it is noticed")
        publish(server, 3)
        wait_until(lambda: recorder.stats().held > 0, "one waits")
        with pytest.raises(OSError, match="updates are not in") as error:
            recorder.close()
        # Whether the first ones were committed before the folder went, nobody knows.
        assert 1 <= recorder.stats().unwritten <= 3
        assert str(error.value).startswith(f"{recorder.stats().unwritten} updates ")
    told = [each for each in caplog.records if "updates are not in" in each.message]
    assert [bool(each.exc_info) for each in told] == [False]  # no traceback


@pytest.mark.parametrize(
    ("problem", "options"),
    [
        ("'when_full' must be", {"when_full": "stop"}),
        ("'part_bytes' must be positive", {"part_bytes": 0}),
        ("'start' must be", {"start": "now"}),
        ("'sources' must have", {"sources": []}),
    ],
)
def test_wrong_arguments(tmp_path: Path, problem: str, options: dict[str, Any]) -> None:
    with ClientLHC("tcp://127.0.0.1:1") as client:
        with pytest.raises(ValueError, match=problem):
            Recorder(**{"path": tmp_path / "r.h5", "sources": [client], **options})
        with pytest.raises(TypeError, match="'sources' has clients"):
            Recorder(tmp_path / "r.h5", ["tcp://127.0.0.1:1"])  # type: ignore[list-item]
