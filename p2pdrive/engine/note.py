"""Letting the index say what the folder shows, after it was changed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from p2pdrive.engine.replica import Replica
from p2pdrive.engine.same import checked_at
from p2pdrive.errors import Changed, WorldError
from p2pdrive.folder.files import Stat
from p2pdrive.history.log import Log
from p2pdrive.index.entries import Entry, View
from p2pdrive.index.manifests import Manifests
from p2pdrive.model import paths
from p2pdrive.model.record import Content, Kind
from p2pdrive.model.vector import Vector


class Change(NamedTuple):
    """``path`` shows ``content``, which is ``stat`` on disk (None: nothing), and stands for ``vector``.

    ``moved_from``: the file was at that path, and what is borrowed from it stays borrowed.
    """

    path: str
    content: Content
    vector: Vector
    stat: Stat | None
    view: View | None = None
    moved_from: str = ""


def note(replica: Replica, log: Log, changes: Sequence[Change], looked_ns: int) -> None:
    """Note what was done, inside the caller's transaction. A path is named once, or first as moved away.

    ``looked_ns``: when it had been done, and each file was what its change says.
    """
    plain: dict[str, Change] = {}
    for change in changes:
        if change.stat is None:
            _forget(replica, log, change.path)
        elif change.moved_from:
            _note_moved(replica, log, change, looked_ns)
        else:
            plain[change.path] = change
    known = log.entries.get_many(plain)
    now = replica.services.now_ns()
    entries = [
        _entry(each, looked_ns, now, known[path].id if path in known else 0) for path, each in plain.items()
    ]
    numbers = log.entries.put_many(entries)
    manifests = Manifests(log.connection)
    borrowed = []
    for number, entry in zip(numbers, entries, strict=True):
        if entry.id:
            replica.store.unborrow(log.connection, number)
        content = entry.content
        if content.kind is Kind.FILE:
            manifest = manifests.get(content.root, content.blocks, content.size)
            if manifest is not None:
                borrowed.append((number, manifest))
    replica.store.borrow_all(log.connection, borrowed)


def as_on_disk(content: Content, stat: Stat) -> Content:
    """``content`` with the time and permissions that the disk has kept of it."""
    private = stat.is_private(content.private)
    if content.kind is not Kind.FILE:
        return content if content.private == private else replace(content, private=private)
    metadata = (stat.is_executable(content.executable), private, stat.mtime_ns)
    if content.metadata == metadata:
        return content
    return replace(content, executable=metadata[0], private=private, mtime_ns=stat.mtime_ns)


def unsynced(
    change: Change, contents: Mapping[str, WorldError], names: Mapping[str, WorldError]
) -> WorldError | None:
    """Why a change may not be durable. What is not there any more went with its directory, durably."""
    there = names.get(paths.parent(change.path))
    left = names.get(paths.parent(change.moved_from)) if change.moved_from else None
    if change.stat is None:
        there, left = None, there
    return contents.get(change.path) or there or (None if isinstance(left, Changed) else left)


def _forget(replica: Replica, log: Log, path: str) -> None:
    number = log.entries.delete(path)
    if number is not None:
        replica.store.unborrow(log.connection, number)


def _note_moved(replica: Replica, log: Log, change: Change, looked_ns: int) -> None:
    source = log.entries.get(change.moved_from)
    _forget(replica, log, change.path)
    if source is not None:
        log.entries.move(source.id, change.path)
    log.entries.put(_entry(change, looked_ns, replica.services.now_ns(), 0))


def _entry(change: Change, looked_ns: int, now_ns: int, number: int) -> Entry:
    assert change.stat is not None
    return Entry(
        change.path,
        change.content,
        change.stat.inode,
        change.stat.ctime_ns,
        change.vector,
        checked_at(change.stat, looked_ns, now_ns),
        change.view,
        number,
    )
