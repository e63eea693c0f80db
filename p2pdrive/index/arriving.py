"""Files about to get their names in the folder, where they displace nothing that would tell of a kill."""

import sqlite3
from collections.abc import Iterable, Mapping

from p2pdrive.model import paths


class Arriving:
    """The table over ``connection``: paths, and the inodes that are to be there."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def put(self, inodes: Mapping[str, int]) -> None:
        """These are about to be shown."""
        rows = ((paths.key(path), inode) for path, inode in inodes.items())
        self._db.executemany("INSERT OR REPLACE INTO arriving VALUES (?, ?)", rows)

    def drop(self, named: Iterable[str]) -> None:
        """What became of these is noted."""
        self._db.executemany("DELETE FROM arriving WHERE key = ?", ((paths.key(path),) for path in named))

    def all(self) -> dict[str, int]:
        """Path → inode."""
        rows = self._db.execute("SELECT key, inode FROM arriving")
        return {paths.from_key(key): inode for key, inode in rows}
