import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.errors import ProtocolViolation
from p2pdrive.limits import (
    BLOCK_BYTES_MAX,
    FRAME_BYTES_MAX,
    LABEL_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    REASON_BYTES_MAX,
)
from p2pdrive.wire.fields import fitted
from p2pdrive.wire.messages import (
    FORMS,
    LENGTH_BYTES,
    TYPES,
    Addresses,
    Announce,
    Batches,
    Blocks,
    Close,
    Drives,
    GetBlocks,
    GetManifestPart,
    GetManifests,
    Hello,
    Join,
    Joined,
    ManifestPart,
    Manifests,
    Message,
    Ping,
    Pong,
    Pull,
    Refused,
    decode,
    encode,
    payload_of,
    table,
)

TAG, ACTOR, HASH = b"T" * 8, b"A" * 16, b"H" * 32

#: One message of every type, and its bytes with the payload: a change here is a change of the protocol.
GOLDEN: list[tuple[Message, str]] = [
    (
        Hello(1, "anna-laptop", "p2pdrive 0.1.0", 22067, ("192.168.1.5:22067", "[fd00::5]:22067")),
        (
            "00000044960101ab616e6e612d6c6170746f70ae703270647269766520302e312e30cd563392b13139322e3136382e31"
            "2e353a3232303637af5b666430303a3a355d3a3232303637"
        ),
    ),
    (
        Drives((TAG, b"U" * 8)),
        "00000017920292c4085454545454545454c4085555555555555555",
    ),
    (
        Join(TAG, "anna-laptop", b"P" * 64, b"I" * 32),
        (
            "0000007c9503c4085454545454545454ab616e6e612d6c6170746f70c440505050505050505050505050505050505050"
            "50505050505050505050505050505050505050505050505050505050505050505050505050505050505050505050c420"
            "4949494949494949494949494949494949494949494949494949494949494949"
        ),
    ),
    (
        Joined(TAG, b"genesis"),
        "000000159304c4085454545454545454c40767656e65736973",
    ),
    (
        Refused(TAG, "the invite is used up"),
        "000000229305c4085454545454545454b574686520696e766974652069732075736564207570",
    ),
    (
        Announce(TAG, ((ACTOR, 300, HASH), (b"B" * 16, 1, b"G" * 32)), True, False),
        (
            "0000007d9506c40854545454545454549293c41041414141414141414141414141414141cd012cc42048484848484848"
            "4848484848484848484848484848484848484848484848484893c4104242424242424242424242424242424201c42047"
            "47474747474747474747474747474747474747474747474747474747474747c3c2"
        ),
    ),
    (
        Addresses(TAG, ((b"D" * 32, ("10.0.0.1:1", "host:2")),)),
        (
            "000000439307c40854545454545454549192c42044444444444444444444444444444444444444444444444444444444"
            "4444444492aa31302e302e302e313a31a6686f73743a32"
        ),
    ),
    (
        Pull(TAG, 1, ((ACTOR, 300), (b"B" * 16, 2**40))),
        (
            "000000409408c4085454545454545454019292c41041414141414141414141414141414141cd012c92c4104242424242"
            "4242424242424242424242cf0000010000000000"
        ),
    ),
    (
        Batches(2, True, (3, 2), b"oneto"),
        "00000007940902c39203026f6e65746f",
    ),
    (
        GetManifests(TAG, 3, (HASH, b"G" * 32)),
        (
            "00000052940ac40854545454545454540392c42048484848484848484848484848484848484848484848484848484848"
            "48484848c4204747474747474747474747474747474747474747474747474747474747474747"
        ),
    ),
    (
        Manifests(3, (-1, 4, -2), b"four"),
        "00000007930b0393ff04fe666f7572",
    ),
    (
        GetManifestPart(TAG, 4, HASH, 1048572),
        (
            "00000034950cc408545454545454545404c4204848484848484848484848484848484848484848484848484848484848"
            "484848ce000ffffc"
        ),
    ),
    (
        ManifestPart(4, 2000000, b"part"),
        "00000008930d04ce001e848070617274",
    ),
    (
        GetBlocks(TAG, 70000, (HASH, b"G" * 32)),
        (
            "00000056940ec4085454545454545454ce0001117092c420484848484848484848484848484848484848484848484848"
            "4848484848484848c4204747474747474747474747474747474747474747474747474747474747474747"
        ),
    ),
    (
        Blocks(70000, ((1, 5),), (0,), True, b"block"),
        "0000000e950fce00011170919201059100c3626c6f636b",
    ),
    (
        Ping(7),
        "00000003921007",
    ),
    (
        Pong(7),
        "00000003921107",
    ),
    (
        Close("done"),
        "000000079212a4646f6e65",
    ),
]


