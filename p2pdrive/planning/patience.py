"""When a file that programs write to may be read: neither half of it, nor too often. Pure: the caller tells
the time, in seconds of a clock that never goes back.

A file that a program has open for writing waits until that program closes it. One that is never closed is
read after some patience all the same: a log that only grows, after OPEN_PATIENCE_SECONDS; what is written in
place, once that has paused; what is new, or was emptied or shortened, only after a long pause, as the rest is
about to be written, unless it is seen to be whole. What never pauses is read now and then, less and less
often.

A file that is closed is read at once, and from then on its versions keep a distance, which doubles with each
of them while the file keeps changing. A rest as long as the distance ends that. One that changes whenever it
is read is taken as it was met, after some patience: the beginning of a file that only grows is a version.
"""

from collections.abc import Iterable, Iterator
from math import inf
from typing import NamedTuple

from p2pdrive.limits import (
    BUSY_SECONDS,
    DISTANCE_BYTES_PER_SECOND,
    DISTANCE_SECONDS_MAX,
    DISTANCE_SECONDS_MIN,
    EMPTIED_PATIENCE_SECONDS,
    HABITS_MAX,
    OPEN_LOOK_SECONDS_MAX,
    OPEN_LOOK_SECONDS_MIN,
    OPEN_PATIENCE_SECONDS,
    OPEN_QUIET_SECONDS,
    RESTLESS_SECONDS_MAX,
    RESTLESS_SECONDS_MIN,
)

_OPEN = "is open for writing in another program; it is synced once that program closes it."
_OFTEN = "changes again and again; its versions keep a distance, and the last one is always synced."


class Glimpse(NamedTuple):
    """What a file looks like just before it would be read; ``recorded`` is the size of what the index has of
    it, None for nothing. ``is_open``: a program has it open for writing. ``unfinished``: why it does not hold
    all that it is to hold, whoever has it open; it waits for that. ``whole``: it holds all that, as it can be
    told of a database: it is no beginning, be it new."""

    size: int
    mtime_ns: int
    is_open: bool
    recorded: int | None
    unfinished: str = ""
    whole: bool = False


class Busy(NamedTuple):
    """A path that has not been at rest for a while: why, since when, and when it is looked at next."""

    path: str
    what: str
    since: float
    look_at: float


class _Habit:
    """How one file has been written to lately."""

    __slots__ = (
        "changed_at",
        "distance",
        "is_open",
        "look_at",
        "open_reads",
        "open_since",
        "quiet_since",
        "read_at",
        "restless_since",
        "shape",
        "shrunk",
        "unfinished",
        "vain_since",
    )

    def __init__(self, now: float) -> None:
        self.read_at = -inf
        self.distance = 0.0  # that the next version keeps from the last
        self.changed_at = now  # when a change was last heard of
        self.restless_since: float | None = None  # since when it waits, or has waited without a rest between
        self.look_at = inf
        self.shape = (-1, 0)  # size and time when it was last looked at
        self.quiet_since = now  # since when it has been of that shape
        self.is_open = False
        self.unfinished = ""
        self.open_since = now
        self.open_reads = 0  # how often it was read though it was open
        self.shrunk = False  # since it was read
        self.vain_since: float | None = None  # since when it has changed whenever it was read


