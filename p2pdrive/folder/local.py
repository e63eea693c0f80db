"""``LocalFiles``: the real folder, on a POSIX file system.

Parents are opened anew for each operation, though holding them over many would save some 5 us each: a
held directory may have been moved out of the root meanwhile, and we would write there.
"""

import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType

from p2pdrive.errors import Changed, DiskFull, InUse, NotWritable, RootMissing, Unreadable, WorldError
from p2pdrive.folder.archive import LocalArchive
from p2pdrive.folder.attributes import set_directory_private
from p2pdrive.folder.carry import carry
from p2pdrive.folder.disks import ASKED, ask
from p2pdrive.folder.faults import failures, fault
from p2pdrive.folder.files import Displaced, FileKind, Name, Published, Stat
from p2pdrive.folder.handles import LocalReadHandle, LocalWriteHandle
from p2pdrive.folder.mounts import Mounts
from p2pdrive.folder.place import Parent, Place, listed, look, stat_of
from p2pdrive.folder.readonly import ReadOnlyDirectories
from p2pdrive.folder.safe_write import IN_USE, SafeWrite, move_in_two_steps
from p2pdrive.folder.syscalls import SystemCalls
from p2pdrive.folder.temporary import PATH as TEMPORARY_PATH
from p2pdrive.folder.temporary import TemporaryArea
from p2pdrive.limits import SYNC_EACH_MAX, TARGET_BYTES_MAX
from p2pdrive.model.paths import STATE_DIRECTORY, parent, refusal

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


