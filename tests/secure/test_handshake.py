from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.errors import AuthenticationFailed, PeerError, ProtocolViolation
from p2pdrive.secure.handshake import Handshake
from p2pdrive.secure.identity import Identity
from p2pdrive.secure.invite import Invite
from p2pdrive.secure.noise import Cipher, HandshakeState, Suite
from p2pdrive.secure.session import Session, seal_frame

ANNA, BERT, MALLORY = (Identity(bytes([number]) * 32) for number in (1, 2, 3))
INVITE = Invite(bytes(32), "Photos", bytes(range(16)), (), 0, "editor")
PSKS = {INVITE.id: INVITE.psk}
CIPHERS: list[Cipher] = ["AESGCM", "ChaChaPoly"]

#: What passes, by turns: preamble and message 1; message 2; message 3 and proof; proof.
TRANSCRIPT = [
    (
        "70327064726976650101001ab67d1e9cb19093e076770d4ec457e600302a01fdf3942d8cb96ec220b4cde1e45c02eeb0"
        "be09c847797b5fa55570f9d85dbf817fad3776f6988abbce4163299ab8"
    ),
    (
        "006047c0c3fa0eefc844046346763bbef2543054f92d7ed726cc805ad1b428999a40a8c7a8267de88987f6a57d0097cc"
        "ae5bb81e36bd6bb7d5ca33f1da1c8859b5422d25da77cc556f62a661b8bca4013678c474ddfb3263b2d708e0a0d9d8e6"
        "ebdb"
    ),
    (
        "00400516fb3e73a7d875171f450cfa3ae8dd77e93c3238b95d605e2f58b785f5c6bb27ab431c52774d7f95721c2fcbd7"
        "0f6fefbed7a09a420048ed8be4d3f1b39c7d000000701c48aaf1f4417fabc3a86d373e4801e03424f4ad5a8928edf0fd"
        "dcac260c6bfc5cd8b358b38575cb1c45f824bca85162c51fd4acff435f065bbf033f230d5e41264f80b40e458810a9a9"
        "dd97b942558d133fc0b074de9043d2c850ae07ba0e3cecac319813ee7b8cdb12fdedc1981821"
    ),
    (
        "000000705e9f132c65ef3e37db4e3bd04cfda7e70e3975cc0d85f68c14e99656324c719e0951f24302ca78f51d7a4815"
        "51708e74b98dcb575e8fb04a08104bd1665be991b44ca55c6536d96878387811729d02e0eb83d3bc4ebc59ca980414ff"
        "a1949afea45d7e476fef1cae0d4dda9150c4f36f"
    ),
]


def seeded(seed: str) -> Callable[[int], bytes]:
    """Random bytes that are the same each time: BLAKE3's output stream for ``seed``."""
    position = 0

    def random(count: int) -> bytes:
        nonlocal position
        position += count
        return blake3(seed.encode()).digest(count, seek=position - count)

    return random


def dialling(
    identity: Identity = ANNA,
    invite: Invite | None = None,
    cipher: Cipher = "AESGCM",
    expect: bytes | None = None,
) -> Handshake:
    return Handshake.initiate(identity, seeded("initiator"), invite, cipher, expect)


def answering(identity: Identity = BERT, psks: dict[bytes, bytes] = PSKS) -> Handshake:
    return Handshake.respond(identity, seeded("responder"), psks.get)


@dataclass
class Flight:
    """Some bytes on their way, and who gets them."""

    receiver: Handshake
    data: bytes


def flights(initiator: Handshake, responder: Handshake) -> Iterator[Flight]:
    """All that passes between two sides; whoever iterates delivers it, or something else."""
    sender, receiver = initiator, responder
    while data := sender.data_to_send():
        yield Flight(receiver, data)
        sender, receiver = receiver, sender


def deliver(initiator: Handshake, responder: Handshake, piece: int = 1 << 20) -> list[bytes]:
    """Let both sides talk to the end, in pieces of so many bytes; gives what passed."""
    passed = []
    for flight in flights(initiator, responder):
        passed.append(flight.data)
        for at in range(0, len(flight.data), piece):
            flight.receiver.receive_data(flight.data[at : at + piece])
    return passed


