"""When a deletion that was found may be told to others; pure.

A path that is gone has one of two causes: a person deleted it, or the whole folder is going (``rm -rf``, a
move to another disk, file by file). The first few deletions look alike. So each waits a moment, and more than
a handful at once (a burst) wait until they have paused: by then a folder that was going is gone, and its
deletions are dropped. A path that is back before its time was edited, or never deleted. One whose file may be
there under another name, which only a long reading tells, is held apart for as long.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from p2pdrive.limits import (
    BURST_DELETIONS_MIN,
    BURST_REST_SECONDS,
    BURST_WINDOW_SECONDS,
    DELETION_MOMENT_SECONDS,
    DELETIONS_HELD_MAX,
    SLOW_DELETIONS_SECONDS,
)
from p2pdrive.model import paths


class Gone(NamedTuple):
    """The file or directory at ``path`` is gone. ``age``: seconds since its content was last known to be
    there. ``is_copy``: it was a conflict copy."""

    path: str
    age: float = 0.0
    is_copy: bool = False


class Deletions:
    """The deletions of one drive that nobody was told of yet. Times are seconds of one steady clock.

    ``left_out``: how many more there were than can be held; a look at the whole folder finds those again.
    """

    def __init__(self) -> None:
        self._held: dict[str, bool] = {}  # whether it is a copy
        self._apart: dict[str, bool] = {}  # the same, of what may be renamed; and of directories above that
        self._above = Counter[str]()  # directory → how many are held apart of what was in it
        self._recent: deque[float] = deque(maxlen=BURST_DELETIONS_MIN)
        self._moments: deque[float] = deque(maxlen=BURST_DELETIONS_MIN)  # when some came after a pause
        self._first = 0.0  # when the first was found of those that wait
        self._last = 0.0  # when the last one was found that makes the others wait
        self._burst_since: float | None = None  # set from the first deletion of a burst to its end
        self.left_out = 0

    def __len__(self) -> int:
        return len(self._held) + self.left_out

    def __contains__(self, path: str) -> bool:
        return path in self._held or path in self._apart

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def find(self, gone: Gone, now: float) -> None:
        """``gone`` was found; twice is once."""
        if gone.path in self:
            return
        if not self:
            self._first, self._burst_since = now, None
        if len(self._held) >= DELETIONS_HELD_MAX:
            self.left_out += 1
        else:
            self._held[gone.path] = gone.is_copy
        if self._burst_since is not None and now - gone.age > self._burst_since:
            return  # a program makes and deletes files all the time: that is no folder that goes
        if not self._moments or now - self._last > DELETION_MOMENT_SECONDS:
            self._moments.append(now)
        self._last = now
        self._recent.append(now)
        if self._burst_since is None and len(self._recent) == BURST_DELETIONS_MIN:
            first = self._recent[0]
            self._burst_since = first if now - first <= BURST_WINDOW_SECONDS else None

    def forget(self, settled: Iterable[str], now: float) -> None:
        """These paths were decided in another way: they are back, or were renamed."""
        if self._held or self._apart:
            for path in settled:
                self._held.pop(path, None)
                self._leave_apart(path, now)

    def hold_apart(self, may_be_renamed: Callable[[str], bool]) -> bool:
        """Hold these apart until they are set ``free``, and the directories above them; whether there are
        any. They are not counted, nor told."""
        before = len(self._apart)
        for moved in (may_be_renamed, self._above.__contains__):
            for path in [path for path in self._held if moved(path)]:
                self._apart[path] = self._held.pop(path)
                self._above.update(paths.ancestors(path))
        return len(self._apart) > before

    def free(self, named: Iterable[str], now: float) -> None:
        """What is held apart of these is no rename: it was found gone just now."""
        for path in named:
            if (is_copy := self._leave_apart(path, now)) is not None:
                self.find(Gone(path, is_copy=is_copy), now)

    def _leave_apart(self, path: str, now: float) -> bool | None:
        """Whether it is a copy; None if it was not held apart. A directory is free with its last inside."""
        if (is_copy := self._apart.pop(path, None)) is None:
            return None
        for directory in paths.ancestors(path):
            self._above[directory] -= 1
            if not self._above[directory]:
                del self._above[directory]
                self.free([directory], now)
        return is_copy

    def due(self) -> float | None:
        """When they may be told, if no more are found until then; None where none waits."""
        if not self:
            return None
        if self._burst_since is not None:
            return self._last + BURST_REST_SECONDS
        # Who removes a folder slowly makes no burst: each deletion waits longer than the one before.
        before = sum(self._last - at <= BURST_WINDOW_SECONDS for at in self._moments) - 1
        rest = min(DELETION_MOMENT_SECONDS * 2.0**before, BURST_REST_SECONDS)
        return min(self._last + rest, max(self._last, self._first + SLOW_DELETIONS_SECONDS))

    def postpone(self, now: float) -> None:
        """Something else seems to be going on: wait for as long again."""
        self._last = now

    def take(self) -> list[str]:
        """All that are held, and are held no more.

        Copies come first, as whoever deleted one saw what was beside it; then the rest, the inside of a
        directory before itself.
        """
        held, self._held = self._held, {}
        self._burst_since, self.left_out = None, 0
        return sorted(held, key=lambda path: (not held[path], paths.inside_first(path)))
