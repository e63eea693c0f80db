"""Records: one encoding each, and nothing else is taken in."""

from dataclasses import replace

import msgpack
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.errors import RecordRefused
from p2pdrive.limits import (
    BLOCK_BYTES_MAX,
    INVITE_USES_MAX,
    LABEL_BYTES_MAX,
    MANIFEST_BLOCKS_MAX,
    RECORD_BYTES_MAX,
    VECTOR_ACTORS_MAX,
)
from p2pdrive.model.record import (
    DELETED,
    DIRECTORY,
    Change,
    Content,
    Grant,
    Invitation,
    Kind,
    Record,
    Role,
    decode,
)
from tests.model.values import ACTOR, grants, invitations, records

FILE = Content(Kind.FILE, 70_000, b"\x11" * 32, 2, True, 1_700_000_000_123_456_789)
VECTOR = {b"\xaa" * 16: 3, b"\x0b" * 16: 70_000}
PLAIN = Record("a/b.txt", FILE, b"", 0, VECTOR, 0x18BCFE568 << 20).placed(ACTOR, 7)


def decoded(data: bytes) -> Change:
    return decode(data, ACTOR, 7)


@given(records())
def test_record_comes_out_as_it_went_in(record: Record) -> None:
    assert decode(record.encode(), record.actor, record.seq) == record


@given(st.one_of(invitations, grants))
def test_membership_change_comes_out_as_it_went_in(change: Change) -> None:
    assert decoded(change.encode()) == change


@given(records(), st.randoms())
def test_order_in_the_vector_is_no_matter(record: Record, random: object) -> None:
    turned = replace(record, vector=dict(reversed(record.vector.items())))
    assert turned.encode() == record.encode()
    assert turned.digest == record.digest == blake3(record.encode()).digest()


@given(st.one_of(records(), invitations, grants), st.data())
def test_changed_byte_is_refused_or_makes_another_sound_record(change: Change, data: st.DataObject) -> None:
    body = bytearray(change.encode())
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    _refused_or_sound(bytes(body))


@given(st.one_of(records(), invitations, grants), st.data())
def test_truncated_record_is_refused(change: Change, data: st.DataObject) -> None:
    body = change.encode()
    with pytest.raises(RecordRefused):
        decoded(body[: data.draw(st.integers(0, len(body) - 1))])


@given(records(), st.binary(min_size=1, max_size=5))
def test_trailing_bytes_are_refused(record: Record, junk: bytes) -> None:
    with pytest.raises(RecordRefused):
        decode(record.encode() + junk, record.actor, record.seq)


@given(st.binary(max_size=60))
def test_noise_raises_nothing_but_a_refusal(data: bytes) -> None:
    _refused_or_sound(data)


_leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.floats(), st.text(), st.binary()
)
_keyed = st.one_of(st.text(max_size=3), st.binary(max_size=3))
_shapes = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(_keyed, inner, max_size=3),
    max_leaves=12,
)


@given(
    st.one_of(
        _shapes, st.tuples(st.sampled_from(Kind).map(int), _shapes, _shapes, _shapes, _shapes).map(list)
    )
)
def test_any_other_shape_raises_nothing_but_a_refusal(shape: object) -> None:
    _refused_or_sound(bytes(msgpack.packb(shape)))


def _refused_or_sound(data: bytes) -> None:
    try:
        change = decoded(data)
    except RecordRefused:
        return
    assert change.encode() == data


def test_map_in_place_of_the_array_is_refused() -> None:
    for data in (b"\x80", bytes(msgpack.packb({b"a": 1})), bytes(msgpack.packb({"": 1}))):
        with pytest.raises(RecordRefused):
            decoded(data)


@given(records())
def test_record_of_another_place_is_refused(record: Record) -> None:
    for actor, seq in ((record.actor, record.seq + 1), (bytes(reversed(record.actor)) + b"", record.seq)):
        if record.vector.get(actor) != seq:
            with pytest.raises(RecordRefused, match="own dot"):
                decode(record.encode(), actor, seq)


def fields_of(change: Change) -> list[object]:
    return list(msgpack.unpackb(change.encode()))


#: Longer ways to say the same, which would let one record have two hashes.
NOT_CANONICAL = {
    "long integer": bytes(msgpack.packb(fields_of(PLAIN))).replace(
        b"\xce\x00\x01\x11\x70", b"\xcf" + (70_000).to_bytes(8, "big")
    ),
    "long array": b"\xdd" + (9).to_bytes(4, "big") + PLAIN.encode()[1:],
    "vector out of order": bytes(
        msgpack.packb(
            [*fields_of(PLAIN)[:3], dict(sorted(PLAIN.vector.items(), reverse=True)), *fields_of(PLAIN)[4:]]
        )
    ),
    "empty moved_from": bytes(msgpack.packb([*fields_of(PLAIN), ""])),
    "kind as a float": bytes(msgpack.packb([1.0, *fields_of(PLAIN)[1:]])),
    "kind as true": bytes(msgpack.packb([True, *fields_of(PLAIN)[1:]])),
    "role as true": bytes(msgpack.packb([6, bytes(32), True, "name", b"", b""])),
}


