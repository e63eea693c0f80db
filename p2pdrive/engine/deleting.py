"""Publishing deletions once it is certain that persons made them (see ``planning/deletions.py``)."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable

import trio

from p2pdrive.engine.replica import Replica
from p2pdrive.engine.tasks import Settled
from p2pdrive.limits import DELETED_LATELY_SECONDS
from p2pdrive.model import paths
from p2pdrive.planning.deletions import Deletions


class Deleting:
    """The deletions of one drive that wait to be published.

    ``settle(paths)`` settles them, with ``permits`` true of them; ``look_at(paths)`` has paths looked at
    soon; ``changed`` is called when ``count`` has changed. What ``may_be_renamed`` waits until it is set
    ``free``, and does not count meanwhile. A deletion that still waits when the drive closes
    is dropped: the next start finds it again.
    """

    def __init__(
        self,
        replica: Replica,
        settle: Callable[[list[str]], Awaitable[None]],
        look_at: Callable[[Iterable[str]], None],
        changed: Callable[[], None],
        may_be_renamed: Callable[[str], bool],
    ) -> None:
        self._replica = replica
        self._settle = settle
        self._look_at = look_at
        self._changed = changed
        self._may_be_renamed = may_be_renamed
        self._deletions = Deletions()
        self._publishing: set[str] = set()
        self._looked_at: set[str] = set()  # directories above, for the sake of those that wait now
        self._found = trio.Event()
        self._told: deque[tuple[float, int]] = deque()  # when the others were told of how many

    @property
    def count(self) -> int:
        """How many deletions nobody was told of yet."""
        return len(self._deletions) + len(self._publishing)

    @property
    def told_lately(self) -> int:
        """Of how many deletions the others were told in the last minute."""
        while self._told and self._told[0][0] < trio.current_time() - DELETED_LATELY_SECONDS:
            self._told.popleft()
        return sum(count for _, count in self._told)

    def permits(self, path: str) -> bool:
        """Whether the deletion of ``path`` may be published now."""
        return path in self._publishing

    def unknown(self, missing: Iterable[str]) -> list[str]:
        """``missing`` without those whose deletions wait already."""
        return [path for path in missing if path not in self._deletions]

    def note(self, settled: Settled) -> None:
        """What became known of deletions as paths were settled."""
        now, before = trio.current_time(), self.count
        if told := min(settled.published, len(self._publishing.intersection(settled.well))):
            self._told.append((now, told))
        self._deletions.forget(settled.well, now)
        for gone in settled.gone:
            self._deletions.find(gone, now)
        if settled.gone or self.count > before:
            self._found.set()
            self._changed()

    def free(self, named: Iterable[str]) -> None:
        """What was at these paths may not be renamed any more, as far as we know."""
        before = self.count
        self._deletions.free(named, trio.current_time())
        if self.count > before:
            self._found.set()
            self._changed()

    async def run(self) -> None:
        """Publish what has waited for long enough, until cancelled. Raises RootMissing where the folder, or
        its state, is not whole: nothing was published then."""
        while True:
            await self._found.wait()
            due = self._deletions.due()
            if due is None:
                self._found = trio.Event()
            elif trio.current_time() < due:
                await trio.sleep_until(due)
            else:
                await self._publish()

    async def _publish(self) -> None:
        if self._deletions.hold_apart(self._may_be_renamed):
            self._changed()
        gone = await self._replica.services.offload(_gone_above, self._replica, list(self._deletions))
        now = trio.current_time()
        due = self._deletions.due()
        if due is None or now < due:
            return  # more were found meanwhile
        if news := gone - self._looked_at:
            self._looked_at |= news
            self._deletions.postpone(now)
            self._look_at(news)
            return
        self._looked_at.clear()
        left_out = self._deletions.left_out
        named = self._deletions.take()
        self._publishing = set(named)
        try:
            await self._settle(named)
        finally:
            self._publishing = set()
        if left_out:
            self._look_at([""])
        self._changed()


def _gone_above(replica: Replica, named: list[str]) -> set[str]:
    """The directories above ``named`` that are gone too, though nobody has noticed. Raises RootMissing."""
    replica.check_whole()
    above = {directory for path in named for directory in paths.ancestors(path)}.difference(named)
    gone = [path for path, stat in replica.files.stats(above).items() if stat is None]
    if not gone:
        return set()
    with replica.reading() as log:
        return set(log.entries.get_many(gone))
