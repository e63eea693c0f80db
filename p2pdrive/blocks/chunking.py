"""Cutting content into blocks at places that the content itself chooses."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Literal, cast

from blake3 import blake3
from pyfastcdc import FastCDC

from p2pdrive.model.genesis import Chunking
from p2pdrive.model.manifest import Manifest

#: Fills a part of the view from its start and says how many bytes; 0 at the end of the content.
Read = Callable[[memoryview], int]

#: Blocks of the largest size that one buffer holds: fewer leave more to move at each refill, more fall
#: out of the processor's cache between reading, cutting and hashing.
BUFFER_BLOCKS = 4


class Chunker:
    """FastCDC 2020 (Xia et al., IEEE TPDS 31(9)) with the sizes of one drive, in bytes.

    The same content gives the same blocks on every member and for every way to read it. No block but a
    content's last is smaller than ``minimum``, none is larger than ``maximum``; with the default sizes
    they come out at 295 KiB on average. Content up to ``minimum`` is one block, empty content none.

    May be used by several threads at once. Memory: one buffer of four maximum blocks a use under way.
    """

    def __init__(self, chunking: Chunking) -> None:
        self._chunking = chunking
        self._spare_buffers: list[bytearray] = []

    def chunk(self, read: Read) -> Manifest:
        """Read content to its end, in memory that does not grow with it. Errors of ``read`` pass through."""
        return Manifest.of((len(data), block) for block, data in self.blocks(read))

    def blocks(self, read: Read) -> Iterator[tuple[bytes, memoryview]]:
        """Each block's hash and bytes in order, from one reading; the bytes are valid until the next one."""
        buffer = self._spare_buffers.pop() if self._spare_buffers else self._new_buffer()
        try:
            yield from self._cut(read, memoryview(buffer))
        finally:
            self._spare_buffers.append(buffer)

    @property
    def maximum(self) -> int:
        """Bytes of the largest block."""
        return self._chunking.maximum

    @cached_property
    def zeros(self) -> tuple[int, bytes]:
        """The block that zeros begin with, if they are as many as the largest block has: bytes and hash."""
        (cut, *_) = self._new_cutter().cut_buf(bytes(2 * self.maximum))
        return cut.length, blake3(cut.data).digest()

    def _cut(self, read: Read, buffer: memoryview) -> Iterator[tuple[bytes, memoryview]]:
        filled, ended = _fill(read, buffer, 0)
        if ended and filled <= self._chunking.minimum:  # most files: not worth a cutter
            if filled:
                yield blake3(buffer[:filled]).digest(), buffer[:filled]
            return
        cutter = self._new_cutter()
        while True:
            done = 0
            for cut in cutter.cut_buf(buffer[:filled]):
                if not ended and filled - cut.offset < self._chunking.maximum:
                    break  # the buffer's end may have cut it short
                yield blake3(cut.data).digest(), cut.data
                done = cut.offset + cut.length
            if ended:
                return
            buffer[: filled - done] = buffer[done:filled]
            filled, ended = _fill(read, buffer, filled - done)

    def _new_buffer(self) -> bytearray:
        return bytearray(BUFFER_BLOCKS * self._chunking.maximum)

    def _new_cutter(self) -> FastCDC:
        cut = self._chunking
        return FastCDC(
            cut.average,
            min_size=cut.minimum,
            max_size=cut.maximum,
            normalized_chunking=cast(Literal[0, 1, 2, 3], cut.normalisation),
        )


def chunk_small(content: bytes | bytearray | memoryview) -> Manifest:
    """The manifest of content that is at hand and no longer than the drive's minimum block."""
    return Manifest.single(len(content), blake3(content).digest()) if content else Manifest(b"")


def _fill(read: Read, buffer: memoryview, filled: int) -> tuple[int, bool]:
    """Read until the buffer is full or the content has ended: (bytes in the buffer, whether it ended)."""
    while filled < len(buffer):
        count = read(buffer[filled:])
        if count == 0:
            return filled, True
        filled += count
    return filled, False
