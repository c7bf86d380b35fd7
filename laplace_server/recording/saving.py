"""A recorder that a master tells where and when to save, as it tells any device."""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from laplace_server.client.stream_source import StreamSource
from laplace_server.protocol import DEVICE_CAMERA
from laplace_server.recording.recorder import Recorder
from laplace_server.security.server import ServerSecurity
from laplace_server.server_lhc import ServerLHC

_FILES = (".h5", ".hdf5", ".nxs")
_FOLLOWED_S = 2.0
_DESCRIBED = {
    "path": {"dtype": "str", "shape": (), "text": "where it saves, unless told otherwise"},
    "saving": {"dtype": "bool", "shape": (), "text": "whether it records"},
    "file": {"dtype": "str", "shape": (), "text": "what it writes, or wrote last"},
    "updates": {"dtype": "int64", "shape": (), "text": "recorded in that file"},
    "lost": {"dtype": "int64", "shape": (), "text": "lost for it"},
    "trouble": {"text": "why nothing is written; null: it is"},
}


class SavingRecorder:
    """A small server; SAVE tells it a path, TOGGLE SAVING begins and ends a recording.

    The path of SAVE, a whole one, is a folder, which is made if need be, in which the file has the
    name of ``path``, or a file where it ends with .h5, .hdf5 or .nxs. A file that is there already
    is not touched: run_2.h5 is next. SAVE while it records goes on there, in a new file. Each
    recording begins with what is published from then on. What cannot be done is the error that the
    master gets.

    Args:
        name, address, security: of the server.
        path: where it saves until told otherwise.
        sources, options: of each ``Recorder``.

    Raises:
        TypeError, ValueError, zmq.ZMQError: as ``ServerLHC`` and ``Recorder``.
    """

    def __init__(
        self,
        name: str,
        address: str,
        path: Path,
        sources: Iterable[StreamSource | tuple[StreamSource, str]],
        *,
        security: ServerSecurity | None = None,
        **options: Any,
    ) -> None:
        self._path = path
        self._name = path.name
        self._sources = list(sources)
        self._options = {"start": "latest", **options}
        Recorder(path, self._sources, **self._options)  # says what is wrong with them
        self._lock = threading.Lock()  # of the recorder there is
        self._recorder: Recorder | None = None
        self._state: dict[str, Any] = {"file": None, "updates": 0, "lost": 0, "trouble": None}
        self.server = ServerLHC(
            name,
            address,
            0,
            DEVICE_CAMERA,
            security=security,
            callback_errors="reply",
            describe=_DESCRIBED,
        )
        self.server.set_on_saving_path_changed(self._on_save)
        self.server.set_on_saving_status_toggled(self._on_toggle_saving)
        self.refresh()

    @property
    def recorder(self) -> Recorder | None:
        """The one that records; None: nothing does."""
        return self._recorder

    def refresh(self) -> None:
        """Tell clients how it is; to be called now and then."""
        with self._lock:
            self._refresh()

    def close(self) -> None:
        """End the recording, and the server.

        Raises:
            OSError: something could not be written.
        """
        self.server.stop()
        with self._lock:
            self._end()

    def __enter__(self) -> SavingRecorder:
        self.server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ---- callbacks

    def _on_save(self, path: Any) -> None:
        if not isinstance(path, str) or not path:
            raise ValueError(f"a path to save to is a text, not {path!r}.")
        wanted = Path(path)
        if not wanted.is_absolute():
            raise ValueError(
                f"a path to save to is a whole one, such as {Path.cwd() / 'today'}, not {path!r}."
            )
        if wanted.suffix not in _FILES:
            wanted /= self._name
        wanted.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(wanted.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(wanted.parent))
        with self._lock:
            self._path = wanted
            if self._recorder is not None:
                self._end()
                self._begin()
            self._refresh()

    def _on_toggle_saving(self, on: Any) -> None:
        with self._lock:
            if not on:
                self._end()
            elif self._recorder is None:
                self._begin()
            self._refresh()

    def _begin(self) -> None:
        path = self._path
        path.parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(2):
            if not path.exists():
                break
            path = self._path.with_stem(f"{self._path.stem}_{number}")
        recorder = Recorder(path, self._sources, **self._options)
        recorder.start()
        self._recorder = recorder
        recorder.wait_followed(_FOLLOWED_S)

    def _end(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            try:
                recorder.close()
            finally:
                self._look(recorder)

    def _look(self, recorder: Recorder) -> None:
        stats = recorder.stats()
        self._state = {
            "file": str(stats.path),
            "updates": sum(each.updates for each in stats.streams) - stats.unwritten,
            "lost": sum(each.lost for each in stats.streams),
            "trouble": stats.paused,
        }

    def _refresh(self) -> None:
        recorder = self._recorder
        if recorder is not None:
            self._look(recorder)
        state = {"path": str(self._path), "saving": recorder is not None, **self._state}
        self.server.set_data(state, copy=True)
