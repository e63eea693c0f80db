"""A person at a host: writes, renames and deletes in the folder as programs do, and has it remembered.

All that is done is exact as to what was seen: a file is written through the handle that it was read through,
and a file that is deleted is first moved out of the folder, then read.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random

from p2pdrive.lab.hosts.ledger import Ledger

#: Few, so that people meet on them.
_DIRECTORIES = ("", "work", "work/notes", "pictures")
_NAMES = ("letter.txt", "plan.md", "list", "report.docx", "holiday.jpg", "data.csv")
#: Bytes up to which a file is written in place: one page appears at once, more does not.
_IN_PLACE_BYTES = 4096
_SMALL_BYTES = 3000
_LARGE_BYTES = 600_000


class Person:
    """``folder`` is the drive's; ``outside`` a folder on the same disk that is not synced."""

    def __init__(
        self,
        name: str,
        folder: Path,
        outside: Path,
        ledger: Ledger,
        random: Random,
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._folder = folder
        self._outside = outside
        self._ledger = ledger
        self._random = random
        self._clock = clock
        self._numbers = count(1)
        self.acts = 0

    def act(self) -> None:
        """Does any one thing. What cannot be done just then (a full disk, a file that went away) is not."""
        act = self._random.choices(_ACTS, _WEIGHTS)[0]
        with suppress(OSError):
            act(self, self._somewhere())
            self.acts += 1

    def save(self, path: str, data: bytes | None = None) -> None:
        """Writes a file whole, as editors do: beside, then renamed over what is there."""
        data = self._content() if data is None else data
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        new = self._unique()
        try:
            new.write_bytes(data)
            replaced = _read(target)
            os.replace(new, target)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        self._remember(path, data, replaced)

    def overwrite(self, path: str) -> None:
        """Writes a small file in place."""
        with open(self._folder / path, "r+b", buffering=0) as file:
            replaced = file.readall()
            data = self._content(small=True)
            file.truncate(0)
            self._ledger.deleted(replaced)
            file.seek(0)
            file.write(data)
        self._remember(path, data, replaced)

    def append(self, path: str) -> None:
        """Adds a line to a small file."""
        with open(self._folder / path, "r+b") as file:
            replaced = file.read()
            line = f"{self._name} {next(self._numbers)}\n".encode()
            if len(replaced) + len(line) <= _IN_PLACE_BYTES:
                file.write(line)
                file.flush()
                self._remember(path, replaced + line, replaced)

    def insert(self, path: str) -> None:
        """Puts some bytes into the middle of what is there."""
        before = (self._folder / path).read_bytes()
        at = self._random.randint(0, len(before))
        self.save(path, before[:at] + self._content(small=True) + before[at:])

    def rename(self, path: str) -> None:
        """Gives a file another name, or moves it."""
        new = self._folder / self._somewhere()
        if not new.exists():
            new.parent.mkdir(parents=True, exist_ok=True)
            os.rename(self._folder / path, new)

    def delete(self, path: str) -> None:
        """Deletes a file; a directory only where it is empty."""
        gone = self._unique()
        os.rename(self._folder / path, gone)
        self._ledger.deleted(gone.read_bytes())
        gone.unlink()

    def tidy(self, path: str) -> None:
        """Deletes a conflict copy in a file's directory, if there is one."""
        copies = sorted((self._folder / path).parent.glob("*(conflict *"))
        if copies:
            self.delete(str(self._random.choice(copies).relative_to(self._folder)))

    def make_executable(self, path: str) -> None:
        """Sets or takes the executable bit."""
        os.chmod(self._folder / path, self._random.choice((0o644, 0o755)))

    def _remember(self, path: str, data: bytes, replaced: bytes | None) -> None:
        self._ledger.wrote(self._name, path, data, replaced, self._clock())

    def _somewhere(self) -> str:
        return os.path.join(self._random.choice(_DIRECTORIES), self._random.choice(_NAMES))

    def _content(self, *, small: bool = False) -> bytes:
        """Bytes that nobody else wrote."""
        large = not small and self._random.random() < 0.1
        size = self._random.randint(0, _LARGE_BYTES if large else _SMALL_BYTES)
        return f"{self._name} {next(self._numbers)}\n".encode() + self._random.randbytes(size)

    def _unique(self) -> Path:
        return self._outside / f"{next(self._numbers)}"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


Act = Callable[[Person, str], None]
_TABLE: dict[Act, int] = {
    Person.save: 30,
    Person.overwrite: 15,
    Person.append: 15,
    Person.insert: 10,
    Person.rename: 10,
    Person.delete: 8,
    Person.tidy: 5,
    Person.make_executable: 4,
}
_ACTS, _WEIGHTS = list(_TABLE), list(_TABLE.values())
