"""Devices with their logs in memory: they write, take in each other's batches, and are compared."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from blake3 import blake3

from p2pdrive.history.authoring import Author, Edit, Writing
from p2pdrive.history.log import Ingested, Log
from p2pdrive.index.schema import MIGRATIONS
from p2pdrive.model import paths
from p2pdrive.model.batch import Batch, Header, body_root, signed_bytes
from p2pdrive.model.clock import HybridClock
from p2pdrive.model.genesis import Genesis
from p2pdrive.model.heads import Heads
from p2pdrive.model.record import DELETED, DIRECTORY, Change, Content, Grant, Kind, Record, Role
from p2pdrive.model.vector import Vector
from p2pdrive.planning.conflicts import Verdict, judge
from p2pdrive.secure.identity import Identity

Dot = tuple[bytes, int]

ONE, TWO, THREE = (Content(Kind.FILE, 9, bytes([n]) * 32, 1) for n in (1, 2, 3))
CONTENTS = (ONE, TWO, THREE, Content(Kind.SYMLINK, target="elsewhere"), DIRECTORY, DELETED)
NO_END = 1 << 60


class Machine:
    """A device in a drive; its wall clock stands still unless ``now_ms`` is moved."""

    def __init__(self, number: int, genesis: Genesis) -> None:
        self.identity = identity_of(number)
        self.name = f"machine {number}"
        self.genesis = genesis
        self.now_ms = 1_700_000_000_000
        self._drawn = 0
        self.clock = HybridClock()
        self.author = Author(self.identity, self.name, self.clock, lambda: self.now_ms, self._random)
        self.connection = empty_index()
        self.log = Log(self.connection, genesis.drive)
        self.log.membership.grant(Grant(genesis.admin, Role.ADMIN, genesis.admin_name))
        self.shown: dict[str, Vector] = {}

    @property
    def device(self) -> bytes:
        return self.identity.device

    # --- writing

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        with self.transaction(), self.author.writing(self.log) as pen:
            yield pen

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def edit(self, path: str, content: Content, seen: Vector | None = None) -> Record:
        """Write one record; by default it has seen what the folder showed here last."""
        with self.writing() as pen:
            record = pen.edit(Edit(path, content, self.shown.get(path, {}) if seen is None else seen))
        self.shown[path] = record.vector
        return record

    def show(self, path: str) -> None:
        """The folder shows what the heads of ``path`` say."""
        self.shown[path] = self.verdict(path).seen

    def admit(self, *changes: Change) -> None:
        with self.writing() as pen:
            for change in changes:
                assert not isinstance(change, Record)
                pen.admit(change)

    def grant(self, *members: "Machine", role: Role = Role.EDITOR) -> None:
        self.admit(*(Grant(member.device, role, member.name) for member in members))

    # --- exchanging

    def batches(self, after: Mapping[bytes, int] | None = None, budget: int = NO_END) -> list[Batch]:
        found, _ = self.log.batches_after(after or {}, budget)
        return [Batch.decode(encoded) for encoded in found]

    def take(self, batches: Iterable[Batch]) -> Ingested:
        """Take in batches, in one transaction."""
        result, directories = Ingested(), set[str]()
        with self.transaction():
            for batch in batches:
                self.log.ingest(batch, result, directories)
        self.clock.follow(result.clock, self.now_ms)
        return result

    def pull(self, other: "Machine", budget: int = NO_END) -> Ingested:
        after = {actor: seq for actor, (seq, _) in self.log.frontier().items()}
        return self.take(other.batches(after, budget))

    # --- looking

    def heads(self, path: str) -> Heads:
        return self.log.registers.heads(path)

    def contents(self, path: str) -> list[Content]:
        """Of the heads, in no order that matters."""
        return sorted((head.content for head in self.heads(path)), key=repr)

    def verdict(self, path: str) -> Verdict:
        return judge(self.heads(path), self.log.registers.live_below(path))

    def paths(self) -> list[str]:
        rows = self.connection.execute("SELECT DISTINCT key FROM records WHERE key IS NOT NULL ORDER BY key")
        return [paths.from_key(key) for (key,) in rows]

    def unshown(self) -> set[str]:
        return {path for path, _ in self.log.entries.unshown("", 1_000_000)}

    def dots(self) -> dict[Dot, bytes]:
        """(actor, seq) → the encoded record."""
        sql = "SELECT a.id, r.seq, r.data FROM records r JOIN actors a ON a.number = r.actor"
        return {(actor, seq): data for actor, seq, data in self.connection.execute(sql)}

    def state(self) -> "State":
        """All that must not depend on the order in which batches came."""
        sql = "SELECT a.id, r.seq, r.head FROM records r JOIN actors a ON a.number = r.actor"
        return State(
            self.log.frontier(),
            {path: self.heads(path) for path in self.paths()},
            {path: self.verdict(path) for path in self.paths()},
            {(actor, seq): head for actor, seq, head in self.connection.execute(sql)},
            [(member.device, member.role, member.name) for member in self.log.membership.all()],
        )

    def _random(self, count: int) -> bytes:
        self._drawn += 1
        return blake3(self.device + self._drawn.to_bytes(8, "big")).digest()[:count]


@dataclass(frozen=True, slots=True)
class State:
    """What a log stands for."""

    frontier: dict[bytes, tuple[int, bytes]]
    heads: dict[str, Heads]
    verdicts: dict[str, Verdict]
    standings: dict[Dot, int]
    members: list[tuple[bytes, Role, str]]


def identity_of(number: int) -> Identity:
    return Identity(bytes([number]) * 32)


def empty_index() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _migrated().backup(connection)
    return connection


@cache
def _migrated() -> sqlite3.Connection:
    """Made once and copied: an index takes longer to make than most of what is done with it here."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for migration in MIGRATIONS:
        for statement in migration:
            connection.execute(statement)
    return connection


