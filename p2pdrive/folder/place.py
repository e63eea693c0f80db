"""A name in an opened directory: a held directory cannot be redirected by swapping symlinks into its path.

Errors are plain OSError, and ``Changed``.
"""

import os
import stat
from contextlib import suppress
from typing import NamedTuple

from p2pdrive.errors import Changed
from p2pdrive.folder.files import FileKind, Stat

#: Bytes copied at a time, where a file has to be copied.
_COPY_BYTES = 1024 * 1024
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
    executable = kind is FileKind.FILE and mode & stat.S_IXUSR != 0
    mtime_ns = found.st_mtime_ns
    if not -_INTEGER_MAX <= mtime_ns <= _INTEGER_MAX:
        mtime_ns = _INTEGER_MAX if mtime_ns > 0 else -_INTEGER_MAX
    inode = found.st_ino if found.st_ino <= _INTEGER_MAX else found.st_ino - (1 << 64)
    return Stat(kind, found.st_size, mtime_ns, found.st_ctime_ns, inode, executable, target)


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


def mode_for(mode: int, executable: bool) -> int:
    """``mode`` with execution allowed to all who may read, or to nobody."""
    mode &= 0o666
    return mode | (mode & 0o444) >> 2 if executable else mode


def carry(source: Place, target: Place) -> None:
    """Copy a file or symlink, whole and durable, to a name that is free in another file system.

    Killed in between, or failing: ``source`` is as it was. Raises Changed if it changed meanwhile.
    """
    before = look(source)
    if before is None or before.kind not in (FileKind.FILE, FileKind.SYMLINK):
        raise Changed(f"{source.name}: changed while it was copied")
    if before.kind is FileKind.SYMLINK:
        os.symlink(os.readlink(source.name, dir_fd=source.directory), target.name, dir_fd=target.directory)
        return
    try:
        _copy(source, target)
        if look(source) != before:
            raise Changed(f"{source.name}: changed while it was copied")
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(target.name, dir_fd=target.directory)
        raise


def _copy(source: Place, target: Place) -> None:
    plain = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    reading = os.open(source.name, os.O_RDONLY | plain, dir_fd=source.directory)
    try:
        found = os.fstat(reading)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | plain
        writing = os.open(target.name, flags, 0o600, dir_fd=target.directory)
        try:
            while data := os.read(reading, _COPY_BYTES):
                view = memoryview(data)
                while view:
                    view = view[os.write(writing, view) :]
            os.fchmod(writing, found.st_mode & 0o777)
            os.utime(writing, ns=(found.st_mtime_ns, found.st_mtime_ns))
            os.fsync(writing)
        finally:
            os.close(writing)
    finally:
        os.close(reading)
