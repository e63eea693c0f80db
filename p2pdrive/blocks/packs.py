"""Pack files: blocks that the store owns, appended one after another and never changed.

Numbers are big-endian::

    pack   = "p2pdrive pack" (13 bytes)  version: 3 bytes, 1  entry*
    entry  = header (52 bytes)  the block in its stored form
    header = "BLK" 0x01  form: 1 byte, 0 raw, 1 zstd  zero: 3 bytes  stored: 4 bytes, the length of what
             follows the header  length: 4 bytes, of the block  block: 32 bytes, its BLAKE3
             crc: 4 bytes, CRC-32 (as in zlib) of the header before it

A place is where an entry begins. What a crash leaves behind the last whole entry is not an entry, and is
overwritten; bytes that are none between entries are passed over, up to the next header that holds.
"""

import errno
import os
import re
import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from blake3 import blake3

from p2pdrive.blocks.compression import Form, expand
from p2pdrive.errors import DiskFull, NotWritable
from p2pdrive.limits import BLOCK_BYTES_MAX, MIB, PACK_BYTES_MAX, PACKS_OPEN_MAX

MAGIC = b"p2pdrive pack\x00\x00\x01"
ENTRY_MAGIC = b"BLK\x01"
_FIELDS = struct.Struct(">4sB3xII32s")
_CRC = struct.Struct(">I")
_NAME = re.compile(r"([0-9a-f]{8})\.pack")
HEADER_BYTES = _FIELDS.size + _CRC.size


class Place(NamedTuple):
    """Where a block's entry is: pack number, offset of the entry in it, stored and true length, form."""

    pack: int
    offset: int
    stored: int
    length: int
    form: int

    @property
    def end(self) -> int:
        """The offset just behind the entry."""
        return self.offset + HEADER_BYTES + self.stored


class PackFile:
    """An open pack; closed when the last who uses it lets go, so that no reader loses it on the way."""

    def __init__(self, path: Path, flags: int) -> None:
        self.descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)

    def size(self) -> int:
        """Bytes."""
        return os.fstat(self.descriptor).st_size


