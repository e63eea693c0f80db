"""Making the folder show what was decided: the safe writes of one run of tasks, and their entries.

Nothing is done in place. What is replaced or removed goes to the temporary area first, and from there into
packs or the archive, so that history keeps it ("retire"). Killed at any line, the folder
holds the old or the new version of each path, and the next start takes up what was displaced.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

from blake3 import blake3

from p2pdrive.engine.databases import Databases
from p2pdrive.engine.linked import Linked
from p2pdrive.engine.litter import take_litter
from p2pdrive.engine.moved import Sources
from p2pdrive.engine.note import Change, as_on_disk, note, unsynced
from p2pdrive.engine.parents import as_parent, to_close
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.retire import Kept, Retired, note_archived, put_away, retire
from p2pdrive.engine.room import write_with_room
from p2pdrive.engine.same import checked_at, tells_edits, untouched
from p2pdrive.engine.tasks import Task, order
from p2pdrive.errors import (
    Changed,
    DiskFull,
    InUse,
    LeftDisplaced,
    NotWritable,
    RootMissing,
    Unreadable,
    WorldError,
)
from p2pdrive.folder.files import FileKind, Stat
from p2pdrive.history.log import Log
from p2pdrive.index.arriving import Arrival, Arriving
from p2pdrive.index.entries import Entry
from p2pdrive.limits import PLAN_PATHS_MAX, RUNS_AT_ONCE
from p2pdrive.model import paths
from p2pdrive.model.problem import Problem
from p2pdrive.model.record import DELETED, Content, Kind
from p2pdrive.planning.conflicts import copied
from p2pdrive.planning.ordering import Lane


@dataclass(slots=True)
class Shown:
    """``done``: the folder shows these paths now. ``again``: the folder changed meanwhile: settle anew.
    ``held``: a program has them open for writing.

    ``check``: to be settled once more, as the heads may have changed meanwhile: directories made for what is
    in them, paths whose copies are shown now, and names of copies from which something else went.
    ``stats``: what files are as we left them: while they are this, nobody has edited them.
    """

    done: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    check: list[str] = field(default_factory=list)
    stats: dict[str, Stat] = field(default_factory=dict)
    held: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def temporary_name(task: Task) -> str:
    """The temporary that gathers the task's content: the same after a restart."""
    return gathered_as(task.content.root, task.path)


@lru_cache(PLAN_PATHS_MAX * RUNS_AT_ONCE)
def gathered_as(root: bytes, path: str) -> str:
    """The temporary of a content that goes to ``path``."""
    return blake3(root + paths.key(path)).digest()[:16].hex()


def needs_bytes(task: Task) -> bool:
    """Whether the task needs its content's bytes brought together in a temporary first."""
    if task.content.kind is not Kind.FILE or task.moved_from:
        return False
    return not _same_bytes(task)


