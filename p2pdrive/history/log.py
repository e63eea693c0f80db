"""The log of a drive: what is held of each actor, taking in peers' batches, giving them out."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from p2pdrive.errors import RecordRefused
from p2pdrive.history.membership import Membership
from p2pdrive.history.registers import Registers
from p2pdrive.index.entries import Entries
from p2pdrive.limits import BATCH_RECORDS_MAX
from p2pdrive.model import paths
from p2pdrive.model.batch import NO_BATCH, Batch, Header, signed_bytes
from p2pdrive.model.heads import Heads, winner
from p2pdrive.model.record import DELETED, Change, Content, Grant, Kind, Record, decode
from p2pdrive.model.vector import joined
from p2pdrive.planning.ordering import Lane, lane_of
from p2pdrive.secure.identity import verify

#: actor → (seq, hash of the batch that ends there)
Frontier = dict[bytes, tuple[int, bytes]]


@dataclass(slots=True)
class Ingested:
    """What a run of batches brought. ``forked`` are actors proven to have written two logs; ``own_forks``
    those of them that are ours: this drive was restored from a backup, or copied, with its key."""

    records: int = 0
    clock: int = 0
    membership: bool = False
    waiting: dict[bytes, int] = field(default_factory=dict)  # actor → last seq of what may not be taken yet
    changed: set[str] = field(default_factory=set)  # paths to be shown
    forked: list[bytes] = field(default_factory=list)
    own_forks: list[bytes] = field(default_factory=list)


_ADD_BATCH = """INSERT INTO batches (actor, first, count, hash, header, signature)
    VALUES (?, ?, ?, ?, ?, ?)"""


class Log:
    """The log on one connection; make one inside each transaction or read."""

    def __init__(self, connection: sqlite3.Connection, drive: bytes) -> None:
        self.connection = self._db = connection
        self.drive = drive
        self.registers = Registers(connection)
        self.membership = Membership(connection, drive)
        self.entries = Entries(connection)

    def frontier(self) -> Frontier:
        """For each actor the highest seq held and its batch's hash."""
        rows = self._db.execute("SELECT id, seq, hash FROM actors WHERE seq > 0")
        return {actor: (seq, digest) for actor, seq, digest in rows}

    def batches_after(
        self, after: Mapping[bytes, int], budget: int, until: Mapping[bytes, int] | None = None
    ) -> tuple[list[bytes], bool]:
        """Encoded batches beyond ``after`` (actor → seq), up to about ``budget`` bytes, and whether there are
        more; none beyond ``until`` (None: to the end). They come in the order in which this node took them
        in, so a grant comes before its effects."""
        found: list[bytes] = []
        size = 0
        sql = """SELECT a.id, b.actor, b.first, b.count, b.header, b.signature
            FROM batches b JOIN actors a ON a.number = b.actor ORDER BY b.position"""
        if after:
            lowest = self._first_position_beyond(after)
            if lowest is None:
                return [], False
            sql = sql.replace("ORDER BY", f"WHERE b.position >= {lowest} ORDER BY")
        for actor, number, first, count, header, signature in self._db.execute(sql):
            last = first + count - 1
            if last <= after.get(actor, 0) or (until is not None and last > until.get(actor, 0)):
                continue
            encoded = Batch(Header.decode(header), signature, self._bodies(number, first, count)).encode()
            if found and size + len(encoded) > budget:
                return found, True
            found.append(encoded)
            size += len(encoded)
        return found, False

    def ingest(self, batch: Batch, result: Ingested, directories: set[str]) -> None:
        """Check and take in a peer's batch, inside the caller's transaction; ``result`` says what it brought.

        A batch that is known is passed over; one of a device that may not write (yet) counts as waiting.
        ``directories`` remembers, for one transaction, which are known to be sound. Raises RecordRefused for
        a batch that no node may accept; nothing of it stays.
        """
        self._db.execute("SAVEPOINT batch")
        try:
            self._ingest(batch, result, directories)
        except BaseException:
            if self._db.in_transaction:  # else a full disk, say, made SQLite undo all of it already
                self._db.execute("ROLLBACK TO batch")
                self._db.execute("RELEASE batch")
            raise
        self._db.execute("RELEASE batch")

    def apply(
        self,
        author: bytes,
        number: int,
        first: int,
        changes: Sequence[tuple[Change, bytes]],
        heads: dict[str, Heads],
    ) -> None:
        """Let (change, its encoding), records ``first`` and on of actor ``number``, take effect. The caller
        closes their batch in the same transaction. ``heads`` are those of the paths, as far as the caller
        knows them, and are brought up to date. Raises RecordRefused for a membership change that may not be.
        """
        for seq, (change, body) in enumerate(changes, first):
            if not isinstance(change, Record):
                self.membership.apply(change, author)
                self._db.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?)", (number, seq, None, 0, body))
            elif change.path not in heads:
                heads[change.path] = self.registers.heads(change.path)
        records = [(change, body) for change, body in changes if isinstance(change, Record)]
        self.registers.apply(number, records, heads)

    def close_batch(self, header: Header, signature: bytes, number: int) -> None:
        """Append the batch whose records were applied to the chain of actor ``number``."""
        row = (number, header.first, header.count, header.hash, header.encode(), signature)
        self._db.execute(_ADD_BATCH, row)
        last = (header.last, header.hash, number)
        self._db.execute("UPDATE actors SET seq = ?, hash = ? WHERE number = ?", last)

    def actor(self, device: bytes, nonce: bytes, actor: bytes, own: bool = False) -> tuple[int, int, bytes]:
        """(number, seq, hash) of an actor; one not seen before is added."""
        sql = "SELECT number, seq, hash FROM actors WHERE id = ?"
        row = self._db.execute(sql, (actor,)).fetchone()
        if row is None:
            self._db.execute(
                "INSERT INTO actors (id, device, nonce, hash, own) VALUES (?, ?, ?, ?, ?)",
                (actor, device, nonce, NO_BATCH, int(own)),
            )
            row = self._db.execute(sql, (actor,)).fetchone()
        number, seq, digest = row
        return int(number), int(seq), bytes(digest)

    def own_actors(self, device: bytes) -> list[tuple[int, bytes, bytes, int, bytes]]:
        """(number, nonce, id, seq, hash) of the actors that this device writes under here, oldest first."""
        sql = """SELECT number, nonce, id, seq, hash FROM actors WHERE own = 1 AND device = ? AND frozen = 0
            ORDER BY number"""
        return self._db.execute(sql, (device,)).fetchall()

    def is_disowned(self, actor: bytes, device: bytes) -> bool:
        """Whether ``actor`` is one of ``device``, which is ours, that does not write any more."""
        row = self._db.execute("SELECT own, device FROM actors WHERE id = ?", (actor,)).fetchone()
        return row is not None and not row[0] and row[1] == device

    def disown(self, drop: bool) -> list[str]:
        """Our actors are ours no more; with ``drop`` their logs go. Returns the paths that lost records."""
        touched: list[str] = []
        if drop:
            own = "(SELECT number FROM actors WHERE own = 1)"
            sql = f"SELECT DISTINCT key FROM records WHERE actor IN {own} AND key IS NOT NULL"
            touched = [paths.from_key(row[0]) for row in self._db.execute(sql)]
            self._db.execute(f"DELETE FROM records WHERE actor IN {own}")
            self._db.execute(f"DELETE FROM batches WHERE actor IN {own}")
            self._db.execute("UPDATE actors SET seq = 0, hash = ? WHERE own = 1", (NO_BATCH,))
        self._db.execute("UPDATE actors SET own = 0")
        return touched

    def mark_all_unshown(self) -> None:
        """Every path with heads must be looked at again."""
        sql = "INSERT OR IGNORE INTO unshown (key, bytes) SELECT DISTINCT key, 0 FROM records WHERE head > 0"
        self._db.execute(sql)

    def device_of(self, actor: bytes) -> bytes:
        """The device that writes as ``actor``."""
        row = self._db.execute("SELECT device FROM actors WHERE id = ?", (actor,)).fetchone()
        return bytes(row[0]) if row else b""

    def hash_at(self, actor: bytes, seq: int) -> bytes | None:
        """The hash of the batch of ``actor`` that ends at ``seq``; None where none ends there."""
        sql = """SELECT b.hash FROM batches b JOIN actors a ON a.number = b.actor
            WHERE a.id = ? AND b.first + b.count - 1 = ?"""
        row = self._db.execute(sql, (actor, seq)).fetchone()
        return bytes(row[0]) if row else None

    def frozen(self) -> list[bytes]:
        """Actors that wrote two logs; nothing more of them is taken in."""
        return [bytes(row[0]) for row in self._db.execute("SELECT id FROM actors WHERE frozen = 1")]

    def unsound_above(self, path: str, directories: set[str]) -> list[str]:
        """The directories above ``path`` that no head says are directories."""
        unsound = []
        for directory in paths.ancestors(path):
            if directory in directories:
                break
            if self.registers.is_directory(directory):
                directories.add(directory)
            else:
                unsound.append(directory)
        return unsound

    def _ingest(self, batch: Batch, result: Ingested, directories: set[str]) -> None:
        header = batch.header
        if header.drive != self.drive:
            raise RecordRefused("a batch is of another drive")
        if not verify(header.device, batch.signature, signed_bytes(header.encode())):
            raise RecordRefused("a batch's signature is wrong")
        actor = header.actor
        if not self.membership.may_write(header.device):
            result.waiting[actor] = header.last
            return
        number, seq, digest = self.actor(header.device, header.nonce, actor)
        if header.first > seq + 1:
            result.waiting[actor] = header.last
            return
        if self._is_frozen(number) or self._known(number, batch):
            return
        if header.first <= seq or header.previous != digest:
            self._fork(number, actor, result)
            return
        changes = [decode(data, actor, at) for at, data in enumerate(batch.records, header.first)]
        records = [change for change in changes if isinstance(change, Record)]
        if not self._holds_what_was_seen(records, actor):
            result.waiting[actor] = header.last
            return
        heads = self._heads_for(changes)
        encoded = list(zip(changes, batch.records, strict=True))
        self.apply(header.device, number, header.first, encoded, heads)
        self.close_batch(header, batch.signature, number)
        if self._is_own(number):  # we wrote it and do not know it: this drive was restored from a backup
            result.own_forks.append(actor)
        result.records += len(changes)
        result.clock = max(result.clock, header.clock)
        result.membership = result.membership or any(isinstance(change, Grant) for change in changes)
        directories.difference_update(r.path for r in records if r.content.kind is not Kind.DIRECTORY)
        result.changed.update(self._mark_unshown(heads, directories))

    def _mark_unshown(self, changed: Mapping[str, Heads], directories: set[str]) -> list[str]:
        """The heads of these paths changed: they must be shown, and the directories above them looked at
        that stand only because of what is in them. ``directories`` remembers those known to be sound.
        Returns all of them.
        """
        best = {path: winner(heads) for path, heads in changed.items()}
        contents = {path: head.content if head is not None else DELETED for path, head in best.items()}
        here = {path for path, head in best.items() if head is not None and head.moved_from}
        here |= self._shown_as(contents)
        marked = [
            (path, content.size, lane_of(content, is_here=path in here)) for path, content in contents.items()
        ]
        above = (directory for path in changed for directory in self.unsound_above(path, directories))
        marked += [(directory, 0, Lane.PLAIN) for directory in above]
        self.entries.mark_unshown(marked)
        return [path for path, _, _ in marked]

    def _shown_as(self, contents: Mapping[str, Content]) -> set[str]:
        """The large files that the folder shows already, be it with another time."""
        large = {path: content for path, content in contents.items() if lane_of(content) is Lane.LARGE}
        entries = self.entries.get_many(large).values()
        return {entry.path for entry in entries if entry.content.identity == large[entry.path].identity}

    def _heads_for(self, changes: Sequence[Change]) -> dict[str, Heads]:
        """The heads of all paths that ``changes`` are about, read at once."""
        named = {change.path for change in changes if isinstance(change, Record)}
        return dict.fromkeys(named, ()) | self.registers.heads_of(named)

    def _known(self, number: int, batch: Batch) -> bool:
        sql = "SELECT hash FROM batches WHERE actor = ? AND first = ?"
        row = self._db.execute(sql, (number, batch.header.first)).fetchone()
        return row is not None and row[0] == batch.header.hash

    def _holds_what_was_seen(self, records: Sequence[Record], actor: bytes) -> bool:
        """Whether every dot that these records cover is held: a record takes effect after what it saw, so no
        two can supersede each other, whatever a writer claims. What a frozen actor wrote may never come."""
        rows = self._db.execute("SELECT id, seq, frozen FROM actors")
        held = {known: 1 << 62 if frozen else seq for known, seq, frozen in rows}
        seen = joined(record.vector for record in records)
        return all(held.get(other, 0) >= seq for other, seq in seen.items() if other != actor)

    def _is_frozen(self, number: int) -> bool:
        sql = "SELECT frozen FROM actors WHERE number = ?"
        return bool(self._db.execute(sql, (number,)).fetchone()[0])

    def _is_own(self, number: int) -> bool:
        return bool(self._db.execute("SELECT own FROM actors WHERE number = ?", (number,)).fetchone()[0])

    def _fork(self, number: int, actor: bytes, result: Ingested) -> None:
        if self._is_own(number):
            result.own_forks.append(actor)
        else:
            self._db.execute("UPDATE actors SET frozen = 1 WHERE number = ?", (number,))
            result.forked.append(actor)

    def _first_position_beyond(self, after: Mapping[bytes, int]) -> int | None:
        lowest: int | None = None
        for actor, number in self._db.execute("SELECT id, number FROM actors").fetchall():
            sql = """SELECT position FROM batches WHERE actor = ? AND first > ? AND first + count - 1 > ?
                ORDER BY first LIMIT 1"""
            seq = after.get(actor, 0)
            row = self._db.execute(sql, (number, seq - BATCH_RECORDS_MAX, seq)).fetchone()
            if row is not None and (lowest is None or row[0] < lowest):
                lowest = int(row[0])
        return lowest

    def _bodies(self, number: int, first: int, count: int) -> tuple[bytes, ...]:
        sql = "SELECT data FROM records WHERE actor = ? AND seq >= ? AND seq < ? ORDER BY seq"
        return tuple(row[0] for row in self._db.execute(sql, (number, first, first + count)))