class Packs:
    """The pack files of one directory, named ``<number in 8 hex digits>.pack``.

    Reading may be done by several threads at once, appending by one at a time. OSErrors of reading pass
    through; those of writing become DiskFull or NotWritable.
    """

    def __init__(self, directory: Path, sync: Callable[[int], None] = os.fsync) -> None:
        self._directory = directory
        self._sync = sync
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise self._write_error(error) from error
        self._open_packs: OrderedDict[int, PackFile] = OrderedDict()
        self._open_lock = Lock()
        self._number = 0  # the pack to append to, and the offset behind its last whole entry
        self._end = 0

    def numbers(self) -> list[int]:
        """The packs that are there, oldest first."""
        matches = (_NAME.fullmatch(name) for name in os.listdir(self._directory))
        return sorted(int(match[1], 16) for match in matches if match)

    def path(self, number: int) -> Path:
        """The file of a pack."""
        return self._directory / f"{number:08x}.pack"

    def append_to(self, number: int, end: int) -> None:
        """Choose the pack that grows from now on; what is behind ``end`` in it is cut off."""
        self._number, self._end = number, end
        self._cut()

    def pass_over(self, number: int) -> None:
        """Let a pack grow no more."""
        if number == self._number:
            self.append_to(number + 1, 0)

    def files(self) -> list[tuple[int, int, int]]:
        """(number, when it was last written in ns, bytes) of each pack."""
        found = []
        for number in self.numbers():
            with suppress(FileNotFoundError):
                stat = self.path(number).stat()
                found.append((number, stat.st_mtime_ns, stat.st_size))
        return found

    def remove(self, number: int) -> int:
        """Remove a pack; the bytes that it had. Raises NotWritable."""
        with self._open_lock:
            self._open_packs.pop(number, None)
        try:
            size = self.path(number).stat().st_size
            self.path(number).unlink()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise self._write_error(error) from error
        return size

    def empty(self, number: int) -> int:
        """Give up what a pack holds: the bytes that it had. Raises NotWritable."""
        try:
            size = self.path(number).stat().st_size
            os.truncate(self.path(number), 0)
        except OSError as error:
            raise self._write_error(error) from error
        return size

    def is_empty(self, number: int) -> bool:
        """Whether it gave up what it held, to make room on a full disk."""
        try:
            return self.path(number).stat().st_size == 0
        except OSError:
            return False

    def append(self, entries: Sequence[tuple[bytes, int, Form, bytes]]) -> list[Place]:
        """Write (block, length, form, stored bytes) in one go, in a new pack if they do not fit this one.

        Durable after ``sync``. Raises DiskFull or NotWritable; then none of them is there, and the pack
        is as it was.
        """
        size = sum(HEADER_BYTES + len(stored) for _, _, _, stored in entries)
        if self._end and self._end + size > PACK_BYTES_MAX:
            self._number, self._end = self._number + 1, 0
        parts = [] if self._end else [MAGIC]
        offset = self._end or len(MAGIC)
        places = []
        for block, length, form, stored in entries:
            parts += (_header(form, len(stored), length, block), stored)
            places.append(Place(self._number, offset, len(stored), length, form))
            offset = places[-1].end
        try:
            self._write(b"".join(parts))
        except OSError as error:
            self._cut()
            raise self._write_error(error) from error
        self._end = offset
        return places

    def sync(self, numbers: Iterable[int]) -> None:
        """Make what was appended to these packs durable. Raises DiskFull or NotWritable."""
        try:
            for number in numbers:
                self._sync(self._open(number).descriptor)
            directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._sync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise self._write_error(error) from error

    def read(self, place: Place) -> bytes | None:
        """A block's bytes, not yet checked against its hash; None if it cannot be what the place says."""
        if not _plausible(place.stored, place.length) or place.offset < len(MAGIC):
            return None
        pack = self._open(place.pack)
        stored = os.pread(pack.descriptor, place.stored, place.offset + HEADER_BYTES)
        return expand(place.form, stored, place.length)

    def scan(self, number: int, start: int) -> Iterator[tuple[bytes, Place]]:
        """The whole, verified entries from an offset on: (block, place)."""
        pack = self._open(number)
        at = max(start, len(MAGIC))
        while at < pack.size():
            found = _entry_at(pack, number, at)
            if found is None:
                at = _next_magic(pack, at + 1)
                continue
            block, place = found
            data = self.read(place)
            if data is not None and blake3(data).digest() == block:
                yield block, place
                at = place.end
            else:
                at = _next_magic(pack, at + 1)

    def sound(self, number: int, end: int) -> bool:
        """Whether a pack is empty, or of this version and whole up to ``end``, and so may grow."""
        pack = self._open(number)
        size = pack.size()
        return size == 0 or (size >= end and os.pread(pack.descriptor, len(MAGIC), 0) == MAGIC)

    def close(self) -> None:
        """Let go of the open files."""
        with self._open_lock:
            self._open_packs.clear()

    def _open(self, number: int, flags: int = os.O_RDWR) -> PackFile:
        with self._open_lock:
            pack = self._open_packs.get(number)
            if pack is None:
                pack = self._open_packs[number] = PackFile(self.path(number), flags)
                if len(self._open_packs) > PACKS_OPEN_MAX:
                    self._open_packs.popitem(last=False)
            self._open_packs.move_to_end(number)
            return pack

    def _write(self, data: bytes) -> None:
        pack = self._open(self._number, os.O_RDWR | os.O_CREAT)
        left, at = memoryview(data), self._end
        while left:
            count = os.pwrite(pack.descriptor, left, at)
            left, at = left[count:], at + count

    def _cut(self) -> None:
        with suppress(OSError):  # what is left would be written over, or be whole entries after all
            os.ftruncate(self._open(self._number).descriptor, self._end)

    def _write_error(self, error: OSError) -> DiskFull | NotWritable:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return DiskFull(f"No space left for {self._directory}. Free some space on that disk.")
        return NotWritable(f"{self._directory} cannot be written: {error.strerror}.")


def _header(form: int, stored: int, length: int, block: bytes) -> bytes:
    fields = _FIELDS.pack(ENTRY_MAGIC, form, stored, length, block)
    return fields + _CRC.pack(zlib.crc32(fields))


def _plausible(stored: int, length: int) -> bool:
    return 0 < stored <= length <= BLOCK_BYTES_MAX


def _entry_at(pack: PackFile, number: int, offset: int) -> tuple[bytes, Place] | None:
    header = os.pread(pack.descriptor, HEADER_BYTES, offset)
    if len(header) < HEADER_BYTES:
        return None
    magic, form, stored, length, block = _FIELDS.unpack_from(header)
    sound = magic == ENTRY_MAGIC and _CRC.unpack_from(header, _FIELDS.size)[0] == zlib.crc32(header[:-4])
    if not sound or not _plausible(stored, length):
        return None
    return block, Place(number, offset, stored, length, form)


def _next_magic(pack: PackFile, at: int) -> int:
    """The next offset where an entry may begin, or the end of the file."""
    while window := os.pread(pack.descriptor, MIB, at):
        found = window.find(ENTRY_MAGIC)
        if found >= 0:
            return at + found
        if len(window) < len(ENTRY_MAGIC):
            break
        at += len(window) - len(ENTRY_MAGIC) + 1
    return pack.size()
