"""The Protocol ``Files``: all that the drive does to its folder, and the values it speaks in.

Paths are drive-relative text (``model/paths.py``); the root is the empty path. Calls block, and may run
in several threads at once. Errors are ``WorldError``:

=================  =============================================================================
``RootMissing``    the folder, or its ``.p2pdrive``, is not where it was: nothing was deleted
``Changed``        what is there is not what was expected: observe again, then plan again
``InUse``          (a ``Changed``) it is, but a program has it open for writing: nothing was moved
``DiskFull``       no space, or no quota, left
``Unreadable``     cannot be read, or a path that no drive may have
``NotWritable``    cannot be written, or a path that no drive may have
=================  =============================================================================

An operation that raises has changed nothing, unless its docstring says otherwise.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from p2pdrive.errors import WorldError


class FileKind(IntEnum):
    """What is at a path. The first three are what a drive can hold."""

    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    OTHER = 4


class Stat(NamedTuple):
    """What was at a path when it was looked at.

    ``size`` in bytes; times in nanoseconds since 1970; ``executable`` is the owner's bit of a file, and
    ``private`` says that nobody but the owner may do anything with a file or directory: None where the disk
    does not keep that; ``target`` is a symlink's, None where it is not UTF-8; ``links`` counts the names of a
    file, wherever they are. A content is unchanged for certain only while all of it is equal, ``ctime_ns``
    included: an edit may keep the rest.
    """

    kind: FileKind
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    executable: bool | None
    target: str | None
    private: bool | None = False
    links: int = 1

    def is_executable(self, otherwise: bool) -> bool:
        """The owner's bit of a file, or ``otherwise`` where the disk does not keep it."""
        return otherwise if self.executable is None else self.executable

    def is_private(self, otherwise: bool) -> bool:
        """Whether only its owner may do anything with it, or ``otherwise`` where the disk does not say."""
        return otherwise if self.private is None else self.private

    def same_version(self, other: "Stat") -> bool:
        """Equal but for ``ctime_ns``, which a rename changes too, and ``links``."""
        mine = (self.inode, self.size, self.mtime_ns, self.kind, self.executable, self.private, self.target)
        theirs = (other.inode, other.size, other.mtime_ns, other.kind, other.executable, other.private)
        return mine == (*theirs, other.target)


@dataclass(frozen=True, slots=True)
class Name:
    """One name in a directory: ``name`` is None where ``raw`` is not UTF-8.

    ``stat`` is None where the file system would not say.
    """

    name: str | None
    raw: bytes
    stat: Stat | None


class Published(NamedTuple):
    """``stat`` of what we put at the path; ``displaced`` names what it replaced, in the temporary area."""

    stat: Stat
    displaced: str | None


@dataclass(frozen=True, slots=True)
class Displaced:
    """A file in the temporary area that was, or was about to be, taken from ``path``.

    After a kill it may be a person's only copy, or the new version that was to replace it.
    ``path`` is None where it was too long to note. Where ``path`` has the same inode, this is a second
    name of that very file, and can be discarded.
    """

    name: str
    path: str | None
    stat: Stat


class Twin(NamedTuple):
    """Two paths that a disk takes for one: ``path`` is not there, as ``other`` is."""

    path: str
    other: str

    def words(self) -> str:
        """For the person."""
        return (
            f"this disk cannot tell {self.path!r} from {self.other!r}, which is here: rename one of the two "
            "on another machine."
        )


class ReadHandle(Protocol):
    """An open regular file. A file may change or shrink while it is read."""

    def readinto(self, view: memoryview) -> int:
        """Fill from the current position; the bytes read, 0 at the end. Raises Unreadable."""

    def pread(self, view: memoryview, offset: int) -> int:
        """Fill from ``offset``; the bytes read, 0 at the end. Raises Unreadable."""

    def next_data(self, offset: int) -> int:
        """Where data begins at or behind ``offset``, after a hole, which reads as zeros. The size where there
        is none, ``offset`` where the disk does not tell. Raises Unreadable."""

    def next_hole(self, offset: int) -> int:
        """Where the next hole begins at or behind ``offset``; the size where there is none, or the disk does
        not tell. Raises Unreadable."""

    def stat(self) -> Stat:
        """Of the file that is open, whatever has its name now."""

    def being_written(self) -> bool | None:
        """Whether a program has it open for writing, or mapped; None where nobody can tell."""

    def is_locked(self, start: int, length: int) -> bool:
        """Whether another process holds a lock for writing (fcntl) anywhere in this range; False where nobody
        can tell."""

    def close(self) -> None:
        """Let it go; twice is once."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class WriteHandle(ReadHandle, Protocol):
    """An open temporary file."""

    def pwrite(self, view: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of ``view`` at ``offset``. Raises DiskFull (part of it may be written), NotWritable."""


