"""Inodes of the simulated disk: what is there now, and what of it would survive a power cut.

Contents are ``bytes`` wherever possible, so that snapshots and durable images share them; a content that
is being written piece by piece is a ``bytearray`` until somebody wants to keep it.
"""

import os
from random import Random
from typing import NamedTuple

from p2pdrive.folder.files import FileKind, Stat

#: What a disk writes at once: after a power cut each page is wholly old or wholly new.
PAGE_BYTES = 4096
_INTEGER_MAX = (1 << 63) - 1
_DIRECTORY_BYTES = 4096

#: A name as it is spelled, and what has it.
Entry = tuple[str, "Inode"]


class Inode:
    """What a name leads to. ``links`` counts the names; ``opens`` those who have it open; ``denied`` is what
    we may not do with it; nobody but its owner may do anything with what is ``private``. What is ``modeless``
    is on a disk that does not keep that, nor whether it is executable."""

    __slots__ = ("ctime_ns", "denied", "known", "links", "modeless", "mtime_ns", "number", "opens", "private")

    kind = FileKind.OTHER

    def __init__(self, number: int, now_ns: int) -> None:
        self.number = number
        self.mtime_ns = now_ns
        self.ctime_ns = now_ns
        self.links = 0
        self.opens = 0
        self.denied = MAY_ALL
        self.private = False
        self.modeless = False
        self.known: Stat | None = None  # the last Stat, until something changes

    def stat(self) -> Stat:
        """What the drive sees of it."""
        if self.known is None:
            self.known = self._stat()
        return self.known

    def changed(self, now_ns: int) -> None:
        """Something but its content is another."""
        self.ctime_ns = now_ns
        self.known = None

    def _stat(self) -> Stat:
        return Stat(self.kind, 0, self.mtime_ns, self.ctime_ns, self.number, False, None)


#: Degrees of ``Inode.denied``.
MAY_ALL, MAY_READ, MAY_NOTHING = range(3)


class Image(NamedTuple):
    """A file as it is on the platter."""

    data: bytes
    executable: bool
    mtime_ns: int
    ctime_ns: int
    private: bool


class File(Inode):
    """A regular file. ``writers`` have it open for writing; nobody can while it is ``leased``.

    ``charge`` is the space that it takes, in bytes; ``durable`` what was last made durable, if anything.
    """

    __slots__ = ("charge", "data", "durable", "executable", "leased", "writers")

    kind = FileKind.FILE

    def __init__(self, number: int, now_ns: int, data: bytes | bytearray = b"") -> None:
        super().__init__(number, now_ns)
        self.data = data
        self.executable = False
        self.charge = 0
        self.writers = 0
        self.leased = False
        self.durable: Image | None = None

    def content(self) -> bytes:
        """Its bytes, to be kept; they are not copied twice."""
        if isinstance(self.data, bytearray):
            self.data = bytes(self.data)
        return self.data

    def written(self, now_ns: int) -> None:
        """Its content is another."""
        self.mtime_ns = self.ctime_ns = now_ns
        self.known = None

    def overwrite(self, view: bytes | bytearray | memoryview, offset: int) -> None:
        """Put ``view`` at ``offset``, with zeros before it where the file was shorter."""
        end = offset + len(view)
        if offset == 0 and end >= len(self.data):
            self.data = bytes(view)
            return
        if isinstance(self.data, bytes):
            self.data = bytearray(self.data)
        if offset > len(self.data):
            self.data += bytes(offset - len(self.data))
        self.data[offset:end] = view

    def resize(self, size: int) -> None:
        """Cut, or grow by zeros."""
        if size > len(self.data):
            self.data = bytes(size) if not self.data else bytearray(self.data) + bytes(size - len(self.data))
        else:
            self.data = self.data[:size]

    def image(self) -> Image:
        """What it is now."""
        return Image(self.content(), self.executable, self.mtime_ns, self.ctime_ns, self.private)

    def sync(self) -> None:
        """Make content, mode and times durable."""
        self.durable = self.image()

    def survive(self, random: Random) -> None:
        """Become what a power cut may have left: old, new, or something in between.

        An inode is old or new as a whole, and new wherever the content is not the old one: a new content
        under old times exists (an overwrite in place, its inode not written yet), but nobody can tell it
        from bit rot.
        """
        new = self.image()
        old = self.durable or Image(b"", new.executable, new.mtime_ns, new.ctime_ns, new.private)
        if new != old:
            data = random.choice((old.data, old.data, new.data, new.data, _torn(random, old.data, new.data)))
            inode = random.choice((old, new)) if data == old.data else new
            self.data = data
            self.executable, self.mtime_ns, self.ctime_ns = inode.executable, inode.mtime_ns, inode.ctime_ns
            self.private = inode.private
            self.known = None
        self.writers = self.opens = 0
        self.leased = False
        self.sync()

    def _stat(self) -> Stat:
        size, times = len(self.data), (self.mtime_ns, self.ctime_ns)
        executable, private = (None, None) if self.modeless else (self.executable, self.private)
        links = max(self.links, 1)
        return Stat(FileKind.FILE, size, *times, self.number, executable, None, private, links)


