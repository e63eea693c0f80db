"""Opening the index, be the disk so full that SQLite cannot even make its shared memory."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from p2pdrive.blocks.packs import Packs
from p2pdrive.blocks.store import only_in_history
from p2pdrive.engine.to_come import blocks_to_come
from p2pdrive.errors import DiskFull, NotWritable, WorldError
from p2pdrive.folder.files import Files
from p2pdrive.index.database import Database
from p2pdrive.limits import COMMIT_BYTES


def open_index(path: Path, files: Files, packs: Path) -> Database:
    """The index at ``path``. On a full disk the oldest of history goes first; the index hears of that when it
    is open. Raises what ``Database`` raises; DiskFull where history holds nothing that may go."""
    while True:
        try:
            return Database(str(path))
        except DiskFull:
            if not _let_go(path, files, Packs(packs)):
                raise


def _let_go(path: Path, files: Files, packs: Packs) -> bool:
    """Some of history, so that a transaction has room; whether any of it went."""
    needed_archived, needed_packs = _needed(path, packs)
    archived = [number for number in files.archive.numbers() if number not in needed_archived]
    filled = [number for number, _, size in packs.files() if size and number not in needed_packs]
    freed = 0
    for discard, numbers in ((files.archive.discard, archived), (packs.empty, filled)):
        for number in numbers:
            if freed < COMMIT_BYTES:
                with suppress(NotWritable):
                    freed += discard(number)
    if freed:
        with suppress(WorldError):
            files.sync_all()  # some file systems free what is gone only then
    return freed > 0


def _needed(path: Path, packs: Packs) -> tuple[set[int], set[int]]:
    """Numbers of the archive, and of packs, that hold what is still to be shown. All packs, where the index
    cannot be read.

    A connection that locks out all others needs no shared memory, and so no room.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA query_only=1")
            return only_in_history(connection, blocks_to_come(connection))
    except sqlite3.Error:
        return set(), set(packs.numbers())
