"""Look at paths, decide, publish what a person changed, and say what the folder must still show.

Both ways of the data's flow meet here: paths that the folder may have changed, and paths whose heads
changed. See ``planning/reconcile.py`` for the decisions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from p2pdrive.engine.observe import Observed, Observer
from p2pdrive.engine.replica import Replica
from p2pdrive.errors import Changed, RootMissing, WorldError
from p2pdrive.folder.files import FileKind, Stat
from p2pdrive.history.authoring import Edit, Writing
from p2pdrive.history.log import Log
from p2pdrive.index.entries import Entry, View
from p2pdrive.index.manifests import Manifests
from p2pdrive.model import paths
from p2pdrive.model.problem import Problem
from p2pdrive.model.record import DELETED, Content, Kind, Record
from p2pdrive.model.vector import Vector, joined
from p2pdrive.planning.conflicts import Verdict, copy_path, judge
from p2pdrive.planning.reconcile import Adopt, Base, Blocked, Publish, Show, Situation, reconcile
from p2pdrive.planning.views import Dismiss, Restore, reconcile_view


@dataclass(frozen=True, slots=True)
class Keep:
    """Where a file goes that must make room, and what it is there: a conflict copy, or the person's own."""

    path: str
    content: Content
    view: View | None


@dataclass(frozen=True, slots=True)
class Task:
    """Make ``path`` show ``content``, standing for ``seen``, where ``expected`` is now.

    ``before`` is the entry of what is there. ``view``: it is a conflict copy. ``moved_from``: where the
    same file may be. ``keep``: what to do with the file that is there, if not to retire it.
    """

    path: str
    content: Content
    seen: Vector
    expected: Stat | None
    before: Entry | None
    view: View | None = None
    moved_from: str = ""
    keep: Keep | None = None


@dataclass(slots=True)
class Settled:
    """``tasks``: to be shown. ``again``: being written, to be looked at soon. ``published``: records written.

    ``well``: paths that have no problem (any more).
    """

    tasks: list[Task] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    well: list[str] = field(default_factory=list)
    published: int = 0


