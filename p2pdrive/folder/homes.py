"""Homes of p2pdrive nodes in a drive's folder: this node's or any other's, never part of the drive.

A home is recognised by what is in it (``node/home.py``), wherever it lies and whatever it is called: a
device's key, and any other file of a home beside it. Once recognised, a directory stays a home while any of
these is left in it: a home that is removed file by file is not taken for a person's folder in between.
"""

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock

from p2pdrive.folder.files import FileKind, Files, Name, Stat
from p2pdrive.model.paths import ancestors, join, name, within

#: The seed of a device's key, and its name while it is written.
KEY = "device.key"
KEY_BYTES = 32
_KEYS = frozenset({KEY, f"{KEY}.new"})
#: The list of a node's drives, with the invites of unfinished joins; its first bytes as ``Home`` writes it.
DRIVES = "drives.json"
_DRIVES = frozenset({DRIVES, f"{DRIVES}.new"})
_DRIVES_BEGIN = b'{\n  "format": '
_DRIVES_NEXT = b'  "drives": ['
#: What else is in a home. The lock is there before the key.
LOCK = "lock"
OTHERS = frozenset({LOCK, "config.json", DRIVES, "peers.json", "port.json", "control.sock"})


class Homes:
    """Those in the folder of ``files``, as far as it was looked at; ``known`` are those of an earlier run."""

    def __init__(self, files: Files, known: Iterable[str] = ()) -> None:
        self._files = files
        self._lock = Lock()
        self.known = frozenset(known)

    def look(self, directories: Iterable[str]) -> None:
        """Find out which of these are homes now. Raises RootMissing."""
        named = list(directories)
        keys = self._in(named, _KEYS)
        worth = [each for each in named if each in self.known or any(keys[each].values())]
        others = self._in(worth, OTHERS)
        homes = {each for each in worth if self._is_home(each, keys[each] | others[each])}
        self._learn(named, homes)

    def listed(self, directory: str, names: Sequence[Name]) -> bool:
        """Whether ``directory`` is a home, as these are all the names in it."""
        found = {each.name: each.stat for each in names if each.name is not None}
        is_home = self._is_home(directory, found)
        if is_home or directory in self.known:
            self._learn([directory], {directory} if is_home else set())
        return is_home

    def hides(self, path: str) -> bool:
        """Whether ``path`` is a known home, or in one."""
        return bool(self.known) and any(within(path, home) for home in self.known)

    def _in(self, directories: Iterable[str], names: Iterable[str]) -> dict[str, dict[str, Stat]]:
        """By directory, which of ``names`` are in it."""
        places = {join(each, child): (each, child) for each in directories for child in names}
        found: dict[str, dict[str, Stat]] = {each: {} for each in directories}
        for path, there in (self._files.stats(places) if places else {}).items():
            if there is not None:
                directory, child = places[path]
                found[directory][child] = there
        return found

    def _is_home(self, directory: str, found: Mapping[str, Stat | None]) -> bool:
        key = any(is_key(child, there) for child in _KEYS if (there := found.get(child)) is not None)
        other = not OTHERS.isdisjoint(found)
        return (key and other) or (directory in self.known and (key or other))

    def _learn(self, looked: Iterable[str], homes: set[str]) -> None:
        with self._lock:
            self.known = self.known.difference(looked) | homes


def is_key(path: str, found: Stat) -> bool:
    """Whether ``path``, where ``found`` is, is called like a device's key and is as small as one."""
    return found.kind is FileKind.FILE and names_key(path, found.size)


def names_key(path: str, size: int) -> bool:
    """The same of what a record says."""
    return name(path) in _KEYS and size <= KEY_BYTES


def may_list_drives(path: str) -> bool:
    """Whether ``path`` is called like the list of a node's drives: then ``lists_drives`` is to be asked."""
    return name(path) in _DRIVES


def lists_drives(begins: bytes) -> bool:
    """Whether a file that begins so is a list of a node's drives."""
    return begins.startswith(_DRIVES_BEGIN) and _DRIVES_NEXT in begins


def home_around(folder: Path) -> Path | None:
    """The home that ``folder`` is, or is in; None where it is in none that this account may look at."""
    return next((each for each in (folder, *folder.parents) if _is_home(each)), None)


def _is_home(folder: Path) -> bool:
    try:
        key = os.lstat(folder / KEY)
        names = os.listdir(folder)
    except OSError:
        return False
    return stat.S_ISREG(key.st_mode) and key.st_size <= KEY_BYTES and not OTHERS.isdisjoint(names)


def directories_of(named: Iterable[str]) -> set[str]:
    """The directories that these paths are in, the root among them."""
    found = {""}
    for path in named:
        found.update(ancestors(path))
    return found