class Archive(Protocol):
    """Files by their numbers. See ``folder/archive.py``. Errors are those of ``Files``."""

    def keep(self, displaced: str) -> None:
        """Rename a displaced file into the archive; one that is there already is fine.

        Killed in between: it is displaced, or in the archive. Raises Changed where it is in neither.
        """

    def numbers(self) -> Sequence[int]:
        """Of all that is kept, oldest first."""

    def open(self, number: int) -> ReadHandle:
        """Open one for reading. Raises Changed where there is none."""

    def discard(self, number: int) -> int:
        """Remove one, absent is fine; the bytes of disk that it took."""


class Files(Protocol):
    """One drive's folder. See the module's docstring for the errors."""

    # --- looking ---------------------------------------------------------------------------------
    @property
    def mounts(self) -> frozenset[str]:
        """The directories that another disk was seen mounted at, and that were not seen to be removed since.

        While such a disk is away, what is in that directory is Unreadable or NotWritable, and not missing.
        """

    def expect_mounts(self, known: Iterable[str]) -> None:
        """``known`` was ``mounts`` in an earlier run."""

    @property
    def archive(self) -> Archive:
        """Where displaced files are kept for history."""

    def root_present(self) -> bool:
        """Whether the root's path still leads to the folder that was opened, its ``.p2pdrive`` inside."""

    @property
    def makes_private(self) -> bool:
        """Whether all that anybody makes here is private by habit (an umask of 077), which says nothing."""

    @property
    def odd(self) -> bool:
        """Whether some disk cannot hold all that a drive may have: ``unfit`` and ``twin`` say what."""

    def unfit(self, path: str, link: bool) -> str | None:
        """Why no file (for ``link``: no symlink) can be at ``path`` on its disk, in words. None where one
        can."""

    def twin(self, path: str) -> Twin | None:
        """What keeps ``path`` from being there: a name, its own or of a directory above it, that the disk
        takes for another one, which is there. None for what is there itself, and where there is nothing."""

    def stat(self, path: str) -> Stat | None:
        """What is at ``path``, symlinks not followed; None only if there is nothing, under a healthy root.

        A path through a file or a symlink leads to nothing. Raises RootMissing, Unreadable.
        """

    def stats(self, paths: Iterable[str]) -> dict[str, Stat | None]:
        """``stat`` of many, at less cost; paths for which it would raise are left out. Raises RootMissing."""

    def being_written(self, path: str) -> bool:
        """Whether a program has the file at ``path`` open for writing; False where nobody can tell.

        Raises Unreadable.
        """

    def list(self, path: str) -> Sequence[Name]:
        """The names in one directory, sorted by their bytes. Raises Changed where it is no directory."""

    def names(self, path: str, most: int) -> Collection[str] | None:
        """The names in one directory, as ``list`` has more of; None where these are more than ``most``, or it
        cannot be listed. Raises RootMissing."""

    def open(self, path: str) -> ReadHandle:
        """Open a regular file for reading; never waits. Raises Changed where there is none."""

    def free_bytes(self) -> int:
        """Bytes that may still be written in the root's file system."""

    def disk_bytes(self) -> int:
        """Bytes of the root's file system, free or not."""

    # --- the temporary area ----------------------------------------------------------------------
    def open_temporary(self, name: str, size: int) -> WriteHandle:
        """Open a temporary of ``size`` bytes, keeping what an earlier run wrote to it.

        Bytes never written are zeros. ``name`` is one that the caller chose: a plain file name.
        Killed at any time: the temporary is there with some of its bytes; nothing else is touched.
        """

    def finish_temporary(
        self, name: str, mtime_ns: int, executable: bool, private: bool | None = None
    ) -> Stat:
        """Set what a whole temporary is to have when published. Not durable before ``sync_temporaries``.

        ``private``: it is for nobody but its owner; None: as what it is to replace, if anything.
        """

    def temporaries(self) -> Sequence[str]:
        """The names of all temporaries, the displaced left out."""

    def displaced(self) -> Sequence[Displaced]:
        """What was displaced and not discarded: after a kill or a ``Changed``, files to find a place for.

        Before a scan believes that a file was deleted, its displaced version is to be handled:
        ``publish`` puts one (back) at a path where there is nothing.
        """

    def open_displaced(self, name: str) -> ReadHandle:
        """Open a displaced regular file for reading. Raises Changed where there is none."""

    def discard(self, name: str) -> None:
        """Remove a temporary, or a displaced file whose content is kept elsewhere; absent is fine."""

    # --- changing the folder ---------------------------------------------------------------------
    def publish(self, name: str, path: str, expected: Stat | None) -> Published:
        """Give a finished temporary (or displaced) file its place, where ``expected`` is now.

        Before: the temporary is whole and durable; its parent is a directory.
        After: ``path`` is it, and what ``expected`` described is displaced, verified, not lost.
        Killed in between: ``path`` is wholly the old or the new version; the other one may be among the
        displaced. Where the file system cannot exchange two names, ``path`` may be absent, with the
        old version among the displaced.
        Raises Changed, with what was there before in place again, if that was not ``expected`` or is
        being written; with something else (None expected); or where the parent is no directory. Where
        yet another file came to ``path`` meanwhile, that one stays and the earlier is among the displaced.
        A replacement keeps what the person here gave what it replaces (owner, group, permissions, access
        list, extended attributes), but for the executable bit and whether it is private; what is new is as
        if made in its folder. What is to be private is that before it has its name.
        """

    def move(self, source: str, path: str, expected: Stat) -> Stat:
        """Rename a file or symlink to a path where there is nothing.

        Killed in between: it is at one of the two, or (across file systems, or without the rename
        calls) among the displaced. Raises Changed, InUse as ``publish`` does, LeftDisplaced where an error
        left it among the displaced. Returns what is at ``path``, or was there, if someone took it away at
        once.
        """

    def remove(self, path: str, expected: Stat) -> str:
        """Take a file or symlink out of the folder; the name under which it is displaced.

        Killed in between: it is at ``path`` or among the displaced.
        Raises Changed, with what was there in place again, if that was not ``expected`` or is being
        written; where another file came to ``path`` meanwhile, the earlier one is among the displaced.
        """

    def make_directory(self, path: str, private: bool | None = None) -> None:
        """Make a directory; one that is there is fine. Its parent must be there.

        ``private``: it is for nobody but its owner from the first moment, or from now on; None: as new ones
        are, or as it is. Another account's directory stays as it is.
        """

    def remove_directory(self, path: str) -> bool:
        """Remove a directory if it is empty: False if it is not; absent is fine."""

    def make_symlink(self, path: str, target: str, expected: Stat | None) -> Published:
        """Publish a symlink, as ``publish`` does. The target is never followed."""

    def set_metadata(
        self, path: str, mtime_ns: int, executable: bool, expected: Stat, private: bool | None = None
    ) -> Stat:
        """Set a file's time and executable bit, its content being ``expected``'s; and, unless None, whether
        it is private.

        Never hides an edit: nobody can open the file for writing meanwhile, or, where the platform
        cannot promise that, the file is replaced by a copy of itself. So is a file that has other names, of
        a snapshot perhaps, which are not to change. Nothing is done to another account's file.
        """

    # --- durability ------------------------------------------------------------------------------
    def sync_temporaries(self, names: Iterable[str]) -> Mapping[str, WorldError]:
        """Make finished temporaries durable: before they are published. Returns which are not, and why; what
        such a one holds may be lost though a later sync of it succeeds, so it is to be discarded."""

    def sync_files(self, paths: Iterable[str]) -> Mapping[str, WorldError]:
        """Make bytes, times and modes of these files durable: before anyone hears of them.

        The program that wrote them may not have. Returns which are not, and why: Changed where there is no
        file (any more), and what was there may be elsewhere now; Unreadable where it cannot be opened; else
        what the disk says, NotWritable or DiskFull.
        """

    def sync_directories(self, paths: Iterable[str]) -> Mapping[str, WorldError]:
        """Make the names in these directories durable: before the index says so.

        Of one that is gone that is made durable: the nearest above it is synced. Returns which are not
        durable, or not there (any more), and why, like ``sync_files``.
        """

    def sync_all(self) -> None:
        """Make all in the folder durable, wherever it is by now. That may take its time."""

    def close(self) -> None:
        """Let the root go."""