def plaintext(message: Message) -> memoryview:
    return memoryview(encode(message) + payload_of(message))


tags, hashes, actors = (st.binary(min_size=size, max_size=size) for size in (8, 32, 16))
seqs = st.integers(0, 2**63 - 1)
numbers = st.integers(0, 2**32 - 1)
labels = st.text().map(lambda text: fitted(text, LABEL_BYTES_MAX))
reasons = st.text().map(lambda text: fitted(text, REASON_BYTES_MAX))


def tuples(each: st.SearchStrategy[object], most: int = 8) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(each, max_size=most).map(tuple)


@st.composite
def batches(draw: st.DrawFn) -> Batches:
    parts = draw(st.lists(st.binary(min_size=1, max_size=50), max_size=5))
    return Batches(draw(numbers), draw(st.booleans()), tuple(map(len, parts)), b"".join(parts))


@st.composite
def manifests(draw: st.DrawFn) -> Manifests:
    parts = draw(st.lists(st.none() | st.binary(max_size=50), max_size=5))
    sizes = tuple(draw(st.sampled_from((-1, -2))) if part is None else len(part) for part in parts)
    return Manifests(draw(numbers), sizes, b"".join(part or b"" for part in parts))


@st.composite
def blocks(draw: st.DrawFn) -> Blocks:
    parts = draw(st.lists(st.binary(min_size=1, max_size=50), max_size=5))
    pieces = tuple((draw(st.integers(0, 2047)), len(part)) for part in parts)
    missing = tuple(draw(st.lists(st.integers(0, 2047), max_size=8)))
    return Blocks(draw(numbers), pieces, missing, draw(st.booleans()), b"".join(parts))


messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Hello, st.integers(1, 65535), labels, labels, st.integers(0, 65535), tuples(labels)),
    st.builds(Drives, tuples(tags)),
    st.builds(Join, tags, labels, st.binary(min_size=64, max_size=64), hashes),
    st.builds(Joined, tags, st.binary(min_size=1, max_size=1024)),
    st.builds(Refused, tags, reasons),
    st.builds(Announce, tags, tuples(st.tuples(actors, seqs, hashes)), st.booleans(), st.booleans()),
    st.builds(Addresses, tags, tuples(st.tuples(hashes, tuples(labels)))),
    st.builds(Pull, tags, numbers, tuples(st.tuples(actors, seqs))),
    batches(),
    st.builds(GetManifests, tags, numbers, tuples(hashes)),
    manifests(),
    st.builds(GetManifestPart, tags, numbers, hashes, st.integers(0, 10**8)),
    st.builds(ManifestPart, numbers, st.integers(0, 10**8), st.binary(max_size=200)),
    st.builds(GetBlocks, tags, numbers, tuples(hashes)),
    blocks(),
    st.builds(Ping, numbers),
    st.builds(Pong, numbers),
    st.builds(Close, reasons),
)


@given(messages)
def test_what_is_decoded_is_what_was_encoded(message: Message) -> None:
    assert decode(plaintext(message)) == message


@given(messages)
def test_the_same_message_is_always_the_same_bytes(message: Message) -> None:
    assert plaintext(decode(plaintext(message))) == plaintext(message)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_violation_or_a_message(data: bytes) -> None:
    try:
        message = decode(memoryview(data))
    except ProtocolViolation:
        return
    assert decode(plaintext(message)) == message


packed_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary() | st.floats(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=12,
)


@given(st.integers(0, 20), st.lists(packed_values, max_size=6), st.binary(max_size=20))
def test_arbitrary_fields_are_a_violation_or_a_message(
    number: int, values: list[object], payload: bytes
) -> None:
    header = msgpack.packb([number, *values])
    try:
        message = decode(memoryview(len(header).to_bytes(LENGTH_BYTES, "big") + header + payload))
    except ProtocolViolation:
        return
    assert decode(plaintext(message)) == message


@given(messages, st.data())
def test_a_changed_byte_is_a_violation_or_another_message(message: Message, data: st.DataObject) -> None:
    changed = bytearray(plaintext(message))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(memoryview(changed))
    except ProtocolViolation:
        return
    assert decode(plaintext(other)) == other


