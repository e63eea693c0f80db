"""Reading large files apart from all deciding, one at a time: nobody's edit waits for a film to be hashed."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from heapq import heappop, heappush
from typing import NamedTuple

import trio

from p2pdrive.blocks.sparse import chunk_sparse
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.tasks import Settled
from p2pdrive.errors import Changed, Unreadable, WorldError
from p2pdrive.folder.files import Stat
from p2pdrive.model.manifest import Manifest


class Unread(Changed):
    """The file is so large that it is read apart: ``size`` bytes, of what may have been at ``origins``."""

    def __init__(self, path: str, size: int, origins: frozenset[str]) -> None:
        super().__init__(f"{path} is large, and is read apart.")
        self.size = size
        self.origins = origins


class Ahead(NamedTuple):
    """What a file had in it that was ``stat`` before, and may have changed since; read since ``began_ns``.
    Nothing is known where it could not be read; then ``why`` may say so."""

    path: str
    began_ns: int
    stat: Stat | None = None
    manifest: Manifest | None = None
    why: Unreadable | None = None


class ReadAhead:
    """The large files of one drive that are to be read, and what the last one had in it.

    ``settle(path)`` decides about a file that was read; ``changed`` is called when there are more or fewer;
    ``free`` with paths of which ``may_be_renamed`` is not true any more.
    """

    def __init__(
        self,
        replica: Replica,
        settle: Callable[[str], Awaitable[None]],
        changed: Callable[[], None],
        free: Callable[[Iterable[str]], None],
    ) -> None:
        self._replica = replica
        self._settle = settle
        self._changed = changed
        self._free = free
        self._pending: dict[str, tuple[int, frozenset[str]]] = {}  # path → bytes, where it may have been
        self._smallest: list[tuple[int, str]] = []  # a heap of those, and of some that are read
        self._origins = Counter[str]()  # of all that are pending
        self._news = trio.Event()
        self.last: Ahead | None = None

    @property
    def pending(self) -> Iterable[str]:
        """The files that are not read yet."""
        return self._pending.keys()

    def may_be_renamed(self, path: str) -> bool:
        """Whether one of the files may be what was at ``path``, so that nobody has deleted that."""
        return path in self._origins

    def add(self, wanted: Mapping[str, tuple[int, frozenset[str]]]) -> None:
        """Read these files soon: path → its bytes, and the paths of what it may be a rename of."""
        for path, (size, origins) in wanted.items():
            self._origins.update(origins)
            if (before := self._pending.get(path)) is None or before[0] != size:
                heappush(self._smallest, (size, path))
            if before is not None:
                self._leave(before[1])
            self._pending[path] = (size, origins)
        if wanted:
            self._news.set()
            self._changed()

    async def run(self) -> None:
        """Read, the smallest first, until cancelled."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            while self._smallest:
                size, path = heappop(self._smallest)
                if path not in self._pending or self._pending[path][0] != size:
                    continue  # it was read, or is of another size by now
                self.last = await self._replica.services.offload(self._read, path)
                wanted = self._pending[path]
                try:
                    await self._settle(path)
                finally:
                    if self._pending[path] is wanted:
                        del self._pending[path]
                        self._leave(wanted[1])
                    else:  # it is to be read once more
                        heappush(self._smallest, (self._pending[path][0], path))
                self.last = None
            self._changed()

    def _leave(self, origins: frozenset[str]) -> None:
        """One file fewer may have been at these paths."""
        self._origins.subtract(origins)
        free = [path for path in origins if not self._origins[path]]
        for path in free:
            del self._origins[path]
        self._free(free)

    def _read(self, path: str) -> Ahead:
        began = self._replica.services.now_ns()
        try:
            with self._replica.files.open(path) as handle:
                before = handle.stat()
                manifest = chunk_sparse(self._replica.chunker, handle, before.size)
                return Ahead(path, began, before, manifest)
        except Unreadable as error:
            return Ahead(path, began, why=error)
        except WorldError:
            pass  # the look that follows says what is wrong
        return Ahead(path, began)


def look_later(path: str, why: Changed, settled: Settled) -> None:
    """Ask for ``path`` to be read, or else to be looked at again soon."""
    if isinstance(why, Unread):
        settled.unread[path] = (why.size, why.origins)
    else:
        settled.again.append(path)
