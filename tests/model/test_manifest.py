"""Manifests: naming content, and refusing what a peer made up."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.errors import ProtocolViolation
from p2pdrive.limits import BLOCK_BYTES_MAX
from p2pdrive.model.manifest import ENTRY_BYTES, Manifest

blocks = st.tuples(st.integers(1, BLOCK_BYTES_MAX), st.binary(min_size=32, max_size=32))
lists = st.lists(blocks, max_size=20)


@given(lists)
def test_what_was_put_in_comes_out(pairs: list[tuple[int, bytes]]) -> None:
    manifest = Manifest.of(pairs)
    assert list(manifest) == pairs
    assert len(manifest) == len(pairs)
    assert manifest.size == sum(length for length, _ in pairs)


@given(lists)
def test_ranges_follow_on_each_other(pairs: list[tuple[int, bytes]]) -> None:
    end = 0
    for (offset, length, block), pair in zip(Manifest.of(pairs).ranges(), pairs, strict=True):
        assert offset == end
        assert (length, block) == pair
        end += length


@given(lists)
def test_received_manifest_equals_the_sent_one(pairs: list[tuple[int, bytes]]) -> None:
    sent = Manifest.of(pairs)
    received = Manifest.received(sent.packed, sent.root, sent.size, len(sent))
    assert received == sent
    assert hash(received) == hash(sent)


@given(lists.filter(bool), st.data())
def test_any_changed_byte_is_refused(pairs: list[tuple[int, bytes]], data: st.DataObject) -> None:
    sent = Manifest.of(pairs)
    at = data.draw(st.integers(0, len(sent.packed) - 1))
    forged = bytearray(sent.packed)
    forged[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolViolation):
        Manifest.received(bytes(forged), sent.root, sent.size, len(sent))


@given(lists.filter(bool), st.integers(1, ENTRY_BYTES))
def test_cut_manifest_is_refused(pairs: list[tuple[int, bytes]], cut: int) -> None:
    sent = Manifest.of(pairs)
    with pytest.raises(ProtocolViolation):
        Manifest.received(sent.packed[:-cut], sent.root, sent.size, len(sent))


@pytest.mark.parametrize("length", [0, BLOCK_BYTES_MAX + 1])
def test_impossible_length_is_refused(length: int) -> None:
    forged = Manifest.of([(length, bytes(32)), (5, bytes(32))])
    with pytest.raises(ProtocolViolation, match="lengths"):
        Manifest.received(forged.packed, forged.root, forged.size, 2)


def test_wrong_size_is_refused() -> None:
    sent = Manifest.of([(10, bytes(32)), (5, bytes(32))])
    with pytest.raises(ProtocolViolation, match="size"):
        Manifest.received(sent.packed, sent.root, 16, 2)


def test_wrong_count_is_refused() -> None:
    sent = Manifest.of([(10, bytes(32)), (5, bytes(32))])
    with pytest.raises(ProtocolViolation, match="number of blocks"):
        Manifest.received(sent.packed, sent.root, 15, 3)


def test_root_of_one_block_is_that_block() -> None:
    block = blake3(b"content").digest()
    assert Manifest.single(7, block).root == block
    assert Manifest.single(7, block) == Manifest.of([(7, block)])


def test_root_of_several_blocks_is_the_hash_of_the_list() -> None:
    manifest = Manifest.of([(1, b"a" * 32), (2, b"b" * 32)])
    packed = bytes([0, 0, 0, 1]) + b"a" * 32 + bytes([0, 0, 0, 2]) + b"b" * 32
    assert manifest.packed == packed
    assert manifest.root == blake3(packed).digest()


def test_empty_content_has_no_blocks() -> None:
    empty = Manifest.of([])
    assert (len(empty), empty.size, list(empty)) == (0, 0, [])
    assert empty.root == blake3(b"").digest()


def test_manifest_is_not_equal_to_its_bytes() -> None:
    manifest = Manifest.single(1, bytes(32))
    assert manifest != manifest.packed
