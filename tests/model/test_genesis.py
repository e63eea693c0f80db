"""The first record of a drive: one encoding, and its hash is the drive's id."""

from dataclasses import replace

import msgpack
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.errors import RecordRefused
from p2pdrive.limits import LABEL_BYTES_MAX, MIB
from p2pdrive.model.genesis import Chunking, Genesis
from tests.model.values import geneses

GENESIS = Genesis("Photos", b"\x01" * 32, "anna-laptop", b"\x02" * 16, 1_700_000_000_000 << 16)


@given(geneses)
def test_genesis_comes_out_as_it_went_in(genesis: Genesis) -> None:
    assert Genesis.decode(genesis.encode()) == genesis
    assert genesis.drive == blake3(genesis.encode()).digest()


@given(geneses, st.data())
def test_changed_byte_is_refused_or_names_another_drive(genesis: Genesis, data: st.DataObject) -> None:
    body = bytearray(genesis.encode())
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = Genesis.decode(bytes(body))
    except RecordRefused:
        return
    assert other.encode() == bytes(body)
    assert other.drive != genesis.drive


@given(geneses, st.data())
def test_truncated_genesis_is_refused(genesis: Genesis, data: st.DataObject) -> None:
    body = genesis.encode()
    with pytest.raises(RecordRefused):
        Genesis.decode(body[: data.draw(st.integers(0, len(body) - 1))])


_leaves = st.one_of(
    st.none(), st.booleans(), st.integers(0, 5), st.floats(), st.text(max_size=3), st.binary()
)
_shapes = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.binary(max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(st.one_of(_shapes.map(msgpack.packb), st.binary(max_size=80)))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(RecordRefused):
        Genesis.decode(bytes(data))


def cut(*sizes: object) -> bytes:
    """The genesis with another chunking, however wrong."""
    fields = msgpack.unpackb(GENESIS.encode())
    return bytes(msgpack.packb([*fields[:-1], list(sizes)]))


MALFORMED = {
    "no name": replace(GENESIS, name="").encode(),
    "overlong name": replace(GENESIS, name="n" * (LABEL_BYTES_MAX + 1)).encode(),
    "no admin's name": replace(GENESIS, admin_name="").encode(),
    "short admin": replace(GENESIS, admin=bytes(31)).encode(),
    "long nonce": replace(GENESIS, nonce=bytes(17)).encode(),
    "made before 1970": replace(GENESIS, created=-1).encode(),
    "made too late": replace(GENESIS, created=1 << 63).encode(),
    "tiny blocks": cut(64, 256 * 1024, MIB, 2),
    "average below the minimum": cut(65536, 65536, MIB, 2),
    "maximum below the average": cut(65536, MIB, 262144, 2),
    "blocks larger than a frame carries": cut(65536, 262144, 2 * MIB, 2),
    "unknown normalisation": cut(65536, 262144, MIB, 4),
    "sizes that are floats": cut(65536.0, 262144.0, float(MIB), 2),
    "normalisation that is true": cut(65536, 262144, MIB, True),
    "too few sizes": cut(65536, 262144, MIB),
    "no sizes": cut(),
    "too many sizes": cut(65536, 262144, MIB, 2, 0),
    "trailing bytes": GENESIS.encode() + b"\0",
    "long array": b"\xdc\x00\x07" + GENESIS.encode()[1:],
    "another format": b"\x97\x02" + GENESIS.encode()[2:],
}


@pytest.mark.parametrize("how", MALFORMED)
def test_malformed_genesis_is_refused(how: str) -> None:
    assert MALFORMED[how] != GENESIS.encode()
    with pytest.raises(RecordRefused):
        Genesis.decode(MALFORMED[how])


def test_two_drives_of_one_name_differ() -> None:
    assert replace(GENESIS, nonce=b"\x03" * 16).drive != GENESIS.drive
    assert replace(GENESIS, chunking=Chunking(normalisation=1)).drive != GENESIS.drive


def test_bytes_and_id_are_pinned() -> None:
    assert GENESIS.encode().hex() == GOLDEN_GENESIS
    assert GENESIS.drive.hex() == GOLDEN_DRIVE
    assert Genesis.decode(bytes.fromhex(GOLDEN_GENESIS)) == GENESIS


GOLDEN_GENESIS = (
    "9701a650686f746f73c4200101010101010101010101010101010101010101010101010101010101010101ab61"
    "6e6e612d6c6170746f70c41002020202020202020202020202020202cf018bcfe56800000094ce00010000ce00"
    "040000ce0010000002"
)
GOLDEN_DRIVE = "091f68c6e0738a3871477ebc613bf722ad82c2b47d7ba8da3a1c586511d70351"
