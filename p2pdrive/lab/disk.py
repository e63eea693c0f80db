"""One machine's disk in memory, with one drive's root on it: what a person does there, and what befalls it.

Paths are drive-relative. Errors are OSError, as a person's programs see them. The engine comes in by
``lab/files.py``. All is synchronous; all that is random comes from the generator that is given.
"""

import copy
import errno
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from p2pdrive.folder.temporary import PATH as TEMPORARY_PATH
from p2pdrive.lab.acts import Acts, Shown
from p2pdrive.lab.inodes import MAY_ALL, MAY_NOTHING, MAY_READ, Directory, File, os_error
from p2pdrive.lab.volume import Volume

__all__ = ["Disk", "Killed", "Shown"]


class Killed(BaseException):
    """The process is gone: raised through whatever code of the engine was at work."""


@dataclass
class _Fault:
    error: Exception
    times: int


class Disk(Acts):
    """A volume, a person at it, and its faults.

    ``hook(when, operation, path)`` is called around each operation of the engine ("before", "after") and
    before each of its steps (``lab/files.py`` names them); a person may act in it, or it may raise.
    ``on_undone_move(old, new)`` is called when the engine has renamed a file and taken that back.
    ``grain_ns`` is how coarse the clock of the file system is, at 1 no two changes have the same time;
    ``stored_ns`` how coarse times are kept that somebody sets (2 s on FAT). ``modern``: it has the calls of
    ``folder/syscalls.py``, else only what every POSIX system has. ``capacity`` in bytes. ``short_reads``: a
    read may give fewer bytes than there are.
    """

    def __init__(
        self,
        random: Random,
        now_ns: Callable[[], int],
        *,
        grain_ns: int = 1,
        folds_case: bool = False,
        capacity: int = 1 << 30,
        stored_ns: int = 1,
        modern: bool = True,
    ) -> None:
        super().__init__(Volume(random, now_ns, grain_ns, folds_case, capacity), stored_ns)
        self.random = random
        self.hook: Callable[[str, str, str], None] = _nothing
        self.on_undone_move: Callable[[str, str], None] = _nothing
        self.modern = modern
        self.short_reads = False
        self.runs = 0  # a process that has opened the folder lives while this stays
        self._faults: dict[tuple[str, str], _Fault] = {}
        self._make(TEMPORARY_PATH)
        self.volume.sync_all()

    @property
    def capacity(self) -> int:
        """Bytes that fit on it."""
        return self.volume.capacity

    @capacity.setter
    def capacity(self, value: int) -> None:
        self.volume.capacity = value

    # --- faults
    def vanish(self) -> None:
        """The root is unmounted: an empty folder is in its place."""
        self.present = False

    def reappear(self) -> None:
        """The root is back as it was."""
        self.present = True

    def fail(self, operation: str, path: str, error: Exception, times: int = 1) -> None:
        """The next times the engine does ``operation`` at ``path`` ("*": anywhere), ``error`` is raised.

        What the Protocol ``Files`` says may be raised, or an OSError, which becomes that. A step or an
        operation of a handle may fail too; a temporary's path is its name.
        """
        self._faults[operation, path] = _Fault(error, times)

    def work(self) -> None:
        """Nothing fails any more."""
        self._faults.clear()

    def forbid(self, path: str, *, reading: bool = True) -> None:
        """The engine may not write there any more; nor read, and nothing below, with ``reading``."""
        self._permit(path, MAY_NOTHING if reading else MAY_READ)

    def allow(self, path: str) -> None:
        """The engine has its permission again."""
        self._permit(path, MAY_ALL)

    def rot(self, path: str) -> None:
        """A byte of a file turns, and nothing else tells of it."""
        file = self._file(path)
        data = bytearray(file.content())
        if data:
            data[self.random.randrange(len(data))] ^= self.random.randrange(1, 256)
            file.data = bytes(data)
            if file.durable is not None:
                file.durable = file.durable._replace(data=file.data)

    def kill(self) -> None:
        """The engine is gone (kill -9): nothing is lost, and it does nothing any more.

        Whatever it still calls raises Killed, so that its own tidying up changes nothing either. If a hook
        raises Killed, that has the same effect.
        """
        self.runs += 1
        for _, inode in self.volume.walk():
            if isinstance(inode, File):
                inode.leased = False
                inode.writers = inode.opens = sum(held is inode for held in self.held.values())

    def crash(self) -> set[str]:
        """Power loss; the paths that show something else than before.

        See ``Volume`` for what may be lost of names, and ``File.survive`` for contents: what was not synced
        is old, new, or torn page by page.
        """
        before = self.tree()
        self.kill()
        self.held.clear()
        self.unfinished.clear()
        self.volume.crash()
        self.changes.clear()
        after = self.tree()
        return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}

    def contents(self) -> set[bytes]:
        """Of all files, those in the temporary area too."""
        return {bytes(inode.data) for _, inode in self.volume.walk() if isinstance(inode, File)}

    def snapshot(self) -> object:
        """All that is on the disk, to be restored here or on another one."""
        for _, inode in self.volume.walk():
            if isinstance(inode, File):
                inode.content()
        return _Snapshot(_copied(self.volume.root))

    def restore(self, snapshot: object, *, image: bool = False) -> None:
        """Replace everything by what was there then, copied back by a tool; as an ``image`` of the disk,
        inode numbers and ctimes are those of then too. Nothing that runs survives it."""
        assert isinstance(snapshot, _Snapshot)
        self.kill()
        self.held.clear()
        self.unfinished.clear()
        self.volume.replace(_copied(snapshot.root), keeping=image)
        self.changes.clear()

    # --- for lab/files.py
    def step(self, when: str, operation: str, path: str, run: int) -> None:
        """The process ``run`` is about to do this, or has done it. Raises Killed, and injected faults."""
        if run != self.runs:
            raise Killed
        try:
            self.hook(when, operation, path)
        except Killed:
            self.kill()
            raise
        if run != self.runs:
            raise Killed
        if self._faults and when == "before":
            self._raise_fault(operation, path)

    # --- how
    def _raise_fault(self, operation: str, path: str) -> None:
        for key in ((operation, path), (operation, "*")):
            found = self._faults.get(key)
            if found is None:
                continue
            found.times -= 1
            if found.times <= 0:
                del self._faults[key]
            raise copy.copy(found.error)

    def _permit(self, path: str, denied: int) -> None:
        found = self._find(path)
        if found is None:
            raise os_error(errno.ENOENT, path)
        found.denied = denied
        found.changed(self.volume.stamp())
        self.note(path)


@dataclass(frozen=True)
class _Snapshot:
    root: Directory


def _copied(root: Directory) -> Directory:
    """A copy of the tree; contents are shared."""
    made = copy.copy(root)
    made.entries = {
        key: (name, _copied(inode) if isinstance(inode, Directory) else copy.copy(inode))
        for key, (name, inode) in root.entries.items()
    }
    made.durable = {}
    return made


def _nothing(*_what: str) -> None:
    pass
