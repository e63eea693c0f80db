"""The walk over a folder, in the order of path keys: a directory is directly followed by what is in it."""

from collections.abc import Iterator
from dataclasses import dataclass

from p2pdrive.errors import Changed, RootMissing, Unreadable
from p2pdrive.folder.disks import ASKED_INSIDE
from p2pdrive.folder.files import FileKind, Files, Name, Stat
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


def walk(files: Files, ignore: Ignore, start: str = "") -> Iterator[Seen | Unseen | Problem]:
    """Everything at and below ``start`` that is to be synced (the root itself left out), in key order.

    Memory is bounded by one listing a level. ``Problem`` is about a name that no drive can have; it sorts
    where it was found. A directory that goes while we walk is as good as empty. A name that is missing
    may be in the midst of being replaced: ask ``files.stat`` before believing that it was deleted.
    Raises RootMissing, at the end at the latest: absences count only after it.
    """
    levels = [_first(files, ignore, start) if start else _listing(files, ignore, "")]
    while levels:
        item = next(levels[-1], None)
        if item is None:
            levels.pop()
            continue
        yield item
        if isinstance(item, Seen) and item.stat.kind is FileKind.DIRECTORY:
            levels.append(_listing(files, ignore, item.path))
    if not files.root_present():
        raise RootMissing("the drive's folder went away while it was scanned; bring it back")


def _first(files: Files, ignore: Ignore, start: str) -> Iterator[Seen | Unseen | Problem]:
    try:
        found = files.stat(start)
    except Unreadable as error:
        yield Unseen(start, Problem(start, str(error)))
        return
    if found is not None and not ignore.ignored(start, found.kind is FileKind.DIRECTORY):
        yield _seen(start, found)


def _listing(files: Files, ignore: Ignore, directory: str) -> Iterator[Seen | Unseen | Problem]:
    try:
        names = files.list(directory)
    except Changed:
        return
    except Unreadable as error:
        yield Unseen(directory, Problem(directory, str(error)))
        return
    for found in names:
        item = _item(ignore, directory, found)
        if item is not None:
            yield item


def _item(ignore: Ignore, directory: str, found: Name) -> Seen | Unseen | Problem | None:
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