def sessions(initiator: Handshake, responder: Handshake) -> tuple[Session, Session]:
    assert initiator.session is not None
    assert responder.session is not None
    return initiator.session, responder.session


def assert_talks(one: Session, other: Session) -> None:
    for sender, receiver in ((one, other), (other, one), (one, other)):
        frame = bytearray(bytes(4) + b"hello" + bytes(16))
        sender.seal(frame)
        assert receiver.open(memoryview(frame)[4:]) == b"hello"


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("invite", [None, INVITE], ids=["open", "invited"])
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_both_sides_know_each_other_and_talk(piece: int, invite: Invite | None, cipher: Cipher) -> None:
    initiator, responder = dialling(invite=invite, cipher=cipher, expect=BERT.device), answering()
    deliver(initiator, responder, piece)
    one, other = sessions(initiator, responder)
    assert (one.device, other.device) == (BERT.device, ANNA.device)
    assert one.handshake_hash == other.handshake_hash
    assert one.tag(b"d" * 32) == other.tag(b"d" * 32)
    assert responder.invite_id == (INVITE.id if invite else None)
    assert initiator.trailing_data == responder.trailing_data == b""
    assert_talks(one, other)


@given(st.lists(st.integers(1, 120), max_size=8), st.sampled_from([None, INVITE]))
def test_pieces_of_any_size_give_the_same_sessions(sizes: list[int], invite: Invite | None) -> None:
    whole = (dialling(invite=invite), answering())
    deliver(*whole)
    initiator, responder = dialling(invite=invite), answering()
    for flight in flights(initiator, responder):
        rest = flight.data
        for size in sizes:
            flight.receiver.receive_data(rest[:size])
            rest = rest[size:]
            if flight.receiver.session:
                break
        if not flight.receiver.session:
            flight.receiver.receive_data(rest)
    one, other = sessions(initiator, responder)
    assert one.handshake_hash == other.handshake_hash == sessions(*whole)[0].handshake_hash
    assert_talks(one, other)


def test_transcript_vector() -> None:
    initiator, responder = dialling(invite=INVITE), answering()
    passed = [data.hex() for data in deliver(initiator, responder)]
    assert passed == TRANSCRIPT
    one, _ = sessions(initiator, responder)
    assert one.handshake_hash.hex() == "8f2dd0ffc526062a68916eb1f3cd80c7405bd2337a0d264983697b254615eabb"
    assert one.tag(bytes(32)).hex() == "f62d874b03df2ed3"


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("invite", [None, INVITE], ids=["open", "invited"])
def test_every_altered_byte_keeps_its_receiver_from_a_session(invite: Invite | None, cipher: Cipher) -> None:
    sizes = [len(data) for data in deliver(dialling(invite=invite, cipher=cipher), answering())]
    for number, size in enumerate(sizes):
        for position in range(size):
            initiator, responder = dialling(invite=invite, cipher=cipher), answering()
            with pytest.raises(PeerError):
                deliver_altered(initiator, responder, number, position)
            receiver = initiator if number % 2 else responder
            assert receiver.session is None
            if number < len(sizes) - 1:  # who sent the last proof cannot know how it fared
                assert initiator.session is responder.session is None


def deliver_altered(initiator: Handshake, responder: Handshake, number: int, position: int) -> None:
    for at, flight in enumerate(flights(initiator, responder)):
        data = bytearray(flight.data)
        if at == number:
            data[position] ^= 0x01
        flight.receiver.receive_data(data)


def test_frames_behind_the_handshake_are_kept_for_the_session() -> None:
    initiator, responder = dialling(), answering()
    for flight in flights(initiator, responder):
        data = flight.data
        if flight.receiver is initiator and responder.session is not None:
            frame = bytearray(bytes(4) + b"first" + bytes(16))
            responder.session.seal(frame)
            data += bytes(frame)
        flight.receiver.receive_data(data)
    one, _ = sessions(initiator, responder)
    trailing = bytearray(initiator.trailing_data)
    assert one.open(memoryview(trailing)[4:]) == b"first"


def test_device_that_dials_itself_is_told_so() -> None:
    with pytest.raises(AuthenticationFailed, match="this device itself"):
        deliver(dialling(ANNA), answering(ANNA))


