"""A file whose bytes reach the disk in an order that leaves it readable at any moment.

HDF5 writes its tables in the order in which they lie, so that some refer to what is not there yet.
A process that is killed between two such writes leaves a file that cannot be opened. So small
writes are kept here until ``commit``, which first writes what nothing refers to yet, and then what
refers to it. Large new blocks, such as compressed images, go to the disk at once.

What cannot be written raises nothing through HDF5, whose own tables would be of no use after it: it
is kept as ``failure``, nothing more is written, and the file stays as the last commit left it.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import os
import uuid
import weakref
from pathlib import Path

from laplace_server.recording import disk

_DIRECT_BYTES = 16 << 10
_SUPERBLOCK = 0
_TREE, _LEVEL_AT = b"TREE", 5  # of a B-tree's node: how many levels are below it
_LOCAL_HEAP, _BLOCK_AT = b"HEAP", slice(24, 32)  # of its head: where the texts are
_FREE = slice(16, 24)  # of its head, too: which part of the texts' block is free
_NO_FREE = (1).to_bytes(8, "little")
_HEAPS = (b"GCOL", _LOCAL_HEAP)


class OrderedFile:
    """What ``h5py.File`` takes in the place of a path; one thread uses it.

    It has its name from the first commit on, so that nobody finds an empty file.

    Raises:
        OSError: the file cannot be made, or is there already.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        # Windows renames no file that is open.
        hidden = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        self._written_at = hidden if os.name == "posix" else path
        try:
            self._descriptor = os.open(self._written_at, flags, 0o666)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        disk.claim(self._descriptor)
        self.path = path
        self.failure: OSError | None = None
        """Why nothing is written any more."""
        self._at = 0
        self._pieces: dict[int, bytes] = {}  # written since the last commit, by address
        self._addresses: list[int] = []  # of those, sorted
        self._known: set[int] = set()  # where commits have written before
        self._heap_blocks: set[int] = set()
        self._last: set[int] = set()
        self._end = 0  # of the file as HDF5 sees it
        self._committed_end = 0
        self._told_end = 0  # by the head that is on the disk
        _open_files.add(self)

    @property
    def size(self) -> int:
        """Bytes that the file has."""
        return self._end

    def is_in_place(self) -> bool:
        """Whether the path still leads to this file."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._descriptor))
        except OSError:
            return False

    # ---- what h5py calls

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set where the next read or write begins."""
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        """Say where the next read or write begins."""
        return self._at

    def read(self, size: int) -> bytes:
        """Return so many bytes, less at the end of the file."""
        buffer = bytearray(max(0, min(size, self._end - self._at)))
        self.readinto(memoryview(buffer))
        return bytes(buffer)

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer, with zeros where nothing was written."""
        view = memoryview(buffer).cast("B")
        begin, size = self._at, len(view)
        on_disk = disk.read_at(self._descriptor, begin, size) if self.failure is None else b""
        view[: len(on_disk)] = on_disk
        view[len(on_disk) :] = bytes(size - len(on_disk))
        for address in self._overlapping(begin, begin + size):
            piece = self._pieces[address]
            low, high = max(begin, address), min(begin + size, address + len(piece))
            view[low - begin : high - begin] = piece[low - address : high - address]
        self._at += size
        return size

    def write(self, data: memoryview) -> int:
        """Keep it for the next commit, or write it where nothing refers to it yet."""
        view = memoryview(data).cast("B")
        address, size = self._at, len(view)
        self._at += size
        self._end = max(self._end, self._at)
        is_new = address >= self._committed_end and not self._overlapping(address, self._at)
        if is_new and size >= _DIRECT_BYTES:
            self._put(address, view)
        else:
            self._keep(address, bytes(view))
        return size

    def truncate(self, size: int) -> int:
        """Set the size; a smaller one holds from the next commit on."""
        self._end = size
        return size

    def flush(self) -> None:
        """Nothing: what HDF5 flushes, ``commit`` writes."""

    # ---- the writer's

    def write_last(self, address: int) -> None:
        """Have each commit write the object at this address behind all others.

        So what a dataset there counts is whole, whenever somebody looks.
        """
        self._last.add(address)

    def commit(self) -> None:
        """Write what has been kept, so that the file is whole before, after and meanwhile."""
        pieces, known = self._pieces, self._known
        for address, piece in pieces.items():
            if piece.startswith(_LOCAL_HEAP):
                self._heap_blocks.add(int.from_bytes(piece[_BLOCK_AT], "little"))
                pieces[address] = piece[: _FREE.start] + _NO_FREE + piece[_FREE.stop :]
        new = [address for address in self._addresses if address not in known]
        old = [address for address in self._addresses if address in known]
        for address in reversed(new):  # the head last, where it is new
            self._put(address, pieces[address])
        if self.failure is None and self._end > self._committed_end:
            self._resize()  # before the head tells of it
        for address in sorted(old, key=self._rank):
            self._put(address, pieces[address])
        if self.failure is None and self._end < self._committed_end:
            self._resize()
        known.update(new)
        if self.failure is None:
            self._committed_end = self._end
        self._pieces, self._addresses = {}, []
        if self._written_at != self.path and self.failure is None:
            self._rename()

    def abandon(self, why: OSError) -> None:
        """Write nothing more; the file stays as the last commit left it."""
        self.failure = self.failure or why

    def close(self) -> None:
        """Let go of the file, and of what was not committed; one that got no name is removed."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                if not self._committed_end or self._written_at != self.path:
                    self._written_at.unlink()
                elif os.fstat(self._descriptor).st_size > self._told_end:
                    os.ftruncate(self._descriptor, self._told_end)  # a full disk needs the room
            descriptor, self._descriptor = self._descriptor, -1
            self.failure = self.failure or OSError("the file is closed")
            os.close(descriptor)

    def _leave(self) -> None:
        """In a forked child, where HDF5 would write what it holds: the file is the parent's."""
        self.abandon(OSError("a forked child does not write its parent's recording"))
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _rank(self, address: int) -> int:
        """What is referred to first.

        The head: nothing may lie beyond the end that it tells. Heaps: texts are only added to them,
        and of what is free in one of names nobody is told, since that would change with them.
        Nodes of trees, parents first: what a child hands to a new one is there twice then, and
        never missing. Sizes of datasets and other tables, and last those that count the others.
        """
        if address == _SUPERBLOCK:
            return -1000
        if address in self._last:
            return 2
        piece = self._pieces[address]
        if address in self._heap_blocks:
            return -501
        if piece.startswith(_HEAPS):
            return -500
        return -piece[_LEVEL_AT] if piece.startswith(_TREE) else 1

    def _keep(self, address: int, piece: bytes) -> None:
        same = self._pieces.get(address)
        if same is None or len(same) != len(piece):
            touched = self._overlapping(address, address + len(piece))
            if touched:
                address, piece = self._joined(touched, address, piece)
            bisect.insort(self._addresses, address)
        self._pieces[address] = piece

    def _joined(self, touched: list[int], address: int, piece: bytes) -> tuple[int, bytes]:
        """Make one piece of those that overlap, the newest on top."""
        last = touched[-1]
        low = min(address, touched[0])
        high = max(address + len(piece), last + len(self._pieces[last]))
        position, self._at = self._at, low
        whole = bytearray(high - low)
        self.readinto(memoryview(whole))
        self._at = position
        whole[address - low : address - low + len(piece)] = piece
        for each in touched:
            del self._pieces[each]
            self._addresses.remove(each)
        return low, bytes(whole)

    def _overlapping(self, begin: int, end: int) -> list[int]:
        addresses = self._addresses
        at = bisect.bisect_right(addresses, begin)
        if at and addresses[at - 1] + len(self._pieces[addresses[at - 1]]) > begin:
            at -= 1
        return addresses[at : bisect.bisect_left(addresses, end, at)]

    def _put(self, address: int, data: bytes | memoryview) -> None:
        if self.failure is not None:
            return
        try:
            disk.write_at(self._descriptor, address, memoryview(data))
        except OSError as error:
            self.failure = error
        else:
            if address == _SUPERBLOCK:
                self._told_end = self._end

    def _rename(self) -> None:
        try:
            disk.give_name(self._written_at, self.path)
        except OSError as error:
            self.failure = error
        else:
            self._written_at = self.path

    def _resize(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._end)
        except OSError as error:
            self.failure = error


_open_files: weakref.WeakSet[OrderedFile] = weakref.WeakSet()


def _leave_all() -> None:
    for each in list(_open_files):
        each._leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)
