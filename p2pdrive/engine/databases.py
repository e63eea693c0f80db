"""SQLite databases: the file, and what its programs keep beside it, are one thing.

``X-wal`` and ``X-journal`` hold a part of what is in ``X`` while a program is at work, or after it was
killed; ``X-shm`` is made anew from them. Without that part, or with that of another version, ``X`` is broken.
So these never leave this machine: ``X`` is recorded when all that it holds is in ``X`` itself, and not
before; and ``X`` is shown, replaced, renamed or removed here only where that is so.

Sources: https://sqlite.org/fileformat2.html, https://sqlite.org/howtocorrupt.html (sections 1.2 to 1.4),
https://sqlite.org/atomiccommit.html (section 4.2: a journal that begins with a zero is none).
"""

import struct
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from p2pdrive.engine.replica import Replica
from p2pdrive.engine.tasks import Task
from p2pdrive.errors import Changed, InUse, Unreadable
from p2pdrive.folder.files import FileKind, Files, ReadHandle, Stat
from p2pdrive.folder.safe_write import IN_USE
from p2pdrive.model.paths import parent
from p2pdrive.model.record import Kind

_MAGIC = b"SQLite format 3\0"
_WAL, _JOURNAL, _INDEX = _SUFFIXES = ("-wal", "-journal", "-shm")
#: Of the header of a database: its page size (1: 65,536), how often it changed, its pages, and at which
#: change these were counted (https://sqlite.org/fileformat2.html, sections 1.3.2, 1.3.7 and 1.3.12).
_HEADER = struct.Struct(">16xH6xII60xI")
#: How a ``-shm`` begins (https://sqlite.org/walformat.html, section 2.1), in this machine's byte order.
_INDEX_MAGIC = (3007000).to_bytes(4, sys.byteorder)
#: Where SQLite locks a database file, whatever the size of that: pending, reserved, and 510 shared bytes.
_LOCKS_AT, _LOCKS_BYTES = 0x40000000, 512

#: A directory is listed for so many paths in it; so many names a path are listed in the time that the looks
#: for its companions take.
_LISTED_FROM = 4
_LISTED_A_PATH = 8

_LEFT_BEHIND = (
    "is a database, and {} beside it holds a part of it. It is synced once its program closes it; where none "
    "has it open, one was killed: open the database there once more, and close it."
)
_IN_TRANSACTION = "is a database that a program is changing right now; it is synced once that is done."


class Beside(NamedTuple):
    """What there is beside a file: companions by their paths."""

    found: Mapping[str, Stat]

    def of(self, path: str) -> dict[str, Stat]:
        """Those of the file at ``path``."""
        if not self.found:
            return {}
        return {name: stat for name in companions(path) if (stat := self.found.get(name)) is not None}


def companions(path: str) -> tuple[str, ...]:
    """The names of what a database at ``path`` may have beside it."""
    return tuple(path + suffix for suffix in _SUFFIXES)


def main_of(path: str) -> str:
    """The database that ``path`` is the companion of, if it is one; else nothing."""
    for suffix in _SUFFIXES:
        if path.endswith(suffix) and not path.endswith("/" + suffix) and path != suffix:
            return path[: -len(suffix)]
    return ""


def is_companion(files: Files, path: str) -> bool:
    """Whether ``path`` belongs to a database beside it. Raises RootMissing."""
    main = main_of(path)
    return bool(main) and _begins(files, main, _MAGIC)


def told_apart(
    files: Files, named: Sequence[str], unfinished: Callable[[str], bool]
) -> tuple[list[str], list[str], set[str]]:
    """``named`` paths without companions, but with their databases; the companions; and the databases that
    must be looked at even where they are as they were: theirs, and the ``unfinished``. Raises RootMissing.
    """
    found = [path for path in named if is_companion(files, path)]
    databases = {*map(main_of, found), *filter(unfinished, named)}
    others = dict.fromkeys(path for path in named if path not in found) if found else dict.fromkeys(named)
    return [*others, *sorted(databases - others.keys())], found, databases


def is_database(handle: ReadHandle, size: int) -> bool:
    """Whether an open file of ``size`` bytes is one. Raises Unreadable."""
    view = bytearray(len(_MAGIC))
    return size >= len(_MAGIC) and handle.pread(memoryview(view), 0) == len(view) and view == _MAGIC


def has_all_pages(handle: ReadHandle, size: int) -> bool:
    """Whether a database of ``size`` bytes is as long as it says: one that is being copied is not, at first.
    Raises Unreadable."""
    view = bytearray(_HEADER.size)
    if handle.pread(memoryview(view), 0) < len(view):
        return False
    page_size, changes, pages, counted_at = map(int, _HEADER.unpack(view))
    return 0 < pages * (page_size if page_size > 1 else 65536) <= size and changes == counted_at


