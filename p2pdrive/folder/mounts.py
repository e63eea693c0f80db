"""Where other disks are mounted in the folder, and whether they still are.

What such a disk leaves when it goes is the directory that it was mounted at, mostly empty: what was in it is
no more deleted than the files of a drive whose own disk is away. Errors are plain OSError.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import NamedTuple

from p2pdrive.folder.disks import ASKED_INSIDE, ask
from p2pdrive.folder.mountinfo import Table
from p2pdrive.folder.place import Place
from p2pdrive.folder.syscalls import REACH, SystemCalls
from p2pdrive.model.paths import join, parent, refusal, within
from p2pdrive.model.paths import name as last_name

_AWAY = (
    "the disk that was mounted at {} is not there: connect it, or remove that folder if it is not wanted any "
    "more; to go on without the disk, move the folder out of the drive and back"
)


class _Devices(NamedTuple):
    """What a directory is on, and what the one that it is in is on."""

    own: int
    above: int


class Mounts:
    """``known`` are the directories beneath ``root`` at which something was seen mounted: the system said
    so, or they were on another device than what they are in.

    While nothing is mounted at one of these, its disk is away. One that is gone, or is no directory, was
    removed, and is forgotten. (Where the system does not say what is mounted, a part of a disk that is
    mounted on that very disk cannot be told from a directory.)
    """

    def __init__(self, root: int, root_present: Callable[[], bool], calls: SystemCalls) -> None:
        self._root = root
        self._root_present = root_present
        self._calls = calls
        self._lock = Lock()
        self._asked: dict[str, int] = {}  # the device that was asked what it keeps, by mount
        self._device = os.fstat(root).st_dev
        self._table = Table(root)
        self.known: frozenset[str] = frozenset()

    @property
    def devices(self) -> set[int]:
        """The disks that something was looked at on."""
        return {self._device, *self._asked.values()} if self._asked else {self._device}

    def above(self, path: str) -> str:
        """The mount that ``path`` lies in; the root, as the empty path, where it is in none."""
        found = (mount for mount in self.known if path != mount and within(path, mount))
        return max(found, key=len, default="") if self.known else ""

    def device(self, mount: str) -> int:
        """The disk of a mount or, as the empty path, of the root."""
        return self._asked.get(mount, self._device) if mount else self._device

    def expect(self, known: Iterable[str]) -> None:
        """These were known at an earlier time."""
        with self._lock:
            self.known |= frozenset(known)

    def learn(self) -> frozenset[str]:
        """``known``, with what was mounted just now."""
        new = self._table.beneath() - self.known
        if new and self._root_present():
            self.expect(path for path in new if refusal(path) is None and self._is_directory(path))
        return self.known

    def close(self) -> None:
        """Let go of what tells of mounts."""
        self._table.close()

    def look(self, path: str, place: Place) -> None:
        """``path`` is the directory at ``place``: learn whether a disk is mounted there."""
        own = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False).st_dev
        if own != os.fstat(place.directory).st_dev:
            self.expect([path])

    def listed(self, path: str, directory: int, entries: Iterable["os.DirEntry[str]"]) -> None:
        """These are all that is in ``path``, which is open as ``directory``, and have been looked at."""
        inside = [entry for entry in entries if _may_be_directory(entry)]
        above = os.fstat(directory).st_dev if inside else 0
        mounted = [entry.name for entry in inside if _device(entry, above) != above]
        if mounted:
            self.expect(found for name in mounted if refusal(found := join(path, name)) is None)
        if self.known:
            names = {entry.name for entry in inside}
            known = [mount for mount in self.known if parent(mount) == path]
            self._forget([mount for mount in known if last_name(mount) not in names])

    def check(self, path: str, opened: int | None = None) -> None:
        """Raise ENODEV where the disk of ``path`` is away: one at it, or at what is above it. ``opened`` is
        what was opened there; while it is, its disk cannot go."""
        if not self.known:
            return
        device = None if opened is None else os.fstat(opened).st_dev
        mounts = sorted(mount for mount in self.known if within(path, mount))
        mounted = self._table.beneath() if mounts else frozenset()
        for mount in mounts:
            devices = self._devices(mount)
            if devices is None:
                self._forget([mount])
            elif devices.own == devices.above:  # a part of the same disk, perhaps
                if mount not in mounted:
                    raise OSError(errno.ENODEV, _AWAY.format(mount))
            elif mount == mounts[-1] and device == devices.above:
                raise OSError(errno.ENODEV, _AWAY.format(mount))
            elif device == devices.own and mount == mounts[-1] and self._asked.get(mount) != device:
                self._ask(mount, device)

    def _ask(self, mount: str, device: int) -> None:
        """What its disk keeps is to be known before anything there is looked at or written."""
        self._asked[mount] = device
        try:
            directory = self._calls.open_beneath(self._root, mount, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return
        try:
            ask(directory, ASKED_INSIDE)
        finally:
            os.close(directory)

    def _forget(self, gone: Sequence[str]) -> None:
        if gone and self._root_present():
            with self._lock:
                self.known = self.known.difference(gone)

    def _is_directory(self, path: str) -> bool:
        try:
            return self._devices(path) is not None
        except OSError:
            return False

    def _devices(self, mount: str) -> _Devices | None:
        """None where it is gone."""
        above = parent(mount)
        try:
            directory = self._calls.open_beneath(self._root, above or ".", REACH)
            try:
                found = os.stat(last_name(mount), dir_fd=directory, follow_symlinks=False)
                device = os.fstat(directory).st_dev
            finally:
                os.close(directory)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise
        return _Devices(found.st_dev, device) if stat.S_ISDIR(found.st_mode) else None


def _may_be_directory(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return True


def _device(entry: "os.DirEntry[str]", above: int) -> int:
    """What it is on; as what is above it, where that cannot be told."""
    try:
        return entry.stat(follow_symlinks=False).st_dev
    except OSError:
        return above
