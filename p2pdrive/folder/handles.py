"""Open files."""

import os
import stat
from types import TracebackType
from typing import Self

from p2pdrive.errors import Changed, NotWritable, Unreadable
from p2pdrive.folder import holes
from p2pdrive.folder.attributes import mode_for
from p2pdrive.folder.disks import disk_of
from p2pdrive.folder.faults import fault
from p2pdrive.folder.files import Stat
from p2pdrive.folder.place import stat_of
from p2pdrive.folder.syscalls import SystemCalls, is_locked


class LocalReadHandle:
    """A regular file, open; takes over ``fd``. Raises Changed if it is no regular file.

    ``opened`` is what it was when opened; ``calls`` may tell who writes it.
    """

    def __init__(self, fd: int, path: str, calls: SystemCalls | None = None) -> None:
        self._calls = calls
        self._fd = fd
        self._path = path
        self.opened = os.fstat(fd)
        if not stat.S_ISREG(self.opened.st_mode):
            self.close()
            raise Changed(f"{path}: is no regular file any more")

    @property
    def is_ours(self) -> bool:
        """Whether we may set its time and mode."""
        return os.geteuid() in (0, self.opened.st_uid)

    def readinto(self, view: memoryview) -> int:
        """See ``ReadHandle``."""
        try:
            return os.readv(self._fd, [view])
        except OSError as error:
            raise fault(error, self._path, Unreadable) from error

    def pread(self, view: memoryview, offset: int) -> int:
        """See ``ReadHandle``."""
        try:
            return os.preadv(self._fd, [view], offset)
        except OSError as error:
            raise fault(error, self._path, Unreadable) from error

    def next_data(self, offset: int) -> int:
        """See ``ReadHandle``."""
        try:
            return holes.next_data(self._fd, offset)
        except OSError as error:
            raise fault(error, self._path, Unreadable) from error

    def next_hole(self, offset: int) -> int:
        """See ``ReadHandle``."""
        try:
            return holes.next_hole(self._fd, offset)
        except OSError as error:
            raise fault(error, self._path, Unreadable) from error

    def stat(self) -> Stat:
        """See ``ReadHandle``."""
        try:
            return stat_of(os.fstat(self._fd))
        except OSError as error:
            raise fault(error, self._path, Unreadable) from error

    def being_written(self) -> bool | None:
        """See ``ReadHandle``."""
        return self._calls.is_written(self._fd) if self._calls is not None else None

    def is_locked(self, start: int, length: int) -> bool:
        """See ``ReadHandle``."""
        return is_locked(self._fd, start, length)

    def set_metadata(self, mtime_ns: int, executable: bool, private: bool | None, new_mode: int) -> Stat:
        """Set the time, the executable bit for all who may read it, or for nobody, and unless None whether it
        is private: ``new_mode`` is what new files have. Raises OSError.

        Returns what the file is then, but for what anyone else changes meanwhile.
        """
        mode = stat.S_IMODE(os.fstat(self._fd).st_mode)
        wanted = mode_for(mode, executable, private, new_mode)
        if mode & 0o777 != wanted and disk_of(self.opened.st_dev).modes:
            os.fchmod(self._fd, wanted)
        stored = self.stat()
        os.utime(self._fd, ns=(mtime_ns, mtime_ns))
        return self.stat()._replace(executable=stored.executable, private=stored.private)

    def resize(self, size: int) -> None:
        """Cut, or grow by zeros, to ``size`` bytes. Raises OSError."""
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        """Make its bytes durable. Raises OSError."""
        os.fsync(self._fd)

    def close(self) -> None:
        """See ``ReadHandle``."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                os.close(fd)
            except OSError as error:
                raise fault(error, self._path, Unreadable) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalWriteHandle(LocalReadHandle):
    """A temporary file, open for reading and writing."""

    def pwrite(self, view: bytes | bytearray | memoryview, offset: int) -> None:
        """See ``WriteHandle``."""
        rest = memoryview(view)
        try:
            while rest:
                written = os.pwrite(self._fd, rest, offset)
                rest = rest[written:]
                offset += written
        except OSError as error:
            raise fault(error, self._path, NotWritable) from error
