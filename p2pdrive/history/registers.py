"""The heads and the versions of paths, as the log's records stand for them."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from p2pdrive.index.entries import in_groups
from p2pdrive.model import heads as registers
from p2pdrive.model import paths
from p2pdrive.model.batch import Header
from p2pdrive.model.heads import Heads
from p2pdrive.model.record import Kind, Record, stored

_SUPERSEDED, _DELETING, _LIVE = 0, 1, 2


class Registers:
    """The path records of one drive on one connection, inside a transaction or a read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def heads(self, path: str) -> Heads:
        """The heads of ``path``; empty for a path that no record names."""
        sql = """SELECT a.id, r.seq, r.data FROM records r JOIN actors a ON a.number = r.actor
            WHERE r.key = ? AND r.head > 0"""
        found = [_record(row) for row in self._db.execute(sql, (paths.key(path),))]
        return tuple(sorted(found, key=lambda record: (record.actor, record.seq)))

    def heads_of(self, wanted: Iterable[str]) -> dict[str, Heads]:
        """The heads of each of many paths, as ``heads`` gives them; paths without any are left out."""
        found: dict[str, list[Record]] = {}
        for some in in_groups(map(paths.key, wanted)):
            marks = ",".join("?" * len(some))
            sql = f"""SELECT a.id, r.seq, r.data FROM records r JOIN actors a ON a.number = r.actor
                WHERE r.key IN ({marks}) AND r.head > 0"""
            for row in self._db.execute(sql, some):
                record = _record(row)
                found.setdefault(record.path, []).append(record)
        return {path: registers.merge((), heads) for path, heads in found.items()}

    def with_live_below(self, wanted: Iterable[str]) -> set[str]:
        """Those paths with anything live inside."""
        found: set[str] = set()
        for some in in_groups(map(paths.key, wanted)):
            marks = ",".join(["(?, ?, ?)"] * len(some))
            sql = f"""WITH asked (key, low, high) AS (VALUES {marks}) SELECT key FROM asked
                WHERE EXISTS (SELECT 1 FROM records r
                WHERE r.key > asked.low AND r.key < asked.high AND r.head = {_LIVE})"""
            bounds = [bound for key in some for bound in (key, key + b"\0", key + b"\1")]
            found.update(paths.from_key(row[0]) for row in self._db.execute(sql, bounds))
        return found

    def latest_seqs_of(self, wanted: Iterable[str], actors: Sequence[int]) -> dict[str, dict[int, int]]:
        """Path → actor number → the seq of its latest record; what none of ``actors`` wrote is left out."""
        found: dict[str, dict[int, int]] = {}
        if not actors:
            return found
        own = ",".join("?" * len(actors))
        for some in in_groups(map(paths.key, wanted)):
            marks = ",".join("?" * len(some))
            sql = f"""SELECT key, actor, max(seq) FROM records WHERE key IN ({marks}) AND actor IN ({own})
                GROUP BY key, actor"""
            for key, actor, seq in self._db.execute(sql, [*some, *actors]):
                found.setdefault(paths.from_key(key), {})[actor] = seq
        return found

    def apply(self, actor: int, records: Iterable[tuple[Record, bytes]], heads: dict[str, Heads]) -> None:
        """Add (record, its encoding) of actor number ``actor`` to their paths; heads that they supersede are
        heads no more. ``heads`` holds those of all the paths, and is brought up to date."""
        rows = []
        superseded: list[Record] = []
        for record, body in records:
            before = heads[record.path]
            after = heads[record.path] = registers.merge(before, [record])
            head = _standing(record) if record in after else _SUPERSEDED
            superseded += (dropped for dropped in before if dropped not in after)
            rows.append((actor, record.seq, paths.key(record.path), head, body))
        self._db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?)", rows)
        if superseded:
            self._set_heads((_SUPERSEDED, record) for record in superseded)

    def recompute(self, path: str) -> None:
        """Find the heads of ``path`` again from all of its records."""
        every = list(self.versions(path))
        heads = registers.merge((), every)
        self._set_heads((_standing(record) if record in heads else _SUPERSEDED, record) for record in every)

    def versions(self, path: str) -> Iterator[Record]:
        """All records of ``path``, in no order."""
        sql = """SELECT a.id, r.seq, r.data FROM records r JOIN actors a ON a.number = r.actor
            WHERE r.key = ?"""
        yield from map(_record, self._db.execute(sql, (paths.key(path),)).fetchall())

    def find(self, actor: bytes, seq: int) -> Record | None:
        """The path record (actor, seq)."""
        sql = """SELECT a.id, r.seq, r.data FROM records r JOIN actors a ON a.number = r.actor
            WHERE a.id = ? AND r.seq = ? AND r.key IS NOT NULL"""
        row = self._db.execute(sql, (actor, seq)).fetchone()
        return _record(row) if row else None

    def author_name(self, actor: bytes, seq: int) -> str:
        """The name of the device that wrote record (actor, seq), as its batch says."""
        sql = """SELECT b.header FROM batches b JOIN actors a ON a.number = b.actor
            WHERE a.id = ? AND b.first <= ? ORDER BY b.first DESC LIMIT 1"""
        row = self._db.execute(sql, (actor, seq)).fetchone()
        return Header.decode(row[0]).name if row else "unknown"

    def live_below(self, path: str) -> bool:
        """Whether anything inside the directory ``path`` is live."""
        low = paths.key(path)
        sql = f"SELECT 1 FROM records WHERE key > ? AND key < ? AND head = {_LIVE} LIMIT 1"
        return self._db.execute(sql, (low + b"\0", low + b"\1")).fetchone() is not None

    def is_directory(self, path: str) -> bool:
        """Whether the heads say that ``path`` is a directory of its own right."""
        best = registers.winner(self.heads(path))
        return best is not None and best.content.kind is Kind.DIRECTORY

    def _set_heads(self, standings: Iterable[tuple[int, Record]]) -> None:
        sql = """UPDATE records SET head = ? WHERE seq = ? AND
            actor = (SELECT number FROM actors WHERE id = ?)"""
        self._db.executemany(sql, ((head, record.seq, record.actor) for head, record in standings))


def _standing(record: Record) -> int:
    return _LIVE if record.content.live else _DELETING


def _record(row: tuple[bytes, int, bytes]) -> Record:
    actor, seq, data = row
    return stored(data, actor, seq)
