"""Copying what cannot be renamed. Errors are plain OSError, and ``Changed``."""

import os
import stat
from contextlib import suppress

from p2pdrive.errors import Changed
from p2pdrive.folder import holes
from p2pdrive.folder.attributes import keep
from p2pdrive.folder.disks import disk_of
from p2pdrive.folder.files import FileKind
from p2pdrive.folder.place import Place, look


def carry(source: Place, target: Place) -> None:
    """Copy a file or symlink, whole and durable, to a name that is free, be it in another file system.

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
            if found.st_mode & stat.S_IXUSR and disk_of(os.fstat(writing).st_dev).modes:
                os.fchmod(writing, 0o700)
            holes.copy(reading, writing)
            keep(target, source)
            os.utime(writing, ns=(found.st_mtime_ns, found.st_mtime_ns))
            os.fsync(writing)
        finally:
            os.close(writing)
    finally:
        os.close(reading)
