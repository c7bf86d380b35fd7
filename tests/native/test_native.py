"""The C++ tests of the core without Python, compiled with sanitizers where there are any."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.native_build import (
    CORE,
    NATIVE,
    THREADS,
    WARNINGS,
    Builder,
    run,
    run_program,
)
from support.sodium import libsodium

SCANNER = CORE / "requests" / "scan.cpp"

pytestmark = [
    pytest.mark.any_python,
    pytest.mark.skipif(
        not SCANNER.exists(), reason="the sources of the core (csrc/) are not beside the tests"
    ),
]


def libzmq() -> Path:
    """The libzmq that the core uses here, as a file of its own; skips the test without one."""
    import zmq

    import laplace_server

    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    found = [Path(line.split(maxsplit=5)[5]) for line in lines if "libzmq" in line]
    beside = Path(zmq.__file__).parent
    for folder in (beside / ".dylibs", Path(laplace_server.__file__).parent / "bundled"):
        found += [path for path in folder.glob("libzmq*") if path.suffix in (".dylib", ".dll")]
    if not found:
        pytest.skip("pyzmq's libzmq is no file of its own")
    return found[0]


# What each program is made of beside itself and support/, and how many checks it makes at least.
ZMTP = [CORE / "zmtp" / "commands.cpp", CORE / "zmtp" / "conversation.cpp"]
CURVE = [path for room in ("crypto", "zmtp") for path in sorted((CORE / room).glob("*.cpp"))]
READER = [*ZMTP, CORE / "transport" / "message_reader.cpp"]  # of whom a message may be taken
ZMQ_ROUTER = [
    *READER,
    CORE / "base" / "real_time.cpp",
    CORE / "transport" / "zmq_router.cpp",
    CORE / "transport" / "zmq_sockets.cpp",
]
REQUESTS = [
    *READER,
    CORE / "documents" / "documents.cpp",
    CORE / "requests" / "clients.cpp",
    CORE / "requests" / "job_queue.cpp",
    CORE / "requests" / "peer_queues.cpp",
    CORE / "requests" / "responder.cpp",
    SCANNER,
]
STREAM = CORE / "streams" / "stream.cpp"
LOOP = [CORE / "server" / "loop.cpp", CORE / "base" / "crash_notes.cpp"]
SENDER = [*READER, STREAM, CORE / "streams" / "stream_sender.cpp"]
FAILING_MEMORY = NATIVE / "support" / "failing_memory.cpp"
CLIENT = sorted((CORE / "client").glob("*.cpp"))
LINK = [CORE / "client" / f"{name}.cpp" for name in ("curve_link", "incoming")]
INCOMING = [*CURVE, *LINK]
TCP = [*sorted((CORE / "tcp").glob("*.cpp")), CORE / "base" / "interfaces.cpp"]
PROGRAMS: list[tuple[str, list[Path], int]] = [
    ("scan_test", [SCANNER], 100_000),
    ("spin_test", [], 1000),
    ("crash_notes_test", [CORE / "base" / "crash_notes.cpp"], 100),
    ("turn_test", [], 10_000),
    ("result_queue_test", [], 900),
    ("poller_threads_test", TCP, 30_000),
    ("zmtp_test", ZMTP, 1_500),
    ("zmtp_cuts_test", ZMTP, 15_000),
    ("message_reader_test", [*READER, FAILING_MEMORY], 10_000),
    ("refusal_log_test", [CORE / "requests" / "job_queue.cpp", FAILING_MEMORY], 1_000),
    ("poller_test", [*TCP, FAILING_MEMORY], 150_000),
    ("tcp_test", TCP, 30),
    ("tcp_bytes_test", TCP, 30),
    ("address_test", [*TCP, FAILING_MEMORY], 10_000),
    ("incoming_test", INCOMING, 50_000),
    ("unsent_test", [CORE / "client" / "unsent.cpp", FAILING_MEMORY], 29_000),
    ("transfer_test", [*CURVE, *TCP, *CLIENT], 54),
    ("message_test", [FAILING_MEMORY], 270),
    ("outbox_test", [CORE / "transport" / "outbox.cpp", FAILING_MEMORY], 30_000),
    ("zmq_router_test", [*ZMQ_ROUTER, FAILING_MEMORY], 1_600),
    ("peer_queues_test", REQUESTS, 90),
    ("peers_room_test", [*REQUESTS, FAILING_MEMORY], 250),
    ("repeated_reads_test", [*REQUESTS, FAILING_MEMORY], 100),
    ("roles_test", REQUESTS, 100),
    ("clients_test", [CORE / "requests" / "clients.cpp", FAILING_MEMORY], 70),
    ("denials_test", [CORE / "requests" / "job_queue.cpp", FAILING_MEMORY], 1_000),
    ("peers_waiting_test", [*REQUESTS, FAILING_MEMORY], 100_000),
    ("stream_test", [STREAM], 50_000),
    ("stream_sender_test", SENDER, 500),
    ("stream_alone_test", SENDER, 80),
    ("stream_ends_test", SENDER, 150),
    ("stream_silence_test", SENDER, 3_000),
    ("stream_accounts_test", [*SENDER, FAILING_MEMORY], 200_000),
    ("in_place_test", [*{*REQUESTS, *SENDER, *LOOP}], 1_000),
]
RECORDINGS = [
    ("zmtp_recordings_test", ZMTP, 3_000),
    ("client_recordings_test", INCOMING, 1_000),
]
# These need libsodium, and the last one what was recorded.
CURVE_PROGRAMS: list[tuple[str, list[Path], int]] = [
    ("sodium_test", [], 300),
    ("curve_test", [], 3_800),
    ("curve_forged_test", [], 500),
    ("curve_secrets_test", [], 20),
    ("curve_traffic_test", [], 5_000),
    ("curve_reader_test", [], 100_000),
    ("curve_link_test", [], 20_000),
    ("curve_recordings_test", [NATIVE / "recordings" / "curve"], 3_000),
    ("sealing_test", [], 12_000),
    ("curve_serve_test", [], 700),
    ("curve_keys_test", [], 1_200),
]
# What they are made of beside CURVE.
SEALING = [CORE / "transport" / f"{name}.cpp" for name in ("outbox", "sealing")]
NOT_CURVE = [path for path in sorted(CORE.rglob("*.cpp")) if path not in CURVE]
BESIDE = {
    "curve_link_test": LINK,
    "sealing_test": [*SEALING, FAILING_MEMORY],
    "curve_serve_test": NOT_CURVE,
    "curve_keys_test": NOT_CURVE,
}


@pytest.mark.parametrize(
    ("name", "sources", "at_least"), PROGRAMS, ids=[name for name, _, _ in PROGRAMS]
)
def test_native_part(
    builder: Builder,
    tmp_path: Path,
    name: str,
    sources: list[Path],
    at_least: int,
) -> None:
    program = tmp_path / name
    builder.build(program, [NATIVE / f"{name}.cpp", *sources], *builder.checking())
    output = run_program(program)
    assert ", 0 failed" in output
    assert int(output.split()[0]) >= at_least


@pytest.mark.parametrize(
    "name",
    ["turn_test", "result_queue_test", "poller_threads_test", "message_test", "stream_test"],
)
def test_threads_share_nothing_unguarded(builder: Builder, tmp_path: Path, name: str) -> None:
    builder.require(THREADS)
    sources = next(sources for each, sources, _ in PROGRAMS if each == name)
    program = tmp_path / name
    builder.build(program, [NATIVE / f"{name}.cpp", *sources], *WARNINGS, *THREADS)
    assert ", 0 failed" in run_program(program)


@pytest.mark.parametrize(("name", "sources", "at_least"), RECORDINGS, ids=["both", "client"])
def test_recorded_conversations(
    builder: Builder,
    tmp_path: Path,
    name: str,
    sources: list[Path],
    at_least: int,
) -> None:
    program = tmp_path / name
    builder.build(program, [NATIVE / f"{name}.cpp", *sources], *builder.checking())
    output = run_program(program, NATIVE / "recordings")
    assert ", 0 failed" in output
    assert int(output.split()[0]) >= at_least


@pytest.mark.parametrize(
    ("name", "given", "at_least"), CURVE_PROGRAMS, ids=[name for name, _, _ in CURVE_PROGRAMS]
)
def test_curve(
    builder: Builder,
    tmp_path: Path,
    name: str,
    given: list[Path],
    at_least: int,
) -> None:
    output = run_with_sodium(builder, tmp_path / name, *builder.checking(), given=given)
    assert ", 0 failed" in output
    assert int(output.split()[0]) >= at_least


def run_with_sodium(
    builder: Builder, program: Path, *flags: str, given: Sequence[Path] = ()
) -> str:
    library = libsodium()
    if library is None:
        pytest.skip("pyzmq's libsodium is no file of its own")
    sources = [NATIVE / f"{program.name}.cpp", *CURVE, *BESIDE.get(program.name, [])]
    builder.build(program, sources, *flags)
    return run_program(program, library, *given)


def test_threads_that_change_keys_share_nothing_unguarded(builder: Builder, tmp_path: Path) -> None:
    builder.require(THREADS)
    program = tmp_path / "curve_keys_test"
    assert ", 0 failed" in run_with_sodium(builder, program, *WARNINGS, *THREADS)


def test_every_program_is_run() -> None:
    assert {path.stem for path in NATIVE.glob("*_test.cpp")} == {
        *(name for name, _, _ in [*PROGRAMS, *CURVE_PROGRAMS, *RECORDINGS]),
        "serve_test",
    }


def test_a_server_without_python(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = libzmq()
    # Temporary files end with the test's.
    for name in ("TMPDIR", "TMP", "TEMP"):
        monkeypatch.setenv(name, str(tmp_path))
    program = tmp_path / "serve_test"
    sources = [*sorted(NATIVE.glob("serve_*.cpp")), *sorted(CORE.rglob("*.cpp"))]
    builder.build(program, sources, *builder.checking())
    output = run_program(program, library)
    assert ", 0 failed" in output
    assert int(output.split()[0]) >= 15_000


def test_header_is_plain_c(tmp_path: Path) -> None:
    """The header belongs to C too, and may be included twice."""
    command = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if command is None:
        pytest.skip("no C compiler")
    source = tmp_path / "header.c"
    header = SCANNER.with_suffix(".h")
    source.write_text(f'#include "{header}"\n#include "{header}"\nls_envelope envelope;\n')
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-c"]
    run(command, *flags, source, "-o", tmp_path / "header.o")
