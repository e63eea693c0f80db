"""A replica on paper: a folder, its index and its heads as plain values, settled by the pure planner.

It does what ``engine/settle.py``, ``copies.py`` and ``show.py`` do, without files, logs or bytes, so that
thousands of cases can be tried in a minute.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from p2pdrive.lab.oracle import Violation
from p2pdrive.model import paths
from p2pdrive.model.heads import Heads, merge
from p2pdrive.model.record import DELETED, DIRECTORY, Content, Kind, Record
from p2pdrive.model.vector import Vector
from p2pdrive.planning.conflicts import Verdict, copy_path, dismissal, is_implied, judge
from p2pdrive.planning.reconcile import Adopt, Base, Blocked, Publish, Show, Situation, reconcile
from p2pdrive.planning.views import Dismiss, Restore, reconcile_view

#: Passes over all paths within which a folder must come to rest.
PASSES_MAX = 12


@dataclass(frozen=True, slots=True)
class Note:
    """An entry: what was shown, what that stands for, and the losing record if it is a conflict copy."""

    content: Content
    seen: Vector
    loser: Record | None = None


@dataclass(slots=True)
class Paper:
    """One member's folder. ``disk`` and ``notes`` are by path; ``known`` are all records held, by dot."""

    name: str
    disk: dict[str, Content] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    heads: dict[str, Heads] = field(default_factory=dict)
    known: dict[tuple[bytes, int], Record] = field(default_factory=dict)
    authors: dict[bytes, str] = field(default_factory=dict)  # actor → the device's name
    actors: list[bytes] = field(default_factory=list)  # our own, oldest first
    clock: int = 0
    published: int = 0
    _verdicts: dict[str, Verdict] = field(default_factory=dict)  # as the heads are now
    _copies: dict[str, dict[str, Record]] = field(default_factory=dict)

    # --- records

    def take_in(self, records: Iterable[Record], authors: Mapping[bytes, str]) -> None:
        """A peer's records."""
        self.authors |= authors
        for record in records:
            self.known.setdefault((record.actor, record.seq), record)
            self.clock = max(self.clock, record.clock)
            self.heads[record.path] = merge(self.heads.get(record.path, ()), [record])
        self._verdicts.clear()
        self._copies.clear()

    def verdict(self, path: str) -> Verdict:
        """What the heads of ``path`` say."""
        known = self._verdicts.get(path)
        if known is None:
            known = self._verdicts[path] = judge(self.heads.get(path, ()), self._lives_below(path))
        return known

    def copies(self, path: str) -> dict[str, Record]:
        """The conflict copies that are to be shown beside ``path``."""
        known = self._copies.get(path)
        if known is None:
            known = {self._copy(loser): loser for loser in self.verdict(path).losers}
            self._copies[path] = known
        return known

    # --- coming to rest

    def settle(self, order: list[str]) -> None:
        """Settle all paths, those of ``order`` first, until nothing is left to do. Raises Violation."""
        for _ in range(PASSES_MAX):
            named = [*order, *sorted({*self.disk, *self.notes, *self.heads}.difference(order))]
            if not [path for path in named if self._settle(path)]:
                return
        raise Violation("Termination", f"{self.name} does not come to rest over {order}")

    def _settle(self, path: str) -> bool:
        """Settle one path; whether anything was done."""
        did = bool([a for a in reversed(paths.ancestors(path)) if self._is_new(a) and self._settle(a)])
        note = self.notes.get(path)
        if note is not None and note.loser is not None:
            return self._settle_copy(path, note, note.loser) or did
        if self._waits_for_its_inside(path, note):
            return did
        action = reconcile(self._situation(path))
        if isinstance(action, Publish):
            record = self._publish(action.path, action.content, action.seen)
            self._note(path, self.disk.get(path, DELETED), record.vector)
            action, did = reconcile(self._situation(path)), True
            assert not isinstance(action, Publish)
        match action:
            case Adopt():
                self._note(path, action.content, action.seen)
                did = True
            case Show():
                did = self._show(action) or did
            case Blocked():
                raise Violation("Authority", f"{path} is blocked for an editor")
        return self._show_copies(path) or did

    def _situation(self, path: str) -> Situation:
        note = self.notes.get(path)
        base = Base(note.content, note.seen) if note is not None else None
        disk, heads, verdict = self.disk.get(path, DELETED), self.heads.get(path, ()), self.verdict(path)
        unshown = base is not None and base.content.metadata != verdict.content.metadata
        if verdict.content.kind is Kind.DIRECTORY and is_implied(heads):
            unshown = False
        return Situation(path, heads, verdict, base, disk, True, unshown=unshown)

    def _settle_copy(self, path: str, note: Note, loser: Record) -> bool:
        of = loser.path
        verdict = self.verdict(path)
        standing = next((lost for lost in self.verdict(of).losers if _same(lost, loser)), None)
        disk, did = self.disk.get(path, DELETED), False
        heads = self.heads.get(path, ())
        for action in reconcile_view(path, heads, verdict, standing, note.content, disk, True):
            did = did or not isinstance(action, Show)
            match action:
                case Publish():
                    record = self._publish(path, action.content, action.seen)
                    self.notes[path] = Note(action.content, record.vector)
                case Dismiss():
                    self._dismiss(action.loser)
                    if not disk.live:
                        self.notes.pop(path, None)
                case Adopt():
                    self._note(path, action.content, action.seen)
                case Show():
                    did = self._show(action) or did
                case Restore() | Blocked():
                    raise Violation("Authority", f"the copy {path} is blocked for an editor")
        return did

    def _dismiss(self, loser: Record) -> None:
        path = loser.path
        verdict, note = self.verdict(path), self.notes.get(path)
        seen = dismissal(self.heads.get(path, ()), verdict, loser)
        record = self._publish(path, verdict.content, seen)
        if note is not None and dict(note.seen) == dict(verdict.seen):
            self.notes[path] = replace(note, seen=record.vector)

    # --- showing

    def _show(self, action: Show) -> bool:
        path, wanted = action.path, action.verdict.content
        if path not in self.disk:
            self._note(path, DELETED, {})
        if wanted.live and not self._has_parents(path):
            return False  # a later pass, when what is in the way is gone
        if self._is_full_directory(path) and wanted.kind is not Kind.DIRECTORY:
            return False
        if action.aside is not None:
            copy = self._copy(action.aside)
            if copy not in self.disk:
                self.disk[copy] = self.disk[path]
                self.notes[copy] = Note(self.disk[path], {}, action.aside)
        self._put(path, wanted, action.verdict.seen)
        return True

    def _show_copies(self, path: str) -> bool:
        did = False
        wanted = self.copies(path)
        shown = [copy for copy, note in self.notes.items() if note.loser and note.loser.path == path]
        for copy, loser in wanted.items():
            taken = self.verdict(copy).content.live or (copy in self.disk and copy not in self.notes)
            if copy not in shown and not taken and self._has_parents(copy):
                self.disk[copy] = loser.content
                self.notes[copy] = Note(loser.content, {}, loser)
                did = True
        for stale in set(shown).difference(wanted):
            did = self._settle(stale) or did
        return did

    def _has_parents(self, path: str) -> bool:
        """Make the directories above; False where something else is in the way."""
        for directory in reversed(paths.ancestors(path)):
            there = self.disk.get(directory, DELETED)
            if there.live and there.kind is not Kind.DIRECTORY:
                return False
            if not there.live:
                verdict = self.verdict(directory)
                said = not is_implied(self.heads.get(directory, ()))
                self.disk[directory] = verdict.content if said else DIRECTORY
                self.notes[directory] = Note(self.disk[directory], verdict.seen)
        return True

    def _put(self, path: str, content: Content, seen: Vector) -> None:
        if content.live:
            self.disk[path] = content
        else:
            self.disk.pop(path, None)
        self._note(path, content, seen)

    def _note(self, path: str, content: Content, seen: Vector) -> None:
        if content.live:
            self.notes[path] = Note(content, seen)
        else:
            self.notes.pop(path, None)

    # --- writing

    def _publish(self, path: str, content: Content, seen: Vector) -> Record:
        """An actor's records of a path form a chain: a new actor writes what would not be one."""
        actor = next((a for a in reversed(self.actors) if self._latest(a, path) <= seen.get(a, 0)), None)
        if actor is None:
            actor = f"{self.name} {len(self.actors)}".encode().ljust(16, b".")[:16]
            self.actors.append(actor)
            self.authors[actor] = self.name
        seq = 1 + max((number for one, number in self.known if one == actor), default=0)
        self.clock += 1
        record = Record(path, content, b"", 0, seen, self.clock).placed(actor, seq)
        self.take_in([record], {})
        self.published += 1
        return record

    def _latest(self, actor: bytes, path: str) -> int:
        mine = (seq for (one, seq), record in self.known.items() if one == actor and record.path == path)
        return max(mine, default=0)

    # --- looking

    def _copy(self, loser: Record) -> str:
        return copy_path(loser, self.authors[loser.actor])

    def _lives_below(self, path: str) -> bool:
        inside = path + "/"
        return any(
            one.startswith(inside) and any(head.content.live for head in heads)
            for one, heads in self.heads.items()
        )

    def _is_full_directory(self, path: str) -> bool:
        inside = path + "/"
        return any(one.startswith(inside) for one in self.disk)

    def _is_new(self, path: str) -> bool:
        """A directory that a person made, not known yet: it is published before what is in it."""
        note = self.notes.get(path)
        known = note is not None and note.content.kind is Kind.DIRECTORY
        return path in self.disk and not known

    def _waits_for_its_inside(self, path: str, note: Note | None) -> bool:
        if note is None or note.content.kind is not Kind.DIRECTORY:
            return False
        gone = self.disk.get(path, DELETED).kind is not Kind.DIRECTORY
        return gone and any(one.startswith(path + "/") for one in self.notes)


def _same(one: Record, other: Record) -> bool:
    return (one.actor, one.seq) == (other.actor, other.seq)


def united(papers: Iterable[Paper]) -> tuple[dict[tuple[bytes, int], Record], dict[bytes, str]]:
    """All records that any of them holds, and the names of their authors."""
    records: dict[tuple[bytes, int], Record] = {}
    authors: dict[bytes, str] = {}
    for paper in papers:
        records |= paper.known
        authors |= paper.authors
    return records, authors
