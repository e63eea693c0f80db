"""``SimulatedFiles``: the folder on a simulated disk, as ``folder/local.py`` has it on a real one.

The disk's hook is called before and after each operation under its name here, and before each step of
those that have several ("operation:step", see ``lab/safe_steps.py``); of an open file they are
"readinto", "pread", "pwrite" and "fstat". The path is the one that the operation is about (a move's is
its source), a temporary's its name.
"""

import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count

from p2pdrive.errors import Changed, InUse, NotWritable, Unreadable, WorldError
from p2pdrive.folder.faults import failures
from p2pdrive.folder.files import Displaced, Name, Published, Stat, Twin
from p2pdrive.folder.safe_write import IN_USE, move_in_two_steps
from p2pdrive.folder.temporary import DISPLACED, number_of, origin_of
from p2pdrive.folder.temporary import PATH as TEMPORARY_PATH
from p2pdrive.lab.archive import SimulatedArchive
from p2pdrive.lab.disk import Disk
from p2pdrive.lab.handles import SimulatedReadHandle, SimulatedWriteHandle
from p2pdrive.lab.inodes import MAY_ALL, MAY_NOTHING, Directory, File, Inode, Link, os_error
from p2pdrive.lab.opened import Opened, Operation, root_missing
from p2pdrive.lab.safe_steps import Place, SafeSteps
from p2pdrive.limits import TARGET_BYTES_MAX
from p2pdrive.model.paths import parent, refusal


