"""Which files of the archive are history, and of what content."""

import sqlite3
from typing import NamedTuple


class ArchivedFile(NamedTuple):
    """File ``number`` of the archive holds the content ``root`` of ``size`` bytes since ``since_ns``."""

    number: int
    root: bytes
    size: int
    since_ns: int


class Archived:
    """The table ``archived`` on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def put(self, file: ArchivedFile) -> None:
        """Name a file; the caller borrows its blocks under ``borrowed_as``."""
        self._db.execute("INSERT OR REPLACE INTO archived VALUES (?, ?, ?, ?)", file)

    def forget(self, number: int) -> None:
        """Read nothing more from a file."""
        self._db.execute("DELETE FROM borrowed WHERE entry = ?", (borrowed_as(number),))
        self._db.execute("DELETE FROM archived WHERE number = ?", (number,))

    def numbers(self) -> set[int]:
        """Of all files that are named."""
        return {number for (number,) in self._db.execute("SELECT number FROM archived")}

    def among(self, numbers: set[int]) -> set[int]:
        """Those numbers that are named."""
        sql = "SELECT number FROM archived WHERE number = ?"
        return {number for number in numbers if self._db.execute(sql, (number,)).fetchone() is not None}

    def oldest(self, limit: int) -> list[ArchivedFile]:
        """The files that are history for the longest time."""
        sql = "SELECT number, root, size, since_ns FROM archived ORDER BY since_ns, number LIMIT ?"
        return [ArchivedFile(*row) for row in self._db.execute(sql, (limit,))]

    def total(self) -> int:
        """Bytes of all of them, holes included."""
        return int(self._db.execute("SELECT ifnull(sum(size), 0) FROM archived").fetchone()[0])


def borrowed_as(number: int) -> int:
    """What stands for file ``number`` of the archive where an entry would stand for a file of the folder."""
    return -number
