"""Bringing the bytes of contents together in temporaries: what an earlier run left, what this store
holds, and, of the rest, which blocks to ask peers for. Synchronous; call it from ``offload``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from blake3 import blake3

from p2pdrive.blocks.sparse import PAGE_BYTES, write_sparse, written_ranges
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.room import make_room_for, reserved_bytes
from p2pdrive.engine.show import temporary_name
from p2pdrive.engine.tasks import Task
from p2pdrive.errors import DiskFull, WorldError
from p2pdrive.folder.reading import read_all
from p2pdrive.limits import BLOCK_BYTES_MAX, BUNDLE_BYTES
from p2pdrive.model.manifest import Manifest

CONTRADICTS = (
    "its record says another size than its content has, so it is not shown. It has to be saved anew."
)


@dataclass(frozen=True, slots=True)
class Want:
    """A content that a task needs, and the manifest it is made of."""

    task: Task
    manifest: Manifest

    @property
    def name(self) -> str:
        """Of the temporary that it is gathered in."""
        return temporary_name(self.task)

    @property
    def is_sound(self) -> bool:
        """Whether the manifest is what the task's record says."""
        content = self.task.content
        return (len(self.manifest), self.manifest.size) == (content.blocks, content.size)


class _Place(NamedTuple):
    """Where a block belongs: at ``offset`` of the temporary of want number ``want``, if it has ``length``."""

    want: int
    offset: int
    length: int


