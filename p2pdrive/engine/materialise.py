"""Making the folder show what the heads say: settle, fetch, show, in runs of paths.

Several runs are under way at once, so that one waits for the disk while another uses the wire, and no small
or fresh change waits for a large or old one (``planning/ordering.py``). What is still to be shown is in the
index (``unshown``); nothing here needs to survive a restart.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import trio

from p2pdrive.engine.deleting import Deleting
from p2pdrive.engine.fetch import Fetcher
from p2pdrive.engine.moved import with_sources, without_needed_copies
from p2pdrive.engine.problems import Kind, Problems
from p2pdrive.engine.read_ahead import ReadAhead
from p2pdrive.engine.recover import take_up_edits
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.room import make_room_for_index, write_with_room
from p2pdrive.engine.settle import Settler
from p2pdrive.engine.show import Shower, Shown, gathered_as, needs_bytes
from p2pdrive.engine.tasks import Settled, Task
from p2pdrive.engine.waiting import Waiting
from p2pdrive.errors import DiskFull
from p2pdrive.folder.files import Displaced, FileKind, Stat
from p2pdrive.folder.safe_write import IN_USE
from p2pdrive.limits import PLAN_BYTES_MAX, PLAN_PATHS_MAX, SHOWN_REMEMBERED_MAX
from p2pdrive.model import paths
from p2pdrive.model.paths import IGNORE_FILE
from p2pdrive.model.problem import Problem
from p2pdrive.net.link import Link
from p2pdrive.planning.ordering import SLOTS, Lane, Mark, Run, Slot, choose, lane_of

#: Runs for which others wait share what the line carries in a moment.
_RUNS_IN_WINDOW = 2

#: More than the serial of any mark.
_BRIEF_URGENCY = 1 << 63

#: Why a directory is not removed that would only be found not empty again and again.
_STUCK = "it was deleted or replaced elsewhere, and goes when what is in it can: see the problems there."


class Materialiser:
    """The one place of a drive that settles paths and changes the folder; ``waiting`` are the files that
    must be at rest before.

    ``look_again(paths)`` is called with paths that changed under our hands; ``changed`` after every step
    forward. ``may_publish`` as ``Settler`` says; ``deleting`` knows which deletions may be published. No file
    is removed yet that was marked in ``unshown`` after the serial ``removable``, as more of the log is on its
    way: it may be wanted under another name. None is for no bound.
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
        removable: Callable[[], int | None],
        deleting: Deleting,
        ahead: ReadAhead,
    ) -> None:
        self._replica = replica
        self._links = links
        self._offload = replica.services.offload
        self._fetcher = Fetcher(replica, links)
        self._settler = Settler(replica, waiting.patience, may_publish, self._may_delete, ahead)
        self._deleting = deleting
        self._ahead = ahead
        self._waiting = waiting
        self._shower = Shower(replica)
        self._problems = problems
        self._look_again = look_again
        self._changed = changed
        self._removable = removable
        self._one_at_a_time = trio.Lock()
        self._to_do = trio.Event()
        self._under_way: list[Run] = []
        self._tried: set[str] = set()  # since there was news
        self._showing: set[str] = set()  # paths with a task under way; nobody else may settle them
        self._earlier: frozenset[str] = frozenset()
        self._left: frozenset[Displaced] = frozenset()  # displaced, and what it holds is kept elsewhere too
        self.shown: dict[str, Stat] = {}  # what was shown lately, to know the watcher's echo of it

    def wake(self) -> None:
        """There is news: there may be something to show, and what was tried may be tried again."""
        self._tried.clear()
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
                while (run := await self._choose()) is not None:
                    await self._begin(run, nursery)
                if not self._under_way:
                    await self._rest()

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

    async def _choose(self) -> Run | None:
        """What to begin now; None where nothing is due, or no slot is free for it."""
        free = [slot for slot, most in SLOTS.items() if self._in(slot) < most]
        line = max((link.turns.window.size for link in self._links()), default=PLAN_BYTES_MAX)
        choice = partial(
            choose,
            free,
            is_due=partial(self._is_due, trio.current_time()),
            under_way=list(self._under_way),
            room=line // _RUNS_IN_WINDOW,
        )
        run = await self._offload(self._chosen, choice, self._removable())
        if run is not None:
            self._tried.update(run.paths)
        return run

    def _chosen(self, choice: Callable[..., Run | None], removable: int | None) -> Run | None:
        with self._replica.reading() as log:
            last = log.entries.last_mark()  # a later mark may say that a file is to be renamed
            bound = last if removable is None else min(last, removable)
            return choice(pages=partial(log.entries.unshown_in, limit=PLAN_PATHS_MAX), removable=bound)

    def _is_due(self, now: float, mark: Mark) -> bool:
        path = mark.path
        return path not in self._showing and path not in self._tried and not self._problems.waits(path, now)

    def _in(self, slot: Slot) -> int:
        return sum(run.slot is slot for run in self._under_way)

    async def _begin(self, run: Run, nursery: trio.Nursery) -> None:
        """Settle a run of paths, and begin to show those that turn out to be of its kind."""
        async with self._one_at_a_time:
            free = [path for path in run.paths if path not in self._showing]
            settled = await self._settled(free)
            tasks = await self._offload(self._feasible, settled.tasks)
            if unsure := _sources_lost(settled.tasks, tasks).difference(run.paths, self._showing):
                self._note(settled)
                settled = await self._settled([*unsure, *free])
                tasks = await self._offload(self._feasible, settled.tasks)
            lanes = {task.path: _lane(task) for task in tasks}
            others = {_owner(task): lanes[task.path] for task in tasks if not run.takes(lanes[task.path])}
            taken = {_owner(task) for task in tasks if not self._showing.isdisjoint(_claims([task]))}
            tasks = [
                task  # what is above the run's paths was settled too, and may have to wait
                for task in tasks
                if run.takes(lanes[task.path])
                and _owner(task) not in taken
                and not self._problems.waits(_owner(task))
            ]
            self._showing.update(_claims(tasks))
        if others:
            with suppress(DiskFull):  # else they are tried again when there is news
                await self._offload(self._change_lanes, others)
                self._tried.difference_update(others)
                self._to_do.set()
        self._note(settled)
        self._report((Problem(path, IN_USE) for path in settled.waiting), Kind.HELD)
        if not {*settled.well}.isdisjoint(run.paths):
            self.wake()  # others may have waited for these
        if tasks:
            self._under_way.append(run)
            nursery.start_soon(self._carry_out, run, tasks)

    def _feasible(self, tasks: Sequence[Task]) -> list[Task]:
        return without_needed_copies(self._replica, with_sources(self._replica, tasks))

    async def _carry_out(self, run: Run, tasks: Sequence[Task]) -> None:
        try:
            wanted = [task for task in tasks if needs_bytes(task)]
            failed = await self._fetcher.fetch(wanted, self._earlier, _urgency(run)) if wanted else {}
            owners = {task.path: _owner(task) for task in tasks}
            self._report((Problem(owners[path], why) for path, why in failed.items()), Kind.SHOWN)
            ready = [task for task in tasks if task.path not in failed]
            shown = await self._shown(ready)
        finally:
            self._showing.difference_update(_claims(tasks))
            self._under_way.remove(run)
            self._to_do.set()  # there is a slot
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
        self._ahead.add(settled.unread)
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

    def _may_delete(self, path: str) -> bool:
        return self._deleting.permits(path) and not self._ahead.may_be_renamed(path)

    async def _rest(self) -> None:
        """Nothing is being shown: what a person wrote to our versions may be put beside them."""
        self._left = await self._offload(take_up_edits, self._replica, self._left)
        await self._offload(self._tidy)

    def _change_lanes(self, changed: Mapping[str, Lane]) -> None:
        write_with_room(self._replica, lambda log: log.entries.change_lanes(changed))

    def _tidy(self) -> None:
        """Nothing is being shown: what is in the temporary area, and is of no version that is still to be
        shown, belongs to nothing. Many of these, or one in conflict, may have a use for any."""
        names = self._replica.files.temporaries()
        if not names:
            return
        with self._replica.reading() as log:
            unshown = [path for path, _ in log.entries.unshown("", PLAN_PATHS_MAX)]
            heads = log.registers.heads_of(unshown)
        if len(unshown) == PLAN_PATHS_MAX or any(len(found) > 1 for found in heads.values()):
            return
        kept = {gathered_as(head.content.root, path) for path, found in heads.items() for head in found}
        for name in names:
            if name not in kept:
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


def _lane(task: Task) -> Lane:
    return lane_of(task.content, is_here=not needs_bytes(task))


def _sources_lost(before: Iterable[Task], after: Iterable[Task]) -> set[str]:
    """The files to rename that are not for certain what they were: to be looked at, as a look may tell."""
    kept = {task.moved_from for task in after}
    return {task.moved_from for task in before if task.moved_from} - kept


def _urgency(run: Run) -> int | None:
    """Whose blocks are asked for first: what is quick at once, then what is brief, then the newest."""
    match run.slot:
        case Slot.QUICK:
            return None
        case Slot.BRIEF:
            return _BRIEF_URGENCY + run.serial
        case Slot.FRESH:
            return run.serial
        case Slot.STEADY:
            return 0
