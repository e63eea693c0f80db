"""Batches: one encoding, signed as a chain, and refused as soon as anything is off."""

from dataclasses import replace

import msgpack
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.errors import RecordRefused
from p2pdrive.limits import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, LABEL_BYTES_MAX
from p2pdrive.model.batch import NO_BATCH, Batch, Header, actor_id, body_root, signed_bytes
from p2pdrive.model.record import DELETED, DIRECTORY, Record
from p2pdrive.secure.identity import Identity, verify
from tests.model.values import batches

IDENTITY = Identity(bytes(range(32)))
NONCE = b"\x05" * 16
ACTOR = actor_id(IDENTITY.device, NONCE)
BODIES = (
    Record("a", DIRECTORY, b"", 0, {}, 5 << 16).placed(ACTOR, 1).encode(),
    Record("a", DELETED, b"", 0, {}, 6 << 16).placed(ACTOR, 2).encode(),
)
HEADER = Header(
    b"\x06" * 32, IDENTITY.device, NONCE, "anna-laptop", 1, 2, NO_BATCH, body_root(BODIES), 6 << 16
)
BATCH = Batch(HEADER, IDENTITY.sign(signed_bytes(HEADER.encode())), BODIES)


@given(batches())
def test_batch_comes_out_as_it_went_in(batch: Batch) -> None:
    assert Batch.decode(batch.encode()) == batch
    assert Batch.decode(memoryview(batch.encode())) == batch
    assert Header.decode(batch.header.encode()) == batch.header


@given(batches(), st.data())
def test_changed_byte_is_refused_or_leaves_another_signature(batch: Batch, data: st.DataObject) -> None:
    body = bytearray(batch.encode())
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = Batch.decode(bytes(body))
    except RecordRefused:
        return
    assert other.encode() == bytes(body)
    assert (other.header, other.signature) != (batch.header, batch.signature)
    assert other.records == batch.records


def test_no_changed_byte_of_a_signed_batch_passes() -> None:
    whole = BATCH.encode()
    for at in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(whole)
            changed[at] ^= flip
            try:
                batch = Batch.decode(bytes(changed))
            except RecordRefused:
                continue
            header = batch.header
            assert not verify(header.device, batch.signature, signed_bytes(header.encode()))


@given(batches(), st.data())
def test_truncated_batch_is_refused(batch: Batch, data: st.DataObject) -> None:
    body = batch.encode()
    with pytest.raises(RecordRefused):
        Batch.decode(body[: data.draw(st.integers(0, len(body) - 1))])


@given(st.binary(max_size=80))
def test_noise_is_refused(data: bytes) -> None:
    for kind in (Batch, Header):
        with pytest.raises(RecordRefused):
            kind.decode(data)


