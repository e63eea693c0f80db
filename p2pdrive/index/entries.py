"""Entries: what the folder showed at each path when we last looked or wrote, and for which records.

An entry is an observation, never pending work. What the heads say and the folder does not show yet is
listed in ``unshown``, kept in the same transactions as the heads.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import msgpack

from p2pdrive.limits import NAMED_AT_ONCE
from p2pdrive.model import paths
from p2pdrive.model.record import Content, Kind
from p2pdrive.model.vector import Vector
from p2pdrive.planning.ordering import Lane, Mark

ValueT = TypeVar("ValueT")

#: Above any serial that SQLite gives.
_SERIAL_MAX = 2**63 - 1

_COLUMNS = (
    "id, key, kind, size, mtime_ns, ctime_ns, inode, executable, root, blocks, target, vector, "
    "view_actor, view_seq, of_key, checked_ns, private"
)


@dataclass(frozen=True, slots=True)
class View:
    """The entry is a conflict copy: it shows the losing record (actor, seq) of the path ``of``."""

    of: str
    actor: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class Entry:
    """``path`` held ``content`` (its ``mtime_ns`` as on disk) in ``inode``, and that stands for ``vector``.

    ``checked_ns`` is the wall clock when its bytes were last known to be ``content``: a file touched
    within the clock's grain of it may have changed unseen, and is hashed again.
    """

    path: str
    content: Content
    inode: int
    ctime_ns: int
    vector: Vector
    checked_ns: int
    view: View | None = None
    id: int = 0


class Entries:
    """The table ``entries`` and ``unshown`` on one connection, inside a transaction or a read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def get(self, path: str) -> Entry | None:
        """The entry of ``path``."""
        return self._one("key = ?", paths.key(path))

    def get_many(self, wanted: Iterable[str]) -> dict[str, Entry]:
        """The entries of those paths that have one."""
        found: dict[str, Entry] = {}
        for some in in_groups(map(paths.key, wanted)):
            found.update((e.path, e) for e in self._select(f"key IN ({_marks(some)})", *some))
        return found

    def among_unshown(self, wanted: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Those paths that are still to be shown: the serial of the mark that says so, and bytes."""
        found: dict[str, tuple[int, int]] = {}
        for some in in_groups(map(paths.key, wanted)):
            sql = f"SELECT key, serial, bytes FROM unshown WHERE key IN ({_marks(some)})"
            rows = self._db.execute(sql, some)
            found.update((paths.from_key(key), (serial, size)) for key, serial, size in rows)
        return found

    def by_id(self, number: int) -> Entry | None:
        """The entry whose blocks are borrowed under ``number``."""
        return self._one("id = ?", number)

    def path_of(self, number: int) -> str | None:
        """The path of the entry whose blocks are borrowed under ``number``."""
        row = self._db.execute("SELECT key FROM entries WHERE id = ?", (number,)).fetchone()
        return paths.from_key(row[0]) if row else None

    def with_inodes(self, inodes: Iterable[int]) -> dict[int, list[Entry]]:
        """Files by their inodes: where a renamed file may have come from."""
        found: dict[int, list[Entry]] = {}
        for some in in_groups(inodes):
            for entry in self._select(f"inode IN ({_marks(some)}) AND kind = 1", *some):
                found.setdefault(entry.inode, []).append(entry)
        return found

    def directories_with_inode(self, inode: int) -> list[Entry]:
        """Directories by their inode, which another may have by now."""
        return list(self._select("inode = ? AND kind = ?", inode, int(Kind.DIRECTORY)))

    def borrowing(self, block: bytes) -> list[Entry]:
        """Some of the files that have this block."""
        chosen = f"SELECT entry FROM borrowed WHERE block = ? AND entry > 0 LIMIT {NAMED_AT_ONCE}"
        return list(self._select(f"id IN ({chosen})", block))

    def views(self, path: str) -> list[Entry]:
        """The conflict copies shown beside ``path``."""
        return list(self._select("of_key = ?", paths.key(path)))

    def below(self, path: str, limit: int = -1) -> list[Entry]:
        """Entries inside the directory ``path``."""
        low = paths.key(path)
        where = f"key > ? AND key < ? ORDER BY key LIMIT {limit}"
        return list(self._select(where, low + b"\0", low + b"\1"))

    def count_below(self, path: str) -> int:
        """The number of entries inside the directory ``path``."""
        low = paths.key(path)
        sql = "SELECT count(*) FROM entries WHERE key > ? AND key < ?"
        return int(self._db.execute(sql, (low + b"\0", low + b"\1")).fetchone()[0])

    def with_views(self, wanted: Iterable[str]) -> set[str]:
        """Those paths that conflict copies are shown beside."""
        found: set[str] = set()
        if not self.count_views():
            return found
        for some in in_groups(map(paths.key, wanted)):
            rows = self._db.execute(
                f"SELECT DISTINCT of_key FROM entries WHERE of_key IN ({_marks(some)})", some
            )
            found.update(paths.from_key(row[0]) for row in rows)
        return found

    def inside(self, start: str, after: str, limit: int) -> list[Entry]:
        """The next ``limit`` entries at or below ``start`` (empty: anywhere) by key, beyond ``after``."""
        low = paths.key(start)
        where = f"key > ? AND key >= ? AND key < ? ORDER BY key LIMIT {limit}"
        return list(self._select(where, paths.key(after), low, low + b"\1" if start else b"\xff"))

    def put(self, entry: Entry) -> int:
        """Insert or replace the entry of a path (keeping its id); returns the id."""
        (number,) = self._db.execute(_PUT, _row(entry)).fetchone()
        return int(number)

    def put_many(self, entries: Iterable[Entry]) -> list[int]:
        """Insert those whose id is 0, update the others by their id; returns the ids, in order."""
        (last,) = self._db.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()
        numbers: list[int] = []
        new: list[tuple[object, ...]] = []
        known: list[tuple[object, ...]] = []
        for entry in entries:
            if entry.id:
                known.append((*_row(entry), entry.id))
                numbers.append(entry.id)
            else:
                last += 1
                new.append((*_row(entry), last))
                numbers.append(last)
        self._db.executemany(_UPDATE, known)
        self._db.executemany(_INSERT, new)
        return numbers

    def move(self, number: int, path: str) -> None:
        """The file of entry ``number`` is now at ``path``; what is borrowed from it stays borrowed."""
        self._db.execute("UPDATE entries SET key = ? WHERE id = ?", (paths.key(path), number))

    def set_vector(self, number: int, vector: Vector) -> None:
        """What entry ``number`` shows stands for ``vector``."""
        self._db.execute("UPDATE entries SET vector = ? WHERE id = ?", (pack_vector(vector), number))

    def delete(self, path: str) -> int | None:
        """Forget ``path``; returns its id, for the caller to give back what was borrowed from it."""
        row = self._db.execute(
            "DELETE FROM entries WHERE key = ? RETURNING id", (paths.key(path),)
        ).fetchone()
        return int(row[0]) if row else None

    def forget_all(self) -> None:
        """Forget what the folder showed, and what was borrowed from it."""
        self._db.execute("DELETE FROM borrowed WHERE entry > 0")  # the others are the archive's
        self._db.execute("DELETE FROM entries")

    def totals(self) -> dict[Kind, tuple[int, int]]:
        """Kind → (count, bytes)."""
        rows = self._db.execute("SELECT kind, count, bytes FROM totals")
        return {Kind(kind): (count, size) for kind, count, size in rows}

    def count_views(self) -> int:
        """Conflict copies shown."""
        sql = "SELECT count(*) FROM entries WHERE of_key IS NOT NULL"
        return int(self._db.execute(sql).fetchone()[0])

    def mark_unshown(self, shown: Iterable[tuple[str, int, Lane]]) -> None:
        """(path, bytes of its content, lane): what the heads say there is not on disk yet."""
        rows = [(paths.key(path), size, lane) for path, size, lane in shown]
        self._db.executemany("INSERT OR REPLACE INTO unshown (key, bytes, lane) VALUES (?, ?, ?)", rows)

    def change_lanes(self, changed: Mapping[str, Lane]) -> None:
        """Those of the paths that are unshown have turned out to be of another lane."""
        rows = [(lane, paths.key(path), lane) for path, lane in changed.items()]
        self._db.executemany("UPDATE unshown SET lane = ? WHERE key = ? AND lane != ?", rows)

    def mark_shown(self, shown: Iterable[str]) -> None:
        """The folder shows what the heads of these paths say."""
        self._db.executemany("DELETE FROM unshown WHERE key = ?", [(paths.key(path),) for path in shown])

    def take_off_unshown(self, serials: Iterable[int]) -> None:
        """What these marks stood for is shown; a path that was marked again meanwhile stays."""
        self._db.executemany("DELETE FROM unshown WHERE serial = ?", [(serial,) for serial in serials])

    def unshown(self, after: str, limit: int) -> list[tuple[str, int]]:
        """(path, bytes) still to be shown, in key order, beyond ``after``."""
        sql = "SELECT key, bytes FROM unshown WHERE key > ? ORDER BY key LIMIT ?"
        rows = self._db.execute(sql, (paths.key(after), limit))
        return [(paths.from_key(key), size) for key, size in rows]

    def unshown_in(self, lane: Lane, newest_first: bool, *, limit: int) -> Iterator[list[Mark]]:
        """The marks in a lane by their serials, in pages of ``limit`` that are read as they are asked for."""
        beyond, order = ("<", "DESC") if newest_first else (">", "ASC")
        sql = f"""SELECT key, bytes, serial FROM unshown WHERE lane = ? AND serial {beyond} ?
            ORDER BY serial {order} LIMIT ?"""
        after = _SERIAL_MAX if newest_first else 0
        while rows := self._db.execute(sql, (lane, after, limit)).fetchall():
            yield [Mark(paths.from_key(key), size, serial) for key, size, serial in rows]
            after = rows[-1][2]

    def last_mark(self) -> int:
        """The highest serial of what is unshown; 0 where all is shown."""
        (serial,) = self._db.execute("SELECT coalesce(max(serial), 0) FROM unshown").fetchone()
        return int(serial)

    def count_unshown(self) -> tuple[int, int]:
        """(paths, bytes) still to be shown."""
        count, size = self._db.execute("SELECT count(*), total(bytes) FROM unshown").fetchone()
        return int(count), int(size)

    def _one(self, where: str, value: object) -> Entry | None:
        return next(self._select(where, value), None)

    def _select(self, where: str, *values: object) -> Iterator[Entry]:
        for row in self._db.execute(f"SELECT {_COLUMNS} FROM entries WHERE {where}", values):
            yield _entry(row)


_UPDATE = """UPDATE entries SET key = ?, kind = ?, size = ?, mtime_ns = ?, ctime_ns = ?, inode = ?,
    executable = ?, root = ?, blocks = ?, target = ?, vector = ?, view_actor = ?, view_seq = ?, of_key = ?,
    checked_ns = ?, private = ? WHERE id = ?"""
_INSERT = """INSERT INTO entries (key, kind, size, mtime_ns, ctime_ns, inode, executable, root, blocks,
    target, vector, view_actor, view_seq, of_key, checked_ns, private, id)
    VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"""
_PUT = """INSERT INTO entries (key, kind, size, mtime_ns, ctime_ns, inode, executable, root, blocks, target,
    vector, view_actor, view_seq, of_key, checked_ns, private) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
    ON CONFLICT (key) DO UPDATE SET kind = excluded.kind, size = excluded.size, mtime_ns = excluded.mtime_ns,
    ctime_ns = excluded.ctime_ns, inode = excluded.inode, executable = excluded.executable,
    root = excluded.root, blocks = excluded.blocks, target = excluded.target, vector = excluded.vector,
    view_actor = excluded.view_actor, view_seq = excluded.view_seq, of_key = excluded.of_key,
    checked_ns = excluded.checked_ns, private = excluded.private RETURNING id"""


def _row(entry: Entry) -> tuple[object, ...]:
    content, view = entry.content, entry.view
    return (
        paths.key(entry.path),
        int(content.kind),
        content.size,
        content.mtime_ns,
        entry.ctime_ns,
        entry.inode,
        int(content.executable),
        content.root,
        content.blocks,
        content.target,
        pack_vector(entry.vector),
        view.actor if view else None,
        view.seq if view else None,
        paths.key(view.of) if view else None,
        entry.checked_ns,
        int(content.private),
    )


def in_groups(values: Iterable[ValueT]) -> Iterator[list[ValueT]]:
    """Cut into runs that one statement can name."""
    left = iter(values)
    while some := list(islice(left, NAMED_AT_ONCE)):
        yield some


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _entry(row: tuple[Any, ...]) -> Entry:
    (number, key, kind, size, mtime_ns, ctime_ns, inode, executable, root, blocks, target, vector) = row[:12]
    view_actor, view_seq, of_key, checked_ns, private = row[12:]
    content = Content(Kind(kind), size, root, blocks, bool(executable), mtime_ns, target, bool(private))
    view = View(paths.from_key(of_key), view_actor, view_seq) if of_key is not None else None
    seen = msgpack.unpackb(vector)
    return Entry(paths.from_key(key), content, inode, ctime_ns, seen, checked_ns, view, number)


def pack_vector(vector: Vector) -> bytes:
    """A vector as it is stored."""
    return bytes(msgpack.packb(dict(vector)))
