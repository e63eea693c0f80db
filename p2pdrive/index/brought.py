"""A folder with another past, while it is adopted and until a person has chosen.

``brought``: what it brought along and others had deleted since. Each path in it has an entry; what is there
stays as it is until a person has chosen (``Choice``).
``former``: what its entries stood for, as edits follow that.
"""

import sqlite3
from collections.abc import Iterable, Mapping

import msgpack

from p2pdrive.index.entries import in_groups
from p2pdrive.model import paths
from p2pdrive.model.record import Kind
from p2pdrive.model.vector import Vector


class Brought:
    """The table on one connection, inside a transaction or a read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def among(self, wanted: Iterable[str]) -> set[str]:
        """Those paths that are in it."""
        if self._db.execute("SELECT 1 FROM brought LIMIT 1").fetchone() is None:
            return set()
        found: set[str] = set()
        for some in in_groups(map(paths.key, wanted)):
            marks = ",".join("?" * len(some))
            rows = self._db.execute(f"SELECT key FROM brought WHERE key IN ({marks})", some)
            found.update(paths.from_key(row[0]) for row in rows)
        return found

    def put(self, held: Mapping[str, Kind]) -> None:
        """These paths stay as they are, by what is there."""
        rows = [(paths.key(path), int(kind)) for path, kind in held.items()]
        self._db.executemany("INSERT OR REPLACE INTO brought VALUES (?, ?)", rows)

    def drop(self, decided: Iterable[str]) -> None:
        """These paths are as any other."""
        self._db.executemany("DELETE FROM brought WHERE key = ?", [(paths.key(path),) for path in decided])

    def page(self, after: str, limit: int) -> list[str]:
        """The next ``limit`` paths in key order, beyond ``after``."""
        sql = "SELECT key FROM brought WHERE key > ? ORDER BY key LIMIT ?"
        return [paths.from_key(row[0]) for row in self._db.execute(sql, (paths.key(after), limit))]

    def count(self) -> int:
        """How many there are, directories left out."""
        sql = "SELECT count(*) FROM brought WHERE kind != ?"
        return int(self._db.execute(sql, (int(Kind.DIRECTORY),)).fetchone()[0])

    def let_go(self) -> None:
        """What the heads say of all these paths is to be shown: they are deleted here too."""
        self._db.execute("INSERT OR IGNORE INTO unshown (key, bytes) SELECT key, 0 FROM brought")
        self.forget_all()

    def former(self, wanted: Iterable[str]) -> dict[str, Vector]:
        """What those paths showed for which records, before the folder was to be adopted."""
        found: dict[str, Vector] = {}
        for some in in_groups(map(paths.key, wanted)):
            marks = ",".join("?" * len(some))
            rows = self._db.execute(f"SELECT key, vector FROM former WHERE key IN ({marks})", some)
            found.update((paths.from_key(key), msgpack.unpackb(vector)) for key, vector in rows)
        return found

    def keep_former(self) -> None:
        """Keep what the entries stand for, before they are forgotten."""
        sql = "INSERT OR REPLACE INTO former SELECT key, vector FROM entries WHERE of_key IS NULL"
        self._db.execute(sql)

    def forget_former(self) -> None:
        """The folder is adopted, or what its entries stood for is not to be believed."""
        self._db.execute("DELETE FROM former")

    def forget_all(self) -> None:
        """Forget them: the folder is about to be adopted anew."""
        self._db.execute("DELETE FROM brought")
