"""Cutting files with holes: what was never written is not read, and blocks of zeros are counted.

A block depends on nothing but the bytes from its start up to the largest size of a block. So a block that
begins with that many zeros is always the same one, and in a hole one such block follows another. All else is
cut as any other content: the blocks are those of a plain reading, byte for byte.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

from blake3 import blake3

from p2pdrive.blocks.chunking import Chunker, Read
from p2pdrive.model.manifest import Manifest

#: What disks leave out of a file: an aligned page, on nearly all.
PAGE_BYTES = 4096
_PAGE = bytes(PAGE_BYTES)

#: A hole of fewer largest blocks than this is read: to begin to cut anew behind it costs a buffer read twice.
_PASSED_BLOCKS_MIN = 8


class SparseFile(Protocol):
    """An open file whose holes are known: see ``ReadHandle``."""

    def pread(self, view: memoryview, offset: int) -> int:
        """Fill from ``offset``; the bytes read, 0 at the end."""

    def next_data(self, offset: int) -> int:
        """Where data begins at or behind ``offset``."""

    def next_hole(self, offset: int) -> int:
        """Where the next hole begins at or behind ``offset``."""


class SparseWriting(Protocol):
    """An open file that is written to: see ``WriteHandle``."""

    def next_data(self, offset: int) -> int:
        """Where data begins at or behind ``offset``."""

    def pwrite(self, view: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of it at ``offset``."""


def chunk_sparse(chunker: Chunker, file: SparseFile, size: int) -> Manifest:
    """What ``chunker.chunk`` makes of the first ``size`` bytes of the file: of fewer, where it is shorter.
    Errors of reading pass through."""
    length, block = chunker.zeros
    zeros = Manifest.single(length, block).packed
    packed = bytearray()
    at, ended = 0, not size
    while not ended:
        empty = min(file.next_data(at), size) - at
        if empty >= chunker.maximum:
            count = (empty - chunker.maximum) // length + 1
            packed += zeros * count
            at += count * length
        until = _next_large_hole(file, at, size, _PASSED_BLOCKS_MIN * chunker.maximum)
        ended = True
        for block, data in chunker.blocks(reading(file, at, size)):
            packed += Manifest.single(len(data), block).packed
            at += len(data)
            if until <= at < size:
                ended = False
                break
    return Manifest(bytes(packed))


def written_ranges(chunker: Chunker, manifest: Manifest) -> Iterator[tuple[int, int, bytes]]:
    """``manifest.ranges()`` without the blocks of zeros that a hole is cut into: they stay unwritten."""
    zeros = chunker.zeros
    in_zeros = False
    last = len(manifest) - 1
    for number, (offset, length, block) in enumerate(manifest.ranges()):
        if (length, block) == zeros:
            in_zeros = True
        elif not (in_zeros and number == last and block == _hash_of_zeros(length)):
            in_zeros = False
            yield offset, length, block


def data_bytes(chunker: Chunker, manifest: Manifest) -> int:
    """The bytes of a content but for the blocks that a hole is cut into, which cost no reading."""
    length, block = chunker.zeros
    return manifest.size - length * manifest.packed.count(Manifest.single(length, block).packed)


def write_sparse(file: SparseWriting, data: memoryview, offset: int) -> None:
    """Write a block into a file of full size; pages of zeros stay holes, where the file has a hole now.

    Whatever an earlier run left there is written over. Errors of writing pass through.
    """
    done = 0
    for start, end in _zeros_in(data, offset):
        if file.next_data(offset + start) >= offset + end:
            if done < start:
                file.pwrite(data[done:start], offset + done)
            done = end
    if done < len(data):
        file.pwrite(data[done:], offset + done)


def _zeros_in(data: memoryview, offset: int) -> Iterator[tuple[int, int]]:
    """The runs of pages that have nothing but zeros, as far as they are in ``data``: start and end in it."""
    head = -offset % PAGE_BYTES
    if 0 not in bytes(data[:1]) + bytes(data[head::PAGE_BYTES]):
        return  # nearly all blocks, at the cost of a look at each page's first byte
    starts = [*([0] if head else []), *range(head, len(data), PAGE_BYTES)]
    run: int | None = None
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        if data[start] == 0 and _PAGE.startswith(data[start:end]):
            run = start if run is None else run
        elif run is not None:
            yield run, start
            run = None
    if run is not None:
        yield run, len(data)


def _next_large_hole(file: SparseFile, at: int, size: int, least: int) -> int:
    """Where the next hole of ``least`` bytes begins; ``size`` where there is none."""
    while at < size:
        hole = file.next_hole(at)
        at = max(file.next_data(hole), hole + 1)
        if at - hole >= least:
            return hole
    return size


def reading(file: SparseFile, at: int, size: int) -> Read:
    """Reads on from ``at``, and no further than to ``size``: a file may grow meanwhile."""

    def read(view: memoryview) -> int:
        nonlocal at
        count = file.pread(view[: size - at], at)
        at += count
        return count

    return read


@lru_cache(64)
def _hash_of_zeros(length: int) -> bytes:
    return blake3(bytes(length)).digest()