def founded(members: int, strangers: int = 0, role: Role = Role.EDITOR) -> list[Machine]:
    """Machines of one drive: the first founded it, ``members`` more have ``role``, the last have none."""
    genesis = Genesis("Photos", identity_of(0).device, "machine 0", bytes(16), 0)
    machines = [Machine(number, genesis) for number in range(1 + members + strangers)]
    if members:
        machines[0].grant(*machines[1 : 1 + members], role=role)
    for machine in machines[1:]:
        machine.pull(machines[0])
    return machines


def batch_of(
    machine: Machine,
    *changes: Change | Callable[[bytes, int], Change] | bytes,
    first: int = 1,
    previous: bytes = bytes(32),
    nonce: bytes = b"n" * 16,
    drive: bytes | None = None,
    signer: Identity | None = None,
) -> Batch:
    """A batch put together by hand, as no honest device would: ``changes`` may be calls of (actor, seq)."""
    blank = Header(
        drive or machine.genesis.drive, machine.device, nonce, "n", first, 1, previous, bytes(32), 0
    )
    bodies = []
    for seq, change in enumerate(changes, first):
        made = change(blank.actor, seq) if callable(change) else change
        bodies.append(made if isinstance(made, bytes) else made.encode())
    header = Header(
        blank.drive,
        machine.device,
        nonce,
        machine.name,
        first,
        len(bodies),
        previous,
        body_root(bodies),
        1 << 16,
    )
    signature = (signer or machine.identity).sign(signed_bytes(header.encode()))
    return Batch(header, signature, tuple(bodies))


def change_of(
    path: str, content: Content = ONE, seen: Vector | None = None
) -> Callable[[bytes, int], Record]:
    """For ``batch_of``: a record of ``path``."""
    return lambda actor, seq: Record(path, content, b"", 0, seen or {}, 1 << 20).placed(actor, seq)
