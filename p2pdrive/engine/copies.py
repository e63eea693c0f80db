"""Conflict copies: showing the losers of a path beside it, and hearing what a person does with them."""

from collections.abc import Callable
from itertools import count

from p2pdrive.engine.ledger import Ledger
from p2pdrive.engine.observe import Observed
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.same import describes, may_have_bytes
from p2pdrive.engine.tasks import Keep, Settled, Task
from p2pdrive.folder.files import Stat
from p2pdrive.history.authoring import Edit
from p2pdrive.index.entries import Entry, View
from p2pdrive.model.problem import Problem
from p2pdrive.model.record import Record
from p2pdrive.planning.conflicts import Verdict, copied, copy_path, dismissal
from p2pdrive.planning.reconcile import Adopt, Blocked, Publish, Show
from p2pdrive.planning.views import Dismiss, Restore, ViewAction, reconcile_view


class Copies:
    """The conflict copies of one run of settling."""

    def __init__(self, replica: Replica, ledger: Ledger, may_write: bool, settled: Settled) -> None:
        self._replica = replica
        self._ledger = ledger
        self._may_write = may_write
        self._settled = settled

    def show_losers(self, path: str, verdict: Verdict, made: set[str]) -> None:
        """Ask for the copies that ``path`` should have, but those ``made`` already, and for no others."""
        shown = self._ledger.views(path)
        if not verdict.losers and not shown:
            return
        wanted = {self.path_of(loser): loser for loser in verdict.losers}
        for copy, loser in wanted.items():
            if copy not in shown and copy not in made:
                self._show(copy, loser)
        for stale in shown.keys() - wanted.keys():
            self._ledger.touch(stale, 0)

    def uncover(self, path: str) -> None:
        """An ordinary file hid the copy that ``path`` is the name of, perhaps: nothing is there any more.

        (A name that had to be shortened does not tell whose copy it is.)
        """
        beside = copied(path)
        if beside is None:
            return
        of, _ = beside
        losers = self._ledger.verdict(of).losers
        if path not in self._ledger.views(of) and any(self.path_of(loser) == path for loser in losers):
            self._ledger.touch(of, 0)

    def recognise(self, seen: Observed) -> None:
        """A file that the index does not know may be a copy all the same: a kill came between making and
        noting it, or the folder was restored or copied with it. What it was made of is not deleted then, nor
        edited. Raises Unreadable where nobody can tell."""
        self._find_aside(seen.path, seen.stat)
        beside = copied(seen.path) if self._ledger.entry(seen.path) is None else None
        if beside is not None:
            self._find_aside(beside[0], self._there(beside[0]))  # before it passes for a file of its own
        view = self._view_of(seen)
        if view is None:
            return
        base = self._ledger.entry(view.of)
        self._ledger.note(seen, {}, view)
        if base is not None and describes(base, seen.stat, seen.content):
            self._ledger.forget(view.of)  # it is this very file

    def _find_aside(self, path: str, there: Stat | None) -> None:
        """What was at ``path``, where ``there`` is now, may have been moved aside, as its copy, just before a
        kill; a person may have edited it there since."""
        entry = self._ledger.entry(path)
        if entry is None or (there is not None and there.inode == entry.inode):
            return
        if entry.view is not None or not self._ledger.heads(path):
            return
        for loser in self._ledger.verdict(path).losers:
            copy = self.path_of(loser)
            if loser.content.identity != entry.content.identity or self._ledger.entry(copy) is not None:
                continue
            stat = self._replica.files.stat(copy)
            if stat is not None and entry.inode in (stat.inode, self._ledger.inode_of_new_copy(copy)):
                aside = Observed(copy, entry.content, stat, moved=entry)
                self._ledger.note_unread(aside, {}, View(path, loser.actor, loser.seq))
                return

    def _view_of(self, seen: Observed) -> View | None:
        if copied(seen.path) is None or self._ledger.entry(seen.path) is not None:
            return None
        version = self.version_in(seen)
        if version is None or not self._is_ours(seen, version):
            return None
        return View(version.path, version.actor, version.seq)

    def _is_ours(self, seen: Observed, version: Record) -> bool:
        """Whether it is the copy of ``version`` that we made, be it in another folder. Once the conflict is
        settled, a person may bring its copy back as a file of its own."""
        heads = self._ledger.heads(seen.path)
        if any(head.content.live for head in heads):
            return False
        if self._ledger.is_new_copy(seen):
            return True
        if heads:
            return False
        view = View(version.path, version.actor, version.seq)
        return self._standing_loser(view) is not None

    def version_in(self, seen: Observed) -> Record | None:
        """The version of another path whose copy a file of this name and content is, or once was."""
        beside = copied(seen.path)
        if beside is None or not seen.content.live:
            return None
        of, digest = beside
        for version in self._ledger.versions(of):
            same = version.content.live and version.content.identity == seen.content.identity
            if same and version.digest.hex().startswith(digest) and self.path_of(version) == seen.path:
                return version
        return None

    def keep_aside(self, path: str, loser: Record) -> Keep | None:
        """The file at ``path`` is ``loser``: let it become its own copy. None where that is shown already."""
        copy = self.path_of(loser)
        if not self._is_free(copy):
            return None  # what is here is retired like any version
        return Keep(copy, loser.content, View(path, loser.actor, loser.seq))

    def keep_local(self, seen: Observed) -> Keep:
        """A change that may not be published stays beside what others made of the path."""
        actor = self._replica.services.identity.device[:16]
        for number in count(1):
            kept = Record(seen.path, seen.content, actor, number, {actor: number}, 0)
            path = copy_path(kept, self._replica.services.name)
            if self._is_free(path):
                break
        return Keep(path, seen.content, None)

    def path_of(self, loser: Record) -> str:
        """Where the copy of ``loser`` is shown, on every node."""
        return copy_path(loser, self._ledger.author_name(loser))

    def settle(
        self, seen: Observed, entry: Entry, view: View, may_delete: Callable[[str, str], bool]
    ) -> bool:
        """What was done with the copy that ``entry`` stands for. False where it was deleted, which
        ``may_delete(its path, whose copy it is)`` denies for now."""
        if self._went_back(seen, entry, view):
            self._ledger.forget(seen.path)
            for path in (seen.path, view.of):
                self._ledger.touch(path, 0)
            return True
        verdict = self._ledger.verdict(seen.path)
        loser = self._standing_loser(view)
        heads = self._ledger.heads(seen.path)
        actions = reconcile_view(
            seen.path, heads, verdict, loser, entry.content, seen.content, self._may_write
        )
        dismissed = any(isinstance(action, Dismiss) for action in actions)
        if dismissed and not seen.content.live and not may_delete(seen.path, view.of):
            return False
        tasks = len(self._settled.tasks)
        for action in actions:
            self._perform(action, seen, entry, view, verdict)
        if len(self._settled.tasks) == tasks:
            self._ledger.mark_shown(seen.path)
            self._settled.well += [] if any(isinstance(a, Blocked) for a in actions) else [seen.path]
            if self._ledger.verdict(seen.path).losers:  # it is a file of its own now, which others made too
                self._ledger.touch(seen.path, 0)
        else:
            self.show_losers(seen.path, verdict, set())  # of what others made of it
            self._ledger.mark_unshown(seen.path)
        return True

    def _perform(
        self, action: ViewAction, seen: Observed, entry: Entry, view: View, verdict: Verdict
    ) -> None:
        match action:
            case Publish():
                record = self._ledger.write(Edit(action.path, action.content, action.seen))
                self._ledger.note(seen, record.vector)
            case Dismiss():
                self._dismiss(action.loser)
                if not seen.content.live:
                    self._ledger.forget(seen.path)
            case Adopt():
                self._ledger.note(seen, action.seen)
            case Show():
                shown = self._ledger.shown(seen, self._may_write)
                keep = self.keep_local(seen) if action.keep else None
                task = Task(seen.path, verdict.content, verdict.seen, seen.stat, shown, keep=keep)
                self._settled.tasks.append(task)
            case Restore():
                task = Task(seen.path, action.loser.content, {}, seen.stat, entry, view)
                self._settled.tasks.append(task)
            case Blocked():
                self._settled.problems.append(Problem(action.path, action.what))

    def _show(self, copy: str, loser: Record) -> None:
        if self._ledger.verdict(copy).content.live:
            return  # someone made an ordinary file of that name; the loser stays in the history
        if self._is_free(copy):  # what is there may be an edit; when it goes: ``uncover``
            view = View(loser.path, loser.actor, loser.seq)
            entry = self._ledger.entry(copy)
            self._settled.tasks.append(Task(copy, loser.content, {}, None, entry, view))

    def _went_back(self, seen: Observed, entry: Entry, view: View) -> bool:
        """Whether a person put it, or a copy of it, where it had been before what won was shown there:
        nothing was settled by that, and it becomes a copy once more."""
        if seen.content.live:
            return False
        base, there = self._ledger.entry(view.of), self._there(view.of)
        if there is None:
            return False
        if base is None or base.inode == entry.inode:
            same = (there.inode, there.size) == (entry.inode, entry.content.size)
            return same and may_have_bytes(self._replica, view.of, entry.content)
        # Where the path shows another content, what was put there has replaced what had won.
        return base.content.identity == entry.content.identity and there.inode == base.inode

    def _is_free(self, path: str) -> bool:
        """Whether nothing is there. What nobody may look at is free: to put something there says so."""
        return self._there(path) is None

    def _there(self, path: str) -> Stat | None:
        """What is at ``path``; None for nothing, or what nobody may look at."""
        return self._replica.files.stats([path]).get(path)

    def _standing_loser(self, view: View) -> Record | None:
        """The record that the copy shows, while it is a loser of its path."""
        place = (view.actor, view.seq)
        losers = self._ledger.verdict(view.of).losers
        return next((lost for lost in losers if (lost.actor, lost.seq) == place), None)

    def _dismiss(self, loser: Record) -> None:
        """Join the loser to what its path shows. A copy that a scan misses may have been dismissed long ago:
        what others make of the path meanwhile is newer."""
        verdict = self._ledger.verdict(loser.path)
        entry = self._ledger.entry(loser.path)
        heads = self._ledger.heads(loser.path)
        seen = dismissal(heads, verdict, loser)
        clock = None if self._ledger.live else max(head.clock for head in heads) + 1
        record = self._ledger.write(Edit(loser.path, verdict.content, seen, clock))
        if entry is not None and dict(entry.vector) == dict(verdict.seen):
            self._ledger.stand_for(loser.path, record.vector)
        self._ledger.touch(loser.path, verdict.content.size)
