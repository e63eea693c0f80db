"""Open files of the simulated disk: they stay with their inode, whatever has its name."""

import errno
import os
from types import TracebackType
from typing import Self

from p2pdrive.errors import Changed, NotWritable, Unreadable
from p2pdrive.folder.faults import fault
from p2pdrive.folder.files import Stat
from p2pdrive.lab.inodes import PAGE_BYTES, File, Inode
from p2pdrive.lab.opened import Opened


class SimulatedReadHandle:
    """See ``ReadHandle``. Raises Changed where ``inode`` is no regular file."""

    def __init__(self, opened: Opened, inode: Inode, path: str) -> None:
        if not isinstance(inode, File):
            raise Changed(f"{path}: is no regular file any more")
        self._opened = opened
        self._file = inode
        self._path = path
        self._position = 0
        self._open = True
        inode.opens += 1

    def readinto(self, view: memoryview) -> int:
        """See ``ReadHandle``."""
        number = self._read("readinto", view, self._position)
        self._position += number
        return number

    def pread(self, view: memoryview, offset: int) -> int:
        """See ``ReadHandle``."""
        return self._read("pread", view, offset)

    def next_data(self, offset: int) -> int:
        """See ``ReadHandle``: pages of zeros are holes."""
        data = self._file.data
        for at in range(offset - offset % PAGE_BYTES, len(data), PAGE_BYTES):
            if any(data[at : at + PAGE_BYTES]):
                return max(at, offset)
        return max(offset, len(data))

    def next_hole(self, offset: int) -> int:
        """See ``ReadHandle``."""
        data = self._file.data
        for at in range(offset - offset % PAGE_BYTES, len(data), PAGE_BYTES):
            if not any(data[at : at + PAGE_BYTES]):
                return max(at, offset)
        return max(offset, len(data))

    def stat(self) -> Stat:
        """See ``ReadHandle``."""
        self._opened.step("fstat", self._path)
        return self._file.stat()

    def being_written(self) -> bool | None:
        """See ``ReadHandle``."""
        self._opened.step("lease", self._path)
        return bool(self._file.writers) if self._opened.disk.modern else None

    def is_locked(self, start: int, length: int) -> bool:  # noqa: ARG002 - nobody locks anything
        """See ``ReadHandle``."""
        return False

    def close(self) -> None:
        """See ``ReadHandle``."""
        if self._open and self._opened.alive():  # a kill has closed it already
            self._file.opens -= 1
            self._let_go()
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _let_go(self) -> None:
        pass

    def _read(self, operation: str, view: memoryview, offset: int) -> int:
        self._begin(operation, Unreadable)
        with memoryview(self._file.data) as data:
            number = max(min(len(view), len(data) - offset), 0)
            if number > 1 and self._opened.disk.short_reads:
                number = self._opened.disk.random.randint(1, number)
            view[:number] = data[offset : offset + number]
        self._opened.step(operation, self._path, "after")
        return number

    def _begin(self, operation: str, access: type[Unreadable | NotWritable]) -> None:
        try:
            self._opened.step(operation, self._path)
            if not self._opened.disk.present:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        except OSError as error:
            raise fault(error, self._path, access) from error


class SimulatedWriteHandle(SimulatedReadHandle):
    """See ``WriteHandle``."""

    def __init__(self, opened: Opened, inode: Inode, path: str) -> None:
        super().__init__(opened, inode, path)
        self._file.writers += 1

    def pwrite(self, view: bytes | bytearray | memoryview, offset: int) -> None:
        """See ``WriteHandle``. Where the disk gets full, as much of it is written as there was room for."""
        self._begin("pwrite", NotWritable)
        volume, file = self._opened.volume, self._file
        size = max(len(file.data), offset + len(view))
        more = min(len(view), size - file.charge)
        try:
            if more > 0:
                volume.charge(file, more)
        except OSError as error:
            room = max(volume.capacity - volume.used, 0)
            if room:
                volume.charge(file, room)
                self._put(memoryview(view)[:room], offset)
            raise fault(error, self._path, NotWritable) from error
        self._put(view, offset)
        self._opened.step("pwrite", self._path, "after")

    def _let_go(self) -> None:
        self._file.writers -= 1

    def _put(self, view: bytes | bytearray | memoryview, offset: int) -> None:
        self._file.overwrite(view, offset)
        self._file.written(self._opened.volume.stamp())
