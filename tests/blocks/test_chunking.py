"""Cutting content: the same blocks for everyone, however it is read."""

import threading
from collections.abc import Callable

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.blocks.chunking import Chunker, chunk_small
from p2pdrive.limits import KIB, MIB
from p2pdrive.model.genesis import Chunking
from p2pdrive.model.manifest import Manifest

SMALL = Chunking(minimum=4 * KIB, average=8 * KIB, maximum=32 * KIB)


def content_of(seed: bytes, size: int) -> bytes:
    """Pseudo-random bytes that anyone can make again: BLAKE3's output, as long as needed."""
    return blake3(seed).digest(size)


def in_pieces(content: bytes, sizes: list[int]) -> Callable[[memoryview], int]:
    """A read function that gives pieces of these sizes, over and over; never more than is asked for."""
    at = turn = 0

    def read(view: memoryview) -> int:
        nonlocal at, turn
        piece = content[at : at + min(len(view), sizes[turn % len(sizes)])]
        view[: len(piece)] = piece
        at, turn = at + len(piece), turn + 1
        return len(piece)

    return read


def at_once(content: bytes) -> Callable[[memoryview], int]:
    return in_pieces(content, [len(content) + 1])


def test_golden_boundaries_of_the_default_chunking() -> None:
    manifest = Chunker(Chunking()).chunk(at_once(content_of(b"p2pdrive golden content", 8 * MIB)))
    assert [length for length, _ in manifest] == [
        *(333309, 334060, 272473, 283799, 295973, 264550, 77714, 495462, 578871, 334725, 528933, 364690),
        *(288131, 299659, 241405, 72485, 204424, 314000, 387646, 315230, 287204, 347557, 268700, 290691),
        *(285879, 304993, 262280, 53765),
    ]
    assert manifest.root.hex() == "60168f8b90aa34761c6770d0a76c319b332f6e211b3cece7da11981da926cfc1"


@given(
    seed=st.binary(max_size=8),
    size=st.integers(0, 400 * KIB),
    sizes=st.lists(st.integers(1, 50 * KIB), min_size=1, max_size=6),
)
def test_boundaries_do_not_depend_on_how_the_content_is_read(
    seed: bytes, size: int, sizes: list[int]
) -> None:
    content = content_of(seed, size)
    chunker = Chunker(SMALL)
    assert chunker.chunk(in_pieces(content, sizes)) == chunker.chunk(at_once(content))


@given(seed=st.binary(max_size=8), size=st.integers(0, 400 * KIB))
def test_blocks_are_the_content_within_the_bounds(seed: bytes, size: int) -> None:
    content = content_of(seed, size)
    manifest = Chunker(SMALL).chunk(at_once(content))
    assert manifest.size == size
    for offset, length, block in manifest.ranges():
        assert blake3(content[offset : offset + length]).digest() == block
        assert length <= SMALL.maximum
        assert length >= SMALL.minimum or offset + length == size


def test_insert_at_the_front_changes_few_blocks() -> None:
    content = content_of(b"insert", 16 * MIB)
    chunker = Chunker(Chunking())
    before = {block for _, block in chunker.chunk(at_once(content))}
    after = chunker.chunk(at_once(b"x" * 500 + content))
    assert sum(length for length, block in after if block not in before) < 2 * MIB


def test_same_bytes_over_and_over_are_cut_at_the_maximum() -> None:
    manifest = Chunker(SMALL).chunk(at_once(bytes(10 * SMALL.maximum)))
    assert [length for length, _ in manifest] == [SMALL.maximum] * 10


@pytest.mark.parametrize("size", [1, 2, 4 * KIB - 1, 4 * KIB])
def test_content_up_to_the_minimum_is_one_block(size: int) -> None:
    content = content_of(b"small", size)
    manifest = Chunker(SMALL).chunk(at_once(content))
    assert manifest == Manifest.single(size, blake3(content).digest())
    assert manifest == chunk_small(content)


def test_empty_content_has_no_blocks() -> None:
    assert len(Chunker(SMALL).chunk(at_once(b""))) == 0
    assert chunk_small(b"") == Manifest(b"")


def test_blocks_are_handed_out_with_their_bytes_in_one_reading() -> None:
    content = content_of(b"hand out", 5 * 32 * KIB)
    handed = [(block, bytes(data)) for block, data in Chunker(SMALL).blocks(at_once(content))]
    assert b"".join(data for _, data in handed) == content
    assert all(blake3(data).digest() == block for block, data in handed)


def test_read_error_passes_and_the_chunker_goes_on() -> None:
    def fails(view: memoryview) -> int:
        raise OSError("the disk went away")

    chunker = Chunker(SMALL)
    with pytest.raises(OSError, match="went away"):
        chunker.chunk(fails)
    assert chunker.chunk(at_once(b"after")) == chunk_small(b"after")


def test_threads_share_a_chunker() -> None:
    contents = [content_of(bytes([number]), 300 * KIB) for number in range(4)]
    alone = [Chunker(SMALL).chunk(at_once(content)) for content in contents]
    shared = Chunker(SMALL)
    together: dict[int, list[Manifest]] = {}

    def work(number: int) -> None:
        together[number] = [shared.chunk(in_pieces(contents[number], [1000])) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == {number: [alone[number]] * 5 for number in range(4)}


def test_abandoned_reading_gives_its_buffer_back() -> None:
    chunker = Chunker(SMALL)
    for _ in range(3):
        first = next(iter(chunker.blocks(at_once(bytes(100 * KIB)))))
        assert len(first[1]) == SMALL.maximum
    assert len(chunker._spare_buffers) == 1
