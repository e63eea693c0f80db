"""The walk over a folder, in the order of path keys: a directory is directly followed by what is in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from p2pdrive.errors import Changed, RootMissing, Unreadable
from p2pdrive.folder.disks import ASKED_INSIDE
from p2pdrive.folder.files import FileKind, Files, Name, Stat
from p2pdrive.folder.homes import KEY, Homes, directories_of
from p2pdrive.folder.ignore import SIBLING_PREFIX, Ignore
from p2pdrive.model.paths import join, refusal
from p2pdrive.model.problem import Problem

#: What is said of a pipe, a socket or a device.
OTHER = "is neither file, folder nor link, and is not synced"


@dataclass(frozen=True, slots=True)
class Seen:
    """A file, directory or symlink at ``path``."""

    path: str
    stat: Stat


@dataclass(frozen=True, slots=True)
class Unseen:
    """``path`` is there, but cannot be looked at or into: neither it nor anything in it was deleted."""

    path: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class FoundHome:
    """The directory at ``path`` is the home of a p2pdrive node; ``key`` is the inode of the node's key, 0
    where it is gone. Nothing in it is looked at."""

    path: str
    key: int


Item = Seen | Unseen | FoundHome | Problem


def walk(files: Files, ignore: Ignore, start: str = "", homes: Homes | None = None) -> Iterator[Item]:
    """Everything at and below ``start`` that is to be synced (the root itself left out), in key order.

    Memory is bounded by one listing a level. ``Problem`` is about a name that no drive can have; it sorts
    where it was found. A directory that goes while we walk is as good as empty. A name that is missing
    may be in the midst of being replaced: ask ``files.stat`` before believing that it was deleted.
    Raises RootMissing, at the end at the latest: absences count only after it.
    """
    homes = homes or Homes(files)
    levels = [iter([_first(files, ignore, homes, start)] if start else _root(files, ignore, homes))]
    while levels:
        item = next(levels[-1], None)
        if item is None:
            levels.pop()
        elif isinstance(item, Seen) and item.stat.kind is FileKind.DIRECTORY:
            names = _listing(files, item.path)  # before anybody hears of a home
            home = _home(homes, item.path, names)
            yield home or item
            if home is None:
                levels.append(_items(ignore, item.path, names))
        else:
            yield item
    if not files.root_present():
        raise RootMissing("the drive's folder went away while it was scanned; bring it back")


def _first(files: Files, ignore: Ignore, homes: Homes, start: str) -> Item | None:
    try:
        found = files.stat(start)
    except Unreadable as error:
        return Unseen(start, Problem(start, str(error)))
    if found is None or ignore.ignored(start, found.kind is FileKind.DIRECTORY):
        return None
    homes.look(directories_of([start]))
    return None if homes.hides(start) else _seen(start, found)


def _root(files: Files, ignore: Ignore, homes: Homes) -> Iterator[Item]:
    names = _listing(files, "")
    home = _home(homes, "", names)
    return _items(ignore, "", names) if home is None else iter([home])


def _listing(files: Files, directory: str) -> Sequence[Name] | Unseen:
    try:
        return files.list(directory)
    except Changed:
        return ()
    except Unreadable as error:
        return Unseen(directory, Problem(directory, str(error)))


def _home(homes: Homes, directory: str, names: Sequence[Name] | Unseen) -> FoundHome | None:
    if isinstance(names, Unseen) or not homes.listed(directory, names):
        return None
    keys = (each.stat.inode for each in names if each.name == KEY and each.stat is not None)
    return FoundHome(directory, next(keys, 0))


def _items(ignore: Ignore, directory: str, names: Sequence[Name] | Unseen) -> Iterator[Item]:
    if isinstance(names, Unseen):
        yield names
        return
    for found in names:
        item = _item(ignore, directory, found)
        if item is not None:
            yield item


def _item(ignore: Ignore, directory: str, found: Name) -> Item | None:
    if found.name is None:
        shown = join(directory, found.raw.decode(errors="backslashreplace"))
        return Problem(shown, "its name is not UTF-8; rename it, and it is synced")
    if found.name.startswith(ASKED_INSIDE):
        return None
    path = join(directory, found.name)
    if found.name.startswith(SIBLING_PREFIX):
        return Problem(path, "was left by an interrupted write; look whether you need it, then remove it")
    if ignore.ignored(path, found.stat is not None and found.stat.kind is FileKind.DIRECTORY):
        return None
    if (why := refusal(path)) is not None:
        return Problem(path, f"{why}; rename or move it, and it is synced")
    if found.stat is None:
        return Unseen(path, Problem(path, "cannot be looked at; give this account the permission to"))
    return _seen(path, found.stat)


def _seen(path: str, found: Stat) -> Seen | Unseen:
    if found.kind is FileKind.OTHER:
        return Unseen(path, Problem(path, OTHER))
    if found.kind is FileKind.SYMLINK and found.target is None:
        return Unseen(path, Problem(path, "leads to a name that is not UTF-8, and is not synced"))
    return Seen(path, found)
