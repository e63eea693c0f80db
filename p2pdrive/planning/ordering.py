"""In which order what is still to be shown is shown. Pure.

What needs no bytes goes first, then small files, then large ones; and among equals some of the work is kept
for what changed last, so that an edit never waits for all that came before it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum, IntEnum
from typing import NamedTuple, TypeAlias

from p2pdrive.limits import (
    BRIEF_RUNS,
    FRESH_RUNS,
    PLAN_BYTES_MAX,
    PLAN_PATHS_MAX,
    QUICK_RUNS,
    SMALL_FILE_BYTES_MAX,
    STEADY_RUNS,
)
from p2pdrive.model.record import Content, Kind


class Lane(IntEnum):
    """What a path needs to be shown, as far as is known; lower goes first.

    PLAIN needs no bytes: a rename, a directory, a symlink, a time. A REMOVAL follows all of these, as the
    file that is removed may be the one that is renamed. SMALL and LARGE need the bytes of a file.
    """

    PLAIN = 0
    REMOVAL = 1
    SMALL = 2
    LARGE = 3


def lane_of(content: Content | None, *, is_here: bool = False) -> Lane:
    """The lane of a path that is to show ``content``; ``is_here``: the folder has its bytes already."""
    if content is None or not content.live:
        return Lane.REMOVAL
    if is_here or content.kind is not Kind.FILE or not content.size:
        return Lane.PLAIN
    return Lane.SMALL if content.size <= SMALL_FILE_BYTES_MAX else Lane.LARGE


class Slot(Enum):
    """A place for one run of paths: QUICK for what is small, the newest first; BRIEF for the newest of the
    large files that the line carries in a second or two; FRESH for the newest large file of any size; STEADY
    for all that has bytes, in the order in which it came."""

    QUICK = "quick"
    BRIEF = "brief"
    FRESH = "fresh"
    STEADY = "steady"


#: How many runs of each may be under way.
SLOTS = {
    Slot.QUICK: QUICK_RUNS,
    Slot.BRIEF: BRIEF_RUNS,
    Slot.FRESH: FRESH_RUNS,
    Slot.STEADY: STEADY_RUNS,
}

#: What each takes: the lanes in this order, and whether the newest first.
_TAKES = {
    Slot.QUICK: ((Lane.PLAIN, True), (Lane.REMOVAL, True), (Lane.SMALL, True)),
    Slot.BRIEF: ((Lane.LARGE, True),),
    Slot.FRESH: ((Lane.LARGE, True),),
    Slot.STEADY: ((Lane.SMALL, False), (Lane.LARGE, False)),
}


class Mark(NamedTuple):
    """``path`` is still to be shown, ``size`` bytes; a later mark has a higher ``serial``."""

    path: str
    size: int
    serial: int


class Run(NamedTuple):
    """Paths of one lane to be shown together in a slot; ``serial`` is the highest of their marks."""

    slot: Slot
    lane: Lane
    paths: list[str]
    serial: int

    def takes(self, lane: Lane) -> bool:
        """Whether what turned out to be of ``lane`` is done in this run, and not in one of its own.

        A removal is done among removals only. What is quick stays so.
        """
        if Lane.REMOVAL in (lane, self.lane):
            return lane is self.lane
        return self.slot is not Slot.QUICK or lane <= self.lane


#: The marks in a lane in pages: below a serial the newest first, above one the oldest first.
Pages: TypeAlias = Callable[[Lane, bool], Iterator[Sequence[Mark]]]


def choose(
    free: Iterable[Slot],
    pages: Pages,
    is_due: Callable[[Mark], bool],
    under_way: Iterable[Run],
    removable: int,
    room: int,
) -> Run | None:
    """The run to begin in one of the ``free`` slots; None where nothing is due for any of them.

    Removals wait whose serial is above ``removable``. ``room`` are the bytes that a run may have for which
    others wait: what the line carries in a moment. In a FRESH slot, only what is newer than the other FRESH
    runs begins beside them; for a BRIEF one, no more is looked through than a page.
    """
    newest = max((run.serial for run in under_way if run.slot is Slot.FRESH), default=-1)
    for slot in free:
        brief = room * _BRIEF_ROOMS if slot is Slot.BRIEF else None
        for lane, newest_first in _TAKES[slot]:
            above = newest if slot is Slot.FRESH else -1
            upto = removable if lane is Lane.REMOVAL else None
            for page in pages(lane, newest_first):
                marks = [
                    mark
                    for mark in page
                    if mark.serial > above
                    and (upto is None or mark.serial <= upto)
                    and (brief is None or mark.size <= brief)
                    and is_due(mark)
                ]
                if marks:
                    return _run(slot, lane, marks, room)
                if brief is not None or (newest_first and page[-1].serial <= above):
                    break
    return None


#: A file is brief that has at most so many times the bytes of a run: a line carries it in some 1.5 s.
_BRIEF_ROOMS = 10
#: A run that nobody waits for is so many times as large: it shares one sync of the disk.
_STEADY_ROOMS = 8


def _run(slot: Slot, lane: Lane, marks: Sequence[Mark], room: int) -> Run:
    """The first of the marks that fit, at least one."""
    if slot is Slot.STEADY:
        room *= _STEADY_ROOMS
    room = min(room, PLAN_BYTES_MAX)
    taken: list[Mark] = []
    for mark in marks[:PLAN_PATHS_MAX]:
        room -= mark.size if lane in (Lane.SMALL, Lane.LARGE) else 0
        if taken and room < 0:
            break
        taken.append(mark)
    return Run(slot, lane, [mark.path for mark in taken], max(mark.serial for mark in taken))