@pytest.mark.parametrize("how", NOT_CANONICAL)
def test_second_encoding_of_the_same_is_refused(how: str) -> None:
    assert NOT_CANONICAL[how] != PLAIN.encode()
    with pytest.raises(RecordRefused):
        decoded(NOT_CANONICAL[how])


def at(index: int, value: object, change: Change = PLAIN) -> bytes:
    """The record with one field replaced."""
    fields = fields_of(change)
    fields[index] = value
    return bytes(msgpack.packb(fields))


INVITED = Invitation(b"\x01" * 32, b"\x02" * 32, Role.EDITOR, 3, 1_800_000_000)
GRANTED = Grant(b"\x03" * 32, Role.VIEWER, "desktop", b"\x01" * 32, b"\x04" * 64)
LINKED = replace(PLAIN, content=Content(Kind.SYMLINK, target="../b"))

MALFORMED = {
    "unknown kind": at(0, 7),
    "kind zero": at(0, 0),
    "path that climbs out": at(1, "../etc/passwd"),
    "path of our own folder": at(1, ".p2pdrive/index.db"),
    "path that is no text": at(1, b"a/b.txt"),
    "clock below zero": at(2, -1),
    "clock too large": at(2, 1 << 63),
    "clock that is a float": at(2, 1.5),
    "vector that is a list": at(3, [1]),
    "empty vector": at(3, {}),
    "vector with a zero": at(3, {ACTOR: 7, b"\xaa" * 16: 0}),
    "vector with a short actor": at(3, {ACTOR: 7, b"\xaa": 1}),
    "vector with a text actor": at(3, {ACTOR: 7, "a" * 16: 1}),
    "vector with another own dot": at(3, {ACTOR: 8}),
    "vector without its own dot": at(3, {b"\xaa" * 16: 3}),
    "vector of too many": at(3, {ACTOR: 7, **{n.to_bytes(16, "big"): 1 for n in range(VECTOR_ACTORS_MAX)}}),
    "size below zero": at(4, -1),
    "size of fewer bytes than blocks": at(4, 1),
    "size too large": at(4, 1 << 63),
    "size of more bytes than blocks hold": at(4, FILE.blocks * BLOCK_BYTES_MAX + 1),
    "size that is true": at(4, True),
    "short hash": at(5, b"\x11" * 31),
    "hash that is text": at(5, "a" * 32),
    "no blocks for some bytes": at(6, 0),
    "too many blocks": at(6, MANIFEST_BLOCKS_MAX + 1),
    "mode that is a number": at(7, 1),
    "time too large": at(8, 1 << 63),
    "time that is a float": at(8, 1.0),
    "too many fields": bytes(msgpack.packb([*fields_of(PLAIN), "from", "more"])),
    "too few fields": bytes(msgpack.packb(fields_of(PLAIN)[:-1])),
    "moved from outside": bytes(msgpack.packb([*fields_of(PLAIN), "/etc/passwd"])),
    "moved from a number": bytes(msgpack.packb([*fields_of(PLAIN), 5])),
    "empty target": at(4, "", LINKED),
    "target with a NUL": at(4, "a\0b", LINKED),
    "overlong target": at(4, "a" * 4097, LINKED),
    "target that is bytes": at(4, b"a", LINKED),
    "invitation of a short key": at(1, b"", INVITED),
    "invitation of no uses": at(4, 0, INVITED),
    "invitation of too many uses": at(4, INVITE_USES_MAX + 1, INVITED),
    "invitation of an unknown role": at(3, 4, INVITED),
    "invitation that ends before 1970": at(5, -1, INVITED),
    "grant of a short device": at(1, b"\x03" * 31, GRANTED),
    "grant of an unknown role": at(2, 0, GRANTED),
    "grant without a name": at(3, "", GRANTED),
    "grant of an overlong name": at(3, "n" * (LABEL_BYTES_MAX + 1), GRANTED),
    "grant of half a proof": at(5, b"", GRANTED),
    "proof without a key": at(4, b"", GRANTED),
}


@pytest.mark.parametrize("how", MALFORMED)
def test_malformed_record_is_refused(how: str) -> None:
    with pytest.raises(RecordRefused):
        decoded(MALFORMED[how])


def test_the_records_that_were_malformed_were_sound_before() -> None:
    assert [decoded(change.encode()) for change in (PLAIN, LINKED, INVITED, GRANTED)] == [
        PLAIN,
        LINKED,
        INVITED,
        GRANTED,
    ]


def test_overlong_record_is_refused_unread() -> None:
    with pytest.raises(RecordRefused, match="too long"):
        decoded(bytes(RECORD_BYTES_MAX + 1))


def test_identity_leaves_out_times_and_the_exec_bit() -> None:
    assert FILE.identity == replace(FILE, executable=False, mtime_ns=5).identity
    assert FILE.identity != replace(FILE, root=b"\x12" * 32).identity
    assert FILE.identity != replace(FILE, blocks=1).identity
    assert DELETED.identity != DIRECTORY.identity
    assert DIRECTORY.live and not DELETED.live