class LocalFiles:
    """The folder at ``root``; its ``.p2pdrive`` must be there, or RootMissing is raised."""

    def __init__(self, root: Path, calls: SystemCalls | None = None) -> None:
        self._path = root
        self._calls = calls or SystemCalls.detect()
        try:
            self._root = os.open(root, _DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise RootMissing(f"{root}: the drive's folder cannot be opened ({error.strerror})") from error
        try:
            self._temporary = TemporaryArea(self._root, self._calls)
            self._read_only = ReadOnlyDirectories(self._root, self._calls)
            self.archive = LocalArchive(self._root, self._temporary, self._calls, self._translated)
        except OSError as error:
            os.close(self._root)
            raise RootMissing(
                f"{root}: its {STATE_DIRECTORY} cannot be opened ({error.strerror}); is the disk mounted?"
            ) from error
        ask(self._temporary.fd, ASKED)
        self._finished: dict[str, tuple[Stat, bool | None]] = {}  # temporaries that wait for their names
        self._gap = Lock()
        self._safe = SafeWrite(self._calls, self._temporary, self._gap)
        self._mounts = Mounts(self._root, self.root_present, self._calls)

    # --- looking ---------------------------------------------------------------------------------
    @property
    def mounts(self) -> frozenset[str]:
        """See ``Files``."""
        return self._mounts.learn()

    @property
    def makes_private(self) -> bool:
        """See ``Files``."""
        return self._temporary.new_mode & 0o077 == 0

    def expect_mounts(self, known: Iterable[str]) -> None:
        """See ``Files``."""
        self._mounts.expect(known)

    def root_present(self) -> bool:
        """See ``Files``."""
        try:
            same_root = os.path.samestat(os.stat(self._path), os.fstat(self._root))
            area = os.stat(TEMPORARY_PATH, dir_fd=self._root, follow_symlinks=False)
            return same_root and os.path.samestat(area, os.fstat(self._temporary.fd))
        except OSError:
            return False

    def stat(self, path: str) -> Stat | None:
        """See ``Files``."""
        with self._guard_directory(path, Unreadable):
            found = self._look(path)
            if found is None:
                with self._gap:
                    found = self._look(path)
            if (found is None or not path) and not self.root_present():
                raise self._root_missing()
            return found

    def stats(self, paths: Iterable[str]) -> dict[str, Stat | None]:
        """See ``Files``."""
        by_directory: dict[str, list[str]] = {}
        for path in paths:
            if refusal(path) is None:
                by_directory.setdefault(parent(path), []).append(path)
        found: dict[str, Stat | None] = {}
        for inside in by_directory.values():
            found.update(self._look_at_siblings(inside))
        if None in found.values() and not self.root_present():
            raise self._root_missing()
        return found

    def being_written(self, path: str) -> bool:
        """See ``Files``."""
        with self._guard(path, Unreadable), self._parent(path) as place:
            return self._calls.being_written(*place)

    def list(self, path: str) -> Sequence[Name]:
        """See ``Files``."""
        with self._guard_directory(path, Unreadable):
            directory = self._open(path, _DIRECTORY)
            try:
                with os.scandir(directory) as found:
                    entries = list(found)
                names = [name for entry in entries if (name := listed(entry, directory)) is not None]
                self._mounts.listed(path, directory, entries)
            finally:
                os.close(directory)
            if not path and not self.root_present():  # what is still held open may be empty by now
                raise self._root_missing()
            return sorted(names, key=lambda found: found.raw)

    def open(self, path: str) -> LocalReadHandle:
        """See ``Files``."""
        with self._guard(path, Unreadable):
            return LocalReadHandle(self._open(path, _READ), path, self._calls)

    def free_bytes(self) -> int:
        """See ``Files``."""
        with _Guard(self, "", Unreadable):
            return (found := os.fstatvfs(self._root)).f_bavail * found.f_frsize

    def disk_bytes(self) -> int:
        """See ``Files``."""
        with _Guard(self, "", Unreadable):
            return (found := os.fstatvfs(self._root)).f_blocks * found.f_frsize

    # --- the temporary area ----------------------------------------------------------------------
    def open_temporary(self, name: str, size: int) -> LocalWriteHandle:
        """See ``Files``."""
        with _Guard(self, TEMPORARY_PATH, NotWritable):
            return self._temporary.open(name, size)

    def finish_temporary(
        self, name: str, mtime_ns: int, executable: bool, private: bool | None = None
    ) -> Stat:
        """See ``Files``."""
        with _Guard(self, TEMPORARY_PATH, NotWritable):
            finished = self._temporary.finish(name, mtime_ns, executable, private)
            self._finished[name] = (finished, private)
            return finished

    def temporaries(self) -> Sequence[str]:
        """See ``Files``."""
        with _Guard(self, TEMPORARY_PATH, Unreadable):
            return self._temporary.names()

    def displaced(self) -> Sequence[Displaced]:
        """See ``Files``."""
        with _Guard(self, TEMPORARY_PATH, Unreadable):
            return self._temporary.displaced()

    def open_displaced(self, name: str) -> LocalReadHandle:
        """See ``Files``."""
        with _Guard(self, TEMPORARY_PATH, Unreadable):
            return self._temporary.open_displaced(name)

    def discard(self, name: str) -> None:
        """See ``Files``."""
        with _Guard(self, TEMPORARY_PATH, NotWritable):
            self._finished.pop(name, None)
            self._temporary.discard(name)

    # --- changing the folder ---------------------------------------------------------------------
    def publish(self, name: str, path: str, expected: Stat | None) -> Published:
        """See ``Files``."""
        finished, private = self._finished.pop(name, (None, None))
        with self._guard(path, NotWritable), self._parent(path) as target:
            source = self._temporary.place(name)
            return self._read_only.change(
                lambda: self._safe.publish(source, target, path, expected, finished, private), (target, path)
            )

    def move(self, source: str, path: str, expected: Stat) -> Stat:
        """See ``Files``."""
        with self._guard(source, NotWritable), self._guard(path, NotWritable):  # noqa: SIM117 - too long
            with self._parent(source) as old, self._parent(path) as new:
                moved = self._read_only.change(
                    lambda: self._safe.move(old, new, expected), (old, source), (new, path)
                )
                if moved is not None:
                    return moved
        return move_in_two_steps(self, source, path, expected)

    def remove(self, path: str, expected: Stat) -> str:
        """See ``Files``."""
        with self._guard(path, NotWritable), self._parent(path) as target:
            return self._read_only.change(lambda: self._safe.remove(target, path, expected), (target, path))

    def make_directory(self, path: str, private: bool | None = None) -> None:
        """See ``Files``."""
        with self._guard(path, NotWritable), self._parent(path) as place:
            try:
                mode = 0o700 if private else 0o777
                self._read_only.change(
                    lambda: os.mkdir(place.name, mode, dir_fd=place.directory), (place, path)
                )
            except FileExistsError:
                found = look(place)
                if found is None or found.kind is not FileKind.DIRECTORY:
                    raise
                if private is not None and found.private not in (None, private):
                    self._set_private(path, private)

    def remove_directory(self, path: str) -> bool:
        """See ``Files``."""
        with self._guard(path, NotWritable), self._parent(path) as place:
            self._mounts.check(path)
            try:
                self._read_only.change(lambda: os.rmdir(place.name, dir_fd=place.directory), (place, path))
            except FileNotFoundError:
                return True
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return False
                raise
            return True

    def make_symlink(self, path: str, target: str, expected: Stat | None) -> Published:
        """See ``Files``."""
        if not target or "\0" in target or len(target.encode()) > TARGET_BYTES_MAX:
            raise NotWritable(f"{path}: a link cannot lead to {target[:80]!r}")
        name = self._temporary.unused()
        with _Guard(self, TEMPORARY_PATH, NotWritable):
            os.symlink(target, name, dir_fd=self._temporary.fd)
        try:
            return self.publish(name, path, expected)
        finally:
            self.discard(name)

    def set_metadata(
        self, path: str, mtime_ns: int, executable: bool, expected: Stat, private: bool | None = None
    ) -> Stat:
        """See ``Files``."""
        with self._guard(path, NotWritable):
            fd = self._open(path, _READ)
            with LocalReadHandle(fd, path) as handle:
                leased = self._calls.lease(fd)
                if handle.stat() != expected:
                    raise Changed(f"{path}: is not what it was when this was planned")
                if leased is False:
                    raise InUse(IN_USE)
                if not handle.is_ours:
                    return expected  # a copy would be, and whose file it is weighs more than its time
                if leased and handle.opened.st_nlink == 1:
                    return handle.set_metadata(mtime_ns, executable, private, self._temporary.new_mode)
            return self._replace_by_copy(path, mtime_ns, executable, expected, private)

    # --- durability ------------------------------------------------------------------------------
    def sync_temporaries(self, names: Iterable[str]) -> Mapping[str, WorldError]:
        """See ``Files``."""
        return self._sync_each(names, self._sync_temporary)

    def sync_files(self, paths: Iterable[str]) -> Mapping[str, WorldError]:
        """See ``Files``."""
        return self._sync_each(paths, self._sync_file)

    def sync_directories(self, paths: Iterable[str]) -> Mapping[str, WorldError]:
        """See ``Files``."""
        return self._sync_each(paths, self._sync_directory)

    def sync_all(self) -> None:
        """See ``Files``."""
        with _Guard(self, "", NotWritable):
            if self._calls.sync_all:
                self._calls.sync_file_system(self._root)
            else:
                os.sync()

    def close(self) -> None:
        """See ``Files``."""
        self.archive.close()
        self._temporary.close()
        self._mounts.close()
        os.close(self._root)

    # --- how -------------------------------------------------------------------------------------
    def _sync_each(self, names: Iterable[str], sync: Callable[[str], None]) -> dict[str, WorldError]:
        """``sync`` what has these names; which failed, and why."""
        names = list(names)
        return {} if self._synced_at_once(len(names)) else failures(names, sync)

    def _synced_at_once(self, count: int) -> bool:
        """Sync the whole file system if that is cheaper than to sync ``count`` things; whether it did. Where
        that fails, it does not tell for which of them."""
        if not self._calls.sync_all or count <= SYNC_EACH_MAX:
            return False
        try:
            self.sync_all()
        except (NotWritable, DiskFull):
            return False
        return True

    def _sync_temporary(self, name: str) -> None:
        with _Guard(self, TEMPORARY_PATH, NotWritable), self._temporary.reading(name) as handle:
            handle.sync()

    def _sync_file(self, path: str) -> None:
        with self.open(path) as handle, _Guard(self, path, NotWritable):
            handle.sync()

    def _sync_directory(self, path: str) -> None:
        """Sync it. Raises Changed where it is gone, and the nearest above it is synced."""
        try:
            with self._guard_directory(path, NotWritable):
                try:
                    fd = self._open(path, _DIRECTORY)
                except PermissionError:  # it may be entered, and not listed
                    self.sync_all()
                    return
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
        except Changed:
            if path:
                with suppress(Changed):
                    self._sync_directory(parent(path))
            raise

    def _set_private(self, path: str, private: bool) -> None:
        """Close a directory to others, or open it to them, unless it is another account's."""
        fd = self._open(path, _DIRECTORY)
        try:
            set_directory_private(fd, private, self._temporary.new_mode)
        finally:
            os.close(fd)

    def _replace_by_copy(
        self, path: str, mtime_ns: int, executable: bool, expected: Stat, private: bool | None
    ) -> Stat:
        name = self._temporary.unused()
        try:
            with self._parent(path) as source:
                carry(source, self._temporary.place(name))
            self.finish_temporary(name, mtime_ns, executable, private)
            published = self.publish(name, path, expected)
        finally:
            self._temporary.discard(name)
        if published.displaced is not None:  # it was `expected` when copied, and when displaced
            self._temporary.discard(published.displaced)
        return published.stat

    def _look(self, path: str) -> Stat | None:
        if not path:
            return stat_of(os.fstat(self._root))
        try:
            with self._parent(path) as place:
                found = look(place)
                if found is not None and found.kind is FileKind.DIRECTORY:
                    self._mounts.look(path, place)
                return found
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise

    def _look_at_siblings(self, inside: Sequence[str]) -> dict[str, Stat | None]:
        """What is at paths in one directory, opened once; those that cannot be looked at are left out."""
        try:
            with self._gap, self._parent(inside[0]) as place:
                return {path: look(Place(place.directory, path.rpartition("/")[2])) for path in inside}
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return dict.fromkeys(inside)
            return {}

    def _open(self, path: str, flags: int) -> int:
        """Open beneath the root, through no symlink, on no disk but the one that it should be on."""
        try:
            fd = self._calls.open_beneath(self._root, path or ".", flags)
        except OSError:
            self._mounts.check(path)
            raise
        try:
            self._mounts.check(path, fd)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _parent(self, path: str) -> Parent:
        """The place of ``path``, its parent opened like that."""
        return Parent(self._open, self._root, path)

    def _guard(self, path: str, access: type[Unreadable | NotWritable]) -> "_Guard":
        """Refuse paths that no drive has; errors of the system become ours."""
        if (why := refusal(path)) is not None:
            raise access(f"{path!r} cannot be in a drive: {why}")
        return _Guard(self, path, access)

    def _guard_directory(self, path: str, access: type[Unreadable | NotWritable]) -> "_Guard":
        """The same, for what may also be done to the root."""
        return self._guard(path, access) if path else _Guard(self, path, access)

    def _translated(
        self, error: OSError | OverflowError, path: str, access: type[Unreadable | NotWritable]
    ) -> WorldError:
        return fault(error, path, access) if self.root_present() else self._root_missing()

    def _root_missing(self) -> RootMissing:
        return RootMissing(
            f"{self._path}: the drive's folder is not there any more, or not its {STATE_DIRECTORY}; "
            "bring it back, and syncing goes on"
        )


class _Guard:
    """What ``LocalFiles._guard`` opens."""

    __slots__ = ("_access", "_files", "_path")

    def __init__(self, files: LocalFiles, path: str, access: type[Unreadable | NotWritable]) -> None:
        self._files = files
        self._path = path
        self._access = access

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError | OverflowError):
            raise self._files._translated(error, self._path, self._access) from error  # noqa: SLF001 - one piece
