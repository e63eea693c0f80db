"""Whether a drive's ``.p2pdrive`` is still the one that was opened.

Another tool may copy an older one over it, replace parts of it, or remove it. What was opened is known by the
inodes of its parts and by a token of this very opening in the file ``instance``.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from p2pdrive.errors import IndexCorrupt, RootMissing, StateReplaced
from p2pdrive.model.paths import STATE_DIRECTORY

#: What is never replaced while a drive is open.
_LASTING = ("index.db", "packs")
#: What SQLite keeps for as long as it has the index open. Who copies by renames may replace these alone.
_BESIDE = ("index.db-wal", "index.db-shm")
_WAL_HEADER_BYTES = 32


class State:
    """The state of the drive in the folder ``root``, as it is when this is made. A check costs some stats.

    ``random`` gives that many random bytes. Raises RootMissing where a part is not there.
    """

    def __init__(self, root: str, random: Callable[[int], bytes]) -> None:
        self._directory = Path(root, STATE_DIRECTORY)
        self._opened = self._identities()
        self._token = random(16).hex().encode()
        with suppress(OSError):  # on a full disk the inodes alone must do
            self._write_token()
        self._instance = self._look_at_instance()
        self._has_token = self._read_token() == self._token
        self._size = self._index_size()
        self._wal = self._wal_header()
        self._beside = {name: self._identity(name) for name in _BESIDE}

    def check(self) -> None:
        """Raises RootMissing where a part of it is gone, StateReplaced where one is not what was opened."""
        if self._identities() != self._opened or (size := self._index_size()) < self._size:
            raise self._replaced()
        self._size = size
        beside = {name: self._identity(name) for name in _BESIDE}
        if any(known not in (None, beside[name]) for name, known in self._beside.items()):
            raise self._replaced()
        self._beside = beside
        if self._has_token and (there := self._look_at_instance()) != self._instance:
            if self._read_token() != self._token:
                raise self._replaced()
            self._instance = there  # somebody changed its mode, or the like
        self._wal = self._wal_header()

    def clear(self) -> None:
        """Once the index is closed: remove what of it is ours beside an index that is not."""
        if self._wal and self._wal_header() == self._wal:
            (self._directory / "index.db-wal").unlink(missing_ok=True)
        (self._directory / "index.db-shm").unlink(missing_ok=True)

    def _replaced(self) -> StateReplaced:
        return StateReplaced(
            f"{self._directory} was changed by another program while the drive was open. The drive is taken "
            "up again as a folder with another past: nothing in it is deleted."
        )

    def _identities(self) -> list[tuple[int, int]]:
        try:
            os.stat(self._directory / "FORMAT", follow_symlinks=False)
            found = [os.stat(self._directory / name, follow_symlinks=False) for name in _LASTING]
        except OSError as error:
            raise RootMissing(f"{self._directory} is not whole ({error.strerror}).") from error
        return [(each.st_dev, each.st_ino) for each in found]

    def _identity(self, name: str) -> tuple[int, int] | None:
        try:
            found = os.stat(self._directory / name, follow_symlinks=False)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _index_size(self) -> int:
        try:
            return os.stat(self._directory / "index.db").st_size
        except OSError as error:
            raise RootMissing(f"{self._directory} is not whole ({error.strerror}).") from error

    def _look_at_instance(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self._directory / "instance", follow_symlinks=False)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _write_token(self) -> None:
        """Raises OSError. Through no link: what a folder from elsewhere has there may lead anywhere."""
        (self._directory / "instance").unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._directory / "instance", flags, 0o600)
        try:
            os.write(descriptor, self._token)
        finally:
            os.close(descriptor)

    def _read_token(self) -> bytes:
        return self._beginning("instance", 2 * len(self._token))

    def _wal_header(self) -> bytes:
        return self._beginning("index.db-wal", _WAL_HEADER_BYTES)

    def _beginning(self, name: str, size: int) -> bytes:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self._directory / name, flags)
        except OSError:
            return b""
        try:
            return os.read(descriptor, size)
        except OSError:
            return b""
        finally:
            os.close(descriptor)


def check_index_is_there(root: str) -> None:
    """Raises IndexCorrupt where the drive in ``root`` has no index: opening would make an empty one."""
    index = Path(root, STATE_DIRECTORY, "index.db")
    if not os.path.lexists(index):
        raise IndexCorrupt(
            f"{index} is gone. The files of the folder are untouched. Restore it from a backup; or "
            f"`p2pdrive leave {root} --forget` and join again with a new invite: what is here is not "
            "transferred again."
        )
