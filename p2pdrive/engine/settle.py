"""Look at paths, decide, publish what a person changed, and say what the folder must still show.

Both ways of the data's flow meet here: paths that the folder may have changed, and paths whose heads
changed. See ``planning/reconcile.py`` for the decisions.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from p2pdrive.engine.copies import Copies
from p2pdrive.engine.databases import told_apart
from p2pdrive.engine.durable import above, not_durable
from p2pdrive.engine.ledger import Ledger
from p2pdrive.engine.moved import as_it_was_said
from p2pdrive.engine.observe import Observed, Observer
from p2pdrive.engine.parents import just_closed
from p2pdrive.engine.read_ahead import ReadAhead, look_later
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.runs import decide, is_closed_here, order, without_stale_renames
from p2pdrive.engine.tasks import Settled, Task, marked
from p2pdrive.errors import Changed, NotAtRest, RootMissing, Unreadable, WorldError
from p2pdrive.folder.files import FileKind
from p2pdrive.folder.homes import directories_of
from p2pdrive.history.authoring import Edit
from p2pdrive.history.log import Log
from p2pdrive.index.entries import Entry
from p2pdrive.limits import PLAN_BYTES_MAX
from p2pdrive.model import paths
from p2pdrive.model.problem import Problem
from p2pdrive.model.record import DELETED, Kind
from p2pdrive.model.vector import Vector, joined
from p2pdrive.planning.conflicts import Verdict, judge
from p2pdrive.planning.deletions import Gone
from p2pdrive.planning.ordering import Lane
from p2pdrive.planning.patience import Patience
from p2pdrive.planning.reconcile import (
    Adopt,
    Base,
    Blocked,
    Hold,
    Publish,
    Show,
    Situation,
)


class Settler:
    """Settles paths of one drive. Synchronous; one run at a time.

    What ``may_publish`` denies for now is not published: such paths are to be looked at again. A deletion
    that ``may_delete`` denies is not published either; it is in ``gone`` then. ``patience`` is asked before a
    file is read.
    """

    def __init__(
        self,
        replica: Replica,
        patience: Patience,
        may_publish: Callable[[str], bool],
        may_delete: Callable[[str], bool],
        ahead: ReadAhead | None = None,
    ) -> None:
        self._replica = replica
        self._ahead = ahead
        self._patience = patience
        self._may_publish = may_publish
        self._may_delete = may_delete

    def settle(self, named: Sequence[str], now: float, live: bool = False) -> Settled:
        """Settle some hundred paths, in one transaction, at ``now`` of the clock of ``patience``. Raises
        RootMissing, IndexCorrupt, DiskFull.
        ``live``: persons were seen to change them just now; else a change is as old as the file says.
        """
        settled = Settled()
        observer = Observer(self._replica, self._patience, now, self._ahead)
        observed = self._observe(named, observer, settled)
        observer.keep_owned()
        observed = self._make_durable(observed, observer, settled)
        if not self._replica.files.root_present():
            raise RootMissing(f"{self._replica.root} is not there any more.")
        self._replica.note_mounts()
        with self._replica.writing() as log, self._replica.author.writing(log) as pen:
            observed = without_stale_renames(log, observed, settled)
            ledger = Ledger(self._replica, log, pen, observed, live)
            may_write = log.membership.may_write(self._replica.services.identity.device)
            left = {seen.moved.path for seen in observed if seen.moved is not None}

            def may_delete(path: str, of: str) -> bool:
                """What was renamed is not deleted; nor is its copy, where that was taken along."""
                return path in left or of in left or self._may_delete(path)

            run = _Run(self._replica, ledger, may_write, settled, self._may_publish, may_delete)
            observed = [seen for seen in observed if run.recognise(seen)]
            for seen in sorted(observed, key=lambda seen: (not ledger.is_copy(seen.path), *order(seen))):
                run.settle(seen)
            marks = ledger.finish()
            settled.published = pen.written
        for seen in observed:
            if seen.path in ledger.published and seen.content.kind is Kind.FILE:
                observer.note_read(seen.path, seen.manifest, seen.content.size, in_one=not seen.in_part)
                if seen.in_part:
                    settled.again.append(seen.path)
        decided = {seen.path for seen in observed if seen.content.kind is not Kind.DIRECTORY}
        self._replica.decided(decided.difference(settled.again, (gone.path for gone in settled.gone)))
        settled.tasks = marked(settled.tasks, marks)
        settled.touched |= ledger.touched
        return settled

    def _observe(self, named: Sequence[str], observer: Observer, settled: Settled) -> list[Observed]:
        found: dict[str, Observed] = {}
        files, unfinished = self._replica.files, self._patience.is_unfinished
        named, ignored, observer.databases = told_apart(files, named, unfinished)
        with self._replica.reading() as log:
            entries = log.entries.get_many(named)
            observer.glance(named, entries, log)
            self._look_for_homes(named, observer)
            for number, path in enumerate(named):
                if observer.bytes_read >= PLAN_BYTES_MAX:
                    settled.left = list(named[number:])
                    break
                entry = entries.get(path)
                if self._is_hidden(path, entry, observer, log):
                    ignored.append(path)
                    continue
                try:
                    self._add_parents(path, observer, log, found)
                    seen = observer.look(path, entry)
                except RootMissing:
                    raise
                except NotAtRest:
                    settled.waiting.append(path)
                    continue
                except Changed as changed:
                    look_later(path, changed, settled)
                except WorldError as error:
                    settled.problems.append(Problem(path, str(error)))
                else:
                    old = seen.moved
                    if (
                        old is not None
                        and old.path not in found
                        and not self._is_hidden(old.path, old, observer, log)
                    ):
                        found[old.path] = Observed(old.path, DELETED)
                        # Whoever renamed it saw its copies beside it, and may have taken them too: a loser
                        # whose copy is gone too must not get the path.
                        self._add(log.entries.views(old.path), observer, log, found)
                    found[path] = seen
                    self._add(observer.other_names(seen, log), observer, log, found)
                self._patience.end(path)
            closed = just_closed(self._replica.files, log, found)
        observer.directories |= closed.keys()
        found |= closed
        if ignored:
            self._pass_over(ignored, settled)
        if observer.unfit:
            with self._replica.writing() as log:
                self._forget(log, observer.unfit)
        return list(found.values())

    def _add(
        self, entries: Iterable[Entry], observer: Observer, log: Log, found: dict[str, Observed]
    ) -> None:
        """Look also at what nobody named, where it can be looked at now."""
        for entry in entries:
            with suppress(Changed, Unreadable):
                if entry.path not in found and not self._is_hidden(entry.path, entry, observer, log):
                    found[entry.path] = observer.look(entry.path, entry)

    def _make_durable(
        self, observed: Sequence[Observed], observer: Observer, settled: Settled
    ) -> list[Observed]:
        """What a program wrote and never synced may be lost at a power cut; and what the log says of it would
        be taken for undone by the person. What is elsewhere by now is looked at again; what the disk does not
        take is a problem of its path."""
        files = self._replica.files
        contents, names = files.sync_files(observer.files), files.sync_directories(observer.directories)
        if not contents and not names:
            return list(observed)
        held: dict[str, WorldError] = {}
        for seen in sorted(observed, key=lambda seen: paths.key(seen.path)):
            why = not_durable(files, seen, contents, names) or above(seen.path, held)
            if why is not None:
                held[seen.path] = why
                if seen.moved is not None:
                    held[seen.moved.path] = why
        for path, why in sorted(held.items()):
            if isinstance(why, Changed):
                settled.again.append(path)
            else:
                settled.problems.append(Problem(path, str(why)))
        return [seen for seen in observed if seen.path not in held]

    def _look_for_homes(self, named: Sequence[str], observer: Observer) -> None:
        """What these paths are in may have become the home of a node, or have been one."""
        directories = {path for path in named if observer.kind(path) is FileKind.DIRECTORY}
        origins = (entry.path for entry in observer.origins())
        self._replica.homes.look(directories | directories_of([*named, *origins]))

    def _is_hidden(self, path: str, entry: Entry | None, observer: Observer, log: Log) -> bool:
        """Whether what is at ``path`` is hidden, or was shown there, or else what its heads say."""
        ignored = self._replica.hides
        if ignored(path, True) == (as_file := ignored(path, False)):
            return as_file
        if (there := observer.kind(path)) is not None:
            return ignored(path, there is FileKind.DIRECTORY)
        content = entry.content if entry is not None else judge(log.registers.heads(path), False).content
        return ignored(path, content.kind is Kind.DIRECTORY)

    def _pass_over(self, ignored: Sequence[str], settled: Settled) -> None:
        """What the rules hide is well as it is; its copies, which they may show, are looked at."""
        settled.well += ignored
        for path in ignored:
            self._patience.end(path)  # a journal may have waited before its database began as one
        with self._replica.writing() as log:
            log.entries.mark_shown(ignored)
            copies = [
                copy.path for path in log.entries.with_views(ignored) for copy in log.entries.views(path)
            ]
            log.entries.mark_unshown((copy, 0, Lane.PLAIN) for copy in copies)
            settled.touched.update(copies)
            self._forget(log, ignored)

    def _forget(self, log: Log, ignored: Iterable[str]) -> None:
        """What the rules hide, and is gone, is not missed; what is there may come back into sight."""
        for path, stat in self._replica.files.stats(ignored).items():
            if stat is not None:
                continue
            number = log.entries.delete(path)
            if number is not None:
                self._replica.store.unborrow(log.connection, number)

    def _add_parents(self, path: str, observer: Observer, log: Log, found: dict[str, Observed]) -> None:
        """A directory is published before what is in it, whatever the watcher saw first."""
        directory = path
        while directory := paths.parent(directory):
            if directory in observer.known_directories or directory in found:
                return
            entry = log.entries.get(directory)
            if entry is not None and entry.content.kind is Kind.DIRECTORY:
                observer.known_directories.add(directory)
                return
            seen = observer.look(directory, entry)
            if seen.content.live:
                found[directory] = seen
            else:
                observer.known_directories.add(directory)  # to be made with what is to be in it


class _Run:
    """One transaction of settling."""

    def __init__(
        self,
        replica: Replica,
        ledger: Ledger,
        may_write: bool,
        settled: Settled,
        may_publish: Callable[[str], bool],
        may_delete: Callable[[str, str], bool],
    ) -> None:
        self._replica = replica
        self._ledger = ledger
        self._may_write = may_write
        self._settled = settled
        self._may_publish = may_publish
        self._may_delete = may_delete
        self._copies = Copies(replica, ledger, may_write, settled)

    def recognise(self, seen: Observed) -> bool:
        """Before all decisions: see ``Copies.recognise`` and ``Ledger.note_rename``. False where it cannot be
        told yet, as what was there may be where nobody may look."""
        try:
            self._copies.recognise(seen)
            self._ledger.note_rename(seen)
        except Unreadable as error:
            self._settled.problems.append(Problem(seen.path, str(error)))
            return False
        return True

    def settle(self, seen: Observed) -> None:
        """Decide about one path, publish or adopt, and ask for what is to be shown."""
        self._ledger.note_arrival(seen)
        entry = self._ledger.entry(seen.path)
        if entry is not None and entry.view is not None:
            if not self._copies.settle(seen, entry, entry.view, self._may_delete):
                self._hold(seen, entry)
        elif entry is not None and self._waits_for_its_inside(seen, entry):
            if seen.content.live:
                self._settled.again.append(seen.path)
            else:
                self._hold(seen, entry)
        elif not self._is_too_early(seen, entry):
            self._settle_path(seen, entry)

    def _is_too_early(self, seen: Observed, entry: Entry | None) -> bool:
        """Whether it was brought along, and what others know of it may still come: a scan decides then."""
        brought = entry is None and seen.content.live and self._replica.is_adopting(seen.path)
        return brought and not self._may_publish(seen.path)

    def _hold(self, seen: Observed, entry: Entry) -> None:
        """The deletion of ``entry`` waits."""
        age = (self._replica.services.now_ns() - entry.checked_ns) / 1e9
        self._settled.gone.append(Gone(seen.path, max(0.0, age), entry.view is not None))

    def _waits_for_its_inside(self, seen: Observed, entry: Entry) -> bool:
        """A directory that is gone, or something else now, is published as such after what was in it."""
        if entry.content.kind is not Kind.DIRECTORY or seen.content.kind is Kind.DIRECTORY:
            return False
        if not self._may_write:
            return False  # nothing is published here, so there is nothing to wait for
        return self._replica.shows_inside(self._ledger.log, seen.path)

    def _settle_path(self, seen: Observed, entry: Entry | None) -> None:
        now = self._situation(seen, entry)
        action = decide(now)
        if isinstance(action, Hold):
            self._await_choice(action, seen, entry)
            return
        published = isinstance(action, Publish)
        if isinstance(action, Publish):
            if self._must_wait(action, seen, entry) or not self._publish(action, seen):
                return
            self._ledger.release(seen.path)
            verdict = self._ledger.verdict(seen.path)
            if verdict.content == action.content and not (verdict.losers or now.verdict.losers):
                self._copies.show_losers(seen.path, verdict, set())  # those that are shown are stale
                self._finish(seen)  # what was published is all that there is
                return
            # What was moved away has an entry still, which is about to follow it.
            entry = self._ledger.entry(seen.path) if seen.content.live else None
            now = self._situation(seen, entry)
            if verdict.content.metadata != action.content.metadata:  # others closed it without seeing this
                now = now._replace(unshown=True)
            action = decide(now)
        tasks = len(self._settled.tasks)
        match action:
            case Adopt():
                self._ledger.note(seen, action.seen)
            case Show():
                self._note_what_is_there(action, seen, entry, now.past)
                self._show(action, seen, action.verdict)
            case Blocked():
                self._settled.problems.append(Problem(action.path, action.what))
                self._ledger.mark_shown(seen.path)
                return
            case None if entry is not None and seen.manifest is not None and not published:
                self._ledger.note(seen, entry.vector)  # hashed again, and the same
        self._ledger.release(seen.path)
        made = {task.keep.path for task in self._settled.tasks[tasks:] if task.keep}
        self._copies.show_losers(seen.path, now.verdict, made)
        if len(self._settled.tasks) == tasks:
            self._finish(seen)
        else:
            self._ledger.mark_unshown(seen.path, now.verdict)

    def _note_what_is_there(
        self, action: Show, seen: Observed, entry: Entry | None, past: Vector | None
    ) -> None:
        """What was read is noted before another version takes its path: its blocks need not be fetched, and
        it can be renamed or get another time as it is. What was brought along is no edit later either."""
        if entry is not None:
            if seen.manifest is not None and seen.content.identity == entry.content.identity:
                self._ledger.note(seen, entry.vector)
        elif (seen.manifest is not None or past is not None) and not action.keep and action.aside is None:
            self._ledger.note(seen, past or {})

    def _must_wait(self, action: Publish, seen: Observed, entry: Entry | None) -> bool:
        """Whether it may not be published yet: the path is looked at again, or its deletion waits."""
        if not self._may_publish(seen.path):
            self._settled.again.append(seen.path)
            return True
        if entry is not None and not action.content.live and not self._may_delete(seen.path, ""):
            self._hold(seen, entry)
            return True
        return False

    def _await_choice(self, action: Hold, seen: Observed, entry: Entry | None) -> None:
        if entry is None or seen.manifest is not None:
            self._ledger.note(seen, action.seen)
        self._ledger.hold(seen.path, action.content.kind)
        self._finish(seen)

    def _finish(self, seen: Observed) -> None:
        """The folder shows what the heads say."""
        self._settled.well.append(seen.path)
        self._ledger.mark_shown(seen.path)
        if not seen.content.live:
            self._settled.vacant.append(seen.path)
            self._copies.uncover(seen.path)

    def _situation(self, seen: Observed, entry: Entry | None) -> Situation:
        base = Base(entry.content, entry.vector) if entry is not None else None
        past, brought = None, seen.path in self._ledger.brought
        if base is None and seen.content.live and self._replica.is_adopting(seen.path):
            past, brought = self._past(seen), True
            if past is None and seen.path in self._ledger.former:  # edited since that was shown
                base = Base(DELETED, self._ledger.former[seen.path])
        choice = self._replica.choice if brought else None
        heads, verdict = self._ledger.heads(seen.path), self._ledger.verdict(seen.path)
        unshown = self._ledger.is_unshown(seen.path)
        mtime_ns = None if self._ledger.live or seen.stat is None else seen.stat.mtime_ns
        closed = entry is None and is_closed_here(self._replica.files, seen, self._ledger.versions)
        basis = (seen.path, heads, verdict, base, seen.content, self._may_write)
        return Situation(*basis, past, unshown, mtime_ns, choice, closed)

    def _past(self, seen: Observed) -> Vector | None:
        """The version that a file brought along with the folder equals; the copy of a loser is older than
        all that others made of its name."""
        versions = self._ledger.versions(seen.path)
        equal = [record.vector for record in versions if record.content.identity == seen.content.identity]
        if not equal and self._copies.version_in(seen) is not None:
            return {}
        return joined(equal) if equal else None

    def _publish(self, action: Publish, seen: Observed) -> bool:
        """Write the record and note what the folder shows; False where it must wait for something."""
        if action.content.kind is Kind.SYMLINK and not action.content.target:
            what = "its target is not UTF-8 or is too long, so it cannot be synced. Give it another target."
            self._settled.problems.append(Problem(action.path, what))
            return False
        content, moved_from = action.content, ""
        if seen.moved is not None:
            moved_from = seen.moved.path
            content = as_it_was_said(content, seen.moved, self._ledger.versions)
        record = self._ledger.write(Edit(action.path, content, action.seen, action.clock, moved_from))
        self._ledger.note(seen, record.vector)
        return True

    def _show(self, action: Show, seen: Observed, verdict: Verdict) -> None:
        entry = self._ledger.shown(seen, self._may_write)
        if entry is not None and not entry.id:
            entry = self._ledger.written(seen.path)  # what it holds goes with that number
        keep = None
        if action.keep:
            keep = self._copies.keep_local(seen)
        elif action.aside is not None:
            if entry is None:
                self._ledger.note(seen, {})  # so that what it holds stays borrowed under its new name
            keep = self._copies.keep_aside(action.path, action.aside)
        task = Task(
            action.path,
            verdict.content,
            verdict.seen,
            seen.stat,
            entry,
            moved_from=verdict.moved_from,
            keep=keep,
        )
        self._settled.tasks.append(task)
