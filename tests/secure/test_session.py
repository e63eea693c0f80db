import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.errors import AuthenticationFailed
from p2pdrive.limits import FRAME_BYTES_MAX
from p2pdrive.secure.noise import Cipher, CipherState
from p2pdrive.secure.session import Session

HASH = bytes(range(32))
CIPHERS: list[Cipher] = ["AESGCM", "ChaChaPoly"]


def pair(cipher: Cipher = "AESGCM") -> tuple[Session, Session]:
    forth, back = bytes([1]) * 32, bytes([2]) * 32
    return (
        Session(b"b" * 32, HASH, CipherState(cipher, forth), CipherState(cipher, back)),
        Session(b"a" * 32, HASH, CipherState(cipher, back), CipherState(cipher, forth)),
    )


def framed(plaintext: bytes) -> bytearray:
    return bytearray(bytes(4) + plaintext + bytes(16))


def sealed_by(session: Session, plaintext: bytes) -> bytearray:
    frame = framed(plaintext)
    session.seal(frame)
    return frame


@pytest.mark.parametrize("cipher", CIPHERS)
@given(plaintexts=st.lists(st.binary(max_size=300), max_size=5))
def test_frames_pass_both_ways_in_order(cipher: Cipher, plaintexts: list[bytes]) -> None:
    one, other = pair(cipher)
    for plaintext in plaintexts:
        for sender, receiver in ((one, other), (other, one)):
            frame = sealed_by(sender, plaintext)
            assert int.from_bytes(frame[:4], "big") == len(frame) - 4 == len(plaintext) + 16
            assert receiver.open(memoryview(frame)[4:]) == plaintext


@pytest.mark.parametrize("cipher", CIPHERS)
def test_largest_frame_is_sealed_and_opened_in_place(cipher: Cipher) -> None:
    one, other = pair(cipher)
    plaintext = bytes(range(256)) * (FRAME_BYTES_MAX // 256 - 1) + bytes(240)
    frame = framed(plaintext)
    assert len(frame) - 4 == FRAME_BYTES_MAX
    one.seal(memoryview(frame))
    assert frame[4:-16] != plaintext
    opened = other.open(memoryview(frame)[4:])
    assert opened == plaintext
    assert opened.obj is frame
    assert frame[4:-16] == plaintext


def test_frame_stays_resizable_after_sealing() -> None:
    one, _ = pair()
    frame = sealed_by(one, b"message")
    frame += b"more"
    assert frame.endswith(b"more")


def test_every_altered_byte_is_noticed() -> None:
    whole = sealed_by(pair()[0], b"plaintext")
    for position in range(4, len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 0x80
        with pytest.raises(AuthenticationFailed):
            pair()[1].open(memoryview(altered)[4:])


def test_truncated_frame_is_refused() -> None:
    whole = sealed_by(pair()[0], b"plaintext")
    for length in range(len(whole) - 4):
        with pytest.raises(AuthenticationFailed):
            pair()[1].open(memoryview(bytearray(whole[4 : 4 + length])))


def test_repeated_swapped_lost_and_reflected_frames_are_refused() -> None:
    one, other = pair()
    first, second = sealed_by(one, b"first"), sealed_by(one, b"second")
    with pytest.raises(AuthenticationFailed):
        other.open(memoryview(bytearray(second))[4:])
    assert other.open(memoryview(bytearray(first))[4:]) == b"first"
    with pytest.raises(AuthenticationFailed):
        other.open(memoryview(bytearray(first))[4:])
    with pytest.raises(AuthenticationFailed):
        one.open(memoryview(bytearray(first))[4:])
    assert other.open(memoryview(bytearray(second))[4:]) == b"second"


def test_tag_vector() -> None:
    assert pair()[0].tag(bytes(32)).hex() == "4e78aa9efad51c14"


def test_tag_is_shared_by_both_ends_and_differs_by_drive_and_connection() -> None:
    one, other = pair()
    next_time = Session(bytes(32), bytes(32), CipherState("AESGCM", HASH), CipherState("AESGCM", HASH))
    drive = b"d" * 32
    assert one.tag(drive) == other.tag(drive)
    assert len({one.tag(drive), one.tag(b"e" * 32), next_time.tag(drive)}) == 3
