"""The folder by exact names, whatever its disk takes for equal; and what that disk cannot hold.

A disk that does not tell `a.txt` from `A.TXT` finds the one by the name of the other. Each name is listed, so
the list tells which of the two is there; the other one is not, and cannot come before the first is gone.
"""

import os
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice

from p2pdrive.errors import NotWritable
from p2pdrive.folder.disks import Disk, disk_of
from p2pdrive.folder.files import Published, Stat, Twin
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.safe_write import move_in_two_steps
from p2pdrive.model.paths import join, name, parent

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


def alike(path: str) -> str:
    """The same for paths that some disk takes for one: those that differ in case or Unicode form alone."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


class ExactFiles(LocalFiles):
    """``LocalFiles`` on any disk. See ``Files``."""

    @property
    def odd(self) -> bool:
        """See ``Files``."""
        return any(disk_of(device).odd for device in self._mounts.devices)

    def unfit(self, path: str, link: bool) -> str | None:
        """See ``Files``."""
        disk, inside = self._disk(path)
        if link and not disk.links:
            return "is a link, and this disk holds none: it stays on the other machines."
        why = disk.refusal(inside) if inside else None
        return f"{why}; rename it on another machine." if why is not None else None

    def twin(self, path: str) -> Twin | None:
        """See ``Files``."""
        disk, inside = self._disk(path)
        if disk.exact or not inside:
            return None
        names = inside.split("/")
        ours = path.removesuffix(inside).rstrip("/")
        for each in names:
            other = self._listed_as(ours, each)
            ours, above = join(ours, each), ours
            if other != each:
                return Twin(ours, join(above, other)) if other is not None else None
        return None

    def stat(self, path: str) -> Stat | None:
        """See ``Files``."""
        found = super().stat(path)
        return found if found is None or self.twin(path) is None else None

    def stats(self, paths: Iterable[str]) -> dict[str, Stat | None]:
        """See ``Files``."""
        found = super().stats(paths)
        if self.odd:
            there: dict[str, list[str]] = {}
            for path, stat in found.items():
                if stat is not None and not self._disk(path)[0].exact:
                    there.setdefault(parent(path), []).append(path)
            for directory, inside in there.items():
                names = set() if self.twin(directory) is not None else set(self._names(directory) or ())
                found.update((path, None) for path in inside if name(path) not in names)
        return found

    def names(self, path: str, most: int) -> frozenset[str] | None:
        """See ``Files``."""
        found = self._names(path, most + 1)
        if not self.root_present():
            raise self._root_missing()
        return frozenset(found) if found is not None and len(found) <= most else None

    def publish(self, name: str, path: str, expected: Stat | None) -> Published:
        """See ``Files``."""
        self._refuse_twin(path)
        return super().publish(name, path, expected)

    def make_directory(self, path: str, private: bool | None = None) -> None:
        """See ``Files``."""
        self._refuse_twin(path)
        super().make_directory(path, private)

    def move(self, source: str, path: str, expected: Stat) -> Stat:
        """See ``Files``."""
        twin = self.twin(path)
        if twin is not None and twin.other == source:  # only its case changes: it is in the way of itself
            return move_in_two_steps(self, source, path, expected)
        return super().move(source, path, expected)

    def _refuse_twin(self, path: str) -> None:
        if (twin := self.twin(path)) is not None:
            raise NotWritable(f"{path}: {twin.words()}")

    def _disk(self, path: str) -> tuple[Disk, str]:
        """The disk that holds ``path``, and what of the path is on it."""
        mount = self._mounts.above(path)
        return disk_of(self._mounts.device(mount)), path[len(mount) + 1 :] if mount else path

    def _listed_as(self, directory: str, name: str) -> str | None:
        """The name by which the directory lists what is found by ``name``; None where there is nothing."""
        try:
            fd = self._calls.open_beneath(self._root, directory or ".", _DIRECTORY)
        except OSError:
            return None
        try:
            with suppress(OSError):
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                names = os.listdir(fd)
                if name in names:
                    return name
                likely = (each for each in names if alike(each) == alike(name))
                same = (each for each in names if _inode(fd, each) == found.st_ino)  # FUSE numbers names
                return next(likely, None) or next(same, name)
        finally:
            os.close(fd)
        return None

    def _names(self, directory: str, most: int | None = None) -> list[str] | None:
        """The first ``most`` names that it lists; None where it cannot be listed."""
        try:
            fd = self._calls.open_beneath(self._root, directory or ".", _DIRECTORY)
        except OSError:
            return None
        try:
            with os.scandir(fd) as found:
                return [each.name for each in islice(found, most)]
        except OSError:  # it went while it was open
            return None
        finally:
            os.close(fd)


def _inode(directory: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino
    except OSError:
        return -1
