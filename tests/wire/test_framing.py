import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.errors import ProtocolViolation
from p2pdrive.limits import FRAME_BYTES_MAX, READ_BYTES
from p2pdrive.wire.framing import PLAINTEXT_BYTES_MIN, SEAL_BYTES, Framing

SHORTEST = PLAINTEXT_BYTES_MIN + SEAL_BYTES
bodies = st.lists(st.binary(min_size=SHORTEST, max_size=200), max_size=8)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def received(chunks: list[bytes]) -> list[bytes]:
    framing = Framing()
    return [bytes(frame) for chunk in chunks for frame in framing.receive_data(chunk)]


@given(bodies)
def test_whole_and_byte_by_byte_give_the_same_frames(frames: list[bytes]) -> None:
    stream = b"".join(map(framed, frames))
    assert received([stream]) == frames
    assert received([stream[at : at + 1] for at in range(len(stream))]) == frames


@given(bodies, st.lists(st.integers(1, 300), min_size=1))
def test_pieces_of_any_size_give_the_same_frames(frames: list[bytes], sizes: list[int]) -> None:
    stream, chunks, turn = b"".join(map(framed, frames)), [], 0
    while stream:
        size = sizes[turn % len(sizes)]
        chunks.append(stream[:size])
        stream, turn = stream[size:], turn + 1
    assert received(chunks) == frames


@given(st.lists(st.binary(max_size=100)))
def test_arbitrary_bytes_are_frames_or_a_violation(chunks: list[bytes]) -> None:
    try:
        frames = received(chunks)
    except ProtocolViolation:
        return
    assert sum(4 + len(frame) for frame in frames) <= sum(map(len, chunks))


@pytest.mark.parametrize("size", [SHORTEST, READ_BYTES - 4, READ_BYTES - 3, READ_BYTES, FRAME_BYTES_MAX])
def test_frames_around_the_sizes_of_the_buffers(size: int) -> None:
    frames = [bytes([number]) * size for number in (1, 2, 3)]
    assert received([b"".join(map(framed, frames))]) == frames


@pytest.mark.parametrize("length", [0, SHORTEST - 1, FRAME_BYTES_MAX + 1, 2**32 - 1])
def test_an_impossible_length_is_refused_before_its_frame_arrives(length: int) -> None:
    framing = Framing()
    with pytest.raises(ProtocolViolation, match=str(length)):
        list(framing.receive_data(length.to_bytes(4, "big")))


def test_frames_before_an_impossible_length_are_given() -> None:
    frames = Framing().receive_data(framed(b"x" * 30) + b"\0\0\0\0")
    assert bytes(next(frames)) == b"x" * 30
    with pytest.raises(ProtocolViolation):
        next(frames)


def test_a_frame_stays_as_it_is_when_more_arrives() -> None:
    framing = Framing()
    (first,) = framing.receive_data(framed(b"first" * 10))
    (second,) = framing.receive_data(framed(b"later" * 10))
    assert (bytes(first), bytes(second)) == (b"first" * 10, b"later" * 10)


def test_large_frames_that_are_kept_stay_as_they_are() -> None:
    framing = Framing()
    bodies = [bytes([number]) * READ_BYTES * 2 for number in range(20)]
    kept = [view[1:] for body in bodies for view in framing.receive_data(framed(body))]
    assert [bytes(view) for view in kept] == [body[1:] for body in bodies]


def test_the_memory_of_a_large_frame_is_used_again_when_nobody_keeps_it() -> None:
    framing = Framing()
    (first,) = framing.receive_data(framed(b"a" * READ_BYTES * 2))
    memory = first.obj
    del first
    (second,) = framing.receive_data(framed(b"b" * READ_BYTES * 2))
    assert second.obj is memory


def test_a_large_frame_is_received_into_its_own_memory() -> None:
    framing = Framing()
    assert list(framing.receive_data((10**6).to_bytes(4, "big") + b"begin")) == []
    space = framing.space()
    assert len(space) == 10**6 - 5
    space[-3:] = b"end"
    framing.filled(len(space))
    (frame,) = framing.frames()
    assert bytes(frame[:5]) == b"begin"
    assert bytes(frame[-3:]) == b"end"