class SimulatedFiles:
    """The drive's folder on ``disk``, opened by one process; RootMissing is raised while it is away."""

    def __init__(self, disk: Disk) -> None:
        self._opened = opened = Opened(disk)
        self._disk = disk
        self._volume = disk.volume
        self._area = area = opened.area
        self.archive = SimulatedArchive(opened)
        taken = [number_of(name) for name, _ in area.entries.values()]
        self._numbers = count(1 + max((*taken, *self.archive.numbers()), default=0))
        self._safe = SafeSteps(opened, self._numbers)
        self._private: dict[str, bool | None] = {}  # what finished temporaries are to be

    # --- looking ---------------------------------------------------------------------------------
    @property
    def mounts(self) -> frozenset[str]:
        """See ``Files``. There is one disk."""
        return frozenset()

    def expect_mounts(self, known: Iterable[str]) -> None:
        """See ``Files``."""

    def root_present(self) -> bool:
        """See ``Files``."""
        self._opened.step("root_present", "")
        return self._opened.present()

    @property
    def makes_private(self) -> bool:
        """See ``Files``."""
        return False

    @property
    def odd(self) -> bool:
        """See ``Files``."""
        return False

    def unfit(self, path: str, link: bool) -> str | None:  # noqa: ARG002 - it holds all
        """See ``Files``."""
        return None

    def twin(self, path: str) -> Twin | None:  # noqa: ARG002 - all names are exact
        """See ``Files``."""
        return None

    def stat(self, path: str) -> Stat | None:
        """See ``Files``."""
        with self._directory_operation("stat", path, Unreadable):
            found = self._volume.find(path, checked=True)
            if (found is None or not path) and not self._opened.present():
                raise root_missing()
            return None if found is None else found.stat()

    def stats(self, paths: Iterable[str]) -> dict[str, Stat | None]:
        """See ``Files``; to the hook it is one ``stat`` each."""
        found: dict[str, Stat | None] = {}
        for path in paths:
            with suppress(Unreadable):
                if path:
                    found[path] = self.stat(path)
        return found

    def being_written(self, path: str) -> bool:
        """See ``Files``."""
        with self._operation("being_written", path, Unreadable):
            file = self._volume.find(path, checked=True)
            return self._disk.modern and isinstance(file, File) and bool(file.writers)

    def list(self, path: str) -> Sequence[Name]:
        """See ``Files``."""
        with self._directory_operation("list", path, Unreadable):
            directory = self._found(path)
            if not isinstance(directory, Directory):
                raise os_error(errno.ENOTDIR)
            if directory.denied == MAY_NOTHING:
                raise os_error(errno.EACCES)
            if not path and not self._opened.present():
                raise root_missing()
            names = [_named(name, inode) for name, inode in directory.entries.values()]
            return sorted(names, key=lambda found: found.raw)

    def names(self, path: str, most: int) -> frozenset[str] | None:
        """See ``Files``."""
        with suppress(Changed, Unreadable):
            names = frozenset(each.name for each in self.list(path) if each.name is not None)
            return names if len(names) <= most else None
        return None

    def open(self, path: str) -> SimulatedReadHandle:
        """See ``Files``."""
        with self._operation("open", path, Unreadable):
            return SimulatedReadHandle(self._opened, self._readable(path), path)

    def free_bytes(self) -> int:
        """See ``Files``."""
        self._opened.step("free_bytes", "")
        return max(self._volume.capacity - self._volume.used, 0)

    def disk_bytes(self) -> int:
        """See ``Files``."""
        return self._volume.capacity

    # --- the temporary area ----------------------------------------------------------------------
    def open_temporary(self, name: str, size: int) -> SimulatedWriteHandle:
        """See ``Files``."""
        _check_temporary(name)
        with self._area_operation("open_temporary", name, NotWritable):
            found = self._volume.look(self._area, name)
            if isinstance(found, Link):
                raise os_error(errno.ELOOP)
            if found is not None and found.links > 1:  # see TemporaryArea.open
                self._volume.unlink(self._area, name)
                found = None
            if found is None:
                found = File(self._volume.number(), self._volume.stamp())
                self._volume.link(self._area, name, found)
            handle = SimulatedWriteHandle(self._opened, found, name)
            try:
                self._resize(found, name, size)
            except BaseException:
                handle.close()
                raise
            return handle

    def finish_temporary(
        self, name: str, mtime_ns: int, executable: bool, private: bool | None = None
    ) -> Stat:
        """See ``Files``."""
        _check_temporary(name)
        with self._area_operation("finish_temporary", name, NotWritable):
            file = self._volume.there(self._area, name)
            file.mtime_ns = self._disk.stored(mtime_ns)
            if isinstance(file, File):
                file.executable = executable
                file.private = bool(private)
            self._private[name] = private
            file.changed(self._volume.stamp())
            return file.stat()

    def temporaries(self) -> Sequence[str]:
        """See ``Files``."""
        with self._area_operation("temporaries", "", Unreadable):
            names = (name for name, _ in self._area.entries.values())
            return sorted(name for name in names if not name.startswith(DISPLACED))

    def displaced(self) -> Sequence[Displaced]:
        """See ``Files``."""
        with self._area_operation("displaced", "", Unreadable):
            found = [entry for entry in self._area.entries.values() if entry[0].startswith(DISPLACED)]
            found.sort(key=lambda entry: number_of(entry[0]))
            return [Displaced(name, origin_of(name), inode.stat()) for name, inode in found]

    def open_displaced(self, name: str) -> SimulatedReadHandle:
        """See ``Files``."""
        assert name.startswith(DISPLACED)
        with self._area_operation("open_displaced", name, Unreadable):
            return SimulatedReadHandle(self._opened, self._readable(f"{TEMPORARY_PATH}/{name}"), name)

    def discard(self, name: str) -> None:
        """See ``Files``."""
        self._private.pop(name, None)
        with self._area_operation("discard", name, NotWritable), suppress(FileNotFoundError):
            self._volume.unlink(*self._temporary(name))

    # --- changing the folder ---------------------------------------------------------------------
    def publish(self, name: str, path: str, expected: Stat | None) -> Published:
        """See ``Files``."""
        private = self._private.pop(name, None)
        with self._operation("publish", path, NotWritable):
            return self._safe.publish(self._temporary(name), self._place(path), path, expected, private)

    def move(self, source: str, path: str, expected: Stat) -> Stat:
        """See ``Files``."""
        _check_path(path, NotWritable)
        if self._disk.modern:
            with self._operation("move", source, NotWritable):
                return self._safe.move(self._place(source), self._place(path), source, path, expected)
        return move_in_two_steps(self, source, path, expected)

    def remove(self, path: str, expected: Stat) -> str:
        """See ``Files``."""
        with self._operation("remove", path, NotWritable):
            return self._safe.remove(self._place(path), path, expected)

    def make_directory(self, path: str, private: bool | None = None) -> None:
        """See ``Files``."""
        with self._operation("make_directory", path, NotWritable):
            place = self._place(path)
            made = Directory(self._volume.number(), self._volume.stamp())
            made.private = bool(private)
            try:
                self._volume.link(*place, made)
            except FileExistsError:
                there = self._volume.look(*place)
                if not isinstance(there, Directory):
                    raise
                if private not in (None, there.private):
                    there.private = bool(private)
                    there.changed(self._volume.stamp())
                    self._disk.note(path)
            else:
                self._disk.note(path)

    def remove_directory(self, path: str) -> bool:
        """See ``Files``."""
        with self._operation("remove_directory", path, NotWritable):
            place = self._place(path)
            try:
                self._volume.remove_directory(*place)
            except FileNotFoundError:
                return True
            except OSError as error:
                if error.errno == errno.ENOTEMPTY:
                    return False
                raise
            self._disk.note(path)
            return True

    def make_symlink(self, path: str, target: str, expected: Stat | None) -> Published:
        """See ``Files``."""
        if not target or "\0" in target or len(target.encode()) > TARGET_BYTES_MAX:
            raise NotWritable(f"{path}: a link cannot lead to {target[:80]!r}")
        name = f"own.{next(self._numbers):x}"
        with self._area_operation("make_symlink", path, NotWritable):
            link = Link(self._volume.number(), self._volume.stamp(), target)
            self._volume.link(self._area, name, link)
        try:
            return self.publish(name, path, expected)
        finally:
            self.discard(name)

    def set_metadata(
        self, path: str, mtime_ns: int, executable: bool, expected: Stat, private: bool | None = None
    ) -> Stat:
        """See ``Files``."""
        with self._operation("set_metadata", path, NotWritable):
            file = self._readable(path)
            if not isinstance(file, File):
                raise Changed(f"{path}: is no regular file any more")
            self._opened.step("set_metadata:lease", path)
            if self._disk.modern and file.writers:
                raise InUse(IN_USE)
            if file.stat() != expected:
                raise Changed(f"{path}: is not what it was when this was planned")
            if file.denied != MAY_ALL:
                raise os_error(errno.EPERM)
            if self._disk.modern:
                private = file.private if private is None else private
                self._set(file, path, self._disk.stored(mtime_ns), executable, private)
                return file.stat()._replace(executable=executable, private=private)
        return self._replace_by_copy(path, mtime_ns, executable, expected, private)

    # --- durability ------------------------------------------------------------------------------
    def sync_temporaries(self, names: Iterable[str]) -> Mapping[str, WorldError]:
        """See ``Files``. Only what these names lead to, though a sync of the file system does more."""
        return failures(names, self._sync_temporary)

    def sync_files(self, paths: Iterable[str]) -> Mapping[str, WorldError]:
        """See ``Files``."""
        return failures(paths, self._sync_file)

    def sync_directories(self, paths: Iterable[str]) -> Mapping[str, WorldError]:
        """See ``Files``."""
        return failures(paths, self._sync_directory)

    def sync_all(self) -> None:
        """See ``Files``."""
        with self._directory_operation("sync_all", "", NotWritable):
            self._volume.sync_all()

    def close(self) -> None:
        """See ``Files``."""

    # --- how -------------------------------------------------------------------------------------
    def _sync_temporary(self, name: str) -> None:
        _check_temporary(name)
        with self._area_operation("sync_temporaries", name, NotWritable):
            file = self._volume.there(self._area, name)
            if not isinstance(file, File):
                raise Changed(f"{name}: is no regular file any more")
            file.sync()

    def _sync_file(self, path: str) -> None:
        with self._operation("sync_files", path, NotWritable):
            try:
                file = self._readable(path)
            except PermissionError as error:
                raise self._opened.translated(error, path, Unreadable) from error
            if not isinstance(file, File):
                raise Changed(f"{path}: is no regular file any more")
            file.sync()

    def _sync_directory(self, path: str) -> None:
        try:
            with self._directory_operation("sync_directories", path, NotWritable):
                directory = self._found(path)
                if not isinstance(directory, Directory):
                    raise os_error(errno.ENOTDIR)
                self._volume.sync_directories([directory])
        except Changed:
            if path:
                with suppress(Changed):
                    self._sync_directory(parent(path))
            raise

    def _operation(self, name: str, path: str, access: type[Unreadable | NotWritable]) -> Operation:
        """One at a path that a drive may have."""
        _check_path(path, access)
        return Operation(self._opened, name, path, path, access)

    def _directory_operation(self, name: str, path: str, access: type[Unreadable | NotWritable]) -> Operation:
        """The same, where the root will do too."""
        if path:
            _check_path(path, access)
        return Operation(self._opened, name, path, path, access)

    def _area_operation(self, name: str, path: str, access: type[Unreadable | NotWritable]) -> Operation:
        """One in the temporary area, which is what its errors name."""
        return Operation(self._opened, name, path, TEMPORARY_PATH, access)

    def _found(self, path: str) -> Inode:
        found = self._volume.find(path, checked=True)
        if found is None:
            raise os_error(errno.ENOENT)
        return found

    def _readable(self, path: str) -> Inode:
        """What is there, opened for reading."""
        found = self._found(path)
        if isinstance(found, Link):
            raise os_error(errno.ELOOP)
        if found.denied == MAY_NOTHING:
            raise os_error(errno.EACCES)
        return found

    def _place(self, path: str) -> Place:
        """Where ``path`` is, in a directory that may be written."""
        place = Place(*self._volume.parent(path, checked=True))
        if place.directory.denied != MAY_ALL:
            raise os_error(errno.EACCES)
        return place

    def _temporary(self, name: str) -> Place:
        assert name not in ("", ".", "..")
        assert "/" not in name
        return Place(self._area, name)

    def _resize(self, file: Inode, name: str, size: int) -> None:
        if isinstance(file, File) and len(file.data) != size:
            self._opened.step("open_temporary:resize", name)
            file.resize(size)
            file.written(self._volume.stamp())
            self._volume.settle(file)

    def _set(self, file: File, path: str, mtime_ns: int, executable: bool, private: bool) -> None:
        """Mode, then time; nobody opens it for writing in between."""
        file.leased = True
        try:
            if (file.executable, file.private) != (executable, private):
                file.executable, file.private = executable, private
                file.changed(self._volume.stamp())
            self._disk.note(path)
            self._opened.step("set_metadata:time", path)
            file.mtime_ns = mtime_ns
            file.changed(self._volume.stamp())
        finally:
            file.leased = False

    def _replace_by_copy(
        self, path: str, mtime_ns: int, executable: bool, expected: Stat, private: bool | None
    ) -> Stat:
        name = f"own.{next(self._numbers):x}"
        try:
            with self.open(path) as source, self.open_temporary(name, 0) as copy:
                data = bytearray(expected.size)
                while number := source.readinto(memoryview(data)):
                    copy.pwrite(data[:number], copy.stat().size)
            self.finish_temporary(name, mtime_ns, executable, private)
            self.sync_temporaries([name])
            published = self.publish(name, path, expected)
        finally:
            self.discard(name)
        if published.displaced is not None:
            self.discard(published.displaced)
        return published.stat


def _check_path(path: str, access: type[Unreadable | NotWritable]) -> None:
    if (why := refusal(path)) is not None:
        raise access(f"{path!r} cannot be in a drive: {why}")


def _check_temporary(name: str) -> None:
    assert name not in ("", ".", "..")
    assert "/" not in name
    assert not name.startswith(DISPLACED)


def _named(name: str, inode: Inode) -> Name:
    try:
        return Name(name, name.encode(), inode.stat())
    except UnicodeEncodeError:
        return Name(None, os.fsencode(name), inode.stat())