class Patience:
    """The habits of one drive's files: some thousand of those that changed lately, and all that wait."""

    def __init__(self) -> None:
        self._habits: dict[str, _Habit] = {}  # in the order in which they were read or began to wait
        self._waiting: dict[str, _Habit] = {}

    # --- before and after a file is read

    def must_wait(self, path: str, seen: Glimpse, now: float) -> bool:
        """Whether it is too early to read the file at ``path``; if so, ``take_due`` names it in time."""
        habit = self._habits.get(path)
        if habit is None:
            if not seen.is_open and not seen.unfinished:
                return False
            if len(self._waiting) >= HABITS_MAX:
                return False  # more than anybody has open: better half of a file than too much memory
            habit = self._add(path, now)
        shape = (seen.size, seen.mtime_ns)
        if shape != habit.shape:
            if seen.size < habit.shape[0]:
                habit.vain_since = None  # it is begun anew
            habit.shape, habit.quiet_since = shape, now
            self._note_change(path, habit, now)
        if seen.is_open and not habit.is_open:
            habit.open_since, habit.open_reads, habit.shrunk = now, 0, False
        habit.is_open, habit.unfinished = seen.is_open, seen.unfinished
        habit.shrunk |= seen.recorded is None or seen.size < seen.recorded
        ready = max(_ready_at(habit, seen), habit.read_at + habit.distance)
        if ready <= now:
            return False
        if habit.restless_since is None:
            habit.restless_since = now
        if seen.is_open or seen.unfinished:  # which may be over at any time
            ready = min(ready, now + _pause(now - habit.restless_since))
        habit.look_at = ready
        self._waiting[path] = habit
        return True

    def note_read(self, path: str, size: int, now: float, *, in_one: bool = True) -> None:
        """``size`` bytes of the file at ``path`` were read, holes left out, and are another version; or, if
        not ``in_one``, the file changed meanwhile, and what was read is a version or in vain."""
        habit = self._habits.pop(path, None) or self._add(path, now)
        self._habits[path] = habit  # as the last
        self._waiting.pop(path, None)
        least = max(DISTANCE_SECONDS_MIN, min(size / DISTANCE_BYTES_PER_SECOND, DISTANCE_SECONDS_MAX))
        habit.distance = max(least, min(2 * habit.distance, DISTANCE_SECONDS_MAX))
        habit.read_at, habit.shrunk = now, False
        if in_one:
            habit.vain_since = None
        elif habit.vain_since is None:
            habit.vain_since = now
        habit.open_reads += habit.is_open

    def takes_part(self, path: str, grew: bool, now: float) -> bool:
        """Whether what was read of a file is a version though the file changed meanwhile: it ``grew``, or was
        written in place."""
        habit = self._habits.get(path)
        if habit is None or habit.vain_since is None:
            return False
        return now - habit.vain_since >= (OPEN_PATIENCE_SECONDS if grew else RESTLESS_SECONDS_MIN)

    def end(self, path: str) -> None:
        """Nothing at ``path`` waits to be read (any more)."""
        self._waiting.pop(path, None)

    # --- between two looks

    def note_named(self, path: str, now: float) -> bool:
        """A change at ``path`` was heard of. Whether its file waits: then nobody need read it now."""
        habit = self._habits.get(path)
        if habit is not None:
            self._note_change(path, habit, now)
        return path in self._waiting

    def waits_to_be_closed(self, path: str) -> bool:
        """Whether ``path`` was open or unfinished when last looked at: it may be read if that is over."""
        habit = self._waiting.get(path)
        return habit is not None and (habit.is_open or habit.unfinished != "")

    def is_unfinished(self, path: str) -> bool:
        """Whether ``path`` was unfinished when it was last looked at."""
        habit = self._waiting.get(path)
        return habit is not None and habit.unfinished != ""

    def among(self, named: Iterable[str]) -> set[str]:
        """Those of ``named`` that wait."""
        return {path for path in named if path in self._waiting}

    def take_due(self, now: float) -> list[str]:
        """The paths to look at now. They go on waiting until they are read, or ``end``."""
        due = [(path, habit) for path, habit in self._snapshot() if habit.look_at <= now]
        for _, habit in due:
            habit.look_at = now + OPEN_LOOK_SECONDS_MAX  # should that look come to nothing
        return [path for path, _ in due]

    def next_at(self, now: float) -> float:
        """When ``take_due`` has something next, or a file begins to be busy."""
        return min((at for _, habit in self._snapshot() for at in _times(habit, now)), default=inf)

    # --- standing

    def all(self) -> set[str]:
        """All paths that wait."""
        return {*self._waiting}

    def is_brief(self, now: float) -> bool:
        """Whether a file waits that began only just: it will be read in a moment."""
        return any(now < _busy_at(habit) for _, habit in self._snapshot())

    def busy(self, now: float) -> list[Busy]:
        """The files that have not been at rest for BUSY_SECONDS, by path."""
        return sorted(
            Busy(path, _what(habit), habit.restless_since or now, habit.look_at)
            for path, habit in self._snapshot()
            if now >= _busy_at(habit)
        )

    # --- how

    def _add(self, path: str, now: float) -> _Habit:
        habit = self._habits[path] = _Habit(now)
        if len(self._habits) > 2 * HABITS_MAX:
            kept = list(self._habits.items())[-HABITS_MAX:]
            self._habits = {**self._waiting, **dict(kept)}
        return habit

    def _note_change(self, path: str, habit: _Habit, now: float) -> None:
        if now - habit.changed_at >= max(habit.distance, DISTANCE_SECONDS_MIN):
            habit.distance = 0.0
            if path not in self._waiting:
                habit.restless_since = None
        habit.changed_at = now

    def _snapshot(self) -> Iterator[tuple[str, _Habit]]:
        """Settling goes on in a thread meanwhile."""
        return iter(list(self._waiting.items()))


def _what(habit: _Habit) -> str:
    return habit.unfinished or (_OPEN if habit.is_open else _OFTEN)


def _ready_at(habit: _Habit, seen: Glimpse) -> float:
    """When the file may be read, as far as it is open or unfinished."""
    if seen.unfinished:
        return inf
    if not seen.is_open:
        return -inf
    begun = max(habit.open_since, habit.read_at)
    longest = begun + min(RESTLESS_SECONDS_MIN * 2.0 ** min(habit.open_reads, 16), RESTLESS_SECONDS_MAX)
    if habit.shrunk and not seen.whole:
        return min(habit.quiet_since + EMPTIED_PATIENCE_SECONDS, longest)
    if seen.recorded is not None and seen.size > seen.recorded:
        return begun + OPEN_PATIENCE_SECONDS
    return min(max(begun + OPEN_PATIENCE_SECONDS, habit.quiet_since + OPEN_QUIET_SECONDS), longest)


def _pause(waited: float) -> float:
    """Until an open file is looked at again: a watcher tells mostly before that when it is closed."""
    return min(max(waited, OPEN_LOOK_SECONDS_MIN), OPEN_LOOK_SECONDS_MAX)


def _busy_at(habit: _Habit) -> float:
    return (habit.restless_since or 0.0) + BUSY_SECONDS


def _times(habit: _Habit, now: float) -> Iterator[float]:
    yield habit.look_at
    if now < _busy_at(habit):
        yield _busy_at(habit)
