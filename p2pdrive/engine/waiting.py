"""The files of one drive that are not at rest: they are looked at again as soon as they are."""

from collections.abc import Callable, Iterable

import trio

from p2pdrive.engine.databases import main_of, why_unfinished
from p2pdrive.engine.replica import Replica
from p2pdrive.errors import Unreadable
from p2pdrive.limits import OPEN_LOOK_SECONDS_MIN
from p2pdrive.planning.patience import Patience


class Waiting:
    """Wakes when a file may be read that had to wait. ``patience`` says which those are, and when.

    ``look_at`` is called with paths to look at now; ``moved`` when it may be another set that waits.
    """

    def __init__(
        self, replica: Replica, look_at: Callable[[Iterable[str]], None], moved: Callable[[], None]
    ) -> None:
        self.patience = Patience()
        self._replica = replica
        self._look_at = look_at
        self._moved = moved
        self._named: set[str] = set()
        self._news = trio.Event()

    def sift(self, named: Iterable[str]) -> list[str]:
        """``named``, as changes were heard of there, without the files that wait; unless they need not wait
        any more, which is found out at once."""
        now = trio.current_time()
        go = list[str]()
        for path in named:
            main = main_of(path)
            if self.patience.note_named(path, now):
                self._named.add(path)
            elif main and self.patience.note_named(main, now):
                self._named.add(main)  # which is looked at for both
            else:
                go.append(path)
        if self._named:
            self._news.set()
        return go

    def wake(self) -> None:
        """Other files wait now."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        brief = False
        while True:
            now = trio.current_time()
            with trio.move_on_at(max(self.patience.next_at(now), now + OPEN_LOOK_SECONDS_MIN / 10)):
                await self._news.wait()
            self._news = trio.Event()
            named, self._named = self._named, set()
            over = await self._replica.services.offload(self._over, named) if named else []
            now = trio.current_time()
            self._look_at([*over, *self.patience.take_due(now)])
            if brief is not (brief := self.patience.is_brief(now)):
                self._moved()

    def _over(self, named: Iterable[str]) -> list[str]:
        """Those that are gone, or closed and whole; and all that wait and are other names of these, as a
        watcher tells of one name. Raises RootMissing."""
        files = self._replica.files
        stats = files.stats(named)
        over = [path for path in named if stats.get(path) is None or self._is_closed(path)]
        linked = {stat.inode for path in over if (stat := stats.get(path)) is not None and stat.links > 1}
        if linked:
            others = files.stats(self.patience.all().difference(over))
            over += [path for path, stat in others.items() if stat is not None and stat.inode in linked]
        return over

    def _is_closed(self, path: str) -> bool:
        if not self.patience.waits_to_be_closed(path):
            return False
        try:
            if self._replica.files.being_written(path):
                return False
            return not self.patience.is_unfinished(path) or not why_unfinished(self._replica.files, path)
        except Unreadable:
            return True  # which the look says
