"""Files with holes are cut into the very blocks of a plain reading, and their holes are not read."""

import io
import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pdrive.blocks.chunking import Chunker
from p2pdrive.blocks.sparse import chunk_sparse, write_sparse, written_ranges
from p2pdrive.folder.handles import LocalReadHandle, LocalWriteHandle
from p2pdrive.limits import KIB, MIB, TIB
from p2pdrive.model.genesis import Chunking
from p2pdrive.model.manifest import Manifest

SMALL = Chunker(Chunking(4 * KIB, 8 * KIB, 16 * KIB, 2))


class Counted:
    """Content in memory whose pages of zeros are holes, where ``told``; ``read`` counts the bytes read."""

    def __init__(self, data: bytes, page: int, told: set[int]) -> None:
        self.data = data
        self.page = page
        self.told = told
        self.read = 0

    def pread(self, view: memoryview, offset: int) -> int:
        found = self.data[offset : offset + len(view)]
        view[: len(found)] = found
        self.read += len(found)
        return len(found)

    def _is_hole(self, at: int) -> bool:
        number = at // self.page
        return number in self.told and not any(self.data[number * self.page : (number + 1) * self.page])

    def _next(self, offset: int, hole: bool) -> int:
        at = offset
        while at < len(self.data) and self._is_hole(at) != hole:
            at += self.page - at % self.page
        return max(offset, min(at, len(self.data)))

    def next_data(self, offset: int) -> int:
        return self._next(offset, hole=False)

    def next_hole(self, offset: int) -> int:
        return self._next(offset, hole=True)


def plain(chunker: Chunker, data: bytes) -> Manifest:
    return chunker.chunk(io.BytesIO(data).readinto)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Runs of zeros and of data, of any length around that of blocks and of what is passed over."""
    seed = draw(st.integers(0, 2**32))
    lengths = st.one_of(
        st.integers(0, 9000), st.integers(0, 400_000), st.sampled_from((16384, 131072, 147456))
    )
    runs = draw(st.lists(st.tuples(st.booleans(), lengths), max_size=7))
    data = random.Random(seed)
    return b"".join(bytes(length) if zeros else data.randbytes(length) for zeros, length in runs)


@settings(deadline=None)
@given(contents(), st.sampled_from((512, 4096, 5000)), st.integers(0, 2**32), st.floats(0, 1))
def test_blocks_are_those_of_a_plain_reading(data: bytes, page: int, seed: int, part: float) -> None:
    chosen = random.Random(seed)
    told = {number for number in range(len(data) // page + 1) if chosen.random() <= part}
    manifest = chunk_sparse(SMALL, Counted(data, page, told), len(data))
    assert manifest == plain(SMALL, data)
    put = bytearray(len(data))  # as a temporary, in which all is a hole at first
    for offset, length, _ in written_ranges(SMALL, manifest):
        put[offset : offset + length] = data[offset : offset + length]
    assert bytes(put) == data


@pytest.mark.parametrize("least", [0, 1])
@pytest.mark.parametrize("blocks", [1, 2, 3, 9])
def test_hole_of_a_whole_number_of_largest_blocks(blocks: int, least: int) -> None:
    """And one byte fewer, between data and at either end."""
    hole = bytes(blocks * 16 * KIB - least)
    for data in (hole, hole + b"end", b"begin" + hole, b"begin" + hole + b"end"):
        every = set(range(len(data) + 1))
        assert chunk_sparse(SMALL, Counted(data, 1024, every), len(data)) == plain(SMALL, data)


def test_zeros_are_cut_into_largest_blocks() -> None:
    """The default chunking of all drives: holes of any size are counted, not cut."""
    assert Chunker(Chunking()).zeros[0] == MIB


def test_file_of_a_tebibyte_with_a_page_in_it_is_cut_at_once(tmp_path: Path) -> None:
    """And the bytes that are written elsewhere for it are the page's block alone, and its neighbours."""
    path = tmp_path / "disk.img"
    with open(path, "wb") as file:
        try:
            file.truncate(TIB)
        except OSError:
            pytest.skip("this file system has no files of a tebibyte")
        file.seek(TIB // 3)
        file.write(b"a boot sector")
    chunker = Chunker(Chunking())
    with LocalReadHandle(os.open(path, os.O_RDONLY), str(path)) as handle:
        if handle.next_data(0) == 0:
            pytest.skip("this file system does not tell holes")
        began = time.process_time()
        manifest = chunk_sparse(chunker, handle, TIB)
        written = list(written_ranges(chunker, manifest))
        seconds = time.process_time() - began
    assert manifest.size == TIB
    assert sum(length for _, length, _ in written) < 10 * MIB
    assert any(offset <= TIB // 3 < offset + length for offset, length, _ in written)
    assert seconds < 30


@pytest.mark.parametrize("offset", [0, 777, 4096])
@pytest.mark.parametrize("garbage", [False, True])
def test_block_is_written_without_its_pages_of_zeros_and_over_whatever_is_there(
    tmp_path: Path, offset: int, garbage: bool
) -> None:
    data = bytes(9000) + b"a page" * 700 + bytes(20_000) + b"." + bytes(50_000)
    with open(tmp_path / "f", "w+b") as file:
        file.truncate(200_000)
        if garbage:
            file.write(b"garbage" * 20_000)
            file.flush()
        handle = LocalWriteHandle(os.dup(file.fileno()), "f")
        with handle:
            write_sparse(handle, memoryview(data), offset)
            held = bytearray(len(data))
            handle.pread(memoryview(held), offset)
            room = os.fstat(file.fileno()).st_blocks * 512
    assert held == data
    assert garbage or room <= 5 * 4096
