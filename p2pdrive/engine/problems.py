"""What keeps single paths from being synced, since when, and when to try again."""

from dataclasses import dataclass

from p2pdrive.limits import RETRY_SECONDS_MAX, RETRY_SECONDS_MIN
from p2pdrive.model.problem import Problem


@dataclass(slots=True)
class _Trouble:
    what: str
    since_ns: int
    attempts: int
    retry_at: float


class Problems:
    """The problems of one drive by path. Times to retry are on the event loop's clock, in seconds."""

    def __init__(self) -> None:
        self._troubles: dict[str, _Trouble] = {}

    def report(self, problem: Problem, now_ns: int, loop_time: float) -> bool:
        """Note a problem; each time it is met again the next try is twice as far. True if it is new."""
        trouble = self._troubles.get(problem.path)
        if trouble is None:
            trouble = self._troubles[problem.path] = _Trouble(problem.what, now_ns, 0, loop_time)
        new = trouble.attempts == 0 or trouble.what != problem.what
        trouble.what = problem.what
        pause = min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN * 2 ** min(trouble.attempts, 16))
        trouble.attempts += 1
        trouble.retry_at = loop_time + pause
        return new

    def resolve(self, path: str) -> None:
        """The path is well."""
        self._troubles.pop(path, None)

    def waits(self, path: str, loop_time: float) -> bool:
        """Whether it is too early to try ``path`` again."""
        trouble = self._troubles.get(path)
        return trouble is not None and trouble.retry_at > loop_time

    def next_retry(self) -> float | None:
        """When the first of them is to be tried again."""
        return min((trouble.retry_at for trouble in self._troubles.values()), default=None)

    def due(self, loop_time: float) -> list[str]:
        """The paths to try again now."""
        return [path for path, trouble in self._troubles.items() if trouble.retry_at <= loop_time]

    def hurry(self) -> None:
        """Something changed for the better (a peer came): try all again now."""
        for trouble in self._troubles.values():
            trouble.retry_at = 0.0

    def all(self) -> list[tuple[str, str, int]]:
        """(path, what, since in ns), by path."""
        return sorted((path, trouble.what, trouble.since_ns) for path, trouble in self._troubles.items())
