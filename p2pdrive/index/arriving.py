"""What is about to be shown, to be known again if the node is stopped before that is noted."""

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import msgpack

from p2pdrive.index.entries import in_groups, pack_vector
from p2pdrive.model import paths
from p2pdrive.model.record import Content, Kind
from p2pdrive.model.vector import Vector


class Arrival(NamedTuple):
    """``path`` is to show ``content``, standing for ``seen``, in ``inode``: 0 where that is not known yet.

    ``finished``: the file has its time and mode already, before it gets its name.
    """

    path: str
    content: Content
    seen: Vector
    inode: int
    finished: bool = False

    @property
    def is_copy(self) -> bool:
        """Whether it is a conflict copy, which stands for no version of its own path."""
        return not self.seen and self.content.kind is not Kind.DIRECTORY

    def is_in(self, inode: int, content: Content) -> bool:
        """Whether that is what arrived, be it with another time or mode."""
        return self.inode in (0, inode) and self.content.identity == content.identity

    def shown(self, found: Content) -> Content:
        """What was shown, where ``found`` is there: another time or mode is ours or a person's.

        Whether it is private depends on what it replaced too.
        """
        return replace(self.content, private=found.private) if self.finished else found


class Arriving:
    """The table over ``connection``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def put(self, arrivals: Iterable[Arrival]) -> None:
        """These are about to be shown."""
        sql = f"INSERT OR REPLACE INTO arriving VALUES ({','.join('?' * 12)})"
        self._db.executemany(sql, map(_row, arrivals))

    def drop(self, named: Iterable[str]) -> None:
        """What became of these is noted."""
        self._db.executemany("DELETE FROM arriving WHERE key = ?", ((paths.key(path),) for path in named))

    def forget_all(self) -> None:
        """What is there may be anyone's."""
        self._db.execute("DELETE FROM arriving")

    def paths(self) -> list[str]:
        """All of them."""
        return [paths.from_key(key) for (key,) in self._db.execute("SELECT key FROM arriving")]

    def with_inode(self, inode: int) -> list[str]:
        """Those that are to be in that inode."""
        rows = self._db.execute("SELECT key FROM arriving WHERE inode = ?", (inode,))
        return [paths.from_key(key) for (key,) in rows]

    def renames(self, inodes: Iterable[int]) -> dict[int, Arrival]:
        """Those of these files that are to get somewhere by a rename, by their inodes."""
        found: dict[int, Arrival] = {}
        if self._db.execute("SELECT 1 FROM arriving LIMIT 1").fetchone() is None:
            return found
        for some in in_groups(inodes):
            sql = f"""SELECT * FROM arriving WHERE kind = ? AND NOT finished
                AND inode IN ({",".join("?" * len(some))})"""
            rows = self._db.execute(sql, (int(Kind.FILE), *some))
            found.update((each.inode, each) for each in map(_arrival, rows) if not each.is_copy)
        return found

    def among(self, named: Iterable[str]) -> dict[str, Arrival]:
        """Those of these paths where something was about to be shown."""
        found: dict[str, Arrival] = {}
        if self._db.execute("SELECT 1 FROM arriving LIMIT 1").fetchone() is None:
            return found
        for some in in_groups(map(paths.key, named)):
            sql = f"SELECT * FROM arriving WHERE key IN ({','.join('?' * len(some))})"
            found.update((arrival.path, arrival) for arrival in map(_arrival, self._db.execute(sql, some)))
        return found


def _row(arrival: Arrival) -> tuple[object, ...]:
    path, content, seen, inode, finished = arrival
    file = (paths.key(path), int(content.kind), content.size, content.root, content.blocks)
    rest = (content.executable, content.mtime_ns, content.target)  # one by one: astuple copies deeply
    return (*file, *rest, pack_vector(seen), inode, finished, content.private)


def _arrival(row: tuple[Any, ...]) -> Arrival:
    key, kind, size, root, blocks, executable, mtime_ns, target, vector, inode, finished, private = row
    content = Content(Kind(kind), size, root, blocks, bool(executable), mtime_ns, target, bool(private))
    return Arrival(paths.from_key(key), content, msgpack.unpackb(vector), inode, bool(finished))