def why_unfinished(files: Files, path: str, handle: ReadHandle | None = None) -> str:
    """Why a part of what is in the database at ``path`` may not be in that file; nothing if all of it is.
    ``handle``: it is open in a program, and here as well. Raises RootMissing."""
    if held := _holding_a_part(files, path, Beside(_looked_at(files, [path]))):
        return _LEFT_BEHIND.format(held.rpartition("/")[2])
    if handle is not None and handle.is_locked(_LOCKS_AT, _LOCKS_BYTES):
        return _IN_TRANSACTION
    return ""


class Databases:
    """The databases among the paths of one run of tasks: files that begin as SQLite's do. Whatever else is
    called like a companion is a person's own file."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._files = replica.files
        self._beside = Beside({})
        self._recorded: frozenset[str] = frozenset()  # companions that the index knows as files of the drive
        self._at_rest: set[str] = set()  # databases that were found to be so

    def glance(self, tasks: Iterable[Task]) -> None:
        """Look at what is beside the paths of ``tasks``. Raises RootMissing."""
        named = {path for task in tasks for path in _paths(task)}
        self._beside = Beside(_looked_at(self._files, named))
        if self._beside.found:
            with self._replica.reading() as log:
                self._recorded = frozenset(log.entries.get_many(self._beside.found))

    def expect_at_rest(self, task: Task, gathered: str) -> None:
        """Raise InUse where ``task`` changes a database that is open here, or half of which is beside it; or
        would put one beside half of another. ``gathered`` names the temporary with the task's content."""
        for path in _paths(task):
            beside = self._beside.of(path)
            if not beside or not self._is_database(task, path, gathered):
                continue
            for companion in beside:
                with suppress(Unreadable):
                    if self._files.being_written(companion):
                        raise InUse(IN_USE)
            if held := _holding_a_part(self._files, path, self._beside):
                raise InUse(
                    f"{held} is beside it here, and holds a part of it, or of another database: open the "
                    f"database once in its program and close it, or move {held} away; then this is shown."
                )

    def take_leftovers(self, task: Task) -> list[str]:
        """Take out of the folder what a database leaves behind that ``task`` has renamed or removed, and that
        holds nothing; the names under which it is displaced."""
        gone = task.moved_from or (task.path if not task.content.live else "")
        if gone not in self._at_rest:
            return []
        taken = list[str]()
        for path, stat in self._beside.of(gone).items():
            mine = path.endswith(_INDEX) and not _begins(self._files, path, _INDEX_MAGIC, or_empty=True)
            if not mine and path not in self._recorded:
                with suppress(Changed):
                    taken.append(self._files.remove(path, stat))
        return taken

    def _is_database(self, task: Task, path: str, gathered: str) -> bool:
        """Whether a database is at ``path``, or is to come there."""
        if _begins(self._files, path, _MAGIC):
            self._at_rest.add(path)
            return True
        if path != task.path or task.content.kind is not Kind.FILE:
            return False
        if task.moved_from:
            return _begins(self._files, task.moved_from, _MAGIC)
        if not gathered:
            return False
        with self._files.open_temporary(gathered, task.content.size) as handle:
            return is_database(handle, task.content.size)


def _paths(task: Task) -> tuple[str, ...]:
    """The paths at which a file comes or goes."""
    goes = task.expected is not None and task.expected.kind is FileKind.FILE
    if task.content.kind is not Kind.FILE and not goes:
        return ()
    return (task.path, task.moved_from) if task.moved_from else (task.path,)


def _looked_at(files: Files, named: Iterable[str]) -> dict[str, Stat]:
    """What is beside these paths. Of many in a directory its list tells at once that there is nothing."""
    by_directory: dict[str, list[str]] = {}
    for path in named:
        by_directory.setdefault(parent(path), []).append(path)
    likely: list[str] = []
    for directory, inside in by_directory.items():
        many = len(inside) >= _LISTED_FROM
        names = files.names(directory, _LISTED_A_PATH * len(inside)) if many else None
        for path in inside:
            base = path.rpartition("/")[2]
            likely += (path + suffix for suffix in _SUFFIXES if names is None or base + suffix in names)
    stats = files.stats(likely)
    return {path: stat for path, stat in stats.items() if stat is not None and stat.kind is FileKind.FILE}


def _holding_a_part(files: Files, path: str, beside: Beside) -> str:
    """The companion that a part of the database at ``path`` is in; nothing if there is none."""
    found = beside.of(path)
    if path + _WAL in found and found[path + _WAL].size:
        return path + _WAL
    if path + _JOURNAL in found and not _begins(files, path + _JOURNAL, b"\0", or_empty=True):
        return path + _JOURNAL
    return ""


def _begins(files: Files, path: str, beginning: bytes, *, or_empty: bool = False) -> bool:
    """Whether a file is there that begins so. Raises RootMissing."""
    view = bytearray(len(beginning))
    with suppress(Changed, Unreadable), files.open(path) as handle:
        count = handle.pread(memoryview(view), 0)
        return view == beginning if count else or_empty
    return False
