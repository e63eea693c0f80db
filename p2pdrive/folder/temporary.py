"""The temporary area ``.p2pdrive/tmp``: files being received, and files displaced from the folder.

A displaced file is named ``displaced.<hex number>.<its path, '/' and '%' escaped>``, so that it is known
for what it is after a kill; a path too long for a name is left out. All else is a temporary. Errors are
plain OSError, and ``Changed``.
"""

import os
import stat
from contextlib import suppress
from itertools import count

from p2pdrive.folder.attributes import close_to_others, mode_for, umask
from p2pdrive.folder.disks import disk_of, longest_name
from p2pdrive.folder.files import Displaced, Stat
from p2pdrive.folder.handles import LocalReadHandle, LocalWriteHandle
from p2pdrive.folder.place import Place, look, stat_of
from p2pdrive.folder.syscalls import SystemCalls
from p2pdrive.limits import NAME_BYTES_MAX
from p2pdrive.model.paths import STATE_DIRECTORY, join

PATH = join(STATE_DIRECTORY, "tmp")
#: How the name of a displaced file begins.
DISPLACED = "displaced."
_PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class TemporaryArea:
    """The area under the open directory ``root``; made, private to the person, where it is absent."""

    def __init__(self, root: int, calls: SystemCalls) -> None:
        state = calls.open_beneath(root, STATE_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY)
        try:
            close_to_others(state)  # a copy of the folder may have opened it
            with suppress(FileExistsError):
                os.mkdir("tmp", 0o700, dir_fd=state)
            self.fd = os.open("tmp", os.O_RDONLY | os.O_DIRECTORY | _PLAIN, dir_fd=state)
            close_to_others(self.fd)
        finally:
            os.close(state)
        self.new_mode = 0o666 & ~umask()  # of a file that the person makes
        self._next = count(1 + max((number_of(name) for name in os.listdir(self.fd)), default=0))

    def open(self, name: str, size: int) -> LocalWriteHandle:
        """See ``Files.open_temporary``."""
        _checked(name)
        handle = self._opened(name, 0)
        if handle.opened.st_nlink > 1:
            # A kill between link and unlink: the other name may be in the folder, so this one is let go.
            handle.close()
            os.unlink(name, dir_fd=self.fd)
            handle = self._opened(name, os.O_EXCL)
        try:
            if handle.opened.st_size != size:
                handle.resize(size)
        except BaseException:
            handle.close()
            raise
        return handle

    def _opened(self, name: str, flags: int) -> LocalWriteHandle:
        # The permissions are those of a file the person makes; the area itself is closed to others.
        fd = os.open(name, os.O_RDWR | os.O_CREAT | _PLAIN | flags, 0o666, dir_fd=self.fd)
        return LocalWriteHandle(fd, f"{PATH}/{name}")

    def reading(self, name: str) -> LocalReadHandle:
        """A finished temporary, open."""
        _checked(name)
        return LocalReadHandle(os.open(name, os.O_RDONLY | _PLAIN, dir_fd=self.fd), f"{PATH}/{name}")

    def finish(self, name: str, mtime_ns: int, executable: bool, private: bool | None) -> Stat:
        """See ``Files.finish_temporary``."""
        _checked(name)
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=self.fd, follow_symlinks=False)
        found = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        wanted = mode_for(self.new_mode, executable, private, self.new_mode)
        if stat.S_IMODE(found.st_mode) != wanted and disk_of(found.st_dev).modes:
            os.chmod(name, wanted, dir_fd=self.fd)
            found = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        return stat_of(found)

    def names(self) -> list[str]:
        """All temporaries, the displaced left out."""
        return sorted(name for name in os.listdir(self.fd) if not name.startswith(DISPLACED))

    def displaced(self) -> list[Displaced]:
        """All that is displaced, oldest first."""
        names = [name for name in os.listdir(self.fd) if name.startswith(DISPLACED)]
        return [
            Displaced(name, origin_of(name), found)
            for name in sorted(names, key=number_of)
            if (found := look(Place(self.fd, name))) is not None
        ]

    def open_displaced(self, name: str) -> LocalReadHandle:
        """See ``Files.open_displaced``."""
        assert name.startswith(DISPLACED)
        assert "/" not in name
        return LocalReadHandle(os.open(name, os.O_RDONLY | _PLAIN, dir_fd=self.fd), f"{PATH}/{name}")

    def discard(self, name: str) -> None:
        """See ``Files.discard``."""
        with suppress(FileNotFoundError):
            os.unlink(self.place(name).name, dir_fd=self.fd)

    def close(self) -> None:
        """Let the area go."""
        os.close(self.fd)

    def place(self, name: str) -> Place:
        """Where a temporary or displaced file is."""
        assert name not in ("", ".", "..")
        assert "/" not in name
        return Place(self.fd, name)

    def unused(self) -> str:
        """A name for a temporary that no one else uses."""
        return f"own.{next(self._next):x}"

    def number_beyond(self, used: int) -> None:
        """Number what is displaced from now on beyond ``used``, too."""
        self._next = count(max(next(self._next), used + 1))

    def spare(self, path: str) -> Place:
        """A free place for what is about to be displaced from ``path``."""
        return Place(self.fd, displaced_name(next(self._next), path, longest_name(self.fd)))


def displaced_name(number: int, path: str, longest: int = NAME_BYTES_MAX) -> str:
    """The name of what is displaced from ``path``, of at most ``longest`` bytes."""
    name = f"{DISPLACED}{number:x}"
    noted = f"{name}.{path.replace('%', '%25').replace('/', '%2F')}"
    return noted if len(noted.encode()) <= longest else name


def number_of(name: str) -> int:
    """The number in a name that we made; 0 in another."""
    kind, _, rest = name.partition(".")
    try:
        return int(rest.partition(".")[0], 16) if kind in ("displaced", "own") else 0
    except ValueError:
        return 0


def origin_of(name: str) -> str | None:
    """The path in the name of what is displaced; None where there is none."""
    parts = name.split(".", 2)
    return parts[2].replace("%2F", "/").replace("%25", "%") if len(parts) == 3 else None


def _checked(name: str) -> None:
    assert name not in ("", ".", "..")
    assert "/" not in name
    assert not name.startswith(DISPLACED)
