"""The logs of all machines, read as they grow: each checker is given what is new to it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from sqlite3 import Connection
from typing import Any

from p2pdrive.lab.evidence import reading
from p2pdrive.model.batch import Header
from p2pdrive.model.record import Change, Record, decode

_BATCHES = """SELECT b.position, b.actor, b.header, b.signature FROM batches b
    WHERE b.position > ? ORDER BY b.position"""
_RECORDS = "SELECT data FROM records WHERE actor = ? AND seq >= ? AND seq <= ? ORDER BY seq"


@dataclass(frozen=True, slots=True)
class Held:
    """A batch that ``machine`` has taken in or written."""

    machine: str
    header: Header
    signature: bytes
    bodies: tuple[bytes, ...]
    changes: tuple[Change, ...]

    @property
    def records(self) -> Iterator[Record]:
        """The changes of paths."""
        return (change for change in self.changes if isinstance(change, Record))


@dataclass(slots=True)
class Book:
    """What was read of one machine's log. ``generation`` grows whenever it is found to hold less than before,
    ``restores`` is how often it was put back from a backup: then it is read anew."""

    position: int = 0
    generation: int = 0
    restores: int = 0
    frontier: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    frozen: set[bytes] = field(default_factory=set)


class Books:
    """The logs of a world. One is shared by the checkers of a run; a checker that comes back begins a new
    round, for which the indexes are read again.
    """

    def __init__(self) -> None:
        self.books: dict[str, Book] = {}
        self._news: list[Held] = []
        self._read: dict[object, int] = {}  # reader → how much of the news it was given
        self._this_round: set[object] = set()
        self._decoded: dict[bytes, Change] = {}

    def news(self, reader: object, world: Any) -> list[Held]:
        """The batches that ``reader`` was not given yet."""
        self.look(reader, world)
        seen = self._read.get(reader, 0)
        self._read[reader] = len(self._news)
        return self._news[seen:]

    def look(self, reader: object, world: Any) -> None:
        """Read what is new, once a round."""
        if reader in self._this_round or not self._this_round:
            self._this_round = set()
            for machine in world.machines:
                self._read_machine(machine, world.oracle.seen.restores.get(machine.name, 0))
        self._this_round.add(reader)

    def _read_machine(self, machine: Any, restores: int) -> None:
        with reading(machine) as connection:
            if connection is None:
                return
            book = self.books.setdefault(machine.name, Book())
            actors = connection.execute("SELECT number, id, seq, hash, frozen FROM actors").fetchall()
            frontier = {actor: (seq, digest) for _, actor, seq, digest, _ in actors}
            if any(frontier.get(actor, (0, b""))[0] < seq for actor, (seq, _) in book.frontier.items()):
                book.position, book.generation = 0, book.generation + 1
            if restores != book.restores:
                book.position, book.restores = 0, restores
            book.frontier = frontier
            book.frozen = {actor for _, actor, _, _, frozen in actors if frozen}
            self._read_batches(machine.name, book, connection)

    def _read_batches(self, machine: str, book: Book, connection: Connection) -> None:
        for position, number, encoded, signature in connection.execute(_BATCHES, (book.position,)).fetchall():
            book.position = position
            header = Header.decode(encoded)
            rows = connection.execute(_RECORDS, (number, header.first, header.last)).fetchall()
            bodies = tuple(row[0] for row in rows)
            changes = tuple(self._decode(body, header, at) for at, body in enumerate(bodies, header.first))
            self._news.append(Held(machine, header, signature, bodies, changes))

    def _decode(self, body: bytes, header: Header, seq: int) -> Change:
        key = body + header.actor + seq.to_bytes(8, "big")
        change = self._decoded.get(key)
        if change is None:
            change = self._decoded[key] = decode(body, header.actor, seq)
        return change


def actors_of(world: Any) -> dict[bytes, str]:
    """Device → the machine that it is."""
    return {machine.identity.device: machine.name for machine in world.machines}
