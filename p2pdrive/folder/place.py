"""A name in an opened directory: a held directory cannot be redirected by swapping symlinks into its path.

Errors are plain OSError.
"""

import os
import stat
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

from p2pdrive.folder.disks import disk_of
from p2pdrive.folder.files import FileKind, Name, Stat
from p2pdrive.folder.syscalls import REACH

_NOT_OWNERS = 0o077
_INTEGER_MAX = (1 << 63) - 1

_KINDS = {stat.S_IFREG: FileKind.FILE, stat.S_IFDIR: FileKind.DIRECTORY, stat.S_IFLNK: FileKind.SYMLINK}


class Place(NamedTuple):
    """``name`` in the directory that is open as ``directory``."""

    directory: int
    name: str


def stat_of(found: os.stat_result, target: str | None = None) -> Stat:
    """The drive's view of a stat result, in numbers that records and the index can hold: a time beyond the
    year 2262 is that year's, and an inode of 64 bits (some network file systems have them) is signed."""
    mode = found.st_mode
    kind = _KINDS.get(stat.S_IFMT(mode), FileKind.OTHER)
    executable: bool | None = kind is FileKind.FILE and mode & stat.S_IXUSR != 0
    if kind is FileKind.FILE and not disk_of(found.st_dev).executable:
        executable = None
    mtime_ns = found.st_mtime_ns
    if not -_INTEGER_MAX <= mtime_ns <= _INTEGER_MAX:
        mtime_ns = _INTEGER_MAX if mtime_ns > 0 else -_INTEGER_MAX
    inode = found.st_ino if found.st_ino <= _INTEGER_MAX else found.st_ino - (1 << 64)
    private: bool | None = False
    if kind in (FileKind.FILE, FileKind.DIRECTORY):
        private = mode & _NOT_OWNERS == 0 if disk_of(found.st_dev).modes else None
    links = found.st_nlink if kind is FileKind.FILE else 1
    return Stat(kind, found.st_size, mtime_ns, found.st_ctime_ns, inode, executable, target, private, links)


def look(place: Place) -> Stat | None:
    """What is at a place; None if nothing is."""
    directory, name = place
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            return stat_of(found)
        raw = os.fsencode(os.readlink(name, dir_fd=directory))
    except FileNotFoundError:
        return None
    try:
        return stat_of(found, raw.decode())
    except UnicodeDecodeError:
        return stat_of(found)


class Parent:
    """The place of ``path``, while its parent is held open: by ``opened``, or as ``root``.

    A class, since a generator would cost some 2 us more a call.
    """

    __slots__ = ("_fd", "_open", "_path", "_root")

    def __init__(self, opened: Callable[[str, int], int], root: int, path: str) -> None:
        self._open = opened
        self._root = root
        self._path = path
        self._fd = root

    def __enter__(self) -> Place:
        directory, _, name = self._path.rpartition("/")
        if directory:
            self._fd = self._open(directory, REACH)
        return Place(self._fd, name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd != self._root:
            os.close(self._fd)


def listed(entry: "os.DirEntry[str]", directory: int) -> Name | None:
    """A listed name; None if it has gone since."""
    raw = os.fsencode(entry.name)
    try:
        text: str | None = raw.decode()
    except UnicodeDecodeError:
        text = None
    try:
        if entry.is_symlink():
            found = look(Place(directory, entry.name))
            return None if found is None else Name(text, raw, found)
        return Name(text, raw, stat_of(entry.stat(follow_symlinks=False)))
    except FileNotFoundError:
        return None
    except OSError:
        return Name(text, raw, None)
