"""The simulated file system: names, and which changes to them would survive a power cut.

A change of names is atomic, whatever directories it touches: making, removing, renaming, exchanging. It is
durable once one of its directories was synced, and with it all that came before it in any of its
directories. Of the rest, at a power cut, each directory keeps the changes up to some moment; a change
survives in all its directories or in none. A directory is touched by being made and removed, so what is
in it is never on the platter without it; and it is moved only after all that came before, as no file system
lets a directory get below itself. Contents are another matter: ``File.survive``.

Errors are OSError, as the system calls give them.
"""

import errno
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from random import Random

from p2pdrive.lab.inodes import MAY_NOTHING, Directory, Entry, File, Inode, os_error

#: Of more changes than this the older half is durable: any system writes back in the end.
_PENDING_MAX = 4096
#: A coarse clock ticks at no round times, but where its grain is a second or more, as on FAT.
_PHASE_NS = 123_457


class Volume:
    """A tree of inodes below ``root``, its clock, and its space of ``capacity`` bytes, ``used`` of them."""

    def __init__(
        self, random: Random, now_ns: Callable[[], int], grain_ns: int, folds_case: bool, capacity: int
    ) -> None:
        self.random = random
        self.folds_case = folds_case
        self.capacity = capacity
        self.used = 0
        self._now_ns = now_ns
        self._grain_ns = grain_ns
        self._phase_ns = _PHASE_NS if grain_ns < 10**9 else 0
        self._last_ns = 0
        self._numbers = 1
        self._freed: list[int] = []
        self._pending: list[_Change] = []
        self.root = Directory(self._numbers, self.stamp())
        self.root.links = 1
        self.modeless = False  # whether it keeps no modes

    # --- time and numbers
    def stamp(self) -> int:
        """The time of a change: never the same twice, but where times are coarse."""
        self._last_ns = now = max(self._now_ns(), self._last_ns + 1)
        return now - (now - self._phase_ns) % self._grain_ns

    def number(self) -> int:
        """For a new inode; that of the last one that is gone, as many file systems do it."""
        if self._freed:
            return self._freed.pop()
        self._numbers += 1
        return self._numbers

    # --- looking
    def key(self, name: str) -> str:
        """Under which a directory has ``name``: two names of one key are the same."""
        return unicodedata.normalize("NFD", name).casefold() if self.folds_case else name

    def find(self, path: str, checked: bool = False) -> Inode | None:
        """What is at ``path``, through no symlink; None if nothing is, or something is no directory.

        ``checked`` raises PermissionError where a directory on the way may not be entered.
        """
        found: Inode = self.root
        if not path:
            return found
        for name in path.split("/"):
            if not isinstance(found, Directory):
                return None
            if checked and found.denied == MAY_NOTHING:
                raise os_error(errno.EACCES, path)
            entry = found.entries.get(self.key(name) if self.folds_case else name)
            if entry is None:
                return None
            found = entry[1]
        return found

    def parent(self, path: str, checked: bool = False) -> tuple[Directory, str]:
        """The directory that holds ``path``, and the name there. Raises where there is no such directory."""
        above, _, name = path.rpartition("/")
        directory = self.find(above, checked)
        if directory is None:
            raise os_error(errno.ENOENT, path)
        if not isinstance(directory, Directory):
            raise os_error(errno.ENOTDIR, path)
        if checked and directory.denied == MAY_NOTHING:
            raise os_error(errno.EACCES, path)
        return directory, name

    def look(self, directory: Directory, name: str) -> Inode | None:
        """What has ``name`` in ``directory``."""
        entry = directory.entries.get(self.key(name))
        return None if entry is None else entry[1]

    def there(self, directory: Directory, name: str) -> Inode:
        """The same; raises FileNotFoundError where there is nothing."""
        found = self.look(directory, name)
        if found is None:
            raise os_error(errno.ENOENT, name)
        return found

    def walk(self, directory: Directory | None = None, above: str = "") -> Iterator[tuple[str, Inode]]:
        """Everything below, by path, a directory before what is in it."""
        start = directory or self.root
        for name, inode in sorted(start.entries.values(), key=lambda entry: entry[0]):
            path = f"{above}/{name}" if above else name
            yield path, inode
            if isinstance(inode, Directory):
                yield from self.walk(inode, path)

    # --- changing names
    def link(self, directory: Directory, name: str, inode: Inode) -> None:
        """Give ``inode`` a free name. Raises FileExistsError, FileNotFoundError."""
        if self.look(directory, name) is not None:
            raise os_error(errno.EEXIST, name)
        self._entered(directory, name)
        extra = (inode,) if isinstance(inode, Directory) else ()
        self._change([(directory, self.key(name), (name, inode))], extra)

    def unlink(self, directory: Directory, name: str) -> None:
        """Take a name from what is no directory."""
        if isinstance(self.there(directory, name), Directory):
            raise os_error(errno.EISDIR, name)
        self._change([(directory, self.key(name), None)])

    def remove_directory(self, directory: Directory, name: str) -> None:
        """Remove an empty directory."""
        found = self.there(directory, name)
        if not isinstance(found, Directory):
            raise os_error(errno.ENOTDIR, name)
        if found.entries:
            raise os_error(errno.ENOTEMPTY, name)
        self._change([(directory, self.key(name), None)], (found,))

    def rename(self, old: Directory, name: str, new: Directory, target: str) -> None:
        """Rename as the system call does, in place of what is at ``target``."""
        moved, there = self.there(old, name), self.look(new, target)
        if there is moved and (old is not new or self.key(name) != self.key(target)):
            return
        if there is not None and there is not moved:
            if isinstance(there, Directory) != isinstance(moved, Directory):
                raise os_error(errno.EISDIR if isinstance(there, Directory) else errno.ENOTDIR, target)
            if isinstance(there, Directory) and there.entries:
                raise os_error(errno.ENOTEMPTY, target)
        self._move(old, name, new, target, moved)

    def rename_new(self, old: Directory, name: str, new: Directory, target: str) -> None:
        """The same to a name that is free, or FileExistsError."""
        moved = self.there(old, name)
        if self.look(new, target) is not None:
            raise os_error(errno.EEXIST, target)
        self._move(old, name, new, target, moved)

    def exchange(self, one: Directory, name: str, other: Directory, target: str) -> None:
        """Swap what two names lead to. Raises FileNotFoundError."""
        first, second = self.there(one, name), self.there(other, target)
        self._change([(one, self.key(name), (name, second)), (other, self.key(target), (target, first))])
        now = self.stamp()
        first.changed(now)
        second.changed(now)

    def put(self, directory: Directory, name: str, inode: Inode) -> None:
        """Give ``inode`` a name, in place of what is no directory there."""
        if isinstance(self.look(directory, name), Directory):
            raise os_error(errno.EISDIR, name)
        self._entered(directory, name)
        self._change([(directory, self.key(name), (name, inode))])

    # --- space
    def charge(self, file: File, number: int) -> None:
        """Take space for ``number`` bytes about to be written. Raises OSError (ENOSPC)."""
        if number > self.capacity - self.used:
            raise os_error(errno.ENOSPC, "")
        if file.links:
            self.used += number
        file.charge += number

    def settle(self, file: File) -> None:
        """A file takes no more space than its size."""
        if (over := file.charge - len(file.data)) > 0:
            file.charge -= over
            if file.links:
                self.used -= over

    # --- durability
    def sync_directories(self, directories: Iterable[Directory]) -> None:
        """Make all changes so far in these durable, and what they rest on."""
        wanted: set[Directory] = set(directories)
        for directory in wanted:
            directory.sync()
        everything = False
        durable: list[_Change] = []
        left: list[_Change] = []
        for change in reversed(self._pending):
            if everything or not wanted.isdisjoint(change.touched):
                wanted.update(change.touched)
                everything |= change.barrier
                durable.append(change)
            else:
                left.append(change)
        for change in reversed(durable):
            _write(change)
        self._pending = left[::-1]

    def sync_all(self) -> None:
        """Make everything durable."""
        self._write_back(len(self._pending))
        for _, inode in self.walk():
            if isinstance(inode, File | Directory):
                inode.sync()

    def crash(self) -> None:
        """Become what a power cut may have left; all of that is durable then."""
        touched = {directory: None for change in self._pending for directory in change.touched}
        for directory in touched:
            directory.entries = dict(directory.durable)
        survivors = _survivors(self.random, self._pending)
        self._pending = []
        for change in survivors:
            _write(change)
        for directory in touched:
            directory.entries = dict(directory.durable)
            directory.known = None
        for _, inode in self.walk():
            if isinstance(inode, File | Directory):
                inode.survive(self.random)
        self.recount()

    def replace(self, root: Directory, keeping: bool) -> None:
        """Another tree in place of this one, all of it durable; ``keeping`` its numbers and ctimes.

        What comes from a disk that keeps no modes has none.
        """
        self._pending = []
        self._freed = []
        self.root = root
        for inode in (root, *(inode for _, inode in self.walk())):
            if inode.modeless:
                inode.private = False
                if isinstance(inode, File):
                    inode.executable = False
            inode.modeless = self.modeless
            if not keeping:
                inode.number = self.number()
                inode.changed(self.stamp())
            self._numbers = max(self._numbers, inode.number)
            self._last_ns = max(self._last_ns, inode.ctime_ns)
            if isinstance(inode, Directory):
                inode.durable = dict(inode.entries)
                inode.sync()
            elif isinstance(inode, File):
                inode.writers, inode.opens, inode.leased = 0, 0, False
                inode.sync()
        self.recount()

    def recount(self) -> None:
        """Count links and space anew. What came back under a number that is taken again gets another."""
        inodes = [inode for _, inode in self.walk()]
        stayed = {inode for inode in inodes if inode.links}
        taken = {inode.number for inode in stayed}
        for inode in inodes:
            inode.links = 0
        self._freed = []
        self.used = 0
        for inode in inodes:
            inode.links += 1
            inode.known = None
            if inode.links > 1:
                continue
            if inode.number in taken and inode not in stayed:
                inode.number = self.number()
                inode.known = None
            taken.add(inode.number)
            if isinstance(inode, File):
                inode.charge = len(inode.data)
                self.used += inode.charge

    # --- how
    def _entered(self, directory: Directory, name: str) -> None:
        if not directory.links:  # removed, and still held open
            raise os_error(errno.ENOENT, name)

    def _move(self, old: Directory, name: str, new: Directory, target: str, moved: Inode) -> None:
        self._entered(new, target)
        if isinstance(moved, Directory) and self._is_within(moved, new):
            raise os_error(errno.EINVAL, target)
        edits: list[_Edit] = [(old, self.key(name), None), (new, self.key(target), (target, moved))]
        self._change(edits, barrier=isinstance(moved, Directory))
        moved.changed(self.stamp())

    def _is_within(self, outer: Directory, inner: Directory) -> bool:
        return outer is inner or any(inode is inner for _, inode in self.walk(outer))

    def _change(self, edits: "list[_Edit]", extra: tuple[Directory, ...] = (), barrier: bool = False) -> None:
        """Do it, and note what it would take to make it durable."""
        now = self.stamp()
        gone: list[Inode] = []
        for directory, key, entry in edits:
            before = directory.entries.pop(key, None)
            if before is not None:
                gone.append(before[1])
            if entry is not None:
                directory.entries[key] = entry
                entry[1].modeless = self.modeless
                entry[1].links += 1
                if entry[1].links > 1:
                    entry[1].changed(now)
                elif isinstance(entry[1], File):
                    self.used += entry[1].charge
            directory.mtime_ns = now
            directory.changed(now)
        for inode in gone:
            inode.links -= 1
            if inode.links:
                inode.changed(now)
            else:
                self._release(inode)
        self._pending.append(_Change(edits, extra, barrier))
        if len(self._pending) > _PENDING_MAX:
            self._write_back(_PENDING_MAX // 2)

    def _release(self, inode: Inode) -> None:
        """Its last name is gone; its number stays taken while somebody has it open."""
        if isinstance(inode, File):
            self.used -= inode.charge
        if not inode.opens:
            self._freed.append(inode.number)

    def _write_back(self, number: int) -> None:
        for change in self._pending[:number]:
            _write(change)
        del self._pending[:number]


_Edit = tuple[Directory, str, Entry | None]


class _Change:
    """Edits made together; the directories ``touched`` order it among others, a ``barrier`` is after all."""

    __slots__ = ("barrier", "edits", "touched")

    def __init__(self, edits: list[_Edit], extra: tuple[Directory, ...], barrier: bool) -> None:
        self.edits = edits
        self.touched = (*(edit[0] for edit in edits), *extra)
        self.barrier = barrier


def _write(change: _Change) -> None:
    """To the platter."""
    for directory, key, entry in change.edits:
        directory.durable.pop(key, None)
        if entry is not None:
            directory.durable[key] = entry


def _survivors(random: Random, pending: list[_Change]) -> list[_Change]:
    """A legal choice of what reached the platter: all, none, all up to a moment, or each up to its own."""
    match random.choice(("all", "nothing", "journal", "each", "each")):
        case "all":
            return pending
        case "nothing":
            return []
        case "journal":
            return pending[: random.randint(0, len(pending))]
    counts = Counter(directory for change in pending for directory in change.touched)
    left = {directory: random.randint(0, count) for directory, count in counts.items()}
    kept: list[_Change] = []
    lost: set[Directory] = set()
    for change in pending:
        late = any(left[directory] <= 0 for directory in change.touched)
        if late or (change.barrier and lost) or not lost.isdisjoint(change.touched):
            lost.update(change.touched)
        else:
            kept.append(change)
        for directory in change.touched:
            left[directory] -= 1
    return kept