def test_other_device_than_expected_is_refused() -> None:
    initiator = dialling(expect=MALLORY.device)
    with pytest.raises(AuthenticationFailed, match="was expected"):
        deliver(initiator, answering())
    assert initiator.session is None


def test_unknown_invite_is_refused_before_anything_is_said() -> None:
    responder = answering(psks={})
    with pytest.raises(AuthenticationFailed, match="ask for a new invite"):
        deliver(dialling(invite=INVITE), responder)
    assert responder.data_to_send() == b""


def test_peer_without_the_invites_secret_learns_no_device() -> None:
    initiator, responder = dialling(invite=INVITE), answering(psks={INVITE.id: bytes(32)})
    with pytest.raises(AuthenticationFailed):
        deliver(initiator, responder)
    assert responder.data_to_send() == b""
    assert responder.invite_id is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"GET / HTTP/1.1\r\n", "not p2pdrive"),
        (b"p2pdrive\x02\x00\x00", "version 2.*update"),
        (b"p2pdrive\x01\x02\x00", "mode or cipher"),
        (b"p2pdrive\x01\x00\x02", "mode or cipher"),
        (b"p2pdrive\x01\x00\x00\xff\xff", "does not speak"),
        (b"p2pdrive\x01\x00\x00\x00\x00", "does not speak"),
    ],
)
def test_stranger_is_refused_as_soon_as_that_is_clear(data: bytes, says: str) -> None:
    with pytest.raises(ProtocolViolation, match=says):
        answering().receive_data(data)


def test_initiator_refuses_another_service() -> None:
    with pytest.raises(ProtocolViolation, match="check the address"):
        dialling().receive_data(b"SSH-2.0-OpenSSH_9.2\r\n")


@given(st.binary(min_size=240, max_size=4096))  # longer than either side reads in all
def test_garbage_ends_either_side_with_a_typed_error(garbage: bytes) -> None:
    for side in (dialling(), answering()):
        with pytest.raises(PeerError):
            side.receive_data(garbage)
        assert side.session is None
        assert side.trailing_data == b""


def half_way() -> tuple[Handshake, HandshakeState]:
    """A responder that waits for a proof, and the Noise state of a peer that may send a wrong one."""
    responder = answering()
    preamble = b"p2pdrive\x01\x00\x00"
    noise = HandshakeState(
        Suite("XX", "AESGCM", "BLAKE2s"),
        initiator=True,
        prologue=preamble,
        static=bytes(range(32)),
        ephemeral=bytes(range(32, 64)),
    )
    responder.receive_data(preamble + b"\x00\x20" + noise.write_message())
    noise.read_message(responder.data_to_send()[2:])
    responder.receive_data(b"\x00\x40" + noise.write_message())
    return responder, noise


def proof(noise: HandshakeState, signer: Identity, statement: bytes) -> bytearray:
    """The frame in which Anna's device is claimed, with a signature by ``signer``."""
    frame = bytearray(bytes(4) + ANNA.device + signer.sign(statement) + bytes(16))
    seal_frame(noise.split()[0], frame)
    return frame


def test_right_proof_made_by_hand_is_accepted() -> None:
    responder, noise = half_way()
    responder.receive_data(proof(noise, ANNA, b"p2pdrive device proof\0" + noise.handshake_hash))
    assert responder.session is not None
    assert responder.session.device == ANNA.device


@pytest.mark.parametrize(
    ("signer", "label", "binding"),
    [
        (ANNA, b"p2pdrive device proof\1", None),
        (ANNA, b"p2pdrive another use.\0", None),
        (ANNA, b"p2pdrive device proof\0", bytes(32)),
        (MALLORY, b"p2pdrive device proof\0", None),
    ],
    ids=["of the other role", "for another use", "of another connection", "by another device"],
)
def test_wrong_proof_is_refused(signer: Identity, label: bytes, binding: bytes | None) -> None:
    responder, noise = half_way()
    with pytest.raises(AuthenticationFailed, match="does not own"):
        responder.receive_data(proof(noise, signer, label + (binding or noise.handshake_hash)))
    assert responder.session is None