class Gathering:
    """The contents of one run of tasks on their way into temporaries.

    ``failed`` maps the number of a want to why it cannot be gathered now; the others go on. What hashes to a
    block's name is the block. A want that says another length of it CONTRADICTS, and can never be gathered.

    How much of a block is zeros, which take no room, nobody knows before it is here. So what may fit is
    begun, and given up where it does not. ``too_little`` maps a temporary to the bytes that were free then.
    """

    def __init__(self, replica: Replica, wants: Sequence[Want], too_little: dict[str, int]) -> None:
        self._replica = replica
        self.wants = wants
        self._too_little = too_little
        self._hopeful: dict[int, int] = {}  # wants that fit only if much in them is zeros, and what is free
        self.failed: dict[int, str] = {}
        self.claimed = 0  # bytes of disk that it needs
        self._places: dict[bytes, list[_Place]] = {}
        self._lengths: dict[bytes, int] = {}  # the most that any want says: it may be less, or more

    def prepare(self, earlier: frozenset[str], promised: int) -> list[tuple[bytes, int]]:
        """Take what is here: in the temporaries named in ``earlier``, and in the store.

        ``promised`` are the bytes of disk that other gatherings still need; what does not fit beside them
        fails. Returns (block, length in bytes as the wants say) of what is to be fetched, each block once.
        """
        reserved = reserved_bytes(self._replica) + promised

        def room() -> int:
            return self._replica.files.free_bytes() - reserved - self.claimed

        for number, want in enumerate(self.wants):
            if not want.is_sound:
                self._contradicts(number)
                continue
            try:
                present = self._present(want) if want.name in earlier else self._begun(want)
            except WorldError as error:
                self.failed[number] = str(error)
                continue
            lacking = [each for each in self._written(want) if each[0] not in present]
            needed = sum(length for _, length, _ in lacking)
            if needed > (free := room()):
                least = self._least(want, lacking)
                if least > free:
                    taken = reserved + self.claimed
                    if not make_room_for(self._replica, taken + needed):
                        make_room_for(self._replica, taken + least)
                    free = room()
                if least > free:
                    self._has_no_room(number, f"it needs {least:,} bytes on this disk, which is full")
                    continue
                if needed > free:
                    self._hopeful[number] = free
                    needed = min(needed, least)
            self.claimed += needed
            for offset, length, block in lacking:
                self._places.setdefault(block, []).append(_Place(number, offset, length))
                self._lengths[block] = max(length, self._lengths.get(block, 0))
        self._take_from_store()
        return list(self._lengths.items())

    def deliver(self, pieces: Iterable[tuple[bytes, memoryview]]) -> list[bytes]:
        """Write blocks that a peer sent to where they belong; returns those that their hash disproves.

        A length is no fault of the peer: the one that is wanted is what a record says, and anybody's record.
        """
        wrong: list[bytes] = []
        right: list[tuple[bytes, memoryview]] = []
        for block, data in pieces:
            if blake3(data).digest() == block:
                right.append((block, data))
            else:
                wrong.append(block)
        self._write(right)
        return wrong

    def give_up(self, blocks: Iterable[bytes], why: str) -> None:
        """The wants that need any of ``blocks`` cannot be gathered now."""
        for block in blocks:
            for place in self._places.get(block, ()):
                self.failed.setdefault(place.want, why)

    def _written(self, want: Want) -> Iterator[tuple[int, int, bytes]]:
        """The blocks that are written to the temporary: what stays a hole in it reads as zeros."""
        return written_ranges(self._replica.chunker, want.manifest)

    def _least(self, want: Want, lacking: Sequence[tuple[int, int, bytes]]) -> int:
        """Bytes that are to be free before these blocks are asked for. One is as large as any may be where
        what is cut repeats itself, as zeros do: such a one may be a page, and nothing but zeros around it."""
        largest = self._replica.chunker.maximum
        needed = sum(length for _, length, _ in lacking)
        least = sum(length if length < largest else PAGE_BYTES for _, length, _ in lacking)
        return min(least + self._too_little.get(want.name, 0), needed) if least <= needed // 2 else needed

    def _begun(self, want: Want) -> frozenset[int]:
        """Make the temporary of what has no blocks to be written."""
        if next(self._written(want), None) is None:
            self._replica.files.open_temporary(want.name, want.task.content.size).close()
        return frozenset()

    def _present(self, want: Want) -> frozenset[int]:
        """The offsets of the blocks that an earlier run wrote whole. What should be a hole gets its zeros."""
        found = set()
        buffer = memoryview(bytearray(BLOCK_BYTES_MAX))
        written = {offset for offset, _, _ in self._written(want)}
        data = -1  # where there is some, at or behind the last block
        with self._replica.files.open_temporary(want.name, want.task.content.size) as handle:
            for offset, length, block in want.manifest.ranges():
                if offset not in written:
                    data = handle.next_data(offset) if data < offset else data
                    if offset + length <= data:
                        continue
                view = buffer[:length]
                if read_all(handle.pread, view, offset) == length and blake3(view).digest() == block:
                    found.add(offset)
                elif offset not in written:
                    handle.pwrite(bytes(length), offset)
        return frozenset(found)

    def _expect_room(self, number: int, length: int) -> None:
        """Raise DiskFull where a want that might have fitted does not, before all that is free is taken."""
        if number not in self._hopeful:
            return
        if self._replica.files.free_bytes() - length < reserved_bytes(self._replica):
            raise DiskFull("it has more in it than there is room for on this disk, which is full")

    def _has_no_room(self, number: int, why: str) -> None:
        """Give up what has come of it: the disk is for what fits."""
        self._replica.files.discard(self.wants[number].name)
        self.failed[number] = f"{why}. Free some space, and it is tried again."

    def _contradicts(self, number: int) -> None:
        """Give it up for good, and what has come of it."""
        self._replica.files.discard(self.wants[number].name)
        self.failed[number] = CONTRADICTS

    def _take_from_store(self) -> None:
        held = self._replica.store.held(self._lengths)
        run: list[bytes] = []
        size = 0
        for block in list(held):
            run.append(block)
            size += self._lengths[block]
            if size >= BUNDLE_BYTES:
                self._take(run)
                run, size = [], 0
        self._take(run)

    def _take(self, blocks: Sequence[bytes]) -> None:
        contents = zip(blocks, self._replica.store.read_many(blocks), strict=True)
        found = [(block, memoryview(data)) for block, data in contents if data is not None]
        self._write(found)
        for block, _ in found:
            del self._lengths[block]

    def _write(self, pieces: Iterable[tuple[bytes, memoryview]]) -> None:
        by_want: dict[int, list[tuple[int, memoryview]]] = {}
        for block, data in pieces:
            for place in self._places[block]:
                if place.length == len(data):
                    by_want.setdefault(place.want, []).append((place.offset, data))
                elif self.failed.get(place.want) != CONTRADICTS:
                    self._contradicts(place.want)
        for number, writes in by_want.items():
            if number in self.failed:
                continue
            want = self.wants[number]
            try:
                with self._replica.files.open_temporary(want.name, want.task.content.size) as handle:
                    for offset, data in writes:
                        self._expect_room(number, len(data))
                        write_sparse(handle, data, offset)
            except DiskFull as error:
                self._has_no_room(number, str(error))
                if number in self._hopeful:
                    self._too_little[want.name] = self._hopeful[number]
                    continue
                make_room_for(self._replica, 0, want.task.content.size)  # for the next try
            except WorldError as error:
                self.failed[number] = str(error)