class Directory(Inode):
    """Names by their key (``Volume.key``); ``durable`` are those on the platter, and ``durably_private``."""

    __slots__ = ("durable", "durably_private", "entries")

    kind = FileKind.DIRECTORY

    def __init__(self, number: int, now_ns: int) -> None:
        super().__init__(number, now_ns)
        self.entries: dict[str, Entry] = {}
        self.durable: dict[str, Entry] = {}
        self.durably_private: bool | None = None  # not known before it was synced once

    def sync(self) -> None:
        """Make its permissions durable."""
        self.durably_private = self.private

    def survive(self, random: Random) -> None:
        """Become what a power cut may have left of its permissions."""
        if self.durably_private not in (None, self.private) and random.random() < 0.5:
            self.private = not self.private
            self.known = None
        self.sync()

    def _stat(self) -> Stat:
        times = (self.mtime_ns, self.ctime_ns)
        private = None if self.modeless else self.private
        return Stat(FileKind.DIRECTORY, _DIRECTORY_BYTES, *times, self.number, False, None, private)


class Link(Inode):
    """A symlink; its target never changes."""

    __slots__ = ("target",)

    kind = FileKind.SYMLINK

    def __init__(self, number: int, now_ns: int, target: str) -> None:
        super().__init__(number, now_ns)
        self.target = target

    def _stat(self) -> Stat:
        raw = self.target.encode(errors="surrogateescape")
        target = None if any("\ud800" <= letter <= "\udfff" for letter in self.target) else self.target
        return Stat(FileKind.SYMLINK, len(raw), self.mtime_ns, self.ctime_ns, self.number, False, target)


class Other(Inode):
    """Neither file, directory nor symlink: a pipe, say."""

    __slots__ = ()


def os_error(number: int, path: str = "") -> OSError:
    """What a system call raises."""
    return OSError(number, os.strerror(number), path)


def in_range(time_ns: int) -> int:
    """A time as a Stat can hold it. Raises OverflowError where no system could."""
    if not -(1 << 63) <= time_ns // 10**9 < 1 << 63:
        raise OverflowError("timestamp out of range for platform time_t")
    return min(max(time_ns, -_INTEGER_MAX), _INTEGER_MAX)


def _torn(random: Random, old: bytes, new: bytes) -> bytes:
    """Some pages old, some new; zeros, or nothing, where neither is."""
    size = random.choice((len(old), len(new)))
    pages = []
    for start in range(0, size, PAGE_BYTES):
        end = min(start + PAGE_BYTES, size)
        page = random.choice((old, new))[start:end]
        pages.append(page + bytes(end - start - len(page)))
    return b"".join(pages)
