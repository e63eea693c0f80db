"""The steps of ``folder/safe_write.py`` on the simulated disk, one system call each.

Before each step the disk's hook is called with its name, so that a person can act and a kill can come in
between. In the order in which they come, those in brackets only where it was an edit that was taken:

=====================  =====================================================================
``publish`` of a new   name, settle
``publish``            expect, writers, aside, exchange, judge, compare, [back, return], settle
the same, not modern   expect, writers, aside, unlink, exchange, return, unlink, vacate, judge, compare,
                       name, unlink, [back], settle
``move``               expect, writers, rename, look, judge, compare, [back]
``remove``             expect, writers, take, judge, compare, [back]
=====================  =====================================================================

Others are ``set_metadata:lease`` and ``:time``, and ``open_temporary:resize``. Errors are OSError, Changed.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from p2pdrive.errors import Changed, InUse
from p2pdrive.folder.files import FileKind, Published, Stat
from p2pdrive.folder.safe_write import IN_USE
from p2pdrive.folder.temporary import displaced_name
from p2pdrive.lab.inodes import Directory, File
from p2pdrive.lab.opened import Opened


class Place(NamedTuple):
    """``name`` in a directory that is held open."""

    directory: Directory
    name: str


class SafeSteps:
    """Names changing hands between the folder and its temporary area, where ``numbers`` are free."""

    def __init__(self, opened: Opened, numbers: Iterator[int]) -> None:
        self._opened = opened
        self._disk = opened.disk
        self._volume = opened.volume
        self._numbers = numbers

    def publish(
        self, source: Place, target: Place, path: str, expected: Stat | None, private: bool | None
    ) -> Published:
        """See ``SafeWrite.publish``."""
        if expected is None:
            ours = self._volume.there(*source).stat()
            self._rename_new(source, target, "publish:name", path)
            return Published(self._settled(target, ours, path), None)
        spare = self._spare(path)
        self._expect_at_rest(target, expected, "publish", path)
        made = self._volume.there(*source)
        if expected.kind is FileKind.FILE and isinstance(made, File) and private is None:
            made.private = expected.is_private(False)
            made.changed(self._volume.stamp())
        ours = made.stat()
        self._rename_new(source, spare, "publish:aside", path)
        try:
            exchanged = self._exchange(spare, target, "publish:exchange", path)
        except OSError:
            self._volume.rename_new(*spare, *source)
            raise
        if not exchanged:
            self._rename_new(spare, source, "publish:return", path)
            self._replace_by_renames(source, target, spare, path, expected)
        elif not self._as_expected(spare, expected, "publish", path):
            self._exchange_back(source, target, spare, ours, path)
            raise Changed(f"{path}: changed just before it was to be replaced")
        return Published(self._settled(target, ours, path), spare.name)

    def move(self, old: Place, new: Place, source: str, path: str, expected: Stat) -> Stat:
        """See ``SafeWrite.move``, where there is a call for it."""
        self._expect_at_rest(old, expected, "move", source)
        self._opened.step("move:rename", source)
        self._volume.rename_new(*old, *new)
        self._note(source, path)
        self._opened.step("move:look", source)
        found = self._look(new)
        if found is None:
            return expected
        if self._as_expected(new, expected, "move", source):
            return found
        if found.same_version(expected) and self._look(new) is None:
            return found
        try:
            self._put_back(new, old, "move", source)
        except FileNotFoundError:  # a person took it away under its new name
            self._disk.on_undone_move(source, path)
            raise
        self._note(source, path)
        self._disk.on_undone_move(source, path)
        raise Changed(f"{source}: changed just before it was to be renamed")

    def remove(self, target: Place, path: str, expected: Stat) -> str:
        """See ``SafeWrite.remove``."""
        self._expect_at_rest(target, expected, "remove", path)
        spare = self._spare(path)
        self._opened.step("remove:take", path)
        self._volume.rename(*target, *spare)
        self._disk.note(path)
        if not self._as_expected(spare, expected, "remove", path):
            self._put_back(spare, target, "remove", path)
            self._disk.note(path)
            raise Changed(f"{path}: changed just before it was to be removed")
        return spare.name

    # --- one step each
    def _expect(self, place: Place, expected: Stat, operation: str, path: str) -> None:
        assert expected.kind in (FileKind.FILE, FileKind.SYMLINK)
        self._opened.step(f"{operation}:expect", path)
        if self._look(place) != expected:
            raise Changed(f"{path}: is not what it was when this was planned")

    def _expect_at_rest(self, place: Place, expected: Stat, operation: str, path: str) -> None:
        self._expect(place, expected, operation, path)
        if expected.kind is FileKind.FILE:
            self._opened.step(f"{operation}:writers", path)
            if self._being_written(place):
                raise InUse(IN_USE)

    def _being_written(self, place: Place) -> bool:
        """``SystemCalls.being_written``: False where nobody can tell."""
        inode = self._volume.look(*place)
        return self._disk.modern and isinstance(inode, File) and bool(inode.writers)

    def _rename_new(self, source: Place, target: Place, step: str, path: str) -> None:
        """``SystemCalls.rename_new``: with hard links, if it has to be."""
        self._opened.step(step, path)
        if self._disk.modern:
            self._volume.rename_new(*source, *target)
        else:
            self._volume.link(*target, self._volume.there(*source))
            self._disk.note(path)
            self._opened.step("publish:unlink", path)
            self._volume.unlink(*source)
        self._disk.note(path)

    def _exchange(self, one: Place, other: Place, step: str, path: str) -> bool:
        """``SystemCalls.exchange``: False where it cannot be."""
        self._opened.step(step, path)
        if not self._disk.modern:
            return False
        self._volume.exchange(*one, *other)
        self._disk.note(path)
        return True

    def _as_expected(self, taken: Place, expected: Stat, operation: str, path: str) -> bool:
        """Writers are looked for first: one who has closed the file by then has left a trace in it."""
        self._opened.step(f"{operation}:judge", path)
        if self._being_written(taken):
            return False
        self._opened.step(f"{operation}:compare", path)
        found = self._look(taken)
        return found is not None and found.same_version(expected)

    def _exchange_back(self, source: Place, target: Place, spare: Place, ours: Stat, path: str) -> None:
        try:
            self._exchange(spare, target, "publish:back", path)
        except FileNotFoundError:  # our new version was removed at once; the edit takes its place
            self._put_back(spare, target, "publish", path)
            return
        self._opened.step("publish:return", path)
        found = self._look(spare)
        if found is not None and found.same_version(ours) and not self._being_written(spare):
            self._volume.rename_new(*spare, *source)

    def _replace_by_renames(
        self, source: Place, target: Place, spare: Place, path: str, expected: Stat
    ) -> None:
        """The old version steps aside first, and for a moment there is nothing at ``path``."""
        self._opened.step("publish:vacate", path)
        self._volume.rename(*target, *spare)
        self._disk.note(path)
        try:
            if not self._as_expected(spare, expected, "publish", path):
                raise Changed(f"{path}: changed just before it was to be replaced")
            self._rename_new(source, target, "publish:name", path)
        except (OSError, Changed):
            self._put_back(spare, target, "publish", path)
            raise

    def _put_back(self, taken: Place, place: Place, operation: str, path: str) -> None:
        with suppress(FileExistsError):
            self._opened.step(f"{operation}:back", path)
            self._volume.rename_new(*taken, *place)
            self._disk.note(path)

    def _settled(self, place: Place, ours: Stat, path: str) -> Stat:
        self._opened.step("publish:settle", path)
        found = self._look(place)
        return found if found is not None and found.same_version(ours) else ours

    def _look(self, place: Place) -> Stat | None:
        inode = self._volume.look(*place)
        return None if inode is None else inode.stat()

    def _spare(self, path: str) -> Place:
        return Place(self._opened.area, displaced_name(next(self._numbers), path))

    def _note(self, *paths: str) -> None:
        for path in paths:
            self._disk.note(path)
