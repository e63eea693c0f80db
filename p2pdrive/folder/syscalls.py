"""System calls that the standard library lacks, each with what is done where the kernel lacks it.

openat2(2), renameat2(2), syncfs(2), and leases of fcntl(2). Calls through ctypes release the GIL.
"""

import ctypes
import errno
import fcntl
import os
import signal
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from p2pdrive.folder.disks import disk_of

#: openat2 has one number on all Linux architectures but alpha (<asm-generic/unistd.h>).
_OPENAT2 = 437
#: <linux/openat2.h>: RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH
_RESOLVE = 0x04 | 0x08
#: <linux/fs.h>
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
#: How a kernel or file system says that it does not know a call or a flag.
_UNKNOWN = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}
#: How a file system says that it has no hard links (or not for this file).
_NO_LINK = _UNKNOWN | {errno.EPERM, errno.EMLINK}
#: <fcntl.h>, ``struct flock``: type, whence, start, length, process.
_FLOCK = struct.Struct("hhqqi4x")
#: A directory used only to reach what is in it; needs no permission to read it.
REACH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class SystemCalls:
    """Which calls are used. Each flag says whether the kernel's own call is."""

    def __init__(self, *, beneath: bool, renames: bool, sync_all: bool, leases: bool) -> None:
        self._beneath = beneath
        self._renames = renames
        self.sync_all = sync_all
        self.leases = leases

    @classmethod
    def detect(cls) -> "SystemCalls":
        """All that this kernel has."""
        linux = sys.platform == "linux"
        return cls(
            beneath=linux and _has_openat2(),
            renames=_function("renameat2") is not None,
            sync_all=_function("syncfs") is not None,
            leases=linux,
        )

    @classmethod
    def portable(cls) -> "SystemCalls":
        """Only what every POSIX system has."""
        return cls(beneath=False, renames=False, sync_all=False, leases=False)

    def open_beneath(self, root: int, path: str, flags: int) -> int:
        """Open ``path`` under the directory ``root``, through no symlink, not even as its last part."""
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC
        if "/" not in path:
            return os.open(path, flags, dir_fd=root)
        if self._beneath:
            return _openat2(root, path.encode(), flags)
        *directories, last = path.split("/")
        above = root
        try:
            for directory in directories:
                below = os.open(directory, REACH, dir_fd=above)
                if above != root:
                    os.close(above)
                above = below
            return os.open(last, flags, dir_fd=above)
        finally:
            if above != root:
                os.close(above)

    def rename_new(self, source_fd: int, source: str, target_fd: int, target: str) -> None:
        """Rename to a name that is free, or raise FileExistsError.

        Without the kernel's call ``source`` must be in our own directory: for a moment it has both names.
        """
        if self.move_new(source_fd, source, target_fd, target):
            return
        try:
            os.link(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
        else:
            os.unlink(source, dir_fd=source_fd)
            return
        with suppress(FileNotFoundError):
            os.stat(target, dir_fd=target_fd, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        # RACE: a file made at `target` since the line above is overwritten. Microseconds, a name that was
        # just seen free, and only where there is neither RENAME_NOREPLACE nor a hard link (old FAT).
        os.rename(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)

    def move_new(self, source_fd: int, source: str, target_fd: int, target: str) -> bool:
        """Rename to a name that is free, at once; False, and nothing done, where that cannot be."""
        return self._renameat2(source_fd, source, target_fd, target, _RENAME_NOREPLACE)

    def exchange(self, one_fd: int, one: str, other_fd: int, other: str) -> bool:
        """Swap two names at once; False, and nothing done, where that cannot be."""
        return self._renameat2(one_fd, one, other_fd, other, _RENAME_EXCHANGE)

    def sync_file_system(self, fd: int) -> None:
        """Make all of a file system durable. Only where ``sync_all``."""
        call = _function("syncfs")
        assert call is not None
        _check(call(fd))

    def lease(self, fd: int) -> bool | None:
        """Keep others from opening for writing a file that is open for reading, until ``fd`` is closed.

        False where one has it open for writing already, None where the platform or the disk cannot tell.
        """
        if not self.leases:
            return None
        try:
            # Who opens it for writing waits, and we are told by a signal: choose one that is ignored by
            # default, since SIGIO, the kernel's choice, would end the process.
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            told = error.errno == errno.EAGAIN and disk_of(os.fstat(fd).st_dev).leases
            return False if told else None
        return True

    def is_written(self, fd: int) -> bool | None:
        """Whether someone has the file that is open as ``fd``, for reading, open for writing as well, or
        mapped; None where nobody can tell. Who opens it from now on is not held up."""
        leased = self.lease(fd)
        if leased:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return None if leased is None else not leased

    def being_written(self, directory: int, name: str) -> bool:
        """Whether someone has this regular file open for writing; False where nobody can tell."""
        if not self.leases:
            return False
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        except OSError:
            return False
        try:
            return self.lease(fd) is False  # what is no regular file gets none, with another error
        finally:
            os.close(fd)

    def _renameat2(self, source_fd: int, source: str, target_fd: int, target: str, flags: int) -> bool:
        if not self._renames:
            return False
        call = _function("renameat2")
        assert call is not None
        try:
            _check(call(source_fd, source.encode(), target_fd, target.encode(), flags))
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
            return False
        return True


def is_locked(fd: int, start: int, length: int) -> bool:
    """Whether another process holds a lock for writing in this range of an open file; False where that cannot
    be told."""
    if sys.platform != "linux":
        return False  # the structure is another one
    asked = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, start, length, 0)
    try:
        kind, *_ = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    except OSError:
        return False
    return bool(kind != fcntl.F_UNLCK)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@cache
def _function(name: str) -> Callable[..., Any] | None:
    """A function of the C library with its argument types set; None where it has none."""
    types: dict[str, tuple[Any, ...]] = {
        "renameat2": (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint),
        "syncfs": (ctypes.c_int,),
        "syscall": (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t),
    }
    function = getattr(_library(), name, None)
    if function is not None:
        function.argtypes = types[name]
        function.restype = ctypes.c_long if name == "syscall" else ctypes.c_int
    return function


@cache
def _how(flags: int) -> bytes:
    """``struct open_how``: flags, mode, resolve."""
    return struct.pack("=QQQ", flags, 0, _RESOLVE)


def _openat2(root: int, path: bytes, flags: int) -> int:
    call = _function("syscall")
    assert call is not None
    how = _how(flags)
    return _check(call(_OPENAT2, root, path, how, len(how)))


def _has_openat2() -> bool:
    """Containers may forbid it with any error; old kernels do not have it."""
    try:
        root = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(_openat2(root, b".", REACH))
    except OSError:
        return False
    finally:
        os.close(root)
    return True