def test_record_does_not_supersede_itself() -> None:
    assert not PLAIN.supersedes(PLAIN)
    later = replace(PLAIN, content=DELETED).placed(ACTOR, 8)
    assert later.supersedes(PLAIN) and not PLAIN.supersedes(later)


GOLDEN: dict[str, tuple[Change, str, str]] = {
    "file": (
        PLAIN,
        (
            "9901a7612f622e747874cf0018bcfe5680000083c410000102030405060708090a0b0c0d0e0f07c4100b0b0b0b"
            "0b0b0b0b0b0b0b0b0b0b0b0bce00011170c410aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa03ce00011170c4201111"
            "11111111111111111111111111111111111111111111111111111111111102c3cf17979cfe3d85cd15"
        ),
        "115d8362db0cc98118035b4d7d5d8e8d149ea6a7208507076443c24a9b2ccdb3",
    ),
    "moved file": (
        replace(PLAIN, moved_from="old/b.txt"),
        (
            "9a01a7612f622e747874cf0018bcfe5680000083c410000102030405060708090a0b0c0d0e0f07c4100b0b0b0b"
            "0b0b0b0b0b0b0b0b0b0b0b0bce00011170c410aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa03ce00011170c4201111"
            "11111111111111111111111111111111111111111111111111111111111102c3cf17979cfe3d85cd15a96f6c64"
            "2f622e747874"
        ),
        "bd593199e09caf72de699f2ff1a8bb635f78943dd92191e277c49d93b4113992",
    ),
    "directory": (
        replace(PLAIN, content=DIRECTORY),
        (
            "9402a7612f622e747874cf0018bcfe5680000083c410000102030405060708090a0b0c0d0e0f07c4100b0b0b0b"
            "0b0b0b0b0b0b0b0b0b0b0b0bce00011170c410aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa03"
        ),
        "207256ac4840f227f60b0b8a2b9c1d37288d43099395883321130884d4d6eb24",
    ),
    "symlink": (
        LINKED,
        (
            "9503a7612f622e747874cf0018bcfe5680000083c410000102030405060708090a0b0c0d0e0f07c4100b0b0b0b"
            "0b0b0b0b0b0b0b0b0b0b0b0bce00011170c410aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa03a42e2e2f62"
        ),
        "17da3bd014a1e5cdc71d7c9b2069f8d1074e0f227a56c66a229e148c9b519f12",
    ),
    "deleted": (
        replace(PLAIN, content=DELETED),
        (
            "9404a7612f622e747874cf0018bcfe5680000083c410000102030405060708090a0b0c0d0e0f07c4100b0b0b0b"
            "0b0b0b0b0b0b0b0b0b0b0b0bce00011170c410aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa03"
        ),
        "6ee59dd1b2d41e6776a0eb9a3b7b8cd9b1ac353973e0ce4b5ba2905077c4231b",
    ),
    "invitation": (
        INVITED,
        (
            "9605c4200101010101010101010101010101010101010101010101010101010101010101c42002020202020202"
            "020202020202020202020202020202020202020202020202020203ce6b49d200"
        ),
        "5bcf89cce0da597fced8f8327878f8172ce50fdb8ebdf07a0dff737abef29717",
    ),
    "grant": (
        GRANTED,
        (
            "9606c420030303030303030303030303030303030303030303030303030303030303030301a76465736b746f70"
            "c4200101010101010101010101010101010101010101010101010101010101010101c440040404040404040404"
            "040404040404040404040404040404040404040404040404040404040404040404040404040404040404040404"
            "04040404040404040404"
        ),
        "053cf097b3dbc29518b775e512be0eb07c582b90ab8a79218831b634a7538492",
    ),
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_bytes_and_hash_of_each_kind_are_pinned(kind: str) -> None:
    change, body, digest = GOLDEN[kind]
    assert change.encode().hex() == body
    assert blake3(change.encode()).hexdigest() == digest
    assert decoded(bytes.fromhex(body)) == change


def test_private_is_one_mark_behind_the_content() -> None:
    for content in (FILE, DIRECTORY):
        plain = Record("a", content, b"", 0, {}, 1, "b").placed(ACTOR, 7)
        private = replace(plain, content=replace(content, private=True))
        fields = msgpack.unpackb(plain.encode())
        assert msgpack.unpackb(private.encode()) == [*fields[:-1], True, "b"]
        assert decoded(private.encode()) == private


@pytest.mark.parametrize("kind", [Kind.SYMLINK, Kind.DELETED])
def test_what_cannot_be_private_is_refused_with_that_mark(kind: Kind) -> None:
    content = Content(kind, target="x" if kind is Kind.SYMLINK else "", private=True)
    with pytest.raises(RecordRefused):
        decoded(Record("a", content, b"", 0, {}, 1).placed(ACTOR, 7).encode())