@given(messages, st.data())
def test_a_cut_header_is_a_violation(message: Message, data: st.DataObject) -> None:
    header = encode(message)
    cut = data.draw(st.integers(0, len(header) - 1))
    with pytest.raises(ProtocolViolation):
        decode(memoryview(header[:cut]))


def test_a_payload_is_a_view_into_the_frame() -> None:
    frame = bytearray(plaintext(Blocks(1, ((0, 3),), (), True, b"abc")))
    message = decode(memoryview(frame))
    frame[-3:] = b"xyz"
    assert payload_of(message) == b"xyz"


@pytest.mark.parametrize(
    "message",
    [
        Blocks(1, ((0, 3),), (), True, b"ab"),
        Blocks(1, ((0, 3),), (), True, b"abcd"),
        Batches(1, False, (4,), b""),
        Manifests(1, (-1, 2), b"a"),
        ManifestPart(1, 10**8, bytes(PAYLOAD_BYTES_MAX + 1)),
    ],
)
def test_a_payload_of_another_size_than_said_is_a_violation(message: Message) -> None:
    with pytest.raises(ProtocolViolation, match="payload"):
        decode(plaintext(message))


def test_a_payload_behind_a_message_without_one_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation, match="payload"):
        decode(memoryview(encode(Ping(1)) + b"x"))


@pytest.mark.parametrize(
    ("number", "values", "named"),
    [
        (1, [0, "a", "b", 1, []], "Hello.version"),
        (1, [1, "a" * 65, "b", 1, []], "Hello.name"),
        (1, [1, "a\x1b[2J", "b", 1, []], "Hello.name"),
        (1, [1, "a", "b", True, []], "Hello.port"),
        (1, [1, "a", "b", 65536, []], "Hello.port"),
        (1, [1, "a", "b", 1, ["c"] * 33], "Hello.addresses"),
        (1, [1, "a", "b", 1, "c"], "Hello.addresses"),
        (2, [[b"short"]], "Drives.tags"),
        (6, [TAG, [[ACTOR, -1, HASH]], True, True], "Announce.frontier"),
        (6, [TAG, [[ACTOR, 1]], True, True], "Announce.frontier"),
        (6, [TAG, [], 1, True], "Announce.settled"),
        (14, [TAG, 1, [HASH] * 2049], "GetBlocks.blocks"),
        (14, [TAG, 2**32, [HASH]], "GetBlocks.request"),
        (15, [1, [[0, 0]], [], True], "Blocks.pieces"),
        (15, [1, [[0, BLOCK_BYTES_MAX + 1]], [], True], "Blocks.pieces"),
        (15, [1, [], [2048], True], "Blocks.missing"),
        (16, [], "Ping has 0 fields"),
        (16, [1, 2], "Ping has 2 fields"),
        (19, [], "type"),
    ],
)
def test_a_field_out_of_its_bounds_is_named(number: int, values: list[object], named: str) -> None:
    header = msgpack.packb([number, *values])
    with pytest.raises(ProtocolViolation, match=named):
        decode(memoryview(len(header).to_bytes(LENGTH_BYTES, "big") + header))


def test_our_own_value_out_of_bounds_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match=r"Hello\.name"):
        encode(Hello(1, "a" * 65, "p2pdrive", 0, ()))


def test_every_message_within_its_bounds_fits_in_a_frame() -> None:
    seal_and_lengths = 16 + LENGTH_BYTES
    for form in FORMS.values():
        room = FRAME_BYTES_MAX - seal_and_lengths - (form.payload.longest if form.payload else 0)
        assert form.header_bytes_max <= room, form.message


@given(st.text(), st.integers(0, 40))
def test_fitted_text_fits(text: str, longest: int) -> None:
    shown = fitted(text, longest)
    assert len(shown.encode()) <= longest
    assert fitted(shown, longest) == shown


def test_the_document_has_a_row_for_every_message() -> None:
    assert [f"| {number} | {kind.__name__} |" in table() for number, kind in TYPES.items()] == [True] * len(
        TYPES
    )


def test_every_type_has_a_golden_vector() -> None:
    assert [type(message) for message, _ in GOLDEN] == list(TYPES.values())


@pytest.mark.parametrize(("message", "expected"), GOLDEN)
def test_golden_vectors(message: Message, expected: str) -> None:
    assert bytes(plaintext(message)).hex() == expected
    assert decode(memoryview(bytes.fromhex(expected))) == message