_leaves = st.one_of(
    st.none(), st.booleans(), st.integers(0, 5), st.floats(), st.text(max_size=3), st.binary()
)
_shapes = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=10) | st.dictionaries(st.binary(max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(_shapes)
def test_any_other_shape_is_refused(shape: object) -> None:
    for kind in (Batch, Header):
        with pytest.raises(RecordRefused):
            kind.decode(bytes(msgpack.packb(shape)))


@given(_shapes, _shapes, _shapes)
def test_any_other_three_parts_are_refused(header: object, signature: object, records: object) -> None:
    with pytest.raises(RecordRefused):
        Batch.decode(bytes(msgpack.packb([header, signature, records])))


def altered(**fields: object) -> bytes:
    """The batch with a header of other fields, however wrong."""
    header = replace(HEADER, **fields)  # type: ignore[arg-type]
    return replace(BATCH, header=header).encode()


MALFORMED = {
    "no record": replace(BATCH, records=()).encode(),
    "record left out": replace(BATCH, records=BODIES[:1]).encode(),
    "records swapped": replace(BATCH, records=BODIES[::-1]).encode(),
    "record added": replace(BATCH, records=(*BODIES, b"more")).encode(),
    "short signature": replace(BATCH, signature=bytes(63)).encode(),
    "count of another number": altered(count=3),
    "count of none": altered(count=0),
    "count too large": altered(count=BATCH_RECORDS_MAX + 1),
    "first of zero": altered(first=0),
    "first too large": altered(first=1 << 62),
    "first that is true": altered(first=True),
    "short drive": altered(drive=bytes(31)),
    "short device": altered(device=bytes(31)),
    "long nonce": altered(nonce=bytes(17)),
    "text nonce": altered(nonce="n" * 16),
    "short previous": altered(previous=b""),
    "clock below zero": altered(clock=-1),
    "clock too large": altered(clock=1 << 63),
    "no name": altered(name=""),
    "overlong name": altered(name="n" * (LABEL_BYTES_MAX + 1)),
    "name that is bytes": altered(name=b"anna"),
    "records as a map": bytes(msgpack.packb([HEADER.encode(), BATCH.signature, dict.fromkeys(BODIES, 0)])),
    "long array": b"\xdc\x00\x03" + BATCH.encode()[1:],
    "another format": BATCH.encode().replace(HEADER.encode()[:2], b"\x9a\x02"),
    "too long": bytes(BATCH_BYTES_MAX + 1),
}


@pytest.mark.parametrize("how", MALFORMED)
def test_malformed_batch_is_refused(how: str) -> None:
    assert MALFORMED[how] != BATCH.encode()
    with pytest.raises(RecordRefused):
        Batch.decode(MALFORMED[how])


def test_batch_of_the_largest_size_passes_and_one_byte_more_is_refused() -> None:
    def sized(size: int) -> bytes:
        bodies = (bytes(size),)
        return replace(
            BATCH, header=replace(HEADER, count=1, root=body_root(bodies)), records=bodies
        ).encode()

    room = BATCH_BYTES_MAX - (len(sized(1 << 16)) - (1 << 16))
    largest, longer = sized(room), sized(room + 1)
    assert (len(largest), len(longer)) == (BATCH_BYTES_MAX, BATCH_BYTES_MAX + 1)
    assert Batch.decode(largest).encode() == largest
    with pytest.raises(RecordRefused, match="too long"):
        Batch.decode(longer)


def test_header_of_a_second_encoding_is_refused() -> None:
    with pytest.raises(RecordRefused, match="malformed"):
        Header.decode(b"\xdc\x00\x0a" + HEADER.encode()[1:])


def test_actor_is_bound_to_its_device() -> None:
    assert actor_id(b"\x01" * 32, NONCE) != actor_id(b"\x02" * 32, NONCE)
    assert actor_id(b"\x01" * 32, NONCE) != actor_id(b"\x01" * 32, b"\x06" * 16)
    assert replace(HEADER, device=b"\x01" * 32).actor != HEADER.actor


def test_root_is_over_the_hashes_of_the_records() -> None:
    hashes = b"".join(blake3(body).digest() for body in BODIES)
    assert HEADER.root == blake3(hashes).digest()


def test_bytes_hash_and_signature_are_pinned() -> None:
    assert ACTOR.hex() == GOLDEN_ACTOR
    assert HEADER.encode().hex() == GOLDEN_HEADER
    assert HEADER.hash.hex() == GOLDEN_HASH
    assert BATCH.encode().hex() == GOLDEN_BATCH
    assert Batch.decode(bytes.fromhex(GOLDEN_BATCH)) == BATCH


GOLDEN_ACTOR = "0ee90a0cdc8e28dd347c0b96ed6d880f"
GOLDEN_HEADER = (
    "9a01c4200606060606060606060606060606060606060606060606060606060606060606c42003a107bff3ce10"
    "be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8c41005050505050505050505050505050505ab61"
    "6e6e612d6c6170746f700102c42000000000000000000000000000000000000000000000000000000000000000"
    "00c42076253bf74c40c928a3e09b904e839092d5f4a6695240221f67ceb6e3e8b6c150ce00060000"
)
GOLDEN_HASH = "32fdc737cc416b7a35125a54c5a5eed155be8b2acdc1c90cfe864e1ed1fa82f0"
GOLDEN_BATCH = (
    "93c4af9a01c4200606060606060606060606060606060606060606060606060606060606060606c42003a107bf"
    "f3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8c410050505050505050505050505050505"
    "05ab616e6e612d6c6170746f700102c42000000000000000000000000000000000000000000000000000000000"
    "00000000c42076253bf74c40c928a3e09b904e839092d5f4a6695240221f67ceb6e3e8b6c150ce00060000c440"
    "2dc391732c0fcf7de3dcd6c472ec3289380b8449f857f91df658e15a5d2f6d817cf2d2000cb13772b6294413d1"
    "6cb6e999048f90cd7a837978dc97176f0c630b92c41d9402a161ce0005000081c4100ee90a0cdc8e28dd347c0b"
    "96ed6d880f01c41d9404a161ce0006000081c4100ee90a0cdc8e28dd347c0b96ed6d880f02"
)
