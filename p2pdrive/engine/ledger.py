"""The index and the log as one run of settling reads and writes them.

What a run of paths needs is read in a few statements at its start, and what it writes is gathered and
written in a few at its end: a statement a path would cost more than all the rest.
"""

from collections.abc import Iterable, Iterator

from p2pdrive.engine.note import as_on_disk
from p2pdrive.engine.observe import Observed
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.same import describes, unproven
from p2pdrive.folder.files import Stat
from p2pdrive.history.authoring import Edit, Writing
from p2pdrive.history.log import Log
from p2pdrive.index.arriving import Arrival, Arriving
from p2pdrive.index.brought import Brought
from p2pdrive.index.entries import Entry, View
from p2pdrive.index.manifests import Manifests
from p2pdrive.model import paths
from p2pdrive.model.heads import Heads, merge, winner
from p2pdrive.model.manifest import Manifest
from p2pdrive.model.record import DIRECTORY, Kind, Record
from p2pdrive.model.vector import Vector
from p2pdrive.planning.conflicts import Verdict, judge
from p2pdrive.planning.ordering import Lane, lane_of


class Ledger:
    """One transaction over ``observed`` paths; ``finish`` writes what was gathered.

    ``live``: persons were seen to change these just now.
    """

    def __init__(
        self, replica: Replica, log: Log, pen: Writing, observed: Iterable[Observed], live: bool
    ) -> None:
        self.log = log
        self.live = live
        self._replica = replica
        self._pen = pen
        named = [seen.path for seen in observed]
        self._moved = {seen.moved.path for seen in observed if seen.moved is not None}
        self._entries: dict[str, Entry | None] = dict.fromkeys(named) | log.entries.get_many(named)
        self._heads: dict[str, Heads] = dict.fromkeys(named, ()) | log.registers.heads_of(named)
        self._arriving = Arriving(log.connection).among(named)
        inodes = {entry.inode for entry in self._entries.values() if entry is not None}
        self._renames = Arriving(log.connection).renames(inodes)
        self._arrived: list[str] = []  # those of them that are decided
        self._marked = log.entries.among_unshown(named)
        self._brought = Brought(log.connection)
        self.brought = self._brought.among(named)  # paths that stay as they are until a person has chosen
        self.former = self._brought.former(named) if replica.adopting else {}
        self._held: dict[str, Kind] = {}
        self._released: list[str] = []
        self._with_views = log.entries.with_views(named)
        self._with_live_below = log.registers.with_live_below(named)
        self._pen.prepare(named, self._heads)
        self._directories: set[str] = set()  # known to be directories in their own right
        self._puts: dict[str, tuple[Entry, Manifest | None]] = {}
        self.touched: set[str] = set()
        self.published: set[str] = set()  # paths of which records were written
        self._marks: dict[str, tuple[int, Lane] | None] = {}  # what is to be shown, None for shown

    def entry(self, path: str) -> Entry | None:
        """What the index says that ``path`` showed."""
        if path in self._entries:
            return self._entries[path]
        return self.log.entries.get(path)

    def is_new_copy(self, seen: Observed) -> bool:
        """Whether it is the conflict copy that we were about to show there when we were stopped."""
        arrival = self._arriving.get(seen.path)
        return arrival is not None and arrival.is_copy and _is_in(arrival, seen)

    def inode_of_new_copy(self, path: str) -> int:
        """The file that we were about to move to ``path`` as a conflict copy when we were stopped; or 0."""
        found = self._arriving if path in self._arriving else Arriving(self.log.connection).among([path])
        return found[path].inode if path in found and found[path].is_copy else 0

    def note_rename(self, seen: Observed) -> None:
        """What was at that path may be where we were about to rename it when we were stopped: note that, so
        that it is not missed, and have it read. Raises Unreadable where nobody can tell."""
        entry = self.entry(seen.path)
        if entry is None or entry.view is not None or _inode(seen.stat) == entry.inode:
            return
        arrival = self._renames.get(entry.inode)
        if arrival is None or self.entry(arrival.path) is not None:
            return
        stat = self._replica.files.stat(arrival.path)
        if stat is None or (stat.inode, stat.size) != (entry.inode, entry.content.size):
            return
        if stat.mtime_ns in (entry.content.mtime_ns, arrival.content.mtime_ns):
            content = as_on_disk(entry.content, stat)
            self.note_unread(Observed(arrival.path, content, stat, moved=entry), arrival.seen)

    def note_arrival(self, seen: Observed) -> None:
        """Note what we were stopped in noting: that it is there because we showed it."""
        arrival = self._arriving.get(seen.path)
        if arrival is None:
            return
        self._arrived.append(seen.path)
        if arrival.is_copy or not _is_in(arrival, seen):
            return
        entry = self.entry(seen.path)
        if entry is not None and describes(entry, seen.stat, seen.content):
            if seen.content.metadata != arrival.content.metadata:
                if seen.content.metadata == (*arrival.content.metadata[:-1], entry.content.mtime_ns):
                    self.note(seen, entry.vector)  # it got its mode, and not its time yet
                return
        elif entry is not None:
            self.forget(seen.path)  # it is of what was there before
        if seen.moved is None and not arrival.finished:
            seen = seen._replace(moved=self._origin(seen))
        self.note(seen._replace(content=arrival.shown(seen.content)), arrival.seen)

    def written(self, path: str) -> Entry | None:
        """The same, with its number: what was gathered is written for that."""
        self._write_puts()
        entry = self._entries[path] = self.log.entries.get(path)
        return entry

    def shown(self, seen: Observed, may_write: bool) -> Entry | None:
        """The entry of what is there, to be replaced.

        Of what is gone nothing is noted any more: if what is to come has to wait for a file where its
        directory should be, that must not wait for it in turn. On a viewer's device nothing does, and the
        entry tells what the viewer changes.
        """
        if may_write and not seen.content.live:
            self.note(seen, {})
        return self.entry(seen.path)

    def is_copy(self, path: str) -> bool:
        """Whether a conflict copy was shown at ``path``."""
        entry = self.entry(path)
        return entry is not None and entry.view is not None

    def author_name(self, record: Record) -> str:
        """The name in the batch of ``record``, which may be one that is not signed yet."""
        own = self._pen.name_of(record.actor)
        return own or self.log.registers.author_name(record.actor, record.seq)

    def heads(self, path: str) -> Heads:
        """The heads of ``path``, this run's own records included."""
        found = self._heads.get(path)
        return self.log.registers.heads(path) if found is None else found

    def verdict(self, path: str) -> Verdict:
        """What the heads of ``path`` say that the folder shows."""
        heads = self.heads(path)
        best = winner(heads)
        if best is not None and best.content.kind is Kind.DIRECTORY:
            return judge(heads, False)
        entry = self.entry(path)
        fresh = path not in self._heads or (entry is not None and entry.content.kind is Kind.DIRECTORY)
        live_below = self.log.registers.live_below(path) if fresh else path in self._with_live_below
        return judge(heads, live_below)

    def views(self, path: str) -> dict[str, Entry]:
        """The conflict copies shown beside ``path``, by their paths."""
        if path in self._heads and path not in self._with_views:
            return {}
        return {view.path: view for view in self.log.entries.views(path)}

    def write(self, edit: Edit) -> Record:
        """Publish a person's change."""
        before = self.heads(edit.path)
        record = self._pen.edit(edit)
        self.published.add(edit.path)
        self._heads[edit.path] = merge(before, [record])
        if edit.content.kind is not Kind.DIRECTORY:
            self._directories.discard(edit.path)
        if not edit.content.live:  # the last one inside, perhaps
            above = self._with_live_below.intersection(paths.ancestors(edit.path))
            self._with_live_below -= {path for path in above if not self.log.registers.live_below(path)}
        for directory in self.log.unsound_above(edit.path, self._directories):
            self.touch(directory, 0)
        return record

    def versions(self, path: str) -> Iterator[Record]:
        """All records of ``path``, in no order."""
        return self.log.registers.versions(path)

    def note(self, seen: Observed, vector: Vector, view: View | None = None) -> None:
        """The folder shows ``seen``, which stands for ``vector``; ``view``: it is a conflict copy."""
        before = self.entry(seen.path)
        if seen.content.live:
            self._note_live(seen, before, vector, view)
        elif seen.path not in self._moved:  # else the entry is about to follow its file
            self.forget(seen.path)

    def note_unread(self, seen: Observed, vector: Vector, view: View | None = None) -> None:
        """The folder showed ``seen``; nobody knows who has been at it since, so it is read soon."""
        assert seen.stat is not None
        self.note(seen._replace(stat=unproven(seen.stat)), vector, view)
        self.touch(seen.path, 0)

    def forget(self, path: str) -> None:
        """The folder shows nothing at ``path``."""
        self._puts.pop(path, None)
        if path in self._entries and self._entries[path] is None:
            return
        self._entries[path] = None
        number = self.log.entries.delete(path)
        if number is not None:
            self._replica.store.unborrow(self.log.connection, number)

    def stand_for(self, path: str, vector: Vector) -> None:
        """What ``path`` shows stands for ``vector`` now."""
        entry = self.written(path)
        if entry is not None:
            self.log.entries.set_vector(entry.id, vector)
            self._entries.pop(path, None)

    def touch(self, path: str, size: int) -> None:
        """What was done elsewhere changed what ``path`` is to show: ``size`` bytes."""
        self.touched.add(path)
        self._marks[path] = (size, Lane.PLAIN)

    def mark_shown(self, path: str) -> None:
        """The folder shows what the heads of ``path`` say."""
        self._marks[path] = None

    def is_unshown(self, path: str) -> bool:
        """Whether what the heads of ``path`` said before this run is still to be shown."""
        return path in self._marked

    def mark_unshown(self, path: str, verdict: Verdict | None = None) -> None:
        """``path`` is still to be shown, or its conflict copy is."""
        content = verdict.content if verdict is not None else DIRECTORY
        is_here = verdict is None or bool(verdict.moved_from)
        self._marks[path] = (content.size, lane_of(content, is_here=is_here))

    def hold(self, path: str, kind: Kind) -> None:
        """What is at ``path`` stays as it is until a person has chosen."""
        if path not in self.brought:
            self._held[path] = kind

    def release(self, path: str) -> None:
        """``path`` is as any other."""
        if path in self.brought:
            self._released.append(path)

    def finish(self) -> dict[str, int]:
        """Write what was gathered; the caller commits. Returns the marks of what is to be shown, by path."""
        self._write_puts()
        Arriving(self.log.connection).drop(self._arrived)
        self._brought.put(self._held)
        self._brought.drop(self._released)
        self.log.entries.mark_shown(
            path for path, mark in self._marks.items() if mark is None and path in self._marked
        )
        unshown = {path: mark for path, mark in self._marks.items() if mark is not None}
        kept = {
            path: self._marked[path][0] for path, (size, _) in unshown.items() if self._stands(path, size)
        }
        new = [(path, size, lane) for path, (size, lane) in unshown.items() if path not in kept]
        self.log.entries.mark_unshown(new)
        marked = self.log.entries.among_unshown(path for path, _, _ in new)
        return kept | {path: serial for path, (serial, _) in marked.items()}

    def _stands(self, path: str, size: int) -> bool:
        """Whether the mark that ``path`` has says so already; what was touched needs one nobody knows."""
        return path not in self.touched and path in self._marked and self._marked[path][1] == size

    def _origin(self, seen: Observed) -> Entry | None:
        """The entry of the path from which we renamed what was seen."""
        inode = _inode(seen.stat)
        for entry in self.log.entries.with_inodes([inode]).get(inode, ()):
            same = entry.view is None and entry.content.identity == seen.content.identity
            if same and _inode(self._replica.files.stats([entry.path]).get(entry.path)) != inode:
                return entry
        return None

    def _note_live(self, seen: Observed, before: Entry | None, vector: Vector, view: View | None) -> None:
        assert seen.stat is not None
        number = before.id if before is not None else 0
        if seen.moved is not None:
            self.log.entries.move(seen.moved.id, seen.path)
            self._entries[seen.moved.path] = None
            number = seen.moved.id
        # What was read a while before this may have been edited since, within one tick of the disk's clock.
        stat, now = seen.stat, seen.read_ns or self._replica.services.now_ns()
        entry = Entry(seen.path, seen.content, stat.inode, stat.ctime_ns, vector, now, view, number)
        self._entries[seen.path] = entry
        self._puts[seen.path] = (entry, seen.manifest)
        if view is not None:
            self._with_views.add(view.of)
            self._write_puts()
        elif before is not None and (before.view is not None or before.content.kind is not seen.content.kind):
            self._write_puts()

    def _write_puts(self) -> None:
        if not self._puts:
            return
        connection, store = self.log.connection, self._replica.store
        numbered = self.log.entries.put_many(entry for entry, _ in self._puts.values())
        manifests = Manifests(connection)
        borrowed: list[tuple[int, Manifest]] = []
        for number, (entry, manifest) in zip(numbered, self._puts.values(), strict=True):
            self._entries.pop(entry.path, None)
            stale = entry.id and (manifest is not None or entry.content.kind is not Kind.FILE)
            if stale:
                store.unborrow(connection, number)
            if manifest is not None:
                manifests.put(manifest)
                borrowed.append((number, manifest))
        store.borrow_all(connection, borrowed)
        self._puts = {}


def _inode(stat: Stat | None) -> int:
    return stat.inode if stat is not None else 0


def _is_in(arrival: Arrival, seen: Observed) -> bool:
    return seen.stat is not None and arrival.is_in(seen.stat.inode, seen.content)