class Settler:
    """Settles paths of one drive. Synchronous; one run at a time."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def settle(self, paths: Sequence[str]) -> Settled:
        """Settle some hundred paths, in one transaction. Raises RootMissing, IndexCorrupt, DiskFull."""
        settled = Settled()
        observer = Observer(self._replica)
        observed = self._observe(paths, observer, settled)
        if observer.owned:
            self._replica.store.add(observer.owned)
            self._replica.store.flush()
        if not self._replica.files.root_present():
            raise RootMissing(f"{self._replica.root} is not there any more.")
        with self._replica.writing() as log, self._replica.author.writing(log) as pen:
            may_write = log.membership.may_write(self._replica.services.identity.device)
            moved = {seen.moved.path for seen in observed if seen.moved is not None}
            run = _Run(self._replica, log, pen, may_write, settled, moved)
            for seen in sorted(observed, key=_order):
                run.settle(seen)
            settled.published = pen.written
        return settled

    def _observe(self, paths: Iterable[str], observer: Observer, settled: Settled) -> list[Observed]:
        found: dict[str, Observed] = {}
        ignored: list[str] = []
        with self._replica.reading() as log:
            for path in paths:
                try:
                    entry = log.entries.get(path)
                    is_directory = entry is not None and entry.content.kind is Kind.DIRECTORY
                    if self._replica.ignore.ignored(path, is_directory):
                        ignored.append(path)
                        continue
                    self._add_parents(path, observer, log, found)
                    seen = observer.look(path, entry, log)
                except RootMissing:
                    raise
                except Changed:
                    settled.again.append(path)
                except WorldError as error:
                    settled.problems.append(Problem(path, str(error)))
                else:
                    if seen.moved is not None and seen.moved.path not in found:
                        found[seen.moved.path] = Observed(seen.moved.path, DELETED)
                    found[path] = seen
        if ignored:
            with self._replica.writing() as log:
                log.entries.mark_shown(ignored)
        return list(found.values())


    def _add_parents(self, path: str, observer: Observer, log: Log, found: dict[str, Observed]) -> None:
        """A directory is published before what is in it, whatever the watcher saw first."""
        for directory in paths.ancestors(path):
            if directory in found or log.entries.get(directory) is not None:
                return
            seen = observer.look(directory, None, log)
            if seen.content.live:
                found[directory] = seen


def _order(seen: Observed) -> tuple[bool, bytes]:
    """What is gone comes first, the inside of a directory before itself; then what is there, from the top."""
    key = paths.key(seen.path)
    return (True, key) if seen.content.live else (False, bytes(255 - byte for byte in key) + b"\xff")


class _Run:
    """One transaction of settling."""

    def __init__(
        self,
        replica: Replica,
        log: Log,
        pen: Writing,
        may_write: bool,
        settled: Settled,
        moved: set[str],
    ) -> None:
        self._replica = replica
        self._log = log
        self._entries = log.entries
        self._pen = pen
        self._may_write = may_write
        self._settled = settled
        self._moved = moved  # whose entries are about to follow their files
        self._directories: set[str] = set()  # known to be directories in their own right

    def settle(self, seen: Observed) -> None:
        entry = self._entries.get(seen.path)
        if seen.stat is not None and seen.stat.kind is FileKind.OTHER:
            return
        if entry is not None and entry.view is not None:
            self._settle_view(seen, entry, entry.view)
        else:
            self._settle_path(seen, entry)

    def _settle_path(self, seen: Observed, entry: Entry | None) -> None:
        path = seen.path
        if entry is not None and entry.content.kind is Kind.DIRECTORY and not seen.content.live:
            if self._entries.below(path, 1):
                self._settled.again.append(path)  # what was in it first
                return
        now = self._situation(seen, entry)
        action = reconcile(now)
        if isinstance(action, Publish):
            if not self._publish(action, seen, entry):
                return
            entry = self._entries.get(path)
            now = self._situation(seen, entry)
            action = reconcile(now)
            assert not isinstance(action, Publish)
        tasks = len(self._settled.tasks)
        match action:
            case Adopt():
                self._adopt(action, seen, entry)
            case Show():
                self._show(action, seen, entry, now.verdict)
            case Blocked():
                self._settled.problems.append(Problem(action.path, action.what))
            case None:
                self._touch(seen, entry)
        if action is None or isinstance(action, Adopt | Show):
            self._show_copies(path, now.verdict, {task.keep.path for task in self._settled.tasks[tasks:] if task.keep})
        if len(self._settled.tasks) == tasks and not isinstance(action, Blocked):
            self._settled.well.append(path)
            self._entries.mark_shown([path])
        elif not isinstance(action, Blocked):
            self._entries.mark_unshown([(path, now.verdict.content.size)])
        else:
            self._entries.mark_shown([path])

    def _situation(self, seen: Observed, entry: Entry | None) -> Situation:
        heads = self._log.registers.heads(seen.path)
        verdict = judge(heads, self._log.registers.live_below(seen.path))
        base = Base(entry.content, entry.vector) if entry is not None else None
        past = None
        if base is None and seen.content.live and self._replica.adopting:
            past = self._past(seen)
        return Situation(seen.path, heads, verdict, base, seen.content, self._may_write, past)

    def _past(self, seen: Observed) -> Vector | None:
        """The version that a file brought along with the folder equals."""
        versions = self._log.registers.versions(seen.path)
        equal = [record.vector for record in versions if record.content.identity == seen.content.identity]
        return joined(equal) if equal else None

    def _publish(self, action: Publish, seen: Observed, entry: Entry | None) -> bool:
        """Write the record and note what the folder shows; False where it must wait for something."""
        if action.content.kind is Kind.SYMLINK and not action.content.target:
            what = "its target is not UTF-8 or is too long, so it cannot be synced. Give it another target."
            self._settled.problems.append(Problem(action.path, what))
            return False
        moved_from = seen.moved.path if seen.moved is not None else ""
        record = self._pen.edit(Edit(action.path, action.content, action.seen, action.clock, moved_from))
        self._note(seen, entry, record.vector)
        if action.content.kind is not Kind.DIRECTORY:
            self._directories.discard(action.path)
        self._log.mark_unshown(action.path, self._directories)
        return True

    def _adopt(self, action: Adopt, seen: Observed, entry: Entry | None) -> None:
        self._note(seen, entry, action.seen)

    def _touch(self, seen: Observed, entry: Entry | None) -> None:
        """Nothing to do; a file that was hashed again is noted as checked."""
        if entry is not None and seen.manifest is not None:
            self._note(seen, entry, entry.vector)

    def _note(self, seen: Observed, entry: Entry | None, vector: Vector) -> None:
        """The folder shows ``seen``, which stands for ``vector``."""
        if not seen.content.live:
            if seen.path in self._moved:
                return
            number = self._entries.delete(seen.path)
            if number is not None:
                self._replica.store.unborrow(self._log.connection, number)
            return
        assert seen.stat is not None
        if seen.moved is not None:
            self._entries.move(seen.moved.id, seen.path)
        manifest = seen.manifest
        number = self._entries.put(
            Entry(
                seen.path,
                seen.content,
                seen.stat.inode,
                seen.stat.ctime_ns,
                vector,
                self._replica.services.now_ns(),
            )
        )
        if entry is not None and (manifest is not None or seen.content.kind is not Kind.FILE):
            self._replica.store.unborrow(self._log.connection, number)
        if manifest is not None:
            self._replica.store.borrow(self._log.connection, number, manifest)
            Manifests(self._log.connection).put(manifest)

    def _show(self, action: Show, seen: Observed, entry: Entry | None, verdict: Verdict) -> None:
        task = Task(
            action.path,
            verdict.content,
            verdict.seen,
            seen.stat,
            entry,
            moved_from=verdict.moved_from,
            keep=self._keep(action, seen),
        )
        self._settled.tasks.append(task)

    def _keep(self, action: Show, seen: Observed) -> Keep | None:
        if action.keep:
            return Keep(self._local_copy_path(seen), seen.content, None)
        if action.aside is None:
            return None
        loser = action.aside
        path = self._copy_path(loser)
        if self._replica.files.stat(path) is not None:
            return None  # shown already: what is here is retired like any version
        return Keep(path, loser.content, View(action.path, loser.actor, loser.seq))

    def _show_copies(self, path: str, verdict: Verdict, made: set[str]) -> None:
        wanted = {self._copy_path(loser): loser for loser in verdict.losers}
        shown = {view.path: view for view in self._entries.views(path)}
        for copy, loser in wanted.items():
            if copy not in shown and copy not in made:
                self._show_copy(copy, loser)
        stale = [copy for copy in shown if copy not in wanted]
        self._entries.mark_unshown((copy, 0) for copy in stale)

    def _show_copy(self, copy: str, loser: Record) -> None:
        if self._log.registers.heads(copy) and judge(self._log.registers.heads(copy), False).content.live:
            return  # someone made an ordinary file of that name; the loser stays in the history
        entry = self._entries.get(copy)
        stat = self._replica.files.stat(copy)
        if stat is None or entry is not None:
            view = View(loser.path, loser.actor, loser.seq)
            self._settled.tasks.append(Task(copy, loser.content, {}, stat, entry, view))

    def _settle_view(self, seen: Observed, entry: Entry, view: View) -> None:
        heads = self._log.registers.heads(seen.path)
        verdict = judge(heads, self._log.registers.live_below(seen.path))
        loser = self._standing_loser(view)
        actions = reconcile_view(
            seen.path, heads, verdict, loser, entry.content, seen.content, self._may_write
        )
        shown = len(self._settled.tasks)
        for action in actions:
            match action:
                case Publish():
                    self._publish(action, seen, entry)
                case Dismiss():
                    self._dismiss(action.loser)
                    if not seen.content.live:
                        self._note(seen, entry, {})
                case Adopt():
                    self._adopt(action, seen, entry)
                case Show():
                    self._show(action, seen, entry, verdict)
                case Restore():
                    self._settled.tasks.append(
                        Task(seen.path, action.loser.content, {}, seen.stat, entry, view)
                    )
                case Blocked():
                    self._settled.problems.append(Problem(action.path, action.what))
        if len(self._settled.tasks) == shown:
            self._entries.mark_shown([seen.path])
        else:
            self._entries.mark_unshown([(seen.path, 0)])

    def _standing_loser(self, view: View) -> Record | None:
        """The record that the copy shows, while it is a loser of its path."""
        heads = self._log.registers.heads(view.of)
        verdict = judge(heads, self._log.registers.live_below(view.of))
        place = (view.actor, view.seq)
        return next((lost for lost in verdict.losers if (lost.actor, lost.seq) == place), None)

    def _dismiss(self, loser: Record) -> None:
        """Join the loser to what its path shows."""
        heads = self._log.registers.heads(loser.path)
        verdict = judge(heads, self._log.registers.live_below(loser.path))
        seen = joined((verdict.seen, loser.vector))
        record = self._pen.edit(Edit(loser.path, verdict.content, seen))
        entry = self._entries.get(loser.path)
        if entry is not None and dict(entry.vector) == dict(verdict.seen):
            self._entries.set_vector(entry.id, record.vector)
        self._log.mark_unshown(loser.path, self._directories)

    def _copy_path(self, loser: Record) -> str:
        return copy_path(loser, self._log.registers.author_name(loser.actor, loser.seq))

    def _local_copy_path(self, seen: Observed) -> str:
        """Where a change that may not be published is kept when others change the same file."""
        actor = self._replica.services.identity.device[:16]
        kept = Record(seen.path, seen.content, actor, 1, {actor: 1}, 0)
        return copy_path(kept, self._replica.services.name)
