"""Writing to our own log.

An actor's records of one path form a chain: each has seen the one before. When a person edits the
winner of a conflict whose loser is our own earlier record, the edit must not cover the loser, so it
is written under another actor of this device: one that has no unseen record of that path, or a new one.
The same where another's record claims to have seen what an actor of ours has not written yet: that lie
would cover the edit, and is not passed on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from p2pdrive.history.log import Log
from p2pdrive.index.arriving import Arriving
from p2pdrive.index.brought import Brought
from p2pdrive.limits import BATCH_BYTES_MAX, BATCH_RECORDS_MAX
from p2pdrive.model.batch import NO_BATCH, Header, actor_id, body_root, signed_bytes
from p2pdrive.model.clock import HybridClock
from p2pdrive.model.heads import Heads
from p2pdrive.model.record import Change, Content, Grant, Invitation, Record, decode
from p2pdrive.model.vector import Vector
from p2pdrive.secure.identity import Identity


@dataclass(frozen=True, slots=True)
class Edit:
    """A person's change: ``path`` is now ``content``, made by someone who saw what ``seen`` covers.

    ``clock`` overrides the time of writing where the change is older than its discovery.
    """

    path: str
    content: Content
    seen: Vector
    clock: int | None = None
    moved_from: str = ""


class Author:
    """The writer that this device is in one drive. ``wall_ms`` and ``random`` are injected."""

    def __init__(
        self,
        identity: Identity,
        name: str,
        clock: HybridClock,
        wall_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self.identity = identity
        self.name = name
        self.clock = clock
        self.wall_ms = wall_ms
        self.random = random

    @contextmanager
    def writing(self, log: Log) -> Iterator["Writing"]:
        """Write to our log inside the caller's transaction; batches are signed at the end of the block.

        What was written is durable when the transaction has committed; only then may anyone hear of it.
        """
        writing = Writing(self, log)
        yield writing
        writing.sign()


@dataclass(slots=True)
class _Pen:
    """One own actor while it writes: its chain, and what it has written but not yet signed."""

    number: int
    nonce: bytes
    actor: bytes
    seq: int
    previous: bytes
    bodies: list[bytes] = field(default_factory=list)
    size: int = 0


class Writing:
    """One run of changes; each takes effect on the heads at once. ``written`` counts them."""

    def __init__(self, author: Author, log: Log) -> None:
        self._author = author
        self._log = log
        self._pens = [_Pen(*row) for row in log.own_actors(author.identity.device)]
        self._heads: dict[str, Heads] = {}
        self._latest: dict[str, dict[int, int]] = {}
        self.written = 0

    def prepare(self, changing: Iterable[str], heads: Mapping[str, Heads]) -> None:
        """These paths may be written to; ``heads``: theirs, read in this transaction."""
        self._heads = {path: heads.get(path, ()) for path in changing}

    def edit(self, edit: Edit) -> Record:
        """Write a change of a path; returns its record."""
        pen = self._pen_for(edit)
        self._sign_what_is_seen(edit, pen)
        clock = self._author.clock.tick(self._author.wall_ms())
        if edit.clock is not None:
            clock = min(clock, edit.clock)
        written = {pen.actor: pen.seq for pen in self._pens}
        seen = {actor: min(seq, written.get(actor, seq)) for actor, seq in edit.seen.items()}
        unplaced = Record(edit.path, edit.content, b"", 0, seen, clock, edit.moved_from)
        record = unplaced.placed(pen.actor, pen.seq + 1)
        self._put(pen, record)
        self._latest[edit.path][pen.number] = record.seq
        return record

    def admit(self, change: Invitation | Grant) -> None:
        """Write a change of who is, or may become, a member. Raises RecordRefused if nobody would take it."""
        decode(change.encode(), b"", 0)
        self._put(self._pens[0] if self._pens else self._new_pen(), change)

    def name_of(self, actor: bytes) -> str | None:
        """The name in the batches of ``actor``, if it is ours; None for anyone else's."""
        return self._author.name if any(pen.actor == actor for pen in self._pens) else None

    def sign(self) -> None:
        """Close the batches that are open."""
        for pen in self._pens:
            self._sign(pen)

    def _sign_what_is_seen(self, edit: Edit, pen: _Pen) -> None:
        """Close what our other actors wrote and ``edit`` covers: no two batches may wait for each other."""
        for other in self._pens:
            unsigned = other.seq - len(other.bodies)
            if other is not pen and other.bodies and edit.seen.get(other.actor, 0) > unsigned:
                self._sign(other)

    def _pen_for(self, edit: Edit) -> _Pen:
        latest = self._latest_seqs(edit.path)
        for pen in reversed(self._pens):
            if latest.get(pen.number, 0) <= edit.seen.get(pen.actor, 0) <= pen.seq:
                return pen
        return self._new_pen()

    def _latest_seqs(self, path: str) -> dict[int, int]:
        """The seqs of what our actors wrote last about ``path``, read for all that may be written at once."""
        if path not in self._latest:
            unread = (self._heads.keys() | {path}) - self._latest.keys()
            latest = self._log.registers.latest_seqs_of(unread, [pen.number for pen in self._pens])
            self._latest.update((each, latest.get(each, {})) for each in unread)
        return self._latest[path]

    def _put(self, pen: _Pen, change: Change) -> None:
        body = change.encode()
        if len(pen.bodies) == BATCH_RECORDS_MAX or pen.size + len(body) > BATCH_BYTES_MAX // 2:
            self._sign(pen)
        pen.seq += 1
        pen.bodies.append(body)
        pen.size += len(body)
        self._log.apply(self._author.identity.device, pen.number, pen.seq, [(change, body)], self._heads)
        self.written += 1

    def _sign(self, pen: _Pen) -> None:
        if not pen.bodies:
            return
        author, count = self._author, len(pen.bodies)
        header = Header(
            self._log.drive,
            author.identity.device,
            pen.nonce,
            author.name,
            pen.seq - count + 1,
            count,
            pen.previous,
            body_root(pen.bodies),
            author.clock.latest,
        )
        signature = author.identity.sign(signed_bytes(header.encode()))
        self._log.close_batch(header, signature, pen.number)
        pen.previous = header.hash
        pen.bodies, pen.size = [], 0

    def _new_pen(self) -> _Pen:
        device, nonce = self._author.identity.device, self._author.random(16)
        actor = actor_id(device, nonce)
        number, seq, digest = self._log.actor(device, nonce, actor, own=True)
        assert (seq, digest) == (0, NO_BATCH)
        self._pens.append(_Pen(number, nonce, actor, seq, digest))
        return self._pens[-1]


def start_afresh(log: Log, drop_own: bool) -> None:
    """Write under new actors from now on, inside the caller's transaction, and adopt the folder as it is.

    Called when the drive was restored from a backup or copied. What the folder showed is forgotten; the
    next scan finds equal contents (adopted), older versions (updated) and others (concurrent edits), and
    takes nothing for deleted. With ``drop_own`` our actors' logs go too, as they are proven to have
    parted from what the peers hold; the true ones come back from the peers like anyone's.
    """
    for path in log.disown(drop_own):
        log.registers.recompute(path)
    brought = Brought(log.connection)
    if drop_own:
        brought.forget_former()
    else:
        brought.keep_former()
    brought.forget_all()
    log.entries.forget_all()
    Arriving(log.connection).forget_all()
    log.mark_all_unshown()


def restored(marks: Mapping[bytes, tuple[int, bytes]], log: Log, device: bytes) -> bool:
    """Whether the log is older than ``marks`` (actor → (seq, hash)), which were once noted of it. ``device``
    is ours: what we disowned, and may have dropped, is not missed."""
    return any(
        seq > 0 and not log.is_disowned(actor, device) and log.hash_at(actor, seq) != digest
        for actor, (seq, digest) in marks.items()
    )
