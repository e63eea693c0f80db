"""What keeps single paths from being synced, since when, and when to try again."""

from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum

from p2pdrive.folder.exact import alike
from p2pdrive.limits import (
    HELD_PATIENCE_SECONDS,
    HELD_RETRY_SECONDS_MAX,
    RETRY_SECONDS_MAX,
    RETRY_SECONDS_MIN,
)
from p2pdrive.model import paths
from p2pdrive.model.problem import Problem


class Kind(Enum):
    """How a problem ends: the path is settled well; a scan finds it no more; not before the next start.

    SHOWN was met when the folder was changed, where nothing else kept the path from being settled. HELD is
    the same, but over as soon as a program closes a file: so soon, mostly, that nobody needs to know.
    """

    SETTLED = 1
    SCANNED = 2
    LASTING = 3
    SHOWN = 4
    HELD = 5


_SETTLED = (Kind.SETTLED, Kind.SHOWN, Kind.HELD)


@dataclass(slots=True)
class _Trouble:
    what: str
    kind: Kind
    since_ns: int
    begun: float
    attempts: int = 0
    retry_at: float = 0.0


class Problems:
    """The problems of one drive, one a path; behind it may stand what a scan met there too. ``now_ns`` is
    wall time; ``loop_time`` are the seconds of the event loop's clock, on which tries are timed: each time
    the next one is twice as far.
    """

    def __init__(self, now_ns: Callable[[], int], loop_time: Callable[[], float]) -> None:
        self._now_ns = now_ns
        self._loop_time = loop_time
        self._troubles: dict[str, _Trouble] = {}
        self._inside: Counter[str] = Counter()  # how many of them are in each directory, however deep
        self._behind: dict[str, str] = {}  # what a scan met, of paths that have another problem as well

    def report(self, problem: Problem, kind: Kind = Kind.SETTLED) -> None:
        """Note a problem that was met now."""
        trouble = self._troubles.get(problem.path)
        if trouble is None:
            trouble = _Trouble(problem.what, kind, self._now_ns(), self._loop_time())
            self._troubles[problem.path] = trouble
            self._inside.update(paths.ancestors(problem.path))
        elif trouble.kind is Kind.SCANNED and kind in _SETTLED:
            self._behind[problem.path] = trouble.what
        trouble.what, trouble.kind = problem.what, kind
        self._postpone(trouble)

    def report_scanned(self, start: str, found: Iterable[Problem]) -> bool:
        """A scan of ``start`` and all that is in it met these problems, and no others. What is to be settled
        where one is goes on being tried again.

        Returns whether others have ended: what is still to be shown there need not wait any more.
        """
        found = list(found)
        named = {problem.path for problem in found}
        ended = {
            path
            for path, trouble in self._troubles.items()
            if trouble.kind is Kind.SCANNED and paths.within(path, start) and path not in named
        }
        for path in ended:
            self._end(path)
        self._hurry_around(ended)  # what is on a disk that is back, say
        self._behind = {path: what for path, what in self._behind.items() if not paths.within(path, start)}
        for problem in found:
            if problem.path in self._troubles and self._is_retried(problem.path):
                self._behind[problem.path] = problem.what
            else:
                self.report(problem, Kind.SCANNED)
        return bool(ended)

    def resolve(self, path: str) -> bool:
        """The path is settled well; what is above it or in it, and waited for it, is tried again now. Returns
        whether that has ended a problem of the path itself."""
        trouble = self._troubles.get(path)
        if trouble is None or trouble.kind not in _SETTLED:
            return False
        self._end(path)
        if path in self._behind:
            self.report(Problem(path, self._behind.pop(path)), Kind.SCANNED)
        self._hurry_around({path})
        return True

    def unblock(self, path: str) -> None:
        """Nothing but to show it keeps the path from being settled: that is tried now."""
        trouble = self._troubles.get(path)
        if trouble is not None and trouble.kind is Kind.SETTLED:
            self.hurry([path])

    def note_gone(self, named: Iterable[str]) -> bool:
        """Nothing is at these paths, which is no news of those that are tried again: what a scan met there is
        over, and what is above them or in them is tried again now. Returns whether there is any of that."""
        if not self._troubles:
            return False
        named = {*named}
        self._behind = {path: what for path, what in self._behind.items() if not _in_any(path, named)}
        gone = {path for path in named if path not in self._troubles or not self._is_retried(path)}
        over = [
            path
            for path, trouble in self._troubles.items()
            if trouble.kind is Kind.SCANNED and _in_any(path, gone)
        ]
        for path in over:
            self._end(path)
        return self._hurry_around(gone) or bool(over)

    def among(self, named: Iterable[str]) -> set[str]:
        """Those of ``named`` to look at for a problem's sake.

        It ends when they are settled well; what a scan met, when they or the directory that they are in are
        scanned.
        """
        worth = {path for path, trouble in self._troubles.items() if trouble.kind is not Kind.LASTING}
        worth |= {paths.parent(path) for path in worth if self._troubles[path].kind is Kind.SCANNED}
        return worth.intersection(named)

    def inside(self, directory: str) -> bool:
        """Whether anything in ``directory`` has a problem."""
        return directory in self._inside

    def waits(self, path: str, now: float | None = None) -> bool:
        """Whether it is too early to try ``path`` again. A thread has no loop time, and gives it: ``now``."""
        trouble = self._troubles.get(path)
        return trouble is not None and trouble.retry_at > (self._loop_time() if now is None else now)

    def lasts(self, path: str, seconds: float) -> bool:
        """Whether ``path`` has been tried again and again for as long."""
        trouble = self._troubles.get(path)
        return trouble is not None and self._is_retried(path) and self._loop_time() - trouble.begun >= seconds

    def due(self) -> tuple[list[str], list[str]]:
        """What to try again now: paths to settle, and directories to look into."""
        settle: list[str] = []
        look: list[str] = []
        now = self._loop_time()
        for path, trouble in self._troubles.items():
            if trouble.retry_at > now or trouble.kind is Kind.LASTING:
                continue
            if self._is_retried(path):
                settle.append(path)  # it is postponed when it fails again
            else:
                look.append(paths.parent(path))
                self._postpone(trouble)
        return settle, look

    def hurry(self, changed: Iterable[str] | None = None) -> None:
        """There is news of these paths (of all: a peer came): try them again now, and soon again, as what is
        reported next may have been met without the news."""
        for path in self._troubles if changed is None else changed:
            if path in self._troubles:
                self._troubles[path].attempts, self._troubles[path].retry_at = 0, 0.0

    def hurry_alike(self, named: Iterable[str]) -> bool:
        """A disk that takes names for one may have room for another now: try those again that have waited."""
        over = {alike(path) for path in named}
        waiting = [
            path for path in self._troubles if not over.isdisjoint(map(alike, (path, *paths.ancestors(path))))
        ]
        self.hurry(waiting)
        return bool(waiting)

    def paths(self) -> set[str]:
        """All that have a problem, be it a short one."""
        return {*self._troubles}

    def scanned(self) -> set[str]:
        """What a scan could not look at, or not into."""
        met = {path for path, trouble in self._troubles.items() if trouble.kind is Kind.SCANNED}
        return met.union(self._behind)

    def all(self) -> list[tuple[str, str, int]]:
        """(path, what, since in ns), by path."""
        patience_ends = self._loop_time() - HELD_PATIENCE_SECONDS
        return sorted(
            (path, trouble.what, trouble.since_ns)
            for path, trouble in self._troubles.items()
            if trouble.kind is not Kind.HELD or trouble.begun <= patience_ends
        )

    def _is_retried(self, path: str) -> bool:
        return self._troubles[path].kind in _SETTLED

    def _end(self, path: str) -> None:
        del self._troubles[path]
        for directory in paths.ancestors(path):
            self._inside[directory] -= 1
            if not self._inside[directory]:
                del self._inside[directory]

    def _hurry_around(self, named: AbstractSet[str]) -> bool:
        above = {directory for path in named for directory in paths.ancestors(path)}
        around = above.intersection(self._troubles)
        if any(self.inside(path) for path in named):
            around |= {path for path in self._troubles if not named.isdisjoint(paths.ancestors(path))}
        self.hurry(around)
        return bool(around)

    def _postpone(self, trouble: _Trouble) -> None:
        longest = HELD_RETRY_SECONDS_MAX if trouble.kind is Kind.HELD else RETRY_SECONDS_MAX
        pause = min(longest, RETRY_SECONDS_MIN * 2 ** min(trouble.attempts, 16))
        trouble.attempts += 1
        trouble.retry_at = self._loop_time() + pause


def _in_any(path: str, named: AbstractSet[str]) -> bool:
    """Whether ``path`` is one of ``named``, or in one."""
    return path in named or not named.isdisjoint(paths.ancestors(path))
