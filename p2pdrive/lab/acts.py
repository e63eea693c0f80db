"""What a person does on a simulated disk, and what they see there.

Paths are drive-relative. Errors are OSError, as a person's programs see them.
"""

import errno
import os
from collections.abc import Callable, Iterator

from p2pdrive.folder.files import FileKind
from p2pdrive.lab.inodes import Directory, File, Inode, Link, Other, in_range, os_error
from p2pdrive.lab.volume import Volume
from p2pdrive.model.paths import STATE_DIRECTORY

#: ("file", bytes, executable, mtime_ns), ("link", target), ("directory",) or ("other",). Where the disk does
#: not keep it, executable is None.
Shown = tuple[object, ...]
_OWN = f"{STATE_DIRECTORY}/"


class Acts:
    """A person at ``volume``. ``changes`` are the paths that a watcher would name, until somebody takes
    them away; ``on_change`` is called when there are some again."""

    def __init__(self, volume: Volume, stored_ns: int) -> None:
        self.volume = volume
        self.stored_ns = stored_ns
        self.present = True
        self.changes: set[str] = set()
        self.on_change: Callable[[], None] = _nothing
        self.held: dict[str, File] = {}
        self.unfinished: set[str] = (
            set()
        )  # of those, the ones that are to be seen by nobody before they are closed

    def write(self, path: str, data: bytes, *, new_inode: bool = False, parents: bool = True) -> None:
        """Make or overwrite a file; with ``new_inode`` as editors do, by another file renamed over it.

        A symlink is replaced, not followed. In place, the file is first empty: see ``crash``.
        """
        if parents:
            self._make_parents(path)
        directory, name = self._parent(path)
        found = self.volume.look(directory, name)
        if isinstance(found, File) and not new_inode:
            self._overwrite(found, path, data)
            return
        made = File(self.volume.number(), self.volume.stamp())
        self._fill(made, data)
        if isinstance(found, File):
            made.executable, made.private = found.executable, found.private
        self.volume.put(directory, name, made)
        self.note(path)

    def append(self, path: str, data: bytes) -> None:
        """Write at the end."""
        file = self._file(path)
        self._overwrite(file, path, file.content() + data)

    def insert(self, path: str, offset: int, data: bytes) -> None:
        """Rewrite the file with ``data`` at ``offset``."""
        file = self._file(path)
        before = file.content()
        self._overwrite(file, path, before[:offset] + data + before[offset:])

    def rename(self, old: str, new: str, *, parents: bool = False) -> None:
        """As mv does: in place of a file at ``new``."""
        if parents:
            self._make_parents(new)
        self.volume.rename(*self._parent(old), *self._parent(new))
        self.note(old)
        self.note(new)

    def delete(self, path: str) -> None:
        """Remove what is no directory."""
        self.volume.unlink(*self._parent(path))
        self.note(path)

    def make_directory(self, path: str) -> None:
        """Make one; its parent must be there."""
        self._new(path, Directory(self.volume.number(), self.volume.stamp()))

    def remove_directory(self, path: str) -> None:
        """Remove an empty one."""
        self.volume.remove_directory(*self._parent(path))
        self.note(path)

    def remove_tree(self, path: str) -> None:
        """Remove a directory and all that is in it, bit by bit."""
        found = self._find(path)
        if not isinstance(found, Directory):
            raise os_error(errno.ENOTDIR, path)
        for below, inode in reversed(list(self.volume.walk(found, path))):
            (self.remove_directory if isinstance(inode, Directory) else self.delete)(below)
        self.remove_directory(path)

    def symlink(self, path: str, target: str) -> None:
        """Make a link where there is nothing."""
        self._new(path, Link(self.volume.number(), self.volume.stamp(), target))

    def hard_link(self, path: str, new: str) -> None:
        """Give a file another name."""
        self._new(new, self._file(path))

    def other_names(self, path: str) -> list[str]:
        """All other names of what is at ``path``."""
        found = self.volume.find(path)
        if not isinstance(found, File) or found.links == 1:
            return []
        return [each for each, inode in self.volume.walk() if inode is found and each != path]

    def make_other(self, path: str) -> None:
        """Make something that no drive holds: a pipe."""
        self._new(path, Other(self.volume.number(), self.volume.stamp()))

    def chmod(self, path: str, executable: bool) -> None:
        """Make a file executable, or not."""
        file = self._file(path)
        file.executable = executable
        file.changed(self.volume.stamp())
        self.note(path)

    def close_to_others(self, path: str, private: bool) -> None:
        """Make a file or directory private, or let others have it too."""
        inode = self._find(path)
        if inode is None:
            raise os_error(errno.ENOENT, path)
        inode.private = private
        inode.changed(self.volume.stamp())
        self.note(path)

    def touch(self, path: str, mtime_ns: int) -> None:
        """Set when a file was last changed."""
        file = self._file(path)
        file.mtime_ns = self.stored(mtime_ns)
        file.changed(self.volume.stamp())
        self.note(path)

    def hold_open(self, path: str) -> None:
        """Somebody opens a file for writing, and keeps it so. One at a time for a path."""
        file = self._file(path)
        _check_free(file, path)
        self.let_go(path)
        file.writers += 1
        file.opens += 1
        self.held[path] = file

    def write_held(self, path: str, data: bytes) -> None:
        """Write all of the file that was opened at ``path``, wherever it is now."""
        file = self.held[path]
        self._overwrite(file, self._name_of(file, path), data)

    def let_go(self, path: str) -> None:
        """Close what was opened at ``path``, if anything was."""
        file = self.held.pop(path, None)
        if file is not None:
            file.writers -= 1
            file.opens -= 1
            self.note(self._name_of(file, path))

    def sync(self, path: str = "") -> None:
        """Make a file with its name durable, or a directory's names; everything for the root."""
        found = self._find(path)
        if not path:
            self.volume.sync_all()
            return
        if found is None:
            raise os_error(errno.ENOENT, path)
        if isinstance(found, File):
            found.sync()
        parent = self._parent(path)[0]
        self.volume.sync_directories([parent, found] if isinstance(found, Directory) else [parent])

    # --- looking, with no trace and no permission needed
    def read(self, path: str) -> bytes:
        """A file's content."""
        return self._file(path).content()

    def exists(self, path: str) -> bool:
        """Whether anything is at ``path``."""
        return self.present and self.volume.find(path) is not None

    def kind(self, path: str) -> FileKind | None:
        """What is at ``path``."""
        found = self.volume.find(path) if self.present else None
        return None if found is None else found.kind

    def tree(self) -> dict[str, Shown]:
        """All that a person sees, ``.p2pdrive`` left out; nothing while the root is away."""
        if not self.present:
            return {}
        return {
            path: _shown(inode)
            for path, inode in self.volume.walk()
            if path != STATE_DIRECTORY and not path.startswith(_OWN)
        }

    def every_file(self) -> Iterator[bytes]:
        """The contents of all files, temporaries and displaced ones too."""
        return (inode.content() for _, inode in self.volume.walk() if isinstance(inode, File))

    def stored(self, mtime_ns: int) -> int:
        """A time that somebody sets, as it is kept. Raises OverflowError."""
        mtime_ns = in_range(mtime_ns)
        return mtime_ns - mtime_ns % self.stored_ns

    def note(self, path: str) -> None:
        """A watcher sees a change at ``path``."""
        if path == STATE_DIRECTORY or path.startswith(_OWN):
            return
        first = not self.changes
        self.changes.add(path)
        if first:
            self.on_change()

    # --- how
    def _find(self, path: str) -> Inode | None:
        if not self.present:
            raise os_error(errno.ENOENT, path)
        return self.volume.find(path)

    def _parent(self, path: str) -> tuple[Directory, str]:
        if not self.present:
            raise os_error(errno.ENOENT, path)
        return self.volume.parent(path)

    def _file(self, path: str) -> File:
        found = self._find(path)
        if isinstance(found, File):
            return found
        raise os_error(errno.ENOENT if found is None else errno.EISDIR, path)

    def _new(self, path: str, inode: Inode) -> None:
        self.volume.link(*self._parent(path), inode)
        self.note(path)

    def _make(self, path: str) -> None:
        self._make_parents(path)
        self.make_directory(path)

    def _make_parents(self, path: str) -> None:
        above = path.rpartition("/")[0]
        if above and self._find(above) is None:
            self._make(above)

    def _name_of(self, file: File, opened: str) -> str:
        """Where a file is that was ``opened`` there: a watcher names it so."""
        return next((path for path, inode in self.volume.walk() if inode is file), opened)

    def _overwrite(self, file: File, path: str, data: bytes) -> None:
        _check_free(file, path)
        self._fill(file, data)
        file.written(self.volume.stamp())
        self.note(path)

    def _fill(self, file: File, data: bytes) -> None:
        more = len(data) - file.charge
        if more > 0:
            self.volume.charge(file, more)
        file.data = data
        self.volume.settle(file)


def _shown(inode: Inode) -> Shown:
    match inode:
        case File():
            return ("file", inode.content(), None if inode.modeless else inode.executable, inode.mtime_ns)
        case Link():
            return ("link", inode.target)
        case Directory():
            return ("directory",)
        case _:
            return ("other",)


def _check_free(file: File, path: str) -> None:
    """While the engine holds a lease, whoever opens the file for writing waits."""
    if file.leased:
        raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), path)


def _nothing() -> None:
    pass
