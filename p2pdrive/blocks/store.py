"""The store: where the blocks of a drive can be read from."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from sqlite3 import Connection
from threading import Lock
from typing import Any

from blake3 import blake3

from p2pdrive.blocks.compression import Compressor
from p2pdrive.blocks.packs import Packs, Place
from p2pdrive.errors import BlockMissing, DiskFull, WorldError
from p2pdrive.index.database import Database
from p2pdrive.limits import APPEND_BYTES, BLOCK_BYTES_MAX, BORROWED_TRIES_MAX, UNINDEXED_BLOCKS_MAX
from p2pdrive.model.manifest import HASH_BYTES, Manifest
from p2pdrive.model.problem import Problem

#: Reads a person's file: (entry id, offset, view to fill) → bytes read; less than asked only at its end.
ReadRange = Callable[[int, int, memoryview], int]

#: Blocks named in one statement: beyond some hundred it gets no faster.
ASKED_AT_ONCE = 500

_PACKED = "SELECT block, pack, offset, stored, length, form FROM packed WHERE block IN ({})"
_BORROWED = "SELECT entry, offset, length FROM borrowed WHERE block = ? LIMIT ?"
_HELD = """WITH asked (block) AS (VALUES {}) SELECT block FROM asked
    WHERE EXISTS (SELECT 1 FROM packed WHERE packed.block = asked.block)
    OR EXISTS (SELECT 1 FROM borrowed WHERE borrowed.block = asked.block"""
_HOLDERS = "SELECT block, entry FROM borrowed WHERE block IN ({})"
_BORROWED_LENGTHS = "SELECT block, max(length) FROM borrowed WHERE block IN ({}) GROUP BY block"
_LAST_IN_PACK = """SELECT pack, offset, stored, length, form FROM packed
    WHERE pack = ? ORDER BY offset DESC LIMIT 1"""
_UNPACK = "DELETE FROM packed WHERE block = ? AND pack = ? AND offset = ?"
_UNBORROW = "DELETE FROM borrowed WHERE block = ? AND entry = ? AND offset = ?"


class Store:
    """Blocks in packs, which the store owns, and in ranges borrowed from the person's own files.

    Every block read is checked by its hash, so that neither a damaged pack nor an edited file can give
    wrong bytes. Synchronous; may be used by several threads at once, but ``add``, ``flush`` and reading not
    from within a transaction of the index. Opening takes up again what a crash kept out of the index.

    ``sync`` makes the file of a descriptor durable. Raises DiskFull or NotWritable where the packs cannot be
    written.
    """

    def __init__(
        self,
        database: Database,
        directory: Path,
        read_range: ReadRange,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self._database = database
        self._read_range = read_range
        self._packs = Packs(directory, sync)
        self._compressor = Compressor()
        self._lock = Lock()  # of appending, and of what is not yet in the index
        self._unindexed: dict[bytes, Place] = {}
        self._problems: dict[int, Problem] = {}
        self._recover()

    def read(self, block: bytes) -> bytes | bytearray:
        """The bytes of a block. Raises BlockMissing if they are nowhere here, or only damaged."""
        (data,) = self.read_many((block,))
        if data is None:
            raise BlockMissing(f"Block {block.hex()[:16]} is not in this store; another member may have it.")
        return data

    def read_many(self, blocks: Sequence[bytes]) -> list[bytes | bytearray | None]:
        """The bytes of each block, None for those that ``read`` would raise for; in the order of the disk."""
        contents: dict[bytes, bytes | bytearray] = {}
        places = self._places(blocks)
        for block, place in sorted(places.items(), key=lambda item: item[1]):
            owned = self._read_packed(block, place)
            if owned is not None:
                contents[block] = owned
        if len(contents) < len(blocks):
            contents.update(self._read_borrowed({block for block in blocks if block not in contents}))
        return [contents.get(block) for block in blocks]

    def held(self, blocks: Iterable[bytes]) -> set[bytes]:
        """Those blocks that the store knows a place for."""
        asked = set(blocks)
        found = {block for block in asked if block in self._unindexed}
        with self._database.read() as connection:
            found.update(block for (block,) in _select(connection, _HELD + ")", asked - found, "(?)"))
        return found

    def held_elsewhere(self, blocks: Iterable[bytes], entries: Collection[int]) -> set[bytes]:
        """Those blocks that would still have a place if nothing could be read from these entries' files."""
        asked = set(blocks)
        found = {block for block in asked if block in self._unindexed}
        with self._database.read() as connection:
            sql = _HELD + f" AND borrowed.entry NOT IN ({', '.join(map(str, entries))}))"
            found.update(block for (block,) in _select(connection, sql, asked - found, "(?)"))
        return found

    def held_by_history(self, blocks: Iterable[bytes]) -> set[bytes]:
        """Those blocks that have a place in packs or in the archive."""
        asked = set(blocks)
        found = {block for block in asked if block in self._unindexed}
        with self._database.read() as connection:
            sql = _HELD + " AND borrowed.entry < 0)"
            found.update(block for (block,) in _select(connection, sql, asked - found, "(?)"))
        return found

    def lengths(self, blocks: Iterable[bytes]) -> dict[bytes, int]:
        """Bytes of each block that the store knows a place for."""
        asked = set(blocks)
        found = {block: place.length for block, place in self._places(asked).items()}
        with self._database.read() as connection:
            found.update(_select(connection, _BORROWED_LENGTHS, asked.difference(found), "?"))
        return found

    def missing(self, blocks: Iterable[bytes]) -> list[bytes]:
        """Those blocks that the store knows no place for: in the order given, each once."""
        asked = list(dict.fromkeys(blocks))
        held = self.held(asked)
        return [block for block in asked if block not in held]

    def add(self, blocks: Iterable[tuple[bytes, bytes | bytearray | memoryview]]) -> None:
        """Put (hash, bytes) into packs, but those that packs hold already. Durable after ``flush``.

        The caller has checked the hashes. The bytes are copied before the next is asked for. Raises
        DiskFull or NotWritable; what was added before that stays.
        """
        for group in _groups(blocks):
            packed = self._places(group)
            with self._lock:
                self._append({block: data for block, data in group.items() if block not in packed})
                overfull = len(self._unindexed) >= UNINDEXED_BLOCKS_MAX
            if overfull:
                self.flush()

    def flush(self) -> None:
        """Make all that was added durable, and only then name it in the index."""
        with self._lock:
            added = dict(self._unindexed)
        if added:
            self._index(added)
            with self._lock:
                for block, place in added.items():
                    if self._unindexed.get(block) == place:
                        del self._unindexed[block]

    def borrow(self, connection: Connection, entry: int, manifest: Manifest) -> None:
        """Read the manifest's blocks from this entry's file too; within the caller's transaction."""
        self.borrow_all(connection, [(entry, manifest)])

    def borrow_all(self, connection: Connection, borrowed: Iterable[tuple[int, Manifest]]) -> None:
        """``borrow`` for many entries."""
        rows = (
            (block, entry, offset, length)
            for entry, manifest in borrowed
            for offset, length, block in _distinct_ranges(manifest)
        )
        connection.executemany("INSERT OR REPLACE INTO borrowed VALUES (?, ?, ?, ?)", rows)

    def unborrow(self, connection: Connection, entry: int) -> None:
        """Read nothing more from this entry's file; within the caller's transaction."""
        connection.execute("DELETE FROM borrowed WHERE entry = ?", (entry,))

    def packs(self) -> list[tuple[int, int, int]]:
        """(number, when it was last written in ns, bytes) of each pack file."""
        return self._packs.files()

    def only_in_history(self, blocks: Iterable[bytes]) -> tuple[set[int], set[int]]:
        """See ``only_in_history``."""
        with self._database.read() as connection:
            return only_in_history(connection, blocks)

    def close_pack(self, number: int) -> bool:
        """Add nothing more to a pack; False where the index does not name yet what was added last."""
        with self._lock:
            if any(place.pack == number for place in self._unindexed.values()):
                return False
            self._packs.pass_over(number)
        return True

    def forget_pack(self, connection: Connection, number: int) -> None:
        """Read nothing more from a closed pack; within the caller's transaction."""
        connection.execute("DELETE FROM packed WHERE pack = ?", (number,))

    def remove_pack(self, number: int) -> int:
        """Remove the file of a pack that is forgotten; the bytes that it had. Raises NotWritable."""
        return self._packs.remove(number)

    def empty_pack(self, number: int) -> int:
        """Give up what a closed pack holds, before the index can be told; the bytes that it had. Raises
        NotWritable."""
        return self._packs.empty(number)

    def problems(self) -> list[Problem]:
        """The damaged packs found since the store was opened, one problem a pack file."""
        return list(self._problems.values())

    def abandon(self) -> None:
        """Close the pack files, and write nothing more."""
        self._packs.close()

    def close(self) -> None:
        """Flush, and close the pack files."""
        try:
            self.flush()
        finally:
            self._packs.close()

    # --- reading

    def _places(self, blocks: Iterable[bytes]) -> dict[bytes, Place]:
        places = {}
        unknown = set()
        for block in blocks:
            place = self._unindexed.get(block)
            if place is None:
                unknown.add(block)
            else:
                places[block] = place
        with self._database.read() as connection:
            for block, *columns in _select(connection, _PACKED, unknown, "?"):
                places[block] = Place(*columns)
        return places

    def _read_packed(self, block: bytes, place: Place) -> bytes | None:
        try:
            data = self._packs.read(place)
        except FileNotFoundError:
            data = None
        except OSError as error:
            self._report(place.pack, f"cannot be read: {error.strerror}")
            return None
        if data is not None and blake3(data).digest() == block:
            return data
        if not self._packs.is_empty(place.pack):
            self._report(place.pack, "is damaged, or was removed")
        self._forget_packed(block, place)
        return None

    def _read_borrowed(self, blocks: set[bytes]) -> dict[bytes, bytearray]:
        with self._database.read() as connection:
            ranges = [
                (entry, offset, length, block)
                for block in blocks
                for entry, offset, length in connection.execute(_BORROWED, (block, BORROWED_TRIES_MAX))
            ]
        contents: dict[bytes, bytearray] = {}
        stale = []
        for entry, offset, length, block in sorted(ranges):
            if block in contents or not 0 < length <= BLOCK_BYTES_MAX:
                continue
            data = bytearray(length)
            try:
                count = self._read_range(entry, offset, memoryview(data))
            except (WorldError, OSError):
                continue  # cannot be read now, which does not say that it has changed
            if count == length and blake3(data).digest() == block:
                contents[block] = data
            elif count:
                stale.append((block, entry, offset))
        if stale:
            with suppress(WorldError), self._database.transaction() as connection:
                connection.executemany(_UNBORROW, stale)
        return contents

    def _forget_packed(self, block: bytes, place: Place) -> None:
        """So that the block counts as missing, and is fetched and added anew."""
        with self._lock:
            if self._unindexed.get(block) == place:
                del self._unindexed[block]
        with suppress(WorldError), self._database.transaction() as connection:
            connection.execute(_UNPACK, (block, place.pack, place.offset))

    def _report(self, pack: int, what: str) -> None:
        path = str(self._packs.path(pack))
        advice = "What it held is fetched again from other members where they have it. Check the disk."
        self._problems[pack] = Problem(path, f"This pack {what}. {advice}")

    # --- adding

    def _append(self, contents: dict[bytes, bytes]) -> None:
        entries = []
        for block, data in contents.items():
            if block not in self._unindexed:
                entries.append((block, len(data), *self._compressor.compress(data)))
        if entries:
            places = self._packs.append(entries)
            self._unindexed.update((entry[0], place) for entry, place in zip(entries, places, strict=True))

    def _index(self, added: dict[bytes, Place]) -> None:
        self._packs.sync({place.pack for place in added.values()})
        with self._database.transaction() as connection:
            rows = ((block, *added[block]) for block in sorted(added))  # in the order of the table: faster
            connection.executemany("INSERT OR IGNORE INTO packed VALUES (?, ?, ?, ?, ?, ?)", rows)

    # --- opening

    def _recover(self) -> None:
        there = self._packs.numbers()
        indexed = list(self._indexed_packs())
        for number in set(indexed).difference(there):
            self._report(number, "was removed")
            self._forget(number)
        for number in list(there):
            if number in indexed and self._packs.is_empty(number):
                self._forget(number)
                self._packs.remove(number)
                there.remove(number)
        newest = max((0, *there, *indexed))
        self._packs.append_to(newest + 1, 0)
        for number in there:
            try:
                end = self._recover_pack(number)
                if number == newest and self._packs.sound(number, end):
                    self._packs.append_to(number, end)
            except OSError as error:
                self._report(number, f"cannot be read: {error.strerror}")
            except DiskFull:
                continue  # what the index does not name of it is taken in at the next opening

    def _forget(self, pack: int) -> None:
        with self._database.transaction() as connection:
            self.forget_pack(connection, pack)

    def _recover_pack(self, number: int) -> int:
        """Index what a crash kept out of the index. Gives the offset behind the last whole entry, or 0."""
        end = self._indexed_end(number)
        found = dict(self._packs.scan(number, end))
        if found:
            self._index(found)
            end = max(place.end for place in found.values())
        return end

    def _indexed_packs(self) -> Iterator[int]:
        number: int | None = -1
        while number is not None:
            with self._database.read() as connection:
                row = connection.execute("SELECT min(pack) FROM packed WHERE pack > ?", (number,)).fetchone()
            number = row[0]
            if number is not None:
                yield number

    def _indexed_end(self, number: int) -> int:
        """The offset behind the last entry of a pack that the index names; 0 if it names none."""
        with self._database.read() as connection:
            row = connection.execute(_LAST_IN_PACK, (number,)).fetchone()
        return Place(*row).end if row else 0


def only_in_history(connection: Connection, blocks: Iterable[bytes]) -> tuple[set[int], set[int]]:
    """What holds blocks that no file of the folder has: numbers of the archive, and of packs."""
    archived: dict[bytes, set[int]] = {}
    asked = set(blocks)
    for block, entry in _select(connection, _HOLDERS, asked, "?"):
        archived.setdefault(block, set()).add(-entry)
    packed = {block: pack for block, pack, *_ in _select(connection, _PACKED, asked, "?")}
    here = {block for block, numbers in archived.items() if min(numbers) < 0}  # borrowed from the folder
    return (
        {number for block, numbers in archived.items() if block not in here for number in numbers},
        {pack for block, pack in packed.items() if block not in here},
    )


def _select(connection: Connection, sql: str, blocks: Iterable[bytes], mark: str) -> Iterator[Any]:
    """The rows (tuples) for any number of blocks; ``{}`` in the statement stands for their marks."""
    left = iter(blocks)
    while some := list(islice(left, ASKED_AT_ONCE)):
        yield from connection.execute(sql.format(", ".join([mark] * len(some))), some)


def _groups(blocks: Iterable[tuple[bytes, bytes | bytearray | memoryview]]) -> Iterator[dict[bytes, bytes]]:
    """Cut into runs of at least ``APPEND_BYTES``, by hash."""
    group: dict[bytes, bytes] = {}
    size = 0
    for block, data in blocks:
        assert len(block) == HASH_BYTES
        assert 0 < len(data) <= BLOCK_BYTES_MAX
        group[block] = bytes(data)
        size += len(data)
        if size >= APPEND_BYTES:
            yield group
            group, size = {}, 0
    if group:
        yield group


def _distinct_ranges(manifest: Manifest) -> Iterator[tuple[int, int, bytes]]:
    """A run of one block, the zeros of a sparse file say, needs only its first place."""
    previous = None
    for offset, length, block in manifest.ranges():
        if block != previous:
            yield offset, length, block
        previous = block
