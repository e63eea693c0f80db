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


def chunk_sparse(chunker: Chunker, file: SparseFile, size: int) -> Manifest:
    """What ``chunker.chunk`` makes of the file of ``size`` bytes. Errors of reading pass through."""
    length, block = chunker.zeros
    zeros = Manifest.single(length, block).packed
    packed = bytearray()
    at, ended = 0, not size
    while not ended:
        empty = file.next_data(at) - at
        if empty >= chunker.maximum:
            count = (empty - chunker.maximum) // length + 1
            packed += zeros * count
            at += count * length
        until = _next_large_hole(file, at, size, _PASSED_BLOCKS_MIN * chunker.maximum)
        ended = True
        for block, data in chunker.blocks(_reading(file, at)):
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


def _next_large_hole(file: SparseFile, at: int, size: int, least: int) -> int:
    """Where the next hole of ``least`` bytes begins; ``size`` where there is none."""
    while at < size:
        hole = file.next_hole(at)
        at = max(file.next_data(hole), hole + 1)
        if at - hole >= least:
            return hole
    return size


def _reading(file: SparseFile, at: int) -> Read:
    def read(view: memoryview) -> int:
        nonlocal at
        count = file.pread(view, at)
        at += count
        return count

    return read


@lru_cache(64)
def _hash_of_zeros(length: int) -> bytes:
    return blake3(bytes(length)).digest()
