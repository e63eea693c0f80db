"""What is about to be shown where it displaces nothing that would tell of a kill."""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

import msgpack

from p2pdrive.index.entries import in_groups, pack_vector
from p2pdrive.model import paths
from p2pdrive.model.record import Content, Kind
from p2pdrive.model.vector import Vector


class Arrival(NamedTuple):
    """``path`` is to show ``content``, standing for ``seen``, in ``inode``: 0 where that is not known yet."""

    path: str
    content: Content
    seen: Vector
    inode: int

    def is_in(self, inode: int, content: Content) -> bool:
        """Whether that is what arrived, and nobody changed it since."""
        return self.inode in (0, inode) and self.content.identity == content.identity


class Arriving:
    """The table over ``connection``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def put(self, arrivals: Iterable[Arrival]) -> None:
        """These are about to be shown."""
        self._db.executemany(
            "INSERT OR REPLACE INTO arriving VALUES (?, ?, ?, ?, ?, ?, ?)", map(_row, arrivals)
        )

    def drop(self, named: Iterable[str]) -> None:
        """What became of these is noted."""
        self._db.executemany("DELETE FROM arriving WHERE key = ?", ((paths.key(path),) for path in named))

    def among(self, named: Iterable[str]) -> dict[str, Arrival]:
        """Those of these paths where something was about to be shown."""
        found: dict[str, Arrival] = {}
        if self._db.execute("SELECT 1 FROM arriving LIMIT 1").fetchone() is None:
            return found
        for some in in_groups(map(paths.key, named)):
            sql = f"SELECT * FROM arriving WHERE key IN ({','.join('?' * len(some))})"
            for key, kind, root, blocks, target, vector, inode in self._db.execute(sql, some):
                path, content = paths.from_key(key), Content(Kind(kind), 0, root, blocks, target=target)
                found[path] = Arrival(path, content, msgpack.unpackb(vector), inode)
        return found


def _row(arrival: Arrival) -> tuple[object, ...]:
    path, content, seen, inode = arrival
    identity = (int(content.kind), content.root, content.blocks, content.target)
    return (paths.key(path), *identity, pack_vector(seen), inode)
