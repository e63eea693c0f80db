"""Making the folder show what the heads say: settle, fetch, show, in runs of paths.

Several runs are under way at once, so that one waits for the disk while another uses the wire. What is
still to be shown is in the index (``unshown``); nothing here needs to survive a restart.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import trio

from p2pdrive.engine.deleting import Deleting
from p2pdrive.engine.fetch import Fetcher
from p2pdrive.engine.moved import with_sources
from p2pdrive.engine.problems import Kind, Problems
from p2pdrive.engine.recover import take_up_edits
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.room import make_room_for_index
from p2pdrive.engine.settle import Settler
from p2pdrive.engine.show import Shower, Shown, needs_bytes
from p2pdrive.engine.tasks import Settled, Task
from p2pdrive.engine.waiting import Waiting
from p2pdrive.errors import DiskFull
from p2pdrive.folder.files import Displaced, FileKind, Stat
from p2pdrive.folder.safe_write import IN_USE
from p2pdrive.limits import PLAN_BYTES_MAX, PLAN_PATHS_MAX, RUNS_AT_ONCE, SHOWN_REMEMBERED_MAX
from p2pdrive.model import paths
from p2pdrive.model.paths import IGNORE_FILE
from p2pdrive.model.problem import Problem
from p2pdrive.net.link import Link

#: Why a directory is not removed that would only be found not empty again and again.
_STUCK = "it was deleted or replaced elsewhere, and goes when what is in it can: see the problems there."


class Materialiser:
    """The one place of a drive that settles paths and changes the folder; ``waiting`` are the files that
    must be at rest before.

    ``look_again(paths)`` is called with paths that changed under our hands; ``changed`` after every step
    forward. ``may_publish`` as ``Settler`` says; ``deleting`` knows which deletions may be published.
    """

    def __init__(
        self,
        replica: Replica,
        links: Callable[[], Sequence[Link]],
        problems: Problems,
        waiting: Waiting,
        look_again: Callable[[Iterable[str]], None],
        changed: Callable[[], None],
        may_publish: Callable[[str], bool],
        pulling: Callable[[], bool],
        deleting: Deleting,
    ) -> None:
        self._replica = replica
        self._offload = replica.services.offload
        self._fetcher = Fetcher(replica, links)
        self._settler = Settler(replica, waiting.patience, may_publish, deleting.permits)
        self._deleting = deleting
        self._waiting = waiting
        self._shower = Shower(replica)
        self._problems = problems
        self._look_again = look_again
        self._changed = changed
        self._pulling = pulling
        self._one_at_a_time = trio.Lock()
        self._slots = trio.Semaphore(RUNS_AT_ONCE)
        self._to_do = trio.Event()
        self._showing: set[str] = set()  # paths with a task under way; nobody else may settle them
        self._earlier: frozenset[str] = frozenset()
        self._left: frozenset[Displaced] = frozenset()  # displaced, and what it holds is kept elsewhere too
        self.shown: dict[str, Stat] = {}  # what was shown lately, to know the watcher's echo of it

    def wake(self) -> None:
        """There may be something to show."""
        self._to_do.set()

    @property
    def busy(self) -> bool:
        """Whether anything is being shown just now."""
        return bool(self._showing)

    async def run(self) -> None:
        """Show what is to be shown, until cancelled. Raises WorldError where the drive cannot go on."""
        self._earlier = frozenset(await self._offload(self._replica.files.temporaries))
        async with trio.open_nursery() as nursery:
            while True:
                await self._to_do.wait()
                self._to_do = trio.Event()
                await self._show_all(nursery)

    def forget_shown(self, gone: Iterable[str]) -> None:
        """What is gone is news when it comes back, even as it was."""
        for path in gone:
            self.shown.pop(path, None)

    def leave_alone(self, named: Iterable[str], above: bool = False) -> list[str]:
        """``named`` without what is under our own hands, which is looked at again when we are done.

        ``above``: and without the directories that hold it, which may have been named because of us.
        """
        named = list(named)
        ours = self._showing | {paths.parent(path) for path in self._showing} if above else self._showing
        self._look_again(path for path in named if path in ours)
        return [path for path in named if path not in ours]

    async def settle(self, changed: Sequence[str], live: bool) -> int:
        """Settle paths that the folder may have changed (``live``: just now); returns the number of records
        published."""
        published = 0
        while changed:
            async with self._one_at_a_time:
                free = self.leave_alone(changed)
                if not free:
                    break
                settled = await self._settled(free, live)
            self._note(settled)
            if not all(self._problems.waits(_owner(task)) for task in settled.tasks):
                self.wake()
            published += settled.published
            changed = settled.left
        return published

    async def _settled(self, named: Sequence[str], live: bool = False) -> Settled:
        """Settle paths in one transaction; on a disk that stays full they have a problem."""
        try:
            return await self._offload(self._settler.settle, named, trio.current_time(), live)
        except DiskFull:
            await self._offload(make_room_for_index, self._replica)
        try:
            return await self._offload(self._settler.settle, named, trio.current_time(), live)
        except DiskFull as full:
            return Settled(problems=[Problem(path, str(full)) for path in named])

    async def _shown(self, tasks: Sequence[Task]) -> Shown:
        """The same of what is to be shown. What was shown and could not be noted is known by ``arriving``."""
        try:
            return await self._offload(self._shower.show, tasks)
        except DiskFull as full:
            await self._offload(make_room_for_index, self._replica)
            return Shown(problems=[Problem(task.path, str(full)) for task in tasks])

    async def _show_all(self, nursery: trio.Nursery) -> None:
        """One pass over what is unshown. Removals come last, and not while more of the log is on its way: the
        file that is removed here may be wanted under another name."""
        removals: list[str] = []
        after = ""
        while page := await self._offload(self._unshown, after):
            after = page[-1][0]
            due = [row for row in page if row[0] not in self._showing and not self._problems.waits(row[0])]
            for run in _runs(due):
                removals += await self._settle_and_show(run, nursery, removing=False)
        if not self._pulling():
            for run in _runs((path, 0) for path in removals):
                await self._settle_and_show(run, nursery, removing=True)
        if not self._showing:
            self._left = await self._offload(take_up_edits, self._replica, self._left)
            if not await self._offload(self._unshown, ""):
                await self._offload(self._tidy)

    async def _settle_and_show(self, run: Sequence[str], nursery: trio.Nursery, removing: bool) -> list[str]:
        """Begin to show a run of paths; returns those to be removed, left alone unless ``removing``."""
        await self._slots.acquire()
        self._slots.release()  # only to wait until it makes sense to decide
        async with self._one_at_a_time:
            settled = await self._settled([path for path in run if path not in self._showing])
            tasks = await self._offload(with_sources, self._replica, settled.tasks)
            removals = [task.path for task in tasks if not task.content.live and not removing]
            tasks = [task for task in tasks if task.content.live or removing]
            taken = {_owner(task) for task in tasks if not self._showing.isdisjoint(_claims([task]))}
            tasks = [
                task  # what is above the run's paths was settled too, and may have to wait
                for task in tasks
                if _owner(task) not in taken and not self._problems.waits(_owner(task))
            ]
            self._showing.update(_claims(tasks))
        self._note(settled)
        self._report((Problem(path, IN_USE) for path in settled.waiting), Kind.HELD)
        await self._start(tasks, nursery)
        return removals

    async def _start(self, tasks: Sequence[Task], nursery: trio.Nursery) -> None:
        if tasks:
            await self._slots.acquire()
            nursery.start_soon(self._carry_out, tasks)

    async def _carry_out(self, tasks: Sequence[Task]) -> None:
        try:
            wanted = [task for task in tasks if needs_bytes(task)]
            failed = await self._fetcher.fetch(wanted, self._earlier) if wanted else {}
            owners = {task.path: _owner(task) for task in tasks}
            self._report((Problem(owners[path], why) for path, why in failed.items()), Kind.SHOWN)
            ready = [task for task in tasks if task.path not in failed]
            shown = await self._shown(ready)
        finally:
            self._showing.difference_update(_claims(tasks))
            self._slots.release()
        done = set(shown.done)
        self._fetcher.not_shown(task for task in ready if task.path not in done)
        failing, held = _of_owners(shown.problems, owners), _of_owners(shown.held, owners)
        self._report(failing, Kind.SHOWN)
        self._report(held, Kind.HELD)
        if len(self.shown) > SHOWN_REMEMBERED_MAX:
            self.shown = {}
        self.shown.update(shown.stats)
        troubled = {*(owners[path] for path in failed), *(problem.path for problem in (*failing, *held))}
        for path in shown.done:
            if path not in troubled:  # a conflict copy of it may be all that is missing
                self._problems.resolve(path)
        occupied = {task.path for task in ready if task.expected and task.expected.kind is FileKind.DIRECTORY}
        stuck = [path for path in shown.again if path in occupied and self._problems.inside(path)]
        again = _at_once(shown.again, [path for path in shown.again if self._problems.waits(path)])
        self._report((Problem(path, _STUCK) for path in stuck), Kind.SHOWN)
        self._look_again(path for path in again if path not in stuck)
        self._look_again(path for path in shown.done if path == IGNORE_FILE)
        self._hurry_alike(shown.done)
        stayed = any(task.moved_from and task.path not in done for task in tasks)  # and was claimed by us
        if failed or stayed or shown.done or shown.check or shown.problems:
            self.wake()  # what only changed under our hands is looked at again first, a little later
        self._changed()

    def _note(self, settled: Settled) -> None:
        for path in settled.well:
            if self._problems.resolve(path) and path == IGNORE_FILE:
                self._look_again([path])  # the rules could not be read before, perhaps
        self._hurry_alike(settled.vacant)
        self._deleting.note(settled)
        self._report(settled.problems, Kind.SETTLED)
        troubled = {problem.path for problem in settled.problems}
        for task in settled.tasks:
            if task.view is None and task.path not in troubled:
                self._problems.unblock(task.path)
        self._look_again(settled.again)
        if settled.waiting:
            self._waiting.wake()
        if settled.left:
            self.wake()
        if settled.touched:
            self._problems.hurry(settled.touched)
            self.wake()
        if settled.published or settled.well:
            self._changed()

    def _hurry_alike(self, named: Iterable[str]) -> None:
        """What left these paths may have made room for names that the disk takes for theirs."""
        if self._replica.files.odd and self._problems.hurry_alike(named):
            self.wake()

    def _report(self, problems: Iterable[Problem], kind: Kind) -> None:
        for problem in problems:
            self._problems.report(problem, kind)

    def _unshown(self, after: str) -> list[tuple[str, int]]:
        with self._replica.reading() as log:
            return log.entries.unshown(after, PLAN_PATHS_MAX)

    def _tidy(self) -> None:
        """All is shown: what is still in the temporary area belongs to nothing."""
        for name in self._replica.files.temporaries():
            self._replica.files.discard(name)


def _at_once(again: Sequence[str], later: Sequence[str]) -> list[str]:
    """``again`` without what is tried ``later`` by itself, and what cannot be before that: a file that is in
    the way of a directory may be in use."""
    return [path for path in again if not {path, *paths.ancestors(path)}.intersection(later)]


def _of_owners(problems: Iterable[Problem], owners: Mapping[str, str]) -> list[Problem]:
    """The same of those that the paths are for; a directory made for what is in it is for itself."""
    return [replace(problem, path=owners.get(problem.path, problem.path)) for problem in problems]


def _claims(tasks: Iterable[Task]) -> Iterator[str]:
    for task in tasks:
        yield task.path
        if task.moved_from:
            yield task.moved_from
        if task.keep is not None:
            yield task.keep.path


def _owner(task: Task) -> str:
    """The path that the task is for: a conflict copy is for the path in conflict."""
    return task.view.of if task.view is not None else task.path


def _runs(rows: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
    """Cut (path, bytes) into runs that are worth one sync of the disk; a large file is one by itself."""
    run: list[str] = []
    size = 0
    for path, length in rows:
        if run and (size + length > PLAN_BYTES_MAX or len(run) == PLAN_PATHS_MAX):
            yield run
            run, size = [], 0
        run.append(path)
        size += length
    if run:
        yield run
