"""Bytes of the disk set aside for the index: a full disk must not keep it from saying what yields."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from p2pdrive.limits import COMMIT_BYTES, RESERVE_BYTES_MAX, RESERVE_PART

#: Through no link: what a folder from elsewhere has there may lead anywhere.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: Bytes of the shared memory that SQLite makes beside the file: without them it says "I/O error".
SHARED_BYTES = 32 * 1024


class Reserve:
    """The file at ``path``, of bytes that mean nothing. What the system refuses is left undone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self) -> None:
        """Set bytes aside where the disk has twice as many, and nothing is set aside yet."""
        size = self._size()
        if os.path.lexists(self._path) or self.free_bytes() < 2 * size + COMMIT_BYTES:
            return
        with suppress(OSError):
            fd = os.open(self._path, _NEW, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
            except OSError:
                self._path.unlink()
                raise
            finally:
                os.close(fd)

    def release(self) -> bool:
        """Give the bytes to whoever writes next; False where there are none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def release_if_short(self) -> None:
        """The same, where the disk has not enough for what is about to be written."""
        if self.free_bytes() < COMMIT_BYTES:
            self.release()

    def is_disk_full(self) -> bool:
        """Whether not even a page can be written: SQLite calls a quota that is used up an I/O error."""
        probe = self._path.with_name("reserve.probe")
        try:
            fd = os.open(probe, _NEW, 0o600)
            try:
                os.posix_fallocate(fd, 0, SHARED_BYTES)
            finally:
                os.close(fd)
        except OSError as error:
            return error.errno in (errno.ENOSPC, errno.EDQUOT)
        finally:
            with suppress(OSError):
                probe.unlink()
        return False

    def free_bytes(self) -> int:
        """Bytes that may still be written to this disk; many where it does not tell."""
        try:
            found = os.statvfs(self._path.parent)
        except OSError:
            return RESERVE_BYTES_MAX * RESERVE_PART
        return found.f_bavail * found.f_frsize

    def _size(self) -> int:
        try:
            found = os.statvfs(self._path.parent)
        except OSError:
            return 0
        return min(RESERVE_BYTES_MAX, found.f_blocks * found.f_frsize // RESERVE_PART)
