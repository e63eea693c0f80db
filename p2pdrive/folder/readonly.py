"""Changing names in directories that the person keeps read-only, as Go keeps its module cache.

Such a directory of our own is opened for the moment and closed again, to exactly the mode that it had. That
is noted before, in ``.p2pdrive/opened``, so that the next start closes what a kill left open; a power cut may
take the note. Errors are OSError.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock
from typing import TypeVar

from p2pdrive.folder.place import Place
from p2pdrive.folder.syscalls import REACH, SystemCalls
from p2pdrive.model.paths import STATE_DIRECTORY, join, parent

ResultT = TypeVar("ResultT")

_NOTES = join(STATE_DIRECTORY, "opened")
_MAY_CHANGE = stat.S_IWUSR | stat.S_IXUSR
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN = os.O_NOFOLLOW | os.O_CLOEXEC


class ReadOnlyDirectories:
    """Those below the open directory ``root``. What an earlier run left open is closed."""

    def __init__(self, root: int, calls: SystemCalls) -> None:
        self._root = root
        self._calls = calls
        self._one_at_a_time = Lock()
        with suppress(FileNotFoundError):
            notes = calls.open_beneath(root, _NOTES, _DIRECTORY)
            try:
                for name in os.listdir(notes):
                    self._take_up(notes, name)
            finally:
                os.close(notes)

    def change(self, act: Callable[[], ResultT], *changed: tuple[Place, str]) -> ResultT:
        """``act``, which changes names at these places (each with its path), or nothing and raises.

        If that may not be, it is done once more with their directories opened, where they are ours.
        """
        try:
            return act()
        except PermissionError as error:
            if error.errno != errno.EACCES:
                raise
        with self._one_at_a_time, ExitStack() as opened:
            for place, path in changed:
                opened.enter_context(self._opened(place.directory, parent(path)))
            return act()

    @contextmanager
    def _opened(self, directory: int, path: str) -> Iterator[None]:
        try:
            fd = os.open(".", _DIRECTORY, dir_fd=directory)
        except PermissionError:
            yield  # nobody may list it, so nothing in it is synced
            return
        try:
            found = os.fstat(fd)
            mode = stat.S_IMODE(found.st_mode)
            if found.st_uid != os.geteuid() or mode & _MAY_CHANGE == _MAY_CHANGE:
                yield
                return
            notes = self._notes()
            try:
                with suppress(OSError):  # a disk may be full
                    _write(notes, _name(found), f"{mode:o} {path}")
                os.fchmod(fd, mode | _MAY_CHANGE)
                try:
                    yield
                finally:
                    _close(fd, mode)
                    _forget(notes, _name(found))
            finally:
                os.close(notes)
        finally:
            os.close(fd)

    def _notes(self) -> int:
        with suppress(FileExistsError):
            state = self._calls.open_beneath(self._root, STATE_DIRECTORY, REACH)
            try:
                os.mkdir("opened", 0o700, dir_fd=state)
            finally:
                os.close(state)
        return self._calls.open_beneath(self._root, _NOTES, _DIRECTORY)

    def _take_up(self, notes: int, name: str) -> None:
        """Close what was left open, if it is still where it was."""
        with suppress(OSError, ValueError):
            with open(os.open(name, os.O_RDONLY | _PLAIN, dir_fd=notes), "rb") as note:
                mode, _, path = note.read().decode().partition(" ")
            fd = self._calls.open_beneath(self._root, path or ".", _DIRECTORY)
            try:
                if name == _name(os.fstat(fd)):
                    _close(fd, int(mode, 8))
            finally:
                os.close(fd)
        _forget(notes, name)


def _write(notes: int, name: str, text: str) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _PLAIN, 0o600, dir_fd=notes)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _forget(notes: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=notes)


def _name(found: os.stat_result) -> str:
    """Of the note about a directory."""
    return f"{found.st_dev:x}.{found.st_ino:x}"


def _close(fd: int, mode: int) -> None:
    """Give it back its mode, unless the person has given it another meanwhile."""
    if stat.S_IMODE(os.fstat(fd).st_mode) == mode | _MAY_CHANGE:
        os.fchmod(fd, mode)
