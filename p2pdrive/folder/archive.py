"""The archive ``.p2pdrive/archive``: replaced and deleted files that history keeps as they are.

A displaced file goes there by a rename, under its own number, so that keeping it takes no room. Which numbers
are history is the index's to say (``index/archived.py``).
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from p2pdrive.errors import NotWritable, Unreadable, WorldError
from p2pdrive.folder.handles import LocalReadHandle
from p2pdrive.folder.syscalls import REACH, SystemCalls
from p2pdrive.folder.temporary import TemporaryArea, number_of
from p2pdrive.model.paths import STATE_DIRECTORY, join

PATH = join(STATE_DIRECTORY, "archive")
_PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: The error of ours for one of the system, met while reading or writing at a path.
Translated = Callable[[OSError, str, type[Unreadable | NotWritable]], WorldError]


class LocalArchive:
    """The archive under the open directory ``root``; made, private to the person, where it is absent.

    Raises OSError on opening.
    """

    def __init__(
        self, root: int, temporary: TemporaryArea, calls: SystemCalls, translated: Translated
    ) -> None:
        self._temporary = temporary
        self._translated = translated
        state = calls.open_beneath(root, STATE_DIRECTORY, REACH)
        try:
            with suppress(FileExistsError):
                os.mkdir("archive", 0o700, dir_fd=state)
            self._fd = os.open("archive", os.O_RDONLY | os.O_DIRECTORY | _PLAIN, dir_fd=state)
        finally:
            os.close(state)
        temporary.number_beyond(max(self.numbers(), default=0))

    def keep(self, displaced: str) -> None:
        """See ``Archive``."""
        number = number_of(displaced)
        try:
            source = self._temporary.place(displaced)
            os.rename(source.name, _name(number), src_dir_fd=source.directory, dst_dir_fd=self._fd)
        except FileNotFoundError as error:
            if number not in self.numbers():
                raise self._translated(error, PATH, NotWritable) from error
        except OSError as error:
            raise self._translated(error, PATH, NotWritable) from error

    def numbers(self) -> Sequence[int]:
        """See ``Archive``."""
        try:
            return sorted(number for name in os.listdir(self._fd) if (number := _number(name)))
        except OSError as error:
            raise self._translated(error, PATH, Unreadable) from error

    def open(self, number: int) -> LocalReadHandle:
        """See ``Archive``."""
        try:
            fd = os.open(_name(number), os.O_RDONLY | _PLAIN, dir_fd=self._fd)
        except OSError as error:
            raise self._translated(error, PATH, Unreadable) from error
        return LocalReadHandle(fd, f"{PATH}/{_name(number)}")

    def discard(self, number: int) -> int:
        """See ``Archive``."""
        try:
            found = os.stat(_name(number), dir_fd=self._fd, follow_symlinks=False)
            os.unlink(_name(number), dir_fd=self._fd)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise self._translated(error, PATH, NotWritable) from error
        return found.st_blocks * 512 if found.st_nlink == 1 else 0

    def close(self) -> None:
        """Let the directory go."""
        os.close(self._fd)


def _name(number: int) -> str:
    return f"{number:x}"


def _number(name: str) -> int:
    """The number that a name stands for; 0 for a name that is none of ours."""
    try:
        number = int(name, 16)
    except ValueError:
        return 0
    return number if name == _name(number) else 0