class Shower:
    """Carries out tasks of one drive. Synchronous: call it from ``offload``."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._files = replica.files

    def show(self, tasks: Iterable[Task]) -> Shown:
        """Carry out tasks whose bytes are ready. Raises RootMissing, IndexCorrupt."""
        run = _Run(self._replica)
        ordered = sorted(tasks, key=order)
        gathered = {task.path: temporary_name(task) for task in ordered if needs_bytes(task)}
        failed = {task.path for task in ordered if task.path in gathered and not run.finish(task)}
        failed |= self._sync_gathered(
            run, {path: name for path, name in gathered.items() if path not in failed}
        )
        run.expect(task for task in ordered if task.path not in failed)
        if run.arriving:
            with self._replica.writing() as log:
                Arriving(log.connection).put(run.arriving)
        run.databases.glance(ordered)
        for task in ordered:
            if task.path not in failed:
                run.carry_out(task)
        looked = self._replica.services.now_ns()
        unsure = self._make_durable(run)
        with self._replica.yielding:  # what history was found to hold must not go before it is noted
            run.kept = retire(self._replica, run.retired, run.changes)
            run.leave_out(unsure)
            write_with_room(self._replica, lambda log: self._note(log, run, looked))
            put_away(self._replica, run.kept)
        now = self._replica.services.now_ns()
        for change in run.changes:
            stat = change.stat
            if stat and stat.kind is FileKind.FILE and tells_edits(stat, checked_at(stat, looked, now)):
                run.shown.stats[change.path] = stat
        return run.shown

    def _note(self, log: Log, run: "_Run", looked_ns: int) -> None:
        note(self._replica, log, run.changes, looked_ns)
        note_archived(self._replica, log, run.kept)
        Arriving(log.connection).drop([*run.shown.done, *run.to_make])
        log.entries.take_off_unshown(mark for marks in run.marks.values() for mark in marks)
        log.entries.mark_unshown((path, 0, Lane.PLAIN) for path in run.shown.check)

    def _sync_gathered(self, run: "_Run", gathered: Mapping[str, str]) -> set[str]:
        """Make temporaries (by path) durable; the paths of those that are not, which are gathered anew."""
        unsynced = self._files.sync_temporaries(gathered.values())
        failed = {path: unsynced[name] for path, name in gathered.items() if name in unsynced}
        for path, why in failed.items():
            run.shown.problems.append(Problem(path, str(why)))
            with suppress(NotWritable):
                self._files.discard(gathered[path])
        return set(failed)

    def _make_durable(self, run: "_Run") -> dict[str, WorldError]:
        """Returns path → why, of what was changed and may not be durable. What was shown may have been moved
        with its directory since, and be noted where it was."""
        contents, names = self._files.sync_files(run.altered), self._files.sync_directories(run.directories)
        if not contents and not names:
            return {}
        found = {change.path: why for change in run.changes if (why := unsynced(change, contents, names))}
        moved = {path for path, why in found.items() if isinstance(why, Changed | Unreadable)}
        if moved:
            try:
                self._files.sync_all()
            except (DiskFull, NotWritable) as error:
                found |= dict.fromkeys(moved, error)
            else:
                found = {path: why for path, why in found.items() if path not in moved}
        return found


class _Run:
    """One run of tasks: what was done, what is displaced, what the index is to say."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._files = replica.files
        self.shown = Shown()
        self.changes: list[Change] = []
        self.retired: list[Retired] = []
        self.kept: list[Kept] = []
        self.directories: set[str] = set()
        self.altered: list[str] = []  # files that got another time or mode where they are
        self.marks: dict[str, tuple[int, ...]] = {}  # by the path of their task
        self.arriving: list[Arrival] = []
        self.to_make: list[str] = []  # directories for what is in them
        self._to_close: dict[str, Entry] = {}  # directories that must be before anything is put into them
        self._finished: dict[str, Stat] = {}  # of temporaries, by path
        self._sources = Sources(replica)
        self._linked = Linked(replica.files)
        self._known_directories = {""}
        self.databases = Databases(replica)

    def leave_out(self, unsure: Mapping[str, WorldError]) -> None:
        """What may not be durable is not noted: it is recognised when it is looked at again, as after a kill.
        What it displaced stays until the next start."""
        if not unsure:
            return
        self.shown.problems += (Problem(path, str(why)) for path, why in unsure.items())
        left = {change.moved_from for change in self.changes if change.path in unsure}
        self.changes = [change for change in self.changes if change.path not in unsure]
        self.shown.done = [path for path in self.shown.done if path not in unsure and path not in left]
        self.to_make = [path for path in self.to_make if path not in unsure]
        self.marks = {path: marks for path, marks in self.marks.items() if path not in unsure}
        self.kept = [each for each in self.kept if each.entry and each.entry.path not in unsure]

    def finish(self, task: Task) -> bool:
        """Give the temporary of a whole content its time and mode; False, and why, where that fails."""
        return self._attempt(task, lambda: self._finish(task))

    def _finish(self, task: Task) -> None:
        content, name = task.content, temporary_name(task)
        self._finished[task.path] = self._files.finish_temporary(
            name, content.mtime_ns, content.executable, content.private
        )

    def expect(self, tasks: Iterable[Task]) -> None:
        """Tell what is about to be shown, so that a kill right after it does not make it a person's edit."""
        tasks = [task for task in tasks if task.content.live]
        self._expect_parents({task.path for task in tasks})
        self._sources.look(task.moved_from for task in tasks if task.moved_from)
        for task in tasks:
            if task.keep is not None and task.keep.view is not None and task.expected is not None:
                self.arriving.append(Arrival(task.keep.path, task.keep.content, {}, task.expected.inode))
            finished = self._finished.get(task.path)
            found = finished or self._sources.stats.get(task.moved_from)
            if task.content.kind is Kind.FILE and found is None:
                found = task.expected
                if found is None:
                    continue  # it cannot be moved
            inode = found.inode if found is not None else 0
            content = as_on_disk(task.content, finished) if finished is not None else task.content
            self.arriving.append(Arrival(task.path, content, task.seen, inode, finished is not None))

    def _expect_parents(self, named: set[str]) -> None:
        """The directories that are made on the way, and those that must be closed to others before."""
        above = {directory for path in named for directory in paths.ancestors(path)} - named
        found = self._files.stats(above)
        self.to_make = [path for path, stat in found.items() if stat is None]
        with self._replica.reading() as log:
            self._to_close = to_close(log, (path for path, stat in found.items() if stat is not None))
            made = {path: as_parent(log, path) for path in self.to_make}
        self.arriving += (Arrival(path, content, vector, 0) for path, (content, vector) in made.items())

    def carry_out(self, task: Task) -> None:
        """Do one task, or say why not."""
        self._attempt(task, lambda: self._carry_out(task))

    def _carry_out(self, task: Task) -> None:
        if task.content.live:
            self._make_parents(task.path)
        self.directories.add(paths.parent(task.path))  # half of it may be done, and noted, when it fails
        self.databases.expect_at_rest(task, temporary_name(task) if needs_bytes(task) else "")
        if not _same_bytes(task):
            task = task._replace(expected=self._linked.as_left(task.expected))
        self._perform(self._keep_aside(task))
        self.retired += (Retired(name, None) for name in self.databases.take_leftovers(task))
        self.marks[task.path] = task.marks

    def _attempt(self, task: Task, work: Callable[[], object]) -> bool:
        """Whether ``work`` for ``task`` was done; else what is to be said of it is noted."""
        try:
            work()
        except RootMissing:
            raise
        except InUse as error:
            self.shown.held.append(Problem(task.path, str(error)))
        except Changed:
            self.shown.again.append(task.path)
        except WorldError as error:
            self.shown.problems.append(Problem(task.path, str(error)))
        else:
            return True
        return False

    def _retire(self, displaced: str, task: Task) -> None:
        self.retired.append(Retired(displaced, task.before))
        self._linked.displaced(task.expected, displaced)

    def _perform(self, task: Task) -> None:
        match task.content.kind:
            case Kind.FILE:
                self._file(task)
            case Kind.SYMLINK:
                task = self._clear_directory(task)
                published = self._files.make_symlink(task.path, task.content.target, task.expected)
                self._put(task, published.stat, published.displaced)
            case Kind.DIRECTORY:
                self._directory(task)
            case _:
                self._remove(task)

    def _file(self, task: Task) -> None:
        content = task.content
        if task.moved_from:
            self._move(task)
        elif _same_bytes(task):
            assert task.expected is not None
            self._put(task, self._with_metadata(task.path, task.expected, content), None)
        else:
            task = self._clear_directory(task)
            name = temporary_name(task)
            published = self._files.publish(name, task.path, task.expected)
            self._put(task, published.stat, published.displaced)

    def _move(self, task: Task) -> None:
        source, entry = self._sources.of(task.moved_from)
        planned = entry is not None and entry.content.identity == task.content.identity  # else shown since
        if source is None or entry is None or not planned or not untouched(entry, source):
            raise Changed(f"{task.moved_from} changed.")
        if task.content.private and source.private is False:
            raise Changed(f"{task.moved_from} was opened to others.")
        try:
            stat = self._moved(task.moved_from, task.path, source, entry)
        except InUse as error:
            raise InUse(
                f"{task.moved_from} was renamed to this elsewhere, and is open in another program here: it "
                "is renamed once that program closes it."
            ) from error
        self.directories.add(paths.parent(task.moved_from))
        try:
            stat = self._with_metadata(task.path, stat, task.content)
        except (Changed, DiskFull, NotWritable):  # it was there; edited or gone already, or its time can wait
            self.shown.check.append(task.path)
        change = Change(
            task.path, as_on_disk(task.content, stat), task.seen, stat, task.view, task.moved_from
        )
        self._done(task.path, change)

    def _moved(self, source: str, path: str, expected: Stat, entry: Entry | None) -> Stat:
        """Rename a file, which is the version of ``entry``, or one that the log does not know."""
        try:
            return self._files.move(source, path, expected)
        except LeftDisplaced as left:
            self._vacated(source)
            if entry is not None:
                self.retired.append(Retired(left.displaced, entry))
            raise

    def _with_metadata(self, path: str, stat: Stat, wanted: Content) -> Stat:
        """Give a file that is at ``path`` with the right bytes the time and mode that it is to have there."""
        if wanted.kind is not Kind.FILE or as_on_disk(wanted, stat) == wanted:
            return stat
        self.altered.append(path)
        return self._files.set_metadata(path, wanted.mtime_ns, wanted.executable, stat, wanted.private)

    def _directory(self, task: Task) -> None:
        if task.expected is not None and task.expected.kind is not FileKind.DIRECTORY:
            self._retire(self._files.remove(task.path, task.expected), task)
            self._vacated(task.path)
        content, there = task.content, task.expected is not None and task.expected.kind is FileKind.DIRECTORY
        if content.private:
            self.directories.add(task.path)
            if not there:  # only what is in it may say that it is a directory
                with self._replica.reading() as log:
                    content, _ = as_parent(log, task.path)
        self._put(task, self._made(task.path, content), None)

    def _remove(self, task: Task) -> None:
        if task.expected is None:
            self._put(task, None, None)
        elif task.expected.kind is FileKind.DIRECTORY:
            self._clear_directory(task)
            self._put(task, None, None)
        else:
            name = self._files.remove(task.path, task.expected)
            self._put(task, None, name)

    def _clear_directory(self, task: Task) -> Task:
        """Remove the directory that is in the way of ``task``, where nothing of a person's is in it."""
        if task.expected is None or task.expected.kind is not FileKind.DIRECTORY:
            return task
        if not self._files.remove_directory(task.path):
            with self._replica.reading() as log:
                if self._replica.shows_inside(log, task.path):
                    raise Changed(f"{task.path} is not empty yet.")
            for path, displaced in take_litter(self._replica, task.path):
                self.retired += [Retired(displaced, None)] if displaced is not None else []
                self._vacated(path)
            if not self._files.remove_directory(task.path):
                raise Changed(f"{task.path} is not empty yet.")
        self._vacated(task.path)
        return task._replace(expected=None)

    def _vacated(self, path: str) -> None:
        """What was at ``path`` made room; should what is to come fail, nobody has deleted anything."""
        self.changes.append(Change(path, DELETED, {}, None))

    def _keep_aside(self, task: Task) -> Task:
        """Give what is at the path its copy's name before the path shows something else."""
        if task.keep is None or task.expected is None:
            return task
        keep = task.keep
        known = task.before if keep.view is not None else None
        stat = self._moved(task.path, keep.path, task.expected, known)
        self._linked.left(task.expected, stat)
        if keep.view is not None:
            with suppress(Changed, NotWritable):  # edited already: that is found when it is looked at
                stat = self._with_metadata(keep.path, stat, keep.content)
            content = as_on_disk(keep.content, stat)
            self._done(keep.path, Change(keep.path, content, {}, stat, keep.view, task.path))
        return task._replace(expected=None, before=None, keep=None)

    def _make_parents(self, path: str) -> None:
        """The directories above a live path; those that no head names stand for what is in them."""
        if paths.parent(path) in self._known_directories:
            return
        for directory in reversed(paths.ancestors(path)):
            if directory in self._known_directories:
                continue
            stat = self._files.stat(directory)
            if stat is None:
                with self._replica.reading() as log:
                    content, seen = as_parent(log, directory)
                stat = self._made(directory, content)
                self.directories.add(paths.parent(directory))
                self.changes.append(Change(directory, as_on_disk(content, stat), seen, stat))
                self.shown.check.append(directory)
            elif stat.kind is not FileKind.DIRECTORY:
                self.shown.again.append(directory)
                raise Changed(f"{directory} is no directory.")
            elif directory in self._to_close:
                entry = self._to_close[directory]
                stat = self._made(directory, replace(entry.content, private=True))
                self.changes.append(Change(directory, as_on_disk(entry.content, stat), entry.vector, stat))
            self._known_directories.add(directory)

    def _made(self, directory: str, content: Content) -> Stat:
        """Make a directory; or close one to others, or open it."""
        self._files.make_directory(directory, content.private)
        stat = self._files.stat(directory)
        if stat is None:
            raise Changed(f"{directory} was removed as soon as it was made.")
        return stat

    def _put(self, task: Task, stat: Stat | None, displaced: str | None) -> None:
        if displaced is not None:
            self._retire(displaced, task)
        content = DELETED if stat is None else as_on_disk(task.content, stat)
        self._done(task.path, Change(task.path, content, task.seen, stat, task.view))

    def _done(self, path: str, change: Change) -> None:
        self.changes.append(change)
        self.shown.done.append(path)
        if change.view is not None:
            self.shown.check.append(change.view.of)
        if change.moved_from:
            self.shown.done.append(change.moved_from)
        left = path if change.stat is None else change.moved_from
        if left and copied(left) is not None:
            self.shown.check.append(left)  # it may have hidden a copy


def _same_bytes(task: Task) -> bool:
    """Whether what is there has the right bytes already."""
    before = task.before
    return (
        before is not None
        and task.expected is not None
        and task.expected.kind is FileKind.FILE
        and before.content.identity == task.content.identity
        and task.keep is None
        and untouched(before, task.expected)
    )
